//! WebSocket handshakes: each refusal answers with its named reason (RFC 6455 §4.2).

use bellwire_testkit::http::{Link, Request};

use crate::{
    dev,
    malformed::{problem, refused},
};

/// A handshake with some headers other than they should be; an empty value leaves one out.
pub(crate) fn handshake(target: &str, changes: &[(&str, &str)]) -> Request {
    let right = [
        ("connection", "Upgrade"),
        ("upgrade", "websocket"),
        ("sec-websocket-version", "13"),
        ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ=="),
    ];
    let mut request = Request::get(target);
    for (name, value) in right {
        let changed = changes.iter().find(|(changed, _)| *changed == name);
        let value = changed.map_or(value, |(_, value)| value);
        if !value.is_empty() {
            request = request.header(name, value);
        }
    }
    let further = changes
        .iter()
        .filter(|(name, _)| right.iter().all(|(known, _)| known != name));
    further.fold(request, |request, (name, value)| {
        request.header(name, value)
    })
}

#[test]
fn each_refused_handshake_names_its_reason() {
    let server = dev();
    let check = |changes: &[(&str, &str)], status: u16, code: &str, field: &str| {
        for target in ["/v1/ws?channel=a", "/v1/echo"] {
            let request = handshake(target, changes);
            refused(&server, &request, status, code, Some(field));
        }
    };
    let plain = Request::get("/v1/ws?channel=a").send(server.address());
    assert_eq!(plain.status(), 426);
    assert_eq!(plain.header("upgrade"), Some("websocket"));
    assert_eq!(plain.header("sec-websocket-version"), Some("13"));
    check(
        &[("upgrade", "")],
        426,
        "websocket_upgrade_missing",
        "Upgrade",
    );
    check(
        &[("upgrade", "h2c")],
        426,
        "websocket_upgrade_unknown",
        "Upgrade",
    );
    check(
        &[("connection", "")],
        400,
        "websocket_connection_missing",
        "Connection",
    );
    check(
        &[("connection", "keep-alive")],
        400,
        "websocket_connection_not_upgrade",
        "Connection",
    );
    let version = "Sec-WebSocket-Version";
    check(
        &[("sec-websocket-version", "")],
        426,
        "websocket_version_missing",
        version,
    );
    check(
        &[("sec-websocket-version", "8")],
        426,
        "websocket_version_unsupported",
        version,
    );
    let key = "Sec-WebSocket-Key";
    check(
        &[("sec-websocket-key", "")],
        400,
        "websocket_key_missing",
        key,
    );
    check(
        &[("sec-websocket-key", "short")],
        400,
        "websocket_key_malformed",
        key,
    );
    let protocol = "Sec-WebSocket-Protocol";
    check(
        &[("sec-websocket-protocol", "a,,b")],
        400,
        "websocket_protocol_malformed",
        protocol,
    );
}

#[test]
fn a_header_that_is_there_twice_is_refused() {
    let server = dev();
    let twice = |name: &str, value: &str| handshake("/v1/ws?channel=a", &[]).header(name, value);
    let key_again = twice("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ==");
    refused(
        &server,
        &key_again,
        400,
        "websocket_key_duplicate",
        Some("Sec-WebSocket-Key"),
    );
    let version_again = twice("sec-websocket-version", "13");
    refused(
        &server,
        &version_again,
        400,
        "websocket_version_duplicate",
        Some("Sec-WebSocket-Version"),
    );
}

#[test]
fn old_http_and_other_methods_open_no_websocket() {
    let server = dev();
    let mut old = Link::connect(server.address());
    old.send_bytes(
        b"GET /v1/ws?channel=a HTTP/1.0\r\nHost: localhost\r\nConnection: Upgrade\r\n\
          Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
          Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
    );
    let answer = old.answer();
    assert_eq!(answer.status(), 400);
    assert_eq!(problem(&answer)["code"], "websocket_http_version");
    let post = Request::post("/v1/ws?channel=a", "");
    refused(&server, &post, 405, "method_not_allowed", None);
}

#[test]
fn an_offered_subprotocol_is_chosen() {
    let server = dev();
    let offered = handshake(
        "/v1/ws?channel=a",
        &[("sec-websocket-protocol", "other, bellwire.v1")],
    );
    let mut link = Link::connect(server.address());
    link.send(&offered);
    let head = link.head();
    assert_eq!(
        (head.status, head.header("sec-websocket-protocol")),
        (101, Some("bellwire.v1"))
    );
}
