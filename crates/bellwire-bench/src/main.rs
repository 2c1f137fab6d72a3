//! Measures the server against the limit of its machine: a bare write loop that sends the same
//! bytes to as many sockets. `docs/benchmarks.md` has the method and the figures.
//!
//! ```text
//!   bellwire serve  (core 0) ◄─┐             ┌─► slots: CPU per delivery, side by side
//!   bare write loop (core 0) ◄─┼─ generator ─┤
//!   the same, flush per turn ◄─┘  (core 1)   └─► unicast: latency beside a broadcast
//! ```
//!
//! A tool for whoever works on the server; it knows nothing of the server's code.

mod bare;
mod crowd;
mod publisher;
mod rig;
mod server;
mod slots;
mod statistics;
mod unicast;

use anyhow::Result;
use clap::{Parser, Subcommand};

#[derive(Debug, Parser)]
#[command(about = "Measure a broadcast against the bare write loop")]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// CPU per delivery of a broadcast, over WebSocket and SSE, as a ratio to the bare loop
    Slots(slots::Plan),
    /// Latency of messages to single subscribers while broadcasts run
    Unicast(unicast::Plan),
    /// The bare write loop itself
    Bare(bare::Settings),
}

fn main() -> Result<()> {
    match Arguments::parse().command {
        Command::Slots(plan) => slots::run(&plan),
        Command::Unicast(plan) => unicast::run(&plan),
        Command::Bare(settings) => bare::run(&settings),
    }
}
