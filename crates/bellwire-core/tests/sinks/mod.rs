//! A shard without peers: its sockets take everything, so nothing but the shard's own work is left
//! to be measured. For the tests and benches that count; must not know what they count.

use std::{io::IoSlice, sync::Arc};

use bellwire_core::{
    access::{Access, Authenticator, Grant, Refusal},
    memory::{MemoryConfig, MemoryEngine},
    namespace::Namespaces,
    position::Epoch,
    shard::{Departure, Release, Sent, Settings, Shard, SocketKey, Sockets},
    time::Now,
};

/// When everything happens.
pub(crate) const NOW: Now = Now {
    mono: 1_000,
    wall: 1_790_000_000_000,
};

/// Sockets that take everything.
#[derive(Default)]
pub(crate) struct Sinks {
    pub(crate) bytes: usize,
}

impl Sockets for Sinks {
    fn send(&mut self, _socket: SocketKey, slices: &[IoSlice<'_>]) -> Sent {
        let offered = slices.iter().map(|slice| slice.len()).sum();
        self.bytes += offered;
        Sent::Bytes(offered)
    }

    fn resume_reading(&mut self, _socket: SocketKey) {}

    fn release(&mut self, _socket: SocketKey, _release: Release, _departure: &Departure) {}
}

struct Nobody;

impl Authenticator for Nobody {
    fn token(&self, _text: &str, _now: Now) -> Result<Arc<Access>, Refusal> {
        unreachable!("no client sends a token")
    }

    fn grant(&self, _text: &str, _access: &Access, _now: Now) -> Result<Grant, Refusal> {
        unreachable!("no client sends a grant")
    }
}

/// The only shard of a node, with the log in memory.
pub(crate) fn shard() -> Shard<Sinks> {
    shard_with(Settings::default(), Sinks::default())
}

/// The same with settings and sockets of its own.
pub(crate) fn shard_with<S: Sockets>(settings: Settings, sockets: S) -> Shard<S> {
    let engine = MemoryEngine::new(MemoryConfig {
        shard: 0,
        shards: 1,
        epoch: Epoch(1),
        seed: 7,
        namespaces: Arc::new(Namespaces::default()),
        max_channels: 1_000_000,
        max_history_bytes: 1 << 30,
        max_idempotency_keys: 100_000,
        max_waiting_bytes: 1 << 20,
    });
    let (engine, nobody) = (Box::new(engine), Box::new(Nobody));
    Shard::new(0, settings, sockets, engine, nobody, 3, NOW)
}

/// Sends everything that is to be sent.
pub(crate) fn flush<S: Sockets>(shard: &mut Shard<S>) {
    while shard.flush_step(NOW) {}
}
