//! Signs of life, and peers that give none.

use std::{
    io::ErrorKind,
    slice,
    time::{Duration, Instant},
};

use bellwire_testkit::{
    http::Request,
    process::Server,
    raw::{Item, Sse, Stream, Transport, WebSocket, Wish},
    wait,
};

use crate::{dev_with, publish};

/// Short for a test, and long enough for a client on a busy machine to answer in time.
const HEARTBEAT: Duration = Duration::from_secs(3);

fn quick() -> Server {
    dev_with(&["--heartbeat", "3s"])
}

/// Reads streams in turns until each has had so many heartbeats. The times are from before they were
/// opened, for whatever comes may be seen late, but never before it was sent.
fn await_heartbeats(streams: &mut [Box<dyn Stream>], since: Instant, count: u32, expected: &Item) {
    for nth in 1..=count {
        for stream in &mut *streams {
            let item = stream.next(Instant::now() + wait::SOON).unwrap();
            assert_eq!(item, *expected, "{stream:?}");
            // An eighth less than the setting, and times are kept to a tenth of a second.
            let took = since.elapsed();
            assert!(took > nth * HEARTBEAT * 3 / 4, "{stream:?}: {took:?}");
        }
    }
}

/// An event stream and a WebSocket that have said hello.
fn greeted(server: &Server, wish: &Wish) -> [Box<dyn Stream>; 2] {
    [Transport::Sse, Transport::WebSocket].map(|transport| {
        let mut stream = transport.open(server.address(), wish);
        stream.hello();
        stream
    })
}

#[test]
fn idle_streams_get_comments_and_pings() {
    let server = quick();
    let since = Instant::now();
    let mut streams = greeted(&server, &Wish::to(["news"]));
    await_heartbeats(&mut streams, since, 2, &Item::Idle);
    let took = since.elapsed();
    assert!(
        took < Duration::from_secs(17),
        "the default's time: {took:?}"
    );
    publish(&server, "news", &1.into());
    for stream in &mut streams {
        assert_eq!(stream.message()["data"], 1);
    }
}

#[test]
fn visible_heartbeats_are_seen_by_scripts() {
    let server = quick();
    let wish = Wish::to(["news"]).with("heartbeat", "visible");
    let mut streams = greeted(&server, &wish);
    for _ in 0..2 {
        for stream in &mut streams {
            assert_eq!(stream.item(), Item::Heartbeat, "{stream:?}");
        }
    }
}

#[test]
fn a_websocket_that_answers_no_ping_is_let_go_within_two_heartbeats() {
    let server = quick();
    let since = Instant::now();
    let mut socket = WebSocket::open(server.address(), &Wish::to(["news"])).unwrap();
    socket.hello();
    socket.ignore_pings();
    // The server's pings tell its time, however late they are seen.
    let mut pings = 0;
    let end = loop {
        match socket.next(Instant::now() + wait::SOON) {
            Ok(Item::Idle) if pings < 2 => pings += 1,
            other => break other,
        }
    };
    let is_let_go = match &end {
        Ok(item) => matches!(item, Item::End(_)),
        Err(error) => error.kind() != ErrorKind::TimedOut,
    };
    assert!(is_let_go, "{end:?} after {pings} pings");
    let took = since.elapsed();
    assert!(took > HEARTBEAT, "{took:?}");
}

#[test]
fn a_websocket_that_answers_pings_stays() {
    let server = quick();
    let since = Instant::now();
    let mut socket = Transport::WebSocket.open(server.address(), &Wish::to(["news"]));
    socket.hello();
    await_heartbeats(slice::from_mut(&mut socket), since, 3, &Item::Idle);
    publish(&server, "news", &1.into());
    assert_eq!(socket.message()["data"], 1);
}

/// Not by a heartbeat, the first of which comes after this test's patience.
#[test]
fn a_connection_that_ended_is_forgotten_at_once() {
    let server = dev_with(&["--heartbeat", "10min"]);
    let connections = || {
        let listing = Request::get("/v1/connections")
            .send(server.address())
            .json();
        listing["connections"].as_array().unwrap().len()
    };
    let mut sse = Sse::open(server.address(), &Wish::to(["news"])).unwrap();
    let mut socket = WebSocket::open(server.address(), &Wish::to(["news"])).unwrap();
    sse.hello();
    socket.hello();
    assert_eq!(connections(), 2);
    drop(sse);
    wait::until("the closed event stream to be forgotten", || {
        connections() == 1
    });
    Box::new(socket).cut();
    wait::until("the reset WebSocket to be forgotten", || connections() == 0);
}
