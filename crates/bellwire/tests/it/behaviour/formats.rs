//! Event names and the raw format.

use bellwire_testkit::{
    http::Request,
    process::Server,
    raw::{Item, Sse, Stream as _, WebSocket, Wish},
};
use serde_json::json;

use crate::{dev, publish};

fn publish_event(server: &Server, channel: &str, event: &str, data: &str) {
    let path = format!("/v1/channels/{channel}?event={event}");
    assert_eq!(
        Request::post(&path, data).send(server.address()).status(),
        200
    );
}

#[test]
fn a_named_stream_carries_the_publications_event_name() {
    let server = dev();
    let mut plain = Sse::open(server.address(), &Wish::to(["prices"])).unwrap();
    let mut named = Sse::open(server.address(), &Wish::to(["prices"]).with("named", "1")).unwrap();
    plain.hello();
    named.hello();
    publish_event(&server, "prices", "price", "1");
    publish(&server, "prices", &2.into());
    assert_eq!(plain.message()["event"], "price");
    assert_eq!(plain.message()["data"], 2);
    let Item::Named(name, data) = named.item() else {
        panic!("an event of its own name")
    };
    assert_eq!(name, "price");
    let envelope: serde_json::Value = serde_json::from_str(&data).unwrap();
    assert_eq!(
        (&envelope["event"], &envelope["data"]),
        (&json!("price"), &json!(1))
    );
    assert_eq!(named.message()["data"], 2);
    assert_eq!(named.cursor(), plain.cursor());
}

#[test]
fn a_raw_event_stream_carries_payloads_alone() {
    let server = dev();
    let mut raw = Sse::open(server.address(), &Wish::to(["x"]).with("format", "raw")).unwrap();
    raw.hello();
    publish(&server, "x", &json!("two\nlines"));
    publish(&server, "x", &json!({"a": 1}));
    let blob = Request::post("/v1/channels/x", [0xff, 0xfe]);
    assert_eq!(blob.send(server.address()).status(), 200);
    let id = publish(&server, "x", &json!("last"));
    assert_eq!(
        raw.item(),
        Item::Named("message".to_owned(), "two\nlines".to_owned())
    );
    assert_eq!(raw.item(), Item::Message(json!({"a": 1})));
    assert_eq!(
        raw.item(),
        Item::Named("message".to_owned(), "//4=".to_owned())
    );
    assert_eq!(
        raw.item(),
        Item::Named("message".to_owned(), "last".to_owned())
    );
    assert_eq!(raw.cursor(), id);
}

#[test]
fn a_raw_websocket_carries_payloads_and_no_control_text() {
    let server = dev();
    let id = publish(&server, "x", &json!(0));
    let wish = Wish::to(["x"]).from(id).with("format", "raw");
    let mut raw = WebSocket::open(server.address(), &wish).unwrap();
    publish(&server, "x", &json!("text"));
    publish(&server, "x", &json!({"a": 1}));
    let blob = Request::post("/v1/channels/x", [0xff, 0xfe]);
    assert_eq!(blob.send(server.address()).status(), 200);
    let text = |text: &str| Item::Named("text".to_owned(), text.to_owned());
    assert_eq!(raw.item(), text("text"), "no hello before it");
    assert_eq!(raw.item(), text("{\"a\":1}"));
    assert_eq!(raw.item(), Item::Binary(vec![0xff, 0xfe]));
}

#[test]
fn raw_takes_one_channel() {
    let server = dev();
    let target = "/v1/sse?channel=a&channel=b&format=raw";
    let answer = Request::get(target).send(server.address());
    assert_eq!(
        (answer.status(), &answer.json()["field"]),
        (400, &json!("format"))
    );
}

#[test]
fn text_that_would_break_an_event_stream_does_not() {
    let server = dev();
    let mut stream = Sse::open(server.address(), &Wish::to(["x"])).unwrap();
    let mut raw = Sse::open(server.address(), &Wish::to(["x"]).with("format", "raw")).unwrap();
    stream.hello();
    raw.hello();
    let text = "a\r\nevent: bye\rdata: forged\n\nid: 0\n\n: x\0y";
    publish(&server, "x", &json!(text));
    publish(&server, "x", &json!("after"));
    assert_eq!(stream.message()["data"], text);
    assert_eq!(stream.message()["data"], "after");
    let Item::Named(name, data) = raw.item() else {
        panic!("one event")
    };
    assert_eq!(name, "message");
    assert_eq!(data, text.replace("\r\n", "\n").replace('\r', "\n"));
    assert_eq!(
        raw.item(),
        Item::Named("message".to_owned(), "after".to_owned())
    );
}
