//! The slot method: all servers are up at once, each with its own subscribers, and take turns of a
//! fraction of a second. Each cycle gives one ratio to the slot of the first measure in the same
//! cycle, so that what else the machine does falls out.

use anyhow::{Context, Result};
use bellwire_bench::Load;

use super::{
    page::Table,
    rig::{Rig, Slot},
    server::Kind,
    statistics::Spread,
};

/// How long everything is measured.
#[derive(Clone, Copy, Debug, clap::Args)]
pub(crate) struct Effort {
    /// Cycles, each with one slot of every measure
    #[arg(long, default_value_t = 10)]
    pub(crate) cycles: usize,
    /// Seconds of a slot
    #[arg(long, default_value_t = 0.3)]
    pub(crate) slot: f64,
}

/// Whom to measure, and how.
pub(crate) struct Measure {
    pub(crate) label: String,
    pub(crate) rig: Rig,
    pub(crate) load: Load,
}

impl Measure {
    /// A measure named after its server.
    pub(crate) fn of(kind: &Kind, rig: Rig, load: Load) -> Self {
        Self {
            label: kind.name().to_owned(),
            rig,
            load,
        }
    }
}

/// What the cycles came to.
pub(crate) struct Cycles {
    labels: Vec<String>,
    /// By cycle, then by measure.
    slots: Vec<Vec<Slot>>,
}

/// Runs the cycles. Each measure has sockets of its own, because the kernel remembers how a socket
/// was used: bursts leave other acknowledgements behind than single messages do.
pub(crate) fn run(effort: Effort, mut measures: Vec<Measure>) -> Result<Cycles> {
    let mut cycles = Vec::new();
    // The first cycle warms up.
    for cycle in 0..=effort.cycles {
        let mut slots = Vec::new();
        for measure in &mut measures {
            let slot = measure.rig.slot(measure.load.clone());
            slots.push(slot.with_context(|| measure.label.clone())?);
        }
        if cycle > 0 {
            cycles.push(slots);
        }
    }
    Ok(Cycles {
        labels: measures.into_iter().map(|measure| measure.label).collect(),
        slots: cycles,
    })
}

impl Cycles {
    /// A figure of a measure over the cycles.
    pub(crate) fn of(&self, nth: usize, value: impl Fn(&Slot) -> f64) -> Spread {
        Spread::of(self.slots.iter().map(|slots| value(&slots[nth])).collect())
    }

    /// The same as a ratio to the first measure's in the same cycle.
    pub(crate) fn ratio(&self, nth: usize, value: impl Fn(&Slot) -> f64) -> Spread {
        self.ratio_to(0, nth, value)
    }

    /// The same as a ratio to another measure's.
    pub(crate) fn ratio_to(&self, base: usize, nth: usize, value: impl Fn(&Slot) -> f64) -> Spread {
        let ratios = self
            .slots
            .iter()
            .map(|slots| value(&slots[nth]) / value(&slots[base]));
        Spread::of(ratios.collect())
    }

    /// The place of a measure.
    pub(crate) fn find(&self, label: &str) -> Option<usize> {
        self.labels.iter().position(|known| known == label)
    }

    /// All slots of a measure.
    pub(crate) fn slots(&self, nth: usize) -> impl Iterator<Item = &Slot> {
        self.slots.iter().map(move |slots| &slots[nth])
    }

    /// CPU, ratio, rate and size of every measure.
    pub(crate) fn table(&self) -> Table {
        let mut table = Table::new(&[
            "server",
            "CPU s per million deliveries",
            "ratio (IQR)",
            "deliveries/s",
            "deliveries per read",
            "bytes each",
        ]);
        for (nth, label) in self.labels.iter().enumerate() {
            table.row([
                emphasized(label),
                format!("{:.2}", self.of(nth, |slot| slot.cost).median),
                self.ratio(nth, |slot| slot.cost).with_quartiles(),
                thousands(self.of(nth, |slot| slot.rate).median),
                format!("{:.1}", self.of(nth, deliveries_per_read).median),
                format!("{:.0}", self.of(nth, |slot| slot.bytes).median),
            ]);
        }
        table
    }
}

fn deliveries_per_read(slot: &Slot) -> f64 {
    use super::rig::count;
    count(slot.loaded.deliveries) / count(slot.loaded.reads.max(1))
}

/// Our own rows stand out.
pub(crate) fn emphasized(label: &str) -> String {
    if label.starts_with("Bellwire") {
        format!("**{label}**")
    } else {
        label.to_owned()
    }
}

/// `1,234 k`.
pub(crate) fn thousands(number: f64) -> String {
    let whole = format!("{:.0}", number / 1e3);
    let (head, tail) = whole.split_at(whole.len().saturating_sub(3));
    if head.is_empty() {
        format!("{tail} k")
    } else {
        format!("{head},{tail} k")
    }
}
