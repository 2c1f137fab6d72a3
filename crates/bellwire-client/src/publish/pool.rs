//! Idle keep-alive connections for publishing. Shared by all clones of a client.

use std::{
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use http::Response;
use hyper::body::Incoming;

use crate::{
    endpoint::{Endpoint, Outgoing},
    error::Error,
    transport::Exchange,
};

/// How many connections may wait for the next publish.
const MAX_IDLE: usize = 16;
/// How long one may wait; servers commonly close after 30 s.
const MAX_IDLE_FOR: Duration = Duration::from_secs(20);

/// The idle connections, the freshest last.
#[derive(Debug, Default)]
pub(crate) struct Pool {
    idle: Mutex<Vec<(Instant, Exchange)>>,
}

impl Pool {
    /// Sends a request over an idle connection or a new one.
    pub(crate) async fn send(
        &self,
        endpoint: &Endpoint,
        mut request: Outgoing,
    ) -> Result<(Exchange, Response<Incoming>), Error> {
        while let Some(mut exchange) = self.take() {
            if !exchange.is_usable().await {
                continue;
            }
            match exchange.send(request).await {
                Ok(response) => return Ok((exchange, response)),
                Err(unanswered) => match unanswered.unsent {
                    // The server closed it just then and saw nothing of the request.
                    Some(unsent) => request = *unsent,
                    None => return Err(Error::Unavailable(unanswered.reason)),
                },
            }
        }
        let mut exchange = Exchange::open(endpoint).await?;
        match exchange.send(request).await {
            Ok(response) => Ok((exchange, response)),
            Err(unanswered) => Err(Error::Unavailable(unanswered.reason)),
        }
    }

    /// Keeps a connection whose last response has been read to its end.
    pub(crate) fn put_back(&self, exchange: Exchange) {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        if idle.len() < MAX_IDLE {
            idle.push((Instant::now(), exchange));
        }
    }

    fn take(&self) -> Option<Exchange> {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        idle.retain(|(since, _)| since.elapsed() < MAX_IDLE_FOR);
        idle.pop().map(|(_, exchange)| exchange)
    }
}
