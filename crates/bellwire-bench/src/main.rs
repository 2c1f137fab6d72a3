//! The laboratory's command: sets Bellwire beside the limit of the machine and beside its peers,
//! and writes `docs/benchmarks.md`, which has the method and the figures.
//!
//! ```text
//!   bellwire serve   (core 0) ◄── worker ─┐
//!   bare write loop  (core 0) ◄── worker ─┼── sections ──► docs/benchmarks.md
//!   bench/peers/…    (core 0) ◄── worker ─┘
//!                     (workers on core 1, one at a time)
//! ```
//!
//! For whoever works on the server; users measure theirs with `bellwire bench`.

mod lab;

use std::io::{Write, stderr};

use anyhow::{Result, bail};
use clap::{Parser, Subcommand};

use self::lab::{bare, cycles::Effort, page, sections, server};

#[derive(Debug, Parser)]
#[command(about = "Measure Bellwire beside the bare write loop and its peers")]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Measure parts, or all of them, and write docs/benchmarks.md
    Run {
        /// Names of parts, or all
        #[arg(required = true)]
        parts: Vec<String>,
        #[command(flatten)]
        effort: Effort,
    },
    /// Write docs/benchmarks.md from what was measured last
    Write,
    /// The bare write loop itself
    Bare(bare::Settings),
    /// A generator that its parent commands
    #[command(hide = true)]
    Worker,
}

fn main() -> Result<()> {
    match Arguments::parse().command {
        Command::Run { parts, effort } => run(&parts, effort),
        Command::Write => write_page(),
        Command::Bare(settings) => bare::run(&settings),
        Command::Worker => bellwire_bench::worker::run(),
    }
}

fn run(parts: &[String], effort: Effort) -> Result<()> {
    let all = parts.iter().any(|name| name == "all");
    for name in parts.iter().filter(|name| *name != "all") {
        if !sections::ALL.iter().any(|(known, _)| known == name) {
            let names: Vec<&str> = sections::ALL.iter().map(|(name, _)| *name).collect();
            bail!("{name} is none of {}", names.join(", "));
        }
    }
    bellwire_bench::worker::raise_descriptor_limit()?;
    server::pin(&[1])?;
    let mut failed = Vec::new();
    for (name, measure) in sections::ALL {
        if all || parts.iter().any(|wanted| wanted == name) {
            say(&format!("\n== {name}"));
            // One part that fails does not take the others with it.
            match measure(effort).and_then(|part| part.keep(name)) {
                Ok(()) => {}
                Err(error) => failed.push(format!("{name}: {error:#}")),
            }
        }
    }
    write_page()?;
    if failed.is_empty() {
        return Ok(());
    }
    bail!("not measured: {}", failed.join("; "));
}

fn write_page() -> Result<()> {
    let names: Vec<&str> = sections::ALL.iter().map(|(name, _)| *name).collect();
    page::write(&names, &sections::versions())
}

/// Tells how it goes.
fn say(text: &str) {
    // Who does not listen does not need to know.
    writeln!(stderr(), "{text}").ok();
}
