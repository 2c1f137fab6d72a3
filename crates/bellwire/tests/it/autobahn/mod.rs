//! The Autobahn test suite against `/v1/echo` and against the WebSocket side of the Rust client:
//! every section, of the long ones about compression (12, 13) one case for each set of
//! parameters; all cases where `BELLWIRE_AUTOBAHN=all`. `cargo xtask autobahn` runs all of the server's
//! and writes `docs/autobahn.md`.

mod suite;

use std::{collections::BTreeMap, path::Path};

use bellwire_client::conformance;
use bellwire_core::shard::PlantedFault;
use bellwire_server::planted::Planted;
use serde_json::Value;

use super::{dev_with, hop, say};

/// Sections 1 to 7, 9 and 10.
const PROTOCOL: [&str; 9] = [
    "1.*", "2.*", "3.*", "4.*", "5.*", "6.*", "7.*", "9.*", "10.*",
];
/// Of sections 12 and 13 the messages of 256 bytes.
const COMPRESSION: [&str; 12] = [
    "12.1.3", "12.2.3", "12.3.3", "12.4.3", "12.5.3", "13.1.3", "13.2.3", "13.3.3", "13.4.3",
    "13.5.3", "13.6.3", "13.7.3",
];
const COUNT: usize = 313;
const COUNT_OF_ALL: usize = 517;
/// Cases that the suite itself never judges.
const INFORMATIONAL: [&str; 3] = ["7.1.6", "7.13.1", "7.13.2"];

#[test]
fn the_echo_endpoint_passes_the_autobahn_test_suite() {
    let server = dev_with(&["--websocket-compression", "shared"]);
    let (cases, count) = chosen();
    let index = suite::test_server("server", &server.url("/v1/echo"), &cases);
    let report = judge(&index);
    assert_eq!(report.failed, Vec::<String>::new());
    assert_eq!(report.cases, count);
}

#[test]
fn the_echo_endpoint_passes_it_with_contexts() {
    let server = dev_with(&["--websocket-compression", "context"]);
    let index = suite::test_server("contexts", &server.url("/v1/echo"), &COMPRESSION);
    let report = judge(&index);
    assert_eq!(report.failed, Vec::<String>::new());
    assert_eq!(report.cases, COMPRESSION.len());
}

/// The suite would notice: a node that does not look at text fails where text is bad.
#[test]
fn a_node_that_overlooks_bad_text_fails_the_autobahn_test_suite() {
    let planted = Planted {
        fault: Some(PlantedFault::OverlookBadText),
        ..Planted::default()
    };
    let node = hop::node("127.0.0.1:0", planted);
    let url = format!("http://{}/v1/echo", node.address());
    let index = suite::test_server("overlooking", &url, &["6.*"]);
    node.stop().expect("the node ends in order");
    let report = judge(&index);
    assert_eq!(report.cases, 145);
    assert!(report.failed.len() > 50, "{:?}", report.failed);
}

#[test]
fn the_rust_client_passes_the_autobahn_test_suite() {
    let (cases, count) = chosen();
    let index = suite::test_client("client", &cases, |url| {
        let runtime = tokio::runtime::Builder::new_current_thread();
        let runtime = { runtime }.enable_all().build().expect("a runtime");
        runtime.block_on(run_cases(url));
    });
    let report = judge(&index);
    assert_eq!(report.failed, Vec::<String>::new());
    assert_eq!(report.cases, count);
}

/// What the suite asks of a client: to run each case, then to have the reports written.
async fn run_cases(url: &str) {
    let echo = async |path: &str| {
        let echoed = conformance::echo(url, path).await;
        echoed.unwrap_or_else(|error| panic!("{path}: {error}"))
    };
    let counted = echo("/getCaseCount").await;
    let count: usize = counted[0].parse().expect("a number of cases");
    for case in 1..=count {
        echo(&format!("/runCase?case={case}&agent={}", suite::AGENT)).await;
    }
    echo(&format!("/updateReports?agent={}", suite::AGENT)).await;
}

/// The cases that are run, and how many those are.
fn chosen() -> (Vec<&'static str>, usize) {
    if std::env::var("BELLWIRE_AUTOBAHN").is_ok_and(|which| which == "all") {
        return (vec!["*"], COUNT_OF_ALL);
    }
    (PROTOCOL.into_iter().chain(COMPRESSION).collect(), COUNT)
}

struct Report {
    cases: usize,
    failed: Vec<String>,
}

fn judge(index: &Path) -> Report {
    let index = std::fs::read_to_string(index).expect("the suite leaves a report");
    let index: Value = serde_json::from_str(&index).expect("a report is JSON");
    let cases = index[suite::AGENT].as_object().expect("the agent's cases");
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    let mut failed = Vec::new();
    for (case, result) in cases {
        let behavior = result["behavior"].as_str().unwrap_or_default();
        let close = result["behaviorClose"].as_str().unwrap_or_default();
        *counts.entry(behavior).or_default() += 1;
        let passed = match (behavior, close) {
            ("OK", "OK" | "INFORMATIONAL") => true,
            ("INFORMATIONAL", "OK" | "INFORMATIONAL") => INFORMATIONAL.contains(&case.as_str()),
            _ => false,
        };
        if !passed {
            failed.push(format!("{case}: {behavior}, closing {close}"));
        }
    }
    say(&format!("autobahn: {} cases, {counts:?}", cases.len()));
    Report {
        cases: cases.len(),
        failed,
    }
}
