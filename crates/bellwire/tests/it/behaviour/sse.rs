//! What only event streams have: `retry:`, `Last-Event-ID`, ids, HTTP/1.0.

use std::time::{Duration, Instant};

use bellwire_testkit::{
    http::{Link, Request},
    raw::{Item, Sse, Stream as _, Wish},
    wait,
};

use crate::{dev, dev_with, numbers, publish, publish_numbers};

#[test]
fn a_stream_says_when_to_come_back() {
    let server = dev_with(&["--retry", "50ms..200ms"]);
    let mut drawn = Vec::new();
    for _ in 0..20 {
        let mut stream = Sse::open(server.address(), &Wish::to(["news"])).unwrap();
        stream.hello();
        drawn.push(stream.retry_ms().unwrap());
    }
    assert!(
        drawn.iter().all(|retry| (50..=200).contains(retry)),
        "{drawn:?}"
    );
    assert!(
        drawn.iter().any(|retry| *retry != drawn[0]),
        "each is drawn anew: {drawn:?}"
    );
}

#[test]
fn the_response_is_not_cached_nor_buffered_nor_compressed() {
    let server = dev();
    let mut stream = Sse::open(server.address(), &Wish::to(["news"])).unwrap();
    let head = stream.head().clone();
    assert_eq!(head.header("content-type"), Some("text/event-stream"));
    assert_eq!(head.header("x-accel-buffering"), Some("no"));
    let cache = head.header("cache-control").unwrap();
    assert!(
        cache.contains("no-store") && cache.contains("no-transform"),
        "{cache}"
    );
    let hello = stream.hello();
    assert_eq!(
        head.header("bellwire-connection"),
        hello["connection"].as_str()
    );
}

#[test]
fn last_event_id_replaces_the_querys_cursor() {
    let server = dev();
    let ids = publish_numbers(&server, "news", 0..5);
    let mut link = Link::connect(server.address());
    let target = format!("/v1/sse?channel=news&cursor={}", ids[0]);
    link.send(&Request::get(&target).header("last-event-id", &ids[3]));
    let mut stream = Sse::over(link).unwrap();
    stream.hello();
    assert_eq!(stream.data(1), numbers(4..5));
}

#[test]
fn own_ids_are_those_of_publications() {
    let server = dev();
    let wish = Wish::to(["a", "b"]).with("ids", "own");
    let mut own = Sse::open(server.address(), &wish).unwrap();
    let mut composite = Sse::open(server.address(), &Wish::to(["a", "b"])).unwrap();
    own.hello();
    composite.hello();
    for channel in ["a", "b", "a"] {
        let id = publish(&server, channel, &1.into());
        assert_eq!(own.message()["id"], id);
        assert_eq!(composite.message()["id"], id);
        assert!(composite.cursor().split('.').any(|segment| segment == id));
        assert_eq!(composite.cursor().split('.').count(), 2);
    }
    // The two know the same: one by itself, the other by its keeper.
    let sorted = |cursor: String| {
        let mut segments: Vec<_> = cursor.split('.').map(str::to_owned).collect();
        segments.sort();
        segments
    };
    assert_eq!(sorted(own.cursor()), sorted(composite.cursor()));
}

#[test]
fn http_1_0_gets_a_stream_delimited_by_its_end() {
    let server = dev();
    let id = publish(&server, "news", &0.into());
    let mut link = Link::connect(server.address());
    let request = format!(
        "GET /v1/sse?channel=news HTTP/1.0\r\nHost: localhost\r\nLast-Event-ID: {id}\r\n\r\n"
    );
    link.send_bytes(request.as_bytes());
    let mut stream = Sse::over(link).unwrap();
    assert!(!stream.head().is_chunked());
    assert_eq!(stream.head().header("connection"), Some("close"));
    stream.hello();
    publish_numbers(&server, "news", 1..4);
    assert_eq!(stream.data(3), numbers(1..4));
    server.terminate();
    let deadline = Instant::now() + wait::SOON;
    let ended = loop {
        match stream.next(deadline) {
            Ok(Item::Bye(_)) => {}
            other => break other,
        }
    };
    assert_eq!(ended.unwrap(), Item::End(None));
}

#[test]
fn a_head_request_is_answered_without_a_stream() {
    let server = dev();
    let mut link = Link::connect(server.address());
    link.send(&Request::new("HEAD", "/v1/sse?channel=news"));
    let head = link.head();
    assert_eq!(head.status, 200);
    assert_eq!(head.header("content-type"), Some("text/event-stream"));
    link.send(&Request::get("/livez"));
    assert_eq!(link.answer().text(), "ok\n");
    let silence = link
        .await_some(Instant::now() + Duration::from_millis(30))
        .unwrap_err();
    assert_eq!(silence.kind(), std::io::ErrorKind::TimedOut);
}
