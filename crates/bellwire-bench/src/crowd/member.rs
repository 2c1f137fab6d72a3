//! One subscriber: what it reads, by the wire it is on.

use std::io::{ErrorKind, Read, Write};

use anyhow::{Context, Result, bail};
use bellwire_wire::websocket::{Decoder, Event, Limits, Opcode, Role, encode_masked_frame};

use super::{Crowd, join::Joining, ledger::Ledger, marks::Watch};
use crate::{
    dialect::{Target, Wire, response},
    socket::Socket,
};

/// The longest message that is expected.
const MAX_MESSAGE: usize = 16 << 20;

/// See the module.
pub(super) struct Member {
    pub(super) socket: Socket,
    pub(super) state: State,
}

/// Where a subscriber is.
pub(super) enum State {
    /// Subscribing.
    Joining(Box<Joining>),
    /// Receiving.
    Joined(Intake),
}

/// What is unfinished of what was received.
pub(super) enum Intake {
    Frames(Decoder),
    /// The beginning of a mark.
    Stream(Vec<u8>),
    /// The beginning of an answer.
    Polls(Vec<u8>),
}

/// What is to be sent in return.
#[derive(Debug, Default)]
pub(super) struct Return {
    pub(super) pong: Option<Vec<u8>>,
    /// Ask again, from this cursor.
    pub(super) poll: Option<String>,
}

impl Member {
    pub(super) fn has_joined(&self) -> bool {
        matches!(self.state, State::Joined(_))
    }
}

impl Intake {
    pub(super) fn of(target: &Target) -> Self {
        if target.is_websocket() {
            let limits = Limits {
                max_message: MAX_MESSAGE,
            };
            return Self::Frames(Decoder::new(Role::Client, limits));
        }
        match target.wire {
            Wire::Poll => Self::Polls(Vec::new()),
            Wire::Ws | Wire::Sse => Self::Stream(Vec::new()),
        }
    }

    /// Takes what was read.
    pub(super) fn take(&mut self, mut bytes: &mut [u8], watch: &mut Watch<'_>) -> Result<Return> {
        let mut back = Return::default();
        match self {
            Self::Stream(carry) => watch.piece(carry, bytes),
            Self::Frames(decoder) => {
                while let Some(event) = decoder.decode(&mut bytes)? {
                    match event {
                        Event::Text(text) => watch.message(text.as_bytes()),
                        Event::Binary(payload) => watch.message(payload),
                        Event::Ping(payload) => back.pong = Some(payload.to_vec()),
                        // Nothing is compressed that was not offered.
                        Event::Pong(_) | Event::Compressed(..) => {}
                        Event::Close(reason) => bail!("the server closed it: {reason:?}"),
                    }
                }
            }
            Self::Polls(begun) => {
                begun.extend_from_slice(bytes);
                if let Some(answer) = response(begun)? {
                    watch.message(answer.body);
                    back.poll = Some(cursor(answer.body)?);
                    begun.drain(..answer.length);
                }
            }
        }
        Ok(back)
    }
}

/// The first member of a poll's answer.
fn cursor(body: &[u8]) -> Result<String> {
    let start: &[u8] = b"{\"cursor\":\"";
    let rest = body.strip_prefix(start);
    let rest = rest.context("a poll's answer begins with its cursor")?;
    let end = memchr::memchr(b'"', rest).context("a cursor ends")?;
    Ok(std::str::from_utf8(&rest[..end])?.to_owned())
}

impl Crowd {
    /// Something has happened on a connection.
    pub(super) fn handle(&mut self, nth: usize, now: u64) -> Result<()> {
        loop {
            if !self.members[nth].has_joined() {
                self.go_on_joining(nth, now)?;
            } else if let Some(count) = self.receive(nth)? {
                self.take(nth, 0..count, now)?;
            }
            // Of what is decrypted already the epoll does not tell.
            if self.members[nth].socket.decrypted()? == 0 {
                return Ok(());
            }
        }
    }

    /// Reads once into the buffer.
    pub(super) fn receive(&mut self, nth: usize) -> Result<Option<usize>> {
        match self.members[nth].socket.read(&mut self.buffer) {
            Ok(0) => bail!("the server closed it without a word"),
            Ok(count) => {
                self.traffic.bytes += count as u64;
                self.traffic.reads += 1;
                Ok(Some(count))
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// Takes a part of the buffer as what a joined connection has received.
    pub(super) fn take(
        &mut self,
        nth: usize,
        part: std::ops::Range<usize>,
        now: u64,
    ) -> Result<()> {
        let State::Joined(intake) = &mut self.members[nth].state else {
            bail!("only who has joined receives");
        };
        let mut watch = Ledger::watch(&mut self.ledger, nth, now);
        let back = intake.take(&mut self.buffer[part], &mut watch)?;
        if let Some(payload) = back.pong {
            self.pings += 1;
            let mut frame = Vec::new();
            encode_masked_frame(&mut frame, Opcode::Pong, &payload, *b"bell");
            self.send(nth, &frame)?;
        }
        match (back.poll, &mut self.pauses) {
            (Some(cursor), Some(pauses)) => pauses.wait(nth, cursor, now),
            (Some(cursor), None) => self.poll(nth, &cursor)?,
            (None, _) => {}
        }
        Ok(())
    }

    /// Asks for what follows a cursor.
    pub(super) fn poll(&mut self, nth: usize, cursor: &str) -> Result<()> {
        let request = self.request(nth, Some(cursor));
        self.send(nth, &request)?;
        self.traffic.requests += 1;
        Ok(())
    }

    /// Sends what is short enough for a socket that has nothing else to send.
    fn send(&mut self, nth: usize, bytes: &[u8]) -> Result<()> {
        self.members[nth].socket.write_all(bytes)?;
        self.traffic.sent += bytes.len() as u64;
        Ok(())
    }
}
