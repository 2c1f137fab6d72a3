//! The way into a response body that hyper writes: for requests with a body and those of HTTP/2,
//! whose socket is not taken over. The session sees a socket of 16 KiB; hyper's `poll_frame` empties it.

use std::{
    cell::RefCell,
    convert::Infallible,
    fmt,
    io::IoSlice,
    pin::Pin,
    rc::Rc,
    task::{Context, Poll, Waker},
};

use bellwire_core::shard::{Sent, SocketKey};
use bytes::{Bytes, BytesMut};
use http_body::{Body, Frame};

use super::local::Local;

/// What the session may have written that hyper has not taken.
const PIPE_BYTES: usize = 16 << 10;

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct Pipe {
    bytes: BytesMut,
    blocked: bool,
    ended: bool,
    reader_gone: bool,
    waker: Option<Waker>,
    input: Input,
}

/// The other direction, where one is pumped.
#[derive(Debug, Default)]
struct Input {
    /// Whether the session takes nothing for now.
    paused: bool,
    pump: Option<Waker>,
}

impl Pipe {
    pub(crate) fn write(&mut self, slices: &[IoSlice<'_>]) -> Sent {
        if self.reader_gone {
            return Sent::Gone;
        }
        let mut written = 0;
        for slice in slices {
            let room = PIPE_BYTES - self.bytes.len();
            let taken = slice.len().min(room);
            self.bytes.extend_from_slice(&slice[..taken]);
            written += taken;
            if taken < slice.len() {
                self.blocked = true;
                break;
            }
        }
        self.wake();
        Sent::Bytes(written)
    }

    pub(crate) fn end(&mut self) {
        self.ended = true;
        self.wake();
    }

    /// The session takes nothing until [`Pipe::resume`].
    pub(crate) fn pause(&mut self) {
        self.input.paused = true;
    }

    pub(crate) fn resume(&mut self) {
        self.input.paused = false;
        if let Some(pump) = self.input.pump.take() {
            pump.wake();
        }
    }

    /// Completes when the session takes what comes.
    pub(super) fn poll_resumed(&mut self, cx: &Context<'_>) -> Poll<()> {
        if self.input.paused {
            self.input.pump = Some(cx.waker().clone());
            return Poll::Pending;
        }
        Poll::Ready(())
    }

    fn wake(&mut self) {
        if let Some(waker) = self.waker.take() {
            waker.wake();
        }
    }
}

/// The reading end.
pub(crate) struct PipeBody {
    pub(crate) pipe: Rc<RefCell<Pipe>>,
    pub(crate) local: Rc<Local>,
    pub(crate) socket: SocketKey,
}

impl Body for PipeBody {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let mut pipe = self.pipe.borrow_mut();
        if pipe.bytes.is_empty() {
            if pipe.ended {
                return Poll::Ready(None);
            }
            pipe.waker = Some(cx.waker().clone());
            return Poll::Pending;
        }
        // Nothing of it stays: an idle pipe owns no buffer.
        let bytes = std::mem::take(&mut pipe.bytes).freeze();
        let was_blocked = std::mem::take(&mut pipe.blocked);
        drop(pipe);
        if was_blocked {
            self.local.pipe_has_room(self.socket);
        }
        Poll::Ready(Some(Ok(Frame::data(bytes))))
    }
}

impl Drop for PipeBody {
    fn drop(&mut self) {
        let mut pipe = self.pipe.borrow_mut();
        pipe.reader_gone = true;
        let ended = pipe.ended;
        drop(pipe);
        if !ended {
            self.local.pipe_ended(self.socket);
        }
    }
}

impl fmt::Debug for PipeBody {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PipeBody")
            .field("socket", &self.socket)
            .finish_non_exhaustive()
    }
}
