//! A channel for each connection: what a publication costs that one subscriber receives.

use anyhow::Result;
use bellwire_bench::{Channels, Pace, Publishing, Via, Wire};

use crate::lab::{
    cycles::{self, Effort, Measure, emphasized, thousands},
    page::{Part, Table},
    rig::{Rig, authenticated, load, publishing},
    server::{BARE, Kind},
};

const SUBSCRIBERS: usize = 1_000;
/// Publishers, each with one request under way.
const PUBLISHERS: usize = 16;

pub(crate) fn measure(effort: Effort) -> Result<Part> {
    let mut part = Part::new("A channel for each connection");
    part.say(&format!(
        "{SUBSCRIBERS} WebSockets with a channel each; {PUBLISHERS} publishers, each with one HTTP request under \
         way (closed loop). Bellwire checks the publisher's token at every request and keeps history; the \
         others neither. Batches: sixteen publications in a request. Commands: sixteen under way on one \
         WebSocket."
    ));
    let requests = |kind: &Kind| -> Result<Measure> {
        rig(kind, Via::Requests, 1, PUBLISHERS)
            .map(|rig| Measure::of(kind, rig, load(Pace::Free, effort.slot)))
    };
    let ours = Kind::guarded();
    let mut measures = vec![requests(&BARE)?, requests(&ours)?];
    for (label, via, batch, connections) in [
        ("Bellwire, batches of 16", Via::Requests, 16, 2),
        ("Bellwire, 16 commands under way", Via::Commands(16), 1, 1),
    ] {
        measures.push(Measure {
            label: label.to_owned(),
            rig: rig(&ours, via, batch, connections)?,
            load: load(Pace::Free, effort.slot),
        });
    }
    for peer in ["uwebsockets", "nchan", "redis", "node-ws", "axum"] {
        measures.push(requests(&Kind::Peer(peer))?);
    }
    let labels: Vec<String> = measures
        .iter()
        .map(|measure| measure.label.clone())
        .collect();
    let cycles = cycles::run(effort, measures)?;
    let mut table = Table::new(&[
        "server",
        "CPU µs per publication and delivery",
        "ratio (IQR)",
        "per second",
    ]);
    for (nth, label) in labels.iter().enumerate() {
        table.row([
            emphasized(label),
            format!("{:.2}", cycles.of(nth, |slot| slot.cost).median),
            cycles.ratio(nth, |slot| slot.cost).with_quartiles(),
            thousands(cycles.of(nth, |slot| slot.rate).median),
        ]);
    }
    part.table(&table);
    let ratio = |nth| cycles.ratio(nth, |slot| slot.cost).median;
    let what = "one channel per connection";
    part.at_most(
        &format!("{what}, one POST each: CPU ≤ 1.30× of the bare server"),
        1.3,
        ratio(1),
    );
    part.at_most(&format!("{what}, batches of 16: ≤ 0.6×"), 0.6, ratio(2));
    part.at_most(
        &format!("{what}, 16 commands under way: ≤ 0.6×"),
        0.6,
        ratio(3),
    );
    Ok(part)
}

fn rig(kind: &Kind, via: Via, batch: usize, connections: usize) -> Result<Rig> {
    let mut rig = Rig::start(kind)?;
    let target = rig.server.target(Wire::Ws);
    let group = authenticated(&rig.server, target, SUBSCRIBERS, Channels::Own(1))?;
    let publishing = Publishing {
        via,
        batch,
        connections,
        payload: publishing(&group.target).payload,
    };
    rig.open(group, publishing)?;
    Ok(rig)
}
