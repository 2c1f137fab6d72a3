//! What a subscription hands to its reader, and how the protocol's JSON becomes that. Used by
//! the transports and the machine. Pure.

use std::borrow::Cow;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use bytes::Bytes;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::value::RawValue;

use crate::{transport::Transport, verdict::Loss};

/// One thing to know, in the order in which it happened.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Item {
    /// A publication.
    Message(Message),
    /// Publications of a channel are lost to this reader.
    Gap(Gap),
    /// The server works degraded, or well again.
    Status(Status),
    /// A channel is refused; the others go on.
    Denied(Denied),
    /// The server is about to end the connection.
    Bye(Bye),
    /// A connection stands.
    Connected {
        /// What it travels on.
        transport: Transport,
        /// The connection's id; a poll has none.
        connection: Option<String>,
        /// Whether it continues from a cursor rather than from now.
        resumed: bool,
    },
    /// A connection, or an attempt at one, failed.
    Disconnected {
        /// What happened, for people.
        reason: String,
        /// When the next attempt comes; nothing if this is the end.
        retry_in: Option<std::time::Duration>,
    },
}

/// A publication as it was received.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Message {
    /// Where it was published.
    pub channel: String,
    /// Its id, which is also a cursor for its channel.
    pub id: String,
    /// The event name, if it has one.
    pub event: Option<String>,
    /// The publisher's user id, if known.
    pub user: Option<String>,
    /// When it was accepted, in milliseconds since the Unix epoch.
    pub time: u64,
    /// JSON text, or the bytes themselves where `binary`.
    pub data: Bytes,
    /// Whether `data` is arbitrary bytes rather than JSON.
    pub binary: bool,
    /// The whole envelope exactly as received.
    pub envelope: Bytes,
}

/// A loss. Delivery of the channel continues after it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Gap {
    /// The channel that lost something.
    pub channel: String,
    /// `retention`, `epoch_changed`, `position_unknown`, `slow_consumer`, `backplane_loss` or
    /// `limit`.
    pub reason: String,
    /// The id of the last publication before the gap, if known.
    pub last: Option<String>,
    /// The id of the first publication after the gap, if there is one yet.
    pub next: Option<String>,
    /// The channel's cursor after the gap.
    pub cursor: String,
}

/// How well the server can do its work.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Status {
    /// `ok` or `degraded`.
    pub state: String,
    /// Why.
    #[serde(default)]
    pub reason: Option<String>,
}

/// A refusal of one channel.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Denied {
    /// The channel.
    pub channel: String,
    /// The check that failed.
    pub check: String,
    /// How to pass it.
    #[serde(default)]
    pub detail: String,
}

/// The server's announcement that it ends a connection.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Bye {
    /// Why, in one word: `drain`, `token_expired`, and the other names of the close codes.
    pub code: String,
    /// Why, for people.
    #[serde(default)]
    pub reason: String,
    /// Whether to come back.
    pub reconnect: bool,
    /// How long to stay away first, in milliseconds.
    #[serde(default)]
    pub retry_ms: Option<u64>,
}

/// The first thing a connection says.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub(crate) struct Hello {
    #[serde(default)]
    pub(crate) connection: Option<String>,
    #[serde(default)]
    pub(crate) cursor: Option<String>,
    #[serde(default)]
    pub(crate) heartbeat_ms: Option<u64>,
}

/// Something the server pushed, on whichever wire.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Push {
    Hello(Hello),
    Message(Message),
    Gap(Gap),
    Status(Status),
    Denied(Denied),
    Bye(Bye),
    /// How long to stay away after this connection, in milliseconds.
    Retry(u64),
    /// Everything up to this cursor has been pushed.
    Covered(String),
}

impl Push {
    /// Reads the data of a named SSE event; nothing for names this version does not know.
    pub(crate) fn of_event(name: &str, data: &str) -> Result<Option<Self>, Loss> {
        Ok(Some(match name {
            "message" => Self::Message(Message::parse(Bytes::copy_from_slice(data.as_bytes()))?),
            "hello" => Self::Hello(parse(data)?),
            "gap" => Self::Gap(parse(data)?),
            "status" => Self::Status(parse(data)?),
            "denied" => Self::Denied(parse(data)?),
            "bye" => Self::Bye(parse(data)?),
            _ => return Ok(None),
        }))
    }

    /// Reads a WebSocket text message: an envelope, or an object whose one key is the name.
    pub(crate) fn of_text(text: &str) -> Result<Option<Self>, Loss> {
        #[derive(Deserialize)]
        struct Frame<'a> {
            #[serde(borrow)]
            channel: Option<&'a RawValue>,
            hello: Option<Hello>,
            gap: Option<Gap>,
            status: Option<Status>,
            denied: Option<Denied>,
            bye: Option<Bye>,
        }
        // Bellwire writes the channel first; parsing most messages once is worth looking.
        if text.starts_with(r#"{"channel":"#) {
            return Self::of_event("message", text);
        }
        let frame: Frame<'_> = parse(text)?;
        if frame.channel.is_some() {
            return Self::of_event("message", text);
        }
        Ok(frame
            .hello
            .map(Self::Hello)
            .or_else(|| frame.gap.map(Self::Gap))
            .or_else(|| frame.status.map(Self::Status))
            .or_else(|| frame.denied.map(Self::Denied))
            .or_else(|| frame.bye.map(Self::Bye)))
    }
}

impl Message {
    /// Reads an envelope; the data stays where it is.
    pub(crate) fn parse(envelope: Bytes) -> Result<Self, Loss> {
        #[derive(Deserialize)]
        struct Envelope<'a> {
            #[serde(borrow)]
            channel: Cow<'a, str>,
            id: Cow<'a, str>,
            event: Option<Cow<'a, str>>,
            user: Option<Cow<'a, str>>,
            #[serde(default)]
            time: u64,
            /// `null` is data too, so serde's own reading of an option won't do.
            #[serde(default, borrow, deserialize_with = "present")]
            data: Option<&'a RawValue>,
            base64: Option<Cow<'a, str>>,
        }
        let text = std::str::from_utf8(&envelope).map_err(malformed)?;
        let parsed: Envelope<'_> = parse(text)?;
        let (data, binary) = match (parsed.data, parsed.base64) {
            (Some(json), _) => (envelope.slice_ref(json.get().as_bytes()), false),
            (None, Some(text)) => (
                STANDARD.decode(text.as_bytes()).map_err(malformed)?.into(),
                true,
            ),
            (None, None) => return Err(malformed("an envelope without data")),
        };
        Ok(Self {
            channel: parsed.channel.into_owned(),
            id: parsed.id.into_owned(),
            event: parsed.event.map(Cow::into_owned),
            user: parsed.user.map(Cow::into_owned),
            time: parsed.time,
            data,
            binary,
            envelope: envelope.clone(),
        })
    }
}

fn present<'de, D: Deserializer<'de>>(from: D) -> Result<Option<&'de RawValue>, D::Error> {
    <&RawValue>::deserialize(from).map(Some)
}

/// Parses protocol JSON; what does not fit is the peer's fault.
pub(crate) fn parse<'a, T: Deserialize<'a>>(text: &'a str) -> Result<T, Loss> {
    serde_json::from_str(text).map_err(malformed)
}

fn malformed(error: impl std::fmt::Display) -> Loss {
    Loss::passing(format!(
        "the server sent what is not Bellwire's protocol: {error}"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_envelope_keeps_its_data_byte_for_byte() {
        let text = r#"{"channel":"a","id":"1x","event":"e","time":7,"data":{"z":1.0,  "a":[]}}"#;
        let Some(Push::Message(message)) = Push::of_text(text).unwrap() else {
            panic!("{text}")
        };
        assert_eq!(message.data, r#"{"z":1.0,  "a":[]}"#.as_bytes());
        assert_eq!((message.event.as_deref(), message.time), (Some("e"), 7));
        assert_eq!(message.envelope, text.as_bytes());
    }

    #[test]
    fn base64_becomes_bytes() {
        let text = r#"{"channel":"a","id":"1x","time":7,"base64":"AP8="}"#;
        let message = Message::parse(Bytes::from_static(text.as_bytes())).unwrap();
        assert!(message.binary);
        assert_eq!(message.data.as_ref(), [0, 255]);
    }

    #[test]
    fn pushes_are_told_by_their_key_and_unknown_ones_are_ignored() {
        let gap =
            r#"{"gap":{"channel":"a","reason":"limit","last":null,"next":null,"cursor":"1"}}"#;
        assert!(matches!(Push::of_text(gap), Ok(Some(Push::Gap(_)))));
        let reordered = r#"{"time":1,"id":"1x","channel":"a","data":null}"#;
        assert!(matches!(
            Push::of_text(reordered),
            Ok(Some(Push::Message(_)))
        ));
        assert_eq!(Push::of_text(r#"{"heartbeat":{}}"#), Ok(None));
        assert_eq!(Push::of_event("novelty", "{"), Ok(None));
        assert!(Push::of_text("no json").is_err());
    }
}
