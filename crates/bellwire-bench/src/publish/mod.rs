//! Publishers: some connections, each with a bounded number of publications under way.
//!
//! What is due while all are busy waits in a queue with its due time, so an open loop charges the
//! server for it.

mod line;

use std::{collections::VecDeque, mem::MaybeUninit, os::fd::OwnedFd, time::Duration};

use anyhow::{Context, Result};
use rustix::event::epoll::{self, CreateFlags, Event, EventData, EventFlags};
use serde::{Deserialize, Serialize};

use self::line::Line;
use crate::{crowd::Group, mark::Mark, socket::Connector};

/// How publications are sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Publishing {
    /// Connections that publish.
    pub connections: usize,
    /// What goes over each.
    pub via: Via,
    /// Publications in one request; Bellwire only.
    pub batch: usize,
    /// Bytes of a payload.
    pub payload: usize,
}

/// What a publisher's connection carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Via {
    /// HTTP requests (or Redis commands), one at a time.
    Requests,
    /// WebSocket commands, so many under way; Bellwire only.
    Commands(usize),
}

/// One publication to be made.
#[derive(Clone, Copy, Debug)]
struct Due {
    channel: u32,
    at: u64,
}

/// See the module.
pub(crate) struct Publishers {
    group: Group,
    publishing: Publishing,
    /// Where connections are encrypted.
    connector: Option<Connector>,
    epoll: OwnedFd,
    lines: Vec<Line>,
    /// Lines with room, in turns, so that none is idle for long enough to be closed.
    free: VecDeque<usize>,
    waiting: VecDeque<Due>,
    /// Publications so far, by channel.
    published: Vec<u32>,
    /// Publications without an answer.
    under_way: usize,
    /// The cursor after the last publication of each channel, where the server tells.
    pub(crate) cursors: Vec<Option<String>>,
    scratch: Vec<u8>,
}

impl Publishers {
    pub(crate) fn connect(group: &Group, publishing: Publishing) -> Result<Self> {
        let epoll = epoll::create(CreateFlags::CLOEXEC)?;
        let secure = group.target.publish_secure.as_ref();
        let connector = secure.map(Connector::new).transpose()?;
        let mut lines = Vec::new();
        for nth in 0..publishing.connections {
            let line = Line::connect(&group.target, connector.as_ref(), publishing.via)
                .with_context(|| format!("publisher {nth} to {}", group.target.publish))?;
            let data = EventData::new_u64(nth as u64);
            epoll::add(&epoll, line.socket(), data, EventFlags::IN)?;
            lines.push(line);
        }
        let channels = group.channels.total(group.connections.max(1));
        Ok(Self {
            group: group.clone(),
            publishing,
            connector,
            epoll,
            free: (0..lines.len()).collect(),
            lines,
            waiting: VecDeque::new(),
            published: vec![0; channels],
            under_way: 0,
            cursors: vec![None; channels],
            scratch: Vec::new(),
        })
    }

    /// Readable when something has come.
    pub(crate) fn epoll(&self) -> &OwnedFd {
        &self.epoll
    }

    /// Publications so far, by channel.
    pub(crate) fn published(&self) -> &[u32] {
        &self.published
    }

    /// Publications that wait for a connection, or for their answer.
    pub(crate) fn unanswered(&self) -> usize {
        self.waiting.len() + self.under_way
    }

    /// Whether a publication would not have to wait for a connection.
    pub(crate) fn is_free(&self) -> bool {
        !self.free.is_empty() && self.waiting.len() < self.publishing.batch.max(1)
    }

    /// Publishes to a channel, now or as soon as a connection is free.
    pub(crate) fn publish(&mut self, channel: usize, due: u64) -> Result<()> {
        self.waiting.push_back(Due {
            channel: u32::try_from(channel)?,
            at: due,
        });
        self.send_waiting(false)
    }

    /// Sends what waits, in batches; a batch that is not full only at the `end`.
    pub(crate) fn send_waiting(&mut self, end: bool) -> Result<()> {
        let batch = self.publishing.batch.max(1);
        while self.waiting.len() >= batch || (end && !self.waiting.is_empty()) {
            let Some(nth) = self.free.pop_front() else {
                return Ok(());
            };
            let count = self.send(nth, batch)?;
            self.under_way += count;
            if self.lines[nth].has_room() {
                self.free.push_back(nth);
            }
        }
        Ok(())
    }

    fn send(&mut self, nth: usize, batch: usize) -> Result<usize> {
        if self.lines[nth].is_spent() {
            self.lines[nth] = Line::connect(
                &self.group.target,
                self.connector.as_ref(),
                self.publishing.via,
            )?;
            let data = EventData::new_u64(nth as u64);
            epoll::add(&self.epoll, self.lines[nth].socket(), data, EventFlags::IN)?;
        }
        let count = batch.min(self.waiting.len());
        let mut items = Vec::with_capacity(count);
        let mut channels = Vec::with_capacity(count);
        for due in self.waiting.drain(..count) {
            let channel = due.channel as usize;
            let mark = Mark {
                channel: due.channel,
                sequence: self.published[channel],
                due: due.at,
            };
            self.published[channel] += 1;
            let mut payload = Vec::with_capacity(self.publishing.payload);
            mark.write_payload(&mut payload, self.publishing.payload);
            items.push((self.group.channel(channel), payload));
            channels.push(due.channel);
        }
        self.scratch.clear();
        self.lines[nth].send(&self.group.target, &items, channels, &mut self.scratch)?;
        Ok(count)
    }

    /// Takes the answers that have come, waiting for the first at most this long. Returns whether
    /// there were any.
    pub(crate) fn answers(&mut self, wait: Duration) -> Result<bool> {
        let wait = rustix::time::Timespec::try_from(wait)?;
        let mut events = [const { MaybeUninit::<Event>::uninit() }; 64];
        let events = match epoll::wait(&self.epoll, &mut events[..], Some(&wait)) {
            Ok((events, _)) => events,
            Err(rustix::io::Errno::INTR) => return Ok(true),
            Err(error) => return Err(error.into()),
        };
        for event in events.iter() {
            let nth = usize::try_from(event.data.u64())?;
            let had_room = self.lines[nth].has_room();
            let cursors = &mut self.cursors;
            self.under_way -= self.lines[nth].receive(&self.group.target, cursors)?;
            if self.lines[nth].is_closed() {
                epoll::delete(&self.epoll, self.lines[nth].socket())?;
            }
            if !had_room && self.lines[nth].has_room() {
                self.free.push_back(nth);
            }
        }
        self.send_waiting(false)?;
        Ok(!events.is_empty())
    }
}
