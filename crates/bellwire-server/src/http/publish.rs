//! Publishing over HTTP: one object, an array, or lines; or a raw body to one channel or user.
//!
//! Only envelopes are parsed. Items are submitted in order and answered in order; a failed item
//! does not stop later ones.

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
use tokio::sync::oneshot;

use super::{Answer, Asked, Body, body, json, query::pairs};
use crate::{
    access::Purpose,
    problem::{INTERNAL, Problem, error_code},
};

/// How many items came, and so how they are answered.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Shape {
    One,
    Array,
    Lines,
}

/// An item on its way.
enum Item {
    Submitted(Channel, oneshot::Receiver<Result<Published, PublishError>>),
    Refused(Problem),
}

impl Asked<'_> {
    pub(super) async fn publish(&self, body: Incoming) -> Answer {
        let access = self.admit(Purpose::Change)?;
        let limits = &self.local.shared.config.limits;
        let body = body::read(body, limits.max_body_bytes, limits.keep_alive_timeout).await?;
        let (shape, texts) = split(&body)?;
        if texts.len() > limits.max_batch {
            let detail = format!(
                "{} items; at most {} at once",
                texts.len(),
                limits.max_batch
            );
            return Err(Problem {
                field: Some("body"),
                ..Problem::new(too_large(), detail)
            }
            .into());
        }
        let items: Vec<Item> = texts
            .iter()
            .map(|text| self.submit(&access, text.get()))
            .collect();
        answer(shape, items).await
    }

    pub(super) async fn publish_to(&self, channel: Channel, body: Incoming) -> Answer {
        let access = self.admit(Purpose::Change)?;
        let limits = &self.local.shared.config.limits;
        let body = body::read(body, limits.max_body_bytes, limits.keep_alive_timeout).await?;
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
        let item = self.submit_draft(&access, draft);
        answer(Shape::One, vec![item]).await
    }

    pub(super) async fn publish_to_user(&self, user: &UserId, body: Incoming) -> Answer {
        self.publish_to(Channel::inbox(user), body).await
    }

    fn submit(&self, access: &Access, text: &str) -> Item {
        let max = self.local.shared.config.limits.max_message_bytes;
        let text: DraftText<'_> = match serde_json::from_str(text) {
            Ok(text) => text,
            Err(error) => {
                let detail = format!("{error}; an item is {{\"channel\":…,\"data\":…}}");
                return Item::Refused(Problem::invalid("body", detail));
            }
        };
        match text.check(access, max) {
            Ok(draft) => self.submit_draft(access, draft),
            Err(error) => Item::Refused(draft_problem(&error)),
        }
    }

    fn submit_draft(&self, access: &Access, draft: Draft) -> Item {
        let namespaces = &self.local.shared.settings.namespaces;
        if let Err(denied) = access.check(Right::Publish, &draft.channel, namespaces) {
            return Item::Refused(denied_problem(access, &denied));
        }
        let channel = draft.channel.clone();
        Item::Submitted(channel, self.local.publish(Box::new(draft)))
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

fn too_large() -> crate::problem::ErrorCode {
    crate::problem::TOO_LARGE
}

/// The top-level values of a body.
fn split(body: &[u8]) -> Result<(Shape, Vec<&RawValue>), Problem> {
    let invalid = |error: serde_json::Error| {
        let detail = format!("{error}; send one JSON object, an array of them, or one per line");
        Problem::invalid("body", detail)
    };
    if body.trim_ascii_start().starts_with(b"[") {
        return Ok((Shape::Array, serde_json::from_slice(body).map_err(invalid)?));
    }
    let values = serde_json::Deserializer::from_slice(body).into_iter::<&RawValue>();
    let values = values.collect::<Result<Vec<_>, _>>().map_err(invalid)?;
    match values.len() {
        0 => Err(Problem::invalid(
            "body",
            "the body is empty; send {\"channel\":…,\"data\":…}",
        )),
        1 => Ok((Shape::One, values)),
        _ => Ok((Shape::Lines, values)),
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

async fn answer(shape: Shape, items: Vec<Item>) -> Answer {
    let mut out = Vec::with_capacity(items.len() * 96);
    if shape == Shape::Array {
        out.push(b'[');
    }
    for (nth, item) in items.into_iter().enumerate() {
        if shape == Shape::Array && nth > 0 {
            out.push(b',');
        }
        match settle(item).await {
            Ok((channel, published)) => write_published(&mut out, &channel, &published),
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

async fn settle(item: Item) -> Result<(Channel, Published), Problem> {
    match item {
        Item::Refused(problem) => Err(problem),
        Item::Submitted(channel, outcome) => {
            // A shard that ended took the answer with it: whether it was appended is unknown.
            let outcome = outcome.await.unwrap_or(Err(PublishError::Unavailable));
            outcome
                .map(|published| (channel, published))
                .map_err(publish_problem)
        }
    }
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
