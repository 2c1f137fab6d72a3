//! How a run ends: everybody comes back and reads, and then nothing may be missing.

use super::{
    plan::{CLIENTS, way},
    run::{Run, Seen},
    way::Way,
};

impl Run {
    /// Everybody comes back and reads; then nothing may be missing.
    pub(super) fn rest(&mut self, seen: &mut Seen) -> Result<(), String> {
        for round in 0..25 {
            for n in 0..CLIENTS {
                if self.clients[n].link.is_none() {
                    let single = self.clients[n].channels.len() == 1;
                    let way = if round < 8 {
                        way(&mut self.random, single)
                    } else {
                        Way::WebSocket
                    };
                    self.connect_by(n, way);
                }
            }
            self.drain_all()?;
            self.world.advance(100);
            self.drain_all()?;
            self.step += 1;
            if round < 12 {
                self.leave_polls();
            }
        }
        self.check(seen)?;
        for client in &self.clients {
            client
                .complete()
                .map_err(|wrong| format!("{}: {wrong}", client.name))?;
        }
        Ok(())
    }

    /// Polls end, so that everybody is on a stream at the end.
    fn leave_polls(&mut self) {
        for client in &mut self.clients {
            let polls = |link: &super::client::Link| matches!(link.way, Way::Poll { .. });
            if client.link.as_ref().is_some_and(polls) && !self.random.one_in(3) {
                client.link = None;
            }
        }
    }

    fn drain_all(&mut self) -> Result<(), String> {
        for _ in 0..4_000 {
            self.world.settle();
            let mut quiet = true;
            for n in 0..CLIENTS {
                let Some(link) = &self.clients[n].link else {
                    continue;
                };
                let (shard, socket, connection) = (link.shard, link.socket, link.connection);
                let sockets = self.world.shards[shard].sockets();
                sockets.set_capacity(socket, 1 << 20);
                let writable = sockets.take_writable(socket);
                quiet &= !writable && sockets.readable(socket) == 0;
                if writable {
                    self.world
                        .with(shard, |shard, now| shard.writable(connection, now));
                }
                let read = self.clients[n].read(&mut self.world, 1 << 20);
                read.map_err(|wrong| format!("u{n}: {wrong}"))?;
                quiet &= !self.send_up(n, 1 << 20);
            }
            if quiet && self.world.busy_links().is_empty() {
                return Ok(());
            }
        }
        Err("does not come to rest".to_owned())
    }
}
