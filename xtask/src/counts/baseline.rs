//! The counts that are kept with the code, and what becomes of new ones beside them. Pure: who
//! counts, reads and writes is next door.

use std::{collections::BTreeMap, fmt};

use anyhow::Result;
use serde::{Deserialize, Serialize};

/// Per cent above the baseline that are let pass, and below it that are not worth a word.
const TOLERANCE: u64 = 5;

/// What a scenario took.
#[derive(Debug)]
pub(super) struct Count {
    pub(super) name: String,
    /// Instructions per unit.
    pub(super) each: u64,
    pub(super) unit: String,
    pub(super) function: String,
}

impl fmt::Display for Count {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            name, each, unit, ..
        } = self;
        write!(f, "{name:<20} {each:>8} instructions per {unit}")
    }
}

/// The file.
#[derive(Debug, Deserialize, Serialize)]
pub(super) struct Baseline {
    /// Compiler and counter, which a difference may come from.
    made_with: String,
    /// Instructions per unit, by scenario.
    instructions: BTreeMap<String, u64>,
}

impl Baseline {
    pub(super) fn new(made_with: String, counted: &[Count]) -> Self {
        let pairs = counted.iter().map(|count| (count.name.clone(), count.each));
        Self {
            made_with,
            instructions: pairs.collect(),
        }
    }

    pub(super) fn from_json(text: &str) -> Result<Self> {
        Ok(serde_json::from_str(text)?)
    }

    pub(super) fn to_json(&self) -> Result<String> {
        Ok(serde_json::to_string_pretty(self)? + "\n")
    }
}

/// What a comparison found.
#[derive(Debug, Default)]
pub(super) struct Findings {
    /// Each names its function.
    pub(super) failures: Vec<String>,
    pub(super) notes: Vec<String>,
}

/// Holds counts against the baseline.
pub(super) fn compare(baseline: &Baseline, made_with: &str, counted: &[Count]) -> Findings {
    let mut findings = Findings::default();
    let mut left = baseline.instructions.clone();
    for count in counted {
        let Count {
            name,
            each,
            unit,
            function,
        } = count;
        let Some(before) = left.remove(name) else {
            let line = format!("{name} ({function}) has no baseline; add it with --write");
            findings.failures.push(line);
            continue;
        };
        let change = || {
            let change = (*each as f64 / before as f64 - 1.0) * 100.0;
            format!(
                "{name} ({function}): {each} instructions per {unit}, {change:+.1} % against {before}"
            )
        };
        if each * 100 > before * (100 + TOLERANCE) {
            findings.failures.push(change());
        } else if each * 100 < before * (100 - TOLERANCE) {
            let line = format!("{}; keep the gain with --write", change());
            findings.notes.push(line);
        }
    }
    for name in left.keys() {
        let line = format!("{name} is in the baseline only; take it out with --write");
        findings.failures.push(line);
    }
    if baseline.made_with != made_with {
        let line = format!(
            "counted with {made_with}, the baseline with {}",
            baseline.made_with
        );
        findings.notes.push(line);
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;

    fn count(name: &str, each: u64) -> Count {
        Count {
            name: name.to_owned(),
            each,
            unit: "frame".to_owned(),
            function: format!("{name}_function"),
        }
    }

    /// The baseline has 1,000 instructions for `parse`.
    fn against_1000(counted: &[Count]) -> Findings {
        let baseline = Baseline::new("rustc 1".to_owned(), &[count("parse", 1_000)]);
        compare(&baseline, "rustc 1", counted)
    }

    #[test]
    fn more_than_5_per_cent_above_fails_with_the_function_and_both_numbers() {
        let found = against_1000(&[count("parse", 1_051)]);
        let expected = "parse (parse_function): 1051 instructions per frame, +5.1 % against 1000";
        assert_eq!(found.failures, [expected]);
        assert!(found.notes.is_empty());
    }

    #[test]
    fn within_5_per_cent_nothing_is_said() {
        for each in [950, 1_000, 1_050] {
            let found = against_1000(&[count("parse", each)]);
            assert!(
                found.failures.is_empty() && found.notes.is_empty(),
                "{each}"
            );
        }
    }

    #[test]
    fn a_gain_is_told_and_passes() {
        let found = against_1000(&[count("parse", 949)]);
        assert!(found.failures.is_empty());
        assert!(found.notes[0].contains("-5.1 %") && found.notes[0].contains("--write"));
    }

    #[test]
    fn a_scenario_on_one_side_only_fails() {
        let found = against_1000(&[count("encode", 1)]);
        assert!(found.failures[0].starts_with("encode (encode_function) has no baseline"));
        assert!(found.failures[1].starts_with("parse is in the baseline only"));
    }

    #[test]
    fn another_compiler_is_told() {
        let baseline = Baseline::new("rustc 1".to_owned(), &[]);
        let found = compare(&baseline, "rustc 2", &[]);
        assert_eq!(
            found.notes,
            ["counted with rustc 2, the baseline with rustc 1"]
        );
    }

    #[test]
    fn a_baseline_reads_as_it_was_written() {
        let text = Baseline::new("rustc 1".to_owned(), &[count("parse", 7)]).to_json();
        let read = Baseline::from_json(&text.unwrap()).unwrap();
        assert_eq!(read.instructions["parse"], 7);
        assert_eq!(read.made_with, "rustc 1");
    }
}
