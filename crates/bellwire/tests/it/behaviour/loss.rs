//! Loss is always said: each gap with its reason, at its place, with what it holds (D5, D7).

use bellwire_testkit::{
    credentials,
    http::Request,
    process::Server,
    raw::{Item, Stream as _, Transport, WebSocket, Wish},
    wait,
};
use serde_json::{Value, json};

use super::on_every_transport;
use crate::{dev, dev_with, numbers, publish, publish_numbers, secured};

on_every_transport! {
    what_history_no_longer_holds_is_a_gap
    a_cursor_that_says_nothing_is_a_gap_and_goes_on_from_latest
    a_long_absence_is_cut_short_with_a_gap
    hello_denied_and_gap_precede_messages
    a_gap_is_said_once
    a_channel_that_was_evicted_and_came_back_has_a_gap
    without_history_only_the_head_has_no_gap
}

fn what_history_no_longer_holds_is_a_gap(transport: Transport) {
    let server = dev_with(&["--history-count", "5"]);
    let ids = publish_numbers(&server, "news", 0..20);
    let mut stream = transport.open(server.address(), &Wish::to(["news"]).from(&ids[3]));
    let hello = stream.hello();
    assert_eq!(hello["cursor"], ids[3], "before any gap");
    let gap = stream.gap();
    assert_eq!(gap["channel"], "news");
    assert_eq!(gap["reason"], "retention");
    assert_eq!(gap["last"], ids[3]);
    assert_eq!(gap["next"], ids[15]);
    assert_eq!(
        gap["cursor"], ids[14],
        "from here the oldest retained one follows"
    );
    assert_eq!(stream.data(5), numbers(15..20));

    // The last one that is not kept is the first position without loss.
    let mut whole = transport.open(server.address(), &Wish::to(["news"]).from(&ids[14]));
    whole.hello();
    assert_eq!(whole.data(5), numbers(15..20));
}

fn a_cursor_that_says_nothing_is_a_gap_and_goes_on_from_latest(transport: Transport) {
    let server = dev();
    let ids = publish_numbers(&server, "news", 0..3);
    let foreign = publish(&server, "other", &0.into());
    let check = |cursor: &str| {
        let mut stream = transport.open(server.address(), &Wish::to(["news"]).from(cursor));
        let hello = stream.hello();
        let gap = stream.gap();
        assert_eq!(gap["reason"], "position_unknown", "{cursor}");
        assert_eq!(
            (&gap["last"], &gap["next"]),
            (&Value::Null, &Value::Null),
            "{cursor}"
        );
        assert_eq!(gap["cursor"], ids[2], "{cursor}");
        if transport != Transport::Poll {
            // A channel of unknown position appears as its null id, which is unknown again.
            assert_ne!(hello["cursor"], ids[2]);
            assert!(!hello["cursor"].as_str().unwrap().is_empty());
        }
        stream.stays_silent(std::time::Duration::from_millis(30));
    };
    check("garbage");
    check("!!!.%");
    check(&foreign);
    check(&format!("9{}", ids[0].get(1..).unwrap()));
    check(&"x".repeat(5_000));
    let mut stream = transport.open(server.address(), &Wish::to(["news"]).from("garbage"));
    stream.hello();
    stream.gap();
    publish_numbers(&server, "news", 3..5);
    assert_eq!(stream.data(2), numbers(3..5));
}

fn a_long_absence_is_cut_short_with_a_gap(transport: Transport) {
    let server = dev_with(&["--limits-max-catchup", "10"]);
    let ids = publish_numbers(&server, "news", 0..41);
    let mut stream = transport.open(server.address(), &Wish::to(["news"]).from(&ids[0]));
    stream.hello();
    let gap = stream.gap();
    assert_eq!(gap["reason"], "limit");
    assert_eq!(gap["last"], ids[0]);
    assert_eq!(gap["next"], ids[31]);
    assert_eq!(gap["cursor"], ids[30]);
    assert_eq!(stream.data(10), numbers(31..41));
    let mut whole = transport.open(server.address(), &Wish::to(["news"]).from(&ids[30]));
    whole.hello();
    assert_eq!(whole.data(10), numbers(31..41));
}

fn hello_denied_and_gap_precede_messages(transport: Transport) {
    let secured = secured(&["--history-count", "3"]);
    let ids: Vec<_> = (0..9)
        .map(|n| secured.publish("room:1", &n.into()))
        .collect();
    let token = credentials::token("ann", &json!({"subscribe": ["room:*"]}));
    let wish = Wish::to(["room:1", "secret", "room:2", "hidden"])
        .with_token(token)
        .from(format!("{}.latest", ids[1]));
    let mut stream = transport.open(secured.server.address(), &wish);
    let hello = stream.hello();
    if transport != Transport::Poll {
        assert_eq!(hello["user"], "ann");
    }
    let mut denied = Vec::new();
    for _ in 0..2 {
        let Item::Denied(item) = stream.item() else {
            panic!("denied follows hello")
        };
        assert_eq!(item["check"], "subscribe");
        assert!(item["detail"].as_str().unwrap().len() > 10);
        denied.push(item["channel"].clone());
    }
    assert_eq!(denied, [json!("secret"), json!("hidden")]);
    assert_eq!(stream.gap()["channel"], "room:1");
    let mut data = Vec::new();
    while data.len() < 3 {
        match stream.item() {
            Item::Message(envelope) => data.push(envelope["data"].clone()),
            // Each poll is told again.
            Item::Denied(_) if transport == Transport::Poll => {}
            other => panic!("{other:?} where a message should be"),
        }
    }
    assert_eq!(data, numbers(6..9));
}

fn a_gap_is_said_once(transport: Transport) {
    let server = dev_with(&["--history-count", "2"]);
    let ids = publish_numbers(&server, "news", 0..9);
    let wish = Wish::to(["news", "quiet"]).from(format!("{}.latest", ids[0]));
    let mut stream = transport.open(server.address(), &wish);
    stream.hello();
    assert_eq!(stream.gap()["reason"], "retention");
    // An answer to a poll may bring both, and its cursor is after both.
    let known = if transport == Transport::Poll {
        stream.data(2).len()
    } else {
        0
    };
    let cursor = stream.cursor();
    stream.cut();
    let wish = Wish::to(["news", "quiet"]).from(cursor);
    let mut stream = transport.open(server.address(), &wish);
    stream.hello();
    assert_eq!(stream.data(2 - known), numbers(7..9)[known..]);
    stream.stays_silent(std::time::Duration::from_millis(30));
}

fn a_channel_that_was_evicted_and_came_back_has_a_gap(transport: Transport) {
    // The budget is split over 64 partitions, so each keeps about four of these.
    let server = dev_with(&["--limits-max-history-bytes", "256KiB"]);
    let old = publish(&server, "victim", &"before".into());
    let mut nth = 0;
    wait::until("the eviction of the victim", || {
        for _ in 0..100 {
            publish(&server, &format!("filler:{nth}"), &"x".repeat(1_000).into());
            nth += 1;
        }
        !is_kept(&server, "victim")
    });
    let mut forgotten = transport.open(server.address(), &Wish::to(["victim"]).from(&old));
    forgotten.hello();
    forgotten.stays_silent(std::time::Duration::from_millis(30));
    publish(&server, "victim", &"lost".into());
    assert_eq!(
        forgotten.message()["data"],
        "lost",
        "its place was the last one"
    );
    while is_kept(&server, "victim") {
        publish(&server, &format!("filler:{nth}"), &"x".repeat(1_000).into());
        nth += 1;
    }
    publish(&server, "victim", &"after".into());
    let mut stream = transport.open(server.address(), &Wish::to(["victim"]).from(&old));
    stream.hello();
    let gap = stream.gap();
    assert_eq!(gap["reason"], "retention");
    assert_eq!(gap["last"], old);
    assert_eq!(stream.message()["data"], "after");
}

/// Whether a channel has publications.
fn is_kept(server: &Server, channel: &str) -> bool {
    let listing = Request::get(&format!("/v1/channels?prefix={channel}")).send(server.address());
    let listing = listing.json();
    let rows = listing["channels"].as_array().expect("a listing");
    rows.iter()
        .any(|row| row["publications"].as_u64() > Some(0))
}

fn without_history_only_the_head_has_no_gap(transport: Transport) {
    let server = dev_with(&["--history-count", "0"]);
    let ids = publish_numbers(&server, "news", 0..3);
    let mut stream = transport.open(server.address(), &Wish::to(["news"]).from(&ids[2]));
    stream.hello();
    if transport != Transport::Poll {
        publish_numbers(&server, "news", 3..4);
        assert_eq!(stream.data(1), numbers(3..4));
    }
    let mut stream = transport.open(server.address(), &Wish::to(["news"]).from(&ids[1]));
    stream.hello();
    let gap = stream.gap();
    assert_eq!(
        (&gap["reason"], &gap["last"]),
        (&json!("retention"), &json!(ids[1]))
    );
    assert_eq!(gap["next"], Value::Null);
}

#[test]
fn a_subscribe_command_replies_before_its_gap_and_messages() {
    let server = dev_with(&["--history-count", "2"]);
    let ids = publish_numbers(&server, "news", 0..9);
    let mut socket = WebSocket::open(server.address(), &Wish::to(["quiet"])).unwrap();
    socket.hello();
    let reply = socket.ask(&json!({"req": 1, "subscribe": {"channel": "news", "cursor": ids[0]}}));
    assert_eq!(reply["subscribe"]["cursor"], ids[0]);
    assert_eq!(socket.gap()["reason"], "retention");
    assert_eq!(socket.data(2), numbers(7..9));
}

#[test]
fn loss_on_a_raw_websocket_closes_it_with_the_cursor() {
    let server = dev_with(&["--history-count", "2"]);
    let ids = publish_numbers(&server, "news", 0..9);
    let wish = Wish::to(["news"]).from(&ids[0]).with("format", "raw");
    let mut socket = WebSocket::open(server.address(), &wish).unwrap();
    let Item::End(Some((code, reason))) = socket.item() else {
        panic!("it closes")
    };
    assert_eq!((code, reason), (4006, ids[6].clone()));
    let wish = Wish::to(["news"]).from(&ids[6]).with("format", "raw");
    let mut socket = WebSocket::open(server.address(), &wish).unwrap();
    assert_eq!(
        socket.item(),
        Item::Named("text".to_owned(), "7".to_owned())
    );
}
