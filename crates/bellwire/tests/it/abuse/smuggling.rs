//! Requests that a proxy in front might read otherwise: each is refused, or has one meaning and the
//! connection ends with it, so that nothing can hide behind it.

use std::time::Instant;

use bellwire_testkit::{
    http::{Head, Link, Request},
    wait::SOON,
};

use crate::{dev, malformed::problem};

/// What an attacker wants to get past a proxy.
const HIDDEN: &str = "GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n";
const PUBLISH: &str = "POST /v1/channels/a HTTP/1.1\r\nHost: localhost\r\n";

/// The statuses of all answers on a connection that gets these bytes until the server ends it, and
/// whether the last one says that it does.
fn statuses(address: std::net::SocketAddr, bytes: &str) -> (Vec<u16>, bool) {
    let mut link = Link::connect(address);
    link.send_bytes(bytes.as_bytes());
    let mut received = Vec::new();
    let deadline = Instant::now() + SOON;
    while let Ok(Some(bytes)) = link.read_some(deadline) {
        received.extend(bytes);
    }
    let text = String::from_utf8_lossy(&received).into_owned();
    let answers: Vec<&str> = text.split("HTTP/1.1 ").skip(1).collect();
    let status = |answer: &&str| answer.split(' ').next().unwrap().parse().unwrap();
    let ended = answers
        .last()
        .is_some_and(|answer| answer.to_lowercase().contains("connection: close"));
    (answers.iter().map(status).collect(), ended)
}

#[test]
fn what_two_readers_could_cut_differently_is_refused() {
    let server = dev();
    for head in [
        "Content-Length: 1\r\nContent-Length: 2\r\n",
        "Content-Length: 1, 1\r\n",
        "Content-Length: +1\r\n",
        "Content-Length: -1\r\n",
        "Content-Length: 0x1\r\n",
        "Content-Length: 99999999999999999999\r\n",
        "Content-Length : 1\r\n",
        "Transfer-Encoding: xchunked\r\n",
        "Transfer-Encoding: chunked, identity\r\n",
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n",
        "Transfer-Encoding : chunked\r\n",
        "X-Folded: a\r\n b\r\nContent-Length: 1\r\n",
        "X-Folded: a\r\n\tb\r\nContent-Length: 1\r\n",
        "X-Bare: a\rb\r\nContent-Length: 1\r\n",
        "X-Nul: a\0b\r\nContent-Length: 1\r\n",
        "X Space: a\r\nContent-Length: 1\r\n",
        ": a\r\nContent-Length: 1\r\n",
    ] {
        let (found, ended) = statuses(server.address(), &format!("{PUBLISH}{head}\r\n1{HIDDEN}"));
        assert_eq!((found, ended), (vec![400], true), "{head:?}");
    }
    let old = PUBLISH.replace("1.1", "1.0");
    let old = format!("{old}Transfer-Encoding: chunked\r\n\r\n1\r\n1\r\n0\r\n\r\n{HIDDEN}");
    assert_eq!(statuses(server.address(), &old), (vec![400], true));
    let folded = "GET /livez HTTP/1.1\r\n Host: localhost\r\n\r\n";
    assert_eq!(statuses(server.address(), folded), (vec![400], true));
}

#[test]
fn a_length_beside_chunks_counts_for_nothing_and_ends_the_connection() {
    let server = dev();
    for head in [
        "Content-Length: 6\r\nTransfer-Encoding: chunked\r\n",
        "Transfer-Encoding: chunked\r\nContent-Length: 6\r\n",
    ] {
        let bytes = format!("{PUBLISH}{head}\r\n1\r\n1\r\n0\r\n\r\n{HIDDEN}");
        assert_eq!(
            statuses(server.address(), &bytes),
            (vec![200], true),
            "{head:?}"
        );
    }
}

#[test]
fn chunks_that_are_none_end_the_connection() {
    let server = dev();
    for chunks in [
        "fffffffffffffffff\r\n1\r\n0\r\n\r\n",
        "-1\r\n1\r\n0\r\n\r\n",
        "1\n1\r\n0\r\n\r\n",
        "0x1\r\n1\r\n0\r\n\r\n",
        "1\r\n1X\r\n0\r\n\r\n",
        "\r\n1\r\n0\r\n\r\n",
    ] {
        let head = "Transfer-Encoding: chunked\r\n";
        let bytes = format!("{PUBLISH}{head}\r\n{chunks}{HIDDEN}");
        let (found, _) = statuses(server.address(), &bytes);
        assert_eq!(found, [400], "{chunks:?}");
    }
}

#[test]
fn a_request_has_one_host() {
    let server = dev();
    for head in ["Host: localhost\r\nHost: evil.example\r\n", "X: y\r\n"] {
        for target in ["/livez", "/v1/poll?channel=a", "/nothing"] {
            let mut link = Link::connect(server.address());
            link.send_bytes(format!("GET {target} HTTP/1.1\r\n{head}\r\n").as_bytes());
            let answer = link.answer();
            assert_eq!(answer.status(), 400, "{target} {head:?}");
            assert_eq!(problem(&answer)["field"], "host");
        }
    }
    let mut old = Link::connect(server.address());
    old.send_bytes(b"GET /livez HTTP/1.0\r\n\r\n");
    assert_eq!(old.answer().status(), 200);
}

#[test]
fn a_body_where_none_is_expected_is_not_the_next_request() {
    let server = dev();
    let length = HIDDEN.len();
    let mut link = Link::connect(server.address());
    link.send_bytes(
        format!(
            "GET /v1/channels HTTP/1.1\r\nHost: localhost\r\nContent-Length: {length}\r\n\r\n\
             {HIDDEN}GET /readyz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
        )
        .as_bytes(),
    );
    assert!(link.answer().json()["channels"].is_array());
    let ready = link.answer();
    let alone = Request::get("/readyz").send(server.address());
    assert_eq!((ready.status(), ready.text()), (200, alone.text()));
    assert_eq!(link.read_some(Instant::now() + SOON).unwrap(), None);
}

#[test]
fn an_upgrade_to_anything_but_a_websocket_is_not_taken() {
    let server = dev();
    let upgrade = |name: &str| {
        Request::get("/v1/sse?channel=a")
            .header("connection", "Upgrade, HTTP2-Settings")
            .header("upgrade", name)
            .header("http2-settings", "AAMAAABkAAQCAAAAAAIAAAAA")
    };
    for name in ["h2c", "h2c, websocket", "TLS/1.0", "websocket"] {
        let mut link = Link::connect(server.address());
        link.send(&upgrade(name));
        let Head { status, headers } = link.head();
        assert_eq!(status, 200, "{name}");
        assert!(
            headers.iter().all(|(header, _)| header != "upgrade"),
            "{name}"
        );
    }
}
