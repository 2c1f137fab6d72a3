//! Publishing over HTTP: one object, an array, or lines; or a raw body to one channel or user.
//!
//! Only envelopes are parsed, by [`super::items`]. Items are submitted in order and answered in
//! order; a failed item does not stop later ones.

use bellwire_core::{
    access::{Access, Denied, Right},
    channel::{Channel, UserId},
    draft::{DraftText, Labels, draft, write_published},
    engine::{Draft, PublishError, Published},
    publication::Payload,
    shard::publish_error_code,
};
use hyper::{
    Response,
    body::Incoming,
    header::{CONTENT_TYPE, HeaderValue},
};
use serde_json::value::RawValue;

use super::{
    Answer, Asked, Body,
    client::too_fast,
    items::{self, Shape},
    json,
    query::pairs,
};
use crate::{
    access::Purpose,
    problem::{INTERNAL, Problem, error_code},
    shard::Outcome,
};

/// Items on their way: what is submitted, and what became of each item.
struct Batch {
    drafts: Vec<Draft>,
    /// In order: where the next draft goes, or why there is none.
    items: Vec<Result<Channel, Problem>>,
}

impl Asked<'_> {
    pub(super) async fn publish(&self, body: Incoming) -> Answer {
        let access = self.admit(Purpose::Change)?;
        self.check_anybody(&access)?;
        let limits = &self.local.shared.config.limits;
        let body = self.local.shared.publishes.read(body).await?;
        let (shape, texts) = items::read(&body, limits.max_batch)?;
        let mut batch = Batch::of(texts.len());
        for text in texts {
            let last = batch.drafts.last().map(|draft| &draft.channel);
            let draft = text.and_then(|text| self.check(&access, &text, last));
            batch.push(draft);
        }
        self.submit(shape, batch).await
    }

    pub(super) async fn publish_to(&self, channel: Channel, body: Incoming) -> Answer {
        let access = self.admit(Purpose::Change)?;
        self.check_right(&access, &channel)?;
        let limits = &self.local.shared.config.limits;
        let body = self.local.shared.publishes.read(body).await?;
        let event = pairs(&self.parts)
            .find(|(name, _)| name == "event")
            .map(|(_, value)| value);
        let key = self.parts.headers.get("idempotency-key");
        let key = key.map(HeaderValue::to_str).transpose().map_err(|_| {
            Problem::invalid("idempotency-key", "the header Idempotency-Key is not ASCII")
        })?;
        let labels = Labels {
            event: event.as_deref(),
            user: None,
            key,
        };
        let payload = payload(&body, self.parts.headers.get(CONTENT_TYPE));
        let draft = draft(channel, payload, &labels, &access, limits.max_message_bytes)
            .map_err(|error| draft_problem(&error))?;
        let mut batch = Batch::of(1);
        batch.push(self.allow(&access, draft));
        self.submit(Shape::One, batch).await
    }

    pub(super) async fn publish_to_user(&self, user: &UserId, body: Incoming) -> Answer {
        self.publish_to(Channel::inbox(user), body).await
    }

    fn check(
        &self,
        access: &Access,
        text: &DraftText<'_>,
        last: Option<&Channel>,
    ) -> Result<Draft, Problem> {
        let max = self.local.shared.config.limits.max_message_bytes;
        let draft = text.check(access, max, last);
        self.allow(access, draft.map_err(|error| draft_problem(&error))?)
    }

    fn allow(&self, access: &Access, draft: Draft) -> Result<Draft, Problem> {
        let (rates, now) = (&self.local.shared.rates, self.local.now());
        let allowed = rates.publish(access, || Some(self.client()), now);
        allowed.map_err(|error| too_fast(&error))?;
        self.check_right(access, &draft.channel)?;
        Ok(draft)
    }

    /// Refuses whom no channel is open to, before a byte of what he sends is kept.
    fn check_anybody(&self, access: &Access) -> Result<(), Problem> {
        let namespaces = &self.local.shared.settings.namespaces;
        if !access.is_anonymous() || namespaces.give_everybody(Right::Publish) {
            return Ok(());
        }
        let detail = "no credentials, and no namespace gives anonymous publish; \
                      send a token, or an API key";
        let denied = Denied {
            check: Right::Publish.as_str(),
            detail: detail.to_owned(),
        };
        Err(denied_problem(access, &denied))
    }

    fn check_right(&self, access: &Access, channel: &Channel) -> Result<(), Problem> {
        let namespaces = &self.local.shared.settings.namespaces;
        let checked = access.check(Right::Publish, channel, namespaces);
        checked.map_err(|denied| denied_problem(access, &denied))
    }

    async fn submit(&self, shape: Shape, batch: Batch) -> Answer {
        let outcomes = self.local.publish(batch.drafts.into_iter()).await;
        answer(shape, batch.items, outcomes)
    }
}

impl Batch {
    fn of(count: usize) -> Self {
        Self {
            drafts: Vec::with_capacity(count),
            items: Vec::with_capacity(count),
        }
    }

    fn push(&mut self, draft: Result<Draft, Problem>) {
        let item = draft.map(|draft| {
            let channel = draft.channel.clone();
            self.drafts.push(draft);
            channel
        });
        self.items.push(item);
    }
}

fn denied_problem(access: &Access, denied: &Denied) -> Problem {
    Problem {
        field: Some("channel"),
        ..Problem::denied(access, denied)
    }
}

fn draft_problem(error: &bellwire_core::draft::DraftError) -> Problem {
    let code = error_code(error.code()).unwrap_or(INTERNAL);
    Problem {
        field: Some(error.field()),
        ..Problem::new(code, error.to_string())
    }
}

/// What a raw body means: JSON where it parses and the content type does not say otherwise, other
/// text as a string, the rest binary.
fn payload(body: &[u8], content_type: Option<&HeaderValue>) -> Payload {
    let kind = content_type
        .and_then(|value| value.to_str().ok())
        .unwrap_or_default();
    let kind = kind
        .split(';')
        .next()
        .unwrap_or_default()
        .trim()
        .to_ascii_lowercase();
    if kind == "application/octet-stream" {
        return Payload::Binary(body.into());
    }
    let Ok(text) = std::str::from_utf8(body) else {
        return Payload::Binary(body.into());
    };
    if kind != "text/plain"
        && let Ok(value) = serde_json::from_str::<&RawValue>(text)
    {
        return Payload::json(value.get());
    }
    let string = serde_json::to_string(text).expect("a string is JSON");
    Payload::Json(string.into())
}

fn answer(shape: Shape, items: Vec<Result<Channel, Problem>>, outcomes: Vec<Outcome>) -> Answer {
    let mut out = Vec::with_capacity(items.len() * 96);
    let mut outcomes = outcomes.into_iter();
    if shape == Shape::Array {
        out.push(b'[');
    }
    for (nth, item) in items.into_iter().enumerate() {
        if shape == Shape::Array && nth > 0 {
            out.push(b',');
        }
        match item.and_then(|channel| Ok((published(outcomes.next())?, channel))) {
            Ok((published, channel)) => write_published(&mut out, &channel, &published),
            Err(problem) if shape == Shape::One => return Err(problem.into()),
            Err(problem) => {
                out.extend_from_slice(b"{\"error\":");
                out.extend_from_slice(problem.to_item().as_bytes());
                out.push(b'}');
            }
        }
        if shape == Shape::Lines {
            out.push(b'\n');
        }
    }
    if shape == Shape::Array {
        out.push(b']');
    }
    Ok(respond(shape, out))
}

fn respond(shape: Shape, body: Vec<u8>) -> Response<Body> {
    let mut response = json(body);
    if shape == Shape::Lines {
        let kind = HeaderValue::from_static("application/x-ndjson");
        response.headers_mut().insert(CONTENT_TYPE, kind);
    }
    response
}

fn published(outcome: Option<Outcome>) -> Result<Published, Problem> {
    outcome
        .unwrap_or(Err(PublishError::Unavailable))
        .map_err(publish_problem)
}

fn publish_problem(error: PublishError) -> Problem {
    let code = error_code(publish_error_code(error)).unwrap_or(INTERNAL);
    let problem = Problem::new(code, error.to_string());
    match error {
        PublishError::IdempotencyMismatch | PublishError::IdempotencyFull => Problem {
            field: Some("idempotency_key"),
            ..problem
        },
        PublishError::Overloaded { retry_after_ms } => {
            let seconds = u32::try_from(retry_after_ms.div_ceil(1_000)).unwrap_or(u32::MAX);
            problem.with_retry_after(seconds)
        }
        _ => problem.with_retry_after(1),
    }
}
