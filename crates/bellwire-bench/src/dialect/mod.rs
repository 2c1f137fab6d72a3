//! How a server is spoken to: what subscribes, what tells that it has, and what publishes.
//!
//! The generator's loops know none of this. Bellwire and the servers of `bench/peers` that were
//! written for the comparison speak one dialect, finished products their own.

mod http;
mod product;
mod pusher;

use std::net::SocketAddr;

use anyhow::{Result, bail};
use bellwire_wire::websocket::{Opcode, encode_masked_frame};
use serde::{Deserialize, Serialize};

use crate::socket::Secure;

pub(crate) use self::http::{Response, response};

/// What carries deliveries.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Wire {
    /// WebSocket.
    Ws,
    /// Server-Sent Events.
    Sse,
    /// Long-polling.
    Poll,
}

impl Wire {
    /// The name for people.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Ws => "WebSocket",
            Self::Sse => "SSE",
            Self::Poll => "long-polling",
        }
    }
}

/// Whose protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Dialect {
    /// Bellwire's own; also spoken by the servers written for the comparison.
    Bellwire,
    /// Nchan, configured as in `bench/peers/nchan`.
    Nchan,
    /// Pushpin in front of `bench/peers/pushpin`'s origin.
    Pushpin,
    /// Redis `SUBSCRIBE` and `PUBLISH`.
    Redis,
    /// Centrifugo's JSON protocol and HTTP API.
    Centrifugo,
    /// A Mercure hub.
    Mercure,
    /// A server of the Pusher protocol.
    Pusher,
}

/// A server, and as whom it is spoken to.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Target {
    /// Where subscribers connect.
    pub address: SocketAddr,
    /// Where publishers connect.
    pub publish: SocketAddr,
    /// The `Host` header.
    pub host: String,
    /// Where subscribers encrypt.
    pub secure: Option<Secure>,
    /// Where publishers do.
    pub publish_secure: Option<Secure>,
    /// Whose protocol.
    pub dialect: Dialect,
    /// What carries deliveries.
    pub wire: Wire,
    /// More of a subscription's query, such as `&ids=own`.
    pub query: String,
    /// What the publisher presents: an API key or a token; for Pusher `ID:KEY:SECRET`.
    pub credential: Option<String>,
}

/// What a subscriber sends, and what tells that it was understood.
#[derive(Debug)]
pub(crate) struct Step {
    pub(crate) send: Vec<u8>,
    pub(crate) until: &'static [u8],
}

/// What a subscriber wants.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Wish<'a> {
    pub(crate) channels: &'a [String],
    pub(crate) token: Option<&'a str>,
    pub(crate) cursor: Option<&'a str>,
}

impl Target {
    /// The steps by which a connection subscribes.
    pub(crate) fn subscribe(&self, wish: Wish<'_>) -> Vec<Step> {
        match self.dialect {
            Dialect::Bellwire => vec![http::subscribe(self, wish)],
            Dialect::Nchan | Dialect::Pushpin | Dialect::Mercure => {
                vec![product::subscribe(self, wish)]
            }
            Dialect::Redis => vec![product::redis_subscribe(wish)],
            Dialect::Centrifugo => product::centrifugo_subscribe(self, wish),
            Dialect::Pusher => pusher::subscribe(self, wish),
        }
    }

    /// Whether what follows the handshake's head are WebSocket frames.
    pub(crate) fn is_websocket(&self) -> bool {
        self.wire == Wire::Ws && self.dialect != Dialect::Redis
    }

    /// Appends a request that publishes one payload, which is JSON.
    pub(crate) fn publish(&self, out: &mut Vec<u8>, channel: &str, payload: &[u8]) {
        match self.dialect {
            Dialect::Bellwire => http::publish(self, out, channel, payload),
            Dialect::Nchan | Dialect::Pushpin | Dialect::Mercure | Dialect::Centrifugo => {
                product::publish(self, out, channel, payload);
            }
            Dialect::Redis => product::redis_publish(out, channel, payload),
            Dialect::Pusher => pusher::publish(self, out, channel, payload),
        }
    }

    /// Appends a request that publishes several payloads.
    ///
    /// # Errors
    /// Only Bellwire takes batches here.
    pub(crate) fn publish_batch(
        &self,
        out: &mut Vec<u8>,
        items: &[(String, Vec<u8>)],
    ) -> Result<()> {
        if self.dialect != Dialect::Bellwire {
            bail!("batches are for --dialect bellwire");
        }
        http::publish_batch(self, out, items);
        Ok(())
    }

    /// Whether a publisher's connection ends with its answer.
    pub(crate) fn closes_publishers(&self) -> bool {
        self.dialect == Dialect::Pushpin
    }

    /// The first whole answer to a publication in these bytes: its length, and its body.
    ///
    /// # Errors
    /// The server refused.
    pub(crate) fn answer<'a>(&self, bytes: &'a [u8]) -> Result<Option<Response<'a>>> {
        match self.dialect {
            Dialect::Redis => product::redis_answer(bytes),
            _ => response(bytes),
        }
    }
}

/// A client's text frame.
pub(crate) fn text_frame(text: &str) -> Vec<u8> {
    let mut out = Vec::new();
    // The key only has to be one; there is no proxy to be confused by a known one here.
    encode_masked_frame(&mut out, Opcode::Text, text.as_bytes(), *b"bell");
    out
}
