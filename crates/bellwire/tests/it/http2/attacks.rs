//! Frames that no client would send, by a program that shares nothing with the server. Each attack
//! ends its own connection or stays within bounds, while a healthy client is served.

use std::{
    env,
    io::{BufRead as _, BufReader, Read as _, Write as _},
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
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
    python::{external, python},
    say,
};

/// What an attack may make the server remember.
const GROWTH: u64 = 16_000_000;

/// For how many seconds an attacker comes back, unless `BELLWIRE_ATTACK_S` says.
const LASTING: &str = "1";

/// A program that is ready to attack.
struct Attacker {
    child: Child,
    asks: ChildStdin,
    says: BufReader<ChildStdout>,
}

impl Attacker {
    fn new(server: &Server, name: &str) -> Self {
        let home = python("http2", "requirements-http2.txt");
        let address = server.address();
        let lasting = env::var("BELLWIRE_ATTACK_S").unwrap_or_else(|_| LASTING.into());
        let mut child = Command::new(home.join("bin/python"))
            .arg(external("http2_attacks.py"))
            .args([&address.ip().to_string(), &address.port().to_string()])
            .args([name, &lasting])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("the attacker starts");
        let asks = child.stdin.take().expect("piped");
        let mut says = BufReader::new(child.stdout.take().expect("piped"));
        let mut line = String::new();
        says.read_line(&mut line).expect("a line");
        assert_eq!(line, "ready\n", "{name} is not ready");
        Self { child, asks, says }
    }

    /// Lets it attack until it is done.
    fn attack(mut self) -> Value {
        writeln!(self.asks, "go").expect("it listens");
        let mut said = String::new();
        self.says.read_to_string(&mut said).expect("text");
        assert!(self.child.wait().expect("it ends").success(), "{said}");
        serde_json::from_str(&said).expect("a report in JSON")
    }
}

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
    let kept = ["--history-count", "20", "--history-bytes", "1MiB"];
    // No connection is ended for being slow: what ends it is a bound.
    let patient = ["--limits-handshake-timeout", "10min"];
    let server = dev_http2(&[&kept[..], &patient].concat());
    let attacker = Attacker::new(&server, name);
    for number in 0..20 {
        publish(&server, "busy", &json!([number, "y".repeat(size)]));
    }
    let at_rest = round_trips(&server, size, |done| done < 5_000);
    let before = server.resident_bytes();
    let over = AtomicBool::new(false);
    let (report, under_attack, peak) = thread::scope(|scope| {
        let healthy = scope.spawn(|| {
            round_trips(&server, size, |done| {
                done < 1_000 || !over.load(Ordering::Relaxed)
            })
        });
        let memory = scope.spawn(|| {
            let mut peak = 0;
            while !over.load(Ordering::Relaxed) {
                peak = peak.max(server.resident_bytes());
                // Often, but not so often that looking takes time from those who are looked at.
                thread::sleep(Duration::from_millis(2));
            }
            peak
        });
        let report = attacker.attack();
        over.store(true, Ordering::Relaxed);
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

/// Each connection is ended; how soon is in the report.
fn is_ended_by(name: &str) {
    let outcome = attack(name, 100);
    assert!(outcome.ended(), "{outcome:?}");
}

#[test]
fn rapid_resets_end_the_connection() {
    is_ended_by("rapid_reset");
}

#[test]
fn rapid_resets_one_by_one_end_the_connection() {
    is_ended_by("rapid_reset_one_by_one");
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
