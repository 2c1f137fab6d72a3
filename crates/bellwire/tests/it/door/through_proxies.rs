//! The same through nginx and HAProxy as they are installed, configured as the guide says.

use std::net::SocketAddr;

use bellwire_testkit::{frontend::Frontend, http::Link};

use super::{STRANGER, behind_a_proxy, opened, stream};
use crate::malformed::problem;

/// The nth example of a language in the guide, before this server and on an address of its own.
fn example(language: &str, nth: usize, server: SocketAddr) -> String {
    let guide = include_str!("../../../../../docs/behind-a-proxy.md");
    let examples = guide.split("\n```").filter_map(|part| {
        let (first, code) = part.split_once('\n')?;
        (first == language).then_some(code)
    });
    let code = examples.into_iter().nth(nth).expect("the guide has it");
    code.replace("127.0.0.1:2355", &server.to_string())
        .replace("bind :80", "bind LISTEN")
}

/// nginx as in the guide, for clients whose address is in `x-test-client`: they are to it as if
/// they connected from there.
fn nginx(server: SocketAddr) -> Frontend {
    let listen = "listen LISTEN; set_real_ip_from 127.0.0.1; real_ip_header X-Test-Client;";
    Frontend::nginx(&example("nginx", 0, server).replace("listen 80;", listen))
}

#[test]
fn bounds_count_real_clients_through_nginx_whatever_they_say_themselves() {
    let secured = behind_a_proxy(&[]);
    let nginx = nginx(secured.server.address());
    let from = |client: &str, path: &str| stream(path).header("x-test-client", client);
    let mut open = Vec::new();
    for path in ["/v1/sse", "/v1/ws"] {
        for client in ["203.0.113.1", "203.0.113.2"] {
            let (link, head) = opened(nginx.address(), &from(client, path));
            assert!(matches!(head.status, 200 | 101), "{}", head.status);
            open.push(link);
        }
    }
    let both = ["203.0.113.1", "203.0.113.1", "203.0.113.2", "203.0.113.2"];
    secured.await_addresses(&both);
    // Who claims to be somebody else is still counted as who it is.
    for (header, claim) in [
        ("x-forwarded-for", "192.0.2.7"),
        ("x-forwarded-for", "\"192.0.2.7"),
        ("x-forwarded-for", "\u{e9}"),
        ("forwarded", "for=192.0.2.7"),
    ] {
        let request = from("203.0.113.1", "/v1/ws").header(header, claim);
        let answer = request.send(nginx.address());
        assert_eq!(answer.status(), 429, "{}", answer.text());
        assert_eq!(problem(&answer)["code"], "too_many_connections");
        let events = from("203.0.113.1", "/v1/sse").header(header, claim);
        let answer = events.send(nginx.address());
        assert_eq!(
            (answer.status(), answer.text().starts_with("retry: ")),
            (200, true)
        );
    }
    let (_third, head) = opened(nginx.address(), &from("203.0.113.3", "/v1/sse"));
    assert_eq!(head.status, 200);
    secured.await_addresses(&[&both[..], &["203.0.113.3"]].concat());
    drop(open);
    secured.await_addresses(&["203.0.113.3"]);
}

#[test]
fn haproxy_names_clients_by_its_header() {
    let secured = behind_a_proxy(&[]);
    let haproxy = Frontend::haproxy(&example("haproxy", 0, secured.server.address()));
    let open = ["/v1/ws", "/v1/sse"].map(|path| {
        let mut link = Link::connect_from(STRANGER, haproxy.address());
        link.send(&stream(path).header("x-forwarded-for", "192.0.2.1"));
        assert!(matches!(link.head().status, 101 | 200), "{path}");
        link
    });
    assert_eq!(secured.addresses(), ["127.0.0.2", "127.0.0.2"]);
    drop(open);
}

#[test]
fn haproxy_names_clients_by_both_versions_of_the_protocol() {
    for word in ["send-proxy", "send-proxy-v2"] {
        let secured = behind_a_proxy(&["--proxy-protocol"]);
        let sections = example("haproxy", 1, secured.server.address());
        let haproxy = Frontend::haproxy(&sections.replace("send-proxy-v2", word));
        let mut link = Link::connect_from(STRANGER, haproxy.address());
        link.send(&stream("/v1/ws"));
        assert_eq!(link.head().status, 101, "{word}");
        assert_eq!(secured.addresses(), ["127.0.0.2"]);
        let mut spoofing = Link::connect_from(STRANGER, haproxy.address());
        spoofing.send(&stream("/v1/sse").header("x-forwarded-for", "192.0.2.1"));
        assert_eq!(spoofing.head().status, 200);
        assert_eq!(secured.addresses(), ["127.0.0.2", "127.0.0.2"]);
    }
}
