//! Rights on a stream: decided per channel, at attach and when they expire (D10).

use std::time::{Duration, Instant};

use bellwire_testkit::{
    credentials::{self, now_seconds},
    http::Request,
    raw::{Item, Stream as _, Transport, WebSocket, Wish},
    wait::SOON,
};
use serde_json::json;

use super::on_every_transport;
use crate::secured;

/// For how many seconds a right is given that is to run out: a client on a busy machine has used it
/// by then.
const BRIEFLY: u64 = 5;

on_every_transport! {
    one_refused_channel_does_not_keep_the_others_out
    a_stream_of_refused_channels_is_an_http_error
    a_stream_ends_when_its_token_expires
    a_grant_adds_one_channel
    a_grant_that_expires_ends_its_subscription_alone
    earliest_needs_the_right_to_history
    without_a_user_there_is_no_inbox
}

fn one_refused_channel_does_not_keep_the_others_out(transport: Transport) {
    let secured = secured(&[]);
    let token = credentials::token("ann", &json!({"subscribe": ["room:*"]}));
    let wish = Wish::to(["private", "room:1"]).with_token(token);
    let mut stream = transport.open(secured.server.address(), &wish);
    stream.hello();
    let Item::Denied(denied) = stream.item() else {
        panic!("denied follows hello")
    };
    assert_eq!(
        (&denied["channel"], &denied["check"]),
        (&json!("private"), &json!("subscribe"))
    );
    secured.publish("private", &1.into());
    secured.publish("room:1", &2.into());
    // A poll is told again each time it asks.
    let message = loop {
        match stream.item() {
            Item::Denied(_) if transport == Transport::Poll => {}
            other => break other,
        }
    };
    let Item::Message(envelope) = message else {
        panic!("{message:?} where 2 should be")
    };
    assert_eq!(envelope["data"], 2);
}

fn a_stream_of_refused_channels_is_an_http_error(transport: Transport) {
    let secured = secured(&[]);
    let token = credentials::token("ann", &json!({"subscribe": ["room:*"]}));
    let wish = Wish::to(["private", "hidden"]).with_token(token);
    let refused = transport
        .try_open(secured.server.address(), &wish)
        .unwrap_err();
    assert_eq!(refused.status(), 403);
    assert_eq!(
        refused.header("content-type"),
        Some("application/problem+json")
    );
    let problem = refused.json();
    assert_eq!(
        (&problem["code"], &problem["field"]),
        (&json!("forbidden"), &json!("channel"))
    );
    assert_eq!(problem["check"], "subscribe");
    // A WebSocket without credentials waits for them instead.
    if transport != Transport::WebSocket {
        let bare = transport
            .try_open(secured.server.address(), &Wish::to(["news"]))
            .unwrap_err();
        assert_eq!(bare.status(), 401);
        assert_eq!(bare.header("www-authenticate"), Some("Bearer"));
        assert_eq!(bare.json()["code"], "unauthorized");
    }
}

fn a_stream_ends_when_its_token_expires(transport: Transport) {
    let secured = secured(&["--jwt-leeway", "0s"]);
    let claims = |exp: u64| json!({"sub": "ann", "exp": exp, "bellwire": {"subscribe": ["news"]}});
    let expires = now_seconds() + BRIEFLY;
    let wish = Wish::to(["news"]).with_token(credentials::token_of(&claims(expires)));
    let mut stream = transport.open(secured.server.address(), &wish);
    stream.hello();
    let cursor = stream.cursor();
    let deadline = Instant::now() + SOON;
    if transport == Transport::Poll {
        assert_eq!(
            stream.next(deadline).unwrap(),
            Item::Idle,
            "an empty answer"
        );
        assert!(now_seconds() >= expires);
        let error = stream.next(deadline).unwrap_err().to_string();
        assert!(error.contains("token_expired"), "{error}");
    } else {
        let Item::Bye(bye) = stream.item() else {
            panic!("a goodbye comes first")
        };
        assert_eq!(bye["code"], "token_expired");
        assert_eq!(bye["reconnect"], true);
        assert_eq!(bye["cursor"], cursor);
        let Item::End(end) = stream.item() else {
            panic!("then the end")
        };
        let code = (transport == Transport::WebSocket).then_some(4003);
        assert_eq!(end.map(|(code, _)| code), code);
    }
    secured.publish("news", &1.into());
    let wish = Wish::to(["news"])
        .with_token(credentials::token_of(&claims(expires + 3_600)))
        .from(cursor);
    let mut stream = transport.open(secured.server.address(), &wish);
    stream.hello();
    assert_eq!(stream.message()["data"], 1);
}

fn a_grant_adds_one_channel(transport: Transport) {
    let secured = secured(&[]);
    let grant = credentials::grant("room:7", &["subscribe", "history"]);
    let wish = Wish::default().with("grant", &grant);
    let mut stream = transport.open(secured.server.address(), &wish);
    stream.hello();
    secured.publish("room:7", &1.into());
    secured.publish("room:8", &2.into());
    assert_eq!(stream.message()["data"], 1);
    // Beside a token it adds to what that allows.
    let token = credentials::token("ann", &json!({"subscribe": ["room:8"]}));
    let wish = Wish::to(["room:7", "room:8"])
        .with_token(token)
        .with("grant", &grant)
        .from("earliest");
    let refused = transport
        .open(secured.server.address(), &wish)
        .hello_and_denied();
    assert_eq!(refused["channel"], "room:8", "its history is not granted");
    // One that belongs to a user is of no use to another.
    let own = json!({"grant": "room:7", "rights": ["subscribe"]});
    let bound = json!({"sub": "ann", "exp": now_seconds() + 60, "bellwire": own});
    let wish = Wish::to(["room:7"])
        .with_token(credentials::token("bob", &json!({})))
        .with("grant", &credentials::token_of(&bound));
    let refused = transport
        .try_open(secured.server.address(), &wish)
        .unwrap_err();
    assert_eq!(
        (refused.status(), &refused.json()["code"]),
        (403, &json!("grant_invalid"))
    );
}

fn a_grant_that_expires_ends_its_subscription_alone(transport: Transport) {
    let secured = secured(&["--jwt-leeway", "0s"]);
    let own = json!({"grant": "room:7", "rights": ["subscribe"]});
    let grant = credentials::token_of(&json!({"exp": now_seconds() + BRIEFLY, "bellwire": own}));
    let token = credentials::token("ann", &json!({"subscribe": ["news"]}));
    let wish = Wish::to(["news", "room:7"])
        .with_token(token)
        .with("grant", &grant);
    let wish = if transport == Transport::Poll {
        wish.with("timeout", "1")
    } else {
        wish
    };
    let mut stream = transport.open(secured.server.address(), &wish);
    stream.hello();
    if transport == Transport::Poll {
        // The grant is presented with each request, so the next one is refused.
        let deadline = Instant::now() + SOON;
        let error = loop {
            match stream.next(deadline) {
                Ok(Item::Idle | Item::Denied(_)) => {}
                other => break other.unwrap_err().to_string(),
            }
        };
        assert!(error.contains("grant_expired"), "{error}");
        return;
    }
    let Item::Denied(denied) = stream.item() else {
        panic!("the grant expires")
    };
    assert_eq!(denied["channel"], "room:7");
    assert_eq!(denied["check"], "grant_expired");
    secured.publish("room:7", &1.into());
    secured.publish("news", &2.into());
    assert_eq!(stream.message()["data"], 2);
}

fn earliest_needs_the_right_to_history(transport: Transport) {
    let secured = secured(&[]);
    let token = credentials::token("ann", &json!({"subscribe": ["news"]}));
    let wish = Wish::to(["news"]).with_token(token).from("earliest");
    let status = match transport {
        // Nothing is read of a poll's first answer before it is asked for.
        Transport::Poll => {
            let mut stream = transport.open(secured.server.address(), &wish);
            stream.hello();
            let error = stream.next(Instant::now() + SOON).unwrap_err();
            assert!(error.to_string().contains("history"), "{error}");
            403
        }
        _ => transport
            .try_open(secured.server.address(), &wish)
            .unwrap_err()
            .status(),
    };
    assert_eq!(status, 403);
}

fn without_a_user_there_is_no_inbox(transport: Transport) {
    let secured = secured(&[]);
    let key = secured.key.text.clone();
    let wish = Wish::to(["@me"]).with_token(&key);
    let refused = transport
        .try_open(secured.server.address(), &wish)
        .unwrap_err();
    assert_eq!(
        (refused.status(), &refused.json()["field"]),
        (400, &json!("channel"))
    );
    let wish = Wish::to(["@me"]).with("grant", &credentials::grant("room:7", &["subscribe"]));
    let denied = transport
        .open(secured.server.address(), &wish)
        .hello_and_denied();
    assert_eq!(
        (&denied["channel"], &denied["check"]),
        (&json!("@me"), &json!("user"))
    );
}

#[test]
fn a_bare_websocket_waits_for_its_token() {
    let secured = secured(&["--limits-auth-timeout", "5s"]);
    let token = credentials::token("ann", &json!({"subscribe": ["news"]}));
    let mut socket = WebSocket::open(secured.server.address(), &Wish::to(["news"])).unwrap();
    let reply = socket.ask(&json!({"req": 1, "auth": {"token": token}}));
    assert_eq!(reply["auth"]["user"], "ann");
    assert!(reply["auth"]["expires"].as_u64().is_some());
    assert_eq!(socket.hello()["user"], "ann");
    secured.publish("news", &1.into());
    assert_eq!(socket.message()["data"], 1);

    let mut silent = WebSocket::open(secured.server.address(), &Wish::to(["news"])).unwrap();
    let Item::Bye(bye) = silent.item() else {
        panic!("a goodbye")
    };
    assert_eq!(
        (&bye["code"], &bye["reconnect"]),
        (&json!("auth_timeout"), &json!(false))
    );
    let Item::End(Some((code, _))) = silent.item() else {
        panic!("then a close frame")
    };
    assert_eq!(code, 4001);

    let mut forger = WebSocket::open(secured.server.address(), &Wish::to(["news"])).unwrap();
    let forged = credentials::signed(&json!({"sub": "ann", "exp": now_seconds() + 60}), "wrong");
    let reply = forger.ask(&json!({"req": 1, "auth": {"token": forged}}));
    assert_eq!(reply["error"]["code"], "token_invalid");
    let Item::Bye(bye) = forger.item() else {
        panic!("a goodbye")
    };
    assert_eq!(bye["code"], "token_invalid");
    assert!(matches!(forger.item(), Item::End(Some((4002, _)))));
}

#[test]
fn a_renewed_token_changes_what_is_allowed() {
    let secured = secured(&["--jwt-leeway", "0s"]);
    let claims = |seconds: u64, channels: &[&str]| {
        let rights = json!({"subscribe": channels});
        let exp = now_seconds() + seconds;
        credentials::token_of(&json!({"sub": "ann", "exp": exp, "bellwire": rights}))
    };
    let wish = Wish::to(["news", "room"]).with_token(claims(BRIEFLY, &["news", "room"]));
    let mut socket = WebSocket::open(secured.server.address(), &wish).unwrap();
    socket.hello();
    socket.ask(&json!({"req": 1, "auth": {"token": claims(600, &["news"])}}));
    let Item::Denied(denied) = socket.item() else {
        panic!("room is no longer allowed")
    };
    assert_eq!(denied["channel"], "room");
    // Longer than the first token lasted.
    socket.stays_silent(Duration::from_secs(BRIEFLY) + Duration::from_millis(500));
    secured.publish("room", &1.into());
    secured.publish("news", &2.into());
    assert_eq!(socket.message()["data"], 2);
}

#[test]
fn an_administrator_closes_connections() {
    let secured = secured(&[]);
    let admin = |method: &str, path: &str| {
        let request = Request::new(method, path).bearer(Some(&secured.key.text));
        request.send(secured.server.admin())
    };
    let token = credentials::token("ann", &json!({}));
    let open = |transport: Transport| {
        let wish = Wish::to(["@me"]).with_token(&token);
        let mut stream = transport.open(secured.server.address(), &wish);
        stream.hello();
        stream
    };
    let (mut sse, mut socket) = (open(Transport::Sse), open(Transport::WebSocket));
    let listing = admin("GET", "/v1/connections?user=ann").json();
    let rows = listing["connections"].as_array().unwrap().clone();
    let mut transports: Vec<_> = rows
        .iter()
        .map(|row| row["transport"].as_str().unwrap())
        .collect();
    transports.sort_unstable();
    assert_eq!(transports, ["sse", "ws"]);
    let id = rows.iter().find(|row| row["transport"] == "ws").unwrap()["id"]
        .as_str()
        .unwrap();
    let closed = admin("DELETE", &format!("/v1/connections/{id}"));
    assert_eq!(
        (closed.status(), &closed.json()["closed"]),
        (200, &json!(1))
    );
    assert!(matches!(socket.item(), Item::Bye(bye) if bye["code"] == "closed_by_server"));
    assert!(matches!(socket.item(), Item::End(Some((4004, _)))));
    let closed = admin("DELETE", "/v1/users/ann/connections");
    assert_eq!(closed.json()["closed"], 1);
    assert!(matches!(sse.item(), Item::Bye(bye) if bye["reconnect"] == false));
    assert_eq!(sse.item(), Item::End(None));
    assert_eq!(
        admin("DELETE", "/v1/users/ann/connections").json()["closed"],
        0
    );
}

/// Reads hello and what is refused after it.
trait HelloAndDenied {
    fn hello_and_denied(&mut self) -> serde_json::Value;
}

impl HelloAndDenied for Box<dyn bellwire_testkit::raw::Stream> {
    fn hello_and_denied(&mut self) -> serde_json::Value {
        self.hello();
        match self.item() {
            Item::Denied(denied) => denied,
            other => panic!("{other:?} where a refusal should be"),
        }
    }
}
