//! The JSON that every transport carries: envelopes and the server's own words.
//!
//! Written by hand, since field order is part of the contract and payloads are copied, never
//! parsed again. Knows nothing of frames or events; [`crate::format`] wraps this for each wire.

use base64::{Engine as _, engine::general_purpose::STANDARD};

use crate::{
    channel::Channel,
    engine::{Gap, HistoryPage},
    position::{EpochTag, Id, Position},
    publication::{Payload, Publication},
};

/// Appends a publication's envelope: `channel, id, event?, user?, time, data|base64`.
pub fn write_envelope(out: &mut Vec<u8>, publication: &Publication) {
    out.extend_from_slice(b"{\"channel\":\"");
    out.extend_from_slice(publication.channel.as_str().as_bytes());
    out.extend_from_slice(b"\",\"id\":\"");
    out.extend_from_slice(publication.id().as_bytes());
    out.push(b'"');
    if let Some(event) = publication.event() {
        out.extend_from_slice(b",\"event\":\"");
        out.extend_from_slice(event.as_bytes());
        out.push(b'"');
    }
    if let Some(user) = publication.user() {
        out.extend_from_slice(b",\"user\":");
        write_string(out, user);
    }
    out.extend_from_slice(b",\"time\":");
    write_number(out, publication.time);
    match &publication.payload {
        Payload::Json(text) => {
            out.extend_from_slice(b",\"data\":");
            out.extend_from_slice(text.as_bytes());
        }
        Payload::Binary(bytes) => {
            out.extend_from_slice(b",\"base64\":\"");
            write_base64(out, bytes);
            out.push(b'"');
        }
    }
    out.push(b'}');
}

/// Appends standard base64 with padding.
pub fn write_base64(out: &mut Vec<u8>, bytes: &[u8]) {
    let start = out.len();
    out.resize(start + bytes.len().div_ceil(3) * 4, 0);
    let written = STANDARD
        .encode_slice(bytes, &mut out[start..])
        .expect("the room is four per three");
    out.truncate(start + written);
}

/// Appends a JSON string with its quotes.
pub fn write_string(out: &mut Vec<u8>, text: &str) {
    serde_json::to_writer(out, text).expect("writing to memory does not fail");
}

/// Appends a decimal number.
pub fn write_number(out: &mut Vec<u8>, number: u64) {
    out.extend_from_slice(itoa::Buffer::new().format(number).as_bytes());
}

/// A gap of one channel, ready for the wire.
#[derive(Clone, Debug)]
pub struct ChannelGap {
    /// Whose.
    pub channel: Channel,
    /// Its epoch.
    pub epoch: EpochTag,
    /// The loss.
    pub gap: Gap,
}

impl ChannelGap {
    /// `{channel, reason, last, next, cursor}`.
    pub fn write(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(b"{\"channel\":\"");
        out.extend_from_slice(self.channel.as_str().as_bytes());
        out.extend_from_slice(b"\",\"reason\":\"");
        out.extend_from_slice(self.gap.reason.as_str().as_bytes());
        out.extend_from_slice(b"\",\"last\":");
        self.write_id(out, self.gap.last);
        out.extend_from_slice(b",\"next\":");
        self.write_id(out, self.gap.next);
        out.extend_from_slice(b",\"cursor\":");
        self.write_id(out, Some(self.gap.resume));
        out.push(b'}');
    }

    fn write_id(&self, out: &mut Vec<u8>, offset: Option<u64>) {
        let Some(offset) = offset else {
            out.extend_from_slice(b"null");
            return;
        };
        out.push(b'"');
        let id = Id::new(
            &self.channel,
            Position {
                epoch: self.epoch,
                offset,
            },
        );
        out.extend_from_slice(id.as_bytes());
        out.push(b'"');
    }
}

/// A refused subscription: `{channel, check, detail}`.
pub fn write_denied(out: &mut Vec<u8>, channel: &str, check: &str, detail: &str) {
    out.extend_from_slice(b"{\"channel\":");
    write_string(out, channel);
    out.extend_from_slice(b",\"check\":");
    write_string(out, check);
    out.extend_from_slice(b",\"detail\":");
    write_string(out, detail);
    out.push(b'}');
}

/// What a session starts with: `{connection, cursor, heartbeat_ms, user?}`.
pub fn write_hello(
    out: &mut Vec<u8>,
    connection: &str,
    cursor: &str,
    heartbeat_ms: u64,
    user: Option<&str>,
) {
    out.extend_from_slice(b"{\"connection\":\"");
    out.extend_from_slice(connection.as_bytes());
    out.extend_from_slice(b"\",\"cursor\":\"");
    out.extend_from_slice(cursor.as_bytes());
    out.extend_from_slice(b"\",\"heartbeat_ms\":");
    write_number(out, heartbeat_ms);
    if let Some(user) = user {
        out.extend_from_slice(b",\"user\":");
        write_string(out, user);
    }
    out.push(b'}');
}

/// What a session ends with.
#[derive(Clone, Copy, Debug)]
pub struct Bye<'a> {
    /// The close code's name, such as `token_expired`.
    pub code: &'a str,
    /// For people.
    pub reason: &'a str,
    /// Whether the client should come back.
    pub reconnect: bool,
    /// After how many milliseconds, where it should.
    pub retry_ms: u64,
    /// What to resume from.
    pub cursor: &'a str,
}

impl Bye<'_> {
    /// `{code, reason, reconnect, retry_ms, cursor}`.
    pub fn write(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(b"{\"code\":\"");
        out.extend_from_slice(self.code.as_bytes());
        out.extend_from_slice(b"\",\"reason\":");
        write_string(out, self.reason);
        out.extend_from_slice(b",\"reconnect\":");
        out.extend_from_slice(if self.reconnect { b"true" } else { b"false" });
        out.extend_from_slice(b",\"retry_ms\":");
        write_number(out, self.retry_ms);
        out.extend_from_slice(b",\"cursor\":\"");
        out.extend_from_slice(self.cursor.as_bytes());
        out.extend_from_slice(b"\"}");
    }
}

/// A page of history: `{channel, messages, gap?, cursor, more}`.
pub fn write_history(out: &mut Vec<u8>, channel: &Channel, page: &HistoryPage) {
    out.extend_from_slice(b"{\"channel\":\"");
    out.extend_from_slice(channel.as_str().as_bytes());
    out.extend_from_slice(b"\",\"messages\":[");
    for (i, publication) in page.publications.iter().enumerate() {
        if i > 0 {
            out.push(b',');
        }
        write_envelope(out, publication);
    }
    out.push(b']');
    if let Some(gap) = page.gap {
        out.extend_from_slice(b",\"gap\":");
        ChannelGap {
            channel: channel.clone(),
            epoch: page.epoch,
            gap,
        }
        .write(out);
    }
    out.extend_from_slice(b",\"cursor\":\"");
    let cursor = Id::new(
        channel,
        Position {
            epoch: page.epoch,
            offset: page.cursor,
        },
    );
    out.extend_from_slice(cursor.as_bytes());
    out.extend_from_slice(if page.more {
        b"\",\"more\":true}"
    } else {
        b"\",\"more\":false}"
    });
}
