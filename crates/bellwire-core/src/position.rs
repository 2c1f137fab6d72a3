//! Where something stands in a channel's log, and the id that says so in text.
//!
//! An id is one version character followed by base64url of 8 bytes of SHA-256(channel), 4 bytes
//! of a hash of (engine epoch, channel) and the offset as a varint: at most 29 characters. The
//! epoch part is bound to the name, so a colliding id never yields another channel's position.

use std::fmt;

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use sha2::{Digest, Sha256};

use crate::channel::Channel;

/// The version of ids and cursors written by this release.
pub const ID_VERSION: u8 = b'1';
/// The longest id in bytes.
pub const MAX_ID_BYTES: usize = 29;
/// The highest offset: nine bytes of varint.
pub const MAX_OFFSET: u64 = (1 << 63) - 1;

/// What an engine instance is called; offsets never restart within it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Epoch(pub u64);

impl Epoch {
    /// This epoch as it appears in the ids of one channel.
    #[must_use]
    pub fn tag(self, channel: &Channel) -> EpochTag {
        let digest = Sha256::new()
            .chain_update(self.0.to_be_bytes())
            .chain_update(channel.as_str().as_bytes())
            .finalize();
        let tag = [digest[0], digest[1], digest[2], digest[3]];
        // All zeros is the null id; one epoch in 2^32 gives its place to its neighbour.
        EpochTag(if tag == [0; 4] { [0, 0, 0, 1] } else { tag })
    }
}

/// An epoch as it appears in the ids of one channel. Zero stands for "position unknown".
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct EpochTag(pub [u8; 4]);

impl EpochTag {
    /// The tag of a null id.
    pub const NULL: Self = Self([0; 4]);
}

/// A place in a channel's log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Position {
    /// Whose counting this is.
    pub epoch: EpochTag,
    /// Increasing within the epoch, not dense.
    pub offset: u64,
}

/// A position as text.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Id {
    bytes: [u8; MAX_ID_BYTES],
    len: u8,
}

impl Id {
    /// The id of a position in a channel.
    #[must_use]
    pub fn new(channel: &Channel, position: Position) -> Self {
        let mut raw = [0; 21];
        raw[..8].copy_from_slice(&channel.hash().to_be_bytes());
        raw[8..12].copy_from_slice(&position.epoch.0);
        let mut rest = position.offset.min(MAX_OFFSET);
        let mut end = 12;
        loop {
            let low = (rest & 0x7f) as u8;
            rest >>= 7;
            raw[end] = if rest == 0 { low } else { low | 0x80 };
            end += 1;
            if rest == 0 {
                break;
            }
        }
        let mut bytes = [0; MAX_ID_BYTES];
        bytes[0] = ID_VERSION;
        let written = URL_SAFE_NO_PAD
            .encode_slice(&raw[..end], &mut bytes[1..])
            .expect("21 bytes are at most 28 characters");
        Self {
            bytes,
            len: u8::try_from(written + 1).expect("at most 29"),
        }
    }

    /// The id that stands for "position unknown" in a channel.
    #[must_use]
    pub fn null(channel: &Channel) -> Self {
        Self::new(
            channel,
            Position {
                epoch: EpochTag::NULL,
                offset: 0,
            },
        )
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(self.as_bytes()).expect("base64url is ASCII")
    }

    /// The text as bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes[..usize::from(self.len)]
    }

    /// Reads one segment of a cursor: the channel hash and the position, or nothing where it is
    /// not an id of a known version.
    #[must_use]
    pub fn decode(segment: &str) -> Option<(u64, Position)> {
        let text = segment.as_bytes();
        if text.len() > MAX_ID_BYTES || text.first() != Some(&ID_VERSION) {
            return None;
        }
        let mut raw = [0; 21];
        let len = URL_SAFE_NO_PAD.decode_slice(&text[1..], &mut raw).ok()?;
        let hash = u64::from_be_bytes(raw.get(..8)?.try_into().ok()?);
        let epoch = EpochTag(raw.get(8..12)?.try_into().ok()?);
        let offset = decode_varint(raw.get(12..len)?)?;
        Some((hash, Position { epoch, offset }))
    }
}

fn decode_varint(bytes: &[u8]) -> Option<u64> {
    let (last, rest) = bytes.split_last()?;
    // The shortest form only, so that a position has one id.
    if bytes.len() > 9 || last & 0x80 != 0 || (*last == 0 && !rest.is_empty()) {
        return None;
    }
    let mut offset = 0;
    for (i, byte) in bytes.iter().enumerate() {
        if i < rest.len() && byte & 0x80 == 0 {
            return None;
        }
        offset |= u64::from(byte & 0x7f) << (7 * i);
    }
    Some(offset)
}

impl fmt::Display for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Id({})", self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_offset_has_one_id_of_at_most_29_characters() {
        let channel = Channel::parse("news").unwrap();
        let epoch = Epoch(7).tag(&channel);
        for offset in [
            0,
            1,
            127,
            128,
            300,
            1 << 32,
            1_790_000_000_000_000,
            MAX_OFFSET,
        ] {
            let position = Position { epoch, offset };
            let id = Id::new(&channel, position);
            assert!(id.as_str().len() <= MAX_ID_BYTES);
            assert_eq!(Id::decode(id.as_str()), Some((channel.hash(), position)));
        }
    }

    #[test]
    fn what_is_not_an_id_decodes_to_nothing() {
        let channel = Channel::parse("news").unwrap();
        let good = Id::new(
            &channel,
            Position {
                epoch: Epoch(7).tag(&channel),
                offset: 3,
            },
        );
        let mut other_version = good.as_str().to_owned();
        other_version.replace_range(0..1, "2");
        for bad in [
            "",
            "1",
            "latest",
            "1AAAA",
            &other_version,
            "1****************",
            &"1".repeat(64),
        ] {
            assert_eq!(Id::decode(bad), None, "{bad}");
        }
    }
}
