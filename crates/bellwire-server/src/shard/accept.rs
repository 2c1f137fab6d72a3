//! Accepting, parsing by hyper, and taking a parsed request's socket over.
//!
//! A streaming route leaves a [`Handover`] and an answer that never comes; the task that polls
//! hyper's connection then dismantles it *before any response byte was written* and gives the raw
//! socket, with the bytes read behind the request, to a session. Rules (design §4): only for
//! requests without a body, only while hyper has nothing unflushed, never with `pipeline_flush`.
//! Anything else is served through hyper's own body.

use std::{
    cell::{Cell, RefCell},
    convert::Infallible,
    fmt,
    future::{Future, poll_fn},
    io,
    net::{SocketAddr, TcpListener},
    pin::Pin,
    rc::Rc,
    task::{Context, Poll},
    time::Duration,
};

use bellwire_core::shard::SocketKey;
use hyper::{Request, Response, body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    task::spawn_local,
    time::sleep,
};

use super::{
    census::{Room, Seat},
    door::Guest,
    local::{Local, Session},
    sockets::Idle,
};
use crate::http::{self, Listener};

/// Bytes of an answer that is copied together: a send of one slice costs less than one of several.
const SHORT_ANSWER: usize = 512;

/// What a streaming route leaves for the task that owns the connection.
pub(crate) struct Handover {
    /// Whether hyper still has a 101 to write, after which it lets the socket go by itself.
    after_response: bool,
    open: Box<dyn FnOnce(SocketKey) -> Session>,
}

/// One accepted connection, as its requests see it.
pub(crate) struct Accepted {
    pub(crate) peer: SocketAddr,
    /// This side's address.
    pub(crate) local: Option<SocketAddr>,
    pub(crate) listener: Listener,
    pub(crate) room: Room,
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
    /// Whether this request's socket can be taken over.
    pub(crate) fn streaming(&self, request_has_body: bool) -> Streaming {
        if request_has_body || self.had_body.get() || !self.progress.flushed.get() {
            Streaming::Body
        } else {
            Streaming::Socket
        }
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

    fn take_now(&self) -> Option<Handover> {
        let mut handover = self.handover.borrow_mut();
        handover.take_if(|handover| !handover.after_response)
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

/// Accepts for as long as the thread runs, or until the node stops listening.
///
/// # Errors
/// The runtime does not take the listener.
pub(super) fn accept(
    local: &Rc<Local>,
    listener: TcpListener,
    kind: Listener,
) -> io::Result<impl Future<Output = ()> + use<>> {
    let listener = tokio::net::TcpListener::from_std(listener)?;
    let local = Rc::clone(local);
    Ok(async move {
        loop {
            // With no room even for an answer the rest waits in the kernel's queue.
            while local.shared.census.is_crowded() {
                local.shared.census.departure().await;
            }
            let accepted = tokio::select! {
                accepted = listener.accept() => accepted,
                () = local.shared.drain.stopped_listening() => {
                    empty_queue(&local, &listener, kind).await;
                    return;
                }
            };
            match accepted {
                Ok((stream, peer)) => admit(&local, stream, peer, kind),
                Err(error) if is_of_the_peer(&error) => {}
                Err(error) => {
                    // Out of descriptors or memory: accepting again at once would spin.
                    tracing::warn!(%error, "accepting failed; trying again in 100 ms");
                    sleep(Duration::from_millis(100)).await;
                }
            }
        }
    })
}

/// Takes in who has connected already, so that closing the listener resets nobody.
async fn empty_queue(local: &Rc<Local>, listener: &tokio::net::TcpListener, kind: Listener) {
    loop {
        let next = poll_fn(|cx| match listener.poll_accept(cx) {
            Poll::Ready(Ok(accepted)) => Poll::Ready(Some(accepted)),
            Poll::Ready(Err(_)) | Poll::Pending => Poll::Ready(None),
        });
        let Some((stream, peer)) = next.await else {
            return;
        };
        admit(local, stream, peer, kind);
    }
}

fn is_of_the_peer(error: &io::Error) -> bool {
    use io::ErrorKind as Kind;
    matches!(
        error.kind(),
        Kind::ConnectionAborted
            | Kind::ConnectionReset
            | Kind::ConnectionRefused
            | Kind::Interrupted
    )
}

fn admit(local: &Rc<Local>, stream: tokio::net::TcpStream, peer: SocketAddr, listener: Listener) {
    let guest = Guest::of(local, stream, peer);
    if listener == Listener::Main && local.shared.config.proxy_protocol {
        let local = Rc::clone(local);
        drop(spawn_local(async move {
            if let Some(guest) = guest.announced(&local).await {
                welcome(&local, guest, listener);
            }
        }));
    } else {
        welcome(local, guest, listener);
    }
}

fn welcome(local: &Rc<Local>, guest: Guest, listener: Listener) {
    let arrived = Arrived {
        stream: guest.stream,
        peer: guest.peer,
        seat: guest.seat,
        leftover: Vec::new(),
    };
    start(local, arrived, listener, guest.room);
}

/// Serves a socket on which a poll was answered and the next request begins.
pub(super) fn serve_again(local: &Rc<Local>, idle: Idle) {
    let Idle {
        stream,
        seat,
        leftover,
    } = idle;
    // The error of a peer that is gone is of no interest.
    let Ok(mut peer) = stream.peer_addr() else {
        return;
    };
    if let Some(client) = seat.address() {
        peer.set_ip(client);
    }
    let Ok(stream) = tokio::net::TcpStream::from_std(stream) else {
        return;
    };
    let arrived = Arrived {
        stream,
        peer,
        seat,
        leftover,
    };
    start(local, arrived, Listener::Main, Room::Seated);
}

/// A socket that the runtime waits for, before its next request.
struct Arrived {
    stream: tokio::net::TcpStream,
    peer: SocketAddr,
    seat: Seat,
    /// What had been read behind the last request.
    leftover: Vec<u8>,
}

fn start(local: &Rc<Local>, arrived: Arrived, listener: Listener, room: Room) {
    let local = Rc::clone(local);
    drop(spawn_local(async move {
        if let Err(error) = serve(&local, arrived, listener, room).await {
            tracing::debug!(%error, "an HTTP connection ended");
        }
    }));
}

async fn serve(
    local: &Rc<Local>,
    arrived: Arrived,
    listener: Listener,
    room: Room,
) -> Result<(), hyper::Error> {
    let Arrived {
        stream,
        peer,
        seat,
        leftover,
    } = arrived;
    let progress = Rc::new(Progress::of_a_new_connection());
    let local_address = stream.local_addr().ok();
    let io = Watched {
        stream,
        leftover,
        progress: Rc::clone(&progress),
    };
    let accepted = Rc::new(Accepted {
        peer,
        local: local_address,
        listener,
        room,
        handover: RefCell::default(),
        had_body: Cell::new(false),
        progress: Rc::clone(&progress),
    });
    let limits = &local.shared.config.limits;
    let service = {
        let (local, accepted) = (Rc::clone(local), Rc::clone(&accepted));
        service_fn(move |request: Request<Incoming>| {
            progress.asked.set(true);
            let (local, accepted) = (Rc::clone(&local), Rc::clone(&accepted));
            Box::pin(async move {
                let response = Box::pin(http::respond(&local, &accepted, request));
                Ok::<_, Infallible>(response.await)
            })
        })
    };
    let mut builder = http1::Builder::new();
    builder
        .timer(TokioTimer::new())
        .header_read_timeout(limits.keep_alive_timeout)
        .max_buf_size(limits.max_head_bytes.max(8_192));
    let mut connection = builder.serve_connection(TokioIo::new(io), service);
    let driven = poll_fn(|cx| match connection.poll_without_shutdown(cx) {
        Poll::Ready(result) => Poll::Ready(result.map(|()| accepted.handover.take())),
        Poll::Pending => match accepted.take_now() {
            Some(handover) => Poll::Ready(Ok(Some(handover))),
            None => Poll::Pending,
        },
    });
    let handover = tokio::select! {
        biased;
        handover = driven => handover?,
        () = head_is_late(&accepted, limits.handshake_timeout) => {
            local.count_refusal("handshake_timeout");
            return Ok(());
        }
    };
    let Some(handover) = handover else {
        return Ok(());
    };
    let parts = connection.into_parts();
    let Watched { stream, .. } = parts.io.into_inner();
    let Ok(stream) = stream.into_std() else {
        return Ok(());
    };
    let idle = Idle {
        stream,
        seat,
        leftover: parts.read_buf.to_vec(),
    };
    if let Err(error) = local.take_over(idle, handover.open) {
        tracing::warn!(%error, "a socket could not be taken over");
    }
    Ok(())
}

/// Completes when the first request has not arrived in time.
async fn head_is_late(accepted: &Accepted, limit: Duration) {
    sleep(limit).await;
    if accepted.progress.asked.get() {
        std::future::pending::<()>().await;
    }
}

/// What is known of hyper's writing.
#[derive(Debug)]
struct Progress {
    /// The last thing that was done to the socket was a completed flush.
    flushed: Cell<bool>,
    /// A request has arrived.
    asked: Cell<bool>,
}

impl Progress {
    fn of_a_new_connection() -> Self {
        Self {
            flushed: Cell::new(true),
            asked: Cell::new(false),
        }
    }
}

/// The socket under hyper, with what had been read before, and watched for unflushed writes.
struct Watched {
    stream: tokio::net::TcpStream,
    leftover: Vec<u8>,
    progress: Rc<Progress>,
}

impl AsyncRead for Watched {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if !self.leftover.is_empty() {
            let taken = self.leftover.len().min(buffer.remaining());
            buffer.put_slice(&self.leftover[..taken]);
            self.leftover.drain(..taken);
            return Poll::Ready(Ok(()));
        }
        Pin::new(&mut self.stream).poll_read(cx, buffer)
    }
}

impl AsyncWrite for Watched {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.progress.flushed.set(false);
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = Pin::new(&mut self.stream).poll_flush(cx);
        if flushed.is_ready() {
            self.progress.flushed.set(true);
        }
        flushed
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.progress.flushed.set(false);
        let total: usize = slices.iter().map(|slice| slice.len()).sum();
        let mut joined = [0; SHORT_ANSWER];
        if total > joined.len() {
            return Pin::new(&mut self.stream).poll_write_vectored(cx, slices);
        }
        let mut end = 0;
        for slice in slices {
            joined[end..end + slice.len()].copy_from_slice(slice);
            end += slice.len();
        }
        Pin::new(&mut self.stream).poll_write(cx, &joined[..end])
    }
}
