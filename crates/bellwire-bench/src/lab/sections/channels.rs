//! Event streams of several channels: each event then has an id line of the connection's own.

use anyhow::Result;
use bellwire_bench::{Channels, Pace, Target, Wire};

use crate::lab::{
    cycles::{self, Effort, Measure, emphasized},
    page::{Part, Table},
    rig::{Rig, authenticated, count, load, publishing},
    server::Kind,
};

const SUBSCRIBERS: usize = 1_000;

pub(crate) fn measure(effort: Effort) -> Result<Part> {
    let mut part = Part::new("Event streams of several channels");
    part.say(&format!(
        "{SUBSCRIBERS} authenticated event streams, a user and a token each, all of the same channels; one \
         message outstanding, to one channel after the other. A stream of several channels carries the \
         cursor of the whole connection in each `id:` line, unless it asks for `ids=own`."
    ));
    let mut measures = Vec::new();
    for (label, channels, query) in [
        ("Bellwire, 1 channel", 1, ""),
        ("Bellwire, 8 channels", 8, ""),
        ("Bellwire, 100 channels", 100, ""),
        ("Bellwire, 8 channels, ids=own", 8, "&ids=own"),
        ("Bellwire, 100 channels, ids=own", 100, "&ids=own"),
    ] {
        let mut rig = Rig::start(&Kind::guarded())?;
        let target = Target {
            query: query.to_owned(),
            ..rig.server.target(Wire::Sse)
        };
        let group = authenticated(&rig.server, target, SUBSCRIBERS, Channels::Shared(channels))?;
        let publishing = publishing(&group.target);
        rig.open(group, publishing)?;
        measures.push(Measure {
            label: label.to_owned(),
            rig,
            load: load(Pace::Outstanding(1), effort.slot),
        });
    }
    let labels: Vec<String> = measures
        .iter()
        .map(|measure| measure.label.clone())
        .collect();
    let cycles = cycles::run(effort, measures)?;
    let mut table = Table::new(&[
        "stream",
        "CPU µs per event",
        "ratio to one channel (IQR)",
        "bytes per event",
    ]);
    for (nth, label) in labels.iter().enumerate() {
        table.row([
            emphasized(label),
            format!("{:.2}", cycles.of(nth, |slot| slot.cost).median),
            cycles.ratio(nth, |slot| slot.cost).with_quartiles(),
            format!(
                "{:.0}",
                cycles
                    .of(nth, |slot| count(slot.loaded.bytes)
                        / count(slot.loaded.deliveries))
                    .median
            ),
        ]);
    }
    part.table(&table);
    for nth in [3, 4] {
        let ratio = cycles.ratio(nth, |slot| slot.cost).median;
        part.at_most(
            &format!("{} ≤ 1.15× of one channel", labels[nth]),
            1.15,
            ratio,
        );
    }
    Ok(part)
}
