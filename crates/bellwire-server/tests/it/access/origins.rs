//! Which pages may connect: the matrix of origins, hosts and credentials.

use bellwire_server::access::{Gate, Purpose};

use super::{ann, gate_with_secret, get, now, peer, request};

const HOST: &str = "push.example.com";

fn allowed() -> Gate {
    gate_with_secret(&[(
        "allow-origin",
        &["https://app.example.com", "https://*.apps.example.com"],
    )])
}

fn status(gate: &Gate, origin: Option<&str>, host: &str, more: &[(&str, &str)]) -> u16 {
    let mut headers = vec![("host", host)];
    headers.extend(origin.map(|origin| ("origin", origin)));
    headers.extend(more);
    let parts = get("/v1/ws", &headers);
    gate.admit(&parts, peer(), Purpose::Stream, now())
        .map_or_else(|p| p.status().as_u16(), |_| 200)
}

const MATRIX: [(Option<&str>, &str, u16); 27] = [
    (None, HOST, 200),
    (Some("https://push.example.com"), HOST, 200),
    (Some("http://push.example.com"), HOST, 200),
    (Some("HTTPS://PUSH.EXAMPLE.COM"), HOST, 200),
    (Some("https://push.example.com."), HOST, 200),
    (Some("https://push.example.com:443"), HOST, 200),
    (Some("https://push.example.com:8443"), HOST, 403),
    (
        Some("https://push.example.com:8443"),
        "push.example.com:8443",
        200,
    ),
    (
        Some("http://push.example.com:2355"),
        "push.example.com:2355",
        200,
    ),
    (Some("http://[::1]:2355"), "[::1]:2355", 200),
    (
        Some("https://push.example.com"),
        "push.example.com:2355",
        403,
    ),
    (Some("null"), HOST, 403),
    (Some("null"), "null", 403),
    (Some(""), HOST, 403),
    (Some("https://app.example.com"), HOST, 200),
    (Some("https://APP.example.com."), HOST, 200),
    (Some("https://app.example.com:8443"), HOST, 403),
    (Some("http://app.example.com"), HOST, 403),
    (Some("https://app.example.com.evil.net"), HOST, 403),
    (Some("https://evil.net/https://app.example.com"), HOST, 403),
    (Some("https://app.example.com@evil.net"), HOST, 403),
    (Some("https://a.apps.example.com"), HOST, 200),
    (Some("https://a.b.apps.example.com"), HOST, 200),
    (Some("https://apps.example.com"), HOST, 403),
    (Some("https://evilapps.example.com"), HOST, 403),
    (Some("http://localhost:3000"), HOST, 403),
    (Some("file://"), HOST, 403),
];

#[test]
fn the_matrix_holds_with_every_kind_of_credential() {
    let gate = allowed();
    let bearer = format!("Bearer {}", ann(""));
    let cookie = format!("bellwire_token={}", ann(""));
    for credential in [
        None,
        Some(("authorization", bearer.as_str())),
        Some(("cookie", &cookie)),
    ] {
        for (origin, host, expected) in MATRIX {
            let more: Vec<(&str, &str)> = credential.into_iter().collect();
            let found = status(&gate, origin, host, &more);
            assert_eq!(found, expected, "{origin:?} at {host} with {credential:?}");
        }
    }
}

#[test]
fn several_origins_or_hosts_are_foreign() {
    let gate = allowed();
    let app = "https://app.example.com";
    assert_eq!(status(&gate, Some(app), HOST, &[("origin", app)]), 403);
    let own = "https://push.example.com";
    assert_eq!(status(&gate, Some(own), HOST, &[("host", HOST)]), 403);
}

#[test]
fn changes_are_guarded_and_reads_give_nothing_away() {
    let gate = allowed();
    let headers = [("host", HOST), ("origin", "https://evil.net")];
    let post = request("POST", "/v1/publish", &headers);
    let problem = gate
        .admit(&post, peer(), Purpose::Change, now())
        .unwrap_err();
    assert_eq!(
        (problem.code.name, problem.check),
        ("origin_refused", Some("origin"))
    );
    let read = gate
        .admit(&get("/v1/channels", &headers), peer(), Purpose::Read, now())
        .unwrap();
    assert!(
        read.cors.iter().all(|(name, _)| name == "vary"),
        "{:?}",
        read.cors
    );
}

#[test]
fn answers_name_the_origin_and_never_a_star() {
    let gate = allowed();
    let headers = |origin| get("/v1/sse", &[("host", HOST), ("origin", origin)]);
    let find = |cors: &[(http::HeaderName, http::HeaderValue)], name: &str| {
        let found = cors.iter().find(|(known, _)| known == name);
        found.map(|(_, value)| value.to_str().unwrap().to_owned())
    };
    let cors = gate.cors(&headers("https://app.example.com"));
    assert_eq!(
        find(&cors, "access-control-allow-origin").unwrap(),
        "https://app.example.com"
    );
    assert_eq!(
        find(&cors, "access-control-allow-credentials").unwrap(),
        "true"
    );
    assert_eq!(find(&cors, "vary").unwrap(), "Origin");
    let cors = gate.preflight(&headers("https://app.example.com"));
    let allowed = find(&cors, "access-control-allow-headers").unwrap();
    assert_eq!(
        allowed,
        "authorization, content-type, idempotency-key, last-event-id"
    );
    let cors = gate.preflight(&headers("https://evil.net"));
    assert_eq!(cors.len(), 1, "only Vary: {cors:?}");
    let plain = gate.cors(&get("/v1/sse", &[("host", HOST)]));
    assert_eq!(find(&plain, "vary").unwrap(), "Origin");
}
