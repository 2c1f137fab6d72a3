//! What a WebSocket client may send: each command has exactly one reply.

use bellwire_testkit::{
    credentials,
    raw::{Item, Stream as _, WebSocket, Wish},
};
use bellwire_wire::websocket::Opcode;
use serde_json::{Value, json};

use crate::{dev, dev_with, numbers, publish, publish_numbers, secured};

/// An open WebSocket that has said hello.
fn socket(server: &bellwire_testkit::process::Server, channels: &[&str]) -> WebSocket {
    let mut socket = WebSocket::open(server.address(), &Wish::to(channels)).unwrap();
    socket.hello();
    socket
}

#[test]
fn subscribe_and_unsubscribe_change_what_arrives() {
    let server = dev();
    let ids = publish_numbers(&server, "news", 0..3);
    let mut socket = socket(&server, &["quiet"]);
    let reply = socket.ask(&json!({"req": 7, "subscribe": {"channel": "news"}}));
    assert_eq!(reply, json!({"req": 7, "subscribe": {"cursor": ids[2]}}));
    publish_numbers(&server, "news", 3..4);
    assert_eq!(socket.data(1), numbers(3..4));

    let reply = socket.ask(&json!({"req": 8, "subscribe": {"channel": "news"}}));
    assert_eq!(reply["error"]["code"], "already_subscribed");
    let reply = socket.ask(&json!({"req": 9, "unsubscribe": {"channel": "news"}}));
    assert!(reply["unsubscribe"]["cursor"].is_string(), "{reply}");
    let stood = reply["unsubscribe"]["cursor"].clone();
    publish_numbers(&server, "news", 4..6);
    let reply = socket.ask(&json!({"req": 10, "unsubscribe": {"channel": "news"}}));
    assert_eq!(reply["error"]["code"], "not_subscribed");
    let reply = socket.ask(&json!({"req": 11, "subscribe": {"channel": "news", "cursor": stood}}));
    assert_eq!(reply["subscribe"]["cursor"], stood);
    assert_eq!(socket.data(2), numbers(4..6));
}

#[test]
fn a_reply_to_a_publish_precedes_its_own_echo() {
    let server = dev();
    let mut socket = socket(&server, &["chat"]);
    for number in 0..50 {
        socket.command(&json!({"req": number, "publish": {"channel": "chat", "data": number}}));
        let Item::Reply(reply) = socket.item() else {
            panic!("the reply comes first")
        };
        let Item::Message(echo) = socket.item() else {
            panic!("then the echo")
        };
        assert_eq!(reply["req"], number);
        assert_eq!(reply["publish"]["id"], echo["id"]);
        assert_eq!(reply["publish"]["durability"], "memory");
        assert_eq!(echo["data"], number);
    }
}

#[test]
fn pipelined_commands_have_one_reply_each() {
    let server = dev();
    let mut socket = socket(&server, &["quiet"]);
    for req in 0..200 {
        let command = match req % 4 {
            0 => json!({"req": req, "ping": {}}),
            1 => json!({"req": req, "publish": {"channel": "other", "data": req}}),
            2 => json!({"req": req, "history": {"channel": "other", "limit": 1}}),
            _ => json!({"req": req, "nonsense": {}}),
        };
        socket.command(&command);
    }
    let mut seen = vec![0; 200];
    for _ in 0..200 {
        let Item::Reply(reply) = socket.item() else {
            panic!("only replies come")
        };
        let req = usize::try_from(reply["req"].as_u64().unwrap()).unwrap();
        let name = ["ping", "publish", "history", "error"][req % 4];
        assert!(reply.get(name).is_some(), "{reply}");
        seen[req] += 1;
    }
    assert_eq!(seen, [1; 200]);
}

#[test]
fn history_is_read_in_both_directions() {
    let server = dev();
    let ids = publish_numbers(&server, "news", 0..10);
    let mut socket = socket(&server, &["quiet"]);
    let mut data = |history: Value| {
        let reply = socket.ask(&json!({"req": 1, "history": history}));
        let page = reply["history"].clone();
        let messages = page["messages"].as_array().cloned().unwrap_or_default();
        let data: Vec<_> = messages
            .iter()
            .map(|message| message["data"].clone())
            .collect();
        (data, page["more"].clone(), page["cursor"].clone())
    };
    let (all, more, _) = data(json!({"channel": "news"}));
    assert_eq!((all, more), (numbers(0..10), json!(false)));
    let (first, more, cursor) = data(json!({"channel": "news", "limit": 4}));
    assert_eq!(
        (first, more, &cursor),
        (numbers(0..4), json!(true), &json!(ids[3]))
    );
    let (rest, more, _) = data(json!({"channel": "news", "cursor": cursor}));
    assert_eq!((rest, more), (numbers(4..10), json!(false)));
    let (newest, more, _) = data(json!({"channel": "news", "limit": 2, "order": "desc"}));
    assert_eq!((newest, more), (vec![json!(9), json!(8)], json!(true)));
    let reply = socket.ask(&json!({"req": 2, "history": {"channel": "news", "cursor": "no"}}));
    assert_eq!(reply["error"]["code"], "invalid");
    assert_eq!(reply["error"]["field"], "cursor");
}

#[test]
fn errors_name_their_request_and_field() {
    let server = dev();
    let mut socket = socket(&server, &["quiet"]);
    let mut check = |command: Value, code: &str, field: Option<&str>| {
        let error = socket.ask(&command)["error"].clone();
        assert_eq!(error["code"], code, "{command}: {error}");
        assert_eq!(error["field"].as_str(), field, "{command}: {error}");
        assert!(error["detail"].as_str().unwrap().len() > 8, "{error}");
    };
    check(
        json!({"req": 1, "presence": {"channel": "news"}}),
        "unsupported",
        None,
    );
    check(
        json!({"req": 2, "subscribe": {"channel": "ä"}}),
        "invalid",
        Some("channel"),
    );
    check(
        json!({"req": 3, "subscribe": {"channel": "@me"}}),
        "forbidden",
        Some("channel"),
    );
    check(
        json!({"req": 4, "subscribe": {}}),
        "invalid",
        Some("channel"),
    );
    check(
        json!({"req": 5, "publish": {"channel": "a b", "data": 1}}),
        "invalid",
        Some("channel"),
    );
    check(
        json!({"req": 6, "publish": {"channel": "a"}}),
        "invalid",
        Some("data"),
    );
    let reserved = json!({"channel": "a", "data": 1, "event": "hello"});
    check(
        json!({"req": 7, "publish": reserved}),
        "invalid",
        Some("event"),
    );
    check(
        json!({"req": 8, "unsubscribe": {"channel": "other"}}),
        "not_subscribed",
        None,
    );
    check(
        json!({"req": 9, "auth": {"token": "no"}}),
        "token_invalid",
        None,
    );
    check(json!({"req": 10}), "invalid", None);
    check(
        json!({"req": 11, "subscribe": {"channel": "a", "extra": 1}}),
        "invalid",
        None,
    );

    socket.send(Opcode::Text, b"not JSON");
    assert!(matches!(socket.item(), Item::Reply(reply) if reply["error"]["code"] == "invalid"));
    assert_eq!(
        socket.ask(&json!({"req": 12, "ping": {}})),
        json!({"req": 12, "ping": {}})
    );
}

#[test]
fn rights_are_asked_for_each_command() {
    let secured = secured(&[]);
    let rights = json!({"subscribe": ["news", "room:*"], "publish": ["room:*"]});
    let wish = Wish::to(["news"]).with_token(credentials::token("ann", &rights));
    let mut socket = WebSocket::open(secured.server.address(), &wish).unwrap();
    socket.hello();
    let mut code = |command: Value| socket.ask(&command)["error"]["code"].clone();
    assert_eq!(
        code(json!({"req": 1, "subscribe": {"channel": "secret"}})),
        "forbidden"
    );
    assert_eq!(
        code(json!({"req": 2, "subscribe": {"channel": "@bob"}})),
        "forbidden"
    );
    assert_eq!(
        code(json!({"req": 3, "publish": {"channel": "news", "data": 1}})),
        "forbidden"
    );
    assert_eq!(
        code(json!({"req": 4, "history": {"channel": "news"}})),
        "forbidden"
    );
    assert_eq!(
        code(json!({"req": 5, "subscribe": {"channel": "@me"}})),
        Value::Null
    );
    assert_eq!(
        code(json!({"req": 6, "history": {"channel": "@me"}})),
        Value::Null
    );
    let claimed = json!({"channel": "room:1", "data": 1, "user": "bob"});
    assert_eq!(code(json!({"req": 7, "publish": claimed})), "forbidden");
    let grant = credentials::grant("secret", &["subscribe", "publish"]);
    assert_eq!(
        code(json!({"req": 8, "subscribe": {"grant": grant}})),
        Value::Null
    );
    assert_eq!(
        code(json!({"req": 9, "publish": {"channel": "secret", "data": 1}})),
        Value::Null
    );
    let echo = socket.message();
    assert_eq!(
        (&echo["channel"], &echo["user"]),
        (&json!("secret"), &json!("ann"))
    );
    secured.publish("@ann", &2.into());
    assert_eq!(socket.message()["channel"], "@ann");
}

#[test]
fn a_connection_has_at_most_128_channels() {
    let server = dev();
    let names: Vec<String> = (0..127).map(|nth| format!("c{nth}")).collect();
    let mut socket = WebSocket::open(server.address(), &Wish::to(&names)).unwrap();
    socket.hello();
    let reply = socket.ask(&json!({"req": 1, "subscribe": {"channel": "last"}}));
    assert!(reply.get("error").is_none(), "{reply}");
    let reply = socket.ask(&json!({"req": 2, "subscribe": {"channel": "beyond"}}));
    assert_eq!(reply["error"]["code"], "limit");
    socket.ask(&json!({"req": 3, "unsubscribe": {"channel": "c0"}}));
    let reply = socket.ask(&json!({"req": 4, "subscribe": {"channel": "beyond"}}));
    assert!(reply.get("error").is_none(), "{reply}");
    publish(&server, "beyond", &1.into());
    assert_eq!(socket.message()["data"], 1);
}

#[test]
fn what_breaks_the_protocol_closes_with_its_code() {
    let server = dev_with(&["--limits-max-message-bytes", "1KiB"]);
    let check = |act: &dyn Fn(&mut WebSocket), expected: u16| {
        let mut socket = socket(&server, &["quiet"]);
        act(&mut socket);
        loop {
            match socket.item() {
                Item::End(Some((code, _))) => break assert_eq!(code, expected),
                Item::Bye(_) | Item::Reply(_) => {}
                other => panic!("{other:?} where a close frame should be"),
            }
        }
    };
    check(&|socket| socket.send(Opcode::Binary, b"{}"), 1003);
    check(&|socket| socket.send(Opcode::Text, b"\xff"), 1007);
    check(&|socket| socket.send(Opcode::Text, &[b' '; 2_000]), 1009);
    check(&|socket| socket.send(Opcode::Continuation, b"x"), 1002);
    check(&|socket| socket.close(1000, "done"), 1000);
    check(&|socket| socket.close(4999, "own"), 4999);
}

#[test]
fn pings_and_echoes_are_answered() {
    let server = dev();
    let mut echo = WebSocket::open_at(server.address(), "/v1/echo").unwrap();
    echo.send(Opcode::Text, "grüße".as_bytes());
    assert_eq!(
        echo.item(),
        Item::Named("text".to_owned(), "grüße".to_owned())
    );
    let large = vec![7; 1 << 20];
    echo.send(Opcode::Binary, &large);
    assert_eq!(echo.item(), Item::Binary(large));
    echo.send(Opcode::Ping, b"are you there");
    let deadline = std::time::Instant::now() + bellwire_testkit::wait::SOON;
    assert_eq!(echo.next(deadline).unwrap(), Item::Idle, "a pong");
}
