//! Server-Sent Events. Opened and polled through [`super::Link`]; `?ids=own`, because positions
//! are kept per channel.

use std::collections::VecDeque;

use bellwire_wire::sse::Parser;
use http::{HeaderValue, StatusCode, header};
use hyper::body::Incoming;

use super::{
    http::{Exchange, is_type},
    request::Wanted,
};
use crate::{endpoint::Endpoint, item::Push, machine::Event, verdict::Loss};

/// An open event stream.
#[derive(Debug)]
pub(crate) struct SseLink {
    exchange: Exchange,
    body: Incoming,
    parser: Parser,
    retry: Option<u64>,
    /// What the last chunk held; a chunk is at most what hyper buffers.
    queue: VecDeque<Event>,
}

impl SseLink {
    /// Connects and awaits the head of the stream.
    pub(crate) async fn open(
        endpoint: &Endpoint,
        wanted: &Wanted,
        cursor: Option<String>,
    ) -> Result<Self, Loss> {
        let mut request = wanted.request(endpoint, "/v1/sse?ids=own", cursor.as_deref())?;
        let accept = HeaderValue::from_static("text/event-stream");
        request.headers_mut().insert(header::ACCEPT, accept);
        let mut exchange = Exchange::open(endpoint).await?;
        let response = exchange
            .send(request)
            .await
            .map_err(|unanswered| Loss::passing(unanswered.reason))?;
        let is_stream = is_type(response.headers(), "text/event-stream");
        if response.status() != StatusCode::OK {
            return Err(exchange.judge(response).await);
        }
        if !is_stream {
            return Err(Loss::passing(
                "the answer is not an event stream; is this Bellwire?",
            ));
        }
        Ok(Self {
            exchange,
            body: response.into_body(),
            // An event is its data and a few short lines.
            parser: Parser::new(wanted.max_message_bytes),
            retry: None,
            queue: VecDeque::new(),
        })
    }

    /// The next event.
    pub(crate) async fn next(&mut self) -> Event {
        if let Some(event) = self.queue.pop_front() {
            return event;
        }
        match self.exchange.chunk(&mut self.body).await {
            Some(Ok(chunk)) => self.take(&chunk),
            Some(Err(loss)) => return Event::Lost(loss),
            None => return Event::Lost(Loss::passing("the server ended the stream")),
        }
        Event::Life
    }

    fn take(&mut self, chunk: &[u8]) {
        let queue = &mut self.queue;
        let outcome = self.parser.feed(chunk, |event| {
            match Push::of_event(event.name, event.data) {
                Ok(Some(push)) => queue.push_back(Event::Push(push)),
                Ok(None) => {}
                Err(loss) => queue.push_back(Event::Lost(loss)),
            }
        });
        if self.parser.retry() != self.retry {
            self.retry = self.parser.retry();
            let retry = self.retry.map(|millis| Event::Push(Push::Retry(millis)));
            // Before the events, since the last of them may end this link.
            retry.into_iter().for_each(|event| queue.push_front(event));
        }
        if let Err(error) = outcome {
            queue.push_back(Event::Lost(Loss::passing(error.to_string())));
        }
    }
}
