//! `pub` and `sub` as a person runs them, with and without encryption.

use std::process::{Command, Output};

use bellwire_testkit::{certificate::Certificate, process::Server};
use serde_json::{Value, json};

use crate::{binary, dev, publish};

/// The command, to be told what to do with this server; it trusts its certificate.
fn bellwire(server: &Server, command: &str) -> Command {
    let mut bellwire = stranger(server, command);
    if server.is_encrypted() {
        bellwire.arg("--ca").arg(server.certificate().path());
    }
    bellwire
}

/// The same, with no certificate but the system's.
fn stranger(server: &Server, command: &str) -> Command {
    let scheme = if server.is_encrypted() {
        "https"
    } else {
        "http"
    };
    let mut bellwire = Command::new(env!("CARGO_BIN_EXE_bellwire"));
    let url = format!("{scheme}://{}", server.listening());
    bellwire.args([command, "--url", &url]);
    bellwire
}

fn complaint(output: &Output) -> String {
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn sub_prints_what_pub_said_on_each_transport_with_and_without_encryption() {
    // More than a record and more than one read.
    let long = json!("x".repeat(200_000));
    for server in [dev(), binary().args(["--dev"]).tls().start()] {
        publish(&server, "news", &long);
        let said = bellwire(&server, "pub")
            .args(["news", "{\"goals\":2}"])
            .output();
        assert!(said.unwrap().status.success());
        for via in ["sse", "ws", "poll"] {
            let mut sub = bellwire(&server, "sub");
            sub.args(["news", "--cursor", "earliest", "-n", "2", "--via", via]);
            let output = sub.output().unwrap();
            let printed = String::from_utf8_lossy(&output.stdout);
            let read = |line| serde_json::from_str::<Value>(line).expect("a line is JSON");
            let data: Vec<_> = printed
                .lines()
                .map(|line| read(line)["data"].clone())
                .collect();
            assert!(
                data == [long.clone(), json!({"goals": 2})],
                "{via}: {output:?}"
            );
        }
    }
}

#[test]
fn a_server_whose_certificate_is_not_trusted_is_told_nothing() {
    let server = binary().args(["--dev"]).tls().start();
    let other = Certificate::new();
    let mut pub_ = stranger(&server, "pub");
    let said = complaint(&pub_.args(["news", "1"]).output().unwrap());
    assert!(
        said.contains("certificate") && said.contains("--ca"),
        "{said}"
    );
    pub_.arg("--ca").arg(other.path());
    let said = complaint(&pub_.output().unwrap());
    assert!(
        said.contains("certificate") && said.contains("--ca"),
        "{said}"
    );
    // What the system trusts may be named the way other programs do.
    let mut trusting = stranger(&server, "pub");
    trusting.env("SSL_CERT_FILE", server.certificate().path());
    let output = trusting.args(["news", "2"]).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    let history = bellwire_testkit::http::Request::get("/v1/channels/news/history");
    let history = history.send(server.address()).json();
    assert_eq!(
        history["messages"].as_array().unwrap().len(),
        1,
        "{history}"
    );
}

#[test]
fn a_file_of_certificates_that_is_none_is_named() {
    let server = binary().args(["--dev"]).tls().start();
    let key = server.certificate().key();
    for (file, expected) in [
        ("/nowhere", "/nowhere can't be read"),
        (key.to_str().unwrap(), "no certificate"),
    ] {
        let mut sub = stranger(&server, "sub");
        let said = complaint(&sub.args(["news", "--ca", file]).output().unwrap());
        assert!(said.contains("ca: ") && said.contains(expected), "{said}");
    }
}

#[test]
fn plain_http_to_a_port_that_encrypts_says_what_to_do() {
    let server = binary().args(["--dev"]).tls().start();
    let url = format!("http://{}", server.listening());
    let mut bellwire = Command::new(env!("CARGO_BIN_EXE_bellwire"));
    let output = bellwire.args(["pub", "--url", &url, "news", "1"]).output();
    let said = complaint(&output.unwrap());
    assert!(said.contains("use https:// here"), "{said}");
}
