//! Which endpoint a request means.

use std::borrow::Cow;

use bellwire_core::{
    channel::{Channel, UserId},
    shard::ConnectionId,
};
use hyper::{Method, http::request::Parts};

use super::Listener;
use crate::{config::Config, problem::Problem};

/// The endpoints.
#[derive(Debug)]
pub(super) enum Route {
    Sse,
    Poll,
    WebSocket,
    Echo,
    Publish,
    PublishTo(Channel),
    PublishToUser(UserId),
    Channels,
    History(Channel),
    Presence,
    Connections,
    CloseConnection(ConnectionId),
    CloseUser(UserId),
    Livez,
    Readyz,
    Metrics,
    OpenApi,
    Sdk,
    Page(Cow<'static, str>),
    Preflight,
}

/// Why there is none.
#[derive(Debug)]
pub(super) enum NoRoute {
    /// Nothing at this path.
    Path,
    /// It answers on the other listener.
    Elsewhere(&'static str),
    /// The path exists, for these methods.
    Method(&'static str),
    /// A name in the path is not valid.
    Name(Problem),
}

/// Finds the endpoint.
pub(super) fn find(parts: &Parts, listener: Listener, config: &Config) -> Result<Route, NoRoute> {
    let path = parts.uri.path();
    let segments: Vec<&str> = path.strip_prefix('/').unwrap_or(path).split('/').collect();
    let (route, methods, place) = lookup(&segments, &parts.method, config)?;
    check_listener(place, listener, config)?;
    if parts.method == Method::OPTIONS {
        return Ok(Route::Preflight);
    }
    let method = if parts.method == Method::HEAD {
        "GET"
    } else {
        parts.method.as_str()
    };
    if !methods.split(", ").any(|allowed| allowed == method) {
        return Err(NoRoute::Method(methods));
    }
    route()
}

/// Where an endpoint answers.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    Main,
    Admin,
    Both,
}

type Found<'a> = (
    Box<dyn FnOnce() -> Result<Route, NoRoute> + 'a>,
    &'static str,
    Place,
);

fn lookup<'a>(
    segments: &'a [&'a str],
    method: &Method,
    config: &Config,
) -> Result<Found<'a>, NoRoute> {
    let fixed = |route: Route, methods, place| -> Found<'a> {
        (Box::new(move || Ok(route)), methods, place)
    };
    let deletes = *method == Method::DELETE;
    Ok(match segments {
        ["v1", "sse"] => fixed(Route::Sse, "GET, POST", Place::Main),
        ["v1", "poll"] => fixed(Route::Poll, "GET, POST", Place::Main),
        ["v1", "ws"] => fixed(Route::WebSocket, "GET", Place::Main),
        ["v1", "echo"] if config.dev || config.diagnostics => {
            fixed(Route::Echo, "GET", Place::Main)
        }
        ["v1", "publish"] => fixed(Route::Publish, "POST", Place::Main),
        ["v1", "channels"] => fixed(Route::Channels, "GET", Place::Main),
        ["v1", "channels", name] => (
            Box::new(|| channel(name).map(Route::PublishTo)),
            "POST",
            Place::Main,
        ),
        ["v1", "channels", name, "history"] => (
            Box::new(|| channel(name).map(Route::History)),
            "GET",
            Place::Main,
        ),
        ["v1", "channels", _, "presence"] => fixed(Route::Presence, "GET", Place::Main),
        ["v1", "users", name] => (
            Box::new(|| user(name).map(Route::PublishToUser)),
            "POST",
            Place::Main,
        ),
        ["v1", "users", name, "connections"] => (
            Box::new(|| user(name).map(Route::CloseUser)),
            "DELETE",
            Place::Admin,
        ),
        ["v1", "connections"] if !deletes => fixed(Route::Connections, "GET", Place::Admin),
        ["v1", "connections", id] => (
            Box::new(|| connection(id).map(Route::CloseConnection)),
            "DELETE",
            Place::Admin,
        ),
        ["livez"] => fixed(Route::Livez, "GET", Place::Both),
        ["readyz"] => fixed(Route::Readyz, "GET", Place::Both),
        ["metrics"] => fixed(Route::Metrics, "GET", Place::Admin),
        ["openapi.json"] => fixed(Route::OpenApi, "GET", Place::Main),
        ["bellwire.js"] => fixed(Route::Sdk, "GET", Place::Main),
        [""] if config.dev => fixed(Route::Page("start.html".into()), "GET", Place::Main),
        ["assets", name] if config.dev => {
            fixed(Route::Page((*name).to_owned().into()), "GET", Place::Main)
        }
        ["demo"] | ["demo", ""] if config.dev => {
            fixed(Route::Page("demo/index.html".into()), "GET", Place::Main)
        }
        ["demo", name] if config.dev => fixed(
            Route::Page(format!("demo/{name}").into()),
            "GET",
            Place::Main,
        ),
        _ => return Err(NoRoute::Path),
    })
}

/// In development mode without a second listener everything is on the main one.
fn check_listener(place: Place, listener: Listener, config: &Config) -> Result<(), NoRoute> {
    let all_on_main = config.dev && config.admin_address().is_none();
    match (place, listener) {
        (Place::Main, Listener::Main) | (Place::Admin, Listener::Admin) | (Place::Both, _) => {
            Ok(())
        }
        (Place::Admin, Listener::Main) if all_on_main => Ok(()),
        (Place::Admin, Listener::Main) => Err(NoRoute::Elsewhere("admin")),
        (Place::Main, Listener::Admin) => Err(NoRoute::Elsewhere("main")),
    }
}

fn channel(segment: &str) -> Result<Channel, NoRoute> {
    let name = decode(segment, "channel")?;
    Channel::parse(&name)
        .map_err(|error| NoRoute::Name(Problem::invalid("channel", error.to_string())))
}

fn user(segment: &str) -> Result<UserId, NoRoute> {
    let name = decode(segment, "user")?;
    UserId::parse(&name).map_err(|error| NoRoute::Name(Problem::invalid("user", error.to_string())))
}

fn connection(segment: &str) -> Result<ConnectionId, NoRoute> {
    ConnectionId::parse(segment).ok_or_else(|| {
        NoRoute::Name(Problem::invalid(
            "connection",
            "that is not the id of a connection",
        ))
    })
}

/// A path segment is decoded once.
fn decode(segment: &str, field: &'static str) -> Result<String, NoRoute> {
    let mut bytes = Vec::with_capacity(segment.len());
    let mut rest = segment.bytes();
    while let Some(byte) = rest.next() {
        if byte == b'%' {
            let mut digit = || char::from(rest.next()?).to_digit(16);
            let value = digit()
                .zip(digit())
                .and_then(|(a, b)| u8::try_from(a * 16 + b).ok());
            bytes.push(value.ok_or_else(|| not_decodable(field))?);
        } else {
            bytes.push(byte);
        }
    }
    String::from_utf8(bytes).map_err(|_| not_decodable(field))
}

fn not_decodable(field: &'static str) -> NoRoute {
    NoRoute::Name(Problem::invalid(
        field,
        "the path is not percent-encoded UTF-8",
    ))
}
