//! Coming back with a cursor, on the same transport or another: nothing lost, nothing twice (D4).

use bellwire_testkit::raw::{Transport, Wish};
use serde_json::json;

use super::on_every_transport;
use crate::{dev, numbers, publish, publish_numbers, secured};

on_every_transport! {
    a_stream_that_was_cut_is_resumed_on_each_transport
    a_stream_cut_before_its_first_message_resumes_from_its_hello
    a_composite_cursor_resumes_every_channel_where_it_stood
    earliest_starts_with_the_oldest_that_is_kept
    latest_applies_to_channels_without_a_segment
    an_inbox_fills_while_its_user_is_away
    a_publications_own_id_is_a_cursor
}

fn a_stream_that_was_cut_is_resumed_on_each_transport(first: Transport) {
    for second in Transport::ALL {
        let server = dev();
        let mut stream = first.open(server.address(), &Wish::to(["news"]));
        stream.hello();
        publish_numbers(&server, "news", 0..5);
        assert_eq!(stream.data(5), numbers(0..5));
        let cursor = stream.cursor();
        stream.cut();
        publish_numbers(&server, "news", 5..12);
        let mut stream = second.open(server.address(), &Wish::to(["news"]).from(cursor));
        stream.hello();
        publish_numbers(&server, "news", 12..15);
        assert_eq!(
            stream.data(10),
            numbers(5..15),
            "from {first:?} to {second:?}"
        );
    }
}

fn a_stream_cut_before_its_first_message_resumes_from_its_hello(transport: Transport) {
    let server = dev();
    publish_numbers(&server, "news", 0..3);
    let mut stream = transport.open(server.address(), &Wish::to(["news"]));
    stream.hello();
    let cursor = stream.cursor();
    stream.cut();
    publish_numbers(&server, "news", 3..6);
    let mut stream = transport.open(server.address(), &Wish::to(["news"]).from(cursor));
    stream.hello();
    assert_eq!(stream.data(3), numbers(3..6));
}

fn a_composite_cursor_resumes_every_channel_where_it_stood(transport: Transport) {
    let server = dev();
    let channels = ["a", "b", "c"];
    let mut stream = transport.open(server.address(), &Wish::to(channels));
    stream.hello();
    publish(&server, "a", &1.into());
    publish(&server, "b", &10.into());
    stream.data(2);
    let cursor = stream.cursor();
    stream.cut();
    publish(&server, "a", &2.into());
    publish(&server, "c", &100.into());
    publish(&server, "a", &3.into());
    // What it was not asked for is ignored, and one channel more has no position.
    let wish = Wish::to(["a", "c"]).from(cursor);
    let mut stream = transport.open(server.address(), &wish);
    stream.hello();
    let mut received: Vec<_> = (0..3).map(|_| stream.message()).collect();
    received.sort_by_key(|envelope| envelope["data"].as_u64());
    let data: Vec<_> = received
        .iter()
        .map(|e| (&e["channel"], &e["data"]))
        .collect();
    let (a, c) = (json!("a"), json!("c"));
    assert_eq!(data, [(&a, &json!(2)), (&a, &json!(3)), (&c, &json!(100))]);
}

fn earliest_starts_with_the_oldest_that_is_kept(transport: Transport) {
    let server = dev();
    publish_numbers(&server, "news", 0..5);
    let mut stream = transport.open(server.address(), &Wish::to(["news"]).from("earliest"));
    stream.hello();
    assert_eq!(stream.data(5), numbers(0..5));
    publish_numbers(&server, "news", 5..6);
    assert_eq!(stream.data(1), numbers(5..6));
}

fn latest_applies_to_channels_without_a_segment(transport: Transport) {
    let server = dev();
    let id = publish(&server, "a", &1.into());
    publish(&server, "a", &2.into());
    publish(&server, "b", &10.into());
    let wish = Wish::to(["a", "b"]).from(format!("{id}.latest"));
    let mut stream = transport.open(server.address(), &wish);
    stream.hello();
    assert_eq!(stream.message()["data"], 2);
    publish(&server, "b", &20.into());
    assert_eq!(stream.message()["data"], 20);
}

fn an_inbox_fills_while_its_user_is_away(transport: Transport) {
    let secured = secured(&[]);
    let token = bellwire_testkit::credentials::token("ann", &json!({}));
    let wish = Wish::to(["@me"]).with_token(&token);
    let mut stream = transport.open(secured.server.address(), &wish);
    stream.hello();
    let cursor = stream.cursor();
    stream.cut();
    for number in 0..10 {
        let answer = secured.post("/v1/users/ann", number.to_string());
        assert_eq!(answer.status(), 200, "{}", answer.text());
    }
    let mut stream = transport.open(secured.server.address(), &wish.clone().from(cursor));
    stream.hello();
    assert_eq!(stream.data(10), numbers(0..10));
    let bob = bellwire_testkit::credentials::token("bob", &json!({"subscribe": ["*"]}));
    let mut other = transport.open(
        secured.server.address(),
        &Wish::to(["@me"]).with_token(bob).from("earliest"),
    );
    other.hello();
    other.stays_silent(std::time::Duration::from_millis(50));
}

fn a_publications_own_id_is_a_cursor(transport: Transport) {
    let server = dev();
    let ids = publish_numbers(&server, "news", 0..4);
    let mut stream = transport.open(server.address(), &Wish::to(["news"]).from(&ids[1]));
    stream.hello();
    assert_eq!(stream.data(2), numbers(2..4));
    // The last id of a channel wins, so appending is always right.
    let appended = format!("{}.{}", ids[0], ids[2]);
    let mut stream = transport.open(server.address(), &Wish::to(["news"]).from(appended));
    stream.hello();
    assert_eq!(stream.data(1), numbers(3..4));
}
