//! Opening WebSockets: every refusal of the handshake has its own name.

use std::fmt::Write;

use bellwire_core::{
    access::Access,
    shard::{Open, Transport},
};
use bellwire_wire::websocket::handshake::{self, Handshake};
use hyper::{
    Method, Response, StatusCode, Version,
    ext::Protocol,
    header::{HeaderName, HeaderValue},
    http::request::Parts,
    upgrade::OnUpgrade,
};

use super::{
    Answer, Asked, Body,
    deflate::Deflation,
    query::Wanted,
    stream::{CONNECTION_HEADER, open, write_header},
};
use crate::{
    access::Purpose,
    problem::{ErrorCode, Problem, Retry},
    shard::{Session, Streaming, never, pump},
};

/// The subprotocol that is accepted where a client offers one; without it browsers fail a
/// handshake in which they offered any.
const SUBPROTOCOL: &str = "bellwire.v1";

/// What HTTP/2 leaves out of a handshake (RFC 8441 §5), so that one reading serves both.
const LEFT_OUT: [(&str, &[u8]); 3] = [
    ("connection", b"Upgrade"),
    ("upgrade", b"websocket"),
    ("sec-websocket-key", b"AAAAAAAAAAAAAAAAAAAAAA=="),
];

/// Gives HTTP/2's way of asking for a WebSocket the method that its route has.
pub(super) fn name_extended_connect(parts: &mut Parts) {
    if parts.method == Method::CONNECT && is_extended(parts) {
        parts.method = Method::GET;
    }
}

/// Whether a WebSocket is asked for inside of a stream of HTTP/2.
fn is_extended(parts: &Parts) -> bool {
    let protocol = parts.extensions.get::<Protocol>();
    protocol.is_some_and(|protocol| protocol.as_str() == "websocket")
}

/// A checked handshake: what the 101 says.
struct Switch {
    accept: [u8; 28],
    subprotocol: bool,
    deflation: Deflation,
}

impl Asked<'_> {
    pub(super) async fn websocket(&self, streaming: Streaming) -> Answer {
        let mut switch = match self.handshake() {
            Ok(switch) => switch,
            Err(response) => return Ok(*response),
        };
        let wanted = Wanted::from_query(&self.parts)?;
        let ready = self.prepare(wanted)?;
        // Without credentials the channels wait for an `auth` command.
        if !ready.access.is_anonymous() && !ready.wanted.channels.is_empty() {
            self.check_channels(&ready)?;
        }
        let place = self.arrival()?;
        let format = switch.deflation.format(ready.wanted.raw);
        let contexts = switch.deflation.contexts.take();
        let cursor = self.cursor_of(&ready.wanted);
        let id = ready.id;
        let session = move |socket, head| {
            let transport = Transport::WebSocket;
            let open = Open {
                contexts,
                ..open(ready, socket, transport, format, cursor, head, None)
            };
            Session { open, place }
        };
        Ok(self.switch(&switch, id, streaming, session).await)
    }

    pub(super) async fn echo(&self, streaming: Streaming) -> Answer {
        self.admit(Purpose::Stream)?;
        let mut switch = match self.handshake() {
            Ok(switch) => switch,
            Err(response) => return Ok(*response),
        };
        let id = self.local.new_connection_id();
        let place = self.arrival()?;
        let format = switch.deflation.format(false);
        let contexts = switch.deflation.contexts.take();
        let open = move |socket, head| Open {
            id,
            socket,
            transport: Transport::Echo,
            format,
            visible_heartbeats: false,
            names: Vec::new(),
            cursor: bellwire_core::cursor::Cursor::none(),
            access: std::sync::Arc::new(Access::anonymous()),
            grants: Vec::new(),
            head,
            poll: None,
            contexts,
        };
        let session = move |socket, head| Session {
            open: open(socket, head),
            place,
        };
        Ok(self.switch(&switch, id, streaming, session).await)
    }

    fn handshake(&self) -> Result<Switch, Box<Response<Body>>> {
        let extended = is_extended(&self.parts);
        let headers = self.parts.headers.iter();
        let sent = headers
            .map(|(name, value)| (name.as_str(), value.as_bytes()))
            .filter(|(name, _)| !(extended && LEFT_OUT.iter().any(|(known, _)| known == name)));
        let pairs = sent.chain(LEFT_OUT.into_iter().filter(|_| extended));
        let version = extended || self.parts.version == Version::HTTP_11;
        match handshake::validate(self.parts.method.as_str(), version, pairs) {
            Ok(handshake) => Ok(Switch {
                accept: handshake.accept_key(),
                subprotocol: offers_ours(&handshake),
                deflation: Deflation::agree(self.local, &handshake),
            }),
            Err(refusal) => {
                self.local.count_refusal(refusal.code());
                Err(Box::new(refuse(refusal)))
            }
        }
    }

    /// Answers 101 and hands the socket over: behind our own head where that is possible, else
    /// behind hyper's. Inside of HTTP/2 the answer is 200, and the stream becomes the socket.
    async fn switch(
        &self,
        switch: &Switch,
        id: bellwire_core::shard::ConnectionId,
        streaming: Streaming,
        session: impl FnOnce(bellwire_core::shard::SocketKey, Vec<u8>) -> Session + 'static,
    ) -> Response<Body> {
        let mut response = Response::new(Body::empty());
        let inside = self.parts.extensions.get::<OnUpgrade>().cloned();
        let inside = inside.filter(|_| is_extended(&self.parts));
        let headers = response.headers_mut();
        if inside.is_none() {
            headers.insert("upgrade", HeaderValue::from_static("websocket"));
            headers.insert("connection", HeaderValue::from_static("Upgrade"));
            let accept = HeaderValue::from_bytes(&switch.accept).expect("base64");
            headers.insert("sec-websocket-accept", accept);
        }
        if switch.subprotocol {
            let value = HeaderValue::from_static(SUBPROTOCOL);
            headers.insert("sec-websocket-protocol", value);
        }
        if let Some(answer) = switch.deflation.answer() {
            let value = HeaderValue::from_str(&answer).expect("tokens");
            headers.insert("sec-websocket-extensions", value);
        }
        let id = HeaderValue::from_str(&id.to_string()).expect("base64url");
        headers.insert(CONNECTION_HEADER, id);
        if let Some(upgrade) = inside {
            pump(self.local, self.accepted, upgrade, move |socket| {
                session(socket, Vec::new())
            });
            return response;
        }
        *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
        if streaming == Streaming::Body {
            self.accepted
                .hand_over_upgraded(move |socket| session(socket, Vec::new()));
            return response;
        }
        let mut head = String::from("HTTP/1.1 101 Switching Protocols\r\n");
        for (name, value) in response.headers() {
            write_header(&mut head, name, value);
        }
        write!(head, "\r\n").expect("writing to memory does not fail");
        self.accepted
            .hand_over(move |socket| session(socket, head.into_bytes()));
        never().await
    }
}

fn offers_ours(handshake: &Handshake<'_>) -> bool {
    handshake.protocols().contains(&SUBPROTOCOL)
}

fn refuse(refusal: handshake::Refusal) -> Response<Body> {
    let status = StatusCode::from_u16(refusal.status()).unwrap_or(StatusCode::BAD_REQUEST);
    let code = ErrorCode {
        name: refusal.code(),
        status,
        retry: Retry::No,
        title: "The WebSocket handshake is not valid",
    };
    let problem = Problem {
        field: refusal.field(),
        ..Problem::new(code, refusal.detail())
    };
    let mut response = problem.response().map(Body::from);
    for &(name, value) in refusal.headers() {
        if let Ok(name) = HeaderName::from_bytes(name.as_bytes()) {
            response
                .headers_mut()
                .insert(name, HeaderValue::from_static(value));
        }
    }
    response
}
