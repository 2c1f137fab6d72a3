//! The ways in which a client connects, and what each reads with.

use bellwire_core::{
    format::{Format, Framing, SseContent, SseFormat},
    shard::Transport,
};

use bellwire_wire::websocket::WindowBits;

use super::reader::Reader;

/// How a client connects.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    /// With `?channel=` and `?cursor=`.
    WebSocket,
    /// The same, compressed; each message alone, or in the context of those before.
    Compressed {
        context: bool,
    },
    /// Bare, with commands.
    Commands,
    Sse(SseFormat),
    Poll {
        limit: usize,
        timeout_ms: u64,
    },
}

impl Way {
    /// What the shard is told, and the parser of what it answers.
    pub(crate) fn wires(self) -> (Transport, Format, Reader) {
        match self {
            Self::WebSocket | Self::Commands => (
                Transport::WebSocket,
                Format::WebSocket,
                Reader::websocket(false),
            ),
            Self::Compressed { context } => {
                // What a connection compresses by itself, it reads as it is.
                let format = match context {
                    true => Format::WebSocket,
                    false => Format::Deflated {
                        raw: false,
                        window: WindowBits::FULL,
                    },
                };
                (Transport::WebSocket, format, Reader::compressed(context))
            }
            Self::Sse(format) => {
                let chunked = format.framing == Framing::Chunked;
                let raw = format.content == SseContent::Raw;
                (
                    Transport::Sse,
                    Format::Sse(format),
                    Reader::sse(chunked, raw),
                )
            }
            Self::Poll { .. } => (Transport::Poll, Format::Json, Reader::poll()),
        }
    }
}
