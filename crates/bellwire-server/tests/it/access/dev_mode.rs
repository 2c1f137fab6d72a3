//! Development mode: open, but to this machine only.

use bellwire_core::access::Bearer;
use bellwire_server::{
    access::{Gate, Policy, Purpose},
    problem::Problem,
};

use super::{ann, config, gate_with_secret, get, now, peer, request};

fn check(gate: &Gate, headers: &[(&str, &str)]) -> Result<Bearer, &'static str> {
    let admitted = gate.admit(&get("/v1/sse", headers), peer(), Purpose::Stream, now());
    admitted
        .map(|a| a.access.bearer().clone())
        .map_err(|problem| problem.check.unwrap())
}

#[test]
fn everybody_on_this_machine_may_do_everything() {
    let gate = gate_with_secret(&[("dev", &["true"])]);
    for host in [
        "localhost:2355",
        "localhost",
        "LOCALHOST.:2355",
        "app.localhost:80",
        "127.0.0.1:2355",
        "127.8.9.10",
        "[::1]:2355",
    ] {
        assert_eq!(check(&gate, &[("host", host)]), Ok(Bearer::Dev), "{host}");
    }
}

#[test]
fn other_hosts_are_refused_as_dns_rebinding() {
    let gate = gate_with_secret(&[("dev", &["true"])]);
    for host in [
        "evil.net",
        "localhost.evil.net",
        "evillocalhost",
        ".localhost",
        "127.0.0.1.nip.io",
        "127.1",
        "0.0.0.0:2355",
        "192.168.1.5:2355",
        "[::]:2355",
        "localhost:port",
        "",
    ] {
        assert_eq!(check(&gate, &[("host", host)]), Err("dev.host"), "{host}");
    }
    assert_eq!(check(&gate, &[]), Err("dev.host"));
    let elsewhere = ([192, 168, 1, 5], 4_000).into();
    let parts = get("/v1/sse", &[("host", "localhost")]);
    let problem = gate
        .admit(&parts, elsewhere, Purpose::Stream, now())
        .unwrap_err();
    assert_eq!(
        (problem.code.name, problem.check),
        ("host_refused", Some("dev.peer"))
    );
}

#[test]
fn what_a_proxy_passed_on_is_refused() {
    for mode in ["dev", "dev-public"] {
        let gate = gate_with_secret(&[(mode, &["true"])]);
        for header in [
            "forwarded",
            "x-forwarded-for",
            "x-forwarded-proto",
            "x-forwarded-ssl",
            "x-real-ip",
            "via",
        ] {
            let headers = [("host", "localhost:2355"), (header, "x")];
            assert_eq!(
                check(&gate, &headers),
                Err("dev.forwarded"),
                "{mode} {header}"
            );
        }
    }
}

#[test]
fn pages_on_this_machine_may_connect_and_others_not() {
    let gate = gate_with_secret(&[("dev", &["true"])]);
    let with = |origin| check(&gate, &[("host", "localhost:2355"), ("origin", origin)]);
    for origin in [
        "http://localhost:3000",
        "http://127.0.0.1:5173",
        "https://app.localhost",
        "http://[::1]:1",
    ] {
        assert_eq!(with(origin), Ok(Bearer::Dev), "{origin}");
    }
    for origin in [
        "https://evil.net",
        "null",
        "http://localhost.evil.net",
        "http://192.168.1.5",
    ] {
        assert_eq!(with(origin), Err("origin"), "{origin}");
    }
}

#[test]
fn a_bad_credential_is_refused_and_a_good_one_counts() {
    let gate = gate_with_secret(&[("dev", &["true"])]);
    let with = |token: &str| {
        check(
            &gate,
            &[
                ("host", "localhost"),
                ("authorization", &format!("Bearer {token}")),
            ],
        )
    };
    assert_eq!(with("nonsense"), Err("token.malformed"));
    assert_eq!(with(""), Err("token.malformed"));
    assert!(matches!(with(&ann("")), Ok(Bearer::User { .. })));
}

fn public_gate() -> (Gate, String) {
    let policy = Policy::new(&config(&[
        ("dev-public", &["true"]),
        ("listen", &["0.0.0.0:2355"]),
    ]));
    let policy = policy.unwrap();
    let key = policy.dev_key().unwrap().text().to_owned();
    (Gate::new(policy), key)
}

#[test]
fn the_public_mode_asks_for_its_key_from_anywhere() {
    let (gate, key) = public_gate();
    let phone = ([192, 168, 1, 9], 4_000).into();
    let ask = |uri: &str, purpose, headers: &[(&str, &str)]| -> Result<_, Problem> {
        let mut all = vec![("host", "192.168.1.5:2355")];
        all.extend(headers);
        gate.admit(&get(uri, &all), phone, purpose, now())
    };
    let anonymous = ask("/v1/sse", Purpose::Stream, &[]).unwrap();
    assert!(anonymous.access.is_anonymous(), "no rights without the key");
    assert_eq!(
        ask("/", Purpose::Page, &[]).unwrap_err().check,
        Some("dev.key")
    );
    let bad = ask("/?key=dev_wrong", Purpose::Page, &[]).unwrap_err();
    assert_eq!((bad.code.name, bad.check), ("key_invalid", Some("dev.key")));

    let page = ask(&format!("/?key={key}"), Purpose::Page, &[]).unwrap();
    let cookie = page.set_cookie.unwrap().to_str().unwrap().to_owned();
    assert!(
        cookie.ends_with("; Path=/; HttpOnly; SameSite=Strict"),
        "{cookie}"
    );
    let pair = cookie.split(';').next().unwrap();
    let bearer = format!("Bearer {key}");
    for header in [("cookie", pair), ("authorization", bearer.as_str())] {
        let admitted = ask("/v1/sse", Purpose::Stream, &[header]).unwrap();
        assert_eq!(*admitted.access.bearer(), Bearer::Dev);
    }
    let foreign = [("cookie", pair), ("origin", "https://evil.net")];
    assert_eq!(
        ask("/v1/sse", Purpose::Stream, &foreign).unwrap_err().check,
        Some("origin")
    );
    assert!(
        ask(&format!("/v1/sse?key={key}"), Purpose::Stream, &[])
            .unwrap()
            .access
            .is_anonymous()
    );
}

#[test]
fn probes_answer_whoever_asks() {
    let gate = gate_with_secret(&[("dev", &["true"])]);
    let parts = request(
        "GET",
        "/livez",
        &[("host", "10.0.0.7:2355"), ("via", "1.1 lb")],
    );
    assert!(gate.admit(&parts, peer(), Purpose::Public, now()).is_ok());
}
