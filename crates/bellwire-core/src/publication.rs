//! One message in a channel, as the log stores it and every wire encodes it.

use crate::{
    channel::{Channel, UserId},
    position::{Id, Position},
};

/// A publication. Never changes after its append; shared by reference count.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Publication {
    /// Where it was published.
    pub channel: Channel,
    /// Its place in the channel's log.
    pub position: Position,
    /// The offset of its predecessor, or how far the channel was forgotten before it.
    pub prev: u64,
    /// When it was appended, in milliseconds since the Unix epoch.
    pub time: u64,
    /// What not every publication has.
    pub labels: Option<Box<Labels>>,
    /// The message itself.
    pub payload: Payload,
}

/// The optional parts of a publication.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Labels {
    /// The publication's event name.
    pub event: Option<EventName>,
    /// Who published it: the `sub` of a token, or what an API key said.
    pub user: Option<UserId>,
}

/// What was published.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Payload {
    /// One JSON value without line breaks between its tokens (they are stored as spaces), so that
    /// it fits in one SSE line.
    Json(Box<str>),
    /// Arbitrary bytes; base64 in every JSON envelope.
    Binary(Box<[u8]>),
}

impl Payload {
    /// Takes JSON text that is known to be one valid value.
    #[must_use]
    pub fn json(text: &str) -> Self {
        // Inside a JSON string a line break is always escaped, so every raw one is white space.
        if memchr::memchr2(b'\r', b'\n', text.as_bytes()).is_some() {
            return Self::Json(text.replace(['\r', '\n'], " ").into());
        }
        Self::Json(text.into())
    }

    /// The stored bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        match self {
            Self::Json(text) => text.as_bytes(),
            Self::Binary(bytes) => bytes,
        }
    }
}

impl Publication {
    /// The id under which clients know it.
    #[must_use]
    pub fn id(&self) -> Id {
        Id::new(&self.channel, self.position)
    }

    /// What counts against a channel's history bytes: payload, event name and user.
    #[must_use]
    pub fn weight(&self) -> usize {
        let labels = self.labels.as_ref().map_or(0, |labels| {
            labels
                .event
                .as_ref()
                .map_or(0, |event| event.as_str().len())
                + labels.user.as_ref().map_or(0, |user| user.as_str().len())
        });
        self.payload.as_bytes().len() + labels
    }

    /// The event name, where one was given.
    #[must_use]
    pub fn event(&self) -> Option<&str> {
        self.labels.as_ref()?.event.as_ref().map(EventName::as_str)
    }

    /// The publisher's user id, where it is known.
    #[must_use]
    pub fn user(&self) -> Option<&str> {
        self.labels.as_ref()?.user.as_ref().map(UserId::as_str)
    }
}

/// A publication's event name: `[A-Za-z0-9_.-]{1,64}`, none of the names that the protocol uses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EventName(Box<str>);

/// Event names that a client could mistake for the server's own.
pub const RESERVED_EVENTS: [&str; 10] = [
    "hello",
    "gap",
    "bye",
    "status",
    "presence",
    "denied",
    "heartbeat",
    "error",
    "open",
    "message",
];

impl EventName {
    /// Checks a name.
    ///
    /// # Errors
    /// [`EventNameError`], which tells what to write instead.
    pub fn parse(name: &str) -> Result<Self, EventNameError> {
        if name.is_empty() || name.len() > 64 {
            return Err(EventNameError::Length(name.len()));
        }
        let allowed = |c: &char| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '-');
        if let Some(found) = name.chars().find(|c| !allowed(c)) {
            return Err(EventNameError::Character(found));
        }
        if RESERVED_EVENTS.contains(&name) {
            return Err(EventNameError::Reserved(name.into()));
        }
        Ok(Self(name.into()))
    }

    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Why an event name is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum EventNameError {
    /// Empty or over 64 bytes.
    #[error("the event name has {0} bytes; 1 to 64 are allowed")]
    Length(usize),
    /// Outside `[A-Za-z0-9_.-]`.
    #[error("the event name has {0:?}; allowed are A-Z a-z 0-9 _ . -")]
    Character(char),
    /// One of [`RESERVED_EVENTS`].
    #[error("the event name {0:?} is Bellwire's own; choose another, app.{0} for example")]
    Reserved(Box<str>),
}
