//! The wire formats in which a publication is encoded, once each, and shared by all readers.
//!
//! Called by [`crate::segment`] on first need. Must not know connections: what differs between
//! two connections of one format is not part of the format.

use std::borrow::Cow;

use bellwire_wire::{
    sse,
    websocket::{Opcode, WindowBits, encode_frame, write_frame},
};

use crate::{
    compression::Compressors,
    envelope::{write_base64, write_envelope},
    publication::{Payload, Publication},
};

/// How a connection wants its publications.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Format {
    /// One text frame with the envelope.
    WebSocket,
    /// One frame with the payload alone.
    WebSocketRaw,
    /// One frame as of one of the two above, compressed where that makes it shorter.
    Deflated {
        /// Whether it holds the payload alone.
        raw: bool,
        /// What the client's window takes.
        window: WindowBits,
    },
    /// One event.
    Sse(SseFormat),
    /// A comma and the envelope, for the array of a poll's answer.
    Json,
}

/// The variants of an SSE event.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct SseFormat {
    /// How the stream is framed.
    pub framing: Framing,
    /// Whether the `id:` line is the publication's own, part of the shared bytes; otherwise the
    /// connection's composite line goes before the event.
    pub own_id: bool,
    /// What `event:` and `data:` hold.
    pub content: SseContent,
}

/// How a stream of bytes is framed in its HTTP response.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Framing {
    /// HTTP/1.1 chunks: one event is one chunk.
    #[default]
    Chunked,
    /// Close-delimited (HTTP/1.0), or framed by somebody else (hyper's bodies).
    Plain,
}

/// What an SSE event shows of a publication.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum SseContent {
    /// The envelope, as a `message` event.
    #[default]
    Envelope,
    /// The envelope, as an event named after the publication's event.
    Named,
    /// The payload alone.
    Raw,
}

impl Format {
    /// Appends a publication.
    pub fn encode(
        self,
        out: &mut Vec<u8>,
        publication: &Publication,
        compressors: &mut Compressors,
    ) {
        match self {
            Self::WebSocket => {
                write_frame(out, Opcode::Text, |out| write_envelope(out, publication));
            }
            Self::WebSocketRaw => {
                let (opcode, payload) = raw_message(publication);
                encode_frame(out, opcode, &payload);
            }
            Self::Deflated { raw, window } => {
                encode_deflated(out, publication, compressors, raw, window);
            }
            Self::Sse(format) => format
                .framing
                .write(out, |out| format.encode(out, publication)),
            Self::Json => {
                out.push(b',');
                write_envelope(out, publication);
            }
        }
    }

    /// Whether every publication needs a line of the connection's own before it.
    #[must_use]
    pub fn is_composite(self) -> bool {
        matches!(self, Self::Sse(SseFormat { own_id: false, .. }))
    }

    /// Whether nothing but payloads may be sent.
    #[must_use]
    pub fn is_raw_websocket(self) -> bool {
        matches!(self, Self::WebSocketRaw | Self::Deflated { raw: true, .. })
    }

    /// The window with which messages of a WebSocket are compressed.
    #[must_use]
    pub fn window(self) -> Option<WindowBits> {
        match self {
            Self::Deflated { window, .. } => Some(window),
            Self::WebSocket | Self::WebSocketRaw | Self::Sse(_) | Self::Json => None,
        }
    }

    /// The framing of the server's own words, for SSE.
    #[must_use]
    pub fn framing(self) -> Framing {
        match self {
            Self::Sse(format) => format.framing,
            Self::WebSocket | Self::WebSocketRaw | Self::Deflated { .. } | Self::Json => {
                Framing::Plain
            }
        }
    }
}

impl Framing {
    /// Appends what `write` appends, as one piece of the stream.
    pub fn write(self, out: &mut Vec<u8>, write: impl FnOnce(&mut Vec<u8>)) {
        match self {
            Self::Chunked => sse::write_chunk(out, write),
            Self::Plain => write(out),
        }
    }
}

impl SseFormat {
    fn encode(self, out: &mut Vec<u8>, publication: &Publication) {
        if self.own_id {
            sse::write_id(out, publication.id().as_str()).expect("an id is base64url");
        }
        match self.content {
            SseContent::Raw => write_raw_data(out, &publication.payload),
            SseContent::Envelope => write_envelope_data(out, publication),
            SseContent::Named => {
                if let Some(event) = publication.event() {
                    sse::write_event(out, event).expect("event names are checked at publish");
                }
                write_envelope_data(out, publication);
            }
        }
        sse::end(out);
    }
}

fn write_envelope_data(out: &mut Vec<u8>, publication: &Publication) {
    // An envelope is one line: its payload was stored without line breaks.
    out.extend_from_slice(b"data: ");
    write_envelope(out, publication);
    out.push(b'\n');
}

fn write_raw_data(out: &mut Vec<u8>, payload: &Payload) {
    match payload {
        Payload::Json(text) => match decoded_string(text) {
            Some(string) => sse::write_data(out, string.as_bytes()),
            None => sse::write_data(out, text.as_bytes()),
        },
        Payload::Binary(bytes) => {
            out.extend_from_slice(b"data: ");
            write_base64(out, bytes);
            out.push(b'\n');
        }
    }
}

/// Apart, so that the formats without compression stay as short as they are.
#[inline(never)]
fn encode_deflated(
    out: &mut Vec<u8>,
    publication: &Publication,
    compressors: &mut Compressors,
    raw: bool,
    window: WindowBits,
) {
    if raw {
        let (opcode, payload) = raw_message(publication);
        compressors.write_frame(window, out, opcode, &payload);
    } else {
        compressors.write_frame_with(window, out, Opcode::Text, |out| {
            write_envelope(out, publication);
        });
    }
}

/// The message of a raw WebSocket.
fn raw_message(publication: &Publication) -> (Opcode, Cow<'_, [u8]>) {
    match &publication.payload {
        Payload::Json(text) => {
            let payload = match decoded_string(text) {
                Some(string) => Cow::Owned(string.into_bytes()),
                None => Cow::Borrowed(text.as_bytes()),
            };
            (Opcode::Text, payload)
        }
        Payload::Binary(bytes) => (Opcode::Binary, Cow::Borrowed(bytes)),
    }
}

/// The text of a JSON string; nothing for any other JSON.
fn decoded_string(json: &str) -> Option<String> {
    if json.trim_start().starts_with('"') {
        serde_json::from_str(json).ok()
    } else {
        None
    }
}
