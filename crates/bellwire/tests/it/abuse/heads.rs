//! Request heads and bodies that are far too large or in the smallest pieces: they end early and
//! cost little.

use std::{
    io::{ErrorKind, Write as _},
    time::{Duration, Instant},
};

use bellwire_testkit::{
    credentials,
    http::{Link, Request},
    process::Server,
    wait::{self, SOON},
};
use serde_json::json;

use crate::{dev, dev_with, handshakes::handshake, say, secured};

/// Sends a head and what would follow it one byte at a time, for as long as the server reads; gives
/// how many it took. The server has one shard, so that one answer shows what it has read.
fn dribble(server: &Server, link: &Link, bytes: impl Iterator<Item = u8>) -> usize {
    let mut sent = 0_usize;
    for byte in bytes {
        match link.stream().write_all(&[byte]) {
            Ok(()) => sent += 1,
            Err(error) => {
                let gone = [ErrorKind::BrokenPipe, ErrorKind::ConnectionReset];
                assert!(gone.contains(&error.kind()), "{error}");
                break;
            }
        }
        if sent.is_multiple_of(4 << 10) {
            // An answer of somebody else: what was sent before has been read by then.
            assert_eq!(Request::get("/livez").send(server.address()).status(), 200);
        }
    }
    sent
}

/// CPU time of the server while something happens.
fn cost(server: &Server, attack: impl FnOnce()) -> Duration {
    let before = server.cpu_time();
    attack();
    server.cpu_time() - before
}

/// Whether the answer is a 431, or lost in the reset that tells the rest not to come.
fn is_told(link: &mut Link) {
    match link.answer_by(Instant::now() + SOON) {
        Ok(answer) => assert_eq!(answer.status(), 431),
        Err(error) => assert_eq!(error.kind(), ErrorKind::ConnectionReset, "{error}"),
    }
}

#[test]
fn an_endless_header_in_single_bytes_ends_at_the_bound() {
    let server = Server::builder(env!("CARGO_BIN_EXE_bellwire"))
        .args(["--dev", "--shards", "1"])
        .start();
    for (name, length) in [("x-filler", 64 << 10), ("cookie", 10 << 20)] {
        let start = format!("GET /v1/ws?channel=a HTTP/1.1\r\nHost: localhost\r\n{name}: ");
        let mut link = Link::connect(server.address());
        let mut sent = 0;
        let used = cost(&server, || {
            let endless = std::iter::repeat_n(b'x', length);
            sent = dribble(&server, &link, start.bytes().chain(endless));
        });
        // The bound is 16 KiB; the rest was under way when the answer came.
        assert!(sent < 512 << 10, "{sent} bytes of {length} were taken");
        assert!(used < Duration::from_secs(5), "{used:?} of CPU");
        say(&format!(
            "{length} bytes of {name}: {sent} taken, {used:?} of CPU"
        ));
        is_told(&mut link);
    }
    assert_eq!(Request::get("/livez").send(server.address()).status(), 200);
}

#[test]
fn two_thousand_headers_and_a_long_list_of_protocols_are_refused() {
    let server = dev();
    let mut many = Request::get("/v1/ws?channel=a");
    for nth in 0..2_000 {
        many = many.header(&format!("a{nth}"), "b");
    }
    let protocols = "bellwire.v1,".repeat(100_000 / 12);
    let long = handshake(
        "/v1/ws?channel=a",
        &[("sec-websocket-protocol", &protocols)],
    );
    for request in [many, long] {
        let mut link = Link::connect(server.address());
        let used = cost(&server, || {
            link.send(&request);
            is_told(&mut link);
        });
        assert!(used < Duration::from_secs(1), "{used:?} of CPU");
    }
}

#[test]
fn a_list_of_protocols_within_the_bound_costs_no_more_than_it_has_bytes() {
    let server = dev();
    for protocols in ["a,".repeat(7_000) + "bellwire.v1", ", ".repeat(7_000) + "x"] {
        let request = handshake(
            "/v1/ws?channel=a",
            &[("sec-websocket-protocol", &protocols)],
        );
        let used = cost(&server, || {
            let mut link = Link::connect(server.address());
            link.send(&request);
            assert!(matches!(link.head().status, 101 | 400));
        });
        assert!(used < Duration::from_millis(500), "{used:?} of CPU");
    }
}

#[test]
fn a_body_in_single_bytes_costs_its_length() {
    const LENGTH: usize = 20_000;
    let server = dev();
    let head = |how: &str| format!("POST /v1/publish HTTP/1.1\r\nHost: localhost\r\n{how}\r\n\r\n");
    let sized = head(&format!("Content-Length: {}", LENGTH + 1));
    let chunked = head("Transfer-Encoding: chunked");
    for (start, piece) in [(sized, "x"), (chunked, "1\r\nx\r\n")] {
        let mut link = Link::connect(server.address());
        link.send_bytes(start.as_bytes());
        let before = server.resident_bytes();
        for nth in 0..LENGTH {
            link.send_bytes(piece.as_bytes());
            if nth % 500 == 0 {
                // An answer of somebody else: what was sent before has been read by then.
                assert_eq!(Request::get("/livez").send(server.address()).status(), 200);
            }
        }
        let grown = server.resident_bytes().saturating_sub(before);
        say(&format!("a body of {LENGTH} single bytes: {grown} bytes"));
        assert!(grown < 4 << 20, "{grown} bytes");
    }
}

/// The head of a POST whose body is said to be long.
fn announced(path: &str, token: Option<&str>) -> Vec<u8> {
    let request = Request::new("POST", path).bearer(token);
    let request = request.header("content-length", "8000000");
    request.to_bytes("localhost")
}

#[test]
fn who_may_not_publish_is_refused_before_the_body_comes() {
    let secured = secured(&[]);
    let subscriber = credentials::token("ann", &json!({"subscribe": ["*"]}));
    for (path, token, status) in [
        ("/v1/publish", None, 401),
        ("/v1/channels/news", None, 401),
        ("/v1/channels/news", Some(&*subscriber), 403),
        ("/v1/users/bob", Some(&*subscriber), 403),
    ] {
        let mut link = Link::connect(secured.server.address());
        link.send_bytes(&announced(path, token));
        assert_eq!(link.answer().status(), status, "{path}");
    }
}

#[test]
fn a_list_of_channels_may_not_be_as_long_as_a_publish() {
    let secured = secured(&[]);
    for path in ["/v1/sse", "/v1/poll"] {
        let mut link = Link::connect(secured.server.address());
        link.send_bytes(&announced(path, None));
        link.send_bytes(&vec![b' '; (1 << 20) + 1]);
        assert_eq!(link.answer().status(), 413, "{path}");
    }
}

#[test]
fn bodies_that_never_end_share_a_budget() {
    const PENDING: usize = 80;
    // For lists of channels a quarter of it: four of these bodies.
    let server = dev_with(&["--limits-body-bytes", "16MiB"]);
    let refused = || {
        let metrics = Request::get("/metrics").send(server.address()).text();
        let mut lines = metrics.lines();
        let start = "bellwire_requests_refused_total{code=\"overloaded\"} ";
        let count = lines.find_map(|line| line.strip_prefix(start)?.parse().ok());
        count.unwrap_or(0_usize)
    };
    let before = server.resident_bytes();
    let head = Request::new("POST", "/v1/poll").header("content-length", "1000000");
    let pending: Vec<_> = (0..PENDING)
        .map(|_| {
            let mut link = Link::connect(server.address());
            link.send_bytes(&head.to_bytes("localhost"));
            // Who is refused is not read to the end.
            link.stream().write_all(&vec![b' '; 999_999]).ok();
            link
        })
        .collect();
    wait::until("all but four to be refused", || refused() >= PENDING - 4);
    let grown = server.resident_bytes().saturating_sub(before);
    say(&format!(
        "{PENDING} bodies of 1 MB that never end: memory grew by {grown} bytes"
    ));
    assert!(grown < 16 << 20, "{grown} bytes");
    drop(pending);
    let body = format!("{{\"channels\":[\"a\"]}}{}", " ".repeat(900_000));
    wait::until("the memory to be free again", || {
        let again = Request::post("/v1/poll", body.as_str());
        again.send(server.address()).status() == 200
    });
}
