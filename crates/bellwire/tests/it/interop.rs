//! No SDK is needed: curl, the Python package `websockets` and Python's own HTTP client receive
//! what `curl -d` publishes.

use std::{path::Path, process::Command};

use super::{
    dev,
    python::{external, must, python, starts},
    say,
};

#[test]
fn curl_python_websockets_and_the_standard_library_receive_what_curl_publishes() {
    for (program, package) in [("python3", "python3 and python3-venv"), ("curl", "curl")] {
        assert!(
            starts(Path::new(program)),
            "{program} is missing; install {package}"
        );
    }
    let home = python("python", "requirements.txt");
    let server = dev();
    let mut python = Command::new(home.join("bin/python"));
    let said = must(python.arg(external("interop.py")).arg(server.url("")));
    assert_eq!(said.trim(), "received by curl, poll, websockets");
    say(&format!("interop: {}", said.trim()));
}
