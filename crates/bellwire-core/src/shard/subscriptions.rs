//! What a connection's subscriptions say together, and how single ones end.

use super::{
    Shard, Sockets,
    attach::join,
    connection::{Ix, Phase},
};
use crate::{
    channel::Channel,
    engine::{Request, Token},
    position::{Id, Position},
};

impl<S: Sockets> Shard<S> {
    /// The cursor of the whole connection, as far as it was sent. Empty before `hello`: gaps that
    /// were found are not said yet, so the client's own cursor is still the right one.
    pub(super) fn cursor_of(&self, ix: Ix) -> String {
        let connection = &self.connections[ix as usize];
        if let Some(Phase::Attaching(_)) = connection.phase.as_deref() {
            return String::new();
        }
        let ids: Vec<Id> = connection
            .subscriptions
            .iter()
            .filter(|subscription| subscription.is_live())
            .map(|subscription| {
                let entry = &self.channels[subscription.channel];
                let at = Position {
                    epoch: entry.epoch,
                    offset: subscription.cursor(),
                };
                Id::new(&entry.channel, at)
            })
            .collect();
        join(&ids)
    }

    /// Which of a connection's subscriptions reads this channel.
    pub(super) fn subscription_to(&self, ix: Ix, channel: &Channel) -> Option<usize> {
        let entry = self.channels.find(channel)?;
        let subscriptions = &self.connections[ix as usize].subscriptions;
        subscriptions
            .iter()
            .position(|subscription| subscription.channel == entry)
    }

    /// Ends one subscription; the channel's last one withdraws the shard's interest.
    pub(super) fn unsubscribe(&mut self, ix: Ix, nth: usize) {
        let connection = &mut self.connections[ix as usize];
        let gone = connection.subscriptions.swap_remove(nth);
        if let Some(moved) = connection.subscriptions.get(nth) {
            self.channels[moved.channel].subscribers[moved.slot as usize].nth =
                u32::try_from(nth).expect("at most 128");
        }
        let entry = &mut self.channels[gone.channel];
        let slot = gone.slot as usize;
        entry.subscribers.swap_remove(slot);
        if let Some(moved) = entry.subscribers.get(slot).copied() {
            let other = &mut self.connections[moved.connection as usize];
            other.subscriptions[moved.nth as usize].slot = gone.slot;
            // A pass that was beyond this slot would miss the subscriber that moved into it.
            if gone.slot < entry.pass.at {
                self.make_ready(moved.connection);
            }
        }
        if self.channels[gone.channel].subscribers.is_empty() {
            self.abandon(gone.channel);
        }
    }

    /// Drops a channel without subscribers.
    fn abandon(&mut self, entry_ix: Ix) {
        let mut entry = self.channels.remove(entry_ix);
        entry.retire_tail(&mut self.flush.spare);
        if let Some(pages) = &mut entry.pages {
            self.flush.catchup_held -= pages.clear(&mut self.flush.spare);
        }
        if entry.pass.confirm {
            let (channel, head) = (&entry.channel, entry.head);
            self.link
                .backplane
                .flushed(channel, head, self.now, &mut self.link.remote);
        }
        let token = Token(u64::MAX);
        let request = Request::Detach {
            channel: entry.channel,
        };
        self.link
            .backplane
            .submit(token, request, self.now, &mut self.link.remote);
    }
}
