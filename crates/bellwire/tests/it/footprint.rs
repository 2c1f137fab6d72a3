//! What an idle connection and a channel cost a release build, as the kernel counts resident
//! memory of a fresh process.
//!
//! The binary is `BELLWIRE_BIN_RELEASE`, else the one that `cargo build --release -p bellwire`
//! leaves beside the test build's.

use std::{
    env,
    fmt::Write,
    path::{Path, PathBuf},
    time::Instant,
};

use bellwire_testkit::{
    credentials::{jwt_key, token},
    http::{Link, Request},
    process::{Server, ServerBuilder},
    wait::SOON,
};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use serde_json::json;

use crate::{heavy, say};

/// Connections before the first look, so that what exists once is not counted.
const BEFORE: usize = 100;
/// Connections between the two looks.
const MORE: usize = 10_000;

/// Ten thousand sockets are more than the soft limit of descriptors.
fn raise_descriptor_limit() {
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit {
        current: limit.maximum,
        maximum: limit.maximum,
    };
    setrlimit(Resource::Nofile, raised).expect("a soft limit may be raised to the hard one");
}

fn release() -> ServerBuilder {
    let test_build = Path::new(env!("CARGO_BIN_EXE_bellwire"));
    let target = test_build
        .ancestors()
        .nth(2)
        .expect("target/debug/bellwire");
    let binary = env::var_os("BELLWIRE_BIN_RELEASE")
        .map_or_else(|| target.join("release").join("bellwire"), PathBuf::from);
    assert!(
        binary.exists(),
        "{} is missing; run cargo build --release -p bellwire",
        binary.display()
    );
    Server::builder(binary.to_str().expect("a path in UTF-8"))
}

/// A user with a channel and a token of his own.
struct User {
    channel: String,
    token: String,
}

impl User {
    fn nth(n: usize) -> Self {
        let rights = json!({"subscribe": ["room:*"]});
        Self {
            channel: format!("room:{n}"),
            token: token(&format!("user-{n}"), &rights),
        }
    }

    fn request(&self, path: &str, parameters: &str) -> Request {
        let target = format!("{path}?channel={}{parameters}", self.channel);
        Request::get(&target).bearer(Some(&self.token))
    }
}

/// Bytes per connection, where `open` makes some more of them and keeps them.
fn growth(server: &Server, mut open: impl FnMut(std::ops::Range<usize>)) -> u64 {
    open(0..BEFORE);
    let before = server.resident_bytes();
    open(BEFORE..BEFORE + MORE);
    (server.resident_bytes() - before) / MORE as u64
}

/// Opens a stream and reads until its hello.
fn open_stream(server: &Server, request: &Request) -> Link {
    let mut link = Link::connect(server.address());
    link.send(request);
    let mut received = Vec::new();
    while !String::from_utf8_lossy(&received).contains("hello") {
        let some = link.read_some(Instant::now() + SOON);
        received.extend(some.expect("hello comes").expect("the stream stays open"));
    }
    link
}

#[test]
fn an_idle_websocket_costs_at_most_1000_bytes() {
    let _turn = heavy();
    raise_descriptor_limit();
    let server = release().args(["--jwt-key", &jwt_key()]).start();
    let mut links = Vec::new();
    let each = growth(&server, |range| {
        links.extend(range.map(|n| {
            let request = User::nth(n)
                .request("/v1/ws", "")
                .header("upgrade", "websocket")
                .header("connection", "Upgrade")
                .header("sec-websocket-version", "13")
                .header("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ==");
            open_stream(&server, &request)
        }));
    });
    say(&format!("an idle WebSocket: {each} bytes"));
    assert!(each <= 1_000, "{each} bytes");
}

#[test]
fn an_idle_event_stream_costs_at_most_1000_bytes() {
    let _turn = heavy();
    raise_descriptor_limit();
    let server = release().args(["--jwt-key", &jwt_key()]).start();
    let mut links = Vec::new();
    let each = growth(&server, |range| {
        links.extend(range.map(|n| open_stream(&server, &User::nth(n).request("/v1/sse", ""))));
    });
    say(&format!("an idle event stream: {each} bytes"));
    assert!(each <= 1_000, "{each} bytes");
}

#[test]
fn a_poll_that_was_held_three_times_costs_at_most_1500_bytes() {
    let _turn = heavy();
    raise_descriptor_limit();
    let server = release().args(["--jwt-key", &jwt_key()]).start();
    let mut links = Vec::new();
    let each = growth(&server, |range| {
        let mut polls: Vec<(User, Link, String)> = range
            .map(|n| {
                let (user, mut link) = (User::nth(n), Link::connect(server.address()));
                link.send(&user.request("/v1/poll", ""));
                let cursor = cursor_of(&mut link);
                (user, link, cursor)
            })
            .collect();
        for timeout in [1, 1, 60] {
            for (user, link, cursor) in &mut polls {
                let parameters = format!("&timeout={timeout}&cursor={cursor}");
                link.send(&user.request("/v1/poll", &parameters));
            }
            if timeout < 60 {
                for (_, link, cursor) in &mut polls {
                    *cursor = cursor_of(link);
                }
            }
        }
        links.extend(polls);
        await_held(&server, links.len());
    });
    say(&format!("a held poll: {each} bytes"));
    assert!(each <= 1_500, "{each} bytes");
}

/// Reads a poll's answer.
fn cursor_of(link: &mut Link) -> String {
    let answer = link.answer();
    assert_eq!(answer.status(), 200, "{}", answer.text());
    answer.json()["cursor"]
        .as_str()
        .expect("a cursor")
        .to_owned()
}

/// Waits until so many polls are held.
fn await_held(server: &Server, count: usize) {
    let gauge = format!("bellwire_connections{{transport=\"poll\"}} {count}\n");
    bellwire_testkit::wait::until("every poll to be held", || {
        let metrics = Request::get("/metrics").send(server.admin());
        metrics.text().contains(&gauge)
    });
}

#[test]
fn a_channel_with_one_message_costs_at_most_400_bytes_beyond_payload_and_name() {
    let _turn = heavy();
    const CHANNELS: usize = 1_000_000;
    const BATCH: usize = 1_000;
    let server = release()
        .args(["--dev", "--limits-max-channels", "2000000"])
        .args(["--limits-max-history-bytes", "2GiB"])
        .start();
    let payload = format!("\"{}\"", "x".repeat(126));
    let mut link = Link::connect(server.address());
    let mut names = 0;
    let mut before = 0;
    // The first batch warms up: what exists once is not counted.
    for batch in 0..=CHANNELS / BATCH {
        let mut body = String::new();
        for n in 0..BATCH {
            let name = format!("room:{}", batch * BATCH + n);
            names += name.len();
            writeln!(body, "{{\"channel\":\"{name}\",\"data\":{payload}}}").expect("memory");
        }
        link.send(&Request::post("/v1/publish", body));
        let answer = link.answer();
        assert_eq!(answer.status(), 200, "{}", answer.text());
        assert!(!answer.text().contains("\"error\""), "{}", answer.text());
        if batch == 0 {
            names = 0;
            before = server.resident_bytes();
        }
    }
    let used = server.resident_bytes() - before;
    let known = (names + CHANNELS * payload.len()) as u64;
    let each = (used - known) / CHANNELS as u64;
    say(&format!(
        "a channel with one message: {each} bytes beyond payload and name"
    ));
    assert!(each <= 400, "{each} bytes");
}
