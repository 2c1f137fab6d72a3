//! Where credentials are looked for, and in which order.

use bellwire_server::access::{Purpose, redacted};

use super::{NOW_S, ann, gate_with_secret, get, hs256, now, peer, request};

fn user_token(user: &str) -> String {
    hs256(&format!(r#"{{"sub":"{user}","exp":{}}}"#, NOW_S + 60))
}

fn user(parts: &http::request::Parts, purpose: Purpose) -> Result<Option<String>, &'static str> {
    let admitted = gate_with_secret(&[]).admit(parts, peer(), purpose, now());
    admitted
        .map(|a| a.access.user().map(ToString::to_string))
        .map_err(|p| p.check.unwrap())
}

#[test]
fn the_header_goes_before_the_cookie_and_the_cookie_before_the_address() {
    let header = format!("bEaReR  {}", user_token("header"));
    let cookie = format!("a=b; bellwire_token={}; c=d", user_token("cookie"));
    let uri = format!("/v1/sse?channel=a&token={}", user_token("address"));
    let all = [
        ("authorization", header.as_str()),
        ("cookie", cookie.as_str()),
    ];
    assert_eq!(
        user(&get(&uri, &all), Purpose::Stream),
        Ok(Some("header".to_owned()))
    );
    assert_eq!(
        user(&get(&uri, &all[1..]), Purpose::Stream),
        Ok(Some("cookie".to_owned()))
    );
    assert_eq!(
        user(&get(&uri, &[]), Purpose::Stream),
        Ok(Some("address".to_owned()))
    );
    assert_eq!(user(&get("/v1/sse", &[]), Purpose::Stream), Ok(None));
}

#[test]
fn the_address_counts_only_for_streams_that_are_got() {
    let uri = format!("/v1/x?token={}", ann(""));
    for (method, purpose) in [
        ("POST", Purpose::Stream),
        ("POST", Purpose::Change),
        ("GET", Purpose::Change),
        ("GET", Purpose::Read),
        ("GET", Purpose::Page),
    ] {
        assert_eq!(
            user(&request(method, &uri, &[]), purpose),
            Ok(None),
            "{method} {purpose:?}"
        );
    }
}

#[test]
fn a_bad_credential_is_never_passed_over() {
    let good = format!("bellwire_token={}", ann(""));
    let bad = [("authorization", "Bearer x.y.z"), ("cookie", good.as_str())];
    assert_eq!(
        user(&get("/v1/sse", &bad), Purpose::Stream),
        Err("token.malformed")
    );
    let uri = format!("/v1/sse?token={}", ann(""));
    let cookie = [("cookie", "bellwire_token=bad")];
    assert_eq!(
        user(&get(&uri, &cookie), Purpose::Stream),
        Err("token.malformed")
    );
    assert_eq!(
        user(&get("/v1/sse?token=", &[]), Purpose::Stream),
        Err("token.malformed")
    );
    let bearer = format!("Bearer {}", ann(""));
    let twice = [
        ("authorization", bearer.as_str()),
        ("authorization", &bearer),
    ];
    assert_eq!(
        user(&get("/v1/sse", &twice), Purpose::Stream),
        Err("token.malformed")
    );
}

#[test]
fn other_schemes_and_emptied_cookies_are_no_credentials() {
    let headers = [
        ("authorization", "Basic dTpw"),
        ("cookie", "bellwire_token=; x"),
    ];
    assert_eq!(user(&get("/v1/sse", &headers), Purpose::Stream), Ok(None));
}

#[test]
fn an_escaped_token_in_the_address_is_decoded() {
    let uri = format!("/v1/sse?token={}", ann("").replace('.', "%2E"));
    assert_eq!(
        user(&get(&uri, &[]), Purpose::Stream),
        Ok(Some("ann".to_owned()))
    );
}

#[test]
fn a_refusal_is_a_401_that_names_the_check_and_not_the_token() {
    let token = format!("{}x", ann(""));
    let parts = get("/v1/sse", &[("authorization", &format!("Bearer {token}"))]);
    let gate = gate_with_secret(&[]);
    let problem = gate
        .admit(&parts, peer(), Purpose::Stream, now())
        .unwrap_err();
    let response = problem.response();
    assert_eq!(response.status(), 401);
    assert_eq!(response.headers()["www-authenticate"], "Bearer");
    let body = String::from_utf8(response.into_body()).unwrap();
    assert!(
        body.contains("token.signature") && !body.contains(&token),
        "{body}"
    );
}

#[test]
fn logged_addresses_hide_what_is_secret() {
    let uri = "/v1/sse?channel=a&token=T&grant=G&key=K&cursor=C&tokens"
        .parse()
        .unwrap();
    assert_eq!(
        redacted(&uri),
        "/v1/sse?channel=a&token=***&grant=***&key=***&cursor=C&tokens"
    );
}
