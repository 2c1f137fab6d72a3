//! Two event loops instead of one.

use anyhow::{Context, Result};
use bellwire_bench::{Channels, Load, Order, Pace, Publishing, Stream, Via, Wire};

use crate::lab::{
    cycles::{self, Effort, Measure, emphasized},
    page::{Part, Table},
    rig::{PAYLOAD, Rig, group, load},
    server::{Kind, pin},
};

const SUBSCRIBERS: usize = 1_000;

pub(crate) fn measure(effort: Effort) -> Result<Part> {
    let mut part = Part::new("Two shards");
    part.say(
        "Two event loops on the two cores, which they share with the generator; so only CPU time counts here, \
         not rates. Broadcast to 1,000 WebSockets with one message outstanding, and 1,000 WebSockets with a \
         channel each: there half of the publications cross from the shard that took the request to the one \
         that owns the channel, and half of the deliveries to the one that has the subscriber.",
    );
    // The generator may go wherever there is room.
    pin(&[0, 1])?;
    let (measures, split) = rigs(effort)?;
    let labels: Vec<String> = measures
        .iter()
        .map(|measure| measure.label.clone())
        .collect();
    let cycles = cycles::run(effort, measures)?;
    pin(&[1])?;
    let mut table = Table::new(&["load", "server", "CPU µs per delivery", "ratio (IQR)"]);
    for (nth, label) in labels.iter().enumerate() {
        let load = if nth < 2 {
            "broadcast"
        } else {
            "a channel each"
        };
        table.row([
            load.to_owned(),
            emphasized(label),
            format!("{:.2}", cycles.of(nth, |slot| slot.cost).median),
            cycles
                .ratio_to(nth / 2 * 2, nth, |slot| slot.cost)
                .with_quartiles(),
        ]);
    }
    part.table(&table);
    let hop = cycles.of(3, |slot| slot.cost).median - cycles.of(2, |slot| slot.cost).median;
    part.say(&format!(
        "The way across costs {hop:.1} µs per publication with one subscriber, on average over those that \
         cross and those that do not."
    ));
    part.at_most(
        "two shards: CPU per delivery ≤ 1.15× of one shard's",
        1.15,
        cycles.ratio_to(0, 1, |slot| slot.cost).median,
    );
    let worst = split.iter().copied().fold(0.5, |worst: f64, share| {
        if (share - 0.5).abs() > (worst - 0.5).abs() {
            share
        } else {
            worst
        }
    });
    part.verdict(
        "two shards: connections split within 45–55 %",
        &format!("{:.1} %", worst * 100.0),
        (0.45..=0.55).contains(&worst),
    );
    part.verdict(
        "the cross-shard hop: reported",
        &format!("{hop:.1} µs"),
        true,
    );
    Ok(part)
}

/// One shard and two for each load, and how the two split their connections.
fn rigs(effort: Effort) -> Result<(Vec<Measure>, Vec<f64>)> {
    let one = Kind::Bellwire(vec!["--shards", "1"]);
    let two = Kind::Bellwire(vec!["--shards", "2"]);
    let mut measures = Vec::new();
    let mut split = Vec::new();
    for (channels, pace) in [
        (Channels::Shared(1), Pace::Outstanding(1)),
        (Channels::Own(1), Pace::Free),
    ] {
        for (kind, label) in [
            (&one, "Bellwire, one shard"),
            (&two, "Bellwire, two shards"),
        ] {
            let mut rig = Rig::start_unpinned(kind)?;
            let publishing = Publishing {
                connections: 16,
                via: Via::Requests,
                batch: 1,
                payload: PAYLOAD,
            };
            rig.open(
                group(rig.server.target(Wire::Ws), SUBSCRIBERS, channels),
                publishing,
            )?;
            if *kind == two {
                split.push(shares(&rig)?);
            }
            measures.push(Measure {
                label: label.to_owned(),
                rig,
                load: Load {
                    streams: vec![Stream {
                        group: 0,
                        pace,
                        order: Order::Turns,
                    }],
                    ..load(pace, effort.slot)
                },
            });
        }
    }
    Ok((measures, split))
}

/// The first shard's share of the connections.
fn shares(rig: &Rig) -> Result<f64> {
    let of = |shard: u32| {
        rig.server
            .metric(&format!("bellwire_shard_connections{{shard=\"{shard}\"}}"))
            .with_context(|| format!("connections of shard {shard}"))
    };
    let (first, second) = (of(0)?, of(1)?);
    Ok(first / (first + second))
}
