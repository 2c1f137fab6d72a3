//! What a session says and in which order, on the way in and while it lasts.

use bellwire_core::{
    format::{Format, SseFormat},
    shard::{Poll, Settings},
};

use super::{
    bearers::grant,
    desk::{Desk, Visit, ids, words},
    reader::Said,
};

fn desk() -> Desk {
    Desk::new(Settings::default())
}

/// The id of the first of four publications, of which two are retained.
fn trimmed(desk: &mut Desk, channel: &str) -> String {
    let reader = desk.open(Visit::to(&[channel]));
    desk.hear(reader);
    for _ in 0..4 {
        desk.publish(channel);
    }
    ids(&desk.hear(reader)).remove(0)
}

#[test]
fn d5_hello_comes_first_then_refusals_then_gaps_then_publications() {
    for format in [Format::WebSocket, Format::Sse(SseFormat::default())] {
        let mut desk = desk();
        let old = trimmed(&mut desk, "few:1");
        let access = desk.user(&["few:*"], 60_000);
        let names = ["few:1", "other", "few:2"];
        let visitor = desk.open(Visit::to(&names).from(&old).by(format).with(access));
        let said = words(&desk.hear(visitor));
        let said: Vec<_> = said.into_iter().filter(|word| word != "cursor").collect();
        let expected = [
            "hello",
            "denied subscribe",
            "gap retention",
            "gap position_unknown",
            "3",
            "4",
        ];
        assert_eq!(said, expected, "{format:?}");
    }
}

#[test]
fn d5_a_gap_is_said_once() {
    let mut desk = desk();
    let old = trimmed(&mut desk, "few:1");
    let visitor = desk.open(Visit::to(&["few:1"]).from(&old));
    let said = desk.hear(visitor);
    let Some(Said::Gap(gap)) = said.get(1) else {
        panic!("{said:?}")
    };
    let after = gap["cursor"].as_str().unwrap().to_owned();
    let again = desk.open(Visit::to(&["few:1"]).from(&after));
    assert_eq!(words(&desk.hear(again)), ["hello", "3", "4"]);
}

#[test]
fn a_subscribe_reply_precedes_the_publications_that_follow_from_it() {
    let mut desk = desk();
    let old = trimmed(&mut desk, "few:1");
    let visitor = desk.open(Visit::to(&[]));
    let command = r#"{"req":7,"subscribe":{"channel":"few:1","cursor":"#;
    desk.say(visitor, &format!("{command}\"{old}\"}}}}"));
    let expected = ["hello", "reply 7", "gap retention", "3", "4"];
    assert_eq!(words(&desk.hear(visitor)), expected);
}

#[test]
fn a_publish_reply_precedes_its_own_echo() {
    let mut desk = desk();
    let visitor = desk.open(Visit::to(&["news"]));
    desk.hear(visitor);
    let command = r#"{"req":1,"publish":{"channel":"news","data":[77]}}"#;
    desk.say(visitor, command);
    assert_eq!(words(&desk.hear(visitor)), ["reply 1", "77"]);
}

#[test]
fn every_command_gets_one_reply_in_order() {
    let mut desk = desk();
    let visitor = desk.open(Visit::to(&["news"]));
    for command in [
        r#"{"req":1,"ping":{}}"#,
        r#"{"req":2,"subscribe":{"channel":"news"}}"#,
        r#"{"req":3,"unsubscribe":{"channel":"news"}}"#,
        r#"{"req":4,"unsubscribe":{"channel":"news"}}"#,
        r#"{"req":5,"presence":{"channel":"news"}}"#,
        r#"{"req":6,"dance":{}}"#,
        r#"{"req":7,"history":{"channel":"news","cursor":"nonsense"}}"#,
    ] {
        desk.say(visitor, command);
    }
    let expected = [
        "hello",
        "reply 1",
        "error already_subscribed",
        "reply 3",
        "error not_subscribed",
        "error unsupported",
        "error invalid",
        "error invalid",
    ];
    assert_eq!(words(&desk.hear(visitor)), expected);
}

#[test]
fn unsubscribing_at_once_leaves_nothing_behind() {
    let mut desk = desk();
    let visitor = desk.open(Visit::to(&[]));
    desk.say(visitor, r#"{"req":1,"subscribe":{"channel":"news"}}"#);
    desk.say(visitor, r#"{"req":2,"unsubscribe":{"channel":"news"}}"#);
    desk.publish("news");
    assert_eq!(words(&desk.hear(visitor)), ["hello", "reply 1", "reply 2"]);
    assert_eq!(desk.world.shards[0].gauges().channels, 0);
}

#[test]
fn at_most_128_channels_per_connection() {
    let mut desk = desk();
    let names: Vec<String> = (0..128).map(|n| format!("c{n}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let visitor = desk.open(Visit::to(&names));
    desk.say(visitor, r#"{"req":1,"subscribe":{"channel":"one-more"}}"#);
    assert_eq!(words(&desk.hear(visitor)), ["hello", "error limit"]);
    assert_eq!(desk.world.shards[0].gauges().subscriptions, 128);
}

#[test]
fn the_own_inbox_is_called_by_its_name_on_the_wire() {
    let mut desk = desk();
    let access = desk.user(&[], 60_000);
    let visitor = desk.open(Visit::to(&["@me", "@bob"]).with(access));
    desk.publish("@ann");
    desk.publish("@bob");
    let said = desk.hear(visitor);
    assert_eq!(words(&said), ["hello", "denied user", "1"]);
    let Some(Said::Message { channel, .. }) = said.last() else {
        panic!("{said:?}")
    };
    assert_eq!(channel.as_deref(), Some("@ann"));
}

#[test]
fn d10_a_cursor_opens_nothing() {
    let mut desk = desk();
    let old = trimmed(&mut desk, "few:1");
    let access = desk.user(&["few:2"], 60_000);
    let names = ["few:1", "few:2"];
    let visitor = desk.open(Visit::to(&names).from(&old).with(access));
    let expected = ["hello", "denied subscribe", "gap position_unknown"];
    assert_eq!(words(&desk.hear(visitor)), expected);
}

#[test]
fn d10_a_new_token_ends_what_it_does_not_allow() {
    let mut desk = desk();
    let access = desk.user(&["a", "b"], 5_000);
    let visitor = desk.open(Visit::to(&["a", "b"]).with(access));
    let expires = desk.expiry(90_000);
    let command = format!(r#"{{"req":1,"auth":{{"token":"ann {expires} b"}}}}"#);
    desk.say(visitor, &command);
    desk.publish("a");
    desk.publish("b");
    let expected = ["hello", "reply 1", "denied subscribe", "2"];
    assert_eq!(words(&desk.hear(visitor)), expected);
    desk.wait(10_000);
    assert_eq!(desk.end(visitor), None, "the new token holds longer");
}

#[test]
fn d10_a_grant_ends_its_subscription_alone() {
    let mut desk = desk();
    let access = desk.user(&["a"], 600_000);
    let until = desk.expiry(5_000);
    let grants = vec![grant("b", until)];
    let format = Format::Sse(SseFormat::default());
    let visit = Visit::to(&["a", "b"]).by(format).with(access);
    let visitor = desk.open(Visit { grants, ..visit });
    desk.publish("b");
    assert_eq!(
        words(&desk.hear(visitor)),
        ["hello", "cursor", "1", "cursor"]
    );
    desk.wait(5_200);
    desk.publish("b");
    desk.publish("a");
    assert_eq!(
        words(&desk.hear(visitor)),
        ["denied grant_expired", "3", "cursor"]
    );
}

#[test]
fn a_grant_that_ends_while_its_channel_attaches_does_not_hold_hello_up() {
    let mut desk = Desk::beside(Settings::default(), 64);
    let access = desk.user(&[], 600_000);
    let grants = vec![grant("b", desk.expiry(5_000))];
    let visit = Visit::to(&["b"]).with(access);
    let visitor = desk.open(Visit { grants, ..visit });
    desk.world.advance(6_000);
    assert_eq!(words(&desk.hear(visitor)), ["hello"]);
    desk.wait(200);
    assert_eq!(words(&desk.hear(visitor)), ["denied grant_expired"]);
}

#[test]
fn a_poll_answers_at_once_only_with_a_cursor_or_something_to_say() {
    let mut desk = desk();
    let poll = |cursor: &str| Poll {
        timeout_ms: 2_000,
        limit: 100,
        only_cursor: cursor.is_empty(),
        close: false,
        head: Some(
            b"HTTP/1.1 200 OK\r\nbellwire-connection: "
                .as_slice()
                .into(),
        ),
    };
    let visit = |cursor| Visit {
        poll: Some(poll(cursor)),
        ..Visit::to(&["news"]).from(cursor).by(Format::Json)
    };
    let first = desk.open(visit(""));
    let answer = desk.answer(first).expect("answered at once");
    let [Said::Cursor(cursor)] = answer.as_slice() else {
        panic!("{answer:?}")
    };
    let held = desk.open(visit(cursor));
    assert_eq!(desk.answer(held), None);
    desk.publish("news");
    assert_eq!(words(&desk.answer(held).unwrap()), ["1", "cursor"]);
    let missed = desk.open(visit(cursor));
    let answer = desk.answer(missed).unwrap();
    assert_eq!(words(&answer), ["1", "cursor"]);
    let waiting = desk.open(visit(&ids(&answer)[0]));
    desk.wait(1_900);
    assert_eq!(desk.answer(waiting), None);
    desk.wait(200);
    assert_eq!(words(&desk.answer(waiting).unwrap()), ["cursor"]);
}
