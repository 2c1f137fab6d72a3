//! Programs that nobody here wrote, over TLS and HTTP/2.

use std::{path::Path, process::Command};

use super::dev_http2;
use crate::{
    binary,
    python::{external, must, python, starts},
    say,
};

#[test]
fn curl_websockets_h2_node_and_nghttp_are_served() {
    for (program, package) in [
        ("python3", "python3 and python3-venv"),
        ("curl", "curl"),
        ("node", "nodejs"),
        ("h2load", "nghttp2-client"),
    ] {
        assert!(
            starts(Path::new(program)),
            "{program} is missing; install {package}"
        );
    }
    let home = python("http2", "requirements-http2.txt");
    let secure = binary().args(["--dev"]).tls().start();
    let cleartext = dev_http2(&[]);
    let mut python = Command::new(home.join("bin/python"));
    python.arg(external("http2.py"));
    python.arg(format!("https://{}", secure.listening()));
    python.arg(secure.certificate().path());
    let said = must(python.arg(format!("http://{}", cleartext.listening())));
    assert_eq!(
        said.trim(),
        "served curl, websockets, h2, node, nghttp, h2load"
    );
    say(&format!("interop: {}", said.trim()));
}
