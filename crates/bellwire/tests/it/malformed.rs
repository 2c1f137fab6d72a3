//! Malformed input of every endpoint: an answer with problem+json that names field and fix.

use bellwire_testkit::{
    credentials,
    http::{Answer, Link, Request},
    process::Server,
};
use serde_json::{Value, json};

use crate::{dev, dev_with, handshakes::handshake, publish, secured};

/// Checks the form of a problem and gives it.
pub(crate) fn problem(answer: &Answer) -> Value {
    assert_eq!(
        answer.header("content-type"),
        Some("application/problem+json"),
        "{answer:?}"
    );
    let problem = answer.json();
    assert_eq!(problem["status"], answer.status());
    let code = problem["code"].as_str().unwrap();
    assert_eq!(problem["type"], format!("urn:bellwire:error:{code}"));
    assert!(problem["title"].as_str().unwrap().len() > 8, "{problem}");
    assert!(problem["detail"].as_str().unwrap().len() > 8, "{problem}");
    problem
}

/// Sends a request that is to be refused.
pub(crate) fn refused(
    server: &Server,
    request: &Request,
    status: u16,
    code: &str,
    field: Option<&str>,
) {
    let answer = request.send(server.address());
    assert_eq!(answer.status(), status, "{request:?}: {}", answer.text());
    let problem = problem(&answer);
    assert_eq!(problem["code"], code, "{request:?}: {problem}");
    assert_eq!(problem["field"].as_str(), field, "{request:?}: {problem}");
}

#[test]
fn a_publish_names_the_field_that_is_wrong() {
    let server = dev();
    let check = |body: &str, field: &str| {
        let request = Request::post("/v1/publish", body);
        refused(&server, &request, 400, "invalid", Some(field));
    };
    check("", "body");
    check("not JSON", "body");
    check("{\"channel\":\"a\",\"data\":1", "body");
    check("[{\"channel\":\"a\",\"data\":1}", "body");
    check("[1", "body");
    check("\"text\"", "body");
    check("{\"channel\":\"a\",\"data\":1,\"extra\":2}", "body");
    check("{\"channel\":7,\"data\":1}", "body");
    check("{\"data\":1}", "channel");
    check("{\"channel\":\"\",\"data\":1}", "channel");
    check("{\"channel\":\"with space\",\"data\":1}", "channel");
    check("{\"channel\":\"über\",\"data\":1}", "channel");
    check("{\"channel\":\"-first\",\"data\":1}", "channel");
    check("{\"channel\":\"@me\",\"data\":1}", "channel");
    check("{\"channel\":\"@a%2fb\",\"data\":1}", "channel");
    check(
        &format!("{{\"channel\":\"{}\",\"data\":1}}", "x".repeat(201)),
        "channel",
    );
    check("{\"channel\":\"a\"}", "data");
    check("{\"channel\":\"a\",\"data\":1,\"base64\":\"AA==\"}", "data");
    check("{\"channel\":\"a\",\"base64\":\"A\"}", "base64");
    check("{\"channel\":\"a\",\"base64\":\"AA\"}", "base64");
    check(
        "{\"channel\":\"a\",\"data\":1,\"event\":\"no space\"}",
        "event",
    );
    check("{\"channel\":\"a\",\"data\":1,\"event\":\"\"}", "event");
    check(
        &format!(
            "{{\"channel\":\"a\",\"data\":1,\"event\":\"{}\"}}",
            "e".repeat(65)
        ),
        "event",
    );
    check(
        "{\"channel\":\"a\",\"data\":1,\"idempotency_key\":\"\"}",
        "idempotency_key",
    );
    let key = "k".repeat(129);
    check(
        &format!("{{\"channel\":\"a\",\"data\":1,\"idempotency_key\":\"{key}\"}}"),
        "idempotency_key",
    );
    for reserved in [
        "hello",
        "gap",
        "bye",
        "status",
        "presence",
        "denied",
        "heartbeat",
        "error",
        "open",
        "message",
    ] {
        check(
            &format!("{{\"channel\":\"a\",\"data\":1,\"event\":\"{reserved}\"}}"),
            "event",
        );
        let raw = Request::post(&format!("/v1/channels/a?event={reserved}"), "1");
        refused(&server, &raw, 400, "invalid", Some("event"));
    }
}

#[test]
fn names_in_paths_are_checked() {
    let server = dev();
    for name in ["with%20space", "%C3%BC", "-first", "@me", "a%2Fb", "@a%2Fb"] {
        let request = Request::post(&format!("/v1/channels/{name}"), "1");
        refused(&server, &request, 400, "invalid", Some("channel"));
        let request = Request::get(&format!("/v1/channels/{name}/history"));
        refused(&server, &request, 400, "invalid", Some("channel"));
    }
    for name in ["%ff", "%zz", "%4"] {
        let request = Request::post(&format!("/v1/channels/{name}"), "1");
        refused(&server, &request, 400, "invalid", Some("channel"));
        let request = Request::post(&format!("/v1/users/{name}"), "1");
        refused(&server, &request, 400, "invalid", Some("user"));
    }
    let long = Request::post(&format!("/v1/users/{}", "u".repeat(65)), "1");
    refused(&server, &long, 400, "invalid", Some("user"));
    let connection = Request::new("DELETE", "/v1/connections/!");
    refused(&server, &connection, 400, "invalid", Some("connection"));
}

#[test]
fn what_is_too_large_is_refused() {
    let server = dev_with(&[
        "--limits-max-message-bytes",
        "1KiB",
        "--limits-max-body-bytes",
        "8KiB",
        "--limits-max-batch",
        "10",
    ]);
    let text = "x".repeat(2_000);
    let item = json!({"channel": "a", "data": text}).to_string();
    refused(
        &server,
        &Request::post("/v1/publish", item),
        413,
        "too_large",
        Some("data"),
    );
    let raw = Request::post("/v1/channels/a", text.as_str());
    refused(&server, &raw, 413, "too_large", Some("data"));
    let user = Request::post("/v1/users/ann", text.as_str());
    refused(&server, &user, 413, "too_large", Some("data"));
    let body = "x".repeat(20_000);
    for path in [
        "/v1/publish",
        "/v1/channels/a",
        "/v1/users/ann",
        "/v1/sse",
        "/v1/poll",
    ] {
        let request = Request::post(path, body.as_str());
        refused(&server, &request, 413, "too_large", Some("body"));
    }
    let batch: Vec<_> = (0..11)
        .map(|n| json!({"channel": "a", "data": n}))
        .collect();
    let batch = Request::post("/v1/publish", json!(batch).to_string());
    refused(&server, &batch, 413, "too_large", Some("body"));
    // Exactly what is allowed.
    let text = "x".repeat(1_024 - 2);
    publish(&server, "a", &text.into());
    let batch: Vec<_> = (0..10)
        .map(|n| json!({"channel": "a", "data": n}))
        .collect();
    let answer = Request::post("/v1/publish", json!(batch).to_string()).send(server.address());
    assert_eq!(answer.json().as_array().unwrap().len(), 10);
}

#[test]
fn a_head_that_is_too_large_is_refused() {
    let server = dev();
    let request = Request::get("/livez").header("x-filler", &"x".repeat(20_000));
    let answer = request.send(server.address());
    assert_eq!(answer.status(), 431);
    let mut link = Link::connect(server.address());
    link.send_bytes(b"NOT HTTP\r\n\r\n");
    assert_eq!(link.answer().status(), 400);
}

#[test]
fn a_failed_item_does_not_stop_later_ones() {
    let server = dev();
    let good = json!({"channel": "a", "data": 1});
    let bad = json!({"channel": "no good", "data": 1});
    let body = json!([good, bad, {"channel": "a"}, good]).to_string();
    let answer = Request::post("/v1/publish", body).send(server.address());
    assert_eq!(answer.status(), 200);
    let items = answer.json();
    assert!(
        items[0]["id"].is_string() && items[3]["id"].is_string(),
        "{items}"
    );
    assert_eq!(items[1]["error"]["status"], 400);
    assert_eq!(items[1]["error"]["code"], "invalid");
    assert_eq!(items[1]["error"]["field"], "channel");
    assert_eq!(items[2]["error"]["field"], "data");

    let lines = format!("{good}\n{bad}\n{good}\n");
    let answer = Request::post("/v1/publish", lines).send(server.address());
    assert_eq!(answer.header("content-type"), Some("application/x-ndjson"));
    let text = answer.text();
    let items: Vec<Value> = text
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(items.len(), 3);
    assert_eq!(items[1]["error"]["field"], "channel");
    assert!(items[2]["id"].is_string());
}

#[test]
fn a_key_used_for_other_bytes_is_a_conflict() {
    let server = dev();
    let send = |data: &str, key: &str| {
        let request = Request::post("/v1/channels/a", data).header("idempotency-key", key);
        request.send(server.address())
    };
    let first = send("1", "k").json();
    let again = send("1", "k").json();
    assert_eq!(again["id"], first["id"]);
    assert_eq!(
        (&first["duplicate"], &again["duplicate"]),
        (&json!(false), &json!(true))
    );
    let other = send("2", "k");
    assert_eq!(other.status(), 409);
    let problem = problem(&other);
    assert_eq!(problem["code"], "idempotency_mismatch");
    assert_eq!(problem["field"], "idempotency_key");
}

#[test]
fn a_wrong_method_is_answered_with_the_right_ones() {
    let server = dev();
    for (path, allowed) in [
        ("/v1/sse", "GET, POST"),
        ("/v1/poll", "GET, POST"),
        ("/v1/ws", "GET"),
        ("/v1/echo", "GET"),
        ("/v1/publish", "POST"),
        ("/v1/channels", "GET"),
        ("/v1/channels/a", "POST"),
        ("/v1/channels/a/history", "GET"),
        ("/v1/users/ann", "POST"),
        ("/v1/users/ann/connections", "DELETE"),
        ("/v1/connections", "GET"),
        ("/livez", "GET"),
        ("/readyz", "GET"),
        ("/metrics", "GET"),
        ("/openapi.json", "GET"),
        ("/", "GET"),
    ] {
        let request = Request::new("PUT", path).body("");
        let answer = request.send(server.address());
        assert_eq!(answer.status(), 405, "{path}: {}", answer.text());
        assert_eq!(answer.header("allow"), Some(allowed), "{path}");
        assert_eq!(problem(&answer)["code"], "method_not_allowed");
    }
    for path in [
        "/v2/sse",
        "/v1",
        "/v1/",
        "/v1/sse/",
        "/v1/channels/",
        "/console",
    ] {
        let answer = Request::get(path).send(server.address());
        assert_eq!(answer.status() / 100, 4, "{path}: {}", answer.text());
        problem(&answer);
    }
    refused(&server, &Request::get("/nothing"), 404, "not_found", None);
}

#[test]
fn parameters_of_streams_and_listings_are_checked() {
    let server = dev();
    let check = |target: &str, field: &str| {
        refused(&server, &Request::get(target), 400, "invalid", Some(field));
    };
    for path in ["/v1/sse", "/v1/poll"] {
        check(path, "channel");
        check(&format!("{path}?channel="), "channel");
        check(&format!("{path}?channel=a%20b"), "channel");
        check(&format!("{path}?channel=a&named=perhaps"), "named");
        check(&format!("{path}?channel=a&ids=all"), "ids");
        check(&format!("{path}?channel=a&format=xml"), "format");
        check(&format!("{path}?channel=a&heartbeat=loud"), "heartbeat");
        let many: Vec<String> = (0..129).map(|n| format!("channel=c{n}")).collect();
        let many = Request::get(&format!("{path}?{}", many.join("&")));
        refused(&server, &many, 429, "limit", Some("channel"));
        for body in [
            "{",
            "[]",
            "{\"channels\":\"a\"}",
            "{\"channels\":[1]}",
            "{\"other\":1}",
        ] {
            refused(
                &server,
                &Request::post(path, body),
                400,
                "invalid",
                Some("body"),
            );
        }
    }
    check("/v1/poll?channel=a&timeout=61", "timeout");
    check("/v1/poll?channel=a&timeout=-1", "timeout");
    check("/v1/poll?channel=a&timeout=1.5", "timeout");
    check("/v1/poll?channel=a&timeout=", "timeout");
    let post = Request::post("/v1/poll", r#"{"channels":["a"],"limit":1001}"#);
    refused(&server, &post, 400, "invalid", Some("limit"));
    for path in [
        "/v1/poll?channel=a&",
        "/v1/channels?",
        "/v1/channels/a/history?",
        "/v1/connections?",
    ] {
        for limit in ["0", "1001", "-1", "many", ""] {
            check(&format!("{path}limit={limit}"), "limit");
        }
    }
    check("/v1/channels/a/history?order=up", "order");
    check("/v1/connections?channel=a%20b", "channel");
}

#[test]
fn a_bad_cursor_is_an_error_of_history_alone() {
    let server = dev();
    let id = publish(&server, "a", &1.into());
    let foreign = publish(&server, "b", &1.into());
    for cursor in [
        "garbage",
        "%00",
        "..",
        &foreign,
        &"x".repeat(5_000),
        &format!("{id}x"),
    ] {
        let history = Request::get(&format!("/v1/channels/a/history?cursor={cursor}"));
        refused(&server, &history, 400, "invalid", Some("cursor"));
        let poll = Request::get(&format!("/v1/poll?channel=a&cursor={cursor}"));
        let answer = poll.send(server.address());
        assert_eq!(answer.status(), 200, "{cursor}");
        assert_eq!(
            answer.json()["gaps"][0]["reason"],
            "position_unknown",
            "{cursor}"
        );
        let mut link = Link::connect(server.address());
        link.send(&Request::get(&format!("/v1/sse?channel=a&cursor={cursor}")));
        assert_eq!(link.head().status, 200, "{cursor}");
        let mut link = Link::connect(server.address());
        link.send(&handshake(
            &format!("/v1/ws?channel=a&cursor={cursor}"),
            &[],
        ));
        assert_eq!(link.head().status, 101, "{cursor}");
    }
    let mut link = Link::connect(server.address());
    link.send_bytes(
        b"GET /v1/sse?channel=a HTTP/1.1\r\nHost: localhost\r\nLast-Event-ID: \xff\xfe\r\n\r\n",
    );
    assert_eq!(link.head().status, 200);
    for word in ["earliest", "latest"] {
        let target = format!("/v1/channels/a/history?cursor={word}");
        assert_eq!(Request::get(&target).send(server.address()).status(), 200);
    }
}

#[test]
fn missing_and_forged_credentials_are_refused_everywhere() {
    let secured = secured(&[]);
    let forged = credentials::signed(
        &json!({"sub": "ann", "exp": credentials::now_seconds() + 60, "bellwire": {"subscribe": ["*"]}}),
        "another secret",
    );
    let expired = credentials::token_of(&json!({"sub": "ann", "exp": 1_000_000}));
    let unknown_key = "bw_unknown1_abcdefghabcdefghabcdefghabcdefgh";
    let requests = [
        Request::get("/v1/sse?channel=a"),
        Request::post("/v1/sse", r#"{"channels":["a"]}"#),
        Request::get("/v1/poll?channel=a"),
        Request::post("/v1/poll", r#"{"channels":["a"]}"#),
        Request::post("/v1/publish", r#"{"channel":"a","data":1}"#),
        Request::post("/v1/channels/a", "1"),
        Request::post("/v1/users/ann", "1"),
        Request::get("/v1/channels"),
        Request::get("/v1/channels/a/history"),
    ];
    for request in &requests {
        refused_for(&secured.server, request, "unauthorized");
        let bearer = |token: &str| request.clone().bearer(Some(token));
        refused_for(&secured.server, &bearer(&forged), "token_invalid");
        refused_for(&secured.server, &bearer("not.a.token"), "token_invalid");
        refused_for(&secured.server, &bearer(&expired), "token_expired");
        refused_for(&secured.server, &bearer(unknown_key), "key_invalid");
    }
    let upgrade = handshake("/v1/ws?channel=a", &[]);
    for (token, code) in [
        (forged.as_str(), "token_invalid"),
        (&expired, "token_expired"),
    ] {
        refused_for(&secured.server, &upgrade.clone().bearer(Some(token)), code);
        let in_query = handshake(&format!("/v1/ws?channel=a&token={token}"), &[]);
        refused_for(&secured.server, &in_query, code);
    }
}

/// A refusal with 401 that says how to authenticate and names the failing check.
fn refused_for(server: &Server, request: &Request, code: &str) {
    let answer = request.send(server.address());
    assert_eq!(answer.status(), 401, "{request:?}: {}", answer.text());
    assert_eq!(answer.header("www-authenticate"), Some("Bearer"));
    let problem = problem(&answer);
    assert_eq!(problem["code"], code, "{request:?}: {problem}");
    assert!(problem["check"].is_string(), "{request:?}: {problem}");
}
