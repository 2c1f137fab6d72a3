//! How connections end: with a last word, or without.

use bellwire_wire::{
    sse::LAST_CHUNK,
    websocket::{close, encode_close},
};

use super::{
    Cause, ConnectionId, Departure, Release, Shard, Sockets,
    connection::{ConnectionRef, Ix, Phase},
    wheel::Coarse,
};
use crate::{
    format::{Format, Framing},
    segment::Pinned,
    time::Now,
};

impl<S: Sockets> Shard<S> {
    /// Says goodbye and closes once that is sent.
    pub(super) fn close(&mut self, ix: Ix, cause: Cause, reason: &str) {
        let connection = self.connection(ix);
        if connection.is_closing() {
            return;
        }
        if let Some(Phase::Attaching(attaching)) = connection.phase.as_deref_mut()
            && let Some(poll) = attaching.poll_mut()
        {
            // A poll is answered once it knows its cursor, and then goes.
            poll.timeout_ms = 0;
            poll.close = true;
            return;
        }
        if let Some(Phase::Held(held)) = connection.phase.as_deref_mut() {
            // A poll ends with an empty answer; the next one is told what is wrong.
            held.poll.close = true;
            self.answer(ix, true);
            return;
        }
        if says_bye(cause) {
            self.say_bye(ix, cause, reason);
        }
        let connection = self.connection(ix);
        let mut heard = true;
        match connection.name.format {
            Format::WebSocket | Format::WebSocketRaw | Format::Deflated { .. } => {
                let mut frame = Vec::new();
                encode_close(&mut frame, close_code(cause), reason);
                connection.output().push_own(&frame);
                heard = false;
            }
            Format::Sse(format) => {
                if format.framing == Framing::Chunked {
                    connection.output().push(Pinned::Static(LAST_CHUNK));
                }
            }
            Format::Json => {}
        }
        self.part(ix, cause, heard);
    }

    /// A violation of the WebSocket protocol: its close code says what.
    pub(super) fn close_violation(&mut self, ix: Ix, code: u16, reason: &str) {
        let mut frame = Vec::new();
        encode_close(&mut frame, code, reason);
        self.connection(ix).output().push_own(&frame);
        self.part(ix, Cause::Violation, true);
    }

    /// The peer sent a close frame: it is answered with the same code.
    pub(super) fn close_answered(&mut self, ix: Ix, code: Option<u16>) {
        let connection = self.connection(ix);
        if let Some(Phase::Closing { heard, .. }) = connection.phase.as_deref_mut() {
            *heard = true;
            self.make_ready(ix);
            return;
        }
        let mut frame = Vec::new();
        match code {
            Some(code) => encode_close(&mut frame, code, ""),
            None => frame.extend_from_slice(&[0x88, 0]),
        }
        connection.output().push_own(&frame);
        self.part(ix, Cause::Peer, true);
    }

    /// Nothing more is delivered; the socket goes when the output is sent and, where `heard` is
    /// false, the peer's close frame has come or its time is over.
    fn part(&mut self, ix: Ix, cause: Cause, heard: bool) {
        let now = self.now.mono;
        let connection = self.connection(ix);
        connection.phase = Some(Box::new(Phase::Closing { cause, heard }));
        connection.clock.heard = Coarse::floor(now);
        self.unsubscribe_all(ix);
        self.plan(ix);
        self.make_ready(ix);
    }

    /// Ends a connection whose peer can't be told anything.
    pub(super) fn depart(&mut self, ix: Ix, cause: Cause) {
        let known = match self.connections[ix as usize].phase.as_deref() {
            Some(Phase::Closing { cause, .. }) => *cause,
            _ => cause,
        };
        self.unsubscribe_all(ix);
        self.release(ix, known, Release::Close);
    }

    /// Forgets a connection.
    pub(super) fn release(&mut self, ix: Ix, cause: Cause, release: Release) {
        let connection = self.connections.remove(ix as usize);
        self.stats.closed[cause.index()] += 1;
        let departure = Departure {
            id: connection.name.id,
            transport: connection.name.transport,
            cause,
            age_ms: self.now.mono.saturating_sub(connection.clock.opened.ms()),
        };
        self.sockets
            .release(connection.name.socket, release, &departure);
    }

    pub(super) fn unsubscribe_all(&mut self, ix: Ix) {
        while let Some(last) = self.connections[ix as usize]
            .subscriptions
            .len()
            .checked_sub(1)
        {
            self.unsubscribe(ix, last);
        }
    }

    /// Closes the connections that `which` picks; returns how many.
    pub fn close_where(
        &mut self,
        cause: Cause,
        reason: &str,
        now: Now,
        which: impl Fn(&ConnectionId, Option<&str>) -> bool,
    ) -> usize {
        self.now = now;
        let picked: Vec<Ix> = self
            .connections
            .iter()
            .filter(|(_, connection)| !connection.is_closing())
            .filter(|(_, connection)| {
                let user = connection.access.user().map(crate::channel::UserId::as_str);
                which(&connection.name.id, user)
            })
            .map(|(ix, _)| Ix::try_from(ix).expect("an index of the shard"))
            .collect();
        for &ix in &picked {
            self.close(ix, cause, reason);
        }
        self.settle();
        picked.len()
    }

    /// Moves up to `count` connections away from a draining node; returns how many are left.
    pub fn drain(&mut self, count: usize, now: Now) -> usize {
        self.now = now;
        let leaving: Vec<Ix> = self
            .connections
            .iter()
            .filter(|(_, connection)| !connection.is_closing())
            .map(|(ix, _)| Ix::try_from(ix).expect("an index of the shard"))
            .take(count)
            .collect();
        for ix in leaving {
            self.close(
                ix,
                Cause::Drain,
                "the node is going away; come back to another",
            );
        }
        self.settle();
        self.connections.len()
    }

    /// How many connections have not been told to leave.
    #[must_use]
    pub fn remaining(&self) -> usize {
        self.connections
            .iter()
            .filter(|(_, connection)| !connection.is_closing())
            .count()
    }

    /// Whether the connection still exists.
    #[must_use]
    pub fn is_open(&self, connection: ConnectionRef) -> bool {
        self.connections
            .get(connection.ix as usize)
            .is_some_and(|found| found.name.generation == connection.generation)
    }
}

/// `bye` precedes each 1012, 1013 and 4xxx.
fn says_bye(cause: Cause) -> bool {
    !matches!(
        cause,
        Cause::Peer | Cause::Silent | Cause::Violation | Cause::Answered
    )
}

fn close_code(cause: Cause) -> u16 {
    match cause {
        Cause::Peer | Cause::Answered => close::NORMAL,
        Cause::Silent | Cause::Violation => close::PROTOCOL_ERROR,
        Cause::AuthTimeout => close::AUTH_TIMEOUT,
        Cause::TokenInvalid => close::TOKEN_INVALID,
        Cause::TokenExpired => close::TOKEN_EXPIRED,
        Cause::ClosedByServer => close::CLOSED_BY_SERVER,
        Cause::SlowConsumer => close::SLOW_CONSUMER,
        Cause::RawLoss => close::RAW_LOSS,
        Cause::Limit => close::LIMIT,
        Cause::Drain => close::DRAIN,
        Cause::Overloaded => close::OVERLOADED,
    }
}
