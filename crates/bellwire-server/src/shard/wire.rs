//! The socket under hyper, plain or encrypted, with what had been read before, and watched for
//! unflushed writes. `accept.rs` makes it, `http1.rs` and `http2.rs` serve it, and `http1.rs`
//! takes it apart for sessions. Knows no HTTP.

use std::{
    cell::Cell,
    fmt,
    future::poll_fn,
    io::{self, IoSlice, Read, Write},
    pin::Pin,
    rc::Rc,
    task::{Context, Poll, ready},
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
    time::{Instant, sleep_until},
};

use super::tls::Tls;

/// Bytes of an answer that is copied together: a send of one slice costs less than one of several.
const SHORT_ANSWER: usize = 512;

/// What is known of hyper's writing.
#[derive(Debug)]
pub(super) struct Progress {
    /// The last thing that was done to the socket was a completed flush.
    pub(super) flushed: Cell<bool>,
    /// A request has arrived.
    pub(super) asked: Cell<bool>,
}

impl Progress {
    /// Completes when the first request has not arrived in time.
    pub(super) async fn late(&self, deadline: Instant) {
        sleep_until(deadline).await;
        if self.asked.get() {
            std::future::pending::<()>().await;
        }
    }
}

/// See the module.
pub(super) struct Wire {
    stream: TcpStream,
    tls: Option<Box<Tls>>,
    leftover: Vec<u8>,
    progress: Rc<Progress>,
}

/// A wire taken apart.
pub(super) struct Parts {
    pub(super) stream: TcpStream,
    pub(super) tls: Option<Box<Tls>>,
    /// What nobody has asked for yet.
    pub(super) leftover: Vec<u8>,
}

impl Wire {
    /// A socket, encrypted where its handshake was made, before its next request.
    pub(super) fn new(parts: Parts) -> Self {
        Self {
            stream: parts.stream,
            tls: parts.tls,
            leftover: parts.leftover,
            progress: Rc::new(Progress {
                flushed: Cell::new(true),
                asked: Cell::new(false),
            }),
        }
    }

    pub(super) fn progress(&self) -> Rc<Progress> {
        Rc::clone(&self.progress)
    }

    /// Says that nothing more comes, where that can be said and the socket takes it at once.
    pub(super) fn finish(mut self) {
        if let Some(tls) = &mut self.tls {
            // The error of a peer that is gone is of no interest.
            tls.close(&mut Direct(&self.stream)).ok();
        }
    }

    pub(super) fn into_parts(self) -> Parts {
        Parts {
            stream: self.stream,
            tls: self.tls,
            leftover: self.leftover,
        }
    }
}

/// Completes a handshake.
///
/// # Errors
/// The socket's, or the peer does not keep to the protocol.
pub(super) async fn shake_hands(stream: &TcpStream, tls: &mut Tls) -> io::Result<()> {
    poll_fn(|cx| {
        loop {
            if tls.shake_hands(&mut Direct(stream))? {
                return Poll::Ready(Ok(()));
            }
            let can_read = stream.poll_read_ready(cx)?.is_ready();
            let can_write = tls.has_sealed() && stream.poll_write_ready(cx)?.is_ready();
            if !can_read && !can_write {
                return Poll::Pending;
            }
        }
    })
    .await
}

/// The socket itself, without waiting.
struct Direct<'a>(&'a TcpStream);

impl Read for Direct<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.try_read(buffer)
    }
}

impl Write for Direct<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.try_write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl AsyncRead for Wire {
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
        let Self { stream, tls, .. } = &mut *self;
        let Some(tls) = tls else {
            return Pin::new(stream).poll_read(cx, buffer);
        };
        loop {
            if tls.needs_socket() {
                // Asked each time, because that is what ends a task's turn.
                ready!(stream.poll_read_ready(cx))?;
            }
            let room = buffer.initialize_unfilled();
            match tls.receive(&mut Direct(stream), room) {
                Ok(Some(count)) => {
                    buffer.advance(count);
                    return Poll::Ready(Ok(()));
                }
                Ok(None) => {}
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
    }
}

impl AsyncWrite for Wire {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.poll_write_vectored(cx, &[IoSlice::new(bytes)])
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let Self { stream, tls, .. } = &mut *self;
        if let Some(tls) = tls {
            while !tls.flush(&mut Direct(stream))? {
                ready!(stream.poll_write_ready(cx))?;
            }
        }
        self.progress.flushed.set(true);
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let Self { stream, tls, .. } = &mut *self;
        if let Some(tls) = tls {
            while !tls.close(&mut Direct(stream))? {
                ready!(stream.poll_write_ready(cx))?;
            }
        }
        Pin::new(stream).poll_shutdown(cx)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.progress.flushed.set(false);
        let Self { stream, tls, .. } = &mut *self;
        let Some(tls) = tls else {
            let total: usize = slices.iter().map(|slice| slice.len()).sum();
            let mut joined = [0; SHORT_ANSWER];
            if total > joined.len() {
                return Pin::new(stream).poll_write_vectored(cx, slices);
            }
            let mut end = 0;
            for slice in slices {
                joined[end..end + slice.len()].copy_from_slice(slice);
                end += slice.len();
            }
            return Pin::new(stream).poll_write(cx, &joined[..end]);
        };
        loop {
            let sent = tls.send(&mut Direct(stream), slices)?;
            if sent > 0 || slices.iter().all(|slice| slice.is_empty()) {
                return Poll::Ready(Ok(sent));
            }
            ready!(stream.poll_write_ready(cx))?;
        }
    }
}

impl fmt::Debug for Wire {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Wire")
            .field("tls", &self.tls)
            .finish_non_exhaustive()
    }
}
