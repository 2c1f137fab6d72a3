//! The independent checker of delivery: holds what a client was told, over all of its connections,
//! against what publishers had acknowledged. It knows the delivery contract and reads ids by their
//! documented format only; it must not share code with the server, nor know how anyone connects.
//!
//! Accounts are kept by the sequence number inside of each payload, so a mistake in ids can't hide
//! a loss. Ids serve to place what has no payload: starts and gaps.

mod diary;

mod account;

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use sha2::{Digest, Sha256};

pub use self::{
    account::{Account, judge},
    diary::{Diary, GapWord},
};

/// A decoded id: the epoch part and the offset.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    tag: [u8; 4],
    offset: u64,
}

impl Place {
    /// Whether it stands for "position unknown".
    #[must_use]
    pub fn is_null(self) -> bool {
        self.tag == [0; 4]
    }
}

/// Reads an id: the channel part and the place.
#[must_use]
pub fn read_id(text: &str) -> Option<([u8; 8], Place)> {
    let raw = URL_SAFE_NO_PAD.decode(text.strip_prefix('1')?).ok()?;
    let (mark, rest) = raw.split_first_chunk::<8>()?;
    let (tag, varint) = rest.split_first_chunk::<4>()?;
    let (last, _) = varint.split_last()?;
    if varint.len() > 9 || last & 0x80 != 0 {
        return None;
    }
    let digits = varint.iter().enumerate();
    let offset = digits.fold(0, |sum, (nth, byte)| {
        sum | u64::from(byte & 0x7f) << (7 * nth)
    });
    Some((*mark, Place { tag: *tag, offset }))
}

/// The channel part of a channel's ids.
#[must_use]
pub fn channel_mark(channel: &str) -> [u8; 8] {
    let digest = Sha256::digest(channel.as_bytes());
    *digest.first_chunk().expect("SHA-256 has 32 bytes")
}

/// Everything that was acknowledged. Publications of a channel are numbered from 1, by one
/// publisher that waits for each acknowledgement.
#[derive(Debug, Default)]
pub struct Published {
    channels: BTreeMap<String, Vec<Place>>,
}

impl Published {
    /// Notes the acknowledgement of the next publication of a channel.
    ///
    /// # Panics
    /// When the id is none of the channel's.
    pub fn acknowledged(&mut self, channel: &str, id: &str) {
        let read = read_id(id).filter(|(mark, _)| *mark == channel_mark(channel));
        let (_, place) = read.unwrap_or_else(|| panic!("{id:?} is no id of {channel}"));
        let places = self.channels.entry(channel.to_owned()).or_default();
        places.push(place);
    }

    /// Adds what other publishers did to other channels.
    pub fn merge(&mut self, other: Self) {
        self.channels.extend(other.channels);
    }

    /// The number of the newest publication of a channel.
    #[must_use]
    pub fn count(&self, channel: &str) -> u64 {
        self.places(channel).len() as u64
    }

    /// All publications.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.channels
            .values()
            .map(|places| places.len() as u64)
            .sum()
    }

    fn places(&self, channel: &str) -> &[Place] {
        self.channels.get(channel).map_or(&[], Vec::as_slice)
    }

    /// The number of the last publication at or before a place, of those numbered up to `sent`.
    fn number_at(&self, channel: &str, place: Place, sent: u64) -> u64 {
        let places = self.places(channel);
        let sent = usize::try_from(sent).unwrap_or(usize::MAX);
        let known = &places[..sent.min(places.len())];
        let here = |at: &Place| at.tag == place.tag && at.offset <= place.offset;
        let number = match known.iter().rposition(here) {
            Some(before) => before + 1,
            // Before the first of its epoch, or in an epoch without publications so far.
            None => {
                let first = known.iter().position(|at| at.tag == place.tag);
                first.unwrap_or(known.len())
            }
        };
        number as u64
    }
}
