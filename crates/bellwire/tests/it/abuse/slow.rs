//! Two thousand slow connections of each kind, made by slowhttptest against a release build: who
//! comes meanwhile is served as if they were not there, and memory stays.

use std::{
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use bellwire_testkit::{
    credentials::{jwt_key, token},
    http::{Link, Request},
    process::{Server, raise_descriptor_limit},
    wait,
};
use serde_json::json;

use crate::{footprint::release, heavy, say};

const ATTACKERS: usize = 2_000;
/// New attackers a second; all are there after four.
const RATE: usize = 500;
/// Healthy clients that come while all attackers are there, and in what interval.
const HEALTHY: usize = 200;
const EVERY: Duration = Duration::from_millis(10);

/// slowhttptest against an endpoint.
fn attack(server: &Server, kind: &[&str], path: &str) -> Child {
    let mut command = Command::new("slowhttptest");
    let (count, rate) = (ATTACKERS.to_string(), RATE.to_string());
    command.args(["-c", &count, "-r", &rate, "-l", "30", "-p", "5"]);
    command.args(kind).args(["-u", &server.url(path)]);
    command.stdout(Stdio::null()).stdin(Stdio::null());
    command
        .spawn()
        .unwrap_or_else(|error| panic!("{error}; install slowhttptest"))
}

fn sockets(server: &Server) -> usize {
    let metrics = Request::get("/metrics").send(server.admin()).text();
    let line = metrics
        .lines()
        .find_map(|line| line.strip_prefix("bellwire_sockets "));
    line.expect("the metric").parse().expect("a number")
}

/// How long clients took from connecting to their hello, sorted.
fn arrivals(server: &Server, token: &str) -> Vec<Duration> {
    let mut took = Vec::with_capacity(HEALTHY);
    let mut due = Instant::now();
    for _ in 0..HEALTHY {
        std::thread::sleep(due.saturating_duration_since(Instant::now()));
        due += EVERY;
        let start = Instant::now();
        let mut link = Link::connect(server.address());
        link.send(&Request::get("/v1/sse?channel=news").bearer(Some(token)));
        assert_eq!(link.head().status, 200);
        link.chunk(start + wait::SOON).unwrap().expect("hello");
        took.push(start.elapsed());
    }
    took.sort();
    took
}

#[test]
fn healthy_clients_connect_while_two_thousand_are_slow() {
    let _turn = heavy();
    raise_descriptor_limit();
    let token = token(
        "ann",
        &json!({"subscribe": ["*"], "publish": ["*"], "history": ["*"]}),
    );
    let stream = format!("/v1/sse?channel=news&cursor=earliest&token={token}");
    // Of who may not publish no body is read.
    let cookie = format!("bellwire_token={token}");
    for (kind, arguments, path) in [
        ("slow headers", &["-H", "-i", "1"][..], "/v1/livez"),
        (
            "slow bodies",
            &["-B", "-i", "1", "-s", "8192", "-j", &cookie],
            "/v1/channels/news",
        ),
        (
            "slow readers",
            &["-X", "-w", "64", "-y", "512", "-n", "1", "-z", "8"],
            &stream,
        ),
    ] {
        let server = release().args(["--jwt-key", &jwt_key()]).start();
        for _ in 0..50 {
            let publish = Request::post("/v1/channels/news", "x".repeat(10_000));
            let answer = publish.bearer(Some(&token)).send(server.address());
            assert_eq!(answer.status(), 200);
        }
        let quiet = arrivals(&server, &token);
        let before = server.resident_bytes();
        let mut attackers = attack(&server, arguments, path);
        wait::until(&format!("{kind} of {ATTACKERS}"), || {
            let ended = attackers.try_wait().expect("a child can be waited for");
            assert!(ended.is_none(), "slowhttptest ended: {ended:?}");
            sockets(&server) > ATTACKERS * 9 / 10
        });
        let full = server.resident_bytes();
        let busy = arrivals(&server, &token);
        let each = full.saturating_sub(before) / ATTACKERS as u64;
        let grown = server.resident_bytes().saturating_sub(full);
        let of = |took: &[Duration]| (took[HEALTHY / 2], took[HEALTHY * 99 / 100]);
        say(&format!(
            "{kind}: hello after {:?} (median, p99), {:?} before; {each} bytes for each of \
             {ATTACKERS}, {grown} more in the meantime",
            of(&busy),
            of(&quiet),
        ));
        assert!(each < 48 << 10, "{kind}: {each} bytes each");
        assert!(
            grown < 8 << 20,
            "{kind}: {grown} bytes more while they go on"
        );
        attackers.kill().expect("it runs");
        attackers.wait().expect("a child can be waited for");
        wait::until("the attackers' connections to end", || {
            sockets(&server) < 100
        });
    }
}
