//! PROXY headers in front of connections.

use std::{
    io::{ErrorKind, Read},
    time::{Duration, Instant},
};

use bellwire_testkit::{
    http::{Link, Request},
    wait::SOON,
};

use super::{STRANGER, behind_a_proxy, stream};
use crate::{Secured, binary, secured_by};

const V1: &[u8] = b"PROXY TCP4 203.0.113.9 198.51.100.1 4711 443\r\n";

fn announced(arguments: &[&str]) -> Secured {
    behind_a_proxy(&[&["--proxy-protocol"], arguments].concat())
}

/// A header of version 2 for 203.0.113.10.
fn v2(command: u8, extensions: &[u8]) -> Vec<u8> {
    let mut header = b"\r\n\r\n\0\r\nQUIT\n".to_vec();
    header.extend([command, 0x11]);
    header.extend(u16::try_from(12 + extensions.len()).unwrap().to_be_bytes());
    header.extend([203, 0, 113, 10, 198, 51, 100, 1, 0x12, 0x67, 0x01, 0xbb]);
    header.extend(extensions);
    header
}

/// A connection with these first bytes.
fn begun(secured: &Secured, header: &[u8]) -> Link {
    let mut link = Link::connect(secured.server.address());
    link.send_bytes(header);
    link
}

/// Whether the server closes without a word.
fn is_closed(link: &Link) -> bool {
    let mut stream = link.stream();
    stream.set_read_timeout(Some(SOON)).unwrap();
    match stream.read(&mut [0; 16]) {
        Ok(count) => count == 0,
        // What it had not read yet makes it a reset.
        Err(error) => error.kind() == ErrorKind::ConnectionReset,
    }
}

#[test]
fn both_versions_name_the_client() {
    let secured = announced(&[]);
    let long = v2(0x21, &[&[4, 0x07, 0x80][..], &[0; 0x780]].concat());
    let mut links = Vec::new();
    for header in [V1, &v2(0x21, &[]), &long] {
        let mut link = begun(&secured, header);
        link.send(&stream("/v1/sse"));
        assert_eq!(link.head().status, 200);
        links.push(link);
    }
    secured.await_addresses(&["203.0.113.10", "203.0.113.10", "203.0.113.9"]);
    let mut refused = begun(&secured, &v2(0x21, &[]));
    refused.send(&stream("/v1/ws"));
    assert_eq!(refused.answer().status(), 429, "the third of its address");
}

#[test]
fn the_header_comes_before_encryption() {
    let arguments = ["--proxy-protocol", "--trusted-proxy", "127.0.0.1"];
    let secured = secured_by(&binary().tls().announced(V1), &arguments);
    let mut link = Link::connect(secured.server.address());
    link.send(&stream("/v1/poll"));
    assert_eq!(link.answer().status(), 200);
    link.send(&stream("/v1/ws"));
    assert_eq!(link.head().status, 101);
    secured.await_addresses(&["203.0.113.9"]);
}

#[test]
fn a_balancer_speaks_for_itself_with_local_and_unknown() {
    let secured = announced(&[]);
    for header in [&v2(0x20, &[]), &b"PROXY UNKNOWN\r\n"[..]] {
        let mut link = begun(&secured, header);
        link.send(&stream("/v1/sse"));
        assert_eq!(link.head().status, 200);
        let own = link.stream().local_addr().unwrap().to_string();
        secured.await_addresses(&[&own]);
        drop(link);
        secured.await_addresses(&[]);
    }
}

#[test]
fn a_header_in_single_bytes_and_glued_to_a_request_loses_nothing() {
    let secured = announced(&[]);
    for header in [V1, &v2(0x21, &[4, 0, 1, 0])] {
        let mut link = Link::connect(secured.server.address());
        for byte in header {
            link.send_bytes(&[*byte]);
        }
        let host = secured.server.address().to_string();
        link.send_bytes(&Request::get("/livez").to_bytes(&host));
        assert_eq!(link.answer().status(), 200);
        let glued = [header, &Request::get("/livez").to_bytes(&host)].concat();
        assert_eq!(begun(&secured, &glued).answer().status(), 200);
    }
}

#[test]
fn what_a_client_writes_behind_the_header_is_not_believed() {
    let secured = announced(&[]);
    let spoofing = |path| stream(path).header("x-forwarded-for", "192.0.2.1");
    let mut link = begun(&secured, V1);
    // The connection comes back from an answered poll, and is still that client's.
    for _ in 0..2 {
        link.send(&spoofing("/v1/poll"));
        assert_eq!(link.answer().status(), 200);
    }
    link.send(&spoofing("/v1/sse"));
    assert_eq!(link.head().status, 200);
    secured.await_addresses(&["203.0.113.9"]);
}

#[test]
fn nobody_else_may_announce_and_nobody_may_not() {
    let secured = announced(&[]);
    let mut stranger = Link::connect_from(STRANGER, secured.server.address());
    stranger.send_bytes(V1);
    assert!(is_closed(&stranger));
    let refused = |code: &str| {
        secured.metric(&format!(
            "bellwire_requests_refused_total{{code=\"{code}\"}}"
        ))
    };
    assert_eq!(refused("proxy_untrusted"), 1);
    for wrong in [
        &b"GET /livez HTTP/1.1\r\n\r\n"[..],
        b"PROXY TCP4 nonsense\r\n",
        &[b"PROXY TCP4 ".as_slice(), &[b'1'; 200]].concat(),
        b"\r\n\r\n\0\r\nQUIT\n\x21\x11\xff\xff",
    ] {
        assert!(is_closed(&begun(&secured, wrong)));
    }
    assert_eq!(refused("proxy_header"), 4);
    // The admin listener takes connections as they are.
    let alive = Request::get("/livez").send(secured.server.admin());
    assert_eq!(alive.status(), 200);
}

#[test]
fn a_slow_header_ends_with_the_handshake_timeout() {
    let secured = announced(&["--limits-handshake-timeout", "1s"]);
    let links = [&b""[..], b"PROXY TCP4 203", &v2(0x21, &[])[..20]].map(|header| {
        // From before the server can have begun to wait.
        let since = Instant::now();
        (begun(&secured, header), since)
    });
    for (link, since) in links {
        assert!(is_closed(&link));
        assert!(since.elapsed() >= Duration::from_millis(900));
    }
}

#[test]
fn it_needs_a_trusted_proxy_and_no_development_mode() {
    for arguments in [
        &["--proxy-protocol"][..],
        &["--proxy-protocol", "--dev", "--trusted-proxy", "127.0.0.1"],
    ] {
        let mut process = binary().args(arguments.iter().copied()).spawn();
        assert!(!process.wait(SOON).success());
        assert!(
            process.log().contains("proxy-protocol"),
            "{}",
            process.log()
        );
    }
}
