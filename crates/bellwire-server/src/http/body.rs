//! Response bodies: whole ones, and the streams of sessions whose socket was not taken over.

use std::{
    convert::Infallible,
    pin::Pin,
    task::{Context, Poll},
};

use bytes::Bytes;
use http_body_util::Full;
use hyper::body::{Frame, SizeHint};

use crate::shard::PipeBody;

/// A response body.
#[derive(Debug)]
pub(crate) enum Body {
    /// Known whole.
    Full(Full<Bytes>),
    /// As a session writes it.
    Pipe(PipeBody),
}

impl Body {
    pub(crate) fn empty() -> Self {
        Self::Full(Full::default())
    }
}

impl From<Vec<u8>> for Body {
    fn from(bytes: Vec<u8>) -> Self {
        Self::Full(Full::new(Bytes::from(bytes)))
    }
}

impl From<&'static [u8]> for Body {
    fn from(bytes: &'static [u8]) -> Self {
        Self::Full(Full::new(Bytes::from_static(bytes)))
    }
}

impl hyper::body::Body for Body {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        match self.get_mut() {
            Self::Full(full) => Pin::new(full).poll_frame(cx),
            Self::Pipe(pipe) => Pin::new(pipe).poll_frame(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Full(full) => full.is_end_stream(),
            Self::Pipe(pipe) => pipe.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Full(full) => full.size_hint(),
            Self::Pipe(pipe) => pipe.size_hint(),
        }
    }
}
