//! The simulation: real shards and engines, simulated sockets, inboxes and time.
//!
//! ```text
//!  seed ─► run ─► world: shards ─► sockets ─► client: reader ─► book (checker) ◄─ ledger ◄─ tap
//! ```
//!
//! `BELLWIRE_SIM_SEED=n` replays one seed with a trace, `BELLWIRE_SIM_SEEDS=n` plays more.

pub(crate) mod bearers;

mod book;

mod client;

mod desk;

mod endings;

mod faults;

pub(crate) mod ids;

pub(crate) mod ledger;

mod random;

pub(crate) mod reader;

mod plan;

mod rest;

mod run;

mod sessions;

pub(crate) mod sockets;

pub(crate) mod tap;

mod way;

mod world;

use self::{faults::Fault, run::play};

/// Seeds played in CI; each planted fault is found within them.
const SEEDS: u64 = 300;

fn from_environment(name: &str) -> Option<u64> {
    #[expect(
        clippy::disallowed_methods,
        reason = "replays are asked for from outside"
    )]
    let text = std::env::var(name).ok()?;
    Some(text.parse().expect("a number"))
}

#[test]
fn every_seed_keeps_the_delivery_contract() {
    if let Some(seed) = from_environment("BELLWIRE_SIM_SEED") {
        let outcome = play(seed, None, true);
        panic_with(seed, outcome.map(drop));
        return;
    }
    let mut total = run::Seen::default();
    for seed in 0..from_environment("BELLWIRE_SIM_SEEDS").unwrap_or(SEEDS) {
        match play(seed, None, false) {
            Ok(seen) => total.add(&seen),
            Err(wrong) => panic_with(seed, Err(wrong)),
        }
    }
    // What the seeds are for has to happen in them.
    assert!(total.received > 10_000, "{total:?}");
    assert!(
        total.shrunk > 100 && total.blocked > 100 && total.pages > 100,
        "{total:?}"
    );
    for reason in ["retention", "epoch_changed", "slow_consumer", "limit"] {
        assert!(
            total.gaps.contains_key(reason),
            "no gap {reason}: {total:?}"
        );
    }
}

fn panic_with(seed: u64, outcome: Result<(), String>) {
    if let Err(wrong) = outcome {
        panic!(
            "seed {seed}: {wrong}\nreplay: BELLWIRE_SIM_SEED={seed} \
             cargo test -p bellwire-core --test it every_seed -- --nocapture"
        );
    }
}

#[test]
fn every_planted_fault_is_found() {
    for fault in Fault::ALL {
        let found = (0..SEEDS).find_map(|seed| play(seed, Some(fault), false).err());
        assert!(found.is_some(), "{fault:?} was not found in {SEEDS} seeds");
    }
}
