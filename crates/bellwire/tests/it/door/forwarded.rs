//! The headers of trusted proxies, and of those who only pretend.

use std::time::Instant;

use bellwire_testkit::{
    http::{Link, Request},
    wait::SOON,
};

use super::{STRANGER, behind_a_proxy, opened, stream};
use crate::{binary, malformed::problem};

const TRANSPORTS: [&str; 3] = ["/v1/sse", "/v1/ws", "/v1/poll"];

/// A poll that is held needs a cursor.
fn held(request: &str, cursor: &str) -> Request {
    let target = if request == "/v1/poll" {
        format!("{request}?channel=news&timeout=60&cursor={cursor}")
    } else {
        return stream(request);
    };
    let token =
        bellwire_testkit::credentials::token("ann", &serde_json::json!({"subscribe": ["news"]}));
    Request::get(&target).bearer(Some(&token))
}

#[test]
fn a_listing_shows_the_client_and_not_the_proxy() {
    let secured = behind_a_proxy(&[]);
    let address = secured.server.address();
    let by = |name: &str, value: &str| stream("/v1/sse").header(name, value);
    let _first = opened(address, &by("x-forwarded-for", "203.0.113.1"));
    let _second = opened(
        address,
        &by("forwarded", "for=\"[2001:db8::2]:99\";proto=https"),
    );
    let _third = opened(
        address,
        &by("x-forwarded-for", "1.1.1.1, 203.0.113.3, 127.0.0.1"),
    );
    secured.await_addresses(&["2001:db8::2", "203.0.113.1", "203.0.113.3"]);
}

#[test]
fn bounds_per_address_hold_for_each_client_behind_a_proxy_on_every_transport() {
    let secured = behind_a_proxy(&[]);
    let address = secured.server.address();
    let cursor = secured.publish("news", &0.into());
    for (nth, transport) in TRANSPORTS.into_iter().enumerate() {
        let client = format!("203.0.113.{nth}");
        let request = held(transport, &cursor).header("x-forwarded-for", &client);
        let mut open = Vec::new();
        for _ in 0..2 {
            let mut link = Link::connect(address);
            link.send(&request);
            open.push(link);
        }
        secured.await_addresses(&[client.as_str(), client.as_str()]);
        let mut refused = Link::connect(address);
        refused.send(&request);
        let answer = refused.answer();
        if transport == "/v1/sse" {
            assert_eq!(answer.status(), 200);
            assert!(answer.text().starts_with("retry: "), "{}", answer.text());
        } else {
            assert_eq!(answer.status(), 429, "{transport}");
            assert_eq!(problem(&answer)["code"], "too_many_connections");
            assert_eq!(answer.header("retry-after"), Some("2"));
        }
        // The proxy serves others, on the same connection too.
        let other = stream("/v1/sse").header("x-forwarded-for", "198.51.100.7");
        let (_other, head) = opened(address, &other);
        assert_eq!(head.status, 200);
        secured.await_addresses(&["198.51.100.7", client.as_str(), client.as_str()]);
        drop(_other);
        open.pop();
        secured.await_addresses(&[client.as_str()]);
        let (_again, head) = opened(
            address,
            &stream("/v1/sse").header("x-forwarded-for", &client),
        );
        assert_eq!(head.header("content-type"), Some("text/event-stream"));
        secured.await_addresses(&[client.as_str(), client.as_str()]);
        drop((open, _again));
        secured.await_addresses(&[]);
    }
    let code = "bellwire_requests_refused_total{code=\"too_many_connections\"}";
    assert_eq!(secured.metric(code), 3);
}

#[test]
fn one_connection_of_a_proxy_serves_polls_of_many_clients() {
    let secured = behind_a_proxy(&[]);
    let address = secured.server.address();
    let mut link = Link::connect(address);
    for nth in 0..6 {
        let client = format!("203.0.113.{nth}");
        link.send(&stream("/v1/poll").header("x-forwarded-for", &client));
        assert_eq!(link.answer().status(), 200);
    }
    // None of them holds a seat any more.
    for nth in 0..6 {
        let client = format!("203.0.113.{nth}");
        let request = stream("/v1/sse").header("x-forwarded-for", &client);
        let open = [0, 1].map(|_| opened(address, &request));
        secured.await_addresses(&[client.as_str(), client.as_str()]);
        drop(open);
        secured.await_addresses(&[]);
    }
}

#[test]
fn a_post_behind_a_proxy_holds_a_place_too() {
    let secured = behind_a_proxy(&[]);
    let address = secured.server.address();
    let token =
        bellwire_testkit::credentials::token("ann", &serde_json::json!({"subscribe": ["news"]}));
    let request = Request::post("/v1/sse", r#"{"channels":["news"]}"#)
        .bearer(Some(&token))
        .header("x-forwarded-for", "203.0.113.9");
    let open = [0, 1].map(|_| opened(address, &request));
    secured.await_addresses(&["203.0.113.9", "203.0.113.9"]);
    let answer = request.send(address);
    assert!(answer.text().starts_with("retry: "), "{}", answer.text());
    drop(open);
    secured.await_addresses(&[]);
}

#[test]
fn a_spoofed_header_from_elsewhere_changes_nothing() {
    let secured = behind_a_proxy(&[]);
    let mut links = Vec::new();
    for (name, value) in [
        ("x-forwarded-for", "203.0.113.1"),
        ("forwarded", "for=203.0.113.1"),
    ] {
        let mut link = Link::connect_from(STRANGER, secured.server.address());
        link.send(&stream("/v1/sse").header(name, value));
        assert_eq!(link.head().status, 200);
        links.push(link);
    }
    let own = |link: &Link| link.stream().local_addr().unwrap().to_string();
    let mut expected: Vec<_> = links.iter().map(own).collect();
    expected.sort();
    assert_eq!(secured.addresses(), expected);
    // Whoever trusts nobody believes nobody.
    let trusting_nobody = crate::secured(&[]);
    let spoofed = stream("/v1/sse").header("x-forwarded-for", "203.0.113.1");
    let (link, _) = opened(trusting_nobody.server.address(), &spoofed);
    assert_eq!(trusting_nobody.addresses(), [own(&link)]);
}

#[test]
fn a_proxy_that_names_no_address_is_taken_for_the_client_and_reported() {
    let secured = behind_a_proxy(&[]);
    let request = stream("/v1/sse").header("x-forwarded-for", "unknown");
    let (link, head) = opened(secured.server.address(), &request);
    assert_eq!(head.status, 200);
    let own = link.stream().local_addr().unwrap().to_string();
    assert_eq!(secured.addresses(), [own]);
    assert_eq!(secured.metric("bellwire_forwarded_malformed_total"), 1);
    secured.server.await_log("does not name its client");
}

#[test]
fn a_crowd_at_one_address_is_reported_with_the_setting_to_add() {
    let key = bellwire_testkit::credentials::jwt_key();
    let server = binary().args(["--jwt-key", &key]).start();
    let mut open = Vec::new();
    for _ in 0..100 {
        let mut link = Link::connect_from(STRANGER, server.address());
        link.send(&stream("/v1/sse"));
        link.await_some(Instant::now() + SOON).unwrap();
        open.push(link);
    }
    server.await_log("--trusted-proxy 127.0.0.2");
}
