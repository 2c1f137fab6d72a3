//! A publication as a publisher writes it, and the checks that make a draft of it.
//!
//! One meaning for HTTP and WebSocket. Only the envelope is parsed; the payload is copied.

use std::borrow::Cow;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::{
    access::Access,
    channel::{Channel, NameError, UserId},
    engine::{Draft, IdempotencyKey, Published},
    position::Id,
    publication::{EventName, EventNameError, Payload},
};

/// Longest idempotency key, in bytes.
pub const MAX_KEY_BYTES: usize = 128;

/// `{"channel", "data"|"base64", "event"?, "user"?, "idempotency_key"?}`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DraftText<'a> {
    #[serde(borrow)]
    channel: Option<Text<'a>>,
    #[serde(borrow, default, deserialize_with = "present")]
    data: Option<&'a RawValue>,
    #[serde(borrow)]
    base64: Option<Text<'a>>,
    #[serde(borrow)]
    event: Option<Text<'a>>,
    #[serde(borrow)]
    user: Option<Text<'a>>,
    #[serde(borrow)]
    idempotency_key: Option<Text<'a>>,
}

/// A string, copied only where it has escapes: an optional `Cow` would always be copied.
#[derive(Debug, Deserialize)]
struct Text<'a>(#[serde(borrow)] Cow<'a, str>);

impl Text<'_> {
    fn get<'t>(text: &'t Option<Text<'_>>) -> Option<&'t str> {
        text.as_ref().map(|text| &*text.0)
    }
}

/// `null` is a payload like any other; only a field that is absent is none.
fn present<'de, D: serde::Deserializer<'de>>(value: D) -> Result<Option<&'de RawValue>, D::Error> {
    <&RawValue>::deserialize(value).map(Some)
}

/// Why an item can't be published; names the field.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DraftError {
    /// Field `channel`.
    #[error("the field channel is missing; name the channel to publish to")]
    NoChannel,
    /// Field `channel`.
    #[error("{0}")]
    Channel(#[from] NameError),
    /// Fields `data` and `base64`.
    #[error("give the message as data (any JSON) or as base64, one of the two")]
    Payload,
    /// Field `base64`.
    #[error("the field base64 is not standard base64 with padding")]
    Base64,
    /// Field `event`.
    #[error("{0}")]
    Event(#[from] EventNameError),
    /// Field `user`.
    #[error("the field user may be set with an API key only; a token's user is added by itself")]
    User,
    /// Field `idempotency_key`.
    #[error("the idempotency key has {0} bytes; 1 to {MAX_KEY_BYTES} are allowed")]
    Key(usize),
    /// Field `data`.
    #[error("the message has {size} bytes; at most {max} are allowed")]
    TooLarge {
        /// What came.
        size: usize,
        /// What is allowed.
        max: usize,
    },
}

impl DraftError {
    /// The error code on the wire.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::TooLarge { .. } => "too_large",
            Self::User => "forbidden",
            _ => "invalid",
        }
    }

    /// The HTTP status.
    #[must_use]
    pub fn status(&self) -> u16 {
        match self {
            Self::TooLarge { .. } => 413,
            Self::User => 403,
            _ => 400,
        }
    }

    /// Which field is wrong.
    #[must_use]
    pub fn field(&self) -> &'static str {
        match self {
            Self::NoChannel | Self::Channel(_) => "channel",
            Self::Payload | Self::TooLarge { .. } => "data",
            Self::Base64 => "base64",
            Self::Event(_) => "event",
            Self::User => "user",
            Self::Key(_) => "idempotency_key",
        }
    }
}

/// What goes with a payload, unchecked.
#[derive(Debug, Default)]
pub struct Labels<'a> {
    /// Event name.
    pub event: Option<&'a str>,
    /// Publisher's user id, where somebody claims one.
    pub user: Option<&'a str>,
    /// Idempotency key.
    pub key: Option<&'a str>,
}

impl DraftText<'_> {
    /// Checks the item. Where it goes to the `last` channel, that one's name is not hashed again.
    ///
    /// # Errors
    /// The first field that is wrong.
    pub fn check(
        &self,
        access: &Access,
        max_bytes: usize,
        last: Option<&Channel>,
    ) -> Result<Draft, DraftError> {
        let channel = match Text::get(&self.channel) {
            None => return Err(DraftError::NoChannel),
            Some("@me") => match access.user() {
                Some(user) => Channel::inbox(user),
                None => return Err(DraftError::Channel(NameError::Me)),
            },
            Some(name) => match last {
                Some(last) if last.as_str() == name => last.clone(),
                _ => Channel::parse(name)?,
            },
        };
        let payload = match (self.data, &self.base64) {
            (Some(data), None) => Payload::json(data.get()),
            (None, Some(text)) => Payload::Binary(
                STANDARD
                    .decode(text.0.as_bytes())
                    .map_err(|_| DraftError::Base64)?
                    .into(),
            ),
            _ => return Err(DraftError::Payload),
        };
        let labels = Labels {
            event: Text::get(&self.event),
            user: Text::get(&self.user),
            key: Text::get(&self.idempotency_key),
        };
        draft(channel, payload, &labels, access, max_bytes)
    }
}

/// Makes a draft of checked and unchecked parts.
///
/// # Errors
/// The first field that is wrong.
pub fn draft(
    channel: Channel,
    payload: Payload,
    labels: &Labels<'_>,
    access: &Access,
    max_bytes: usize,
) -> Result<Draft, DraftError> {
    let size = payload.as_bytes().len();
    if size > max_bytes {
        return Err(DraftError::TooLarge {
            size,
            max: max_bytes,
        });
    }
    let event = labels.event.map(EventName::parse).transpose()?;
    let user = match labels.user {
        None => access.user().cloned(),
        Some(user) if access.may_set_user() => Some(UserId::parse(user)?),
        Some(_) => return Err(DraftError::User),
    };
    let idempotency = match labels.key {
        None => None,
        Some(key) if key.is_empty() || key.len() > MAX_KEY_BYTES => {
            return Err(DraftError::Key(key.len()));
        }
        Some(key) => Some(IdempotencyKey {
            publisher: access.publisher_identity().into(),
            key: key.into(),
        }),
    };
    Ok(Draft {
        channel,
        event,
        user,
        payload,
        idempotency,
    })
}

/// A publish result: `{channel, id, durability, duplicate}`.
pub fn write_published(out: &mut Vec<u8>, channel: &Channel, published: &Published) {
    out.extend_from_slice(b"{\"channel\":\"");
    out.extend_from_slice(channel.as_str().as_bytes());
    out.extend_from_slice(b"\",\"id\":\"");
    out.extend_from_slice(Id::new(channel, published.position).as_bytes());
    out.extend_from_slice(b"\",\"durability\":\"");
    out.extend_from_slice(published.durability.as_str().as_bytes());
    out.extend_from_slice(if published.duplicate {
        b"\",\"duplicate\":true}"
    } else {
        b"\",\"duplicate\":false}"
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn null_is_a_payload_and_an_absent_one_is_none() {
        let read = |text| serde_json::from_str::<DraftText<'_>>(text).unwrap().data;
        let null = read(r#"{"channel":"a","data": null }"#);
        assert_eq!(null.map(RawValue::get), Some("null"));
        assert!(read(r#"{"channel":"a"}"#).is_none());
    }
}
