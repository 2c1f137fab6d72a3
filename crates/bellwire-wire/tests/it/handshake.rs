//! The upgrade request: the plain one passes, and each change to it is refused for its own
//! reason.

use std::collections::HashSet;

use bellwire_wire::websocket::handshake::{Handshake, Refusal, validate};

const KEY: (&str, &[u8]) = ("Sec-WebSocket-Key", b"dGhlIHNhbXBsZSBub25jZQ==");
const UPGRADE: (&str, &[u8]) = ("Upgrade", b"websocket");
const CONNECTION: (&str, &[u8]) = ("Connection", b"keep-alive, Upgrade");
const VERSION: (&str, &[u8]) = ("Sec-WebSocket-Version", b"13");

fn request(headers: &[(&'static str, &'static [u8])]) -> Result<Handshake<'static>, Refusal> {
    validate("GET", true, headers.iter().copied())
}

#[test]
fn a_plain_request_is_answered_with_its_accept_key() {
    let handshake = request(&[KEY, UPGRADE, CONNECTION, VERSION]).unwrap();
    assert_eq!(&handshake.accept_key(), b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
    assert!(handshake.protocols().is_empty());
    assert_eq!(handshake.extensions().count(), 0);
}

#[test]
fn names_and_tokens_are_read_in_any_case_and_over_several_fields() {
    let lower = [
        ("sec-websocket-key", KEY.1),
        ("UPGRADE", &b"h2c, WebSocket"[..]),
        ("connection", b"keep-alive"),
        ("connection", b"UPGRADE"),
        ("connection", b"te"),
        ("SEC-WEBSOCKET-VERSION", b"13"),
    ];
    assert!(request(&lower).is_ok());
}

#[test]
fn offers_are_exposed_in_the_clients_order() {
    let handshake = request(&[
        KEY,
        UPGRADE,
        CONNECTION,
        VERSION,
        ("Sec-WebSocket-Protocol", b"v2.bellwire, v1.bellwire"),
        ("Sec-WebSocket-Protocol", b"chat"),
        (
            "Sec-WebSocket-Extensions",
            b"permessage-deflate; client_max_window_bits, x-webkit",
        ),
        ("Sec-WebSocket-Extensions", b"bbf"),
    ])
    .unwrap();
    assert_eq!(
        handshake.protocols(),
        ["v2.bellwire", "v1.bellwire", "chat"]
    );
    let names: Vec<_> = handshake.extensions().map(|offer| offer.name).collect();
    assert_eq!(names, ["permessage-deflate", "x-webkit", "bbf"]);
}

#[test]
fn every_reason_has_its_refusal() {
    let check = |headers: &[(&'static str, &'static [u8])], expected: Refusal| {
        assert_eq!(request(headers).unwrap_err(), expected);
    };
    check(&[KEY, CONNECTION, VERSION], Refusal::UpgradeMissing);
    check(
        &[KEY, ("Upgrade", b"h2c"), CONNECTION, VERSION],
        Refusal::UpgradeUnknown,
    );
    check(&[KEY, UPGRADE, VERSION], Refusal::ConnectionMissing);
    check(
        &[KEY, UPGRADE, ("Connection", b"close"), VERSION],
        Refusal::ConnectionNotUpgrade,
    );
    check(&[KEY, UPGRADE, CONNECTION], Refusal::VersionMissing);
    let old = ("Sec-WebSocket-Version", &b"8"[..]);
    check(
        &[KEY, UPGRADE, CONNECTION, old],
        Refusal::VersionUnsupported,
    );
    check(
        &[KEY, UPGRADE, CONNECTION, VERSION, VERSION],
        Refusal::VersionDuplicate,
    );
    check(&[UPGRADE, CONNECTION, VERSION], Refusal::KeyMissing);
    let short = ("Sec-WebSocket-Key", &b"c2hvcnQ="[..]);
    check(
        &[short, UPGRADE, CONNECTION, VERSION],
        Refusal::KeyMalformed,
    );
    check(
        &[KEY, KEY, UPGRADE, CONNECTION, VERSION],
        Refusal::KeyDuplicate,
    );
    for bad in [&b""[..], b"a,", b"a b", b"\xff", b"a\"b\""] {
        let bad = ("Sec-WebSocket-Protocol", bad);
        check(
            &[KEY, UPGRADE, CONNECTION, VERSION, bad],
            Refusal::ProtocolMalformed,
        );
    }
    let headers = [KEY, UPGRADE, CONNECTION, VERSION];
    assert_eq!(
        validate("POST", true, headers).unwrap_err(),
        Refusal::Method
    );
    assert_eq!(
        validate("GET", false, headers).unwrap_err(),
        Refusal::HttpVersion
    );
}

#[test]
fn an_extension_offer_never_refuses_the_connection() {
    for value in [&b"\xff"[..], b";;;", b"a; b=\"", b""] {
        let offer = ("Sec-WebSocket-Extensions", value);
        let handshake = request(&[KEY, UPGRADE, CONNECTION, VERSION, offer]).unwrap();
        assert_eq!(handshake.extensions().count(), 0);
    }
}

#[test]
fn each_refusal_has_a_code_of_its_own_and_says_what_http_demands() {
    let codes: HashSet<_> = Refusal::ALL.iter().map(|refusal| refusal.code()).collect();
    assert_eq!(codes.len(), Refusal::ALL.len());
    for refusal in Refusal::ALL {
        let names: Vec<_> = refusal.headers().iter().map(|(name, _)| *name).collect();
        match refusal.status() {
            400 => assert!(names.is_empty()),
            405 => assert_eq!(names, ["allow"]),
            426 => assert_eq!(names, ["upgrade", "connection", "sec-websocket-version"]),
            other => panic!("{refusal:?} answers {other}"),
        }
    }
    assert_eq!(Refusal::VersionUnsupported.status(), 426);
    assert_eq!(Refusal::KeyMalformed.code(), "websocket_key_malformed");
    assert_eq!(Refusal::KeyMalformed.field(), Some("Sec-WebSocket-Key"));
}
