//! Answers of polls that their readers do not take.

use std::io::IoSlice;

use bellwire_core::{
    cursor::Cursor,
    format::Format,
    shard::{
        Cause, ConnectionRef, Departure, Open, Poll, Release, Sent, Settings, Shard, SocketKey,
        Sockets, Transport,
    },
    time::Now,
};

use super::{
    crowd::{client, draft},
    sinks::{NOW, flush, shard_with},
};

const HEARTBEAT: u64 = 20_000;
const KIB: usize = 1 << 10;

/// Sockets that take so many bytes at a time, and what became of each.
#[derive(Default)]
struct Stingy {
    takes: usize,
    taken: usize,
    released: Vec<(Release, Cause)>,
}

impl Sockets for Stingy {
    fn send(&mut self, _socket: SocketKey, slices: &[IoSlice<'_>]) -> Sent {
        let offered: usize = slices.iter().map(|slice| slice.len()).sum();
        let taken = offered.min(self.takes);
        self.taken += taken;
        Sent::Bytes(taken)
    }

    fn resume_reading(&mut self, _socket: SocketKey) {}

    fn release(&mut self, _socket: SocketKey, release: Release, departure: &Departure) {
        self.released.push((release, departure.cause));
    }
}

fn node(takes: usize, poll_bytes: usize) -> Shard<Stingy> {
    let settings = Settings {
        heartbeat_ms: HEARTBEAT,
        poll_bytes,
        ..Settings::default()
    };
    let sockets = Stingy {
        takes,
        ..Stingy::default()
    };
    let mut shard = shard_with(settings, sockets);
    let filler = format!("\"{}\"", "x".repeat(4 * KIB));
    for _ in 0..100 {
        shard.publish(draft(&filler), NOW, Box::new(|_| {}));
    }
    shard
}

fn ask(shard: &mut Shard<Stingy>, socket: SocketKey) -> ConnectionRef {
    let poll = Poll {
        timeout_ms: 25_000,
        limit: 100,
        only_cursor: false,
        close: false,
        head: None,
    };
    let open = Open {
        transport: Transport::Poll,
        format: Format::Json,
        cursor: Cursor::parse("earliest", 4_096),
        poll: Some(poll),
        ..client(socket)
    };
    let connection = shard.open(open, NOW);
    flush(shard);
    connection
}

fn after(ms: u64) -> Now {
    Now {
        mono: NOW.mono + ms,
        wall: NOW.wall + ms,
    }
}

#[test]
fn answers_that_nobody_takes_share_a_budget_and_are_short_beyond_it() {
    let mut shard = node(0, 1_000 * KIB);
    let (mut held, mut asked) = (Vec::new(), Vec::new());
    for socket in 0..40 {
        let before = shard.gauges().output_bytes;
        asked.push(ask(&mut shard, socket));
        held.push(shard.gauges().output_bytes - before);
    }
    assert!(held[0] > 100 * KIB, "{held:?}");
    let short: Vec<_> = held.iter().skip_while(|held| **held > 20 * KIB).collect();
    assert!(
        short.len() > 20 && short.iter().all(|held| **held > 4 * KIB),
        "{held:?}"
    );
    let sum: usize = held.iter().sum();
    assert!(sum < 1_000 * KIB + held[0] + 40 * 20 * KIB, "{held:?}");
    // Who goes gives back what it held.
    for gone in asked {
        shard.hang_up(gone, NOW);
    }
    ask(&mut shard, 40);
    assert_eq!(shard.gauges().output_bytes, held[0]);
}

#[test]
fn an_answer_of_which_nothing_is_taken_for_two_heartbeats_is_given_up() {
    let mut shard = node(0, usize::MAX);
    let silent = ask(&mut shard, 1);
    shard.tick(after(2 * HEARTBEAT - 200));
    assert!(shard.is_open(silent));
    shard.tick(after(2 * HEARTBEAT + 200));
    assert!(!shard.is_open(silent));
    assert_eq!(shard.sockets().released, [(Release::Close, Cause::Silent)]);
}

#[test]
fn an_answer_that_is_taken_slowly_is_waited_for() {
    let mut shard = node(16 * KIB, usize::MAX);
    let slow = ask(&mut shard, 1);
    let mut heartbeats = 0;
    while shard.is_open(slow) {
        heartbeats += 1;
        let now = after(heartbeats * HEARTBEAT);
        shard.tick(now);
        shard.writable(slow, now);
        while shard.flush_step(now) {}
    }
    assert!(heartbeats > 4, "{heartbeats}");
    assert!(shard.sockets().taken > 100 * KIB);
    assert_eq!(
        shard.sockets().released,
        [(Release::Reuse, Cause::Answered)]
    );
}
