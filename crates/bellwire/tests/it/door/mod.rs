//! Who is at the other end: addresses of clients behind proxies, and the bounds that hold for them.

mod forwarded;
mod proxy_protocol;
mod rates;
mod through_proxies;

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use bellwire_testkit::{
    credentials::token,
    http::{Head, Link, Request},
    wait,
};
use serde_json::json;

use crate::{Secured, handshakes::handshake, secured};

/// A server behind a proxy at 127.0.0.1, with two connections per address.
fn behind_a_proxy(arguments: &[&str]) -> Secured {
    let usual = [
        "--trusted-proxy",
        "127.0.0.1",
        "--limits-max-connections-per-address",
        "2",
    ];
    secured(&[&usual, arguments].concat())
}

/// An address of this machine that is no trusted proxy.
const STRANGER: IpAddr = IpAddr::V4(Ipv4Addr::new(127, 0, 0, 2));

/// The request of a user that opens a stream by this transport's path.
fn stream(path: &str) -> Request {
    let target = format!("{path}?channel=news");
    let token = token("ann", &json!({"subscribe": ["news"], "publish": ["news"]}));
    let request = if path == "/v1/ws" {
        handshake(&target, &[])
    } else {
        Request::get(&target)
    };
    request.bearer(Some(&token))
}

/// Sends a request on a connection of its own; gives both with the head of the answer.
fn opened(address: SocketAddr, request: &Request) -> (Link, Head) {
    let mut link = Link::connect(address);
    link.send(request);
    let head = link.head();
    (link, head)
}

impl Secured {
    /// The addresses of all sessions as operators see them, sorted.
    fn addresses(&self) -> Vec<String> {
        let request = Request::get("/v1/connections").bearer(Some(&self.key.text));
        let listing = request.send(self.server.admin()).json();
        let rows = listing["connections"].as_array().expect("a listing").iter();
        let mut found: Vec<_> = rows
            .map(|row| row["address"].as_str().expect("an address").to_owned())
            .collect();
        found.sort();
        found
    }

    /// Waits until the sessions are those of these addresses.
    fn await_addresses(&self, expected: &[&str]) {
        wait::until(&format!("sessions of {expected:?}"), || {
            self.addresses() == expected
        });
    }

    /// The value of a metric.
    fn metric(&self, name: &str) -> u64 {
        let metrics = Request::get("/metrics").send(self.server.admin()).text();
        let mut lines = metrics.lines();
        let value = lines.find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        value.map_or(0, |value| value.parse().expect("a number"))
    }
}
