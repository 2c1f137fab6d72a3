//! Reading the bodies of requests: each within its bound, and all that are on their way within the
//! node's. Routes that take a body call it.

use std::{
    sync::atomic::{AtomicUsize, Ordering},
    time::Duration,
};

use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt;
use hyper::body::{Body as _, Incoming};

use crate::{
    config::Limits,
    problem::{INVALID, OVERLOADED, Problem, TIMEOUT, TOO_LARGE},
};

/// The longest list of channels: all of a connection, with a grant of some KiB for each. It is read
/// before it is known what is open to whom, so it is shorter than what publishers may send.
const LIST_BYTES: usize = 1 << 20;
/// Lists have this part of the memory for bodies, so that they keep out no publisher.
const LISTS: usize = 4;

/// How the bodies of one kind are read.
#[derive(Debug)]
pub(crate) struct Intake {
    /// The longest one, in bytes.
    max: usize,
    patience: Duration,
    /// What all that have begun to come may hold, and do hold.
    most: usize,
    held: AtomicUsize,
}

/// What one body holds while it comes.
struct Held<'a> {
    of: &'a Intake,
    bytes: usize,
}

impl Intake {
    /// For what publishers send.
    pub(crate) fn of_publishes(limits: &Limits) -> Self {
        Self::new(limits, limits.max_body_bytes, limits.body_bytes)
    }

    /// For lists of channels.
    pub(crate) fn of_lists(limits: &Limits) -> Self {
        let max = limits.max_body_bytes.min(LIST_BYTES);
        Self::new(limits, max, (limits.body_bytes / LISTS).max(max))
    }

    fn new(limits: &Limits, max: usize, most: usize) -> Self {
        Self {
            max,
            patience: limits.keep_alive_timeout,
            most,
            held: AtomicUsize::new(0),
        }
    }

    /// Reads a request's body.
    ///
    /// # Errors
    /// Too long, too slow, cut off, or others hold all the memory for bodies.
    pub(crate) async fn read(&self, body: Incoming) -> Result<Bytes, Problem> {
        let collected = tokio::time::timeout(self.patience, self.collect(body)).await;
        collected.unwrap_or_else(|_| {
            let detail = "the request's body did not arrive in time";
            Err(Problem::new(TIMEOUT, detail))
        })
    }

    /// Copies what comes into one place. Kept as it comes, each piece, be it of one byte, would
    /// hold the whole buffer that it was read into.
    async fn collect(&self, mut body: Incoming) -> Result<Bytes, Problem> {
        let of_the_body = |code, detail: String| Problem {
            field: Some("body"),
            ..Problem::new(code, detail)
        };
        let mut whole = BytesMut::new();
        let mut held = Held { of: self, bytes: 0 };
        while let Some(frame) = body.frame().await {
            let frame = frame.map_err(|_| of_the_body(INVALID, "the body broke off".to_owned()))?;
            // Trailers say nothing that is asked for.
            let Ok(piece) = frame.into_data() else {
                continue;
            };
            if piece.len() > self.max - whole.len() {
                let detail = format!(
                    "the body is longer than {} bytes; send less at once",
                    self.max
                );
                return Err(of_the_body(TOO_LARGE, detail));
            }
            if whole.is_empty() && body.is_end_stream() {
                return Ok(piece);
            }
            held.grow(piece.len())?;
            whole.extend_from_slice(&piece);
        }
        Ok(whole.freeze())
    }
}

impl Held<'_> {
    fn grow(&mut self, bytes: usize) -> Result<(), Problem> {
        self.bytes += bytes;
        let before = self.of.held.fetch_add(bytes, Ordering::Relaxed);
        if before + bytes <= self.of.most {
            return Ok(());
        }
        let detail = "too many request bodies are on their way (limits.body_bytes); try again";
        Err(Problem::new(OVERLOADED, detail).with_retry_after(1))
    }
}

impl Drop for Held<'_> {
    fn drop(&mut self) {
        self.of.held.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}
