//! What a shard shows of itself to operators.

use super::{Connection, ConnectionInfo, Gauges, Shard, Sockets, Stats, connection::Output};
use crate::{
    channel::{Channel, UserId},
    engine::ChannelRecord,
    time::Now,
    usage::Usage,
};

impl<S: Sockets> Shard<S> {
    /// Counters since the start.
    #[must_use]
    pub fn stats(&self) -> Stats {
        Stats {
            compressions: self.stats.compressions + self.flush.spare.compressors.count(),
            ..self.stats.clone()
        }
    }

    /// What the shard holds now.
    #[must_use]
    pub fn gauges(&self) -> Gauges {
        let mut gauges = Gauges {
            channels: self.channels.len(),
            catchup_bytes: self.flush.catchup_held,
            ..Gauges::default()
        };
        for (_, connection) in &self.connections {
            gauges.connections[connection.name.transport as usize] += 1;
            gauges.subscriptions += connection.subscriptions.len();
            gauges.output_bytes += connection.waiting_output().map_or(0, Output::own_bytes);
        }
        gauges
    }

    /// How many connections there are.
    #[must_use]
    pub fn connection_count(&self) -> usize {
        self.connections.len()
    }

    /// The connections of a user, of a channel, or all, in no order.
    #[must_use]
    pub fn list_connections(
        &self,
        user: Option<&str>,
        channel: Option<&Channel>,
        now: Now,
    ) -> Vec<ConnectionInfo> {
        let channel = channel.map(|channel| self.channels.find(channel));
        self.connections
            .iter()
            .map(|(_, connection)| connection)
            .filter(|found| user.is_none() || found.access.user().map(UserId::as_str) == user)
            .filter(|found| match channel {
                None => true,
                Some(entry) => found
                    .subscriptions
                    .iter()
                    .any(|sub| Some(sub.channel) == entry),
            })
            .map(|connection| self.describe(connection, now))
            .collect()
    }

    fn describe(&self, connection: &Connection, now: Now) -> ConnectionInfo {
        let entries = || {
            connection
                .subscriptions
                .iter()
                .map(|sub| (sub, &self.channels[sub.channel]))
        };
        ConnectionInfo {
            id: connection.name.id,
            socket: connection.name.socket,
            access: connection.access.clone(),
            transport: connection.name.transport,
            age_ms: now.mono.saturating_sub(connection.clock.opened.ms()),
            channels: entries().map(|(_, entry)| entry.channel.clone()).collect(),
            lag: entries()
                .filter(|(sub, entry)| sub.is_live() && sub.cursor() < entry.head)
                .count(),
        }
    }

    /// Records of the channels whose home is this shard.
    #[must_use]
    pub fn list_records(
        &self,
        prefix: &str,
        after: Option<&str>,
        limit: usize,
    ) -> Vec<ChannelRecord> {
        self.link.backplane.list(prefix, after, limit)
    }

    /// Channels with local subscribers, by name: those after `after` that begin with `prefix`,
    /// at most `limit`, with the number of subscribers.
    #[must_use]
    pub fn list_subscribed(
        &self,
        prefix: &str,
        after: Option<&str>,
        limit: usize,
    ) -> Vec<(Channel, usize)> {
        let mut found: Vec<_> = self
            .channels
            .iter()
            .filter(|entry| entry.channel.as_str().starts_with(prefix))
            .filter(|entry| after.is_none_or(|after| entry.channel.as_str() > after))
            .map(|entry| (entry.channel.clone(), entry.subscribers.len()))
            .collect();
        found.sort_by(|(a, _), (b, _)| a.as_str().cmp(b.as_str()));
        found.truncate(limit);
        found
    }

    /// What the engine holds for this shard.
    #[must_use]
    pub fn usage(&self) -> Usage {
        self.link.backplane.usage()
    }
}
