//! Line ends, NULs and control characters in every name: refused or encoded, and never raw in the
//! log or the metrics.

use bellwire_testkit::{
    credentials,
    http::{Link, Request, percent_encoded},
    process::Server,
    raw::{Stream as _, WebSocket, Wish},
};
use serde_json::json;

use crate::{binary, dev, malformed::problem, secured};

/// What ends a line, a field, a string or a terminal's patience.
const HOSTILE: [&str; 10] = [
    "a\rb",
    "a\nb",
    "a\r\nb: c",
    "a\0b",
    "a\u{1b}[2Jb",
    "a\u{7f}b",
    "a\u{2028}b",
    "a\u{202e}b",
    "a\"b",
    "a\u{430}b",
];

#[test]
fn no_name_takes_a_character_that_could_mean_something_else() {
    let server = dev();
    for word in HOSTILE {
        for field in ["channel", "event", "user"] {
            let mut item = json!({"channel": "a", "data": 1, "event": "e"});
            item[field] = word.into();
            let answer = Request::post("/v1/publish", item.to_string()).send(server.address());
            if field == "user" && answer.status() == 200 {
                continue;
            }
            assert_eq!(answer.status(), 400, "{field} {word:?}: {}", answer.text());
            assert_eq!(problem(&answer)["field"], field);
        }
        let encoded = percent_encoded(word);
        for target in [
            format!("/v1/channels/{encoded}"),
            format!("/v1/channels/a?event={encoded}"),
        ] {
            let answer = Request::post(&target, "1").send(server.address());
            assert_eq!(answer.status(), 400, "{target}: {}", answer.text());
        }
        for path in ["sse", "poll", "channels/a/history"] {
            let target = format!("/v1/{path}?channel={encoded}&cursor={encoded}");
            assert_eq!(
                Request::get(&target).send(server.address()).status(),
                400,
                "{target}"
            );
        }
        let mut socket = WebSocket::open(server.address(), &Wish::default()).unwrap();
        let reply = socket.ask(&json!({"req": 1, "subscribe": {"channel": word}}));
        assert_eq!(reply["error"]["code"], "invalid", "{word:?}");
    }
}

#[test]
fn a_user_of_any_characters_arrives_as_one_line_with_the_same_user() {
    let server = dev();
    let mut events = bellwire_testkit::raw::Sse::open(server.address(), &Wish::to(["a"])).unwrap();
    events.hello();
    for word in HOSTILE {
        let item = json!({"channel": "a", "data": 1, "user": word});
        let answer = Request::post("/v1/publish", item.to_string()).send(server.address());
        if answer.status() == 200 {
            assert_eq!(events.message()["user"], word);
        } else {
            assert_eq!(problem(&answer)["field"], "user", "{word:?}");
        }
    }
}

/// Everything that a stranger can write somewhere, in one go.
fn shout(server: &Server) {
    let evil = "evil\u{1b}[31m\r\nFAKE 2026 WARN line {\"level\":\"ERROR\"}\u{7}";
    let encoded = percent_encoded(evil);
    for target in [
        format!("/{encoded}"),
        format!("/v1/channels/{encoded}"),
        format!("/v1/sse?channel={encoded}&cursor={encoded}&fallback={encoded}"),
        format!("/v1/poll?channel=a&timeout=0&token={encoded}&fallback={encoded}"),
        format!("/v1/connections?user={encoded}&channel={encoded}"),
    ] {
        for method in ["GET", "POST", "DELETE"] {
            let request = Request::new(method, &target)
                .header("user-agent", "evil\u{9b}31m\tagent")
                .header("referer", "evil\u{85}FAKE")
                .header("origin", "evil\u{9b}FAKE");
            drop(request.send(server.address()));
        }
    }
    let mut raw = Link::connect(server.address());
    raw.send_bytes(b"GET /evil\x1b[31m HTTP/1.1\r\nHost: evil\x1b[31m\r\n\r\n");
    drop(raw.answer());
    let token = credentials::token("ann", &json!({"subscribe": ["*"]}));
    let wish = Wish::default().with_token(token);
    let mut socket = WebSocket::open(server.address(), &wish).unwrap();
    socket.ask(&json!({"req": 1, "subscribe": {"channel": evil}}));
    socket.ask(&json!({"req": 2, "auth": {"token": evil}}));
    socket.close(4999, "evil\u{1b}[31m\nFAKE");
}

#[test]
fn no_control_character_of_a_stranger_reaches_the_log() {
    for format in ["text", "json"] {
        let secured = secured(&["--log-level", "trace", "--log-format", format]);
        shout(&secured.server);
        secured.server.terminate();
        secured.server.await_log("draining");
        let log = secured.server.log();
        let (_, lines) = log.split_once("  ceilings ").expect("the introduction");
        for line in lines.lines().skip(1) {
            let control = line.chars().find(|c| c.is_control() && *c != '\t');
            assert_eq!(control, None, "{line:?}");
            assert!(!line.starts_with("FAKE"), "{line:?}");
            if format == "json" {
                let line: serde_json::Value = serde_json::from_str(line).unwrap();
                assert!(line["level"].is_string());
            }
        }
        assert!(lines.contains("evil"), "nothing was put to the test");
    }
}

#[test]
fn no_word_of_a_stranger_reaches_the_metrics() {
    let secured = secured(&[]);
    shout(&secured.server);
    let evil = percent_encoded("evil\"} 1\nevil_metric 1");
    let reason = format!("/v1/poll?channel=a&fallback={evil}");
    assert_eq!(
        Request::get(&reason)
            .send(secured.server.address())
            .status(),
        401
    );
    let metrics = Request::get("/metrics").send(secured.server.admin()).text();
    assert!(metrics.contains("bellwire_requests_refused_total"));
    assert!(!metrics.contains("evil"), "{metrics}");
    let told = "bellwire_client_fallbacks_total{reason=\"other\"} 0";
    assert!(!metrics.contains(told), "nothing was put to the test");
}

#[test]
fn a_configuration_with_control_characters_is_shown_escaped() {
    let mut process = binary().args(["--listen", "evil\u{1b}[31m\nFAKE"]).spawn();
    assert!(!process.wait(bellwire_testkit::wait::SOON).success());
    assert!(!process.log().contains('\u{1b}'), "{:?}", process.log());
}
