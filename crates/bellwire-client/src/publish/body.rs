//! The JSON of a publish request and of its reply. Pure.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::Published;
use crate::error::{Error, Refusal};

/// What is published.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Data {
    /// Any JSON value, sent as it is.
    Json(Box<RawValue>),
    /// Arbitrary bytes.
    Binary(Bytes),
}

impl Data {
    /// JSON text as it is; nothing if it is not one JSON value.
    #[must_use]
    pub fn from_json(text: &str) -> Option<Self> {
        RawValue::from_string(text.to_owned()).ok().map(Self::Json)
    }

    /// Any value that serializes to JSON.
    ///
    /// # Errors
    /// [`Error::Invalid`] with the field `data`.
    pub fn json(value: &impl Serialize) -> Result<Self, Error> {
        serde_json::value::to_raw_value(value)
            .map(Self::Json)
            .map_err(|error| Error::invalid("data", error.to_string()))
    }
}

/// A text becomes a JSON string.
impl From<&str> for Data {
    fn from(text: &str) -> Self {
        Self::Json(serde_json::value::to_raw_value(text).expect("a string is always JSON"))
    }
}

impl From<serde_json::Value> for Data {
    fn from(value: serde_json::Value) -> Self {
        Self::Json(serde_json::value::to_raw_value(&value).expect("a value is always JSON"))
    }
}

impl From<Bytes> for Data {
    fn from(bytes: Bytes) -> Self {
        Self::Binary(bytes)
    }
}

/// One line of a batch.
#[derive(Clone, Debug)]
pub struct Publication {
    /// Where to publish.
    pub channel: String,
    /// The message.
    pub data: Data,
    /// The event name.
    pub event: Option<String>,
    /// Makes retries safe.
    pub idempotency_key: Option<String>,
}

impl Publication {
    /// One JSON object in one line.
    pub(super) fn to_json(&self) -> Vec<u8> {
        #[derive(Serialize)]
        struct Line<'a> {
            channel: &'a str,
            #[serde(skip_serializing_if = "Option::is_none")]
            event: Option<&'a str>,
            #[serde(skip_serializing_if = "Option::is_none")]
            idempotency_key: Option<&'a str>,
            #[serde(skip_serializing_if = "Option::is_none")]
            data: Option<&'a RawValue>,
            #[serde(skip_serializing_if = "Option::is_none")]
            base64: Option<String>,
        }
        let (data, base64) = match &self.data {
            Data::Json(json) => (Some(json.as_ref()), None),
            Data::Binary(bytes) => (None, Some(STANDARD.encode(bytes))),
        };
        let line = Line {
            channel: &self.channel,
            event: self.event.as_deref(),
            idempotency_key: self.idempotency_key.as_deref(),
            data,
            base64,
        };
        serde_json::to_vec(&line).expect("strings and raw JSON are always JSON")
    }
}

/// One item of a reply.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
pub(super) enum Reply {
    Published(Published),
    Refused { error: Refusal },
}

impl Reply {
    /// Reads a reply of one object, or one per line.
    pub(super) fn read_all(body: &[u8]) -> Result<Vec<Self>, Error> {
        serde_json::Deserializer::from_slice(body)
            .into_iter()
            .collect::<Result<_, _>>()
            .map_err(|error| Error::Protocol(format!("the reply to a publish is odd: {error}")))
    }

    pub(super) fn into_result(self) -> Result<Published, Refusal> {
        match self {
            Self::Published(published) => Ok(published),
            Self::Refused { error } => Err(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn json(data: Data) -> String {
        let (channel, event) = ("a".to_owned(), Some("e".to_owned()));
        let publication = Publication {
            channel,
            data,
            event,
            idempotency_key: None,
        };
        String::from_utf8(publication.to_json()).unwrap()
    }

    #[test]
    fn data_goes_out_as_it_is() {
        let raw = Data::from_json("[1.0, 2]").unwrap();
        assert_eq!(json(raw), r#"{"channel":"a","event":"e","data":[1.0, 2]}"#);
        assert_eq!(
            json("x".into()),
            r#"{"channel":"a","event":"e","data":"x"}"#
        );
        let binary = Bytes::from_static(&[0, 255]).into();
        assert_eq!(
            json(binary),
            r#"{"channel":"a","event":"e","base64":"AP8="}"#
        );
        assert!(Data::from_json("hello").is_none());
    }

    #[test]
    fn a_reply_is_one_result_or_refusal_per_line() {
        let body = concat!(
            r#"{"channel":"a","id":"1x","durability":"memory","duplicate":true}"#,
            "\n",
            r#"{"error":{"status":403,"code":"forbidden","field":"channel","detail":"no"}}"#,
        );
        let replies = Reply::read_all(body.as_bytes()).unwrap();
        let results: Vec<_> = replies.into_iter().map(Reply::into_result).collect();
        assert!(
            results[0]
                .as_ref()
                .is_ok_and(|published| published.duplicate)
        );
        let refusal = results[1].as_ref().unwrap_err();
        assert_eq!(refusal.to_string(), "channel: no (forbidden)");
    }
}
