//! The opening handshake (RFC 6455 §4): judges a client's upgrade request, and gives a client
//! its key and the check of the answer. Called once the HTTP head is parsed; it writes no
//! response, because the caller adds headers of its own.

use base64::Engine as _;
use base64::alphabet;
use base64::engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig, STANDARD};
use sha1::{Digest as _, Sha1};
use smallvec::SmallVec;

mod compression;
mod extension;
mod refusal;

pub use compression::{CLIENT_OFFER, Compression, Memory, UnknownAnswer};
pub use extension::ExtensionOffer;
pub use refusal::Refusal;

/// The only version there is, as the header says it.
pub const VERSION: &str = "13";

const ACCEPT_SUFFIX: &[u8] = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

/// Some small clients set the unused bits of the last character; the key is opaque, so that is
/// no reason to turn them away.
const LENIENT: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_allow_trailing_bits(true),
);

/// A valid upgrade request.
#[derive(Clone, Debug)]
pub struct Handshake<'a> {
    key: &'a [u8],
    protocols: SmallVec<[&'a str; 2]>,
    extensions: SmallVec<[&'a str; 1]>,
}

impl<'a> Handshake<'a> {
    /// The value of `Sec-WebSocket-Accept` in the answer.
    pub fn accept_key(&self) -> [u8; 28] {
        accept_key(self.key)
    }

    /// The subprotocols offered, the client's favourite first.
    pub fn protocols(&self) -> &[&'a str] {
        &self.protocols
    }

    /// The extensions offered, the client's favourite first. An offer that cannot be parsed ends
    /// the list: an extension is declined by silence, never by refusing the connection.
    pub fn extensions(&self) -> impl Iterator<Item = ExtensionOffer<'a>> {
        self.extensions
            .iter()
            .flat_map(|value| extension::parse(value))
    }
}

/// Judges an upgrade request. `version_1_1` says that it came over HTTP/1.1; `headers` are all
/// its header fields, in order, with names in any case.
///
/// # Errors
/// The first [`Refusal`] that applies; it says how to answer.
pub fn validate<'a>(
    method: &str,
    version_1_1: bool,
    headers: impl IntoIterator<Item = (&'a str, &'a [u8])>,
) -> Result<Handshake<'a>, Refusal> {
    if method != "GET" {
        return Err(Refusal::Method);
    }
    if !version_1_1 {
        return Err(Refusal::HttpVersion);
    }
    let fields = Fields::collect(headers)?;
    match fields.upgrade {
        Presence::Absent => return Err(Refusal::UpgradeMissing),
        Presence::Other => return Err(Refusal::UpgradeUnknown),
        Presence::Named => {}
    }
    match fields.connection {
        Presence::Absent => return Err(Refusal::ConnectionMissing),
        Presence::Other => return Err(Refusal::ConnectionNotUpgrade),
        Presence::Named => {}
    }
    match fields.version {
        None => return Err(Refusal::VersionMissing),
        Some(version) if version != VERSION.as_bytes() => return Err(Refusal::VersionUnsupported),
        Some(_) => {}
    }
    let key = fields.key.ok_or(Refusal::KeyMissing)?;
    if !is_key(key) {
        return Err(Refusal::KeyMalformed);
    }
    Ok(Handshake {
        key,
        protocols: fields.protocols,
        extensions: fields.extensions,
    })
}

/// The value of `Sec-WebSocket-Accept` that answers `key`, the value of `Sec-WebSocket-Key`.
pub fn accept_key(key: &[u8]) -> [u8; 28] {
    let digest = Sha1::new()
        .chain_update(key)
        .chain_update(ACCEPT_SUFFIX)
        .finalize();
    encode(&digest)
}

/// The value of `Sec-WebSocket-Key` for a client that drew `random`.
pub fn client_request_key(random: [u8; 16]) -> [u8; 24] {
    encode(&random)
}

/// Whether `accept`, the server's `Sec-WebSocket-Accept`, answers the client's `key`.
pub fn verify_accept(key: &[u8], accept: &[u8]) -> bool {
    accept == accept_key(key)
}

fn encode<const N: usize>(bytes: &[u8]) -> [u8; N] {
    let mut out = [0; N];
    let written = STANDARD
        .encode_slice(bytes, &mut out)
        .expect("N is the encoded length");
    debug_assert_eq!(written, N, "base64 of {} bytes", bytes.len());
    out
}

fn is_key(key: &[u8]) -> bool {
    // Room for 18 bytes, what 24 characters can hold; a key of another length is no key.
    let mut decoded = [0; 18];
    key.len() == 24 && matches!(LENIENT.decode_slice(key, &mut decoded), Ok(16))
}

/// Whether a header of token lists is there and names the token looked for.
#[derive(Clone, Copy)]
enum Presence {
    Absent,
    Other,
    Named,
}

impl Presence {
    fn add(&mut self, value: &[u8], token: &str) {
        let named = value
            .split(|&byte| byte == b',')
            .any(|item| item.trim_ascii().eq_ignore_ascii_case(token.as_bytes()));
        *self = if named || matches!(self, Self::Named) {
            Self::Named
        } else {
            Self::Other
        };
    }
}

/// The header fields that matter, gathered in one pass.
struct Fields<'a> {
    upgrade: Presence,
    connection: Presence,
    version: Option<&'a [u8]>,
    key: Option<&'a [u8]>,
    protocols: SmallVec<[&'a str; 2]>,
    extensions: SmallVec<[&'a str; 1]>,
}

impl<'a> Fields<'a> {
    fn collect(headers: impl IntoIterator<Item = (&'a str, &'a [u8])>) -> Result<Self, Refusal> {
        let mut fields = Self {
            upgrade: Presence::Absent,
            connection: Presence::Absent,
            version: None,
            key: None,
            protocols: SmallVec::new(),
            extensions: SmallVec::new(),
        };
        for (name, value) in headers {
            let is = |known: &str| name.eq_ignore_ascii_case(known);
            if is("upgrade") {
                fields.upgrade.add(value, "websocket");
            } else if is("connection") {
                fields.connection.add(value, "upgrade");
            } else if is("sec-websocket-version") {
                if fields.version.replace(value.trim_ascii()).is_some() {
                    return Err(Refusal::VersionDuplicate);
                }
            } else if is("sec-websocket-key") {
                if fields.key.replace(value.trim_ascii()).is_some() {
                    return Err(Refusal::KeyDuplicate);
                }
            } else if is("sec-websocket-protocol") {
                fields.add_protocols(value)?;
            } else if is("sec-websocket-extensions") {
                fields.extensions.extend(str::from_utf8(value));
            }
        }
        Ok(fields)
    }

    fn add_protocols(&mut self, value: &'a [u8]) -> Result<(), Refusal> {
        for item in value.split(|&byte| byte == b',') {
            let name = token(item.trim_ascii()).ok_or(Refusal::ProtocolMalformed)?;
            self.protocols.push(name);
        }
        Ok(())
    }
}

/// `bytes` as a token of RFC 9110 §5.6.2, if it is one.
fn token(bytes: &[u8]) -> Option<&str> {
    let is_tchar = |&byte: &u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    if bytes.is_empty() || !bytes.iter().all(is_tchar) {
        return None;
    }
    str::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_key_of_rfc_6455_section_1_3_is_answered() {
        let key = b"dGhlIHNhbXBsZSBub25jZQ==";
        assert_eq!(&accept_key(key), b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
        assert_eq!(&client_request_key(*b"the sample nonce"), key);
        assert!(verify_accept(key, b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo="));
        assert!(!verify_accept(key, b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo"));
    }

    #[test]
    fn only_base64_of_16_bytes_is_a_key() {
        assert!(is_key(b"dGhlIHNhbXBsZSBub25jZQ=="));
        assert!(
            is_key(b"dGhlIHNhbXBsZSBub25jZR=="),
            "trailing bits are tolerated"
        );
        assert!(!is_key(b"dGhlIHNhbXBsZSBub25jZQ"));
        assert!(!is_key(b"dGhlIHNhbXBsZSBub25jZQ=A"));
        assert!(!is_key(b"dGhlIHNhbXBsZSBub25jZ123"), "18 bytes");
        assert!(!is_key(b"dGhlIHNhbXBsZSBub25j"), "15 bytes");
        assert!(!is_key(b"dGhlIHNhbXBsZSBub2 jZQ=="));
    }
}
