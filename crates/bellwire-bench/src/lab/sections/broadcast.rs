//! One message at a time to all subscribers of a channel, beside everybody else.

use anyhow::Result;
use bellwire_bench::{Pace, Wire, chart::Chart};

use crate::lab::{
    cycles::{self, Cycles, Effort, Measure},
    page::Part,
    rig::{Rig, load},
    server::{BARE, Kind},
};

/// Numbers of subscribers.
const SIZES: [usize; 4] = [100, 1_000, 5_000, 10_000];
/// What uWebSockets and Nchan are known to cost beside the bare loop, to 1,000 WebSockets.
const KNOWN: [(&str, f64); 2] = [("uWebSockets", 1.08), ("Nchan", 1.44)];
/// At most this beside the bare loop.
const BAR: f64 = 1.10;

/// Who takes part. Pushpin passes on 10,000 messages a second at most, so it does so among few, and
/// closes event streams at that load now and then.
fn kinds(wire: Wire, subscribers: usize) -> Vec<Kind> {
    let mut kinds = vec![
        BARE,
        Kind::bellwire(),
        Kind::Peer("uwebsockets"),
        Kind::Peer("nchan"),
    ];
    match wire {
        Wire::Ws => kinds.extend([Kind::Peer("redis"), Kind::Peer("node-ws")]),
        Wire::Sse | Wire::Poll => kinds.push(Kind::Peer("node-sse")),
    }
    if subscribers <= 1_000 {
        kinds.push(Kind::Peer("axum"));
    }
    if subscribers == 100 && wire == Wire::Ws {
        kinds.push(Kind::Peer("pushpin"));
    }
    kinds
}

pub(crate) fn measure(effort: Effort) -> Result<Part> {
    let mut part = Part::new("Broadcast, one message at a time");
    part.say(
        "One channel, one message outstanding: nothing can be gathered, so this is the cost of a send. \
         axum's streams gather messages before they flush where nobody waits; Pushpin is limited to some \
         ten thousand deliveries a second and closes event streams at that load now and then: it takes part \
         among 100 WebSockets only.",
    );
    for wire in [Wire::Ws, Wire::Sse] {
        let mut chart = Chart::new(
            &format!("CPU per delivery, {}", wire.name()),
            "subscribers",
            "µs per delivery",
        );
        for subscribers in SIZES {
            let cycles = side_by_side(effort, wire, subscribers)?;
            part.say(&format!("### {} to {subscribers}", wire.name()));
            part.table(&cycles.table());
            judge(&mut part, &cycles, wire, subscribers);
            for name in [
                "bare loop",
                "Bellwire",
                "uWebSockets",
                "Nchan",
                "node ws",
                "node http (SSE)",
            ] {
                if let Some(nth) = cycles.find(name) {
                    let cost = cycles.of(nth, |slot| slot.cost).median;
                    #[expect(clippy::cast_precision_loss, reason = "at most 10,000")]
                    chart.point(name, subscribers as f64, cost);
                }
            }
        }
        let name = format!("broadcast-{}", wire.name().to_lowercase());
        part.chart(&name, "CPU per delivery by subscribers", &chart.svg())?;
    }
    Ok(part)
}

fn side_by_side(effort: Effort, wire: Wire, subscribers: usize) -> Result<Cycles> {
    let mut measures = Vec::new();
    for kind in kinds(wire, subscribers) {
        crate::say(&format!(
            "{}: {} to {subscribers}",
            kind.name(),
            wire.name()
        ));
        let rig = Rig::broadcast(&kind, wire, subscribers)?;
        measures.push(Measure::of(
            &kind,
            rig,
            load(Pace::Outstanding(1), effort.slot),
        ));
    }
    cycles::run(effort, measures)
}

fn judge(part: &mut Part, cycles: &Cycles, wire: Wire, subscribers: usize) {
    let ratio = |nth: usize| cycles.ratio(nth, |slot| slot.cost).median;
    let Some(ours) = cycles.find("Bellwire") else {
        return;
    };
    let what = format!("{} to {subscribers}, one outstanding", wire.name());
    part.at_most(
        &format!("{what}: CPU ≤ {BAR:.2}× of the bare loop"),
        BAR,
        ratio(ours),
    );
    let ahead = [
        "uWebSockets",
        "Nchan",
        "Redis pub/sub",
        "node ws",
        "node http (SSE)",
        "Pushpin",
    ];
    let behind: Vec<String> = ahead
        .into_iter()
        .filter_map(|name| cycles.find(name).map(|nth| (name, ratio(nth))))
        .filter(|(_, other)| *other <= ratio(ours))
        .map(|(name, other)| format!("{name} {other:.2}"))
        .collect();
    part.verdict(
        &format!("{what}: ahead of every peer"),
        &if behind.is_empty() {
            "ahead of all".to_owned()
        } else {
            behind.join(", ")
        },
        behind.is_empty(),
    );
    if wire == Wire::Ws && subscribers == 1_000 {
        let shown: Vec<(String, bool)> = KNOWN
            .into_iter()
            .filter_map(|(name, known)| {
                let found = ratio(cycles.find(name)?);
                let good = (found / known - 1.0).abs() <= 0.1;
                Some((format!("{name} {found:.2}"), good))
            })
            .collect();
        let texts: Vec<&str> = shown.iter().map(|(text, _)| text.as_str()).collect();
        part.verdict(
            "the run counts: uWebSockets (1.08) or Nchan (1.44) within a tenth",
            &texts.join(", "),
            shown.iter().any(|(_, good)| *good),
        );
    }
}
