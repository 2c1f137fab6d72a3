//! The slot method: all servers are up at once, each with its own subscribers, and take turns of a
//! fraction of a second. Each cycle gives one ratio to the bare loop's slot of the same cycle, so
//! that what else the machine does falls out.

use std::{
    io::{Write, stdout},
    time::Duration,
};

use anyhow::Result;

use crate::{
    crowd::Wire,
    rig::{Rig, Slot},
    server::Kind,
    statistics::Spread,
};

/// What to run.
#[derive(Debug, clap::Args)]
pub(crate) struct Plan {
    /// Subscribers of each server
    #[arg(long, default_value_t = 1_000)]
    subscribers: usize,
    /// Cycles, each with one slot of every measure
    #[arg(long, default_value_t = 15)]
    cycles: usize,
    /// Milliseconds of a slot
    #[arg(long, default_value_t = 400)]
    slot: u64,
}

/// What is measured in a cycle: whom, with how many messages outstanding. The first is what the
/// others are compared with. Each has sockets of its own, because the kernel remembers how a
/// socket was used: bursts leave other acknowledgements behind than single messages do.
const MEASURES: [(Kind, u64); 4] = [
    (Kind::Bare, 1),
    (Kind::Bellwire, 1),
    (Kind::BareFlushPerTurn, 8),
    (Kind::Bellwire, 8),
];

/// Runs all cycles over both wires and prints a table.
pub(crate) fn run(plan: &Plan) -> Result<()> {
    for wire in [Wire::WebSocket, Wire::Sse] {
        let cycles = measure(plan, wire)?;
        report(plan, wire, &cycles)?;
    }
    Ok(())
}

fn measure(plan: &Plan, wire: Wire) -> Result<Vec<Vec<Slot>>> {
    let mut rigs = Vec::new();
    for (kind, outstanding) in MEASURES {
        rigs.push((outstanding, Rig::start(kind, wire, plan.subscribers)?));
    }
    let mut cycles = Vec::new();
    // The first cycle warms up.
    for cycle in 0..=plan.cycles {
        let mut slots = Vec::new();
        for (outstanding, rig) in &mut rigs {
            slots.push(rig.load(*outstanding, Duration::from_millis(plan.slot))?);
        }
        if cycle > 0 {
            cycles.push(slots);
        }
    }
    Ok(cycles)
}

fn report(plan: &Plan, wire: Wire, cycles: &[Vec<Slot>]) -> Result<()> {
    let mut out = stdout().lock();
    writeln!(
        out,
        "\n{}, {} subscribers, {} cycles of {} ms per slot\n\n\
         | server | outstanding | CPU s/M deliveries | ratio to the bare loop (IQR) | \
         deliveries/s | bytes each |\n|---|---|---|---|---|---|",
        wire.name(),
        plan.subscribers,
        cycles.len(),
        plan.slot,
    )?;
    for (nth, (kind, outstanding)) in MEASURES.into_iter().enumerate() {
        let of = |value: fn(&Slot) -> f64| {
            Spread::of(cycles.iter().map(|slots| value(&slots[nth])).collect())
        };
        let ratio = Spread::of(
            cycles
                .iter()
                .map(|slots| slots[nth].cost / slots[0].cost)
                .collect(),
        );
        writeln!(
            out,
            "| {} | {outstanding} | {:.2} | {:.3} ({:.3}–{:.3}) | {:.0} k | {:.0} |",
            kind.name(),
            of(|slot| slot.cost).median,
            ratio.median,
            ratio.low,
            ratio.high,
            of(|slot| slot.rate).median / 1e3,
            of(|slot| slot.bytes).median,
        )?;
    }
    Ok(())
}
