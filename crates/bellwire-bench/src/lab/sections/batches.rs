//! Publishing alone: how many publications a core takes.

use anyhow::Result;
use bellwire_bench::{Channels, Pace, Publishing, Target, Via, Wire};

use crate::lab::{
    cycles::{self, Effort, Measure},
    page::{Part, Table},
    rig::{PAYLOAD, Rig, group, load},
    server::{Kind, publisher_token},
};

pub(crate) fn measure(effort: Effort) -> Result<Part> {
    let mut part = Part::new("Publishing");
    part.say(
        "Payloads of 128 bytes to a channel without subscribers, authenticated, with the default history. Per \
         core: what a second of the server's CPU time takes.",
    );
    let mut measures = Vec::new();
    for batch in [1, 16, 100] {
        let mut rig = Rig::start(&Kind::guarded())?;
        let target = Target {
            credential: Some(publisher_token()?),
            ..rig.server.target(Wire::Ws)
        };
        let publishing = Publishing {
            connections: 8,
            via: Via::Requests,
            batch,
            payload: PAYLOAD,
        };
        rig.open(group(target, 0, Channels::Shared(1)), publishing)?;
        measures.push(Measure {
            label: format!("{batch} in a request"),
            rig,
            load: load(Pace::Free, effort.slot),
        });
    }
    let cycles = cycles::run(effort, measures)?;
    let mut table = Table::new(&[
        "",
        "CPU µs per publication",
        "publications per core and second",
    ]);
    let per_core = |nth| 1e6 / cycles.of(nth, |slot| slot.per_publication).median;
    for (nth, batch) in [1, 16, 100].iter().enumerate() {
        table.row([
            format!("{batch} in a request"),
            format!("{:.2}", cycles.of(nth, |slot| slot.per_publication).median),
            format!("{:.0}", per_core(nth)),
        ]);
    }
    part.table(&table);
    part.verdict(
        "batches of 100 × 128 bytes without subscribers: ≥ 300,000 publications/s per core",
        &format!("{:.0}", per_core(2)),
        per_core(2) >= 300_000.0,
    );
    Ok(part)
}
