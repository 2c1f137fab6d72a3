//! The client's three wires behind one interface: open with a cursor, then yield events. Driven
//! by the subscription; each wire turns bytes into events and knows no position or policy.

mod frames;
mod http;
mod poll;
mod request;
mod sse;
mod websocket;

use std::{fmt, future::Future, pin::Pin, str::FromStr};

#[cfg(feature = "conformance")]
pub(crate) use frames::{Frames, Received};
pub(crate) use http::{Exchange, problem_of, retry_after};
pub(crate) use request::Wanted;

use crate::{
    endpoint::Endpoint,
    error::Error,
    machine::{Attempt, Event},
    verdict::Loss,
};

/// How messages travel.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Transport {
    /// Server-Sent Events: one long HTTP response.
    #[default]
    Sse,
    /// A WebSocket.
    WebSocket,
    /// HTTP requests that the server holds until there is something.
    Poll,
}

impl Transport {
    /// The name used on the command line and in URLs.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Sse => "sse",
            Self::WebSocket => "ws",
            Self::Poll => "poll",
        }
    }
}

impl fmt::Display for Transport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Transport {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        [Self::Sse, Self::WebSocket, Self::Poll]
            .into_iter()
            .find(|transport| transport.as_str() == text)
            .ok_or_else(|| Error::invalid("via", format!("{text:?} is none of sse, ws and poll")))
    }
}

/// A future that is kept between polls, so that dropping whoever awaits it loses nothing.
type Kept<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// The connection of a subscription, in whatever state it is.
pub(crate) enum Link {
    /// There is none.
    Down,
    /// It is being opened.
    Opening(Kept<Result<Self, Loss>>),
    Sse(Box<sse::SseLink>),
    WebSocket(Box<websocket::WebSocketLink>),
    Poll(Box<poll::PollLink>),
}

impl Link {
    /// Starts to open a link; [`Link::next`] drives it.
    pub(crate) fn open(endpoint: Endpoint, wanted: Wanted, attempt: Attempt) -> Self {
        Self::Opening(Box::pin(async move {
            let cursor = attempt.cursor;
            Ok(match attempt.transport {
                Transport::Sse => Self::Sse(Box::new(
                    sse::SseLink::open(&endpoint, &wanted, cursor).await?,
                )),
                Transport::WebSocket => {
                    let link = websocket::WebSocketLink::open(&endpoint, &wanted, cursor).await?;
                    Self::WebSocket(Box::new(link))
                }
                Transport::Poll => Self::Poll(Box::new(
                    poll::PollLink::open(endpoint, wanted, cursor).await?,
                )),
            })
        }))
    }

    /// The next event; never one while the link is down.
    ///
    /// # Cancel safety
    /// Dropping the future loses nothing.
    pub(crate) async fn next(&mut self) -> Event {
        match self {
            Self::Down => std::future::pending().await,
            Self::Opening(opening) => match opening.await {
                Ok(link) => {
                    *self = link;
                    Event::Opened
                }
                Err(loss) => {
                    *self = Self::Down;
                    Event::Lost(loss)
                }
            },
            Self::Sse(link) => link.next().await,
            Self::WebSocket(link) => link.next().await,
            Self::Poll(link) => link.next().await,
        }
    }
}

impl fmt::Debug for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Down => "Down",
            Self::Opening(_) => "Opening",
            Self::Sse(_) => "Sse",
            Self::WebSocket(_) => "WebSocket",
            Self::Poll(_) => "Poll",
        })
    }
}
