//! Leaving (D11): a steady rate within the window, a last word for everybody, never an error to
//! an EventSource.

use std::{
    net::TcpStream,
    time::{Duration, Instant},
};

use bellwire_testkit::{
    credentials,
    http::{Link, Request},
    process::raise_descriptor_limit,
    raw::{Crowd, Item, Stream, Transport, Wish},
    wait::{self, SOON},
};
use serde_json::json;

use crate::{Secured, say, secured};

const CLIENTS: usize = 2_000;
const DELAY: Duration = Duration::from_millis(500);
const WINDOW: Duration = Duration::from_secs(4);
/// How often the server moves some away.
const STEP: Duration = Duration::from_millis(100);

fn draining_in(delay: &str, window: &str) -> Secured {
    secured(&["--drain-delay", delay, "--drain-window", window])
}

fn token() -> String {
    credentials::token("ann", &json!({"subscribe": ["*"]}))
}

fn open(secured: &Secured, transport: Transport, wish: Wish) -> Box<dyn Stream> {
    transport.open(secured.server.address(), &wish.with_token(token()))
}

/// Opens many streams of all transports; hello has come on each.
fn crowd(secured: &Secured, cursor: &str) -> Crowd {
    let token = token();
    let upgrade = Request::get("/v1/ws?channel=news")
        .header("connection", "Upgrade")
        .header("upgrade", "websocket")
        .header("sec-websocket-version", "13")
        .header("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ==");
    let poll = format!("/v1/poll?channel=news&timeout=60&cursor={cursor}");
    let requests = [
        Request::get("/v1/sse?channel=news"),
        upgrade,
        Request::get(&poll),
    ]
    .map(|request| request.bearer(Some(&token)));
    raise_descriptor_limit();
    let mut crowd = Crowd::default();
    for nth in 0..CLIENTS {
        let mut link = Link::connect(secured.server.address());
        link.send(&requests[nth % 3]);
        crowd.add(link);
    }
    let greeted = crowd.read_until(SOON, |crowd| {
        let members = crowd.members().iter().enumerate();
        members
            .filter(|(nth, _)| nth % 3 != 2)
            .all(|(_, member)| member.has("\"heartbeat_ms\""))
    });
    assert!(greeted, "every stream says hello");
    wait::until("all polls to be held", || sessions(secured) == CLIENTS);
    crowd
}

/// Open sessions.
fn sessions(secured: &Secured) -> usize {
    let mut after = String::new();
    let mut count = 0;
    loop {
        let path = format!("/v1/connections?limit=1000&after={after}");
        let request = Request::get(&path).bearer(Some(&secured.key.text));
        let listing = request.send(secured.server.admin()).json();
        count += listing["connections"].as_array().map_or(0, Vec::len);
        match listing["after"].as_str() {
            Some(next) => next.clone_into(&mut after),
            None => return count,
        }
    }
}

#[test]
fn two_thousand_clients_leave_one_after_the_other() {
    let _turn = crate::heavy();
    let mut secured = draining_in("500ms", "4s");
    let id = secured.publish("news", &0.into());
    let mut crowd = crowd(&secured, &id);
    let start = Instant::now();
    secured.server.terminate();
    let all_left = crowd.read_until(DELAY + WINDOW + SOON, |crowd| {
        // A close frame is to be answered; closing the connection will do.
        let members = crowd.members_mut().iter_mut().skip(1).step_by(3);
        for member in members.filter(|member| member.ended.is_none()) {
            if member.received.windows(4).any(is_close_1012) {
                member.leave();
            }
        }
        crowd.open() == 0
    });
    assert!(all_left, "{} stay", crowd.open());
    let status = secured.server.process().wait(SOON);
    assert_eq!(status.code(), Some(0));
    for (nth, member) in crowd.members().iter().enumerate() {
        check_last_words(Transport::ALL[nth % 3], &member.received);
    }
    check_turns(&crowd, start);
}

fn check_last_words(transport: Transport, received: &[u8]) {
    let text = String::from_utf8_lossy(received);
    match transport {
        Transport::Sse => {
            assert!(text.starts_with("HTTP/1.1 200 "), "{text}");
            let (_, bye) = text
                .split_once("event: bye")
                .unwrap_or_else(|| panic!("{text}"));
            assert!(
                text.matches("retry: ").count() == 2,
                "told when to come back: {text}"
            );
            assert!(bye.contains("\"code\":\"drain\"") && bye.contains("\"reconnect\":true"));
            assert!(text.ends_with("0\r\n\r\n"), "an orderly end: {text}");
        }
        Transport::WebSocket => {
            assert!(text.contains("{\"bye\":{\"code\":\"drain\""), "{text}");
            assert!(received.windows(4).any(is_close_1012), "{text}");
        }
        Transport::Poll => {
            assert!(text.starts_with("HTTP/1.1 200 "), "{text}");
            assert!(text.contains("connection: close"), "{text}");
            assert!(text.contains("\"messages\":[]"), "{text}");
        }
    }
}

/// A close frame with the code for draining.
fn is_close_1012(bytes: &[u8]) -> bool {
    matches!(bytes, [0x88, _, 0x03, 0xf4])
}

/// Nobody leaves before his turn. That turns come at a steady rate, and in time, is tested beside the
/// code with a clock that no busy machine keeps waiting; how late clients notice is not the node's
/// doing.
fn check_turns(crowd: &Crowd, start: Instant) {
    let ends = crowd
        .members()
        .iter()
        .map(|member| member.ended.expect("all have ended"));
    let mut ends: Vec<Duration> = ends.map(|end| end.duration_since(start)).collect();
    ends.sort_unstable();
    say(&format!(
        "{CLIENTS} clients left from {:?} to {:?}",
        ends[0],
        ends[CLIENTS - 1]
    ));
    for (nth, end) in ends.iter().enumerate() {
        let turn = DELAY + WINDOW.mul_f64(nth as f64 / CLIENTS as f64);
        // Those of a step leave together, and each of two shards rounds up.
        assert!(*end + 2 * STEP > turn, "{nth} leaves after {end:?}");
    }
}

#[test]
fn a_draining_node_turns_newcomers_away_in_their_own_words() {
    let secured = draining_in("10min", "1s");
    let address = secured.server.address();
    let id = secured.publish("news", &0.into());
    let mut stream = open(&secured, Transport::Sse, Wish::to(["news"]));
    stream.hello();
    let mut idle = Link::connect(address);
    idle.send(&Request::get("/livez"));
    assert_eq!(idle.answer().status(), 200);
    secured.server.terminate();
    wait::until("the node to be not ready", || {
        Request::get("/readyz").send(address).status() == 503
    });
    assert_eq!(Request::get("/readyz").send(address).text(), "draining\n");
    assert_eq!(Request::get("/livez").send(address).status(), 200);

    let newcomer = |path: &str| Request::get(path).bearer(Some(&token())).send(address);
    let sse = newcomer("/v1/sse?channel=news");
    assert_eq!(
        (sse.status(), sse.header("content-type")),
        (200, Some("text/event-stream"))
    );
    assert!(sse.text().starts_with("retry: "), "{}", sse.text());

    let mut socket = open(&secured, Transport::WebSocket, Wish::to(["news"]));
    let mut bye = None;
    let end = loop {
        match socket.item() {
            Item::Bye(said) => bye = Some(said),
            Item::Hello(_) => {}
            other => break other,
        }
    };
    assert_eq!(bye.expect("a goodbye comes first")["code"], "drain");
    assert!(matches!(end, Item::End(Some((1012, _)))), "{end:?}");

    let poll = newcomer(&format!("/v1/poll?channel=news&cursor={id}"));
    assert_eq!(
        (poll.status(), poll.header("connection")),
        (200, Some("close"))
    );
    assert_eq!(poll.json()["messages"], json!([]));

    // Until they are moved away, those who are here get what is published.
    idle.send(&Request::post("/v1/channels/news", "1").bearer(Some(&secured.key.text)));
    let answer = idle.answer();
    assert_eq!(
        (answer.status(), answer.header("connection")),
        (200, Some("close"))
    );
    assert_eq!(stream.message()["data"], 1);
}

#[test]
fn a_second_signal_ends_now() {
    let mut secured = draining_in("10min", "10min");
    let mut stream = open(&secured, Transport::Sse, Wish::to(["news"]));
    stream.hello();
    secured.server.terminate();
    secured.server.await_log("draining");
    secured.server.terminate();
    let status = secured.server.process().wait(SOON);
    assert_eq!(status.code(), Some(0));
}

#[test]
fn a_goodbye_says_where_and_when_to_come_back() {
    let secured = draining_in("0s", "200ms");
    let mut streams: Vec<_> = [Transport::Sse, Transport::WebSocket]
        .into_iter()
        .map(|transport| open(&secured, transport, Wish::to(["news", "other"])))
        .collect();
    for stream in &mut streams {
        stream.hello();
    }
    let id = secured.publish("news", &0.into());
    for stream in &mut streams {
        assert_eq!(stream.message()["data"], 0);
    }
    secured.server.terminate();
    for stream in &mut streams {
        let Item::Bye(bye) = stream.item() else {
            panic!("a goodbye")
        };
        assert!(
            bye["cursor"]
                .as_str()
                .is_some_and(|cursor| cursor.contains(&id)),
            "{bye}"
        );
        assert_eq!(
            bye["cursor"]
                .as_str()
                .map(|cursor| cursor.split('.').count()),
            Some(2)
        );
        let retry = bye["retry_ms"].as_u64().expect("a number");
        assert!((1_000..=3_000).contains(&retry), "{bye}");
        assert!(matches!(stream.item(), Item::End(_)));
    }
}

#[test]
fn a_request_that_is_under_way_is_answered_before_the_end() {
    let mut secured = draining_in("0s", "200ms");
    let address = secured.server.address();
    let mut link = Link::connect(address);
    let head = format!(
        "POST /v1/channels/news HTTP/1.1\r\nhost: {address}\r\nauthorization: Bearer {}\r\n\
         content-length: 1\r\nexpect: 100-continue\r\n\r\n",
        secured.key.text
    );
    link.send_bytes(head.as_bytes());
    assert_eq!(link.head().status, 100);
    secured.server.terminate();
    wait::until("the listener to be closed", || {
        TcpStream::connect(secured.server.listening()).is_err()
    });
    link.send_bytes(b"1");
    let answer = link.answer();
    assert_eq!(
        (answer.status(), answer.header("connection")),
        (200, Some("close"))
    );
    assert_eq!(secured.server.process().wait(SOON).code(), Some(0));
}
