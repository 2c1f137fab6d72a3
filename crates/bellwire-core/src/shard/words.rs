//! The server's own words on a connection: hello, denied, gap, bye, heartbeat.
//!
//! One JSON on every wire; here it gets its frame or event. They go into the connection's output,
//! ahead of publications that are not yet sent.

use bellwire_wire::{
    sse,
    websocket::{Opcode, encode_frame},
};

use super::{
    Cause, Refused, Shard, Sockets,
    connection::{Ix, Phase, Transport},
};
use crate::{
    envelope::{Bye, ChannelGap, write_denied, write_hello},
    format::{Format, Framing},
    segment::Pinned,
};

impl<S: Sockets> Shard<S> {
    pub(super) fn say_hello(&mut self, ix: Ix, cursor: &str) {
        let heartbeat_ms = self.settings.heartbeat_ms;
        let retry = self
            .random
            .within(self.settings.retry_ms.0, self.settings.retry_ms.1);
        let connection = &self.connections[ix as usize];
        let id = connection.name.id.to_string();
        let user = connection
            .access
            .user()
            .map(|user| user.as_str().to_owned());
        let mut json = Vec::new();
        write_hello(&mut json, &id, cursor, heartbeat_ms, user.as_deref());
        self.say(ix, "hello", &json, Some(cursor), Some(retry));
    }

    pub(super) fn say_denied(&mut self, ix: Ix, refused: &Refused) {
        let mut json = Vec::new();
        write_denied(&mut json, &refused.channel, refused.check, &refused.detail);
        self.say(ix, "denied", &json, None, None);
    }

    /// A gap after which the connection's cursors already stand behind the loss.
    pub(super) fn say_gap(&mut self, ix: Ix, gap: &ChannelGap) {
        let cursor = self.cursor_of(ix);
        self.say_gap_at(ix, gap, &cursor);
    }

    pub(super) fn say_gap_at(&mut self, ix: Ix, gap: &ChannelGap, cursor: &str) {
        let connection = self.connection(ix);
        if let Some(Phase::Held(held)) = connection.phase.as_deref_mut() {
            held.gaps.push(gap.clone());
            return;
        }
        if connection.name.format.is_raw_websocket() {
            self.close(ix, Cause::RawLoss, cursor);
            return;
        }
        let mut json = Vec::new();
        gap.write(&mut json);
        self.say(ix, "gap", &json, Some(cursor), None);
    }

    pub(super) fn say_bye(&mut self, ix: Ix, cause: Cause, reason: &str) {
        let retry = self
            .random
            .within(self.settings.retry_ms.0, self.settings.retry_ms.1);
        let cursor = self.cursor_of(ix);
        let mut json = Vec::new();
        let bye = Bye {
            code: cause.as_str(),
            reason,
            reconnect: cause.reconnect(),
            retry_ms: retry,
            cursor: &cursor,
        };
        bye.write(&mut json);
        self.say(ix, "bye", &json, None, cause.reconnect().then_some(retry));
    }

    /// A sign of life. Only when nothing else waits to be sent, so never inside of a frame.
    pub(super) fn say_heartbeat(&mut self, ix: Ix) {
        let connection = self.connection(ix);
        if connection.waiting_output().is_some() || connection.flags.blocked {
            return;
        }
        let visible = connection.name.visible_heartbeats;
        let heartbeat: &'static [u8] = match (connection.name.format, visible) {
            // The ping is for the peer's answer, the message for scripts, who never see pings.
            (Format::WebSocket | Format::Deflated { raw: false, .. }, true) => {
                b"\x89\x00\x81\x10{\"heartbeat\":{}}"
            }
            (Format::WebSocket | Format::WebSocketRaw | Format::Deflated { .. }, _) => b"\x89\x00",
            (Format::Sse(format), true) => match format.framing {
                Framing::Chunked => b"1b\r\nevent: heartbeat\ndata: {}\n\n\r\n",
                Framing::Plain => b"event: heartbeat\ndata: {}\n\n",
            },
            (Format::Sse(format), false) => match format.framing {
                Framing::Chunked => b"3\r\n:\n\n\r\n",
                Framing::Plain => b":\n\n",
            },
            (Format::Json, _) => return,
        };
        connection.output().push(Pinned::Static(heartbeat));
        connection.flags.pinged = true;
        self.make_ready(ix);
    }

    /// `{"<name>": <json>}` on WebSocket, an event on SSE, nothing where only payloads are sent.
    pub(super) fn say(
        &mut self,
        ix: Ix,
        name: &str,
        json: &[u8],
        id: Option<&str>,
        retry: Option<u64>,
    ) {
        let connection = self.connection(ix);
        if connection.is_closing() || connection.name.transport == Transport::Echo {
            return;
        }
        let mut bytes = Vec::with_capacity(json.len() + 64);
        match connection.name.format {
            Format::WebSocketRaw | Format::Deflated { raw: true, .. } | Format::Json => return,
            Format::WebSocket | Format::Deflated { raw: false, .. } => {
                let mut text = Vec::with_capacity(json.len() + name.len() + 6);
                text.extend_from_slice(b"{\"");
                text.extend_from_slice(name.as_bytes());
                text.extend_from_slice(b"\":");
                text.extend_from_slice(json);
                text.push(b'}');
                encode_frame(&mut bytes, Opcode::Text, &text);
            }
            Format::Sse(format) => format.framing.write(&mut bytes, |out| {
                if let Some(retry) = retry {
                    sse::write_retry(out, retry);
                }
                if let Some(id) = id.filter(|id| !id.is_empty()) {
                    sse::write_id(out, id).expect("a cursor is base64url and dots");
                }
                sse::write_event(out, name).expect("the protocol's own name");
                sse::write_data(out, json);
                sse::end(out);
            }),
        }
        connection.output().push_own(&bytes);
        self.make_ready(ix);
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_written_out_heartbeats_have_their_lengths_right() {
        assert_eq!("{\"heartbeat\":{}}".len(), 0x10);
        assert_eq!("event: heartbeat\ndata: {}\n\n".len(), 0x1b);
        assert_eq!(":\n\n".len(), 3);
    }
}
