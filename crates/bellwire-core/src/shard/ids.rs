//! Texts of positions, kept for the next connection. A stream of many channels is told where it
//! stands in each of them with every event, and most of its neighbours stand where it does.

use crate::{
    channel::Channel,
    position::{Id, Position},
};

/// How many are kept: one for each value of a byte of a channel's hash.
const SLOTS: usize = 1 << 8;

/// See the module. Whoever was asked for last has the place.
#[derive(Debug, Default)]
pub(super) struct Ids {
    slots: Vec<Option<Slot>>,
}

#[derive(Clone, Copy, Debug)]
struct Slot {
    channel: u64,
    position: Position,
    id: Id,
}

impl Ids {
    /// The id of a position in a channel.
    pub(super) fn of(&mut self, channel: &Channel, position: Position) -> &Id {
        if self.slots.is_empty() {
            self.slots.resize(SLOTS, None);
        }
        let hash = channel.hash();
        let slot = &mut self.slots[usize::from(hash.to_le_bytes()[0])];
        slot.take_if(|slot| slot.channel != hash || slot.position != position);
        let slot = slot.get_or_insert_with(|| Slot {
            channel: hash,
            position,
            id: Id::new(channel, position),
        });
        &slot.id
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::position::EpochTag;

    #[test]
    fn an_id_is_that_of_its_channel_epoch_and_offset_whoever_had_the_place() {
        let mut ids = Ids::default();
        let channels: Vec<_> = (0..600)
            .map(|nth| Channel::parse(&format!("room:{nth}")).unwrap())
            .collect();
        for round in 0..6 {
            for channel in &channels {
                let position = Position {
                    epoch: EpochTag([1, 2, 3, round / 4]),
                    offset: u64::from(round / 2),
                };
                let id = ids.of(channel, position);
                assert_eq!(id.as_str(), Id::new(channel, position).as_str());
            }
        }
    }
}
