//! Whether cost grows linearly: with connections, and with subscriptions of each.

use anyhow::Result;
use bellwire_bench::{Channels, Pace, Wire, chart::Chart, process};

use super::memory::silent;
use crate::lab::{
    cycles::Effort,
    page::{Part, Table},
    rig::{Rig, count, group, load, publishing},
    server::Kind,
    statistics::Spread,
};

const SIZES: [usize; 6] = [100, 1_000, 3_000, 6_000, 10_000, 18_000];
const SUBSCRIPTIONS: [usize; 3] = [1, 10, 100];
/// Connections with several subscriptions.
const MANY: usize = 2_000;

pub(crate) fn measure(effort: Effort) -> Result<Part> {
    let mut part = Part::new("Growth");
    part.say("Cost against the number of connections, and against the subscriptions of each.");
    let mut cpu = Chart::new(
        "CPU per delivery",
        "WebSockets to one channel",
        "µs per delivery",
    );
    let mut memory = Chart::new(
        "Memory of the server",
        "WebSockets with a channel each",
        "MB",
    )
    .linear();
    let mut table = Table::new(&["WebSockets", "CPU µs per delivery (IQR)", "bytes each"]);
    for connections in SIZES {
        let mut rig = Rig::broadcast(&Kind::bellwire(), Wire::Ws, connections)?;
        let cost = cost(&mut rig, effort)?;
        let bytes = idle(connections, 1)?;
        table.row([
            connections.to_string(),
            cost.with_quartiles(),
            format!("{bytes:.0}"),
        ]);
        let x = count(connections as u64);
        cpu.point("Bellwire", x, cost.median);
        memory.point("Bellwire", x, bytes * x / 1e6);
    }
    part.table(&table);
    part.chart("growth-cpu", "CPU per delivery by connections", &cpu.svg())?;
    part.chart("growth-memory", "memory by connections", &memory.svg())?;
    subscriptions(&mut part, effort)?;
    Ok(part)
}

fn subscriptions(part: &mut Part, effort: Effort) -> Result<()> {
    let mut chart = Chart::new(
        "Memory of a connection",
        "subscriptions of a WebSocket, channels of its own",
        "bytes",
    )
    .linear();
    let mut table = Table::new(&[
        "subscriptions of each",
        "bytes each",
        "CPU µs per delivery, one channel of them after the other",
    ]);
    let mut each = Vec::new();
    for subscriptions in SUBSCRIPTIONS {
        let bytes = idle(MANY, subscriptions)?;
        let mut rig = Rig::start(&Kind::bellwire())?;
        let target = rig.server.target(Wire::Ws);
        let publishing = publishing(&target);
        rig.open(
            group(target, 1_000, Channels::Shared(subscriptions)),
            publishing,
        )?;
        let cost = cost(&mut rig, effort)?;
        table.row([
            subscriptions.to_string(),
            format!("{bytes:.0}"),
            cost.with_quartiles(),
        ]);
        chart.point("Bellwire", count(subscriptions as u64), bytes);
        each.push((count(subscriptions as u64), bytes, cost.median));
    }
    part.table(&table);
    part.chart(
        "growth-subscriptions",
        "memory by subscriptions",
        &chart.svg(),
    )?;
    let per_subscription =
        |from: usize, to: usize| (each[to].1 - each[from].1) / (each[to].0 - each[from].0);
    part.verdict(
        "memory grows linearly with subscriptions (1 → 10 → 100)",
        &format!(
            "{:.0} and {:.0} bytes each",
            per_subscription(0, 1),
            per_subscription(1, 2)
        ),
        per_subscription(1, 2) <= per_subscription(0, 1) * 1.25,
    );
    part.at_most(
        "CPU per delivery with 100 subscriptions beside 1: ≤ 1.25×",
        1.25,
        each[2].2 / each[0].2,
    );
    Ok(())
}

/// CPU per delivery with one message outstanding, over the slots.
fn cost(rig: &mut Rig, effort: Effort) -> Result<Spread> {
    let mut costs = Vec::new();
    // The first slot warms up.
    for cycle in 0..=effort.cycles {
        let slot = rig.slot(load(Pace::Outstanding(1), effort.slot))?;
        if cycle > 0 {
            costs.push(slot.cost);
        }
    }
    Ok(Spread::of(costs))
}

/// Bytes of an idle WebSocket among so many.
fn idle(connections: usize, subscriptions: usize) -> Result<f64> {
    let mut rig = Rig::start(&Kind::bellwire())?;
    let target = rig.server.target(Wire::Ws);
    let mut first = group(target.clone(), 100, Channels::Own(subscriptions));
    first.prefix = "first".to_owned();
    rig.open(first, silent())?;
    let before = process::memory(rig.server.pid())?.pss;
    rig.open(
        group(target, connections, Channels::Own(subscriptions)),
        silent(),
    )?;
    let after = process::memory(rig.server.pid())?.pss;
    Ok(count(after.saturating_sub(before)) / count(connections as u64))
}
