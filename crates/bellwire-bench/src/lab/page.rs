//! docs/benchmarks.md: each measurement leaves a part, the page is made of the parts that are
//! there. So one part can be measured again without the others.

use std::{fmt::Write, fs, path::PathBuf};

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

use super::server::repository;

/// A table of a part.
#[derive(Debug)]
pub(crate) struct Table {
    head: Vec<String>,
    rows: Vec<Vec<String>>,
}

impl Table {
    pub(crate) fn new(head: &[&str]) -> Self {
        Self {
            head: head.iter().map(|&name| name.to_owned()).collect(),
            rows: Vec::new(),
        }
    }

    pub(crate) fn row<const N: usize>(&mut self, cells: [String; N]) {
        self.rows.push(cells.to_vec());
    }
}

/// What was asked for and what came out.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Verdict {
    bar: String,
    measured: String,
    met: bool,
}

/// What a measurement leaves.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Part {
    title: String,
    text: String,
    verdicts: Vec<Verdict>,
    /// When it was measured, and on what.
    stamp: String,
}

impl Part {
    pub(crate) fn new(title: &str) -> Self {
        Self {
            title: title.to_owned(),
            stamp: format!("{}, {}", today(), bellwire_bench::process::machine()),
            ..Self::default()
        }
    }

    pub(crate) fn say(&mut self, paragraph: &str) {
        self.text.push_str(paragraph);
        self.text.push_str("\n\n");
    }

    pub(crate) fn table(&mut self, table: &Table) {
        writeln!(self.text, "| {} |", table.head.join(" | ")).expect("memory takes it");
        self.text.push_str(&"|---".repeat(table.head.len()));
        self.text.push_str("|\n");
        for row in &table.rows {
            writeln!(self.text, "| {} |", row.join(" | ")).expect("memory takes it");
        }
        self.text.push('\n');
    }

    /// A chart of `docs/charts`, which this writes.
    pub(crate) fn chart(&mut self, name: &str, title: &str, svg: &str) -> Result<()> {
        let folder = repository().join("docs/charts");
        fs::create_dir_all(&folder)?;
        fs::write(folder.join(format!("{name}.svg")), svg)?;
        self.say(&format!("![{title}](charts/{name}.svg)"));
        Ok(())
    }

    /// A bar: what was asked for, what was measured, and whether that is enough.
    pub(crate) fn verdict(&mut self, bar: &str, measured: &str, met: bool) {
        self.verdicts.push(Verdict {
            bar: bar.to_owned(),
            measured: measured.to_owned(),
            met,
        });
    }

    /// A bar that a figure must not exceed.
    pub(crate) fn at_most(&mut self, bar: &str, limit: f64, measured: f64) {
        let shown = if limit >= 100.0 {
            format!("{measured:.0}")
        } else {
            format!("{measured:.2}")
        };
        self.verdict(bar, &shown, measured <= limit);
    }

    /// Prints it, and keeps it for the page.
    pub(crate) fn keep(&self, name: &str) -> Result<()> {
        crate::say(&format!("\n## {}\n\n{}", self.title, self.text));
        for verdict in &self.verdicts {
            let Verdict { bar, measured, .. } = verdict;
            crate::say(&format!("{}: {bar}: {measured}", met(verdict.met)));
        }
        let folder = folder();
        fs::create_dir_all(&folder)?;
        let path = folder.join(format!("{name}.json"));
        fs::write(path, serde_json::to_string(self)?)?;
        Ok(())
    }
}

fn met(met: bool) -> &'static str {
    if met { "met" } else { "MISSED" }
}

/// Where parts wait for the page.
fn folder() -> PathBuf {
    repository().join("target/bench")
}

fn today() -> String {
    let output = std::process::Command::new("date")
        .arg("+%-d %B %Y")
        .output();
    output.map_or_else(
        |_| "some day".to_owned(),
        |output| String::from_utf8_lossy(&output.stdout).trim().to_owned(),
    )
}

/// Writes the page from the parts that are there, in this order.
pub(crate) fn write(names: &[&str], versions: &[String]) -> Result<()> {
    let mut parts = Vec::new();
    for name in names {
        let Ok(text) = fs::read_to_string(folder().join(format!("{name}.json"))) else {
            crate::say(&format!("{name} was not measured; the page goes without"));
            continue;
        };
        let part: Part = serde_json::from_str(&text).context("a part of the page")?;
        parts.push(part);
    }
    let mut page = include_str!("page.md").to_owned();
    page.push_str("\n## Versions\n\n");
    for version in versions {
        writeln!(page, "- {version}")?;
    }
    page.push_str("\n## What was asked for\n\n| bar | measured | |\n|---|---|---|\n");
    for Verdict { bar, measured, met } in parts.iter().flat_map(|part| &part.verdicts) {
        let word = if *met { "met" } else { "**missed**" };
        writeln!(page, "| {bar} | {measured} | {word} |")?;
    }
    for part in &parts {
        writeln!(page, "\n## {}\n\n{}", part.title, part.text.trim_end())?;
        writeln!(page, "\n*Measured on {}.*", part.stamp)?;
    }
    fs::write(repository().join("docs/benchmarks.md"), page)?;
    Ok(())
}
