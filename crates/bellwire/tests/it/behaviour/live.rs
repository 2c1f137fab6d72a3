//! What arrives while a client is connected: everything, once, in order (D1, D4).

use bellwire_testkit::{
    http::Request,
    raw::{Item, Stream as _, Transport, WebSocket, Wish},
};
use serde_json::json;

use super::on_every_transport;
use crate::{dev, numbers, publish, publish_numbers};

on_every_transport! {
    messages_arrive_in_order
    an_envelope_says_all_about_its_publication
    several_channels_arrive_on_one_stream
    binary_payloads_arrive_as_base64
    hello_names_the_connection_and_the_heartbeat
    a_long_channel_list_can_be_posted
}

fn messages_arrive_in_order(transport: Transport) {
    let server = dev();
    let mut stream = transport.open(server.address(), &Wish::to(["news"]));
    stream.hello();
    let ids = publish_numbers(&server, "news", 0..50);
    let received: Vec<_> = (0..50).map(|_| stream.message()).collect();
    let data: Vec<_> = received
        .iter()
        .map(|envelope| envelope["data"].clone())
        .collect();
    assert_eq!(data, numbers(0..50));
    let got: Vec<_> = received
        .iter()
        .map(|envelope| envelope["id"].as_str().unwrap())
        .collect();
    assert_eq!(got, ids);
}

fn an_envelope_says_all_about_its_publication(transport: Transport) {
    let server = dev();
    let mut stream = transport.open(server.address(), &Wish::to(["prices"]));
    stream.hello();
    let item = json!({"channel": "prices", "data": {"eur": [1, 2]}, "event": "price"});
    let answer = Request::post("/v1/publish", item.to_string()).send(server.address());
    let reply = answer.json();
    assert_eq!(reply["durability"], "memory");
    assert_eq!(reply["duplicate"], false);
    let envelope = stream.message();
    assert_eq!(envelope["channel"], "prices");
    assert_eq!(envelope["id"], reply["id"]);
    assert_eq!(envelope["event"], "price");
    assert_eq!(envelope["data"], json!({"eur": [1, 2]}));
    assert!(
        envelope["time"].as_u64().unwrap() > 1_600_000_000_000,
        "milliseconds"
    );
    assert_eq!(envelope.get("user"), None);
}

fn several_channels_arrive_on_one_stream(transport: Transport) {
    let server = dev();
    let names: Vec<String> = (0..20).map(|nth| format!("room:{nth}")).collect();
    let mut stream = transport.open(server.address(), &Wish::to(&names));
    stream.hello();
    for round in 0..3 {
        for name in &names {
            publish(&server, name, &round.into());
        }
    }
    let mut of_channel = std::collections::BTreeMap::<String, Vec<_>>::new();
    for _ in 0..60 {
        let envelope = stream.message();
        let channel = envelope["channel"].as_str().unwrap().to_owned();
        of_channel
            .entry(channel)
            .or_default()
            .push(envelope["data"].clone());
    }
    assert_eq!(of_channel.len(), 20);
    assert!(
        of_channel.values().all(|data| *data == numbers(0..3)),
        "{of_channel:?}"
    );
}

fn binary_payloads_arrive_as_base64(transport: Transport) {
    let server = dev();
    let mut stream = transport.open(server.address(), &Wish::to(["blobs"]));
    stream.hello();
    let typed = Request::post("/v1/channels/blobs", *b"\"text\"")
        .header("content-type", "application/octet-stream");
    assert_eq!(typed.send(server.address()).status(), 200);
    let not_text = Request::post("/v1/channels/blobs", [0xff, 0, 1]);
    assert_eq!(not_text.send(server.address()).status(), 200);
    let item = json!({"channel": "blobs", "base64": "AAEC"});
    let item = Request::post("/v1/publish", item.to_string());
    assert_eq!(item.send(server.address()).status(), 200);
    for expected in ["InRleHQi", "/wAB", "AAEC"] {
        let envelope = stream.message();
        assert_eq!(envelope["base64"], expected);
        assert_eq!(envelope.get("data"), None);
    }
}

fn hello_names_the_connection_and_the_heartbeat(transport: Transport) {
    let server = dev();
    let mut stream = transport.open(server.address(), &Wish::to(["news"]));
    let hello = stream.hello();
    assert!(!stream.cursor().is_empty());
    assert_eq!(hello["cursor"], stream.cursor());
    if transport != Transport::Poll {
        assert_eq!(hello["heartbeat_ms"], 20_000);
        assert!(hello["connection"].as_str().unwrap().len() > 8);
        assert_eq!(hello.get("user"), None);
    }
}

/// As many as a connection may have. A WebSocket names them in its query all the same.
fn a_long_channel_list_can_be_posted(transport: Transport) {
    let server = dev();
    let names: Vec<String> = (0..128)
        .map(|nth| format!("list:{}-{nth}", "x".repeat(40)))
        .collect();
    let wish = Wish {
        by_post: true,
        ..Wish::to(&names)
    };
    let mut stream = transport.open(server.address(), &wish);
    stream.hello();
    assert_eq!(stream.cursor().split('.').count(), 128);
    publish(&server, &names[127], &"last".into());
    publish(&server, &names[0], &"first".into());
    let mut data = stream.data(2);
    data.sort_by_key(ToString::to_string);
    assert_eq!(data, [json!("first"), json!("last")]);

    publish_numbers(&server, &names[5], 0..3);
    let again = Wish {
        by_post: true,
        ..Wish::to(&names).from(stream.cursor())
    };
    let mut stream = transport.open(server.address(), &again);
    stream.hello();
    assert_eq!(stream.data(3), numbers(0..3));
}

#[test]
fn the_payload_of_a_raw_body_is_what_it_says() {
    let server = dev();
    let mut socket = WebSocket::open(server.address(), &Wish::to(["raw"])).unwrap();
    socket.hello();
    let mut check = |body: &str, content_type: Option<&str>, expected: serde_json::Value| {
        let mut request = Request::post("/v1/channels/raw", body);
        if let Some(content_type) = content_type {
            request = request.header("content-type", content_type);
        }
        assert_eq!(request.send(server.address()).status(), 200);
        assert_eq!(
            socket.message()["data"],
            expected,
            "{body} as {content_type:?}"
        );
    };
    check("hello", None, json!("hello"));
    check(
        "hello",
        Some("application/x-www-form-urlencoded"),
        json!("hello"),
    );
    check("{\"a\":1}", None, json!({"a": 1}));
    check(
        "{\"a\":1}",
        Some("text/plain; charset=utf-8"),
        json!("{\"a\":1}"),
    );
    check("12", Some("application/x-www-form-urlencoded"), json!(12));
    check("{\"a\":\r\n 1}", None, json!({"a": 1}));
    check("", None, json!(""));
}

#[test]
fn many_subscribers_of_all_transports_get_the_same() {
    let server = dev();
    let mut streams: Vec<_> = (0..30)
        .map(|nth| Transport::ALL[nth % 3].open(server.address(), &Wish::to(["all"])))
        .collect();
    for stream in &mut streams {
        stream.hello();
    }
    publish_numbers(&server, "all", 0..20);
    for stream in &mut streams {
        assert_eq!(stream.data(20), numbers(0..20), "{stream:?}");
    }
}

#[test]
fn pushes_to_a_user_arrive_exactly_once_on_each_of_his_connections() {
    let crate::Secured { server, key } = crate::secured(&["--history-count", "1000"]);
    let token = |user: &str| {
        let rights = json!({"subscribe": ["*"], "history": ["*"]});
        bellwire_testkit::credentials::token(user, &rights)
    };
    let open = |user: &str, transport: Transport, channels: &[&str]| {
        let wish = Wish::to(channels).with_token(token(user));
        let mut stream = transport.open(server.address(), &wish);
        stream.hello();
        stream
    };
    // With `@me`, and with no channel at all, which means the same.
    let mut own: Vec<_> = Transport::ALL
        .into_iter()
        .flat_map(|transport| {
            [
                open("ann", transport, &["@me"]),
                open("ann", transport, &[]),
            ]
        })
        .collect();
    let mut other = open("bob", Transport::WebSocket, &["@me"]);
    let mut widest = open("eve", Transport::Sse, &["news"]);
    for number in 0..200 {
        let push = Request::post("/v1/users/ann", number.to_string()).bearer(Some(&key.text));
        assert_eq!(push.send(server.address()).status(), 200);
    }
    for stream in &mut own {
        for number in 0..200 {
            let envelope = stream.message();
            assert_eq!(
                (&envelope["channel"], &envelope["data"]),
                (&json!("@ann"), &json!(number))
            );
        }
        // Polls come back at once where there is something, so that short a silence tells.
        stream.stays_silent(std::time::Duration::from_millis(50));
    }
    for stream in [&mut other, &mut widest] {
        stream.stays_silent(std::time::Duration::from_millis(50));
    }
    let refused = Transport::WebSocket
        .open(
            server.address(),
            &Wish::to(["@ann", "news"]).with_token(token("eve")),
        )
        .denied_after_hello();
    assert_eq!(refused["channel"], "@ann");
}

/// Reads what a stream refuses at its start.
trait DeniedAfterHello {
    fn denied_after_hello(&mut self) -> serde_json::Value;
}

impl DeniedAfterHello for Box<dyn bellwire_testkit::raw::Stream> {
    fn denied_after_hello(&mut self) -> serde_json::Value {
        self.hello();
        match self.item() {
            Item::Denied(denied) => denied,
            other => panic!("{other:?} where a refusal should be"),
        }
    }
}
