//! `bellwire bench` against real servers: what it tells, and that it tells losses.

use std::process::{Command, Output};

use bellwire_core::shard::PlantedFault;
use bellwire_server::planted::Planted;
use bellwire_testkit::credentials::jwt_key;
use serde_json::Value;

use crate::{binary, dev, heavy, hop::node, secured};

/// Runs the command with few connections for a short time, and more arguments.
fn bench(url: &str, arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_bellwire"))
        .args(["bench", "--url", url, "-c", "20", "--seconds", "0.5"])
        .args(arguments)
        .output()
        .unwrap()
}

fn json(output: &Output) -> Value {
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{error}");
    serde_json::from_slice(&output.stdout).unwrap()
}

#[test]
fn every_transport_is_measured_and_every_delivery_verified() {
    let server = dev();
    let pid = server.pid().to_string();
    for via in ["ws", "sse", "poll"] {
        let arguments = ["--via", via, "--rate", "40", "--pid", &pid, "--json"];
        let found = json(&bench(&server.url(""), &arguments));
        let stream = &found["streams"][0];
        assert_eq!(stream["published"], 20, "{via}");
        assert_eq!(stream["deliveries"], 400, "{via}");
        assert_eq!(
            (&stream["lost"], &stream["repeated"]),
            (&0.into(), &0.into()),
            "{via}"
        );
        assert!(stream["latency_ms"]["p99"].as_f64().unwrap() > 0.0, "{via}");
        assert!(stream["cpu_s_per_million"].as_f64().unwrap() > 0.0, "{via}");
        assert!(found["idle"]["rss_each"].is_number(), "{via}");
    }
}

#[test]
fn a_server_that_encrypts_is_measured_like_any_other() {
    let server = binary().args(["--dev"]).tls().start();
    let url = format!("https://{}", server.listening());
    let ca = server.certificate().path();
    for arguments in [
        &["--via", "ws", "--storm"][..],
        &["--via", "sse", "--payload", "40000"],
        &["--via", "poll"],
        &["--via", "ws", "--outstanding", "4"],
    ] {
        let trust = ["--json", "--ca", ca.to_str().unwrap()];
        let found = json(&bench(&url, &[arguments, &trust].concat()));
        let stream = &found["streams"][0];
        let published = stream["published"].as_u64().unwrap();
        assert!(published > 0, "{arguments:?}");
        assert_eq!(stream["deliveries"], 20 * published, "{arguments:?}");
    }
    let output = bench(&url, &[]);
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(
        !output.status.success() && said.contains("certificate"),
        "{said}"
    );
}

#[test]
fn every_pattern_delivers_to_whom_it_should() {
    let server = dev();
    for (pattern, streams) in [
        ("unicast", &[("unicast", 50)][..]),
        ("mixed", &[("unicast", 50), ("broadcast", 18)]),
    ] {
        let arguments = ["--pattern", pattern, "--rate", "100", "--json"];
        let found = json(&bench(&server.url(""), &arguments));
        let named: Vec<(&str, u64)> = found["streams"]
            .as_array()
            .unwrap()
            .iter()
            .map(|stream| {
                (
                    stream["name"].as_str().unwrap(),
                    stream["deliveries"].as_u64().unwrap(),
                )
            })
            .collect();
        assert_eq!(named, streams, "{pattern}");
    }
}

#[test]
fn a_storm_comes_back_with_everything_it_missed() {
    let server = dev();
    let arguments = ["--via", "ws", "--storm", "--missed", "7", "--json"];
    let storm = &json(&bench(&server.url(""), &arguments))["storm"];
    assert_eq!(storm["caught"], 20 * 7);
    assert_eq!((&storm["lost"], &storm["repeated"]), (&0.into(), &0.into()));
}

#[test]
fn a_server_that_loses_messages_makes_the_run_fail() {
    let _turn = heavy();
    let planted = Planted {
        fault: Some(PlantedFault::SkipCatchUp),
        ..Planted::default()
    };
    let node = node("127.0.0.1:0", planted);
    let url = format!("http://{}", node.address());
    let output = bench(&url, &["--via", "ws", "--storm", "--missed", "3"]);
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(
        !output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stdout)
    );
    assert!(error.contains("caught up"), "{error}");
}

#[test]
fn tokens_are_presented_and_a_missing_one_is_told_in_the_servers_words() {
    let secured = secured(&[]);
    let url = secured.server.url("");
    let output = bench(&url, &["--credential", &secured.key.text]);
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(
        !output.status.success() && error.contains("refused: HTTP/1.1 401"),
        "{error}"
    );
    let arguments = [
        "--credential",
        &secured.key.text,
        "--jwt-key",
        &jwt_key(),
        "--json",
    ];
    assert_eq!(json(&bench(&url, &arguments))["streams"][0]["lost"], 0);
}

#[test]
fn tables_and_a_plot_are_shown_to_people_and_charts_are_written() {
    let server = dev();
    let folder = std::env::temp_dir().join(format!("bellwire-bench-test-{}", std::process::id()));
    let output = bench(&server.url(""), &["--svg", folder.to_str().unwrap()]);
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let chart = std::fs::read_to_string(folder.join("latency.svg")).unwrap();
    std::fs::remove_dir_all(&folder).unwrap();
    for shown in ["20 over SSE", "0 lost, 0 repeated", "p99.9", "█"] {
        assert!(text.contains(shown), "{text}");
    }
    assert!(chart.starts_with("<svg") && chart.contains("broadcast"));
}

#[test]
fn a_server_that_is_not_there_is_told_with_what_to_do() {
    let output = bench("http://127.0.0.1:1", &[]);
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(error.contains("bellwire serve --dev"), "{error}");
}
