//! Messages to single subscribers, while broadcasts to very many run on the same core.

use anyhow::Result;
use bellwire_bench::{Channels, Group, Load, Loaded, Order, Pace, Stream, Wire};

use crate::lab::{
    cycles::{Effort, emphasized},
    page::{Part, Table},
    rig::{Rig, group, publishing},
    server::Kind,
    statistics::Spread,
};

const CROWD: usize = 10_000;
const SINGLES: usize = 100;
/// Seconds of a round.
const ROUND: f64 = 2.0;
/// Seconds between the rounds of two servers.
const SILENCE: f64 = 1.0;

pub(crate) fn measure(effort: Effort) -> Result<Part> {
    let mut part = Part::new("Single messages beside a broadcast");
    part.say(&format!(
        "300 messages a second to {SINGLES} WebSockets with a channel each, open loop, while four broadcasts a \
         second go to {CROWD} others on the same core. Medians over {} rounds of {ROUND:.0} s, servers in \
         turns, a second apart; Bellwire with its heartbeats, the peers without any. *Pause* is the longest \
         time for which the generator itself did not run: a machine with other work measures that work.",
        effort.cycles
    ));
    let kinds = [
        Kind::bellwire(),
        Kind::Peer("uwebsockets"),
        Kind::Peer("nchan"),
        Kind::Peer("node-ws"),
    ];
    let mut rigs = Vec::new();
    for kind in &kinds {
        rigs.push(rig(kind)?);
    }
    let mut rounds: Vec<Vec<Vec<Loaded>>> = vec![Vec::new(); kinds.len()];
    for round in 0..=effort.cycles {
        for (rig, rounds) in rigs.iter_mut().zip(&mut rounds) {
            // What the server before has left to do, such as collecting garbage, is not ours.
            rig.worker.idle(SILENCE, &mut |_| {})?;
            let loaded = rig.worker.load(load(), &mut |_| {})?;
            // The first round warms up.
            if round > 0 {
                rounds.push(loaded);
            }
        }
    }
    let mut table = Table::new(&[
        "server",
        "single p50 ms",
        "single p99 ms (IQR)",
        "broadcast p50 ms",
        "broadcast p99 ms",
        "pause ms",
    ]);
    let figure = |nth: usize, value: &dyn Fn(&Vec<Loaded>) -> f64| {
        Spread::of(rounds[nth].iter().map(value).collect())
    };
    for (nth, kind) in kinds.iter().enumerate() {
        table.row([
            emphasized(kind.name()),
            format!(
                "{:.2}",
                figure(nth, &|round| round[0].latencies.quantile(0.5)).median
            ),
            figure(nth, &|round| round[0].latencies.quantile(0.99)).with_quartiles(),
            format!(
                "{:.0}",
                figure(nth, &|round| round[1].latencies.quantile(0.5)).median
            ),
            format!(
                "{:.0}",
                figure(nth, &|round| round[1].latencies.quantile(0.99)).median
            ),
            format!("{:.1}", figure(nth, &|round| round[0].pause).median),
        ]);
    }
    part.table(&table);
    let p99 = |nth| figure(nth, &|round| round[0].latencies.quantile(0.99)).median;
    part.verdict(
        "single messages beside broadcasts to 10,000: p99 ≤ 3 ms, or ≤ 1/20 of uWebSockets'",
        &format!("{:.2} ms (uWebSockets {:.0} ms)", p99(0), p99(1)),
        p99(0) <= 3.0 || p99(0) <= p99(1) / 20.0,
    );
    Ok(part)
}

fn rig(kind: &Kind) -> Result<Rig> {
    let mut rig = Rig::start(kind)?;
    let target = rig.server.target(Wire::Ws);
    let singles = Group {
        prefix: "one".to_owned(),
        ..group(target.clone(), SINGLES, Channels::Own(1))
    };
    let crowd = group(target.clone(), CROWD, Channels::Shared(1));
    rig.open(singles, publishing(&target))?;
    rig.open(crowd, publishing(&target))?;
    Ok(rig)
}

fn load() -> Load {
    let stream = |group, rate| Stream {
        group,
        pace: Pace::Rate(rate),
        order: Order::Turns,
    };
    Load {
        streams: vec![stream(0, 300.0), stream(1, 4.0)],
        seconds: ROUND,
        busy: true,
    }
}
