//! The Autobahn test suite against `/v1/echo`: all cases but the limits and the compression
//! (sections 9, 12, 13).

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use serde_json::{Value, json};

use super::{
    dev,
    python::{environment, must, starts},
    say,
};

/// The suite runs under no other Python.
const PYTHON: &str = "2.7.18";
const CASES: usize = 247;
/// Cases that the suite itself never judges.
const INFORMATIONAL: [&str; 3] = ["7.1.6", "7.13.1", "7.13.2"];
const REQUIREMENTS: [&str; 3] = [
    "autobahn/1-build-tools.txt",
    "autobahn/2-libraries.txt",
    "autobahn/3-suite.txt",
];

#[test]
fn the_echo_endpoint_passes_the_autobahn_test_suite() {
    let home = environment("autobahn", &REQUIREMENTS, install);
    let server = dev();
    let reports = home.join("reports");
    let specification = json!({
        "options": {"failByDrop": false},
        "outdir": reports,
        "servers": [{"agent": "bellwire", "url": server.url("/v1/echo").replacen("http", "ws", 1)}],
        "cases": ["*"],
        "exclude-cases": ["9.*", "12.*", "13.*"],
        "exclude-agent-cases": {},
    });
    let file = home.join("specification.json");
    fs::write(&file, specification.to_string()).expect("the target directory can be written");
    let index = reports.join("index.json");
    if index.exists() {
        fs::remove_file(&index).expect("an old report can be removed");
    }
    let mut suite = Command::new(home.join("py27/bin/wstest"));
    must(suite.args(["--mode", "fuzzingclient", "--spec"]).arg(&file));
    judge(&fs::read_to_string(&index).expect("the suite leaves a report"));
}

fn judge(index: &str) {
    let index: Value = serde_json::from_str(index).expect("a report is JSON");
    let cases = index["bellwire"].as_object().expect("the agent's cases");
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
    assert_eq!(failed, Vec::<String>::new());
    assert_eq!(cases.len(), CASES);
}

/// Builds the suite's environment. The order matters: its libraries are built by the build tools
/// installed before them, because newer ones fetch what Python 2.7 can't read.
fn install(home: &Path, requirements: &[PathBuf]) {
    let python = python27();
    let tools = home.join("virtualenv");
    let mut pip = Command::new(&python);
    pip.args([
        "-m",
        "pip",
        "install",
        "--quiet",
        "virtualenv<20.22",
        "--target",
    ]);
    must(pip.arg(&tools));
    let mut virtualenv = Command::new(&python);
    virtualenv
        .args(["-m", "virtualenv", "--quiet"])
        .env("PYTHONPATH", &tools);
    must(virtualenv.arg(home.join("py27")));
    let options: [&[&str]; 3] = [
        &[],
        &["--no-build-isolation"],
        &["--no-build-isolation", "--no-deps"],
    ];
    for (requirements, options) in requirements.iter().zip(options) {
        let mut pip = Command::new(home.join("py27/bin/pip"));
        pip.args(["install", "--quiet"]).args(options);
        must(pip.arg("--requirement").arg(requirements));
    }
}

fn python27() -> PathBuf {
    let pyenv = Command::new("pyenv").args(["prefix", PYTHON]).output();
    let prefix = pyenv.ok().filter(|output| output.status.success());
    let found = prefix.map_or_else(
        || PathBuf::from("python2.7"),
        |output| Path::new(String::from_utf8_lossy(&output.stdout).trim()).join("bin/python2.7"),
    );
    // It writes its version to standard error, but writes it.
    assert!(
        starts(&found),
        "CPython 2.7 is missing, which the Autobahn test suite needs: pyenv install {PYTHON}"
    );
    found
}
