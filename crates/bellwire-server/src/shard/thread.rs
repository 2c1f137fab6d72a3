//! Starts a shard's thread: its runtime, its core shard with its part of the engine, its listeners.

use std::{io, net::TcpListener, panic::resume_unwind, rc::Rc, sync::Arc, thread::JoinHandle};

use bellwire_core::{engine::Backplane, memory::MemoryConfig, position::Epoch, shard::Shard};
use rustix::thread::{CpuSet, sched_setaffinity};
use tokio::{
    runtime::{Builder, LocalOptions},
    sync::watch,
};

use super::{
    accept::accept,
    driver::drive,
    local::{Local, SessionGate, Shared, random_u64},
    sockets::Epoll,
};
use crate::access::{Gate, Policy};

/// Makes a shard's part of the engine.
pub(crate) type MakeEngine = fn(MemoryConfig) -> Box<dyn Backplane>;

/// What a shard is made of.
#[derive(Debug)]
pub(crate) struct ShardSeed {
    pub(crate) id: usize,
    pub(crate) shared: Arc<Shared>,
    pub(crate) policy: Arc<Policy>,
    pub(crate) epoch: Epoch,
    pub(crate) engine: MakeEngine,
    pub(crate) listener: TcpListener,
    /// The admin listener is served by the first shard.
    pub(crate) admin: Option<TcpListener>,
    /// The core to stay on, where every shard has one of its own.
    pub(crate) core: Option<usize>,
    /// Turns true when the thread is to end.
    pub(crate) ended: watch::Receiver<bool>,
}

/// Starts the thread.
///
/// # Errors
/// The operating system refuses a thread or a descriptor.
pub(crate) fn spawn(seed: ShardSeed) -> io::Result<JoinHandle<io::Result<()>>> {
    std::thread::Builder::new()
        .name(format!("shard-{}", seed.id))
        .spawn(move || run(seed))
}

fn run(seed: ShardSeed) -> io::Result<()> {
    if let Some(core) = seed.core {
        let mut cores = CpuSet::new();
        cores.set(core);
        if let Err(error) = sched_setaffinity(None, &cores) {
            tracing::warn!(%error, core, "a shard could not be bound to its core");
        }
    }
    // Other tasks are looked at between two turns of the driver, so I/O must be as well.
    let runtime = Builder::new_current_thread()
        .enable_all()
        .build_local(LocalOptions::default())?;
    runtime.block_on(serve(seed))
}

async fn serve(seed: ShardSeed) -> io::Result<()> {
    let ShardSeed {
        id,
        shared,
        policy,
        epoch,
        engine,
        listener,
        admin,
        mut ended,
        ..
    } = seed;
    let gate = Rc::new(Gate::new(policy));
    let config = &shared.config;
    let sockets = Epoll::new(config.limits.keep_alive_timeout)?;
    let engine = engine(MemoryConfig {
        shard: id,
        shards: shared.inboxes.len(),
        epoch,
        seed: random_u64(),
        namespaces: Arc::clone(&shared.settings.namespaces),
        max_channels: config.limits.max_channels,
        max_history_bytes: config.limits.history_bytes(),
        max_idempotency_keys: config.limits.max_idempotency_keys,
        max_waiting_bytes: config.limits.max_body_bytes * 2,
    });
    let shard = Shard::new(
        id,
        shared.settings.clone(),
        sockets,
        engine,
        Box::new(SessionGate {
            gate: Rc::clone(&gate),
            rates: Arc::clone(&shared.rates),
        }),
        random_u64(),
        shared.clock.now(),
    );
    let local = Local::new(id, shared, gate, shard);
    let listening = accept(&local, listener, crate::http::Listener::Main)?;
    if let Some(admin) = admin {
        drop(tokio::task::spawn_local(accept(
            &local,
            admin,
            crate::http::Listener::Admin,
        )?));
    }
    drop(tokio::task::spawn_local(listening));
    // A task of its own: waking what `block_on` polls costs a write to the runtime's eventfd.
    let driver = tokio::task::spawn_local(drive(local));
    tokio::select! {
        result = driver => result.unwrap_or_else(|failed| resume_unwind(failed.into_panic())),
        _ = ended.wait_for(|ended| *ended) => Ok(()),
    }
}
