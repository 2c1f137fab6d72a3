//! What two sides agree on about compression (RFC 7692 §7.1): the server answers a client's
//! offers, the client reads the answer. Called with the handshake's headers; compresses nothing.

use std::fmt;

use super::extension::{self, ExtensionOffer};
use crate::websocket::WindowBits;

const NAME: &str = "permessage-deflate";
const SERVER_KEEPS_NOTHING: &str = "server_no_context_takeover";
const CLIENT_KEEPS_NOTHING: &str = "client_no_context_takeover";
const SERVER_WINDOW: &str = "server_max_window_bits";
const CLIENT_WINDOW: &str = "client_max_window_bits";

/// What a client offers that decompresses whatever comes and needs no compressor of its own.
pub const CLIENT_OFFER: &str =
    "permessage-deflate; client_no_context_takeover; client_max_window_bits";

/// What may be kept between messages, on the server's side of the agreement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Memory {
    /// Whether the server's compressor may remember earlier messages.
    pub server: bool,
    /// Whether the client's compressor may, and so the server's decompressor must.
    pub client: bool,
}

/// What was agreed on. As text, it is the server's answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Compression {
    /// Whether messages of the server refer to earlier ones.
    pub server_keeps_context: bool,
    /// Whether messages of the client refer to earlier ones.
    pub client_keeps_context: bool,
    /// The largest window that the server's compressor may use, where the client limits it.
    pub server_window: Option<WindowBits>,
}

impl Compression {
    /// The first of a client's offers that can be accepted, with as little memory as it and
    /// `memory` want. What can't be accepted is passed over: an extension is declined by silence.
    #[must_use]
    pub fn accept<'a>(
        offers: impl IntoIterator<Item = ExtensionOffer<'a>>,
        memory: Memory,
    ) -> Option<Self> {
        offers.into_iter().find_map(|offer| {
            let parameters = Parameters::read(&offer, Side::Client)?;
            let server_window = match parameters.server_window {
                Some(bits) => Some(WindowBits::at_most(bits)?),
                None => None,
            };
            Some(Self {
                server_keeps_context: memory.server && !parameters.server_keeps_nothing,
                client_keeps_context: memory.client && !parameters.client_keeps_nothing,
                server_window,
            })
        })
    }

    /// What a server answered to [`CLIENT_OFFER`], in the values of its
    /// `Sec-WebSocket-Extensions`; `None` where there is nothing.
    ///
    /// # Errors
    /// The answer is not one to that offer; the client must fail the connection.
    pub fn of_answer<'a>(
        values: impl IntoIterator<Item = &'a str>,
    ) -> Result<Option<Self>, UnknownAnswer> {
        let mut answered = None;
        for value in values {
            let count = value.split(',').count();
            let mut extensions = extension::parse(value);
            for _ in 0..count {
                let extension = extensions.next().ok_or(UnknownAnswer)?;
                let parameters = Parameters::read(&extension, Side::Server).ok_or(UnknownAnswer)?;
                let agreed = Self {
                    server_keeps_context: !parameters.server_keeps_nothing,
                    client_keeps_context: !parameters.client_keeps_nothing,
                    server_window: parameters.server_window.and_then(WindowBits::at_most),
                };
                if answered.replace(agreed).is_some() {
                    return Err(UnknownAnswer);
                }
            }
        }
        Ok(answered)
    }
}

impl fmt::Display for Compression {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(NAME)?;
        if !self.server_keeps_context {
            write!(f, "; {SERVER_KEEPS_NOTHING}")?;
        }
        if !self.client_keeps_context {
            write!(f, "; {CLIENT_KEEPS_NOTHING}")?;
        }
        match self.server_window {
            Some(window) => write!(f, "; {SERVER_WINDOW}={}", window.get()),
            None => Ok(()),
        }
    }
}

/// A server's answer names an extension or a parameter that was not offered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the server's Sec-WebSocket-Extensions answer nothing that was offered")]
pub struct UnknownAnswer;

/// Whose parameters are read.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Side {
    Client,
    Server,
}

/// The parameters of one offer or answer, each at most once.
#[derive(Default)]
struct Parameters {
    server_keeps_nothing: bool,
    client_keeps_nothing: bool,
    server_window: Option<u8>,
    client_window: Option<Option<u8>>,
}

impl Parameters {
    /// Nothing where the extension is another one, or has an unknown, invalid or repeated
    /// parameter.
    fn read(extension: &ExtensionOffer<'_>, side: Side) -> Option<Self> {
        if extension.name != NAME {
            return None;
        }
        let mut read = Self::default();
        for &(name, value) in &extension.parameters {
            let again = match (name, value) {
                (SERVER_KEEPS_NOTHING, None) => {
                    std::mem::replace(&mut read.server_keeps_nothing, true)
                }
                (CLIENT_KEEPS_NOTHING, None) => {
                    std::mem::replace(&mut read.client_keeps_nothing, true)
                }
                (SERVER_WINDOW, Some(value)) => {
                    read.server_window.replace(window_bits(value)?).is_some()
                }
                (CLIENT_WINDOW, Some(value)) => {
                    let bits = Some(window_bits(value)?);
                    read.client_window.replace(bits).is_some()
                }
                // "I understand it, choose": only in an offer.
                (CLIENT_WINDOW, None) if side == Side::Client => {
                    read.client_window.replace(None).is_some()
                }
                _ => return None,
            };
            if again {
                return None;
            }
        }
        Some(read)
    }
}

/// 8 to 15, without a leading zero.
fn window_bits(value: &str) -> Option<u8> {
    let bits: u8 = value.parse().ok().filter(|bits| (8..=15).contains(bits))?;
    (bits.to_string() == value).then_some(bits)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOTHING: Memory = Memory {
        server: false,
        client: false,
    };
    const ALL: Memory = Memory {
        server: true,
        client: true,
    };

    fn answer(offers: &str, memory: Memory) -> Option<String> {
        Compression::accept(extension::parse(offers), memory).map(|agreed| agreed.to_string())
    }

    fn check(offers: &str, expected: &str) {
        assert_eq!(answer(offers, ALL).as_deref(), Some(expected), "{offers}");
    }

    #[test]
    fn by_default_neither_side_keeps_anything() {
        for offer in [
            "permessage-deflate",
            "permessage-deflate; client_max_window_bits",
        ] {
            assert_eq!(
                answer(offer, NOTHING).as_deref(),
                Some("permessage-deflate; server_no_context_takeover; client_no_context_takeover"),
            );
        }
    }

    #[test]
    fn each_parameter_of_an_offer_is_answered() {
        check("permessage-deflate", "permessage-deflate");
        check(
            "permessage-deflate; client_no_context_takeover",
            "permessage-deflate; client_no_context_takeover",
        );
        check(
            "permessage-deflate; server_no_context_takeover; client_max_window_bits=8",
            "permessage-deflate; server_no_context_takeover",
        );
        check(
            "permessage-deflate; server_max_window_bits=\"10\"",
            "permessage-deflate; server_max_window_bits=9",
        );
        check(
            "permessage-deflate; server_max_window_bits=15",
            "permessage-deflate; server_max_window_bits=15",
        );
    }

    #[test]
    fn an_offer_with_a_bad_parameter_is_passed_over_for_the_next_one() {
        for bad in [
            "other",
            "permessage-deflate; x",
            "permessage-deflate; server_no_context_takeover=1",
            "permessage-deflate; server_no_context_takeover; server_no_context_takeover",
            "permessage-deflate; client_max_window_bits; client_max_window_bits=9",
            "permessage-deflate; server_max_window_bits",
            "permessage-deflate; server_max_window_bits=8",
            "permessage-deflate; server_max_window_bits=16",
            "permessage-deflate; server_max_window_bits=09",
            "permessage-deflate; client_max_window_bits=7",
            "permessage-deflate; client_max_window_bits=+9",
            "Permessage-Deflate",
        ] {
            assert_eq!(answer(bad, ALL), None, "{bad}");
            check(&format!("{bad}, permessage-deflate"), "permessage-deflate");
        }
    }

    #[test]
    fn a_client_understands_every_answer_to_its_offer_and_nothing_else() {
        let read = |value: &str| Compression::of_answer([value]);
        for (server_keeps_context, text) in [
            (true, "permessage-deflate; client_max_window_bits=8"),
            (true, "permessage-deflate; server_max_window_bits=9"),
            (false, "permessage-deflate; server_no_context_takeover"),
        ] {
            let agreed = read(text).map(|agreed| agreed.map(|it| it.server_keeps_context));
            assert_eq!(agreed, Ok(Some(server_keeps_context)), "{text}");
        }
        assert_eq!(Compression::of_answer([]), Ok(None));
        for bad in [
            "",
            "x-other",
            "permessage-deflate; client_max_window_bits",
            "permessage-deflate; mux=1",
            "permessage-deflate, permessage-deflate",
            "permessage-deflate, b@d",
        ] {
            assert_eq!(read(bad), Err(UnknownAnswer), "{bad}");
        }
    }
}
