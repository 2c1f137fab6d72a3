//! Publishing: one message or a batch, retried only where that can't publish twice. Called by
//! the application through [`Client`]; knows nothing of subscriptions.

mod body;
mod pool;

use std::time::{Duration, Instant};

use bytes::Bytes;
use http::{StatusCode, header};
use serde::Deserialize;
use tokio::time;

pub use body::{Data, Publication};
pub(crate) use pool::Pool;

use self::body::Reply;
use crate::{
    backoff::{Backoff, random},
    client::{Client, check_channel},
    error::{Error, Refusal},
    transport::{problem_of, retry_after},
};

/// How long one attempt may take.
const ATTEMPT_TIMEOUT: Duration = Duration::from_secs(10);
/// How long attempts go on for a publication with an idempotency key.
const RETRY_FOR: Duration = Duration::from_secs(30);
/// The longest reply: a thousand results of a batch fit.
const MAX_REPLY: usize = 4 * 1024 * 1024;

/// What may be said besides channel and data.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PublishOptions {
    /// The event name.
    pub event: Option<String>,
    /// Makes retries safe: the same key within five minutes publishes once.
    pub idempotency_key: Option<String>,
}

/// An accepted publication.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[non_exhaustive]
pub struct Published {
    /// Where it was published.
    pub channel: String,
    /// Its id.
    pub id: String,
    /// What it survives.
    pub durability: Durability,
    /// Whether an earlier publication with the same key is meant.
    #[serde(default)]
    pub duplicate: bool,
}

/// What an acknowledged publication survives.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum Durability {
    /// Nothing: it is in the server's memory.
    Memory,
    /// A crash of the server process.
    Os,
    /// A crash of the machine.
    Disk,
    /// The loss of a node.
    Replicated,
    /// A word of a later version.
    #[serde(other)]
    Unknown,
}

impl Client {
    /// Publishes one message and awaits its position.
    ///
    /// With an idempotency key, an unavailable server is asked again for up to 30 s. Without
    /// one, an error after sending means that the outcome is unknown.
    ///
    /// # Errors
    /// Every variant of [`Error`], by who must act.
    pub async fn publish(
        &self,
        channel: &str,
        data: impl Into<Data>,
        options: PublishOptions,
    ) -> Result<Published, Error> {
        let PublishOptions {
            event,
            idempotency_key,
        } = options;
        let publication = Publication {
            channel: channel.to_owned(),
            data: data.into(),
            event,
            idempotency_key,
        };
        check_channel(channel)?;
        let retryable = publication.idempotency_key.is_some();
        let body = self
            .post(Bytes::from(publication.to_json()), retryable)
            .await?;
        match Reply::read_all(&body)?.pop() {
            Some(reply) => Ok(reply.into_result()?),
            None => Err(Error::Protocol(
                "the server's reply to a publish is empty".to_owned(),
            )),
        }
    }

    /// Publishes several messages in one request, in order. A refused one does not stop those
    /// after it; each has its own result. Retried only if every one has an idempotency key.
    ///
    /// # Errors
    /// Where nothing was attempted, or nothing is known.
    pub async fn publish_batch(
        &self,
        batch: &[Publication],
    ) -> Result<Vec<Result<Published, Refusal>>, Error> {
        let Some(last) = batch.len().checked_sub(1) else {
            return Ok(Vec::new());
        };
        for publication in batch {
            check_channel(&publication.channel)?;
        }
        let mut lines = Vec::new();
        for publication in batch {
            lines.extend_from_slice(&publication.to_json());
            lines.push(b'\n');
        }
        let retryable = batch
            .iter()
            .all(|publication| publication.idempotency_key.is_some());
        let body = match self.post(Bytes::from(lines), retryable).await {
            // A single line is answered like a single publish: with the refusal's own status.
            Err(Error::Refused(refusal)) if last == 0 => return Ok(vec![Err(refusal)]),
            outcome => outcome?,
        };
        let replies = Reply::read_all(&body)?;
        if replies.len() != batch.len() {
            let detail = format!("{} replies to {} publications", replies.len(), batch.len());
            return Err(Error::Protocol(detail));
        }
        Ok(replies.into_iter().map(Reply::into_result).collect())
    }

    async fn post(&self, body: Bytes, retryable: bool) -> Result<Bytes, Error> {
        let deadline = Instant::now() + RETRY_FOR;
        let mut backoff = Backoff::default();
        loop {
            let attempt =
                time::timeout(ATTEMPT_TIMEOUT, Box::pin(self.post_once(body.clone()))).await;
            let (error, hint) = match attempt {
                Ok(Ok(reply)) => return Ok(reply),
                Ok(Err(failure)) => failure,
                Err(_) => (Error::Unavailable("no reply within 10 s".to_owned()), None),
            };
            let wait = hint.unwrap_or_default() + backoff.next(random());
            let hopeless = !retryable || !matches!(error, Error::Unavailable(_));
            if hopeless || Instant::now() + wait > deadline {
                return Err(error);
            }
            time::sleep(wait).await;
        }
    }

    /// One attempt; a failure comes with how long the server asked to wait.
    async fn post_once(&self, body: Bytes) -> Result<Bytes, (Error, Option<Duration>)> {
        let plain = |error| (error, None);
        let request = self.endpoint.post("/v1/publish", body).map_err(plain)?;
        let (mut exchange, response) = self
            .pool
            .send(&self.endpoint, request)
            .await
            .map_err(plain)?;
        let (head, body) = response.into_parts();
        let hint = retry_after(&head.headers).map(Duration::from_secs);
        let reply = exchange
            .body(body, MAX_REPLY)
            .await
            .map_err(|loss| plain(loss.into()))?;
        let keep = head
            .headers
            .get(header::CONNECTION)
            .is_none_or(|value| value != "close");
        let Some(reply) = reply else {
            return Err(plain(Error::Protocol(
                "the reply to a publish is too long".to_owned(),
            )));
        };
        if keep {
            self.pool.put_back(exchange);
        }
        if head.status == StatusCode::OK {
            return Ok(reply);
        }
        let problem = problem_of(head.status, &reply);
        Err((failure(head.status, problem), hint))
    }
}

/// Sorts a response that is not a success.
fn failure(status: StatusCode, problem: Option<Refusal>) -> Error {
    let try_later = status.is_server_error()
        || matches!(
            status,
            StatusCode::REQUEST_TIMEOUT | StatusCode::TOO_MANY_REQUESTS
        );
    match problem {
        Some(refusal) if !try_later => Error::Refused(refusal),
        Some(refusal) => Error::Unavailable(refusal.to_string()),
        None if try_later => Error::Unavailable(format!("the server answered with {status}")),
        None => Error::Protocol(format!(
            "the server answered with {status}; is this Bellwire?"
        )),
    }
}
