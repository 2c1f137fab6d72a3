//! One connection of HTTP/2: many requests at a time, none of which may have the socket, so
//! streams go through hyper's bodies and stop where the peer's window ends.
//!
//! `accept.rs` hands the connection over. Everything that a peer can make this side remember is
//! bounded here, or by the HTTP library's own limits, which are set by name.

use std::{
    cell::Cell,
    convert::Infallible,
    future::Future,
    pin::{Pin, pin},
    rc::Rc,
    task::{Context, Poll},
    time::Duration,
};

use bellwire_core::rate::Rate;
use bytes::Bytes;
use hyper::{
    Method, Request,
    body::{Body, Frame, Incoming, SizeHint},
    rt::Executor,
    server::conn::http2::Builder,
    service::service_fn,
};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::{
    sync::Notify,
    task::spawn_local,
    time::{Instant, sleep},
};

use super::{
    accepted::{Accepted, Door},
    census::{Room, Seat},
    local::Local,
    wire::Wire,
};
use crate::{config::Config, http};

/// Whole answers that a connection may leave untaken before its next requests wait.
const HELD_BYTES: usize = 1 << 20;
/// Requests without a body, whose answers may be large, that are being answered at a time.
const ASKING: usize = 2;
/// What one request's body may be ahead of its reader, and all of a connection's together.
const STREAM_WINDOW: u32 = 256 << 10;
const CONNECTION_WINDOW: u32 = 1 << 20;
/// What of an answer waits in the HTTP library.
const SEND_BUFFER: usize = 16 << 10;
/// Requests taken back by the peer before they were looked at, after which it is sent away.
const RESETS: usize = 20;
/// Requests a second that the peer may break off while they are answered, besides twice as many as
/// it may have open: pages that come and go do, but not for long as fast as they can.
const BREAKS_PER_SECOND: u32 = 33;
/// Requests that this side broke off, after which the peer is sent away.
const OWN_RESETS: usize = 256;

/// Serves requests until nobody has asked for a while, or the node goes away. The first has to be
/// there at `deadline`.
///
/// # Errors
/// The peer's.
pub(super) async fn serve(
    local: &Rc<Local>,
    wire: Wire,
    door: Door,
    _seat: Seat,
    deadline: Instant,
) -> Result<(), hyper::Error> {
    let config = &local.shared.config;
    let progress = wire.progress();
    // A proxy breaks off for all of its clients.
    let is_proxy = local.shared.proxies.trusts(door.peer.ip());
    let breaks = (!is_proxy).then(|| breaks_of(config.http2.max_streams));
    let streams = Rc::new(Streams::new(breaks));
    let accepted = Accepted::shared(&door, Rc::clone(&progress), Rc::clone(&streams));
    let accepted = Rc::new(accepted);
    let service = {
        let (local, streams) = (Rc::clone(local), Rc::clone(&streams));
        let progress = Rc::clone(&progress);
        service_fn(move |request: Request<Incoming>| {
            progress.asked.set(true);
            let mut stream = streams.open();
            // Of its answer nothing is taken but the head.
            stream.is_over = request.method() == Method::HEAD;
            let (local, accepted) = (Rc::clone(&local), Rc::clone(&accepted));
            Box::pin(async move {
                if request.body().is_end_stream() {
                    stream.turn().await;
                }
                let response = Box::pin(http::respond(&local, &accepted, request)).await;
                if accepted.room != Room::Seated || local.shared.drain.is_draining() {
                    stream.of.leave();
                }
                Ok::<_, Infallible>(response.map(|body| stream.with(body)))
            })
        })
    };
    let connection = builder(config).serve_connection(TokioIo::new(wire), service);
    let mut connection = pin!(connection);
    let flooded = || async {
        streams.flooded().await;
        local.count_refusal("too_many_resets");
    };
    tokio::select! {
        biased;
        ended = connection.as_mut() => return ended,
        () = progress.late(deadline) => {
            local.count_refusal("handshake_timeout");
            return Ok(());
        }
        () = streams.idle(config.limits.keep_alive_timeout) => {}
        // Who floods does not wait to be asked to go.
        () = flooded() => return Ok(()),
        () = streams.left() => {}
        () = local.shared.drain.stopped_listening() => {}
    }
    connection.as_mut().graceful_shutdown();
    let patience = config.limits.handshake_timeout;
    tokio::select! {
        ended = connection => ended,
        () = flooded() => Ok(()),
        // Who does not go by himself.
        () = streams.idle(patience) => Ok(()),
        // Who has no seat does not get one by leaving the refusal untaken.
        () = sleep(patience), if door.room != Room::Seated => Ok(()),
    }
}

fn breaks_of(max_streams: usize) -> Rate {
    Rate {
        count: BREAKS_PER_SECOND,
        per_ms: 1_000,
        burst: count(max_streams).saturating_mul(2),
    }
}

fn count(count: usize) -> u32 {
    u32::try_from(count).unwrap_or(u32::MAX)
}

fn builder(config: &Config) -> Builder<OnThread> {
    let limits = &config.limits;
    let mut builder = Builder::new(OnThread);
    builder
        .timer(TokioTimer::new())
        .max_concurrent_streams(count(config.http2.max_streams))
        .max_header_list_size(count(limits.max_head_bytes))
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_send_buf_size(SEND_BUFFER)
        .max_pending_accept_reset_streams(RESETS)
        .max_local_error_reset_streams(OWN_RESETS)
        .keep_alive_interval(config.heartbeat)
        .keep_alive_timeout(config.heartbeat);
    if config.http2.websocket {
        builder.enable_connect_protocol();
    }
    builder
}

/// Runs what hyper wants to run on the shard's thread.
#[derive(Clone, Copy, Debug)]
struct OnThread;

impl<F: Future<Output = ()> + 'static> Executor<F> for OnThread {
    fn execute(&self, future: F) {
        drop(spawn_local(future));
    }
}

/// The requests of one connection.
#[derive(Debug)]
pub(super) struct Streams {
    since: Instant,
    /// What the peer may break off; nothing where that is as many as it likes.
    allowed: Option<Rate>,
    /// See [`Rate::take`].
    breaks: Cell<u64>,
    open: Cell<usize>,
    /// Bytes of whole answers that the peer has not taken.
    held: Cell<usize>,
    /// Requests that have their turn and no answer yet.
    asking: Cell<usize>,
    leaving: Cell<bool>,
    /// The peer has broken off too many.
    flooded: Cell<bool>,
    changed: Notify,
}

impl Streams {
    fn new(allowed: Option<Rate>) -> Self {
        Self {
            since: Instant::now(),
            allowed,
            breaks: Cell::default(),
            open: Cell::default(),
            held: Cell::default(),
            asking: Cell::default(),
            leaving: Cell::default(),
            flooded: Cell::default(),
            changed: Notify::default(),
        }
    }

    /// Counts something besides a request as open.
    pub(super) fn hold(self: &Rc<Self>) -> Stream {
        let mut stream = self.open();
        stream.is_over = true;
        stream
    }

    /// Counts a request as open.
    fn open(self: &Rc<Self>) -> Stream {
        self.open.set(self.open.get() + 1);
        self.changed.notify_waiters();
        Stream {
            of: Rc::clone(self),
            held: 0,
            asking: false,
            is_over: false,
        }
    }

    fn count_break(&self) {
        let Some(allowed) = self.allowed else { return };
        let mut breaks = self.breaks.get();
        let now = u64::try_from(self.since.elapsed().as_millis()).unwrap_or(u64::MAX);
        if allowed.take(&mut breaks, now).is_err() {
            self.flooded.set(true);
            self.changed.notify_waiters();
        }
        self.breaks.set(breaks);
    }

    fn leave(&self) {
        self.leaving.set(true);
        self.changed.notify_waiters();
    }

    async fn flooded(&self) {
        while !self.flooded.get() {
            self.changed.notified().await;
        }
    }

    async fn left(&self) {
        while !self.leaving.get() {
            self.changed.notified().await;
        }
    }

    /// Completes when nothing has been asked for so long.
    async fn idle(&self, limit: Duration) {
        loop {
            while self.open.get() > 0 {
                self.changed.notified().await;
            }
            tokio::select! {
                () = self.changed.notified() => {}
                () = sleep(limit) => return,
            }
        }
    }
}

/// One request, until its answer is taken or nobody wants it any more.
#[derive(Debug)]
pub(super) struct Stream {
    of: Rc<Streams>,
    held: usize,
    asking: bool,
    /// Its answer is complete; before that the peer breaks it off, or the connection ends.
    is_over: bool,
}

impl Stream {
    /// Waits until the peer has taken enough of its earlier answers, and few are on their way.
    async fn turn(&mut self) {
        let of = &self.of;
        while of.held.get() > HELD_BYTES || of.asking.get() >= ASKING {
            of.changed.notified().await;
        }
        of.asking.set(of.asking.get() + 1);
        self.asking = true;
    }

    fn with(mut self, body: http::Body) -> Held {
        let whole = body.size_hint().exact().unwrap_or(0);
        self.held = usize::try_from(whole).unwrap_or(usize::MAX);
        self.of.held.set(self.of.held.get() + self.held);
        self.end_turn();
        self.is_over |= body.is_end_stream();
        Held { body, stream: self }
    }

    fn end_turn(&mut self) {
        if std::mem::take(&mut self.asking) {
            self.of.asking.set(self.of.asking.get() - 1);
            self.of.changed.notify_waiters();
        }
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        self.end_turn();
        if !self.is_over {
            self.of.count_break();
        }
        self.of.open.set(self.of.open.get() - 1);
        self.of.held.set(self.of.held.get() - self.held);
        self.of.changed.notify_waiters();
    }
}

/// An answer that counts as an open request for as long as it is there.
#[derive(Debug)]
struct Held {
    body: http::Body,
    stream: Stream,
}

impl Body for Held {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let frame = Pin::new(&mut self.body).poll_frame(cx);
        self.stream.is_over |= matches!(frame, Poll::Ready(None)) || self.body.is_end_stream();
        frame
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
