//! What an idle connection and a channel cost a release build, and what connections leave behind,
//! as the kernel counts resident memory of a fresh process.
//!
//! The binary is `BELLWIRE_BIN_RELEASE`, else the one that `cargo build --release -p bellwire`
//! leaves beside the test build's.

use std::{
    env,
    fmt::Write,
    path::{Path, PathBuf},
    thread,
    time::{Duration, Instant},
};

use bellwire_testkit::{
    credentials::{jwt_key, token},
    http::{Link, Request},
    process::{Server, ServerBuilder, raise_descriptor_limit},
    wait::{self, SOON},
};
use serde_json::json;

use crate::{heavy, say};

/// Connections before the first look, so that what exists once is not counted.
const BEFORE: usize = 100;
/// Connections at the later looks.
const LOOKS: [usize; 2] = [10_100, 18_000];
/// The same where each connection takes this process three descriptors, for the tunnel.
const ENCRYPTED_LOOKS: [usize; 2] = [3_100, 6_100];

/// Nobody who was measured is let go before the last has come, however slow this machine is: not who
/// answers no ping, and not who waits between two polls.
const PATIENT: [&str; 4] = [
    "--heartbeat",
    "10min",
    "--limits-keep-alive-timeout",
    "10min",
];

pub(crate) fn release() -> ServerBuilder {
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

/// A server that knows users by their tokens.
fn secured() -> Server {
    raise_descriptor_limit();
    release()
        .args(["--jwt-key", &jwt_key()])
        .args(PATIENT)
        .start()
}

/// A user with a token of his own.
struct User {
    channel: String,
    token: String,
}

impl User {
    fn nth(n: usize, channel: &str) -> Self {
        let rights = json!({"subscribe": ["room:*"]});
        Self {
            channel: channel.to_owned(),
            token: token(&format!("user-{n}"), &rights),
        }
    }

    fn with_own_channel(n: usize) -> Self {
        Self::nth(n, &format!("room:{n}"))
    }

    fn with_shared_channel(n: usize) -> Self {
        Self::nth(n, "room:all")
    }

    fn request(&self, path: &str, parameters: &str) -> Request {
        let target = format!("{path}?channel={}{parameters}", self.channel);
        Request::get(&target).bearer(Some(&self.token))
    }

    fn websocket(&self) -> Request {
        self.request("/v1/ws", "")
            .header("upgrade", "websocket")
            .header("connection", "Upgrade")
            .header("sec-websocket-version", "13")
            .header("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ==")
    }

    fn event_stream(&self) -> Request {
        self.request("/v1/sse", "")
    }
}

/// Says what a connection costs, where `open` makes some more of them and keeps them, and asserts
/// that it is at most so many bytes.
fn assert_each(
    server: &Server,
    (what, at_most): (&str, u64),
    looks: &[usize],
    mut open: impl FnMut(std::ops::Range<usize>),
) {
    open(0..BEFORE);
    let before = server.resident_bytes();
    let mut opened = BEFORE;
    for &count in looks {
        open(opened..count);
        opened = count;
        let each = (server.resident_bytes() - before) / (count - BEFORE) as u64;
        say(&format!("{what}: {each} bytes each of {count}"));
        assert!(each <= at_most, "{what}: {each} bytes each of {count}");
    }
}

/// The same for streams, which are open once they have said hello.
fn assert_each_stream(what: &str, at_most: u64, request: impl Fn(usize) -> Request) {
    let _turn = heavy();
    assert_each_stream_of(&secured(), (what, at_most), &LOOKS, request);
}

/// The same over TLS.
fn assert_each_encrypted_stream(what: &str, at_most: u64, request: impl Fn(usize) -> Request) {
    let _turn = heavy();
    raise_descriptor_limit();
    let server = release()
        .args(["--jwt-key", &jwt_key()])
        .args(PATIENT)
        .tls()
        .start();
    assert_each_stream_of(&server, (what, at_most), &ENCRYPTED_LOOKS, request);
}

fn assert_each_stream_of(
    server: &Server,
    bound: (&str, u64),
    looks: &[usize],
    request: impl Fn(usize) -> Request,
) {
    let mut links = Vec::new();
    assert_each(server, bound, looks, |range| {
        links.extend(range.map(|n| open_stream(server, &request(n))));
    });
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
fn an_idle_encrypted_websocket_costs_at_most_4_500_bytes_with_its_channel() {
    assert_each_encrypted_stream("an idle WebSocket over TLS", 4_500, |n| {
        User::with_own_channel(n).websocket()
    });
}

#[test]
fn an_idle_encrypted_event_stream_costs_at_most_4_500_bytes_with_its_channel() {
    assert_each_encrypted_stream("an idle event stream over TLS", 4_500, |n| {
        User::with_own_channel(n).event_stream()
    });
}

#[test]
fn an_idle_websocket_costs_at_most_512_bytes_with_its_channel() {
    assert_each_stream("an idle WebSocket", 512, |n| {
        User::with_own_channel(n).websocket()
    });
}

#[test]
fn an_idle_event_stream_costs_at_most_512_bytes_with_its_channel() {
    assert_each_stream("an idle event stream", 512, |n| {
        User::with_own_channel(n).event_stream()
    });
}

#[test]
fn an_idle_websocket_on_a_shared_channel_costs_at_most_360_bytes() {
    assert_each_stream("an idle WebSocket on a shared channel", 360, |n| {
        User::with_shared_channel(n).websocket()
    });
}

#[test]
fn an_idle_event_stream_on_a_shared_channel_costs_at_most_360_bytes() {
    assert_each_stream("an idle event stream on a shared channel", 360, |n| {
        User::with_shared_channel(n).event_stream()
    });
}

#[test]
fn an_idle_websocket_with_compression_costs_no_more_than_one_without() {
    let _turn = heavy();
    raise_descriptor_limit();
    let server = release()
        .args(["--jwt-key", &jwt_key()])
        .args(["--websocket-compression", "shared"])
        .args(PATIENT)
        .start();
    let mut links = Vec::new();
    let what = ("an idle compressed WebSocket on a shared channel", 360);
    assert_each(&server, what, &LOOKS, |range| {
        links.extend(range.map(|n| {
            let request = User::with_shared_channel(n).websocket();
            let offer = "permessage-deflate; client_max_window_bits";
            open_stream(&server, &request.header("sec-websocket-extensions", offer))
        }));
    });
}

#[test]
fn a_poll_that_was_held_three_times_costs_at_most_1024_bytes() {
    let _turn = heavy();
    for count in LOOKS {
        let server = secured();
        assert_each_poll(&server, count);
    }
}

fn assert_each_poll(server: &Server, count: usize) {
    let mut links = Vec::new();
    assert_each(server, ("a held poll", 1_024), &[count], |range| {
        // The first hundred are answered once more: none is held for longer than a minute, and on a
        // slow machine the others take that to come.
        let last = if range.start == 0 { 1 } else { 60 };
        let mut polls: Vec<(User, Link, String)> = range
            .map(|n| {
                let user = User::with_own_channel(n);
                let mut link = Link::connect(server.address());
                link.send(&user.request("/v1/poll", ""));
                let cursor = cursor_of(&mut link);
                (user, link, cursor)
            })
            .collect();
        for timeout in [1, 1, last] {
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
        let held = if last < 60 { 0 } else { polls.len() };
        await_connections(server, "poll", held);
        links.extend(polls);
    });
}

#[test]
fn waves_of_websockets_after_the_first_leave_at_most_a_mebibyte() {
    const WAVE: usize = 10_000;
    let _turn = heavy();
    let server = secured();
    let mut after = Vec::new();
    for _ in 0..4 {
        let request = |n| User::with_own_channel(n).websocket();
        let links: Vec<Link> = (0..WAVE)
            .map(|n| open_stream(&server, &request(n)))
            .collect();
        drop(links);
        await_connections(&server, "ws", 0);
        // Part of what is measured: the memory ten seconds after the last close.
        thread::sleep(Duration::from_secs(10));
        after.push(server.resident_bytes() >> 10);
    }
    say(&format!("after waves of {WAVE} WebSockets: {after:?} KiB"));
    assert!(after[3] <= after[0] + 1_024, "{after:?} KiB");
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

/// Waits until the server counts so many connections.
fn await_connections(server: &Server, transport: &str, count: usize) {
    let gauge = format!("bellwire_connections{{transport=\"{transport}\"}} {count}\n");
    wait::until(&gauge, || {
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
