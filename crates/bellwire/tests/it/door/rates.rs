//! Bounds on how often somebody may publish, subscribe and connect: what is refused names the bound
//! and its end, what goes on regardless is closed, and nobody else notices.

use std::{io::Write as _, net::SocketAddr};

use bellwire_testkit::{
    credentials::token,
    http::{Link, Request},
    raw::{Item, Stream as _, WebSocket, Wish},
};
use bellwire_wire::websocket::{Opcode, encode_masked_frame};
use serde_json::{Value, json};

use super::{behind_a_proxy, opened, stream};
use crate::{Secured, malformed::problem, secured};

fn user(name: &str) -> String {
    let all = ["*"];
    token(name, &json!({"subscribe": all, "publish": all}))
}

fn socket_of(secured: &Secured, name: &str) -> WebSocket {
    let wish = Wish::to(["news"]).with_token(user(name));
    let mut socket = WebSocket::open(secured.server.address(), &wish).unwrap();
    socket.hello();
    socket
}

/// The error of a publish over a WebSocket, if it is one.
fn publish_on(socket: &mut WebSocket) -> Option<Value> {
    let publish = json!({"req": 1, "publish": {"channel": "other", "data": 1}});
    socket.ask(&publish).get("error").cloned()
}

fn publish_by(token: &str) -> Request {
    Request::post("/v1/channels/other", "1").bearer(Some(token))
}

fn names(error: Option<Value>, limit: &str) {
    let error = error.expect("it is refused");
    assert_eq!(error["code"], "rate_limited");
    let detail = error["detail"].as_str().unwrap();
    assert!(
        detail.starts_with(limit) && detail.contains("again in"),
        "{detail}"
    );
}

/// A refusal over HTTP that names the bound and when to come back.
fn refuses(request: &Request, address: SocketAddr, limit: &str) {
    let answer = request.send(address);
    assert_eq!(answer.status(), 429, "{}", answer.text());
    let problem = problem(&answer);
    assert_eq!(problem["code"], "rate_limited");
    assert!(
        problem["detail"].as_str().unwrap().starts_with(limit),
        "{problem}"
    );
    let seconds: u32 = answer.header("retry-after").unwrap().parse().unwrap();
    assert!(
        seconds > 60,
        "an hour's rate does not come back in {seconds} s"
    );
}

fn refusals(secured: &Secured) -> u64 {
    secured.metric("bellwire_requests_refused_total{code=\"rate_limited\"}")
}

#[test]
fn a_connection_publishes_at_its_rate_and_its_neighbours_at_theirs() {
    let limit = "limits.publish_rate_per_connection";
    let secured = secured(&["--limits-publish-rate-per-connection", "1/h, burst 3"]);
    let (mut one, mut other) = (socket_of(&secured, "ann"), socket_of(&secured, "ann"));
    for _ in 0..3 {
        assert_eq!(publish_on(&mut one), None);
    }
    names(publish_on(&mut one), limit);
    assert_eq!(one.ask(&json!({"req": 2, "ping": {}}))["ping"], json!({}));
    assert_eq!(publish_on(&mut other), None);
    let over_http = publish_by(&user("ann")).send(secured.server.address());
    assert_eq!(over_http.status(), 200, "requests are no WebSocket's");
    assert_eq!(refusals(&secured), 1);
}

/// Sends a command again and again until the connection is closed for it; gives how many were
/// answered with an error, and the close code and reason.
fn flood(socket: &mut WebSocket, command: &Value) -> (usize, (u16, String)) {
    let mut frame = Vec::new();
    let text = command.to_string();
    encode_masked_frame(&mut frame, Opcode::Text, text.as_bytes(), [1, 2, 3, 4]);
    for _ in 0..10_000 {
        // It is closed on the way.
        if socket.link().stream().write_all(&frame).is_err() {
            break;
        }
    }
    let mut errors = 0;
    loop {
        match socket.item() {
            Item::Reply(reply) if reply.get("error").is_some() => errors += 1,
            // What was allowed at first, whose replies come without a number.
            Item::Named(name, _) if name == "publish" => {}
            Item::Message(_) => {}
            Item::Bye(bye) => assert_eq!(bye["code"], "limit"),
            Item::End(end) => return (errors, end.expect("a close code")),
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn a_connection_that_goes_on_presenting_refused_tokens_is_closed() {
    let secured = secured(&[]);
    let mut flooder = socket_of(&secured, "ann");
    let (errors, end) = flood(&mut flooder, &json!({"auth": {"token": "no.such.token"}}));
    assert_eq!(end, (4007, "too many refused tokens".to_owned()));
    assert!(errors >= 100, "{errors}");
}

#[test]
fn a_flood_that_goes_on_when_refused_is_closed_and_others_are_served() {
    let secured = secured(&["--limits-publish-rate-per-connection", "1/h, burst 3"]);
    let mut reader = socket_of(&secured, "bob");
    let mut flooder = socket_of(&secured, "ann");
    let publish = json!({"publish": {"channel": "news", "data": 1}});
    let (errors, end) = flood(&mut flooder, &publish);
    assert_eq!(end, (4007, "limits.publish_rate_per_connection".to_owned()));
    assert!((100..=200).contains(&errors), "{errors}");
    assert_eq!(reader.data(3), [1, 1, 1]);
    let news = json!({"req": 1, "publish": {"channel": "news", "data": 2}});
    reader.command(&news);
    assert_eq!(
        reader.ask(&json!({"req": 2, "ping": {}}))["ping"],
        json!({})
    );
}

#[test]
fn a_user_has_one_rate_over_all_connections_and_requests() {
    let limit = "limits.publish_rate_per_user";
    let secured = secured(&["--limits-publish-rate-per-user", "1/h, burst 4"]);
    let address = secured.server.address();
    let (mut one, mut other) = (socket_of(&secured, "ann"), socket_of(&secured, "ann"));
    assert_eq!(publish_on(&mut one), None);
    assert_eq!(publish_on(&mut other), None);
    assert_eq!(publish_by(&user("ann")).send(address).status(), 200);
    let batch = json!([
        {"channel": "other", "data": 1}, {"channel": "other", "data": 2},
    ]);
    let batch = Request::post("/v1/publish", batch.to_string()).bearer(Some(&user("ann")));
    let answer = batch.send(address).json();
    assert!(answer[0]["id"].is_string(), "{answer}");
    assert_eq!(answer[1]["error"]["code"], "rate_limited");
    names(publish_on(&mut one), limit);
    refuses(&publish_by(&user("ann")), address, limit);
    assert_eq!(publish_by(&user("bob")).send(address).status(), 200);
    for _ in 0..10 {
        secured.publish("other", &1.into());
    }
}

#[test]
fn an_address_has_one_rate_whoever_is_behind_it() {
    let limit = "limits.publish_rate_per_address";
    let secured = behind_a_proxy(&["--limits-publish-rate-per-address", "1/h, burst 2"]);
    let address = secured.server.address();
    let from = |client: &str, name: &str| publish_by(&user(name)).header("x-forwarded-for", client);
    for name in ["ann", "bob"] {
        assert_eq!(from("203.0.113.9", name).send(address).status(), 200);
    }
    refuses(&from("203.0.113.9", "eve"), address, limit);
    let socket = stream("/v1/ws").header("x-forwarded-for", "203.0.113.9");
    let mut link = Link::connect(address);
    link.send(&socket);
    let mut socket = WebSocket::over(link).unwrap();
    socket.hello();
    let publish = json!({"req": 1, "publish": {"channel": "news", "data": 1}});
    names(socket.ask(&publish).get("error").cloned(), limit);
    assert_eq!(from("203.0.113.10", "ann").send(address).status(), 200);
    // Of IPv6 a network is one client; this machine and proxies have no bound.
    assert_eq!(from("2001:db8::1", "ann").send(address).status(), 200);
    assert_eq!(from("2001:db8::2", "ann").send(address).status(), 200);
    refuses(&from("2001:db8::3", "ann"), address, limit);
    for _ in 0..5 {
        assert_eq!(publish_by(&user("ann")).send(address).status(), 200);
    }
    assert_eq!(refusals(&secured), 3);
}

#[test]
fn an_address_connects_at_its_rate_on_every_way() {
    let limit = "limits.connect_rate_per_address";
    let rate = ["--limits-connect-rate-per-address", "1/h, burst 2"];
    let secured = behind_a_proxy(&rate);
    let address = secured.server.address();
    let from = |client: &str, path: &str| stream(path).header("x-forwarded-for", client);
    for _ in 0..2 {
        let (link, _) = opened(address, &from("203.0.113.9", "/v1/ws"));
        drop(link);
    }
    refuses(&from("203.0.113.9", "/v1/ws"), address, limit);
    let events = from("203.0.113.9", "/v1/sse").send(address);
    assert_eq!(
        (events.status(), events.text().starts_with("retry: ")),
        (200, true)
    );
    let (_link, head) = opened(address, &from("203.0.113.10", "/v1/ws"));
    assert_eq!(head.status, 101);

    let secured = behind_a_proxy(&[&["--proxy-protocol"], &rate[..]].concat());
    let announced = |request: &Request| {
        let mut link = Link::connect(secured.server.address());
        link.send_bytes(b"PROXY TCP4 203.0.113.9 198.51.100.1 4711 443\r\n");
        link.send(request);
        link.answer().status()
    };
    for _ in 0..2 {
        assert_eq!(announced(&stream("/v1/poll")), 200);
    }
    assert_eq!(announced(&stream("/v1/poll")), 429);
    assert_eq!(
        announced(&Request::get("/livez")),
        200,
        "probes are answered"
    );
}

#[test]
fn a_connection_subscribes_at_its_rate() {
    let limit = "limits.subscribe_rate_per_connection";
    let secured = secured(&["--limits-subscribe-rate-per-connection", "1/h, burst 3"]);
    let mut socket = socket_of(&secured, "ann");
    let subscribe = json!({"req": 1, "subscribe": {"channel": "a"}});
    let unsubscribe = json!({"req": 1, "unsubscribe": {"channel": "a"}});
    for command in [&subscribe, &unsubscribe, &subscribe] {
        assert_eq!(socket.ask(command).get("error"), None);
    }
    names(socket.ask(&unsubscribe).get("error").cloned(), limit);
    assert_eq!(publish_on(&mut socket), None);
    assert_eq!(refusals(&secured), 1);
}
