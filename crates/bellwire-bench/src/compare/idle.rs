//! What the server takes where nothing happens: CPU time without clients, and memory for idle ones.
//!
//! All idle clients stay connected until the last are measured: what a server frees it keeps for
//! the next, and those that came later would seem to take nothing.

use std::{thread, time::Duration};

use anyhow::{Context, Result};

use super::{AT_ONCE, Comparison, Transport};
use crate::{
    process,
    worker::{idle, share},
};

/// CPU seconds per second of a server without clients: its clock, and whoever else it serves.
pub(super) fn cpu(plan: &Comparison, pid: u32, progress: &mut dyn FnMut(&str, f64)) -> Result<f64> {
    progress("the server by itself", 0.0);
    let before = process::cpu(pid)?;
    thread::sleep(Duration::from_secs_f64(plan.seconds));
    Ok((process::cpu(pid)? - before).as_secs_f64() / plan.seconds)
}

/// Bytes per client, in the order of [`Transport::ALL`].
pub(super) fn memory(
    plan: &Comparison,
    pid: u32,
    progress: &mut dyn FnMut(&str, f64),
) -> Result<[f64; Transport::ALL.len()]> {
    let pss = || process::memory(pid).map(|memory| memory.pss);
    // Everybody has polled twice.
    let settle = 2.0 * plan.interval;
    let mut parties = Vec::new();
    // What is taken once, however many clients there are, is taken by these.
    for transport in Transport::ALL {
        parties.push(plan.open(transport, "idle", AT_ONCE, 0)?);
    }
    idle(&mut parties, settle, |_| {})?;
    let mut found = [0.0; Transport::ALL.len()];
    for (nth, transport) in Transport::ALL.into_iter().enumerate() {
        progress("memory of idle clients", share(nth, found.len()));
        let before = pss()?;
        let party = plan
            .open(transport, "idle", plan.idle_clients, 0)
            .with_context(|| format!("{} idle clients", transport.name()))?;
        parties.push(party);
        idle(&mut parties, settle, |_| {})?;
        #[expect(clippy::cast_precision_loss, reason = "bytes of memory")]
        let growth = pss()?.saturating_sub(before) as f64;
        found[nth] = growth * share(1, plan.idle_clients);
    }
    Ok(found)
}
