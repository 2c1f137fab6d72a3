//! Tests of the real binary: each starts a server of its own on a free port and talks to it with
//! clients that share nothing with the server's code.
#![allow(clippy::unwrap_used, reason = "a test stops at what it did not expect")]

mod abuse;
mod access;
mod autobahn;
mod behaviour;
mod bench;
mod commands;
mod compression;
mod door;
mod drain;
mod footprint;
mod handshakes;
mod hop;
mod http2;
mod interop;
mod limits;
mod malformed;
mod python;
mod readme;
mod restart;
mod slow_consumers;
mod startup;
mod takeover;
mod tls;
mod users;

use std::sync::{Mutex, MutexGuard, PoisonError};

use bellwire_testkit::{
    credentials::{self, ApiKey, jwt_key},
    http::{Answer, Request},
    process::{Server, ServerBuilder},
};
use serde_json::Value;

/// The turn of a test that keeps the machine busy. Two of them at once would show each other's
/// load, and share one limit of descriptors.
fn heavy() -> MutexGuard<'static, ()> {
    static TURN: Mutex<()> = Mutex::new(());
    // A test that failed has nothing to protect any more.
    TURN.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The binary, to be started.
fn binary() -> ServerBuilder {
    Server::builder(env!("CARGO_BIN_EXE_bellwire")).args(["--shards", "2"])
}

/// A server in development mode, open to everybody here.
fn dev() -> Server {
    dev_with(&[])
}

/// The same with further arguments.
fn dev_with(arguments: &[&str]) -> Server {
    binary().args(["--dev"]).args(arguments).start()
}

/// A server as in production, and an API key that may do everything.
struct Secured {
    server: Server,
    key: ApiKey,
}

/// A server that knows the tests' signing key and one API key with all scopes.
fn secured(arguments: &[&str]) -> Secured {
    secured_by(&binary(), arguments)
}

/// The same, described further.
fn secured_by(builder: &ServerBuilder, arguments: &[&str]) -> Secured {
    let scopes = "publish:*,read:*,publish:@*,read:@*,manage,metrics";
    let key = credentials::api_key("allofall", scopes);
    let server = builder
        .clone()
        .args(["--jwt-key", &jwt_key(), "--api-key", &key.line])
        .args(arguments)
        .start();
    Secured { server, key }
}

impl Secured {
    /// Publishes with the API key; gives the id.
    fn publish(&self, channel: &str, data: &Value) -> String {
        let path = format!("/v1/channels/{}", channel.replace('@', "%40"));
        published(&self.post(&path, data.to_string()))
    }

    /// Posts with the API key.
    fn post(&self, path: &str, body: impl Into<Vec<u8>>) -> Answer {
        let request = Request::post(path, body).bearer(Some(&self.key.text));
        request.send(self.server.address())
    }
}

/// Publishes on a server in development mode; gives the id.
fn publish(server: &Server, channel: &str, data: &Value) -> String {
    let path = format!("/v1/channels/{channel}");
    published(&Request::post(&path, data.to_string()).send(server.address()))
}

/// The id in the answer to a publish.
fn published(answer: &Answer) -> String {
    assert_eq!(answer.status(), 200, "{}", answer.text());
    answer.json()["id"]
        .as_str()
        .expect("a publish has an id")
        .to_owned()
}

/// Publishes the numbers of a range; gives the ids.
fn publish_numbers(server: &Server, channel: &str, numbers: std::ops::Range<u64>) -> Vec<String> {
    numbers
        .map(|number| publish(server, channel, &number.into()))
        .collect()
}

/// The numbers of a range as they arrive.
fn numbers(range: std::ops::Range<u64>) -> Vec<Value> {
    range.map(Value::from).collect()
}

/// Tells a figure to whoever runs the tests with `--nocapture`.
#[expect(
    clippy::print_stderr,
    reason = "figures are for people who ask for them"
)]
fn say(figure: &str) {
    eprintln!("{figure}");
}
