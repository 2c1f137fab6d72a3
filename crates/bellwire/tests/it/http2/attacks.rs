//! Frames that no client would send, by a program that shares nothing with the server. Each attack
//! ends its own connection or stays within bounds, while a healthy client is served.

use std::{
    process::Command,
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::{Duration, Instant},
};

use bellwire_testkit::{
    http::{Link, Request},
    process::Server,
    raw::{Sse, Stream as _, Wish},
};
use serde_json::{Value, json};

use super::dev_http2;
use crate::{
    heavy, publish,
    python::{external, must, python},
    say,
};

/// What an attack may make the server remember.
const GROWTH: u64 = 16_000_000;

/// What came of an attack.
#[derive(Debug)]
struct Outcome {
    report: Value,
    grown: u64,
    /// How long the slowest hundredth of a healthy client's messages took, at rest and under attack.
    p99: [Duration; 2],
}

impl Outcome {
    fn ended(&self) -> bool {
        self.report["ended"] == true
    }

    fn seconds(&self) -> f64 {
        self.report["seconds"].as_f64().expect("a number")
    }
}

/// Publishes and receives, message by message, for as long as told. A message is as large as `size`.
fn round_trips(server: &Server, size: usize, mut go_on: impl FnMut(usize) -> bool) -> Duration {
    let mut stream = Sse::open(server.address(), &Wish::to(["busy"])).unwrap();
    stream.hello();
    let mut link = Link::connect(server.address());
    let filler = "x".repeat(size);
    let mut times = Vec::new();
    while go_on(times.len()) {
        let start = Instant::now();
        let body = json!([times.len(), filler]).to_string();
        link.send(&Request::post("/v1/channels/busy", body));
        assert_eq!(link.answer().status(), 200);
        assert_eq!(stream.message()["data"][0], times.len());
        times.push(start.elapsed());
    }
    times.sort_unstable();
    times[times.len() * 99 / 100]
}

fn attack(name: &str, size: usize) -> Outcome {
    let _turn = heavy();
    let home = python("http2", "requirements-http2.txt");
    let server = dev_http2(&["--history-count", "20", "--history-bytes", "1MiB"]);
    for number in 0..20 {
        publish(&server, "busy", &json!([number, "y".repeat(size)]));
    }
    let at_rest = round_trips(&server, size, |done| done < 300);
    let before = server.resident_bytes();
    let over = AtomicBool::new(false);
    let (report, under_attack, peak) = thread::scope(|scope| {
        let healthy = scope.spawn(|| {
            round_trips(&server, size, |done| {
                done < 100 || !over.load(Ordering::Relaxed)
            })
        });
        let memory = scope.spawn(|| {
            let mut peak = 0;
            while !over.load(Ordering::Relaxed) {
                peak = peak.max(server.resident_bytes());
                thread::yield_now();
            }
            peak
        });
        let address = server.address();
        let mut python = Command::new(home.join("bin/python"));
        python.arg(external("http2_attacks.py"));
        python.args([&address.ip().to_string(), &address.port().to_string(), name]);
        let said = must(&mut python);
        over.store(true, Ordering::Relaxed);
        let report: Value = serde_json::from_str(&said).expect("a report in JSON");
        (report, healthy.join().unwrap(), memory.join().unwrap())
    });
    let outcome = Outcome {
        report,
        grown: peak.saturating_sub(before),
        p99: [at_rest, under_attack],
    };
    say(&format!(
        "{name}: {}, memory grew by {:.1} MB, p99 {:?} at rest and {:?} under attack",
        outcome.report,
        outcome.grown as f64 / 1e6,
        outcome.p99[0],
        outcome.p99[1],
    ));
    assert!(outcome.grown < GROWTH, "{name}: {outcome:?}");
    assert_eq!(Request::get("/livez").send(server.address()).status(), 200);
    outcome
}

/// The connection is ended, and soon.
fn is_ended_by(name: &str) {
    let outcome = attack(name, 100);
    assert!(outcome.ended() && outcome.seconds() < 1.0, "{outcome:?}");
}

#[test]
fn rapid_resets_end_the_connection() {
    is_ended_by("rapid_reset");
}

#[test]
fn rapid_resets_one_by_one_end_the_connection_or_stay_within_bounds() {
    attack("rapid_reset_one_by_one", 100);
}

#[test]
fn a_flood_of_continuations_ends_the_connection() {
    is_ended_by("continuation_flood");
}

#[test]
fn a_flood_of_empty_data_ends_the_connection() {
    is_ended_by("empty_data_flood");
}

#[test]
fn a_header_named_thousands_of_times_ends_the_connection() {
    is_ended_by("hpack_bomb");
}

#[test]
fn floods_of_settings_and_pings_stay_within_bounds() {
    attack("settings_flood", 100);
    attack("ping_flood", 100);
}

#[test]
fn streams_that_nobody_reads_stay_within_bounds() {
    attack("zero_window", 16 << 10);
    attack("windows_by_the_byte", 16 << 10);
}
