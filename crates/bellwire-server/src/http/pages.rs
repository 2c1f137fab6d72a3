//! The start page and the demos of development mode, and the client for browsers, out of the binary.

use hyper::{
    Response,
    header::{ACCESS_CONTROL_ALLOW_ORIGIN, CACHE_CONTROL, CONTENT_TYPE, HeaderValue, SET_COOKIE},
};

use super::{Answer, Asked, Body};
use crate::{
    access::Purpose,
    problem::{NOT_FOUND, Problem},
};

/// Name, content type, bytes.
type Asset = (&'static str, &'static str, &'static [u8]);

macro_rules! asset {
    ($name:literal, $kind:literal) => {
        ($name, $kind, include_bytes!(concat!("../../pages/", $name)))
    };
}

static ASSETS: &[Asset] = &[
    asset!("start.html", "text/html; charset=utf-8"),
    asset!("start.css", "text/css; charset=utf-8"),
    asset!("start.js", "text/javascript; charset=utf-8"),
    asset!("wires.js", "text/javascript; charset=utf-8"),
    asset!("pane.js", "text/javascript; charset=utf-8"),
    asset!("publish.js", "text/javascript; charset=utf-8"),
    asset!("bell.svg", "image/svg+xml"),
    asset!("demo/demo.css", "text/css; charset=utf-8"),
    asset!("demo/index.html", "text/html; charset=utf-8"),
    asset!("demo/chat.html", "text/html; charset=utf-8"),
    asset!("demo/cursors.html", "text/html; charset=utf-8"),
    asset!("demo/progress.html", "text/html; charset=utf-8"),
    asset!("demo/dashboard.html", "text/html; charset=utf-8"),
    asset!("demo/pad.html", "text/html; charset=utf-8"),
    asset!("demo/inbox.html", "text/html; charset=utf-8"),
];

/// What `npm run build` in clients/typescript makes; a check compares the two.
static SDK: &[u8] = include_bytes!("../../pages/bellwire.js");

/// The client for browsers. It is public, like any library on any site, and pages of other
/// origins may import it: a module is fetched with CORS.
pub(super) fn sdk() -> Response<Body> {
    let mut response = Response::new(Body::from(SDK));
    let headers = response.headers_mut();
    let kind = HeaderValue::from_static("text/javascript; charset=utf-8");
    headers.insert(CONTENT_TYPE, kind);
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("max-age=3600"));
    headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
    headers.insert(
        "x-content-type-options",
        HeaderValue::from_static("nosniff"),
    );
    response
}

/// Only what the page itself brings, and connections to this server.
const POLICY: &str = "default-src 'self'; connect-src 'self' ws: wss:; frame-ancestors 'none'";

/// A demo is one file, so that its source can be read and copied: its script and style are in it.
const DEMO_POLICY: &str = "default-src 'self'; script-src 'self' 'unsafe-inline'; \
    style-src 'self' 'unsafe-inline'; connect-src 'self' ws: wss:; frame-ancestors 'none'";

impl Asked<'_> {
    pub(super) fn page(&self, name: std::borrow::Cow<'static, str>) -> Answer {
        let now = self.local.now();
        let (gate, peer) = (&self.local.gate, self.accepted.peer);
        let admitted = gate.admit(&self.parts, peer, Purpose::Page, now)?;
        let Some((_, kind, bytes)) = ASSETS.iter().find(|(known, ..)| *known == name) else {
            return Err(Problem::new(NOT_FOUND, format!("no asset {name}")).into());
        };
        let mut response = Response::new(Body::from(*bytes));
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
        let policy = if name.starts_with("demo/") {
            DEMO_POLICY
        } else {
            POLICY
        };
        headers.insert("content-security-policy", HeaderValue::from_static(policy));
        headers.insert(
            "x-content-type-options",
            HeaderValue::from_static("nosniff"),
        );
        headers.insert("referrer-policy", HeaderValue::from_static("no-referrer"));
        if let Some(cookie) = admitted.set_cookie {
            headers.insert(SET_COOKIE, cookie);
        }
        Ok(response)
    }
}
