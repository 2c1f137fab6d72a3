//! Head-of-line blocking: messages to single subscribers at a fixed rate, while a broadcast to
//! very many runs on the same core. Open loop: a latency counts from when a message was due.

use std::{
    io::{Write, stdout},
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};

use crate::{
    crowd::{Crowd, Wire},
    publisher::Publishers,
    server::{Kind, Server},
    statistics::quantile,
};

/// What to run.
#[derive(Debug, clap::Args)]
pub(crate) struct Plan {
    /// Subscribers of the broadcast
    #[arg(long, default_value_t = 10_000)]
    subscribers: usize,
    /// Subscribers with a channel of their own
    #[arg(long, default_value_t = 100)]
    singles: usize,
    /// Broadcasts per second
    #[arg(long, default_value_t = 4)]
    broadcasts: u32,
    /// Single messages per second
    #[arg(long, default_value_t = 300)]
    rate: u32,
    /// Rounds, of which each gives one set of percentiles
    #[arg(long, default_value_t = 10)]
    rounds: usize,
    /// Seconds of a round
    #[arg(long, default_value_t = 5)]
    seconds: u64,
}

/// Latencies of a round in milliseconds.
#[derive(Default)]
struct Latencies {
    single: Vec<f64>,
    broadcast: Vec<f64>,
    /// The longest time between two looks of the generator: what the machine itself adds.
    pause: Duration,
}

struct Bench {
    singles: Crowd,
    crowd: Crowd,
    single_publishers: Publishers,
    broadcast_publishers: Publishers,
    channels: Vec<String>,
    next: usize,
}

/// Runs all rounds and prints a table.
pub(crate) fn run(plan: &Plan) -> Result<()> {
    let descriptors = rustix::process::getrlimit(rustix::process::Resource::Nofile);
    rustix::process::setrlimit(
        rustix::process::Resource::Nofile,
        rustix::process::Rlimit {
            current: descriptors.maximum,
            maximum: descriptors.maximum,
        },
    )?;
    let server = Server::start(Kind::Bellwire)?;
    let channels: Vec<String> = (0..plan.singles).map(|nth| format!("one:{nth}")).collect();
    let everybody = std::iter::repeat_n("all", plan.subscribers);
    let mut bench = Bench {
        singles: Crowd::connect(
            server.address,
            Wire::WebSocket,
            channels.iter().map(String::as_str),
        )?,
        crowd: Crowd::connect(server.address, Wire::WebSocket, everybody)?,
        single_publishers: Publishers::connect(server.address, 512)?,
        broadcast_publishers: Publishers::connect(server.address, 16)?,
        channels,
        next: 0,
    };
    let mut out = stdout().lock();
    writeln!(
        out,
        "\n{}/s to single subscribers, {}/s to {}, {} s per round\n\n\
         | round | single p50 ms | single p99 ms | broadcast p50 ms | broadcast p99 ms | core | \
         generator's longest pause ms |\n|---|---|---|---|---|---|---|",
        plan.rate, plan.broadcasts, plan.subscribers, plan.seconds,
    )?;
    let mut p99 = Vec::new();
    for round in 0..=plan.rounds {
        let cpu = server.cpu()?;
        let mut found = bench.round(plan)?;
        // The first round warms up.
        if round == 0 {
            continue;
        }
        p99.push(quantile(&mut found.single, 0.99));
        writeln!(
            out,
            "| {round} | {:.2} | {:.2} | {:.0} | {:.0} | {:.0} % | {:.1} |",
            quantile(&mut found.single, 0.5),
            quantile(&mut found.single, 0.99),
            quantile(&mut found.broadcast, 0.5),
            quantile(&mut found.broadcast, 0.99),
            (server.cpu()? - cpu).as_secs_f64() * 100.0
                / Duration::from_secs(plan.seconds).as_secs_f64(),
            found.pause.as_secs_f64() * 1e3,
        )?;
    }
    writeln!(
        out,
        "\nmedian of the p99: {:.2} ms",
        quantile(&mut p99, 0.5)
    )?;
    Ok(())
}

impl Bench {
    fn round(&mut self, plan: &Plan) -> Result<Latencies> {
        let mut found = Latencies::default();
        let (singles_before, crowd_before) = (self.singles.deliveries, self.crowd.deliveries);
        let (mut single_due, mut broadcast_due) = (0, 0);
        let start = Instant::now();
        let seconds = u32::try_from(plan.seconds)?;
        let mut last = start;
        loop {
            let now = Instant::now();
            found.pause = found.pause.max(now - last);
            last = now;
            let nth_due = start + Duration::from_secs(1) * single_due / plan.rate;
            if single_due < plan.rate * seconds && now >= nth_due {
                single_due += 1;
                self.next = (self.next + 1) % self.channels.len();
                self.single_publishers
                    .publish(&self.channels[self.next], nth_due)?;
            }
            let nth_due = start + Duration::from_secs(1) * broadcast_due / plan.broadcasts;
            if broadcast_due < plan.broadcasts * seconds && now >= nth_due {
                broadcast_due += 1;
                self.broadcast_publishers
                    .publish("all", nth_due)
                    .with_context(|| format!("broadcast {broadcast_due}"))?;
            }
            // What is measured is looked at first and often; the crowd in small pieces.
            let publishers = &self.single_publishers;
            self.singles.read::<32>(|bytes| {
                found
                    .single
                    .extend(publishers.ages(bytes).map(|age| age.as_secs_f64() * 1e3));
            })?;
            let publishers = &self.broadcast_publishers;
            self.crowd.read::<16>(|bytes| {
                found
                    .broadcast
                    .extend(publishers.ages(bytes).map(|age| age.as_secs_f64() * 1e3));
            })?;
            self.single_publishers.answers()?;
            self.broadcast_publishers.answers()?;
            let missing = singles_before + u64::from(single_due) > self.singles.deliveries
                || crowd_before + u64::from(broadcast_due) * self.crowd.len()
                    > self.crowd.deliveries;
            if now >= start + Duration::from_secs(plan.seconds) && !missing {
                return Ok(found);
            }
            if now > start + Duration::from_secs(plan.seconds + 10) {
                bail!("not everything was delivered");
            }
        }
    }
}
