//! What is pushed to a user reaches each of his connections exactly once, on every transport, and
//! nobody else.

use std::{
    net::SocketAddr,
    sync::atomic::{AtomicBool, AtomicU64, Ordering},
    thread,
    time::Duration,
};

use bellwire_testkit::{
    checker::{Diary, judge},
    credentials::{jwt_key, token},
    hop::{Connection, Cut, Position, Publisher, Said, Way, Wish},
    http::Request,
    wait,
};
use serde_json::json;

use super::{dev_with, say};

/// Two connections per transport.
const WAYS: [Way; 6] = [
    Way::WebSocket,
    Way::WebSocket,
    Way::Sse,
    Way::SseOwnIds,
    Way::Poll,
    Way::Poll,
];
const PUSHES: u64 = 10_000;
/// How far the slowest connection may be behind, half of what history holds.
const WINDOW: u64 = 50;
const LOOK: Duration = Duration::from_millis(20);

/// One of a user's devices: its present connection and everything it was told.
struct Device {
    wish: Wish,
    inbox: String,
    diary: Diary,
    position: Position,
    messages: u64,
    denied: Vec<String>,
}

impl Device {
    fn new(address: SocketAddr, user: &str, rights: &serde_json::Value, channels: &[&str]) -> Self {
        let inbox = format!("@{user}");
        Self {
            wish: Wish {
                address,
                channels: channels.iter().map(|&name| name.to_owned()).collect(),
                token: Some(token(user, rights)),
            },
            diary: Diary::new(std::slice::from_ref(&inbox)),
            inbox,
            position: Position::default(),
            messages: 0,
            denied: Vec::new(),
        }
    }

    /// Connects, tells when the stream stands, and reads until `done`.
    fn stay(&mut self, way: Way, stands: &AtomicU64, mut done: impl FnMut(u64) -> bool) {
        let mut connection =
            Connection::open(&self.wish, way, &self.position.text()).expect("the server is up");
        let mut told = false;
        while !done(self.diary.last(&self.inbox)) {
            let said = connection
                .read(usize::MAX, LOOK)
                .expect("all of it makes sense");
            for said in said.expect("the server does not end it") {
                self.hear(said, &mut connection);
            }
            if !self.position.text().is_empty() && !std::mem::replace(&mut told, true) {
                stands.fetch_add(1, Ordering::AcqRel);
            }
        }
        connection.cut(Cut::Fin);
    }

    fn hear(&mut self, said: Said, connection: &mut Connection) {
        match said {
            Said::Hello(cursor) | Said::Cursor(cursor) => {
                self.diary.cursor(&cursor, |_| 0);
                self.position.absorb(&cursor);
            }
            Said::Message {
                channel,
                id,
                number,
            } => {
                self.messages += 1;
                self.diary.message(&channel, &id, number);
            }
            Said::Gap(gap) => self.diary.gap(&gap, |_| 0),
            Said::Answered => {
                let asked = connection.ask(&self.wish, &self.position.text());
                asked.expect("a poll's connection stays");
            }
            Said::Ping(payload) => connection.pong(&payload).expect("the server is up"),
            Said::Denied(channel) => self.denied.push(channel),
            Said::Bye(what) => panic!("the server said {what}"),
        }
    }
}

#[test]
fn each_of_a_users_connections_gets_every_push_exactly_once_and_nobody_else_any() {
    let _turn = crate::heavy();
    let server = dev_with(&["--jwt-key", &jwt_key()]);
    let address = server.address();
    let nothing = json!({});
    let everything = json!({"subscribe": ["*"], "history": ["*"]});
    let mut alices: Vec<Device> = WAYS
        .map(|_| Device::new(address, "alice", &nothing, &["@me"]))
        .into();
    // Their diaries may be of any channel: nothing is to come.
    let mut others: Vec<Device> = WAYS
        .iter()
        .enumerate()
        .map(|(nth, _)| match nth % 2 {
            0 => Device::new(address, "bob", &nothing, &["@me"]),
            _ => Device::new(address, "carol", &everything, &["@me", "@alice", "news"]),
        })
        .collect();
    let mut publisher = Publisher::connect(address).expect("the server is up");
    let stands = AtomicU64::new(0);
    let over = AtomicBool::new(false);
    let progress: Vec<AtomicU64> = WAYS.map(|_| AtomicU64::new(0)).into();
    thread::scope(|scope| {
        let (stands, over) = (&stands, &over);
        for ((alice, way), progress) in alices.iter_mut().zip(WAYS).zip(&progress) {
            scope.spawn(move || {
                alice.stay(way, stands, |last| {
                    progress.store(last, Ordering::Release);
                    last == PUSHES
                });
            });
        }
        for (other, way) in others.iter_mut().zip(WAYS) {
            scope.spawn(move || other.stay(way, stands, |_| over.load(Ordering::Acquire)));
        }
        wait::until("all connections", || stands.load(Ordering::Acquire) == 12);
        let slowest = || {
            progress
                .iter()
                .map(|last| last.load(Ordering::Acquire))
                .min()
        };
        for number in 1..=PUSHES {
            if number > WINDOW {
                let enough = Some(number - WINDOW);
                wait::until("the slowest connection", || slowest() >= enough);
            }
            publisher.publish("@alice");
        }
        wait::until("the last push", || slowest() == Some(PUSHES));
        over.store(true, Ordering::Release);
    });
    for other in &others {
        assert_eq!(other.messages, 0);
        let refused = other.wish.channels.contains(&"@alice".to_owned());
        assert!(!refused || other.denied.iter().all(|channel| channel == "@alice"));
        assert_eq!(refused, !other.denied.is_empty());
    }
    while_offline(&mut publisher, &mut alices);
    let published = publisher.published();
    for alice in &alices {
        let account = judge(&alice.diary, published, 100);
        assert!(account.is_clean(), "{account} {:?}", account.findings);
        assert_eq!((account.received, account.lost), (PUSHES + 50, 0));
    }
    say(&format!(
        "users: {} pushes to each of {} connections exactly once, {} to others",
        published.total(),
        alices.len(),
        others.iter().map(|other| other.messages).sum::<u64>()
    ));
}

/// Pushes while nobody is there; each device comes back on another transport.
fn while_offline(publisher: &mut Publisher, alices: &mut [Device]) {
    for _ in 0..50 {
        publisher.publish("@alice");
    }
    let stands = AtomicU64::new(0);
    thread::scope(|scope| {
        for (nth, alice) in alices.iter_mut().enumerate() {
            let (stands, way) = (&stands, WAYS[(nth + 2) % WAYS.len()]);
            scope.spawn(move || alice.stay(way, stands, |last| last == PUSHES + 50));
        }
    });
}

#[test]
fn an_inbox_alone_is_refused_to_another_user_and_to_a_token_for_everything() {
    let server = dev_with(&["--jwt-key", &jwt_key()]);
    let rights = [json!({}), json!({"subscribe": ["*"], "history": ["*"]})];
    for right in &rights {
        let token = token("mallory", right);
        for path in [
            "/v1/sse?channel=@alice",
            "/v1/poll?channel=@alice",
            "/v1/channels/%40alice/history",
        ] {
            let answer = Request::get(path)
                .bearer(Some(&token))
                .send(server.address());
            assert_eq!(answer.status(), 403, "{path}: {}", answer.text());
        }
    }
}
