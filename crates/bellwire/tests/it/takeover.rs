//! Sockets taken over from hyper (design §4): whatever the bytes around a request look like, the
//! session gets exactly its own.

use std::time::{Duration, Instant};

use bellwire_testkit::{
    http::{Link, Request},
    raw::{Item, Sse, Stream as _, WebSocket, Wish},
    wait::SOON,
};
use bellwire_wire::websocket::{Opcode, encode_masked_frame};
use serde_json::json;

use crate::{dev, dev_with, numbers, publish, publish_numbers};

const UPGRADE: &str = "GET /v1/ws?channel=news HTTP/1.1\r\nHost: localhost\r\n\
    Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
    Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";

fn livez(count: usize) -> Vec<u8> {
    Request::get("/livez").to_bytes("localhost").repeat(count)
}

/// Reads so many answers to probes.
fn read_probes(link: &mut Link, count: usize) {
    for _ in 0..count {
        assert_eq!(link.answer().text(), "ok\n");
    }
}

#[test]
fn requests_pipelined_before_a_stream_are_answered_first() {
    let server = dev();
    for before in 1..=20 {
        let mut link = Link::connect(server.address());
        let mut bytes = livez(before);
        bytes.extend(Request::get("/v1/sse?channel=news").to_bytes("localhost"));
        link.send_bytes(&bytes);
        read_probes(&mut link, before);
        let mut stream = Sse::over(link).unwrap();
        stream.hello();
        publish(&server, "news", &before.into());
        assert_eq!(stream.message()["data"], before);
    }
}

#[test]
fn requests_pipelined_before_an_upgrade_are_answered_first() {
    let server = dev();
    for before in 1..=20 {
        let mut link = Link::connect(server.address());
        let mut bytes = livez(before);
        bytes.extend(UPGRADE.as_bytes());
        link.send_bytes(&bytes);
        read_probes(&mut link, before);
        let mut socket = WebSocket::over(link).unwrap();
        socket.hello();
        assert_eq!(socket.ask(&json!({"req": 1, "ping": {}}))["req"], 1);
    }
}

#[test]
fn frames_glued_to_an_upgrade_are_not_lost() {
    let server = dev();
    let mut glued = UPGRADE.as_bytes().to_vec();
    encode_masked_frame(&mut glued, Opcode::Ping, b"glued", [1, 2, 3, 4]);
    for req in 1..=3 {
        let command = json!({"req": req, "ping": {}}).to_string();
        encode_masked_frame(&mut glued, Opcode::Text, command.as_bytes(), [5, 6, 7, 8]);
    }
    // Cut at every place, in two pieces.
    for cut in (1..glued.len()).step_by(7) {
        let mut link = Link::connect(server.address());
        link.send_bytes(&glued[..cut]);
        link.send_bytes(&glued[cut..]);
        let mut socket = WebSocket::over(link).unwrap();
        let deadline = Instant::now() + SOON;
        let (mut replies, mut pongs, mut hellos) = (0, 0, 0);
        while (replies, pongs, hellos) != (3, 1, 1) {
            match socket.next(deadline).unwrap() {
                Item::Idle => pongs += 1,
                Item::Hello(_) => hellos += 1,
                Item::Reply(_) => replies += 1,
                other => panic!("{other:?} where pong, hello or replies should be"),
            }
        }
    }
}

#[test]
fn requests_in_pieces_of_seven_bytes_are_understood() {
    let server = dev();
    let in_pieces = |bytes: &[u8]| {
        let mut link = Link::connect(server.address());
        for piece in bytes.chunks(7) {
            link.send_bytes(piece);
            // A segment each: the server reads what is there before the next one comes.
            std::thread::yield_now();
        }
        link
    };
    let mut socket = WebSocket::over(in_pieces(UPGRADE.as_bytes())).unwrap();
    socket.hello();
    let get = Request::get("/v1/sse?channel=news").to_bytes("localhost");
    let mut stream = Sse::over(in_pieces(&get)).unwrap();
    stream.hello();
    let body = json!({"channels": ["news"]}).to_string();
    let post = Request::post("/v1/sse", body).to_bytes("localhost");
    let mut posted = Sse::over(in_pieces(&post)).unwrap();
    posted.hello();
    let poll = Request::get("/v1/poll?channel=news").to_bytes("localhost");
    assert_eq!(in_pieces(&poll).answer().status(), 200);
    publish(&server, "news", &1.into());
    assert_eq!(socket.message()["data"], 1);
    assert_eq!(stream.message()["data"], 1);
    assert_eq!(posted.message()["data"], 1);
}

#[test]
fn pipelined_polls_are_answered_in_order() {
    let server = dev();
    let ids = publish_numbers(&server, "news", 0..6);
    let mut bytes = Vec::new();
    for id in &ids[..5] {
        let target = format!("/v1/poll?channel=news&limit=1&cursor={id}");
        bytes.extend(Request::get(&target).to_bytes("localhost"));
    }
    bytes.extend(livez(1));
    let mut link = Link::connect(server.address());
    link.send_bytes(&bytes);
    for id in &ids[1..] {
        let answer = link.answer();
        assert_eq!(answer.status(), 200, "{}", answer.text());
        assert_eq!(answer.json()["cursor"], *id);
    }
    read_probes(&mut link, 1);
}

#[test]
fn one_connection_serves_poll_after_poll() {
    let server = dev();
    let mut link = Link::connect(server.address());
    let own = link.stream().local_addr().unwrap();
    link.send(&Request::get("/v1/poll?channel=news"));
    let mut cursor = link.answer().json()["cursor"].as_str().unwrap().to_owned();
    for round in 0..5_u64 {
        link.send(&Request::get(&format!(
            "/v1/poll?channel=news&cursor={cursor}"
        )));
        let held = link
            .await_some(Instant::now() + Duration::from_millis(50))
            .unwrap_err();
        assert_eq!(
            held.kind(),
            std::io::ErrorKind::TimedOut,
            "the poll is held"
        );
        publish(&server, "news", &round.into());
        let body = link.answer().json();
        assert_eq!(body["messages"][0]["data"], round);
        cursor = body["cursor"].as_str().unwrap().to_owned();
    }
    // What comes after a poll on its connection need not be one.
    link.send(&Request::post("/v1/channels/news", "99"));
    assert_eq!(link.answer().status(), 200);
    link.send(&Request::get(&format!(
        "/v1/poll?channel=news&cursor={cursor}"
    )));
    assert_eq!(link.answer().json()["messages"][0]["data"], 99);
    link.send(&Request::get("/v1/sse?channel=news").header("last-event-id", &cursor));
    assert_eq!(link.stream().local_addr().unwrap(), own);
    let mut stream = Sse::over(link).unwrap();
    stream.hello();
    assert_eq!(stream.message()["data"], 99);
}

#[test]
fn a_connection_that_carried_a_body_still_opens_streams() {
    let server = dev();
    let mut link = Link::connect(server.address());
    link.send(&Request::post("/v1/channels/news", "1"));
    let id = link.answer().json()["id"].as_str().unwrap().to_owned();
    link.send(&Request::post("/v1/channels/news", "2"));
    assert_eq!(link.answer().status(), 200);
    link.send(&Request::get("/v1/sse?channel=news").header("last-event-id", &id));
    let mut stream = Sse::over(link).unwrap();
    stream.hello();
    assert_eq!(stream.message()["data"], 2);
    publish_numbers(&server, "news", 3..40);
    assert_eq!(stream.data(37), numbers(3..40));

    let mut link = Link::connect(server.address());
    link.send(&Request::post("/v1/channels/news", "40"));
    assert_eq!(link.answer().status(), 200);
    link.send_bytes(UPGRADE.as_bytes());
    let mut socket = WebSocket::over(link).unwrap();
    socket.hello();
    publish(&server, "news", &41.into());
    assert_eq!(socket.message()["data"], 41);
    assert_eq!(socket.ask(&json!({"req": 1, "ping": {}}))["req"], 1);
}

#[test]
fn a_body_pipelined_before_an_upgrade_takes_nothing_from_it() {
    let server = dev();
    for cut in [40, 120, 160, 250, 400] {
        let mut bytes = Request::post("/v1/channels/news", "\"body\"").to_bytes("localhost");
        bytes.extend(UPGRADE.as_bytes());
        encode_masked_frame(
            &mut bytes,
            Opcode::Text,
            br#"{"req":5,"ping":{}}"#,
            [1, 2, 3, 4],
        );
        let mut link = Link::connect(server.address());
        let cut = cut.min(bytes.len());
        link.send_bytes(&bytes[..cut]);
        link.send_bytes(&bytes[cut..]);
        assert_eq!(link.answer().status(), 200);
        let mut socket = WebSocket::over(link).unwrap();
        socket.hello();
        assert!(matches!(socket.item(), Item::Reply(reply) if reply["req"] == 5));
    }
}

#[test]
fn a_poll_whose_client_has_gone_is_let_go() {
    let server = dev();
    let id = publish(&server, "news", &1.into());
    let mut link = Link::connect(server.address());
    link.send(&Request::get(&format!("/v1/poll?channel=news&cursor={id}")));
    let waiting = || {
        let listing = Request::get("/v1/connections")
            .send(server.address())
            .json();
        listing["connections"].as_array().unwrap().len()
    };
    bellwire_testkit::wait::until("the poll to be held", || waiting() == 1);
    link.reset();
    bellwire_testkit::wait::until("the poll to be let go", || waiting() == 0);
}

#[test]
fn a_request_that_never_ends_is_not_waited_for() {
    let server = dev_with(&["--limits-handshake-timeout", "3s"]);
    let mut stream = Sse::open(server.address(), &Wish::to(["news"])).unwrap();
    stream.hello();
    let mut link = Link::connect(server.address());
    link.send_bytes(b"GET /v1/sse?channel=news HTTP/1.1\r\nHost: local");
    let start = Instant::now();
    let end = link.read_some(start + SOON);
    assert!(
        !matches!(&end, Err(error) if error.kind() == std::io::ErrorKind::TimedOut),
        "{end:?}"
    );
    let took = start.elapsed();
    assert!(
        took < Duration::from_secs(10),
        "the default's time: {took:?}"
    );
    // A stream that has begun is no handshake any more, and this one is older.
    publish(&server, "news", &1.into());
    assert_eq!(stream.message()["data"], 1);
}
