//! A worker: a process that holds sockets and puts load on servers, as its parent tells it.
//!
//! It reads one command per line from standard input and writes one answer per line to standard
//! output, as JSON; between the two it may say how far it is. Workers are processes because
//! descriptors are counted by process, and because a server's CPU is measured beside them.

use std::{
    io::{BufRead, Write, stdin, stdout},
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};
use serde::{Deserialize, Serialize};

use crate::{
    clock,
    crowd::{Crowd, Group},
    latency::Latencies,
    load::{self, Load, Loaded, Party},
    publish::{Publishers, Publishing},
    storm::{self, Storm, Stormed},
};

/// What a worker is told.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Command {
    /// Connect a group with its publishers. Groups are numbered as they come.
    Open(Box<Group>, Publishing),
    /// Put load on.
    Load(Load),
    /// Do nothing but answer pings and polls, for so many seconds.
    Idle(f64),
    /// Receive what another worker publishes to a group, for so many seconds.
    Listen(usize, f64),
    /// Receive until these publications, by channel, have come to everybody of a group.
    Settle(usize, Vec<u32>),
    /// Cut all connections of a group at once and have them come back.
    Storm(Storm),
    /// Close all connections.
    Close,
}

/// What a worker answers.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Answer {
    /// The group is subscribed; it took so many seconds.
    Opened(f64),
    /// The load is over, by stream; and publications so far, by channel, of the first one's group.
    Loaded(Vec<Loaded>, Vec<u32>),
    /// Pings that were answered meanwhile.
    Idled(u64),
    /// What a group has received meanwhile.
    Received(Loaded),
    /// Everybody is back.
    Stormed(Stormed),
    /// Nobody is connected any more.
    Closed,
    /// It went wrong.
    Failed(String),
    /// The share of the command that is done.
    Progress(f64),
}

/// Serves commands until standard input ends.
///
/// # Errors
/// The parent is gone.
pub fn run() -> Result<()> {
    raise_descriptor_limit()?;
    let mut parties: Vec<Party> = Vec::new();
    for line in stdin().lock().lines() {
        let command = serde_json::from_str(&line?).context("a command")?;
        let answer = obey(&mut parties, command)
            .unwrap_or_else(|error| Answer::Failed(format!("{error:#}")));
        say(&answer)?;
    }
    Ok(())
}

/// Lets this process have as many descriptors as it may.
///
/// # Errors
/// The kernel refuses, which it does not for the soft limit.
pub fn raise_descriptor_limit() -> Result<()> {
    let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile);
    rustix::process::setrlimit(
        rustix::process::Resource::Nofile,
        rustix::process::Rlimit {
            current: limit.maximum,
            maximum: limit.maximum,
        },
    )?;
    Ok(())
}

fn say(answer: &Answer) -> Result<()> {
    let mut out = stdout().lock();
    serde_json::to_writer(&mut out, answer)?;
    out.write_all(b"\n")?;
    out.flush()?;
    Ok(())
}

/// Says how far a command is, a few times a second. A parent that is gone ends the worker with the
/// next answer.
fn progress() -> impl FnMut(f64) {
    let mut last = Instant::now();
    move |share| {
        if last.elapsed() > Duration::from_millis(200) {
            last = Instant::now();
            say(&Answer::Progress(share)).ok();
        }
    }
}

fn obey(parties: &mut Vec<Party>, command: Command) -> Result<Answer> {
    Ok(match command {
        Command::Open(group, publishing) => {
            let publishers = Publishers::connect(&group, publishing)?;
            let crowd = Crowd::new(*group)?;
            let start = Instant::now();
            parties.push(Party::join(crowd, publishers, progress())?);
            Answer::Opened(start.elapsed().as_secs_f64())
        }
        Command::Load(load) => {
            let loaded = load::run(parties, &load, progress())?;
            let group = load.streams.first().map_or(0, |stream| stream.group);
            Answer::Loaded(loaded, parties[group].publishers.published().to_vec())
        }
        Command::Idle(seconds) => Answer::Idled(idle(parties, seconds, progress())?),
        Command::Listen(group, seconds) => {
            let until = Instant::now() + Duration::from_secs_f64(seconds);
            let mut received = receive(parties, group, |_| Ok(Instant::now() >= until))?;
            received.in_time = received.deliveries;
            Answer::Received(received)
        }
        Command::Settle(group, published) => {
            let patience = Instant::now() + Duration::from_secs(60);
            Answer::Received(receive(parties, group, |crowd| {
                let missing = crowd.ledger.missing(&published);
                if missing > 0 && Instant::now() > patience {
                    bail!("{missing} deliveries are missing");
                }
                Ok(missing == 0)
            })?)
        }
        Command::Storm(storm) => {
            let Some(party) = parties.get_mut(storm.group) else {
                bail!("there is no group {}", storm.group);
            };
            Answer::Stormed(storm::run(party, &storm, progress())?)
        }
        Command::Close => {
            parties.clear();
            Answer::Closed
        }
    })
}

#[expect(clippy::cast_precision_loss, reason = "numbers of connections")]
pub(crate) fn share(part: usize, whole: usize) -> f64 {
    part as f64 / whole.max(1) as f64
}

/// Answers pings and polls for so many seconds; returns how many pings there were.
pub(crate) fn idle(
    parties: &mut [Party],
    seconds: f64,
    mut progress: impl FnMut(f64),
) -> Result<u64> {
    let before: u64 = parties.iter().map(|party| party.crowd.pings).sum();
    let until = clock::now() + clock::nanoseconds(Duration::from_secs_f64(seconds));
    let nap = Duration::from_millis(5);
    while clock::now() < until {
        for party in parties.iter_mut() {
            party.crowd.read::<256>(nap)?;
        }
        let left = Duration::from_nanos(until.saturating_sub(clock::now())).as_secs_f64();
        progress(1.0 - left / seconds);
    }
    let after: u64 = parties.iter().map(|party| party.crowd.pings).sum();
    Ok(after - before)
}

/// Receives until `done`.
fn receive(
    parties: &mut [Party],
    group: usize,
    done: impl Fn(&Crowd) -> Result<bool>,
) -> Result<Loaded> {
    let Some(Party { crowd, .. }) = parties.get_mut(group) else {
        bail!("there is no group {group}");
    };
    let before = crowd.tally();
    let start = Instant::now();
    crowd.ledger.latencies = Some(Latencies::default());
    while !done(crowd)? {
        crowd.read::<256>(Duration::from_millis(2))?;
    }
    Ok(Loaded {
        seconds: start.elapsed().as_secs_f64(),
        latencies: crowd.ledger.latencies.take().unwrap_or_default(),
        ..crowd.tally().since(before).into()
    })
}
