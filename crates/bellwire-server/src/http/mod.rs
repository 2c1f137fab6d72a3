//! The HTTP API: from a parsed request to an answer or to a session.
//!
//! hyper has parsed the request and waits for [`respond`]; routes are in [`route`], one file per
//! group of endpoints. Nothing here touches a socket: streams are handed over to sessions.

mod body;
mod channels;
mod client;
mod connections;
mod deflate;
mod intake;
mod items;
#[cfg(test)]
mod openapi;
mod operations;
mod pages;
mod publish;
mod query;
mod route;
mod stream;
mod websocket;

use std::rc::Rc;

use hyper::{
    Request, Response, StatusCode, Version,
    body::Incoming,
    header::{ALLOW, CONNECTION, HOST, HeaderValue},
    http::request::Parts,
};

pub(crate) use self::body::Body;
pub(crate) use self::intake::Intake;
pub(crate) use self::query::{FALLBACKS, OTHER_FALLBACK};
use self::route::{NoRoute, Route};
use crate::{
    access::{Cors, Purpose},
    problem::{METHOD_NOT_ALLOWED, NOT_FOUND, Problem},
    shard::{Accepted, Local, Room},
};

/// Which listener a connection came in by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Listener {
    /// For clients and publishers.
    Main,
    /// For operations.
    Admin,
}

/// A request with what its routes need.
pub(crate) struct Asked<'a> {
    pub(crate) local: &'a Rc<Local>,
    pub(crate) accepted: &'a Rc<Accepted>,
    pub(crate) parts: Parts,
}

/// Answers a request, or hands its socket over and never does.
pub(crate) async fn respond(
    local: &Rc<Local>,
    accepted: &Rc<Accepted>,
    request: Request<Incoming>,
) -> Response<Body> {
    let _answering = local.answer();
    let has_body = !hyper::body::Body::is_end_stream(request.body());
    let (mut parts, body) = request.into_parts();
    let version = parts.version;
    websocket::name_extended_connect(&mut parts);
    let streaming = accepted.streaming(has_body);
    if has_body {
        accepted.note_body();
    }
    let cors = local.gate.cors(&parts);
    let asked = Asked {
        local,
        accepted,
        parts,
    };
    let answer = match asked.route() {
        Ok(Route::Preflight) => Ok(preflight(&asked)),
        Ok(route) => match asked.room(&route) {
            Ok(()) => asked.dispatch(route, body, streaming).await,
            Err(problem) => Err(problem),
        },
        Err(refused) => Err(refused),
    };
    let mut response = match answer {
        Ok(response) => response,
        Err(Refused { problem, allow }) => {
            local.count_refusal(problem.code.name);
            let mut response = problem.response().map(Body::from);
            if let Some(allow) = allow {
                response
                    .headers_mut()
                    .insert(ALLOW, HeaderValue::from_static(allow));
            }
            response
        }
    };
    add(&mut response, cors);
    // HTTP/2 says so for the whole connection.
    if version < Version::HTTP_2
        && (accepted.room != Room::Seated || local.shared.drain.is_draining())
    {
        response
            .headers_mut()
            .insert(CONNECTION, HeaderValue::from_static("close"));
    }
    response
}

/// An answer that is an error.
pub(crate) struct Refused {
    problem: Problem,
    allow: Option<&'static str>,
}

impl From<Problem> for Refused {
    fn from(problem: Problem) -> Self {
        Self {
            problem,
            allow: None,
        }
    }
}

/// What a route comes to.
pub(crate) type Answer = Result<Response<Body>, Refused>;

impl Asked<'_> {
    fn route(&self) -> Result<Route, Refused> {
        check_host(&self.parts)?;
        let config = &self.local.shared.config;
        let found = route::find(&self.parts, self.accepted.listener, config);
        found.map_err(|none| match none {
            NoRoute::Path => {
                let detail = format!("no endpoint {}", self.parts.uri.path());
                Problem::new(NOT_FOUND, detail).into()
            }
            NoRoute::Elsewhere(listener) => {
                let detail = format!("this endpoint answers on the {listener} listener");
                Problem::new(NOT_FOUND, detail).into()
            }
            NoRoute::Method(allow) => {
                let detail = format!("{} is not among {allow}", self.parts.method);
                Refused {
                    problem: Problem::new(METHOD_NOT_ALLOWED, detail),
                    allow: Some(allow),
                }
            }
            NoRoute::Name(problem) => problem.into(),
        })
    }

    /// Refuses what there is no room for. Probes are always answered, and streams of events tell
    /// for themselves: an EventSource dies of any error status.
    fn room(&self, route: &Route) -> Result<(), Refused> {
        if matches!(
            route,
            Route::Sse | Route::Livez | Route::Readyz | Route::Metrics
        ) {
            return Ok(());
        }
        match self.accepted.room {
            Room::Seated => Ok(()),
            room => Err(client::no_room(room).into()),
        }
    }

    async fn dispatch(
        &self,
        route: Route,
        body: Incoming,
        streaming: crate::shard::Streaming,
    ) -> Answer {
        match route {
            Route::Sse => self.sse(body, streaming).await,
            Route::Poll => self.poll(body, streaming).await,
            Route::WebSocket => self.websocket(streaming).await,
            Route::Echo => self.echo(streaming).await,
            Route::Publish => self.publish(body).await,
            Route::PublishTo(channel) => self.publish_to(channel, body).await,
            Route::PublishToUser(user) => self.publish_to_user(&user, body).await,
            Route::Channels => self.channels().await,
            Route::History(channel) => self.history(channel).await,
            Route::Presence => Err(operations::presence().into()),
            Route::Connections => self.connections().await,
            Route::CloseConnection(id) => self.close_connection(id).await,
            Route::CloseUser(user) => self.close_user(user).await,
            Route::Livez => Ok(operations::livez()),
            Route::Readyz => Ok(self.readyz()),
            Route::Metrics => self.metrics().await,
            Route::OpenApi => Ok(operations::openapi()),
            Route::Page(name) => self.page(name),
            Route::Sdk => Ok(pages::sdk()),
            Route::Preflight => Ok(preflight(self)),
        }
    }

    /// Who asks; an error carries what failed.
    pub(crate) fn admit(
        &self,
        purpose: Purpose,
    ) -> Result<std::sync::Arc<bellwire_core::access::Access>, Problem> {
        let now = self.local.now();
        let admitted = self
            .local
            .gate
            .admit(&self.parts, self.accepted.peer, purpose, now)?;
        Ok(admitted.access)
    }
}

/// A proxy and this server could each believe another one of two hosts (RFC 9112 §3.2).
fn check_host(parts: &Parts) -> Result<(), Problem> {
    let hosts = parts.headers.get_all(HOST).iter().count();
    let is_one = match parts.version {
        Version::HTTP_11 => hosts == 1,
        _ => hosts <= 1,
    };
    if is_one {
        return Ok(());
    }
    let detail = format!("the request has {hosts} Host headers where it needs one");
    Err(Problem::invalid("host", detail))
}

fn preflight(asked: &Asked<'_>) -> Response<Body> {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::NO_CONTENT;
    add(&mut response, asked.local.gate.preflight(&asked.parts));
    response
}

fn add(response: &mut Response<Body>, headers: Cors) {
    for (name, value) in headers {
        response.headers_mut().insert(name, value);
    }
}

/// A JSON answer.
pub(crate) fn json(body: Vec<u8>) -> Response<Body> {
    let mut response = Response::new(Body::from(body));
    let headers = response.headers_mut();
    headers.insert(
        hyper::header::CONTENT_TYPE,
        HeaderValue::from_static("application/json"),
    );
    headers.insert(
        hyper::header::CACHE_CONTROL,
        HeaderValue::from_static("no-store"),
    );
    response
}
