//! The list in `Sec-WebSocket-Extensions` (RFC 6455 §9.1), parsed on demand. Knows the syntax
//! only; which extension is accepted is decided by whoever answers the handshake.

use smallvec::SmallVec;

/// One extension as a client offers it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExtensionOffer<'a> {
    /// The extension's registered name.
    pub name: &'a str,
    /// Its parameters in order, with values where they have one; quotes are removed.
    pub parameters: SmallVec<[(&'a str, Option<&'a str>); 4]>,
}

/// Parses one header value, offer by offer, and ends at the first that is malformed.
pub(super) fn parse(value: &str) -> impl Iterator<Item = ExtensionOffer<'_>> {
    // A comma cannot stand inside an offer: a quoted value must be a token once unquoted.
    value
        .split(',')
        .map(offer)
        .take_while(Option::is_some)
        .flatten()
}

fn offer(text: &str) -> Option<ExtensionOffer<'_>> {
    let mut parts = text.split(';').map(str::trim_ascii);
    let name = token(parts.next()?)?;
    let parameters = parts.map(parameter).collect::<Option<_>>()?;
    Some(ExtensionOffer { name, parameters })
}

fn parameter(text: &str) -> Option<(&str, Option<&str>)> {
    let Some((name, value)) = text.split_once('=') else {
        return Some((token(text)?, None));
    };
    let value = value.trim_ascii_start();
    let bare = value
        .strip_prefix('"')
        .and_then(|rest| rest.strip_suffix('"'))
        .unwrap_or(value);
    Some((token(name.trim_ascii_end())?, Some(token(bare)?)))
}

fn token(text: &str) -> Option<&str> {
    super::token(text.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Compares the offers, written out as `name(parameter=value,flag)`.
    fn check(value: &str, expected: &[&str]) {
        let written = |offer: ExtensionOffer<'_>| {
            let parameters: Vec<_> = offer
                .parameters
                .iter()
                .map(|(name, value)| value.map_or((*name).to_owned(), |v| format!("{name}={v}")))
                .collect();
            format!("{}({})", offer.name, parameters.join(","))
        };
        assert_eq!(
            parse(value).map(written).collect::<Vec<_>>(),
            expected,
            "{value}"
        );
    }

    #[test]
    fn offers_are_read_in_order_with_their_parameters() {
        check("permessage-deflate", &["permessage-deflate()"]);
        check(
            "permessage-deflate; client_max_window_bits; server_max_window_bits=\"10\", x-a;b = c",
            &[
                "permessage-deflate(client_max_window_bits,server_max_window_bits=10)",
                "x-a(b=c)",
            ],
        );
    }

    #[test]
    fn a_malformed_offer_ends_the_list_quietly() {
        check("good, b@d, later", &["good()"]);
        for none in ["", "a;", "a; b=", "a; b=\"", "a; b=\"x\\y\""] {
            check(none, &[]);
        }
    }
}
