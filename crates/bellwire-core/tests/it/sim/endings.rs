//! How sessions end, what they cost while they last, and that nothing cuts into a frame.

use bellwire_core::{
    access::Access,
    format::{Format, SseFormat},
    shard::{Cause, Input, Settings, SlowConsumerPolicy},
};
use bellwire_wire::websocket::{Opcode, encode_masked_close, encode_masked_frame};

use super::{
    desk::{Desk, Visit, ids, words},
    reader::Said,
};

fn desk() -> Desk {
    Desk::new(Settings::default())
}

#[test]
fn a_token_that_expires_ends_the_session_with_bye() {
    let mut desk = desk();
    let access = desk.user(&["news"], 5_000);
    let by_socket = desk.open(Visit::to(&["news"]).with(access.clone()));
    let format = Format::Sse(SseFormat::default());
    let by_stream = desk.open(Visit::to(&["news"]).by(format).with(access));
    desk.wait(5_200);
    let expected = ["hello", "bye token_expired", "close 4003"];
    assert_eq!(words(&desk.hear(by_socket)), expected);
    let expected = ["hello", "cursor", "bye token_expired", "end"];
    assert_eq!(words(&desk.hear(by_stream)), expected);
    assert_eq!(desk.end(by_stream), Some(Cause::TokenExpired));
}

#[test]
fn a_bare_websocket_has_ten_seconds_for_its_token() {
    let mut desk = desk();
    let late = desk.open(Visit::to(&["news"]).with(Access::anonymous()));
    let prompt = desk.open(Visit::to(&["news"]).with(Access::anonymous()));
    let expires = desk.expiry(600_000);
    let command = format!(r#"{{"req":1,"auth":{{"token":"ann {expires} news"}}}}"#);
    desk.say(prompt, &command);
    assert_eq!(words(&desk.hear(prompt)), ["reply 1", "hello"]);
    desk.wait(10_200);
    assert_eq!(words(&desk.hear(late)), ["bye auth_timeout", "close 4001"]);
    assert_eq!(desk.end(prompt), None);
}

#[test]
fn loss_closes_a_raw_websocket_with_the_cursor_as_reason() {
    let mut desk = desk();
    let reader = desk.open(Visit::to(&["few:1"]));
    desk.hear(reader);
    for _ in 0..4 {
        desk.publish("few:1");
    }
    let old = ids(&desk.hear(reader)).remove(0);
    let raw = desk.open(Visit::to(&["few:1"]).from(&old).by(Format::WebSocketRaw));
    let said = desk.hear(raw);
    let [Said::Close(4006, cursor)] = said.as_slice() else {
        panic!("{said:?}")
    };
    let again = desk.open(Visit::to(&["few:1"]).from(cursor).by(Format::WebSocketRaw));
    assert_eq!(words(&desk.hear(again)), ["raw [3,\"\"]", "raw [4,\"\"]"]);
}

#[test]
fn d11_a_drained_session_is_told_to_come_back_and_loses_nothing() {
    let mut desk = desk();
    let visitor = desk.open(Visit::to(&["news"]));
    desk.publish("news");
    desk.world.settle();
    desk.world.with(0, |shard, now| shard.drain(10, now));
    desk.publish("news");
    let said = desk.hear(visitor);
    assert_eq!(words(&said), ["hello", "1", "bye drain", "close 1012"]);
    let Some(Said::Bye(bye)) = said.get(2) else {
        panic!("{said:?}")
    };
    assert_eq!(bye["reconnect"], true);
    let again = desk.open(Visit::to(&["news"]).from(bye["cursor"].as_str().unwrap()));
    assert_eq!(words(&desk.hear(again)), ["hello", "2"]);
}

#[test]
fn an_operator_closes_the_sessions_of_one_user() {
    let mut desk = desk();
    let access = desk.user(&["news"], 600_000);
    let ann = desk.open(Visit::to(&["news"]).with(access));
    let other = desk.open(Visit::to(&["news"]));
    let closed = desk.world.with(0, |shard, now| {
        shard.close_where(Cause::ClosedByServer, "enough", now, |_, user| {
            user == Some("ann")
        })
    });
    assert_eq!(closed, 1);
    let expected = ["hello", "bye closed_by_server", "close 4004"];
    assert_eq!(words(&desk.hear(ann)), expected);
    let mut answer = Vec::new();
    encode_masked_close(&mut answer, 4004, "", [1, 1, 1, 1]);
    desk.input(ann, &mut answer);
    assert_eq!(desk.end(ann), Some(Cause::ClosedByServer));
    assert_eq!(desk.end(other), None);
}

#[test]
fn a_client_that_talks_on_instead_of_closing_is_let_go_in_time() {
    let mut desk = desk();
    let chatty = desk.open(Visit::to(&["news"]));
    desk.world.with(0, |shard, now| shard.drain(1, now));
    assert_eq!(
        words(&desk.hear(chatty)),
        ["hello", "bye drain", "close 1012"]
    );
    for _ in 0..5 {
        assert_eq!(desk.end(chatty), None);
        let mut ping = Vec::new();
        encode_masked_frame(&mut ping, Opcode::Ping, b"", [1, 2, 3, 4]);
        desk.input(chatty, &mut ping);
        desk.wait(1_000);
    }
    desk.wait(200);
    assert_eq!(desk.end(chatty), Some(Cause::Drain));
}

#[test]
fn a_close_frame_is_answered_though_nothing_comes_behind_it() {
    let mut desk = desk();
    let leaving = desk.open(Visit::to(&["news"]));
    desk.hear(leaving);
    let mut close = Vec::new();
    encode_masked_close(&mut close, 1000, "", [1, 2, 3, 4]);
    desk.input(leaving, &mut close);
    desk.hang_up(leaving);
    assert_eq!(words(&desk.hear(leaving)), ["close 1000"]);
    assert_eq!(desk.end(leaving), Some(Cause::Peer));
}

#[test]
fn what_follows_a_broken_frame_does_not_keep_its_close_code_back() {
    let mut desk = desk();
    let broken = desk.open(Visit::to(&["news"]));
    desk.hear(broken);
    // Not masked, and in a second read what is no frame at all.
    desk.input(broken, &mut [0x81, 1, b'x']);
    desk.input(broken, &mut [0xff; 100]);
    assert_eq!(words(&desk.hear(broken)), ["close 1002"]);
    assert_eq!(desk.end(broken), Some(Cause::Violation));
}

#[test]
fn a_slow_consumer_is_told_its_loss_or_closed_as_the_policy_says() {
    for policy in [SlowConsumerPolicy::Continue, SlowConsumerPolicy::Close] {
        let mut desk = Desk::new(Settings {
            slow_consumer: policy,
            ..Settings::default()
        });
        let visitor = desk.open_narrow(Visit::to(&["few:1"]), 400);
        for _ in 0..6 {
            desk.publish_padded("few:1", 20_000);
            desk.world.settle();
        }
        let said = words(&desk.hear(visitor));
        let expected: &[&str] = match policy {
            SlowConsumerPolicy::Continue => &["hello", "1", "gap slow_consumer", "5", "6"],
            SlowConsumerPolicy::Close => &["hello", "1", "bye slow_consumer", "close 4005"],
        };
        assert_eq!(said, expected);
    }
}

#[test]
fn d8_a_reader_that_stopped_costs_nothing_per_publication() {
    let mut desk = desk();
    let stopped = desk.open_narrow(Visit::to(&["news"]), 400);
    let prompt = desk.open(Visit::to(&["news"]));
    let mut held = Vec::new();
    for _ in 0..200 {
        desk.publish_padded("news", 3_000);
        desk.hear(prompt);
        held.push(desk.world.shards[0].gauges().output_bytes);
    }
    assert!(held.iter().all(|bytes| *bytes == held[0]), "{held:?}");
    assert!(held[0] < 1_000, "{held:?}");
    let said = words(&desk.hear(stopped));
    assert_eq!(
        said.len(),
        1 + 1 + 1 + 100,
        "hello, one, a gap, what is retained"
    );
}

#[test]
fn a_stalled_reader_among_many_holds_nobody_up() {
    let mut desk = desk();
    let stalled = desk.open_narrow(Visit::to(&["news"]), 100);
    let prompt: Vec<_> = (0..40).map(|_| desk.open(Visit::to(&["news"]))).collect();
    let mut expected = vec!["hello".to_owned()];
    for _ in 0..20 {
        expected.push(desk.publish_padded("news", 10_000).to_string());
        desk.world.settle();
    }
    for visitor in prompt {
        assert_eq!(words(&desk.hear(visitor)), expected);
    }
    assert_eq!(words(&desk.hear(stalled)), expected);
}

#[test]
fn d8_a_client_that_does_not_read_its_replies_is_not_read() {
    let mut desk = Desk::new(Settings {
        max_output_bytes: 1_000,
        ..Settings::default()
    });
    let visitor = desk.open_narrow(Visit::to(&[]), 10);
    let mut pings = Vec::new();
    for _ in 0..1_000 {
        let ping = r#"{"req":1,"ping":{}}"#.as_bytes();
        encode_masked_frame(&mut pings, Opcode::Text, ping, [1, 2, 3, 4]);
    }
    desk.input(visitor, &mut pings);
    desk.world.settle();
    assert!(desk.world.shards[0].gauges().output_bytes < 3_000);
    let replies = desk.hear(visitor).len();
    assert_eq!(replies, 1 + 1_000, "all are answered in the end");
}

#[test]
fn who_takes_its_replies_slowly_is_not_taken_for_gone() {
    let mut desk = Desk::new(Settings {
        max_output_bytes: 100,
        ..Settings::default()
    });
    let mut pings = Vec::new();
    for _ in 0..100 {
        let ping = r#"{"req":1,"ping":{}}"#.as_bytes();
        encode_masked_frame(&mut pings, Opcode::Text, ping, [1, 2, 3, 4]);
    }
    let [slow, gone] = [(), ()].map(|()| {
        let visitor = desk.open_narrow(Visit::to(&[]), 10);
        let input = desk.input(visitor, &mut pings.clone());
        assert_eq!(input, Input::Pause);
        visitor
    });
    for _ in 0..100 {
        assert_eq!(desk.end(slow), None);
        desk.read(slow, 5);
        desk.wait(1_000);
    }
    desk.world.shards[0].sockets().reset(gone);
    assert_eq!(desk.end(gone), Some(Cause::Silent));
    // And once it has taken all, it has its time to say something.
    desk.hear(slow);
    desk.wait(10_000);
    desk.hear(slow);
    assert_eq!(desk.end(slow), None);
}

#[test]
fn a_heartbeat_never_cuts_into_a_frame() {
    let mut desk = desk();
    let format = Format::Sse(SseFormat::default());
    let stream = desk.open_narrow(Visit::to(&["news"]).by(format), 500);
    desk.publish_padded("news", 5_000);
    desk.world.settle();
    desk.wait(60_000);
    // The reader would fail on a broken chunk.
    assert_eq!(
        words(&desk.hear(stream)),
        ["hello", "cursor", "1", "cursor"]
    );
    desk.wait(20_200);
    let visible = Visit {
        visible_heartbeats: true,
        ..Visit::to(&["news"]).by(format)
    };
    let seen = desk.open(visible);
    desk.wait(20_200);
    assert_eq!(words(&desk.hear(seen)), ["hello", "cursor", "heartbeat"]);
    assert_eq!(words(&desk.hear(stream)), [""; 0], "comments are not seen");
}

#[test]
fn a_websocket_that_answers_no_ping_is_let_go_after_two_heartbeats() {
    let mut desk = desk();
    let visitor = desk.open(Visit::to(&["news"]));
    desk.wait(39_000);
    assert_eq!(desk.end(visitor), None);
    assert_eq!(words(&desk.hear(visitor)), ["hello", "ping"]);
    desk.wait(1_200);
    desk.hear(visitor);
    assert_eq!(desk.end(visitor), Some(Cause::Silent));
}
