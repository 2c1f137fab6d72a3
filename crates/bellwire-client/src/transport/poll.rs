//! Long-polling. Opened and polled through [`super::Link`]; each answer's cursor is the next
//! request's, over one keep-alive connection that is silently replaced between answers.

use std::{borrow::Cow, collections::VecDeque, fmt};

use bytes::Bytes;
use http::{Response, StatusCode, header};
use hyper::body::Incoming;
use serde::Deserialize;
use serde_json::value::RawValue;

use super::{
    Kept,
    http::{Exchange, is_type},
    request::Wanted,
};
use crate::{
    endpoint::Endpoint,
    item::{Denied, Gap, Hello, Message, Push, Status, parse},
    machine::Event,
    verdict::Loss,
};

/// How long the server may hold a request, in seconds. Proxies commonly wait 30 s or more.
const HOLD_SECONDS: u32 = 25;
/// How many messages an answer may have, unless they prove too large.
const LIMIT: u32 = 100;
/// The longest answer in bytes.
const MAX_ANSWER: usize = 32 * 1024 * 1024;

/// A sequence of polls.
pub(crate) struct PollLink {
    endpoint: Endpoint,
    wanted: Wanted,
    cursor: String,
    limit: u32,
    /// Whether the first answer has been taken.
    greeted: bool,
    /// The connection between two polls.
    exchange: Option<Exchange>,
    asking: Option<Kept<Result<Reply, Loss>>>,
    /// What rode along with the last answer, to be told once.
    aside: (Option<Status>, Vec<Denied>),
    /// The rest of the last answer.
    queue: VecDeque<Event>,
}

/// The reply to one request.
struct Reply {
    exchange: Exchange,
    /// Nothing if it was too long.
    body: Option<Bytes>,
    /// Whether the server wants the connection closed, which it does when it drains.
    closing: bool,
}

#[derive(Deserialize)]
struct Answer<'a> {
    #[serde(borrow)]
    cursor: Cow<'a, str>,
    #[serde(borrow, default)]
    messages: Vec<&'a RawValue>,
    #[serde(default)]
    gaps: Vec<Gap>,
    #[serde(default)]
    status: Option<Status>,
    #[serde(default)]
    denied: Vec<Denied>,
}

impl PollLink {
    /// Connects; the first question is asked by [`PollLink::next`].
    pub(crate) async fn open(
        endpoint: Endpoint,
        wanted: Wanted,
        cursor: Option<String>,
    ) -> Result<Self, Loss> {
        let exchange = Exchange::open(&endpoint).await?;
        Ok(Self {
            endpoint,
            wanted,
            cursor: cursor.unwrap_or_default(),
            limit: LIMIT,
            greeted: false,
            exchange: Some(exchange),
            asking: None,
            aside: (None, Vec::new()),
            queue: VecDeque::new(),
        })
    }

    /// The next event.
    pub(crate) async fn next(&mut self) -> Event {
        if let Some(event) = self.queue.pop_front() {
            return event;
        }
        if self.asking.is_none() {
            self.asking = Some(self.ask());
        }
        let reply = match &mut self.asking {
            Some(asking) => asking.await,
            None => unreachable!("it was just set"),
        };
        self.asking = None;
        match reply.and_then(|reply| self.take(reply)) {
            Ok(()) => Event::Life,
            Err(loss) => Event::Lost(loss),
        }
    }

    /// Asks in a future of its own, so that dropping `next` does not drop an answer.
    fn ask(&mut self) -> Kept<Result<Reply, Loss>> {
        // The first answer comes at once: it tells that the connection stands.
        let hold = if self.greeted { HOLD_SECONDS } else { 0 };
        let path = format!("/v1/poll?timeout={hold}&limit={}", self.limit);
        let cursor = (!self.cursor.is_empty()).then(|| self.cursor.clone());
        let (endpoint, wanted) = (self.endpoint.clone(), self.wanted.clone());
        let idle = self.exchange.take();
        Box::pin(async move {
            let request = || wanted.request(&endpoint, &path, cursor.as_deref());
            let mut answered = None;
            if let Some(mut exchange) = idle
                && exchange.is_usable().await
                && let Ok(response) = exchange.send(request()?).await
            {
                answered = Some((exchange, response));
            }
            // A server may close an idle connection at any time, and a poll changes nothing.
            let (exchange, response) = match answered {
                Some(answered) => answered,
                None => {
                    let mut exchange = Exchange::open(&endpoint).await?;
                    let sent = exchange.send(request()?).await;
                    let response = sent.map_err(|unanswered| Loss::passing(unanswered.reason))?;
                    (exchange, response)
                }
            };
            receive(exchange, response).await
        })
    }

    fn take(&mut self, reply: Reply) -> Result<(), Loss> {
        self.exchange = Some(reply.exchange);
        let Some(body) = reply.body else {
            if self.limit == 1 {
                return Err(Loss::passing(format!(
                    "one message is over {MAX_ANSWER} bytes"
                )));
            }
            self.limit /= 2;
            return Ok(());
        };
        let text = std::str::from_utf8(&body).map_err(|error| Loss::passing(error.to_string()))?;
        let answer: Answer<'_> = parse(text)?;
        let is_empty = answer.messages.is_empty() && answer.gaps.is_empty();
        if !self.greeted {
            self.greeted = true;
            // An answer's cursor is where it ends; where it began is known already, or is there.
            let cursor = self
                .cursor
                .is_empty()
                .then(|| answer.cursor.clone().into_owned());
            let hello = Hello {
                connection: None,
                cursor,
                heartbeat_ms: None,
            };
            self.queue.push_back(Event::Push(Push::Hello(hello)));
        } else if reply.closing && is_empty {
            return Err(Loss::passing("the server ended the poll"));
        }
        self.tell_aside(answer.status, answer.denied);
        for gap in answer.gaps {
            self.queue.push_back(Event::Push(Push::Gap(gap)));
        }
        for envelope in answer.messages {
            let message = Message::parse(body.slice_ref(envelope.get().as_bytes()))?;
            self.queue.push_back(Event::Push(Push::Message(message)));
        }
        self.cursor = answer.cursor.into_owned();
        self.queue
            .push_back(Event::Push(Push::Covered(self.cursor.clone())));
        Ok(())
    }

    /// Status and refusals come with every answer; only what is new is told.
    fn tell_aside(&mut self, status: Option<Status>, denied: Vec<Denied>) {
        let news = denied
            .iter()
            .filter(|denied| !self.aside.1.contains(denied));
        self.queue.extend(
            news.cloned()
                .map(|denied| Event::Push(Push::Denied(denied))),
        );
        if let Some(status) = status
            .as_ref()
            .filter(|status| self.aside.0.as_ref() != Some(status))
        {
            self.queue
                .push_back(Event::Push(Push::Status(status.clone())));
        }
        self.aside = (status, denied);
    }
}

async fn receive(mut exchange: Exchange, response: Response<Incoming>) -> Result<Reply, Loss> {
    let is_json = is_type(response.headers(), "application/json");
    if response.status() != StatusCode::OK {
        return Err(exchange.judge(response).await);
    }
    if !is_json {
        return Err(Loss::passing(
            "the answer is not a poll's; is this Bellwire?",
        ));
    }
    let connection = response.headers().get(header::CONNECTION);
    let closing = connection.is_some_and(|value| value.as_bytes().eq_ignore_ascii_case(b"close"));
    let body = exchange.body(response.into_body(), MAX_ANSWER).await?;
    Ok(Reply {
        exchange,
        body,
        closing,
    })
}

impl fmt::Debug for PollLink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PollLink")
            .field("cursor", &self.cursor)
            .finish_non_exhaustive()
    }
}
