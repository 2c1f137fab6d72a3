//! What a connection's requests know of it, and how a streaming route asks for its socket.
//!
//! `http1.rs` and `http2.rs` make one for each connection; routes see nothing else of a connection.

use std::{
    cell::{Cell, RefCell},
    fmt,
    net::SocketAddr,
    rc::Rc,
};

use bellwire_core::shard::SocketKey;
use hyper::Response;

use super::{
    census::Room,
    http2::{Stream, Streams},
    local::Session,
    wire::Progress,
};
use crate::http::{self, Listener};

/// What a streaming route leaves for the task that owns the connection.
pub(crate) struct Handover {
    /// Whether hyper still has a 101 to write, after which it lets the socket go by itself.
    pub(super) after_response: bool,
    pub(super) open: Box<dyn FnOnce(SocketKey) -> Session>,
}

/// By which door a connection came in.
#[derive(Clone, Copy, Debug)]
pub(super) struct Door {
    pub(super) peer: SocketAddr,
    pub(super) local: Option<SocketAddr>,
    pub(super) listener: Listener,
    pub(super) room: Room,
}

/// One accepted connection, as its requests see it.
pub(crate) struct Accepted {
    pub(crate) peer: SocketAddr,
    /// This side's address.
    pub(crate) local: Option<SocketAddr>,
    pub(crate) listener: Listener,
    pub(crate) room: Room,
    /// Where several requests share it, those that are open; its socket is nobody's then.
    streams: Option<Rc<Streams>>,
    handover: RefCell<Option<Handover>>,
    /// A request on this connection had a body, after which hyper may have read ahead.
    had_body: Cell<bool>,
    progress: Rc<Progress>,
}

/// How a route may stream its answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Streaming {
    /// The socket can be taken over.
    Socket,
    /// Through hyper's body.
    Body,
}

impl Accepted {
    /// A connection of one request after another.
    pub(super) fn new(door: &Door, progress: Rc<Progress>) -> Self {
        Self {
            peer: door.peer,
            local: door.local,
            listener: door.listener,
            room: door.room,
            streams: None,
            handover: RefCell::default(),
            had_body: Cell::new(false),
            progress,
        }
    }

    /// A connection of many requests at a time, none of which may have the socket.
    pub(super) fn shared(door: &Door, progress: Rc<Progress>, streams: Rc<Streams>) -> Self {
        Self {
            streams: Some(streams),
            ..Self::new(door, progress)
        }
    }

    /// Whether this request's socket can be taken over.
    pub(crate) fn streaming(&self, request_has_body: bool) -> Streaming {
        if self.streams.is_some()
            || request_has_body
            || self.had_body.get()
            || !self.progress.flushed.get()
        {
            Streaming::Body
        } else {
            Streaming::Socket
        }
    }

    /// Counts something on this connection as open beyond its answer.
    pub(super) fn hold(&self) -> Option<Stream> {
        self.streams.as_ref().map(Streams::hold)
    }

    /// Remembers that this connection carried a body.
    pub(crate) fn note_body(&self) {
        self.had_body.set(true);
    }

    /// Leaves the socket to a session. The route then returns [`never()`].
    pub(crate) fn hand_over(&self, open: impl FnOnce(SocketKey) -> Session + 'static) {
        self.handover.replace(Some(Handover {
            after_response: false,
            open: Box::new(open),
        }));
    }

    /// The same behind a 101 that the route returns to hyper.
    pub(crate) fn hand_over_upgraded(&self, open: impl FnOnce(SocketKey) -> Session + 'static) {
        self.handover.replace(Some(Handover {
            after_response: true,
            open: Box::new(open),
        }));
    }

    /// What was left to be done before anything is written.
    pub(super) fn take_now(&self) -> Option<Handover> {
        let mut handover = self.handover.borrow_mut();
        handover.take_if(|handover| !handover.after_response)
    }

    /// What was left to be done, now that everything is written.
    pub(super) fn take(&self) -> Option<Handover> {
        self.handover.take()
    }
}

impl fmt::Debug for Accepted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Accepted")
            .field("peer", &self.peer)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for Handover {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Handover").finish_non_exhaustive()
    }
}

/// The answer that never comes.
pub(crate) async fn never() -> Response<http::Body> {
    std::future::pending().await
}
