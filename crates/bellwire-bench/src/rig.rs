//! A server with its own subscribers and publishers, loaded for a slot at a time.

use std::time::{Duration, Instant};

use anyhow::{Result, bail};

use crate::{
    crowd::{Crowd, Wire},
    publisher::Publishers,
    server::{Kind, Server},
};

/// Connections that publish; more than messages are ever outstanding.
const PUBLISHERS: usize = 16;
/// When a server that does not deliver is given up.
const PATIENCE: Duration = Duration::from_secs(10);

/// See the module.
pub(crate) struct Rig {
    server: Server,
    crowd: Crowd,
    publishers: Publishers,
}

/// What a slot came to.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Slot {
    /// CPU seconds of the server per million deliveries.
    pub(crate) cost: f64,
    /// Deliveries per second.
    pub(crate) rate: f64,
    /// Bytes per delivery on the wire.
    pub(crate) bytes: f64,
}

impl Rig {
    pub(crate) fn start(kind: Kind, wire: Wire, subscribers: usize) -> Result<Self> {
        let server = Server::start(kind)?;
        let channels = std::iter::repeat_n("all", subscribers);
        let crowd = Crowd::connect(server.address, wire, channels)?;
        let publishers = Publishers::connect(server.address, PUBLISHERS)?;
        Ok(Self {
            server,
            crowd,
            publishers,
        })
    }

    /// Publishes for `length` whenever fewer than `outstanding` messages are on their way to some
    /// subscriber, and waits until all were delivered.
    #[expect(clippy::cast_precision_loss, reason = "counts of a second")]
    pub(crate) fn load(&mut self, outstanding: u64, length: Duration) -> Result<Slot> {
        let (deliveries, bytes) = (self.crowd.deliveries, self.crowd.bytes);
        let mut expected = deliveries;
        let subscribers = self.crowd.len();
        let cpu = self.server.cpu()?;
        let start = Instant::now();
        loop {
            let now = Instant::now();
            let over = now >= start + length;
            let on_their_way = expected - self.crowd.deliveries;
            if over && on_their_way == 0 && self.publishers.is_quiet() {
                break;
            }
            if now > start + length + PATIENCE {
                bail!("{on_their_way} deliveries did not come");
            }
            if !over && on_their_way <= (outstanding - 1) * subscribers && self.publishers.is_free()
            {
                self.publishers.publish("all", now)?;
                expected += subscribers;
            }
            self.crowd.read::<256>(|_| {})?;
            self.publishers.answers()?;
        }
        let elapsed = start.elapsed();
        let used = self.server.cpu()? - cpu;
        let count = (self.crowd.deliveries - deliveries) as f64;
        Ok(Slot {
            cost: used.as_secs_f64() * 1e6 / count,
            rate: count / elapsed.as_secs_f64(),
            bytes: (self.crowd.bytes - bytes) as f64 / count,
        })
    }
}
