//! The ways in which a client connects, and what each reads with.

use bellwire_core::{
    format::{Format, Framing, SseContent, SseFormat},
    shard::Transport,
};

use super::reader::Reader;

/// How a client connects.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    /// With `?channel=` and `?cursor=`.
    WebSocket,
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
