//! Which compression a WebSocket gets: what its client offers, as far as the configuration and the
//! memory for contexts allow. Called at the handshake; compresses nothing.

use bellwire_core::{format::Format, shard::Contexts};
use bellwire_wire::websocket::{
    WindowBits,
    handshake::{self, Handshake, Memory},
};

use crate::{config::Compression, shard::Local};

const NOTHING: Memory = Memory {
    server: false,
    client: false,
};
const ALL: Memory = Memory {
    server: true,
    client: true,
};

/// What was agreed on; by default nothing.
#[derive(Debug, Default)]
pub(super) struct Deflation {
    agreed: Option<handshake::Compression>,
    pub(super) contexts: Option<Contexts>,
}

impl Deflation {
    /// Accepts one of a client's offers, or none.
    pub(super) fn agree(local: &Local, handshake: &Handshake<'_>) -> Self {
        let accept = |memory| handshake::Compression::accept(handshake.extensions(), memory);
        match local.shared.config.websocket.compression {
            Compression::Off => Self::default(),
            Compression::Shared => Self::shared(accept(NOTHING)),
            Compression::Context => {
                let with_contexts = accept(ALL).and_then(|agreed| Self::with(local, agreed));
                with_contexts.unwrap_or_else(|| Self::shared(accept(NOTHING)))
            }
        }
    }

    fn shared(agreed: Option<handshake::Compression>) -> Self {
        Self {
            agreed,
            contexts: None,
        }
    }

    /// With contexts, where there is memory for them.
    fn with(local: &Local, agreed: handshake::Compression) -> Option<Self> {
        let window = agreed.server_window.unwrap_or(WindowBits::FULL);
        let sends = agreed.server_keeps_context.then_some(window);
        let receives = agreed.client_keeps_context;
        let contexts = local.inspect(|shard| shard.contexts(sends, receives))?;
        Some(Self {
            agreed: Some(agreed),
            contexts: Some(contexts),
        })
    }

    /// What the answer says of it.
    pub(super) fn answer(&self) -> Option<String> {
        self.agreed.map(|agreed| agreed.to_string())
    }

    /// The format of publications, where `raw` asks for payloads alone. What a connection
    /// compresses by itself, it reads as it is.
    pub(super) fn format(&self, raw: bool) -> Format {
        match (self.agreed, raw) {
            (Some(agreed), raw) if !agreed.server_keeps_context => Format::Deflated {
                raw,
                window: agreed.server_window.unwrap_or(WindowBits::FULL),
            },
            (_, true) => Format::WebSocketRaw,
            (_, false) => Format::WebSocket,
        }
    }
}
