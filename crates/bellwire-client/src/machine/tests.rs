//! The machine with a fake clock: every rule of resuming, without a socket.

use bellwire_core::{
    channel::Channel,
    position::{Epoch, Id, Position},
};
use bytes::Bytes;

use super::*;
use crate::item::{Gap, Message};

const SECOND: Duration = Duration::from_secs(1);

fn id(offset: u64) -> String {
    let channel = Channel::parse("a").unwrap();
    Id::new(
        &channel,
        Position {
            epoch: Epoch(1).tag(&channel),
            offset,
        },
    )
    .to_string()
}

fn message(offset: u64) -> Push {
    let text = format!(
        r#"{{"channel":"a","id":"{}","time":1,"data":{offset}}}"#,
        id(offset)
    );
    Push::Message(Message::parse(Bytes::from(text)).unwrap())
}

fn hello(offset: u64) -> Push {
    let (connection, heartbeat_ms) = (Some("c1".to_owned()), Some(20_000));
    Push::Hello(Hello {
        connection,
        cursor: Some(id(offset)),
        heartbeat_ms,
    })
}

/// A machine, and a clock that only moves when told to.
struct World {
    machine: Machine,
    now: Instant,
}

impl World {
    fn new(cursor: Option<&str>) -> Self {
        let now = Instant::now();
        Self {
            machine: Machine::new(Transport::Sse, cursor, now, || u64::MAX),
            now,
        }
    }

    /// A world whose first link stands.
    fn attached() -> Self {
        let mut world = Self::new(None);
        assert_eq!(world.open().cursor, None);
        world.attach(0);
        world
    }

    fn attach(&mut self, offset: u64) {
        self.handle(Event::Opened);
        self.push(hello(offset));
        assert!(matches!(self.item(), Item::Connected { .. }));
    }

    fn handle(&mut self, event: Event) {
        self.machine.handle(event, self.now);
    }

    fn push(&mut self, push: Push) {
        self.handle(Event::Push(push));
    }

    fn lose(&mut self) -> Option<Duration> {
        self.handle(Event::Lost(Loss::passing("cut")));
        self.disconnected()
    }

    fn step(&mut self) -> Step {
        self.machine.poll(self.now)
    }

    fn item(&mut self) -> Item {
        match self.step() {
            Step::Deliver(item) => item,
            other => panic!("expected an item, not {other:?}"),
        }
    }

    fn disconnected(&mut self) -> Option<Duration> {
        match self.item() {
            Item::Disconnected { retry_in, .. } => retry_in,
            other => panic!("expected Disconnected, not {other:?}"),
        }
    }

    /// Waits out the rest, and returns the attempt that follows.
    fn open(&mut self) -> Attempt {
        loop {
            match self.step() {
                Step::Rest(until) => self.now = until,
                Step::Open(attempt) => return attempt,
                other => panic!("expected an attempt, not {other:?}"),
            }
        }
    }
}

#[test]
fn what_was_read_is_not_read_again_after_a_resume() {
    let mut world = World::attached();
    world.push(message(1));
    world.push(message(2));
    assert!(matches!(world.item(), Item::Message(_)));
    assert!(matches!(world.item(), Item::Message(_)));
    world.lose();
    assert_eq!(world.open().cursor, Some(id(2)));
    world.attach(2);
    for offset in 1..=3 {
        world.push(message(offset));
    }
    assert!(matches!(world.item(), Item::Message(message) if message.id == id(3)));
    assert!(matches!(world.step(), Step::Listen(_)));
}

#[test]
fn a_stream_cut_before_its_first_message_resumes_from_its_greeting() {
    let mut world = World::attached();
    world.lose();
    assert_eq!(world.open().cursor, Some(id(0)));
}

#[test]
fn a_gap_is_handed_over_and_said_once() {
    let mut world = World::new(Some(&id(1)));
    world.open();
    world.attach(1);
    let gap = Gap {
        channel: "a".to_owned(),
        reason: "retention".to_owned(),
        last: Some(id(1)),
        next: None,
        cursor: id(7),
    };
    world.push(Push::Gap(gap.clone()));
    assert_eq!(world.item(), Item::Gap(gap));
    world.lose();
    assert_eq!(
        world.open().cursor,
        Some(id(7)),
        "resuming before it would say it again"
    );
}

#[test]
fn a_link_is_dead_one_and_a_half_heartbeats_after_its_last_sign_of_life() {
    let mut world = World::attached();
    world.now += 25 * SECOND;
    world.handle(Event::Life);
    let Step::Listen(until) = world.step() else {
        panic!("it listens")
    };
    assert_eq!(until - world.now, 30 * SECOND);
    world.now = until;
    world.handle(Event::Silence);
    assert!(world.disconnected().is_some());
}

#[test]
fn failures_back_off_and_ten_good_seconds_start_over() {
    let mut world = World::attached();
    let nearly = |wait: Option<Duration>| wait.unwrap().as_millis() + 1;
    assert_eq!(nearly(world.lose()), 500);
    world.open();
    assert_eq!(nearly(world.lose()), 1000);
    world.open();
    world.attach(0);
    world.now += 9 * SECOND;
    assert_eq!(nearly(world.lose()), 2000, "nine seconds prove nothing");
    world.open();
    world.attach(0);
    world.now += 10 * SECOND;
    assert_eq!(nearly(world.lose()), 500);
}

#[test]
fn what_the_server_asks_for_is_waited_out_before_the_jitter() {
    let mut world = World::attached();
    world.push(Push::Retry(2_000));
    let wait = world.lose().unwrap();
    assert!(
        wait >= 2 * SECOND && wait < 2 * SECOND + SECOND / 2,
        "{wait:?}"
    );
    world.open();
    let hint = Some(7 * SECOND);
    world.handle(Event::Lost(Loss::Passing {
        reason: "503".to_owned(),
        hint,
    }));
    assert!(world.disconnected().unwrap() >= 7 * SECOND);
    world.open();
    let hint = Some(Duration::MAX);
    world.handle(Event::Lost(Loss::Passing {
        reason: "503".to_owned(),
        hint,
    }));
    assert!(
        world.disconnected().unwrap() <= MAX_HINT + 2 * SECOND,
        "but not for ever"
    );
}

#[test]
fn a_bye_is_handed_over_and_obeyed() {
    let bye = |reconnect| Bye {
        code: "drain".to_owned(),
        reason: "the node drains".to_owned(),
        reconnect,
        retry_ms: Some(5_000),
    };
    let mut world = World::attached();
    world.push(Push::Bye(bye(true)));
    assert!(matches!(world.item(), Item::Bye(_)));
    assert!(world.disconnected().unwrap() >= 5 * SECOND);
    world.open();
    world.attach(0);
    world.push(Push::Bye(bye(false)));
    assert!(matches!(world.item(), Item::Bye(_)));
    assert_eq!(world.disconnected(), None);
    assert!(matches!(world.step(), Step::End));
    assert_eq!(world.machine.refusal().unwrap().code, "drain");
}

#[test]
fn a_refusal_ends_it_for_good() {
    let mut world = World::attached();
    world.handle(Event::Lost(Loss::refused(403, "forbidden", "no")));
    assert_eq!(world.disconnected(), None);
    world.handle(Event::Switch(Transport::Poll));
    assert!(matches!(world.step(), Step::End));
}

#[test]
fn a_switch_opens_the_other_transport_at_once_with_the_cursor() {
    let mut world = World::attached();
    world.push(message(4));
    world.item();
    world.handle(Event::Switch(Transport::WebSocket));
    let Step::Open(attempt) = world.step() else {
        panic!("it opens at once")
    };
    let expected = Attempt {
        transport: Transport::WebSocket,
        cursor: Some(id(4)),
    };
    assert_eq!(attempt, expected);
}

#[test]
fn a_silent_attempt_is_given_up() {
    let mut world = World::new(None);
    world.open();
    let Step::Listen(until) = world.step() else {
        panic!("it listens")
    };
    assert_eq!(until - world.now, OPEN_TIMEOUT);
    world.handle(Event::Silence);
    assert!(world.disconnected().is_some());
}

/// The offset in a cursor of channel `a`.
fn offset_of(cursor: &str) -> u64 {
    Id::decode(cursor).unwrap().1.offset
}

#[test]
fn whatever_is_cut_or_repeated_every_message_is_read_once_and_in_order() {
    let mut draws = 1_u64;
    let mut draw = move |below: u64| {
        draws = draws
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        (draws >> 33) % below
    };
    let mut world = World::attached();
    let mut read = Vec::new();
    while read.len() < 1000 {
        world.lose();
        let start = offset_of(&world.open().cursor.unwrap());
        world.attach(start);
        // A careless server repeats some, and the link breaks after a few.
        let first = (start + 1).saturating_sub(draw(4)).max(1);
        for offset in first..first + draw(12) {
            world.push(message(offset));
            if let Step::Deliver(Item::Message(message)) = world.step() {
                read.push(offset_of(&message.id));
            }
        }
        if draw(3) == 0 {
            world.handle(Event::Switch(Transport::WebSocket));
            assert_eq!(
                offset_of(&world.open().cursor.unwrap()),
                read.last().copied().unwrap_or(0)
            );
            world.attach(0);
        }
    }
    assert!(read.iter().copied().eq(1..=read.len() as u64), "{read:?}");
}
