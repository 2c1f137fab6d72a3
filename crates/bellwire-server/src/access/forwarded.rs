//! Whose word on a client's address counts: the headers of proxies that are trusted, and of nobody
//! else.
//!
//! Asked by the HTTP layer for each request that opens something, and by the census, which spares
//! the proxies themselves. Pure; the PROXY header in front of a connection is read elsewhere.

use std::{
    iter,
    net::{IpAddr, SocketAddr},
};

use http::{HeaderMap, HeaderValue, header::FORWARDED};

use crate::config::Network;

const X_FORWARDED_FOR: &str = "x-forwarded-for";

/// The proxies that are believed.
#[derive(Clone, Debug, Default)]
pub struct Proxies {
    networks: Vec<Network>,
}

/// A trusted proxy names no address where one is expected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Malformed;

impl Proxies {
    /// Those in these networks.
    #[must_use]
    pub fn new(networks: Vec<Network>) -> Self {
        Self { networks }
    }

    /// Whether an address is one of theirs.
    #[must_use]
    pub fn trusts(&self, address: IpAddr) -> bool {
        self.networks
            .iter()
            .any(|network| network.contains(address))
    }

    /// Whether bounds per address leave it alone: a proxy, which is many clients, or this machine.
    #[must_use]
    pub fn is_exempt(&self, address: IpAddr) -> bool {
        address.to_canonical().is_loopback() || self.trusts(address)
    }

    /// The client for whom a proxy asks, where the peer is one: the right-most address that is not
    /// a trusted proxy's, since everything to the left of it is that client's own word. Nothing
    /// where the peer speaks for itself.
    ///
    /// `X-Forwarded-For` counts where both headers are there: nearly every proxy writes that one, and
    /// passes a client's `Forwarded` on as it came.
    ///
    /// # Errors
    /// What should be an address is none; the peer's own has to do.
    pub fn client(&self, headers: &HeaderMap, peer: IpAddr) -> Result<Option<IpAddr>, Malformed> {
        if self.networks.is_empty() || !self.trusts(peer) {
            return Ok(None);
        }
        if headers.contains_key(X_FORWARDED_FOR) {
            let lines = headers.get_all(X_FORWARDED_FOR).iter();
            return self.first_untrusted(lines, Some);
        }
        self.first_untrusted(headers.get_all(FORWARDED).iter(), for_of)
    }

    /// Walks the hops from the right. Where all are trusted, the one furthest away is it.
    fn first_untrusted<'a>(
        &self,
        lines: impl DoubleEndedIterator<Item = &'a HeaderValue>,
        of: impl Fn(&'a str) -> Option<&'a str>,
    ) -> Result<Option<IpAddr>, Malformed> {
        let mut furthest = None;
        for line in lines.rev() {
            for entry in from_the_right(line.as_bytes(), b',') {
                let entry = str::from_utf8(entry).ok();
                let named = entry.and_then(&of).and_then(address);
                let address = named.ok_or(Malformed)?;
                furthest = Some(address);
                if !self.trusts(address) {
                    return Ok(furthest);
                }
            }
        }
        Ok(furthest)
    }
}

/// Cuts at a separator outside of quotes. From the right, and lazily: there stands what a proxy wrote,
/// and nothing that a client wrote to the left of it, quotes included, changes how it is read.
fn from_the_right(text: &[u8], separator: u8) -> impl Iterator<Item = &[u8]> {
    let mut rest = Some(text);
    iter::from_fn(move || {
        let text = rest.take()?;
        let mut quoted = false;
        let cut = (0..text.len()).rev().find(|&at| {
            quoted ^= text[at] == b'"' && !is_escaped(&text[..at]);
            text[at] == separator && !quoted
        });
        rest = cut.map(|at| &text[..at]);
        Some(text[cut.map_or(0, |at| at + 1)..].trim_ascii())
    })
}

/// Whether what follows is to be taken as it is: behind an odd number of backslashes.
fn is_escaped(before: &[u8]) -> bool {
    let backslashes = before.iter().rev().take_while(|&&byte| byte == b'\\');
    backslashes.count() % 2 == 1
}

/// What the `for` parameter of an element says (RFC 7239 §4), without its quotes. An address needs
/// no escapes.
fn for_of(element: &str) -> Option<&str> {
    let mut named = from_the_right(element.as_bytes(), b';').filter_map(|pair| {
        let (name, value) = str::from_utf8(pair).ok()?.split_once('=')?;
        name.eq_ignore_ascii_case("for").then_some(value)
    });
    let value = named.next()?;
    if named.next().is_some() {
        return None;
    }
    match value.strip_prefix('"') {
        Some(open) => open.strip_suffix('"'),
        None => Some(value),
    }
}

/// An address with or without a port; IPv6 in brackets, and bare as `X-Forwarded-For` has it.
fn address(text: &str) -> Option<IpAddr> {
    let bare = text
        .strip_prefix('[')
        .and_then(|text| text.strip_suffix(']'))
        .unwrap_or(text);
    let address = bare.parse::<IpAddr>().ok();
    let with_port = || text.parse::<SocketAddr>().ok().map(|socket| socket.ip());
    address.or_else(with_port).map(|ip| ip.to_canonical())
}

/// The network of an IPv6 address, in which one client has as many addresses as it likes; bounds per
/// address count it as one.
pub(crate) fn ipv6_network(address: IpAddr) -> Option<u64> {
    match address.to_canonical() {
        IpAddr::V4(_) => None,
        IpAddr::V6(v6) => u64::try_from(v6.to_bits() >> 64).ok(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Kind;

    const PROXY: &str = "10.0.0.1";

    fn client(headers: &[(&str, &str)], peer: &str) -> Result<Option<String>, Malformed> {
        let networks = ["10.0.0.0/8", "fd00::/8"].map(|text| Network::read(text).unwrap());
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            let name: http::HeaderName = name.parse().unwrap();
            map.append(name, HeaderValue::from_bytes(value.as_bytes()).unwrap());
        }
        let found = Proxies::new(networks.to_vec()).client(&map, peer.parse().unwrap());
        found.map(|found| found.map(|address| address.to_string()))
    }

    fn forwarded_for(value: &str) -> Result<Option<String>, Malformed> {
        client(&[("x-forwarded-for", value)], PROXY)
    }

    fn forwarded(value: &str) -> Result<Option<String>, Malformed> {
        client(&[("forwarded", value)], PROXY)
    }

    fn is(address: &str) -> Result<Option<String>, Malformed> {
        Ok(Some(address.to_owned()))
    }

    #[test]
    fn the_right_most_address_that_is_no_proxy_is_the_client() {
        assert_eq!(forwarded_for("203.0.113.9"), is("203.0.113.9"));
        assert_eq!(forwarded_for("1.1.1.1, 203.0.113.9"), is("203.0.113.9"));
        assert_eq!(forwarded_for("203.0.113.9,10.2.3.4"), is("203.0.113.9"));
        assert_eq!(forwarded_for("10.9.9.9, 10.2.3.4"), is("10.9.9.9"));
        assert_eq!(forwarded_for("junk, 203.0.113.9"), is("203.0.113.9"));
        assert_eq!(forwarded_for("203.0.113.9:4711"), is("203.0.113.9"));
        assert_eq!(forwarded_for("2001:db8::9"), is("2001:db8::9"));
        assert_eq!(forwarded_for("[2001:db8::9]"), is("2001:db8::9"));
        assert_eq!(forwarded_for("[2001:db8::9]:4711"), is("2001:db8::9"));
        assert_eq!(forwarded_for("::ffff:203.0.113.9"), is("203.0.113.9"));
        let lines = [
            ("x-forwarded-for", "1.1.1.1"),
            ("x-forwarded-for", "2.2.2.2"),
        ];
        assert_eq!(client(&lines, PROXY), is("2.2.2.2"));
    }

    #[test]
    fn the_standard_header_is_read_with_its_quotes() {
        assert_eq!(forwarded("for=203.0.113.9"), is("203.0.113.9"));
        let all = "by=10.0.0.1;FOR=203.0.113.9;proto=https";
        assert_eq!(forwarded(all), is("203.0.113.9"));
        assert_eq!(forwarded("for=\"[2001:db8::9]:4711\""), is("2001:db8::9"));
        assert_eq!(forwarded("for=1.1.1.1, for=2.2.2.2"), is("2.2.2.2"));
        let tricky = r#"for=1.1.1.1;by="a,for=3.3.3.3\",", for=2.2.2.2"#;
        assert_eq!(forwarded(tricky), is("2.2.2.2"));
        let hidden = r#"for="1.1.1.1, for=3.3.3.3""#;
        assert_eq!(forwarded(hidden), Err(Malformed));
    }

    #[test]
    fn nothing_that_a_client_writes_hides_what_its_proxy_appends() {
        for own in ["\"", "\"x", "x\\", "\\\"", "\"\\", "\"a\"b\"", ",,", "="] {
            let appended = forwarded_for(&format!("{own}, 203.0.113.9"));
            assert_eq!(appended, is("203.0.113.9"), "{own}");
            for own in [own.to_owned(), format!("for={own}")] {
                let appended = forwarded(&format!("{own}, for=\"203.0.113.9:99\";by=_x"));
                assert_eq!(appended, is("203.0.113.9"), "{own}");
            }
        }
        assert_eq!(forwarded_for("\u{e9}, 203.0.113.9"), is("203.0.113.9"));
        let value = HeaderValue::from_bytes(b"\xff, for=203.0.113.9, for=10.2.3.4").unwrap();
        let headers = HeaderMap::from_iter([(FORWARDED, value)]);
        let proxies = Proxies::new(vec![Network::read("10.0.0.0/8").unwrap()]);
        let found = proxies.client(&headers, PROXY.parse().unwrap());
        assert_eq!(found, Ok(Some("203.0.113.9".parse().unwrap())));
    }

    #[test]
    fn nobody_else_is_believed() {
        let spoofed = [("x-forwarded-for", "1.1.1.1"), ("forwarded", "for=1.1.1.1")];
        assert_eq!(client(&spoofed, "203.0.113.9"), Ok(None));
        assert_eq!(client(&spoofed, "127.0.0.1"), Ok(None));
        assert_eq!(client(&[], PROXY), Ok(None));
        assert_eq!(client(&spoofed, "::ffff:10.0.0.1"), is("1.1.1.1"));
    }

    #[test]
    fn of_two_headers_the_one_that_proxies_write_counts() {
        let both = [("forwarded", "for=1.1.1.1"), ("x-forwarded-for", "2.2.2.2")];
        assert_eq!(client(&both, PROXY), is("2.2.2.2"));
    }

    #[test]
    fn a_proxy_that_names_no_address_is_told_apart() {
        for text in [
            "",
            "unknown",
            "_hidden",
            "203.0.113.999",
            "1.1.1.1,",
            "a.example",
        ] {
            assert_eq!(forwarded_for(text), Err(Malformed), "{text:?}");
        }
        for text in [
            "for=unknown",
            "for=_x",
            "proto=https",
            "for=1.1.1.1;for=2.2.2.2",
            "for=\"1.1.1.1",
        ] {
            assert_eq!(forwarded(text), Err(Malformed), "{text:?}");
        }
        assert_eq!(forwarded_for("\u{e9}"), Err(Malformed));
    }
}
