//! Probes, metrics, and the description of the API.

use hyper::{
    Response, StatusCode,
    header::{CACHE_CONTROL, CONTENT_TYPE, HeaderValue},
};

use super::{Answer, Asked, Body, Listener, json};
use crate::{
    access::Purpose,
    metrics,
    problem::{Problem, UNSUPPORTED},
};

static OPENAPI: &[u8] = include_bytes!("../../openapi.json");

/// The process runs.
pub(super) fn livez() -> Response<Body> {
    text("ok\n")
}

/// Presence belongs to a later version.
pub(super) fn presence() -> Problem {
    Problem::new(UNSUPPORTED, "presence is not part of this version")
}

pub(super) fn openapi() -> Response<Body> {
    let mut response = json(Vec::new());
    *response.body_mut() = Body::from(OPENAPI);
    response
}

impl Asked<'_> {
    /// Whether this node wants new connections: not while it drains, nor while it is full.
    pub(super) fn readyz(&self) -> Response<Body> {
        let shared = &self.local.shared;
        let word = if shared.drain.is_draining() {
            "draining\n"
        } else if shared.census.is_full() {
            "full\n"
        } else {
            return text("ok\n");
        };
        let mut response = text(word);
        *response.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
        response
    }

    pub(super) async fn metrics(&self) -> Answer {
        let loopback = self.accepted.listener == Listener::Admin
            && self
                .accepted
                .local
                .is_some_and(|address| address.ip().is_loopback());
        if !loopback {
            let access = self.admit(Purpose::Read)?;
            access
                .may_read_metrics()
                .map_err(|denied| Problem::denied(&access, &denied))?;
        }
        let body = metrics::gather(&self.local.shared).await;
        let mut response = Response::new(Body::from(body.into_bytes()));
        response.headers_mut().insert(
            CONTENT_TYPE,
            HeaderValue::from_static(metrics::CONTENT_TYPE),
        );
        Ok(response)
    }
}

fn text(word: &'static str) -> Response<Body> {
    let mut response = Response::new(Body::from(word.as_bytes()));
    let headers = response.headers_mut();
    headers.insert(
        CONTENT_TYPE,
        HeaderValue::from_static("text/plain; charset=utf-8"),
    );
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}
