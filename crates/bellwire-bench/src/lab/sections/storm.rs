//! All connections cut at once: how soon they are back and have what they missed.

use anyhow::{Context, Result};
use bellwire_bench::{Channels, Publishing, Storm, Stormed, Via, Wire};

use crate::lab::{
    cycles::Effort,
    page::{Part, Table},
    rig::{PAYLOAD, Rig, group},
    server::Kind,
    statistics::Spread,
};

const CONNECTIONS: usize = 10_000;
/// Seconds in which the server notices that everybody is gone.
const AWAY: f64 = 1.5;
/// Publications that everybody misses.
const MISSED: u32 = 50;

pub(crate) fn measure(effort: Effort) -> Result<Part> {
    let mut part = Part::new("Reconnect storm");
    part.say(&format!(
        "{CONNECTIONS} connections to one channel are cut at once, miss {MISSED} messages, and come back all \
         together {AWAY} s later, each with its cursor. Seconds from then, medians of {} storms; the generator's own work \
         is part of them. *Reads of history*: how often the log was read for all of them together.",
        effort.cycles
    ));
    let mut table = Table::new(&[
        "wire",
        "99 % back",
        "all back",
        "99 % caught up",
        "all caught up",
        "lost",
        "reads of history",
    ]);
    for wire in [Wire::Ws, Wire::Sse] {
        let mut rig = Rig::start(&Kind::bellwire())?;
        let mut group = group(rig.server.target(wire), CONNECTIONS, Channels::Shared(1));
        group.at_once = 256;
        rig.open(
            group,
            Publishing {
                connections: 4,
                via: Via::Requests,
                batch: 1,
                payload: PAYLOAD,
            },
        )?;
        let (mut storms, mut reads) = (Vec::new(), Vec::new());
        for _ in 0..effort.cycles {
            let before = log_pages(&rig)?;
            let storm = Storm {
                group: 0,
                missed: MISSED,
                away: AWAY,
            };
            storms.push(rig.worker.storm(storm, &mut |_| {})?);
            reads.push(log_pages(&rig)? - before);
        }
        let of = |value: fn(&Stormed) -> f64| Spread::of(storms.iter().map(value).collect());
        let lost: u64 = storms.iter().map(|storm| storm.lost + storm.repeated).sum();
        let most_reads = reads.iter().copied().fold(0.0, f64::max);
        table.row([
            wire.name().to_owned(),
            format!("{:.2}", of(|storm| storm.back_99).median),
            format!("{:.2}", of(|storm| storm.back).median),
            format!("{:.2}", of(|storm| storm.caught_up_99).median),
            format!("{:.2}", of(|storm| storm.caught_up).median),
            lost.to_string(),
            format!("{:.0} (most: {most_reads:.0})", Spread::of(reads).median),
        ]);
        let what = format!("storm of {CONNECTIONS} over {}", wire.name());
        part.at_most(
            &format!("{what}: all caught up within 3 s"),
            3.0,
            of(|s| s.caught_up).median,
        );
        part.verdict(
            &format!("{what}: 0 lost or repeated"),
            &lost.to_string(),
            lost == 0,
        );
        part.at_most(
            &format!("{what}: history read at most once per channel"),
            1.0,
            most_reads,
        );
    }
    part.table(&table);
    Ok(part)
}

/// Pages of the log that the server has read so far.
fn log_pages(rig: &Rig) -> Result<f64> {
    rig.server
        .metric("bellwire_log_pages_total")
        .context("bellwire_log_pages_total")
}
