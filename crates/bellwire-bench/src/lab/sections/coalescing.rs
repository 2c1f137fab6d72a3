//! Several messages outstanding: what one send takes together.

use anyhow::Result;
use bellwire_bench::{Pace, Wire};

use crate::lab::{
    cycles::{self, Effort, Measure},
    page::Part,
    rig::{Rig, load},
    server::{BARE, Kind},
};

const SUBSCRIBERS: usize = 1_000;

pub(crate) fn measure(effort: Effort) -> Result<Part> {
    let mut part = Part::new("Broadcast, several messages outstanding");
    part.say(
        "The cost is per send, not per byte: whoever sends once what a turn of the loop brought pays a \
         fraction. The ratio is to the bare loop with one message outstanding.",
    );
    for wire in [Wire::Ws, Wire::Sse] {
        for outstanding in [8, 32] {
            let mut measures = vec![(BARE, 1)];
            measures.push((Kind::bare_per_turn(), outstanding));
            measures.push((Kind::bellwire(), outstanding));
            measures.push((Kind::Peer("uwebsockets"), outstanding));
            if wire == Wire::Ws {
                measures.push((Kind::Peer("redis"), outstanding));
            }
            let mut rigs = Vec::new();
            for (kind, outstanding) in &measures {
                let rig = Rig::broadcast(kind, wire, SUBSCRIBERS)?;
                rigs.push(Measure::of(
                    kind,
                    rig,
                    load(Pace::Outstanding(*outstanding), effort.slot),
                ));
            }
            let cycles = cycles::run(effort, rigs)?;
            part.say(&format!(
                "### {} to {SUBSCRIBERS}, {outstanding} outstanding (the bare loop's first row: one)",
                wire.name()
            ));
            part.table(&cycles.table());
            let what = format!(
                "{} to {SUBSCRIBERS}, {outstanding} outstanding",
                wire.name()
            );
            if outstanding == 8 {
                let ratio = cycles.ratio(2, |slot| slot.cost).median;
                part.at_most(
                    &format!("{what}: CPU ≤ 0.15× of the bare loop"),
                    0.15,
                    ratio,
                );
            } else {
                let share = cycles.ratio_to(1, 2, |slot| 1.0 / slot.cost).median;
                part.verdict(
                    &format!("{what}: deliveries per CPU second ≥ 0.9× of the bare loop with flush per turn"),
                    &format!("{share:.2}"),
                    share >= 0.9,
                );
            }
        }
    }
    Ok(part)
}
