//! What is measured, step by step: connect, idle, load, storm.

use std::{process, time::Duration};

use anyhow::{Context, bail};
use bellwire_bench::{
    Channels, Group, Load, Loaded, Order, Pace, Publishing, Storm, Stormed, Stream, Tokens, Via,
    Worker,
    compare::{self, Comparison, Row},
    process::{Kernel, Memory, cpu, kernel, memory},
};
use indicatif::{ProgressBar, ProgressStyle};
use serde::Serialize;

use super::{Arguments, Pattern, WORKER};

/// Connections of one worker at most: a process has few descriptors.
const PER_WORKER: usize = 15_000;
/// Of this many connections one has a channel of its own, where patterns are mixed.
const MIXED: usize = 10;
/// A mixed load's broadcasts are so much rarer.
const BROADCAST_SHARE: f64 = 100.0;

/// What came out.
#[derive(Debug, Serialize)]
pub(super) struct Found {
    pub(super) connected: Connected,
    /// What the idle connections take, where the server's pid is known.
    pub(super) idle: Option<Idle>,
    /// By stream of publications.
    pub(super) streams: Vec<Measured>,
    pub(super) storm: Option<Stormed>,
}

/// How the connections came.
#[derive(Debug, Serialize)]
pub(super) struct Connected {
    pub(super) connections: usize,
    pub(super) seconds: f64,
    pub(super) per_second: f64,
    /// CPU of the server per connection, in microseconds.
    pub(super) cpu_us: Option<f64>,
}

/// Growth by all connections.
#[derive(Debug, Serialize)]
pub(super) struct Idle {
    pub(super) rss_each: f64,
    pub(super) pss_each: f64,
    /// The kernel's slab caches; of both ends, where the generator runs on the server's machine.
    pub(super) slab_each: f64,
    pub(super) tcp_each: f64,
}

/// One stream of publications.
#[derive(Debug, Serialize)]
pub(super) struct Measured {
    pub(super) name: &'static str,
    pub(super) loaded: Loaded,
    /// CPU seconds of the server per million deliveries; of all streams together.
    pub(super) cpu_per_million: Option<f64>,
}

/// The workers, and what tells how far they are.
struct Bench<'a> {
    arguments: &'a Arguments,
    workers: Vec<Worker>,
    /// Connections of each worker.
    shares: Vec<usize>,
    prefix: String,
}

/// Runs all steps.
pub(super) fn run(arguments: &Arguments) -> anyhow::Result<Found> {
    let count = arguments.connections.div_ceil(PER_WORKER);
    let mut bench = Bench {
        arguments,
        workers: (0..count)
            .map(|_| Worker::start(&[WORKER]))
            .collect::<Result<_, _>>()?,
        shares: (0..count)
            .map(|nth| {
                arguments.connections / count + usize::from(nth < arguments.connections % count)
            })
            .collect(),
        prefix: format!("bench-{}", process::id()),
    };
    let before = bench.look()?;
    let connected = bench.connect()?;
    let idle = match before {
        Some(before) => Some(bench.idle(before)?),
        None => None,
    };
    let streams = bench.load()?;
    let storm = match arguments.storm {
        true => Some(bench.storm()?),
        false => None,
    };
    Ok(Found {
        connected,
        idle,
        streams,
        storm,
    })
}

/// Sends one feed over every transport.
pub(super) fn compare(arguments: &Arguments) -> anyhow::Result<Vec<Row>> {
    let plan = Comparison {
        tokens: tokens(arguments),
        prefix: format!("bench-{}", process::id()),
        pid: arguments.pid,
        ..Comparison::new(arguments.target()?)
    };
    let bar = bar("comparing");
    let rows = compare::run(&plan, &mut |step, share| {
        bar.set_prefix(step.to_owned());
        show(&bar, share);
    });
    bar.finish_and_clear();
    rows
}

/// What connections present.
fn tokens(arguments: &Arguments) -> Tokens {
    match (&arguments.jwt_key, &arguments.remote.credential) {
        (Some(key), _) => Tokens::Minted(key.clone()),
        // An API key publishes, but does not subscribe.
        (None, Some(credential)) if !credential.starts_with("bw_") => {
            Tokens::One(credential.clone())
        }
        _ => Tokens::None,
    }
}

impl Found {
    /// Fails where something was lost or came twice.
    pub(super) fn verify(&self) -> anyhow::Result<()> {
        let mut lost = self.storm.map_or(0, |storm| storm.lost);
        let mut repeated = self.storm.map_or(0, |storm| storm.repeated);
        for Measured { loaded, .. } in &self.streams {
            lost += loaded.lost;
            repeated += loaded.repeated;
        }
        if lost + repeated > 0 {
            bail!("{lost} deliveries were lost and {repeated} came twice");
        }
        Ok(())
    }
}

impl Bench<'_> {
    /// The server's memory and the kernel's.
    fn look(&self) -> anyhow::Result<Option<(Memory, Kernel)>> {
        let Some(pid) = self.arguments.pid else {
            return Ok(None);
        };
        let memory = memory(pid).with_context(|| format!("--pid {pid}"))?;
        Ok(Some((memory, kernel()?)))
    }

    /// What `work` took of the server's CPU time.
    fn with_cpu<T>(
        &mut self,
        work: impl FnOnce(&mut Self) -> anyhow::Result<T>,
    ) -> anyhow::Result<(T, Option<Duration>)> {
        let Some(pid) = self.arguments.pid else {
            return Ok((work(self)?, None));
        };
        let before = cpu(pid).with_context(|| format!("--pid {pid}"))?;
        let found = work(self)?;
        Ok((found, Some(cpu(pid)? - before)))
    }

    /// The groups of one worker, in the order of its streams.
    fn groups(&self, nth: usize) -> anyhow::Result<Vec<Group>> {
        let share = self.shares[nth];
        let singles = match self.arguments.pattern {
            Pattern::Broadcast => 0,
            Pattern::Unicast => share,
            Pattern::Mixed => (share / MIXED).max(1).min(share),
        };
        let own = format!("{}-{nth}", self.prefix);
        let mut groups = Vec::new();
        if singles > 0 {
            groups.push(self.group(own, singles, Channels::Own(1), nth)?);
        }
        if share > singles {
            let all = self.prefix.clone();
            groups.push(self.group(all, share - singles, Channels::Shared(1), nth)?);
        }
        Ok(groups)
    }

    fn group(
        &self,
        prefix: String,
        connections: usize,
        channels: Channels,
        nth: usize,
    ) -> anyhow::Result<Group> {
        Ok(Group {
            target: self.arguments.target()?,
            connections,
            channels,
            prefix,
            tokens: tokens(self.arguments),
            first_user: nth * PER_WORKER,
            at_once: 128,
            sources: 16,
            network: u8::try_from(nth + 1).context("too many connections for one machine")?,
        })
    }

    fn publishing(&self) -> Publishing {
        Publishing {
            connections: self.arguments.publishers,
            via: Via::Requests,
            batch: self.arguments.batch,
            payload: self.arguments.payload,
        }
    }

    fn connect(&mut self) -> anyhow::Result<Connected> {
        let bar = bar("connecting");
        let total = self.arguments.connections;
        let (seconds, used) = self.with_cpu(|bench| {
            let mut seconds = 0.0;
            for nth in 0..bench.workers.len() {
                for group in bench.groups(nth)? {
                    let publishing = bench.publishing();
                    let open =
                        bench.workers[nth].open(group, publishing, &mut |share| show(&bar, share));
                    seconds += open.context(
                        "is a server there? Start one with `bellwire serve --dev`, or give --url",
                    )?;
                }
            }
            Ok(seconds)
        })?;
        bar.finish_and_clear();
        let count = number(total as u64);
        Ok(Connected {
            connections: total,
            seconds,
            per_second: count / seconds,
            cpu_us: used.map(|used| used.as_secs_f64() * 1e6 / count),
        })
    }

    fn idle(&mut self, before: (Memory, Kernel)) -> anyhow::Result<Idle> {
        // What connecting needed for a moment is given back by then.
        for worker in &mut self.workers {
            worker.begin_idle(1.0)?;
        }
        for worker in &mut self.workers {
            worker.end_idle(&mut |_| {})?;
        }
        let after = self.look()?.unwrap_or(before);
        let each = |before: u64, after: u64| {
            number(after.saturating_sub(before)) / number(self.arguments.connections as u64)
        };
        Ok(Idle {
            rss_each: each(before.0.rss, after.0.rss),
            pss_each: each(before.0.pss, after.0.pss),
            slab_each: each(before.1.slab, after.1.slab),
            tcp_each: each(before.1.tcp, after.1.tcp),
        })
    }

    fn load(&mut self) -> anyhow::Result<Vec<Measured>> {
        let bar = bar("load");
        let mixed = self.arguments.pattern == Pattern::Mixed;
        let (mut streams, used) = self.with_cpu(|bench| match bench.arguments.pattern {
            Pattern::Broadcast => bench
                .broadcast(&bar)
                .map(|loaded| vec![("broadcast", loaded)]),
            Pattern::Unicast | Pattern::Mixed => bench.own_channels(mixed, &bar),
        })?;
        bar.finish_and_clear();
        let deliveries: u64 = streams.iter().map(|(_, loaded)| loaded.deliveries).sum();
        let cost = used.map(|used| used.as_secs_f64() * 1e6 / number(deliveries));
        Ok(streams
            .drain(..)
            .map(|(name, loaded)| Measured {
                name,
                loaded,
                cpu_per_million: cost,
            })
            .collect())
    }

    fn pace(&self, divided: f64) -> Pace {
        match self.arguments.outstanding {
            Some(most) => Pace::Outstanding(most),
            None => Pace::Rate(self.arguments.rate / divided),
        }
    }

    /// The first worker publishes, the others listen.
    fn broadcast(&mut self, bar: &ProgressBar) -> anyhow::Result<Loaded> {
        let load = self.one_load(vec![(0, self.pace(1.0))]);
        let (first, others) = self
            .workers
            .split_first_mut()
            .context("there is a worker")?;
        for other in others.iter_mut() {
            other.begin_listening(0, load.seconds)?;
        }
        first.begin_load(load)?;
        let (mut streams, published) = first.end_load(&mut |share| show(bar, share))?;
        let mut loaded = streams.swap_remove(0);
        for other in others {
            loaded.add(&other.settle(0, published.clone())?);
        }
        Ok(loaded)
    }

    /// Every worker publishes to its own connections; where loads are mixed, each also broadcasts
    /// to the others of its own.
    fn own_channels(
        &mut self,
        mixed: bool,
        bar: &ProgressBar,
    ) -> anyhow::Result<Vec<(&'static str, Loaded)>> {
        let workers = number(self.workers.len() as u64);
        let mut paces = vec![(0, self.pace(workers))];
        if mixed && self.shares.iter().all(|share| *share > 1) {
            paces.push((
                1,
                Pace::Rate((self.arguments.rate / BROADCAST_SHARE).max(1.0)),
            ));
        }
        if mixed && self.workers.len() > 1 {
            bail!("--pattern mixed is for at most {PER_WORKER} connections");
        }
        let load = self.one_load(paces);
        for worker in &mut self.workers {
            worker.begin_load(load.clone())?;
        }
        let mut found: Vec<(&'static str, Loaded)> = Vec::new();
        for worker in &mut self.workers {
            let (streams, _) = worker.end_load(&mut |share| show(bar, share))?;
            for (nth, loaded) in streams.into_iter().enumerate() {
                match found.get_mut(nth) {
                    Some((_, all)) => all.add(&loaded),
                    None => found.push((if nth == 0 { "unicast" } else { "broadcast" }, loaded)),
                }
            }
        }
        Ok(found)
    }

    fn one_load(&self, paces: Vec<(usize, Pace)>) -> Load {
        Load {
            streams: paces
                .into_iter()
                .map(|(group, pace)| Stream {
                    group,
                    pace,
                    order: Order::Turns,
                })
                .collect(),
            seconds: self.arguments.seconds,
            busy: false,
        }
    }

    fn storm(&mut self) -> anyhow::Result<Stormed> {
        let [worker] = self.workers.as_mut_slice() else {
            bail!("--storm is for at most {PER_WORKER} connections");
        };
        let bar = bar("storm");
        let storm = Storm {
            group: 0,
            missed: self.arguments.missed,
            away: 0.5,
        };
        let found = worker.storm(storm, &mut |share| show(&bar, share))?;
        bar.finish_and_clear();
        Ok(found)
    }
}

/// A bar on standard error; nothing where that is no terminal.
fn bar(name: &'static str) -> ProgressBar {
    let style = ProgressStyle::with_template("{prefix:>10} {bar:40} {percent:>3} % {elapsed}")
        .expect("the template is right");
    ProgressBar::new(1_000).with_style(style).with_prefix(name)
}

fn show(bar: &ProgressBar, share: f64) {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "between 0 and 1,000"
    )]
    bar.set_position((share.clamp(0.0, 1.0) * 1_000.0) as u64);
}

/// A count as a number to calculate with.
#[expect(clippy::cast_precision_loss, reason = "far below 2^53")]
pub(super) fn number(count: u64) -> f64 {
    count as f64
}
