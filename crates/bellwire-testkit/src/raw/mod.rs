//! Clients of the three transports that know nothing of `bellwire-client`: blocking sockets and a
//! parser each. Behaviour tests and checkers call them; they must not repair, resume or hide
//! anything by themselves.

mod crowd;
mod poll;
mod sse;
mod websocket;

use std::{
    fmt, io,
    net::SocketAddr,
    time::{Duration, Instant},
};

use serde_json::Value;

pub use self::{
    crowd::{Crowd, Member},
    poll::Poll,
    sse::Sse,
    websocket::WebSocket,
};
use crate::{
    http::{Answer, Request, percent_encoded},
    wait::SOON,
};

/// The ways to receive.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Transport {
    /// `/v1/sse`.
    Sse,
    /// `/v1/ws`.
    WebSocket,
    /// `/v1/poll`.
    Poll,
}

impl Transport {
    /// All three.
    pub const ALL: [Self; 3] = [Self::Sse, Self::WebSocket, Self::Poll];

    /// Opens a stream.
    ///
    /// # Errors
    /// The answer, where it is a refusal. A poll with a cursor is refused only at its first
    /// [`Stream::next`].
    ///
    /// # Panics
    /// When there is no answer.
    pub fn try_open(self, address: SocketAddr, wish: &Wish) -> Result<Box<dyn Stream>, Answer> {
        Ok(match self {
            Self::Sse => Box::new(Sse::open(address, wish)?),
            Self::WebSocket => Box::new(WebSocket::open(address, wish)?),
            Self::Poll => Box::new(Poll::open(address, wish)?),
        })
    }

    /// Opens a stream that is not refused.
    ///
    /// # Panics
    /// When it is.
    #[must_use]
    pub fn open(self, address: SocketAddr, wish: &Wish) -> Box<dyn Stream> {
        let opened = self.try_open(address, wish);
        opened.unwrap_or_else(|answer| panic!("{self:?}: {} {}", answer.status(), answer.text()))
    }
}

/// What to subscribe to and how.
#[derive(Clone, Debug, Default)]
pub struct Wish {
    /// Channel names.
    pub channels: Vec<String>,
    /// Where to resume.
    pub cursor: Option<String>,
    /// The credential.
    pub token: Option<String>,
    /// Further parameters.
    pub query: Vec<(String, String)>,
    /// Sends channels and cursor in a POST, where the transport has one.
    pub by_post: bool,
    /// The kernel's receive buffer in bytes.
    pub receive_buffer: Option<usize>,
}

impl Wish {
    /// Subscribes to channels.
    #[must_use]
    pub fn to<C: ToString>(channels: impl IntoIterator<Item = C>) -> Self {
        let channels = channels
            .into_iter()
            .map(|channel| channel.to_string())
            .collect();
        Self {
            channels,
            ..Self::default()
        }
    }

    /// The same from a cursor.
    #[must_use]
    pub fn from(mut self, cursor: impl ToString) -> Self {
        self.cursor = Some(cursor.to_string());
        self
    }

    /// The same with a credential.
    #[must_use]
    pub fn with_token(mut self, token: impl ToString) -> Self {
        self.token = Some(token.to_string());
        self
    }

    /// The same with a query parameter.
    #[must_use]
    pub fn with(mut self, name: &str, value: &str) -> Self {
        self.query.push((name.to_owned(), value.to_owned()));
        self
    }

    /// The request for it. An SSE stream resumes as browsers do, by `Last-Event-ID`; the words
    /// `latest` and `earliest` are no event ids and go into the query.
    fn request(&self, path: &str, cursor: Option<&str>) -> Request {
        let by_header = path == "/v1/sse" && !cursor.is_some_and(|c| c.ends_with("est"));
        let mut pairs = self.query.clone();
        if !self.by_post {
            let channels = self
                .channels
                .iter()
                .map(|name| ("channel".to_owned(), name.clone()));
            pairs.extend(channels);
            let in_query = cursor.filter(|_| !by_header);
            pairs.extend(in_query.map(|cursor| ("cursor".to_owned(), cursor.to_owned())));
        }
        let pairs: Vec<String> = pairs
            .iter()
            .map(|(name, value)| format!("{name}={}", percent_encoded(value)))
            .collect();
        let target = format!("{path}?{}", pairs.join("&"));
        let request = if self.by_post {
            let body =
                serde_json::json!({"channels": self.channels, "cursor": cursor.unwrap_or("")});
            Request::post(&target, body.to_string())
        } else {
            match cursor.filter(|_| by_header) {
                Some(cursor) => Request::get(&target).header("last-event-id", cursor),
                None => Request::get(&target),
            }
        };
        request.bearer(self.token.as_deref())
    }
}

/// What a stream brings.
#[derive(Clone, Debug, PartialEq)]
pub enum Item {
    /// The start. On polls it is made of the first cursor.
    Hello(Value),
    /// An envelope.
    Message(Value),
    /// A loss.
    Gap(Value),
    /// A refused channel.
    Denied(Value),
    /// The state of the backplane.
    Status(Value),
    /// A visible heartbeat.
    Heartbeat,
    /// A goodbye.
    Bye(Value),
    /// The reply to a command, or the error of one.
    Reply(Value),
    /// An event of another name, or with data that is not JSON: name and data.
    Named(String, String),
    /// A binary message.
    Binary(Vec<u8>),
    /// A sign of life that scripts do not see: a comment, a ping, an empty answer to a poll.
    Idle,
    /// The orderly end, with the close code and reason of a WebSocket.
    End(Option<(u16, String)>),
}

/// An open stream.
pub trait Stream: fmt::Debug {
    /// Waits for the next item.
    ///
    /// # Errors
    /// Nothing by the deadline (`TimedOut`), or the stream was cut (any other kind).
    fn next(&mut self, deadline: Instant) -> io::Result<Item>;

    /// What to resume from.
    fn cursor(&self) -> String;

    /// Ends it without a word, by a reset.
    fn cut(self: Box<Self>);

    /// Waits for the next item that is not a sign of life.
    ///
    /// # Panics
    /// When none comes within [`SOON`].
    fn item(&mut self) -> Item {
        let deadline = Instant::now() + SOON;
        loop {
            match self.next(deadline) {
                Ok(Item::Idle) => {}
                Ok(item) => return item,
                Err(error) => panic!("{error} where an item should come on {self:?}"),
            }
        }
    }

    /// Waits for hello and gives it.
    ///
    /// # Panics
    /// When something else comes, or nothing.
    fn hello(&mut self) -> Value {
        match self.item() {
            Item::Hello(hello) => hello,
            other => panic!("{other:?} where hello should be"),
        }
    }

    /// Waits for a message and gives its envelope.
    ///
    /// # Panics
    /// When something else comes, or nothing.
    fn message(&mut self) -> Value {
        match self.item() {
            Item::Message(envelope) => envelope,
            other => panic!("{other:?} where a message should be"),
        }
    }

    /// Waits for so many messages and gives their data.
    ///
    /// # Panics
    /// When something else comes, or too few.
    fn data(&mut self, count: usize) -> Vec<Value> {
        (0..count).map(|_| self.message()["data"].clone()).collect()
    }

    /// Waits for a gap and gives it.
    ///
    /// # Panics
    /// When something else comes, or nothing.
    fn gap(&mut self) -> Value {
        match self.item() {
            Item::Gap(gap) => gap,
            other => panic!("{other:?} where a gap should be"),
        }
    }

    /// Looks for a while whether anything but signs of life comes.
    ///
    /// # Panics
    /// When something does.
    fn stays_silent(&mut self, time: Duration) {
        let deadline = Instant::now() + time;
        loop {
            match self.next(deadline) {
                Ok(Item::Idle) => {}
                Err(error) if error.kind() == io::ErrorKind::TimedOut => return,
                other => panic!("{other:?} where nothing should come"),
            }
        }
    }
}

/// Puts an id into a cursor in place of the one of the same channel: both begin with a version
/// and the same bytes of a hash of the name.
#[must_use]
pub fn merged(cursor: &str, id: &str) -> String {
    const CHANNEL_PART: usize = 11;
    let of = |segment: &str| segment.get(..CHANNEL_PART).map(str::to_owned);
    let kept = cursor
        .split('.')
        .filter(|segment| !segment.is_empty() && of(segment) != of(id));
    let mut segments: Vec<&str> = kept.collect();
    segments.push(id);
    segments.join(".")
}

/// The item that a control word means.
fn control(name: &str, value: Value) -> Item {
    match name {
        "hello" => Item::Hello(value),
        "gap" => Item::Gap(value),
        "denied" => Item::Denied(value),
        "status" => Item::Status(value),
        "heartbeat" => Item::Heartbeat,
        "bye" => Item::Bye(value),
        "message" => Item::Message(value),
        _ => Item::Named(name.to_owned(), value.to_string()),
    }
}

/// A string in a JSON object.
fn text<'a>(value: &'a Value, field: &str) -> &'a str {
    value[field].as_str().unwrap_or_default()
}
