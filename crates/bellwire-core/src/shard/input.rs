//! Bytes from WebSocket clients: frames, pings, closes, and when not to read on.

use std::mem;

use bellwire_wire::websocket::{
    Decoder, Decompressor, Event, Limits, MessageKind, Opcode, Role, Violation, close, encode_frame,
};

use super::{
    Cause, ConnectionRef, Shard, Sockets,
    connection::{Ix, Output, Phase, Reading, Transport},
    contexts,
    settings::PlantedFault,
    wheel::Coarse,
};
use crate::time::Now;

/// Commands of one connection that wait for the engine, above which its socket is not read.
const MAX_IN_FLIGHT: usize = 64;
/// What to do with the socket after its bytes were looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Input {
    /// Read on.
    Continue,
    /// Do not read before [`Sockets::resume_reading`].
    Pause,
    /// The connection is gone.
    Gone,
}

impl<S: Sockets> Shard<S> {
    /// Looks at bytes that the client sent.
    pub fn input(&mut self, connection: ConnectionRef, bytes: &mut [u8], now: Now) -> Input {
        self.now = now;
        let Some(found) = self.find_mut(connection) else {
            return Input::Gone;
        };
        match found.phase.as_deref() {
            // The last word was heard, or none counts any more: what follows is no frame of ours.
            Some(Phase::Closing { heard: true, .. }) => return Input::Continue,
            // Whatever else is said, the time for an answer to the close frame runs.
            Some(Phase::Closing { .. }) => {}
            _ => {
                found.clock.heard = Coarse::floor(now.mono).max(found.clock.heard);
                found.flags.pinged = false;
            }
        }
        if !found.name.transport.is_websocket() {
            // Nothing is expected on a stream of events.
            return Input::Continue;
        }
        if found.flags.paused || self.must_pause(connection.ix) {
            self.connection(connection.ix).flags.paused = true;
            self.reading(connection.ix).held.extend_from_slice(bytes);
            return Input::Pause;
        }
        self.decode(connection, bytes);
        self.settle();
        match self.find_mut(connection) {
            None => Input::Gone,
            Some(found) if found.flags.paused => Input::Pause,
            Some(_) => Input::Continue,
        }
    }

    /// Goes on with what was held back, and with the socket.
    pub(super) fn resume_input(&mut self, ix: Ix) {
        let connection = self.connection(ix);
        if !connection.flags.paused || self.must_pause(ix) {
            return;
        }
        let connection = self.connection(ix);
        connection.flags.paused = false;
        // What it took meanwhile showed that it is there.
        connection.clock.heard = connection.clock.heard.max(connection.clock.sent);
        let generation = connection.name.generation;
        let socket = connection.name.socket;
        let held = connection.reading_mut().map(|r| mem::take(&mut r.held));
        if let Some(mut held) = held.filter(|held| !held.is_empty()) {
            self.decode(ConnectionRef { ix, generation }, &mut held);
        }
        let still = self.find_mut(ConnectionRef { ix, generation });
        if still.is_some_and(|connection| !connection.flags.paused) {
            self.sockets.resume_reading(socket);
        }
    }

    fn must_pause(&self, ix: Ix) -> bool {
        let connection = &self.connections[ix as usize];
        let waiting = connection.waiting_output().map_or(0, Output::len);
        let in_flight = connection.reading().map_or(0, |reading| reading.in_flight);
        let bound = match connection.name.transport {
            // An echo is as long as what was sent.
            Transport::Echo => 0,
            _ => self.settings.max_output_bytes,
        };
        waiting > bound
            || in_flight >= MAX_IN_FLIGHT
            || matches!(connection.phase.as_deref(), Some(Phase::Attaching(_)))
    }

    pub(super) fn max_message(&self, ix: Ix) -> usize {
        match self.connections[ix as usize].name.transport {
            Transport::Echo => self.settings.max_echo_bytes,
            Transport::WebSocket | Transport::Sse | Transport::Poll => {
                self.settings.max_message_bytes
            }
        }
    }

    pub(super) fn reading(&mut self, ix: Ix) -> &mut Reading {
        let (limits, compression) = self.decoding(ix);
        self.connection(ix).reading_or(|| Reading {
            decoder: Decoder::new(Role::Server, limits).with_compression(compression),
            held: Vec::new(),
            in_flight: 0,
        })
    }

    /// What a connection may send: how much, and whether compressed.
    fn decoding(&self, ix: Ix) -> (Limits, bool) {
        let max_message = self.max_message(ix);
        let may_compress = self.connections[ix as usize].may_compress();
        (Limits { max_message }, may_compress)
    }

    fn decode(&mut self, connection: ConnectionRef, bytes: &mut [u8]) {
        let ix = connection.ix;
        let (limits, compression) = self.decoding(ix);
        let fresh = Decoder::new(Role::Server, limits).with_compression(compression);
        let mut decoder = mem::replace(&mut self.reading(ix).decoder, fresh);
        let mut rest = bytes;
        loop {
            let outcome = match decoder.decode(&mut rest) {
                Ok(Some(Event::Compressed(kind, payload))) => {
                    self.inflate(connection, kind, payload)
                }
                Ok(Some(event)) => {
                    self.event(ix, event);
                    Ok(())
                }
                Ok(None) => break,
                Err(violation) => Err(violation),
            };
            if let Err(violation) = outcome {
                self.violation(ix, violation);
                return;
            }
            self.settle();
            let Some(found) = self.find_mut(connection) else {
                return;
            };
            let phase = found.phase.as_deref();
            if matches!(phase, Some(Phase::Closing { heard: true, .. })) {
                return;
            }
            if self.must_pause(ix) {
                break;
            }
        }
        let pausing = self.must_pause(ix);
        let found = self.connection(ix);
        found.flags.paused = pausing;
        let Some(reading) = found.reading_mut() else {
            return;
        };
        reading.decoder = decoder;
        if !rest.is_empty() {
            // In front of what was held back before, which is what `rest` came from.
            reading.held.splice(0..0, rest.iter().copied());
        }
        if reading.decoder.is_idle() && reading.held.is_empty() && reading.in_flight == 0 {
            found.finish_reading();
        }
    }

    /// Deals with a message that came compressed.
    fn inflate(
        &mut self,
        connection: ConnectionRef,
        kind: MessageKind,
        payload: &[u8],
    ) -> Result<(), Violation> {
        let ix = connection.ix;
        let limit = self.max_message(ix);
        let own = self.connection(ix).take_decompressor();
        let is_own = own.is_some();
        let mut decompressor = own
            .or_else(|| self.decompressor.take())
            .unwrap_or_else(|| Box::new(Decompressor::new(false)));
        let message = decompressor.message(kind, payload, limit);
        let outcome = message.map(|event| self.event(ix, event));
        decompressor.release();
        if !is_own {
            self.decompressor = Some(decompressor);
        } else if let Some(found) = self.find_mut(connection) {
            found.put_decompressor(decompressor);
        }
        outcome
    }

    fn violation(&mut self, ix: Ix, violation: Violation) {
        let overlooked = self.settings.planted == Some(PlantedFault::OverlookBadText);
        if overlooked && violation == Violation::InvalidUtf8 {
            return;
        }
        if self.connection(ix).is_closing() {
            self.depart(ix, Cause::Violation);
        } else {
            self.close_violation(ix, violation.close_code(), &violation.to_string());
        }
    }

    fn event(&mut self, ix: Ix, event: Event<'_>) {
        if let Event::Close(close) = event {
            self.close_answered(ix, close.map(|(code, _)| code));
            return;
        }
        let connection = self.connection(ix);
        if connection.is_closing() {
            return;
        }
        let echoes = connection.name.transport == Transport::Echo;
        match event {
            Event::Ping(payload) => {
                let mut frame = Vec::new();
                encode_frame(&mut frame, Opcode::Pong, payload);
                connection.output().push_own(&frame);
                self.make_ready(ix);
            }
            Event::Text(text) if echoes => self.echo(ix, Opcode::Text, text.as_bytes()),
            Event::Binary(bytes) if echoes => self.echo(ix, Opcode::Binary, bytes),
            Event::Pong(_) | Event::Close(_) | Event::Compressed(..) => {}
            Event::Text(_) | Event::Binary(_) if connection.name.format.is_raw_websocket() => {
                self.close_violation(ix, close::UNSUPPORTED_DATA, "a raw WebSocket only receives");
            }
            Event::Text(text) => self.command(ix, text),
            Event::Binary(_) => {
                self.close_violation(ix, close::UNSUPPORTED_DATA, "commands are text messages");
            }
        }
    }

    /// Returns a message as it came.
    fn echo(&mut self, ix: Ix, opcode: Opcode, payload: &[u8]) {
        let connection = self.connection(ix);
        if connection.compresses() {
            self.stats.compressions += contexts::echo(connection, opcode, payload);
            return self.make_ready(ix);
        }
        let window = connection.name.format.window();
        let mut frame = Vec::new();
        match window {
            Some(window) => {
                let compressors = &mut self.flush.spare.compressors;
                compressors.write_frame(window, &mut frame, opcode, payload);
            }
            None => encode_frame(&mut frame, opcode, payload),
        }
        self.connection(ix).output().push_own(&frame);
        self.make_ready(ix);
    }
}
