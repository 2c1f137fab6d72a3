//! Broadcasts at a fixed rate: whether a server follows, and how late its messages are.

use anyhow::Result;
use bellwire_bench::{Latencies, Pace, Wire};

use crate::lab::{
    cycles::{self, Cycles, Effort, Measure, emphasized},
    page::{Part, Table},
    rig::{Rig, count, load},
    server::{BARE, Kind},
};

const SUBSCRIBERS: usize = 1_000;
/// Seconds of a slot: enough messages for a percentile.
const SLOT: f64 = 1.5;
/// A server follows when so much of what was due has come by the end of the slot.
const FOLLOWS: f64 = 0.96;

pub(crate) fn measure(effort: Effort) -> Result<Part> {
    let mut part = Part::new("Broadcast at a fixed rate");
    part.say(
        "Open loop to 1,000 WebSockets. *In time* is the share of the deliveries that had come when the \
         last message was due; the rest was backlog. Percentiles are over all slots, the ratio of the p99 \
         is the median over the cycles.",
    );
    for (rate, base) in [(500.0, Kind::bare_per_turn()), (50.0, BARE)] {
        let kinds = [
            base,
            Kind::bellwire(),
            Kind::Peer("uwebsockets"),
            Kind::Peer("nchan"),
        ];
        let mut measures = Vec::new();
        for kind in &kinds {
            // Nchan does not follow 500 messages a second, and would need minutes to end.
            if rate > 100.0 && *kind == Kind::Peer("nchan") {
                continue;
            }
            let rig = Rig::broadcast(kind, Wire::Ws, SUBSCRIBERS)?;
            measures.push(Measure::of(kind, rig, load(Pace::Rate(rate), SLOT)));
        }
        let labels: Vec<String> = measures
            .iter()
            .map(|measure| measure.label.clone())
            .collect();
        let cycles = cycles::run(effort, measures)?;
        report(&mut part, rate, &labels, &cycles);
    }
    Ok(part)
}

fn report(part: &mut Part, rate: f64, labels: &[String], cycles: &Cycles) {
    part.say(&format!("### {rate:.0} messages a second to {SUBSCRIBERS}"));
    let mut table = Table::new(&[
        "server",
        "in time",
        "p50 ms",
        "p90 ms",
        "p99 ms",
        "p99.9 ms",
        "max ms",
        "p99 ratio (IQR)",
        "CPU ratio",
    ]);
    let p99 = |slot: &crate::lab::rig::Slot| slot.loaded.latencies.quantile(0.99);
    let in_time =
        |slot: &crate::lab::rig::Slot| count(slot.loaded.in_time) / count(slot.loaded.deliveries);
    for (nth, label) in labels.iter().enumerate() {
        let mut all = Latencies::default();
        for slot in cycles.slots(nth) {
            all.merge(&slot.loaded.latencies);
        }
        let quantile = |share| format!("{:.2}", all.quantile(share));
        table.row([
            emphasized(label),
            format!("{:.1} %", cycles.of(nth, in_time).median * 100.0),
            quantile(0.5),
            quantile(0.9),
            quantile(0.99),
            quantile(0.999),
            format!("{:.1}", all.max()),
            cycles.ratio(nth, p99).with_quartiles(),
            format!("{:.2}", cycles.ratio(nth, |slot| slot.cost).median),
        ]);
    }
    part.table(&table);
    let what = format!("{rate:.0} messages/s to {SUBSCRIBERS}");
    part.at_most(
        &format!("{what}: p99 ≤ 1.3× of the {}'s", labels[0]),
        1.3,
        cycles.ratio(1, p99).median,
    );
    let share = cycles.of(1, in_time).median;
    part.verdict(
        &format!("{what}: no backlog (≥ {:.0} % in time)", FOLLOWS * 100.0),
        &format!("{:.1} %", share * 100.0),
        share >= FOLLOWS,
    );
}
