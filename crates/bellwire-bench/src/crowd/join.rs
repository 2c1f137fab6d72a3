//! How a subscriber comes: connect, ask, and wait for the word that it is subscribed.

use std::{
    collections::VecDeque,
    io::{ErrorKind, Write},
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};
use rustix::{
    event::epoll::{self, EventData, EventFlags},
    io::Errno,
};
use socket2::{Domain, Protocol, Type};

use super::{
    Crowd, Tokens,
    member::{Intake, Member, State},
};
use crate::{
    dialect::{Step, Wish},
    socket::Socket,
};

/// When somebody who does not get in is given up.
const PATIENCE: Duration = Duration::from_secs(30);

/// What is left to be said and heard before a connection is subscribed.
pub(super) struct Joining {
    steps: VecDeque<Step>,
    /// Received since the last step that is done.
    seen: Vec<u8>,
    /// Whether the connection stands and the first step was sent.
    asked: bool,
    /// Whether the handshake's head is over, so that frames follow.
    in_frames: bool,
}

impl Crowd {
    /// Connects everybody, or everybody again after [`Crowd::cut`]; `cursor` says from where each
    /// goes on. `joined` hears how many are there.
    pub(crate) fn join(
        &mut self,
        cursor: impl Fn(usize) -> Option<String>,
        mut joined: impl FnMut(&Self, usize),
    ) -> Result<()> {
        let total = self.group.connections;
        let mut there = 0;
        let mut progress = Instant::now();
        while there < total {
            while self.members.len() < total && self.members.len() - there < self.group.at_once {
                self.connect(self.members.len(), cursor(self.members.len()).as_deref())?;
            }
            self.read::<256>(Duration::from_millis(100))?;
            let before = there;
            // Those who came last are the only ones that may not be there yet.
            let first = there.saturating_sub(self.group.at_once);
            there = first
                + self.members[first..]
                    .iter()
                    .take_while(|member| member.has_joined())
                    .count();
            joined(self, there);
            if there > before {
                progress = Instant::now();
            }
            if progress.elapsed() > PATIENCE {
                bail!("{there} of {total} are subscribed, the others get no answer");
            }
        }
        Ok(())
    }

    fn connect(&mut self, nth: usize, cursor: Option<&str>) -> Result<()> {
        let address = self.address();
        let socket = socket2::Socket::new(
            Domain::for_address(address),
            Type::STREAM.nonblocking(),
            Some(Protocol::TCP),
        )?;
        if let Some(source) = self.group.source(nth) {
            socket.bind(&std::net::SocketAddr::new(source, 0).into())?;
        }
        socket.set_tcp_nodelay(true)?;
        match socket.connect(&address.into()) {
            Ok(()) => {}
            Err(error) if error.raw_os_error() == Some(Errno::INPROGRESS.raw_os_error()) => {}
            Err(error) => return Err(error).with_context(|| format!("connecting to {address}")),
        }
        let names: Vec<String> = self.channels_of(nth);
        let steps = self.group.target.subscribe(Wish {
            channels: &names,
            token: self.token(nth),
            cursor,
        });
        let socket = Socket::new(socket.into(), self.connector.as_ref())?;
        let flags = EventFlags::IN | EventFlags::OUT;
        epoll::add(&self.epoll, &socket, EventData::new_u64(nth as u64), flags)?;
        self.members.push(Member {
            socket,
            state: State::Joining(Box::new(Joining {
                steps: steps.into(),
                seen: Vec::new(),
                asked: false,
                in_frames: false,
            })),
        });
        Ok(())
    }

    fn channels_of(&self, nth: usize) -> Vec<String> {
        let first = self.group.channels.first(nth);
        (first..first + self.group.channels.each())
            .map(|channel| self.group.channel(channel))
            .collect()
    }

    fn token(&self, nth: usize) -> Option<&str> {
        match &self.group.tokens {
            Tokens::None => None,
            Tokens::One(token) => Some(token),
            Tokens::Minted(_) => self.minted.get(nth).map(String::as_str),
        }
    }

    /// The request by which a connection asks, from a cursor.
    pub(super) fn request(&self, nth: usize, cursor: Option<&str>) -> Vec<u8> {
        let names = self.channels_of(nth);
        let wish = Wish {
            channels: &names,
            token: self.token(nth),
            cursor,
        };
        let mut steps = self.group.target.subscribe(wish);
        steps.swap_remove(0).send
    }

    /// A connection that is not subscribed yet can write, or has received something.
    pub(super) fn go_on_joining(&mut self, nth: usize, now: u64) -> Result<()> {
        if !self.ask(nth)? {
            return Ok(());
        }
        let Some(count) = self.receive(nth)? else {
            return Ok(());
        };
        let is_websocket = self.group.target.is_websocket();
        let member = &mut self.members[nth];
        let State::Joining(joining) = &mut member.state else {
            bail!("only who is joining goes on with it");
        };
        joining.seen.extend_from_slice(&self.buffer[..count]);
        refuse_errors(&joining.seen)?;
        let Some(step) = joining.steps.front() else {
            bail!("a subscription has at least one step");
        };
        if memchr::memmem::find(&joining.seen, step.until).is_none() {
            return Ok(());
        }
        joining.steps.pop_front();
        if is_websocket && !joining.in_frames {
            let head = memchr::memmem::find(&joining.seen, b"\r\n\r\n");
            joining
                .seen
                .drain(..head.context("a response has a head")? + 4);
            joining.in_frames = true;
        }
        if let Some(next) = joining.steps.front() {
            member.socket.write_all(&next.send)?;
            self.traffic.sent += next.send.len() as u64;
            joining.seen.clear();
            return Ok(());
        }
        let seen = std::mem::take(&mut joining.seen);
        member.state = State::Joined(Intake::of(&self.group.target));
        // More than one read may have come before the word that it is subscribed.
        self.buffer.resize(self.buffer.len().max(seen.len()), 0);
        self.buffer[..seen.len()].copy_from_slice(&seen);
        self.take(nth, 0..seen.len(), now)
    }

    /// Sends the first step once the connection stands. Returns whether that was done before.
    fn ask(&mut self, nth: usize) -> Result<bool> {
        let member = &mut self.members[nth];
        let State::Joining(joining) = &mut member.state else {
            return Ok(false);
        };
        if joining.asked {
            return Ok(true);
        }
        if let Some(error) = member.socket.tcp().take_error()? {
            return Err(error).context("connecting");
        }
        let Some(step) = joining.steps.front() else {
            return Ok(false);
        };
        match member.socket.write(&step.send) {
            Ok(count) if count < step.send.len() => bail!("a request that the socket cuts"),
            Ok(count) => {
                joining.asked = true;
                self.traffic.sent += count as u64;
                self.traffic.requests += 1;
            }
            // What has begun to encrypt waits for the server.
            Err(error) if error.kind() == ErrorKind::WouldBlock && member.socket.is_encrypted() => {
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(false),
            Err(error) => return Err(error).context("asking"),
        }
        let data = EventData::new_u64(nth as u64);
        epoll::modify(&self.epoll, &member.socket, data, EventFlags::IN)?;
        Ok(false)
    }
}

/// An answer that is an error is told with its body.
fn refuse_errors(seen: &[u8]) -> Result<()> {
    let is_http = seen.starts_with(b"HTTP/1.1 ") && seen.len() > 12;
    if is_http && !seen.starts_with(b"HTTP/1.1 200") && !seen.starts_with(b"HTTP/1.1 101") {
        bail!("refused: {}", String::from_utf8_lossy(seen));
    }
    Ok(())
}
