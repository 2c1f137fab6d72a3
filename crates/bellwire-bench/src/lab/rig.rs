//! A server with a generator of its own, loaded for a slot at a time.

use anyhow::Result;
use bellwire_bench::{
    Channels, Dialect, Group, Load, Loaded, Order, Pace, Publishing, Stream, Target, Tokens, Via,
    Wire, Worker,
};

use super::server::{JWT_KEY, Kind, Server, publisher_token};

/// Bytes of a payload as Bellwire gets it, its quotes included.
pub(crate) const PAYLOAD: usize = 128;
/// What an envelope adds to it, for servers that forward the payload alone.
const ENVELOPE: usize = 80;

/// Connections that publish; more than messages are ever outstanding.
const PUBLISHERS: usize = 40;

/// A server with subscribers and publishers.
pub(crate) struct Rig {
    pub(crate) server: Server,
    pub(crate) worker: Worker,
}

/// What a slot came to.
#[derive(Clone, Debug)]
pub(crate) struct Slot {
    /// CPU seconds of the server per million deliveries.
    pub(crate) cost: f64,
    /// CPU seconds of the server per million publications.
    pub(crate) per_publication: f64,
    /// Deliveries per second.
    pub(crate) rate: f64,
    /// Bytes per delivery on the wire.
    pub(crate) bytes: f64,
    pub(crate) loaded: Loaded,
}

impl Rig {
    /// Starts a server and a generator without connections.
    pub(crate) fn start(kind: &Kind) -> Result<Self> {
        Ok(Self {
            server: Server::start(kind)?,
            worker: Worker::start(&["worker"])?,
        })
    }

    /// The same on whatever cores this process may use.
    pub(crate) fn start_unpinned(kind: &Kind) -> Result<Self> {
        Ok(Self {
            server: Server::start_unpinned(kind)?,
            worker: Worker::start(&["worker"])?,
        })
    }

    /// Starts a server with subscribers to one channel.
    pub(crate) fn broadcast(kind: &Kind, wire: Wire, subscribers: usize) -> Result<Self> {
        let mut rig = Self::start(kind)?;
        let group = group(rig.server.target(wire), subscribers, Channels::Shared(1));
        let publishing = publishing(&group.target);
        rig.open(group, publishing)?;
        Ok(rig)
    }

    /// Connects subscribers; returns how many seconds that took.
    pub(crate) fn open(&mut self, group: Group, publishing: Publishing) -> Result<f64> {
        self.worker.open(group, publishing, &mut |_| {})
    }

    /// Loads it and counts what the server used meanwhile.
    pub(crate) fn slot(&mut self, load: Load) -> Result<Slot> {
        let before = self.server.cpu()?;
        let mut streams = self.worker.load(load, &mut |_| {})?;
        let used = (self.server.cpu()? - before).as_secs_f64();
        let loaded = streams.swap_remove(0);
        anyhow::ensure!(
            loaded.lost == 0 && loaded.repeated == 0,
            "{} deliveries were lost and {} repeated",
            loaded.lost,
            loaded.repeated
        );
        let deliveries = count(loaded.deliveries);
        Ok(Slot {
            cost: used * 1e6 / deliveries,
            per_publication: used * 1e6 / count(loaded.published),
            rate: deliveries / loaded.seconds,
            bytes: count(loaded.bytes) / deliveries,
            loaded,
        })
    }
}

/// A count as a number to calculate with.
#[expect(clippy::cast_precision_loss, reason = "far below 2^53")]
pub(crate) fn count(number: u64) -> f64 {
    number as f64
}

/// Subscribers that come from several loopback addresses.
pub(crate) fn group(target: Target, connections: usize, channels: Channels) -> Group {
    Group {
        target,
        connections,
        channels,
        prefix: "all".to_owned(),
        tokens: Tokens::None,
        first_user: 0,
        at_once: 64,
        sources: 16,
        network: 1,
    }
}

/// The same with a user and a token each, and a token for the publisher, where the server is
/// Bellwire.
pub(crate) fn authenticated(
    server: &Server,
    mut target: Target,
    connections: usize,
    channels: Channels,
) -> Result<Group> {
    let mut tokens = Tokens::None;
    if server.is_bellwire() {
        target.credential = Some(publisher_token()?);
        tokens = Tokens::Minted(JWT_KEY.to_owned());
    }
    Ok(Group {
        tokens,
        ..group(target, connections, channels)
    })
}

/// HTTP requests, one at a time on each of some connections.
pub(crate) fn publishing(target: &Target) -> Publishing {
    let envelope = match target.dialect {
        Dialect::Nchan | Dialect::Pushpin | Dialect::Redis => ENVELOPE,
        _ => 0,
    };
    Publishing {
        connections: PUBLISHERS,
        via: Via::Requests,
        batch: 1,
        payload: PAYLOAD + envelope,
    }
}

/// Load on the first group, by a generator that never sleeps.
pub(crate) fn load(pace: Pace, seconds: f64) -> Load {
    Load {
        streams: vec![Stream {
            group: 0,
            pace,
            order: Order::Turns,
        }],
        seconds,
        busy: true,
    }
}
