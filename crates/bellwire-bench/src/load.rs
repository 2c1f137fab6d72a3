//! Load: streams of publications at a pace, and the deliveries that they must bring.
//!
//! The first stream is what is measured, so its subscribers are looked at first and as often as
//! those of the others, however many those are.

use std::{collections::BTreeSet, mem::MaybeUninit, os::fd::OwnedFd, time::Duration};

use anyhow::{Result, bail};
use rustix::event::epoll::{self, CreateFlags, Event, EventData, EventFlags};
use serde::{Deserialize, Serialize};

use crate::{
    clock,
    crowd::{Crowd, Tally},
    latency::Latencies,
    publish::Publishers,
    worker::share,
};

/// When deliveries that do not come are given up.
const PATIENCE: Duration = Duration::from_secs(20);
/// How long the generator sleeps at most, where it may, and nothing wakes it.
const NAP: Duration = Duration::from_millis(2);

/// What to put on the servers.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Load {
    /// Publications, at the same time.
    pub streams: Vec<Stream>,
    /// How long publications are made, in seconds.
    pub seconds: f64,
    /// Never to sleep, so that no server pays for waking its peer.
    pub busy: bool,
}

/// Publications to the channels of one group.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Stream {
    /// Which group.
    pub group: usize,
    /// When to publish.
    pub pace: Pace,
    /// To which of the group's channels.
    pub order: Order,
}

/// When a publication is due.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Pace {
    /// So many per second, whatever the server does.
    Rate(f64),
    /// Whenever fewer than so many publications are on their way to some subscriber.
    Outstanding(u64),
    /// Whenever a publisher is free.
    Free,
}

/// Which channel is next.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Order {
    /// One after the other.
    Turns,
    /// Any, by a generator with this seed.
    Random(u64),
}

/// What became of a stream.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Loaded {
    /// Publications made.
    pub published: u64,
    /// Deliveries of them, all of them verified.
    pub deliveries: u64,
    /// Deliveries that had come when the last publication had been due: the rest was backlog.
    pub in_time: u64,
    /// Publications that no delivery follows, since something was lost.
    pub lost: u64,
    /// Deliveries that had come before, or that nobody there asked for.
    pub repeated: u64,
    /// Bytes received.
    pub bytes: u64,
    /// Reads that received them.
    pub reads: u64,
    /// Bytes that subscribers sent: polls, and answers to pings.
    pub sent: u64,
    /// Requests of subscribers, which are polls once all are connected.
    pub requests: u64,
    /// Until everything had come, in seconds.
    pub seconds: f64,
    /// From when a publication was due to each delivery.
    pub latencies: Latencies,
    /// The longest time for which the generator itself did not look, in milliseconds.
    pub pause: f64,
}

impl Loaded {
    /// Adds what another worker saw at the same time.
    pub fn add(&mut self, other: &Self) {
        self.published += other.published;
        self.deliveries += other.deliveries;
        self.in_time += other.in_time;
        self.lost += other.lost;
        self.repeated += other.repeated;
        self.bytes += other.bytes;
        self.reads += other.reads;
        self.sent += other.sent;
        self.requests += other.requests;
        self.seconds = self.seconds.max(other.seconds);
        self.latencies.merge(&other.latencies);
        self.pause = self.pause.max(other.pause);
    }
}

impl From<Tally> for Loaded {
    fn from(tally: Tally) -> Self {
        Self {
            deliveries: tally.deliveries,
            lost: tally.lost,
            repeated: tally.repeated,
            bytes: tally.bytes,
            reads: tally.reads,
            sent: tally.sent,
            requests: tally.requests,
            ..Self::default()
        }
    }
}

/// A group with whoever publishes to it.
pub(crate) struct Party {
    pub(crate) crowd: Crowd,
    pub(crate) publishers: Publishers,
}

impl Party {
    /// Connects the crowd; `joined` hears the share of it that is there.
    pub(crate) fn join(
        mut crowd: Crowd,
        publishers: Publishers,
        mut joined: impl FnMut(f64),
    ) -> Result<Self> {
        crowd.join(
            |_| None,
            |crowd, there| joined(share(there, crowd.group().connections)),
        )?;
        Ok(Self { crowd, publishers })
    }
}

/// A stream under way.
struct Running {
    stream: Stream,
    /// The next channel, or the state of the random order.
    turn: u64,
    channels: usize,
    /// Deliveries that one publication brings.
    fan_out: u64,
    published: u64,
    before: Tally,
}

/// Puts the load on and waits until all was delivered. `progress` hears the share that is done.
pub(crate) fn run(
    parties: &mut [Party],
    load: &Load,
    mut progress: impl FnMut(f64),
) -> Result<Vec<Loaded>> {
    let mut streams = Vec::new();
    for stream in &load.streams {
        let Some(party) = parties.get_mut(stream.group) else {
            bail!("there is no group {}", stream.group);
        };
        // Servers may have closed publishers that were idle for long.
        party.publishers.answers(Duration::ZERO)?;
        streams.push(Running::begin(stream, party));
    }
    let alarm = Alarm::set(parties, &streams)?;
    let start = clock::now();
    let length = load.seconds * 1e9;
    let end = start + clock::nanoseconds(Duration::from_secs_f64(load.seconds));
    let (mut last, mut pause) = (start, 0);
    let mut in_time = None;
    loop {
        let now = clock::now();
        pause = pause.max(now - last);
        last = now;
        let elapsed = now - start;
        #[expect(clippy::cast_precision_loss, reason = "nanoseconds of minutes")]
        let done = elapsed as f64 / length;
        if done < 1.0 {
            for running in &mut streams {
                running.publish(&mut parties[running.stream.group], start, now)?;
            }
            progress(done);
        } else {
            if in_time.is_none() {
                in_time = Some(deliveries(parties, &streams));
                // What was due before the end is made, however late the generator looks.
                for running in &mut streams {
                    running.publish_due(&mut parties[running.stream.group], start, end)?;
                }
            }
            for running in &streams {
                parties[running.stream.group]
                    .publishers
                    .send_waiting(true)?;
            }
        }
        let moved = look(parties, &streams, load.busy)?;
        if done >= 1.0 && settled(parties, &streams) {
            break;
        }
        if elapsed > clock::nanoseconds(Duration::from_secs_f64(load.seconds) + PATIENCE) {
            bail!("{}", overdue(parties, &streams));
        }
        if !moved && !load.busy {
            let due = streams.iter().filter_map(|running| running.due(start));
            // Nothing is published any more once the time is over.
            alarm.sleep(due.min().filter(|_| done < 1.0))?;
        }
    }
    let seconds = Duration::from_nanos(clock::now() - start).as_secs_f64();
    let in_time = in_time.unwrap_or_default();
    let mut found = Vec::new();
    for (running, in_time) in streams.into_iter().zip(in_time) {
        let party = &mut parties[running.stream.group];
        let mut loaded = running.end(party, in_time, seconds);
        loaded.pause = Duration::from_nanos(pause).as_secs_f64() * 1e3;
        found.push(loaded);
    }
    Ok(found)
}

/// Looks at everybody once; the measured ones after each look at the others. Returns whether
/// something had come.
fn look(parties: &mut [Party], streams: &[Running], busy: bool) -> Result<bool> {
    let mut moved = false;
    for running in streams {
        let party = &mut parties[running.stream.group];
        moved |= if streams.len() > 1 {
            party.crowd.read::<32>(Duration::ZERO)?
        } else {
            party.crowd.read::<256>(Duration::ZERO)?
        };
        // Who sleeps is also woken by a server that closes an idle publisher.
        if party.publishers.unanswered() > 0 || !busy {
            moved |= party.publishers.answers(Duration::ZERO)?;
        }
    }
    Ok(moved)
}

/// Wakes a generator that sleeps: by whatever comes to subscribers or publishers of a load.
struct Alarm(OwnedFd);

impl Alarm {
    fn set(parties: &[Party], streams: &[Running]) -> Result<Self> {
        let all = epoll::create(CreateFlags::CLOEXEC)?;
        let groups: BTreeSet<usize> = streams.iter().map(|running| running.stream.group).collect();
        for group in groups {
            let Party { crowd, publishers } = &parties[group];
            for one in [crowd.epoll(), publishers.epoll()] {
                epoll::add(&all, one, EventData::new_u64(0), EventFlags::IN)?;
            }
        }
        Ok(Self(all))
    }

    /// Until something comes, at most until the next publication is due.
    fn sleep(&self, due: Option<u64>) -> Result<()> {
        let left = due.map(|due| Duration::from_nanos(due.saturating_sub(clock::now())));
        let nap = rustix::time::Timespec::try_from(left.map_or(NAP, |left| left.min(NAP)))?;
        let mut events = [const { MaybeUninit::<Event>::uninit() }; 1];
        match epoll::wait(&self.0, &mut events[..], Some(&nap)) {
            Ok(_) | Err(rustix::io::Errno::INTR) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }
}

fn deliveries(parties: &[Party], streams: &[Running]) -> Vec<u64> {
    streams
        .iter()
        .map(|running| parties[running.stream.group].crowd.ledger.deliveries)
        .collect()
}

fn settled(parties: &[Party], streams: &[Running]) -> bool {
    streams.iter().all(|running| {
        let party = &parties[running.stream.group];
        party.publishers.unanswered() == 0 && running.outstanding(party) == 0
    })
}

fn overdue(parties: &[Party], streams: &[Running]) -> String {
    let mut text = "not everything was delivered:".to_owned();
    for running in streams {
        let party = &parties[running.stream.group];
        let missing = party.crowd.ledger.missing(party.publishers.published());
        let (answers, lost) = (party.publishers.unanswered(), party.crowd.ledger.lost);
        text.push_str(&format!(
            " {missing} deliveries missing, {answers} publications unanswered, {lost} lost;"
        ));
    }
    text
}

impl Running {
    fn begin(stream: &Stream, party: &mut Party) -> Self {
        let Party { crowd, .. } = party;
        crowd.ledger.latencies = Some(Latencies::default());
        let channels = crowd
            .group()
            .channels
            .total(crowd.group().connections.max(1));
        let subscriptions = crowd.len() * crowd.group().channels.each();
        Self {
            turn: match stream.order {
                Order::Turns => 0,
                Order::Random(seed) => seed | 1,
            },
            stream: stream.clone(),
            channels,
            fan_out: (subscriptions / channels.max(1)) as u64,
            published: 0,
            before: crowd.tally(),
        }
    }

    /// Deliveries that are on their way. What was lost will not come.
    fn outstanding(&self, party: &Party) -> u64 {
        let ledger = &party.crowd.ledger;
        let come = ledger.deliveries - self.before.deliveries + ledger.lost - self.before.lost;
        (self.published * self.fan_out).saturating_sub(come)
    }

    /// When the next publication is due, where that is a matter of time.
    fn due(&self, start: u64) -> Option<u64> {
        let Pace::Rate(rate) = self.stream.pace else {
            return None;
        };
        #[expect(
            clippy::cast_precision_loss,
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "nanoseconds of minutes"
        )]
        Some(start + (self.published as f64 * 1e9 / rate) as u64)
    }

    /// Makes the publications that are due.
    fn publish(&mut self, party: &mut Party, start: u64, now: u64) -> Result<()> {
        match self.stream.pace {
            Pace::Rate(_) => self.publish_due(party, start, now),
            Pace::Outstanding(most) => {
                while self.outstanding(party) <= (most - 1) * self.fan_out
                    && party.publishers.is_free()
                {
                    self.one(party, now)?;
                }
                Ok(())
            }
            Pace::Free => {
                while party.publishers.is_free() {
                    self.one(party, now)?;
                }
                Ok(())
            }
        }
    }

    /// Makes the publications that were due before a time, where that is a matter of time.
    fn publish_due(&mut self, party: &mut Party, start: u64, before: u64) -> Result<()> {
        while let Some(due) = self.due(start).filter(|due| *due < before) {
            self.one(party, due)?;
        }
        Ok(())
    }

    fn one(&mut self, party: &mut Party, due: u64) -> Result<()> {
        let channel = usize::try_from(self.turn)? % self.channels;
        self.turn = match self.stream.order {
            Order::Turns => self.turn + 1,
            Order::Random(_) => {
                let mut state = self.turn;
                state ^= state << 13;
                state ^= state >> 7;
                state ^ (state << 17)
            }
        };
        self.published += 1;
        party.publishers.publish(channel, due)
    }

    fn end(self, party: &mut Party, in_time: u64, seconds: f64) -> Loaded {
        let crowd = &mut party.crowd;
        Loaded {
            published: self.published,
            in_time: in_time - self.before.deliveries,
            seconds,
            latencies: crowd.ledger.latencies.take().unwrap_or_default(),
            ..crowd.tally().since(self.before).into()
        }
    }
}
