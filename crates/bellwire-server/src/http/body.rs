//! Response bodies: whole ones, and the streams of sessions whose socket was not taken over. Also
//! reading request bodies within their bound.

use std::{
    convert::Infallible,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use bytes::{Bytes, BytesMut};
use http_body_util::{BodyExt, Full};
use hyper::body::{Body as _, Frame, Incoming, SizeHint};

use crate::{
    problem::{INVALID, Problem, TIMEOUT, TOO_LARGE},
    shard::PipeBody,
};

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

/// Reads a request body of at most `max` bytes.
///
/// # Errors
/// Too long, too slow, or cut off.
pub(crate) async fn read(body: Incoming, max: usize, patience: Duration) -> Result<Bytes, Problem> {
    let collected = tokio::time::timeout(patience, collect(body, max)).await;
    collected.unwrap_or_else(|_| {
        let detail = "the request's body did not arrive in time";
        Err(Problem::new(TIMEOUT, detail))
    })
}

/// Copies what comes into one place. Kept as it comes, each piece, be it of one byte, would hold the
/// whole buffer that it was read into.
async fn collect(mut body: Incoming, max: usize) -> Result<Bytes, Problem> {
    let of_the_body = |code, detail: String| Problem {
        field: Some("body"),
        ..Problem::new(code, detail)
    };
    let mut whole = BytesMut::new();
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|_| of_the_body(INVALID, "the body broke off".to_owned()))?;
        // Trailers say nothing that is asked for.
        let Ok(piece) = frame.into_data() else {
            continue;
        };
        if piece.len() > max - whole.len() {
            let detail = format!("the body is longer than {max} bytes; send less at once");
            return Err(of_the_body(TOO_LARGE, detail));
        }
        if whole.is_empty() && body.is_end_stream() {
            return Ok(piece);
        }
        whole.extend_from_slice(&piece);
    }
    Ok(whole.freeze())
}
