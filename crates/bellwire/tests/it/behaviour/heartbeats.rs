//! Signs of life, and peers that give none.

use std::time::{Duration, Instant};

use bellwire_testkit::{
    http::Request,
    process::Server,
    raw::{Item, Sse, Stream, Transport, WebSocket, Wish},
    wait,
};

use crate::{dev_with, publish};

fn quick() -> Server {
    dev_with(&["--heartbeat", "1s"])
}

/// How long until the next item, which is to be this one.
fn awaited(stream: &mut dyn Stream, expected: &Item) -> Duration {
    let start = Instant::now();
    let item = stream.next(start + wait::SOON).unwrap();
    assert_eq!(item, *expected);
    start.elapsed()
}

#[test]
fn idle_streams_get_comments_and_pings() {
    let server = quick();
    for transport in [Transport::Sse, Transport::WebSocket] {
        let mut stream = transport.open(server.address(), &Wish::to(["news"]));
        stream.hello();
        for _ in 0..2 {
            let took = awaited(&mut *stream, &Item::Idle);
            assert!(
                took < Duration::from_millis(2_500),
                "{transport:?}: {took:?}"
            );
            assert!(took > Duration::from_millis(400), "{transport:?}: {took:?}");
        }
        publish(&server, "news", &1.into());
        assert_eq!(stream.message()["data"], 1);
    }
}

#[test]
fn visible_heartbeats_are_seen_by_scripts() {
    let server = quick();
    for transport in [Transport::Sse, Transport::WebSocket] {
        let wish = Wish::to(["news"]).with("heartbeat", "visible");
        let mut stream = transport.open(server.address(), &wish);
        stream.hello();
        for _ in 0..2 {
            assert_eq!(stream.item(), Item::Heartbeat, "{transport:?}");
        }
    }
}

#[test]
fn a_websocket_that_answers_no_ping_is_let_go_within_two_heartbeats() {
    let server = quick();
    let mut socket = WebSocket::open(server.address(), &Wish::to(["news"])).unwrap();
    socket.hello();
    socket.ignore_pings();
    let start = Instant::now();
    let end = loop {
        match socket.next(start + wait::SOON) {
            Ok(Item::Idle) => {}
            other => break other,
        }
    };
    assert!(matches!(&end, Err(_) | Ok(Item::End(_))), "{end:?}");
    let took = start.elapsed();
    assert!(took < Duration::from_millis(3_500), "{took:?}");
    assert!(took > Duration::from_millis(900), "{took:?}");
}

#[test]
fn a_websocket_that_answers_pings_stays() {
    let server = quick();
    let mut socket = WebSocket::open(server.address(), &Wish::to(["news"])).unwrap();
    socket.hello();
    socket.stays_silent(Duration::from_secs(4));
    publish(&server, "news", &1.into());
    assert_eq!(socket.message()["data"], 1);
}

#[test]
fn a_connection_that_ended_is_forgotten_at_once() {
    let server = quick();
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
