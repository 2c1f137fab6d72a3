//! Opening Server-Sent Events and polls.
//!
//! Everything that can be refused is refused here, before a byte of the response: an EventSource
//! dies of any status but 200, so overload and drain are said inside of a 200.

use std::{cell::RefCell, fmt::Write, rc::Rc, sync::Arc, time::SystemTime};

use bellwire_core::{
    access::{Access, Denied, Grant},
    format::{Format, Framing, SseContent, SseFormat},
    shard::{ConnectionId, Open, Poll, SocketKey, Transport, admit},
};
use hyper::{
    Response, Version,
    body::Incoming,
    header::{HeaderMap, HeaderName, HeaderValue},
};

use super::{Answer, Asked, Body, Refused, client::no_room, query::Wanted};
use crate::{
    access::Purpose,
    problem::{LIMIT, OVERLOADED, Problem},
    shard::{Pipe, PipeBody, Place, Room, Session, Streaming, never},
};

/// Tells a client, and whoever reads logs, which connection this is: the same id as in hello.
pub(super) const CONNECTION_HEADER: &str = "bellwire-connection";

/// Milliseconds a poll is held unless it says otherwise, and at most.
const POLL_TIMEOUT_S: u64 = 25;
const MAX_POLL_TIMEOUT_S: u64 = 60;
const POLL_LIMIT: u64 = 100;
/// How long a node that leaves holds a poll, and up to as long again, in milliseconds.
const DRAIN_HOLD_MS: u64 = 700;

/// A session that may open.
pub(super) struct Ready {
    pub(super) id: ConnectionId,
    pub(super) wanted: Wanted,
    pub(super) access: Arc<Access>,
    pub(super) grants: Vec<Grant>,
}

/// A session that goes through hyper's body.
struct Pending {
    ready: Ready,
    place: Option<Place>,
    transport: Transport,
    format: Format,
}

impl Asked<'_> {
    pub(super) async fn sse(&self, body: Incoming, streaming: Streaming) -> Answer {
        match self.accepted.room {
            Room::Seated if self.local.shared.drain.is_draining() => {
                return Ok(self.come_back_later(OVERLOADED.name));
            }
            Room::Seated => {}
            room => return Ok(self.come_back_later(no_room(room).code.name)),
        }
        let mut wanted = Wanted::from_query(&self.parts)?;
        wanted.add_body(&self.local.shared.lists.read(body).await?)?;
        wanted.use_last_event_id(&self.parts);
        let ready = self.prepare(wanted)?;
        self.check_channels(&ready)?;
        let place = match self.arrival() {
            Ok(place) => place,
            Err(problem) => return Ok(self.come_back_later(problem.code.name)),
        };
        let streaming = if self.is_head() {
            Streaming::Body
        } else {
            streaming
        };
        let chunked = streaming == Streaming::Socket && self.parts.version >= Version::HTTP_11;
        let format = sse_format(&ready.wanted, chunked);
        let mut headers = self.stream_headers("text/event-stream", ready.id);
        headers.insert("x-accel-buffering", HeaderValue::from_static("no"));
        if streaming == Streaming::Body {
            let pending = Pending {
                ready,
                place,
                transport: Transport::Sse,
                format,
            };
            return Ok(self.through_body(headers, pending, None));
        }
        let mut head = head_of(&headers);
        head.push_str(if chunked {
            "transfer-encoding: chunked\r\n\r\n"
        } else {
            "connection: close\r\n\r\n"
        });
        let cursor = self.cursor_of(&ready.wanted);
        self.accepted.hand_over(move |socket| {
            let head = head.into_bytes();
            let open = open(ready, socket, Transport::Sse, format, cursor, head, None);
            Session { open, place }
        });
        Ok(never().await)
    }

    pub(super) async fn poll(&self, body: Incoming, streaming: Streaming) -> Answer {
        let mut wanted = Wanted::from_query(&self.parts)?;
        wanted.add_body(&self.local.shared.lists.read(body).await?)?;
        let draining = self.local.shared.drain.is_draining();
        let timeout = wanted.timeout.unwrap_or(POLL_TIMEOUT_S);
        if timeout > MAX_POLL_TIMEOUT_S {
            let detail = format!("timeout is 0 to {MAX_POLL_TIMEOUT_S} seconds, not {timeout}");
            return Err(Problem::invalid("timeout", detail).into());
        }
        let limit = wanted.limit.map_or(POLL_LIMIT, |limit| limit as u64);
        let limit = super::query::checked_limit(limit)?;
        let ready = self.prepare(wanted)?;
        self.check_channels(&ready)?;
        let place = self.place()?;
        let cursor = self.cursor_of(&ready.wanted);
        let mut timeout_ms = timeout * 1_000;
        if draining {
            // The next poll may well come here again: not at once, nor with those of all others.
            timeout_ms = timeout_ms.min(DRAIN_HOLD_MS + ready.id.0 % DRAIN_HOLD_MS);
        }
        let mut poll = Poll {
            timeout_ms,
            limit,
            only_cursor: cursor.is_none(),
            close: draining || !self.keeps_alive(),
            head: None,
        };
        let mut headers = self.stream_headers("application/json", ready.id);
        if streaming == Streaming::Body || self.is_head() {
            let pending = Pending {
                ready,
                place,
                transport: Transport::Poll,
                format: Format::Json,
            };
            return Ok(self.through_body(headers, pending, Some(poll)));
        }
        headers.remove(CONNECTION_HEADER);
        let mut head = head_of(&headers);
        head.push_str(CONNECTION_HEADER);
        head.push_str(": ");
        poll.head = Some(self.local.share_head(head.as_bytes()));
        self.accepted.hand_over(move |socket| {
            let (transport, poll) = (Transport::Poll, Some(poll));
            let open = open(
                ready,
                socket,
                transport,
                Format::Json,
                cursor,
                Vec::new(),
                poll,
            );
            Session { open, place }
        });
        Ok(never().await)
    }

    /// Checks everything about a session but the transport's own matters.
    pub(super) fn prepare(&self, mut wanted: Wanted) -> Result<Ready, Refused> {
        let access = self.admit(Purpose::Stream)?;
        // A client has given up three transports at most.
        for reason in wanted.fallbacks.iter().take(3) {
            self.local.count_fallback(reason);
        }
        let settings = &self.local.shared.settings;
        let now = self.local.now();
        let mut grants = Vec::with_capacity(wanted.grants.len());
        for text in &wanted.grants {
            let grant = self.local.gate.authenticator().grant(text, &access, now);
            let grant = grant.map_err(|refusal| Problem::refused(&refusal))?;
            let name = grant.channel.as_str();
            if !wanted.channels.iter().any(|channel| channel == name) {
                wanted.channels.push(name.to_owned());
            }
            grants.push(grant);
        }
        if wanted.channels.is_empty() && access.user().is_some() {
            wanted.channels.push("@me".to_owned());
        }
        if wanted.channels.len() > settings.max_channels_per_connection {
            let max = settings.max_channels_per_connection;
            let detail = format!("a connection subscribes to at most {max} channels");
            return Err(Problem {
                field: Some("channel"),
                ..Problem::new(LIMIT, detail)
            }
            .into());
        }
        if wanted.raw && wanted.channels.len() != 1 {
            return Err(Problem::invalid("format", "format=raw takes exactly one channel").into());
        }
        let id = self.local.new_connection_id();
        Ok(Ready {
            id,
            wanted,
            access,
            grants,
        })
    }

    /// Refuses a session none of whose channels is allowed; a single refusal among others is said
    /// inside of the stream.
    pub(super) fn check_channels(&self, ready: &Ready) -> Result<(), Refused> {
        let settings = &self.local.shared.settings;
        let (cursor, now) = (self.cursor_of(&ready.wanted), self.local.now());
        if ready.wanted.channels.is_empty() {
            let detail = "name at least one channel, ?channel=news for example";
            return Err(Problem::invalid("channel", detail).into());
        }
        let names = &ready.wanted.channels;
        let (granted, refused) = admit(names, &cursor, &ready.access, &ready.grants, settings, now);
        let Some(first) = refused.into_iter().next().filter(|_| granted.is_empty()) else {
            return Ok(());
        };
        let is_key = matches!(
            ready.access.bearer(),
            bellwire_core::access::Bearer::ApiKey(_)
        );
        let problem = if first.check == "channel" || (first.check == "user" && is_key) {
            Problem::invalid("channel", first.detail)
        } else {
            let denied = Denied {
                check: first.check,
                detail: first.detail,
            };
            Problem {
                field: Some("channel"),
                ..Problem::denied(&ready.access, &denied)
            }
        };
        Err(problem.into())
    }

    pub(super) fn cursor_of(&self, wanted: &Wanted) -> bellwire_core::cursor::Cursor {
        wanted.parsed_cursor(self.local.shared.settings.max_cursor_bytes)
    }

    fn is_head(&self) -> bool {
        self.parts.method == hyper::Method::HEAD
    }

    fn keeps_alive(&self) -> bool {
        let asks_to_close = self
            .parts
            .headers
            .get_all(hyper::header::CONNECTION)
            .iter()
            .any(|value| value.as_bytes().eq_ignore_ascii_case(b"close"));
        self.parts.version >= Version::HTTP_11 && !asks_to_close
    }

    /// The headers of a stream, those of caches and proxies included.
    pub(super) fn stream_headers(&self, content_type: &'static str, id: ConnectionId) -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.insert("content-type", HeaderValue::from_static(content_type));
        headers.insert(
            "cache-control",
            HeaderValue::from_static("no-cache, no-store, no-transform"),
        );
        let id = HeaderValue::from_str(&id.to_string()).expect("base64url");
        headers.insert(CONNECTION_HEADER, id);
        headers.insert(
            "access-control-expose-headers",
            HeaderValue::from_static(CONNECTION_HEADER),
        );
        for (name, value) in self.local.gate.cors(&self.parts) {
            headers.insert(name, value);
        }
        let date = httpdate::fmt_http_date(SystemTime::now());
        headers.insert(
            "date",
            HeaderValue::from_str(&date).expect("a date is ASCII"),
        );
        headers
    }

    /// A stream that ends at once and says when to come back.
    fn come_back_later(&self, code: &'static str) -> Response<Body> {
        self.local.count_refusal(code);
        let retry = self.local.shared.config.retry;
        let (low, high) = (retry.min.as_millis(), retry.max.as_millis());
        let drawn = low + u128::from(crate::shard::random_u64()) % (high - low + 1);
        let mut response = Response::new(Body::from(format!("retry: {drawn}\n\n").into_bytes()));
        *response.headers_mut() =
            self.stream_headers("text/event-stream", self.local.new_connection_id());
        response
    }

    /// Serves a session through hyper's body, for requests whose socket is not taken over.
    fn through_body(
        &self,
        headers: HeaderMap,
        pending: Pending,
        poll: Option<Poll>,
    ) -> Response<Body> {
        let Pending {
            ready,
            place,
            transport,
            format,
        } = pending;
        let pipe = Rc::new(RefCell::new(Pipe::default()));
        let (writer, peer) = (Rc::clone(&pipe), self.accepted.peer);
        let socket = self.local.insert_pipe(writer, peer, place);
        let cursor = self.cursor_of(&ready.wanted);
        self.local.open(
            socket,
            open(ready, socket, transport, format, cursor, Vec::new(), poll),
        );
        let local = Rc::clone(self.local);
        let mut response = Response::new(Body::Pipe(PipeBody {
            pipe,
            local,
            socket,
        }));
        *response.headers_mut() = headers;
        response
    }
}

fn sse_format(wanted: &Wanted, chunked: bool) -> Format {
    Format::Sse(SseFormat {
        framing: if chunked {
            Framing::Chunked
        } else {
            Framing::Plain
        },
        own_id: wanted.own_ids || wanted.channels.len() <= 1,
        content: match (wanted.raw, wanted.named) {
            (true, _) => SseContent::Raw,
            (false, true) => SseContent::Named,
            (false, false) => SseContent::Envelope,
        },
    })
}

/// What the shard is handed.
pub(super) fn open(
    ready: Ready,
    socket: SocketKey,
    transport: Transport,
    format: Format,
    cursor: bellwire_core::cursor::Cursor,
    head: Vec<u8>,
    poll: Option<Poll>,
) -> Open {
    Open {
        id: ready.id,
        socket,
        transport,
        format,
        visible_heartbeats: ready.wanted.visible_heartbeats,
        names: ready.wanted.channels,
        cursor,
        access: ready.access,
        grants: ready.grants,
        head,
        poll,
        contexts: None,
    }
}

/// Status line and headers of a 200, without the empty line.
fn head_of(headers: &HeaderMap) -> String {
    let mut head = String::from("HTTP/1.1 200 OK\r\n");
    for (name, value) in headers {
        write_header(&mut head, name, value);
    }
    head
}

pub(super) fn write_header(head: &mut String, name: &HeaderName, value: &HeaderValue) {
    // A header value of ours is ASCII, and an origin that was accepted came as one.
    let value = value.to_str().unwrap_or_default();
    write!(head, "{name}: {value}\r\n").expect("writing to memory does not fail");
}
