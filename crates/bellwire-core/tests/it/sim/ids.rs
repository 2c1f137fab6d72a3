//! Ids and cursors as the documentation describes them, read by a second implementation: the
//! checker must not share code with what it checks.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use sha2::{Digest, Sha256};

/// The epoch part of an id.
pub(crate) type Tag = [u8; 4];

/// A decoded id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Place {
    pub(crate) tag: Tag,
    pub(crate) offset: u64,
}

impl Place {
    /// Whether it stands for "position unknown".
    pub(crate) fn is_null(self) -> bool {
        self.tag == [0; 4]
    }
}

/// Reads an id: the channel part and the place.
pub(crate) fn read_id(text: &str) -> Option<([u8; 8], Place)> {
    let raw = URL_SAFE_NO_PAD.decode(text.strip_prefix('1')?).ok()?;
    let (channel, rest) = raw.split_first_chunk::<8>()?;
    let (tag, varint) = rest.split_first_chunk::<4>()?;
    let mut offset = 0;
    for (nth, byte) in varint.iter().enumerate() {
        offset |= u64::from(byte & 0x7f) << (7 * nth);
    }
    (!varint.is_empty()).then_some((*channel, Place { tag: *tag, offset }))
}

/// The channel part of a channel's ids.
pub(crate) fn channel_mark(channel: &str) -> [u8; 8] {
    let digest = Sha256::digest(channel.as_bytes());
    *digest.first_chunk().expect("32 bytes")
}
