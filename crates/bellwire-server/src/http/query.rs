//! What a streaming request asks for: from its query, its Last-Event-ID, or its JSON body.

use bellwire_core::cursor::Cursor;
use hyper::http::request::Parts;
use serde::Deserialize;

use crate::problem::Problem;

/// Why a client gave up a better transport, as it may say it: the transport, and how it failed.
pub(crate) const FALLBACKS: [&str; 12] = [
    "sse-failed",
    "sse-muted",
    "sse-silent",
    "sse-status",
    "ws-failed",
    "ws-muted",
    "ws-silent",
    "ws-status",
    "poll-failed",
    "poll-muted",
    "poll-silent",
    "poll-status",
];

/// What a client of a later version may say.
pub(crate) const OTHER_FALLBACK: &str = "other";

/// The parameters that sse, ws and poll share.
#[derive(Debug, Default)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "independent switches of one request"
)]
pub(super) struct Wanted {
    pub(super) channels: Vec<String>,
    pub(super) grants: Vec<String>,
    pub(super) cursor: String,
    pub(super) named: bool,
    pub(super) own_ids: bool,
    pub(super) raw: bool,
    pub(super) visible_heartbeats: bool,
    pub(super) timeout: Option<u64>,
    pub(super) limit: Option<usize>,
    /// For statistics only.
    pub(super) fallbacks: Vec<&'static str>,
}

/// The body of a POST to sse or poll.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct WantedBody {
    #[serde(default)]
    channels: Vec<String>,
    #[serde(default)]
    cursor: String,
    #[serde(default)]
    grants: Vec<String>,
    timeout: Option<u64>,
    limit: Option<usize>,
}

impl Wanted {
    /// Reads the query.
    ///
    /// # Errors
    /// A parameter with a value that means nothing.
    pub(super) fn from_query(parts: &Parts) -> Result<Self, Problem> {
        let mut wanted = Self::default();
        for (name, value) in pairs(parts) {
            match &*name {
                "channel" => wanted.channels.push(value.into_owned()),
                "grant" => wanted.grants.push(value.into_owned()),
                "cursor" => wanted.cursor = value.into_owned(),
                "named" => wanted.named = switch("named", &value)?,
                "ids" => wanted.own_ids = word("ids", &value, "own")?,
                "format" => wanted.raw = word("format", &value, "raw")?,
                "heartbeat" => {
                    wanted.visible_heartbeats = word("heartbeat", &value, "visible")?;
                }
                "fallback" => wanted.fallbacks.push(fallback(&value)),
                "timeout" => wanted.timeout = Some(number("timeout", &value)?),
                "limit" => wanted.limit = Some(limit(&value)?),
                _ => {}
            }
        }
        Ok(wanted)
    }

    /// Adds what a body says.
    ///
    /// # Errors
    /// The body is not the JSON that is expected.
    pub(super) fn add_body(&mut self, body: &[u8]) -> Result<(), Problem> {
        if body.is_empty() {
            return Ok(());
        }
        let body: WantedBody = serde_json::from_slice(body).map_err(|error| {
            let detail = format!("{error}; send {{\"channels\":[…],\"cursor\":\"…\"}}");
            Problem::invalid("body", detail)
        })?;
        self.channels.extend(body.channels);
        self.grants.extend(body.grants);
        if !body.cursor.is_empty() {
            self.cursor = body.cursor;
        }
        self.timeout = body.timeout.or(self.timeout);
        self.limit = body.limit.or(self.limit);
        Ok(())
    }

    /// An EventSource that comes back says where it stood; that replaces the query's cursor.
    pub(super) fn use_last_event_id(&mut self, parts: &Parts) {
        let header = parts
            .headers
            .get("last-event-id")
            .map(hyper::header::HeaderValue::as_bytes);
        if let Some(id) = header.filter(|id| !id.is_empty()) {
            // What is not text is a cursor that says nothing: a gap, not an error.
            self.cursor = String::from_utf8_lossy(id).into_owned();
        }
    }

    pub(super) fn parsed_cursor(&self, max_bytes: usize) -> Cursor {
        Cursor::parse(&self.cursor, max_bytes)
    }
}

/// The pairs of a query, decoded.
pub(super) fn pairs(parts: &Parts) -> form_urlencoded::Parse<'_> {
    form_urlencoded::parse(parts.uri.query().unwrap_or_default().as_bytes())
}

/// A client tells it for our sake, so nothing it says is an error.
fn fallback(value: &str) -> &'static str {
    let known = FALLBACKS.into_iter().find(|known| *known == value);
    known.unwrap_or(OTHER_FALLBACK)
}

fn switch(field: &'static str, value: &str) -> Result<bool, Problem> {
    match value {
        "" | "1" | "true" => Ok(true),
        "0" | "false" => Ok(false),
        _ => Err(Problem::invalid(
            field,
            format!("{field} is 1 or 0, not {value:?}"),
        )),
    }
}

fn word(field: &'static str, value: &str, known: &str) -> Result<bool, Problem> {
    if value == known {
        return Ok(true);
    }
    Err(Problem::invalid(
        field,
        format!("{field} is {known} or absent, not {value:?}"),
    ))
}

pub(super) fn number(field: &'static str, value: &str) -> Result<u64, Problem> {
    value
        .parse()
        .map_err(|_| Problem::invalid(field, format!("{field} is a whole number, not {value:?}")))
}

/// Messages in an answer: 1 to 1,000.
pub(super) fn limit(value: &str) -> Result<usize, Problem> {
    checked_limit(number("limit", value)?)
}

pub(super) fn checked_limit(limit: u64) -> Result<usize, Problem> {
    usize::try_from(limit)
        .ok()
        .filter(|limit| (1..=1_000).contains(limit))
        .ok_or_else(|| Problem::invalid("limit", format!("limit is 1 to 1000, not {limit}")))
}
