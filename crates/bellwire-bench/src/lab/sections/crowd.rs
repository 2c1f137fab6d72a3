//! As many connections as this machine's descriptors allow: messages to random ones, and what
//! their heartbeats cost.

use anyhow::Result;
use bellwire_bench::{Channels, Load, Order, Pace, Stream, Wire};

use super::memory::silent;
use crate::lab::{
    cycles::Effort,
    page::{Part, Table},
    rig::{Rig, authenticated, count, group, publishing},
    server::Kind,
    statistics::Spread,
};

const CONNECTIONS: usize = 18_000;
/// Seconds of messages.
const SECONDS: f64 = 20.0;
/// Seconds of heartbeats in a cycle.
const BEATS: f64 = 3.0;

pub(crate) fn measure(effort: Effort) -> Result<Part> {
    let mut part = Part::new("18,000 connections on one node");
    messages(&mut part)?;
    heartbeats(&mut part, effort)?;
    Ok(part)
}

fn messages(part: &mut Part) -> Result<()> {
    let mut rig = Rig::start(&Kind::guarded())?;
    let target = rig.server.target(Wire::Ws);
    let group = authenticated(&rig.server, target, CONNECTIONS, Channels::Own(1))?;
    let publishing = publishing(&group.target);
    rig.open(group, publishing)?;
    let slot = rig.slot(Load {
        streams: vec![Stream {
            group: 0,
            pace: Pace::Rate(1_000.0),
            order: Order::Random(7),
        }],
        seconds: SECONDS,
        busy: true,
    })?;
    let loaded = &slot.loaded;
    part.say(&format!(
        "1,000 messages a second to random ones of {CONNECTIONS} WebSockets, a user and a channel each, for \
         {SECONDS:.0} s: {} of {} delivered, {} lost, {} repeated; p50 {:.2} ms, p99 {:.2} ms, {:.1} µs of CPU \
         each.",
        loaded.deliveries,
        loaded.published,
        loaded.lost,
        loaded.repeated,
        loaded.latencies.quantile(0.5),
        loaded.latencies.quantile(0.99),
        slot.cost,
    ));
    part.verdict(
        "18,000 connections, 1,000 messages/s to random ones: 0 lost",
        &format!("{} lost of {}", loaded.lost, loaded.published),
        loaded.lost == 0 && loaded.deliveries == loaded.published,
    );
    Ok(())
}

fn heartbeats(part: &mut Part, effort: Effort) -> Result<()> {
    let beat = Kind::Bellwire(vec!["--shards", "1", "--heartbeat", "1s"]);
    let mut rigs = Vec::new();
    for kind in [Kind::Bare(vec!["--ping-every", "1000"]), beat] {
        let mut rig = Rig::start(&kind)?;
        let group = group(rig.server.target(Wire::Ws), CONNECTIONS, Channels::Own(1));
        rig.open(group, silent())?;
        rigs.push((kind, rig));
    }
    let mut costs: Vec<Vec<f64>> = vec![Vec::new(); rigs.len()];
    let mut rates = costs.clone();
    for cycle in 0..=effort.cycles {
        // Both at the same time: whoever is not answered for two heartbeats is cut.
        let mut before = Vec::new();
        for (_, rig) in &mut rigs {
            before.push(rig.server.cpu()?);
            rig.worker.begin_idle(BEATS)?;
        }
        for (nth, (_, rig)) in rigs.iter_mut().enumerate() {
            let pings = count(rig.worker.end_idle(&mut |_| {})?);
            let used = (rig.server.cpu()? - before[nth]).as_secs_f64();
            if cycle > 0 {
                costs[nth].push(used * 1e6 / pings);
                rates[nth].push(pings / BEATS);
            }
        }
    }
    let ratios = costs[1]
        .iter()
        .zip(&costs[0])
        .map(|(ours, bare)| ours / bare);
    let ratio = Spread::of(ratios.collect());
    let mut table = Table::new(&["server", "pings/s", "CPU µs per ping and pong (IQR)"]);
    for (nth, (kind, _)) in rigs.iter().enumerate() {
        table.row([
            kind.name().to_owned(),
            format!("{:.0}", Spread::of(rates[nth].clone()).median),
            Spread::of(costs[nth].clone()).with_quartiles(),
        ]);
    }
    part.say(&format!(
        "Heartbeats of {CONNECTIONS} idle WebSockets, once a second so that they can be measured (the default is \
         every 20 s), beside a bare loop that sends the same pings and reads the pongs."
    ));
    part.table(&table);
    part.at_most(
        "heartbeats of 18,000: CPU ≤ 1.3× of a bare loop's",
        1.3,
        ratio.median,
    );
    Ok(())
}
