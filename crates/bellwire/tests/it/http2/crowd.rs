//! Ten thousand event streams over a hundred connections, in the memory of a release build.

use std::time::{Duration, Instant};

use bellwire_testkit::process::raise_descriptor_limit;

use super::client::{Body, Client, run, within};
use crate::{footprint::release, heavy, publish, say};

const CONNECTIONS: usize = 100;
const STREAMS: usize = 100;
/// What a stream and its share of the connection may cost.
const AT_MOST: u64 = 6_000;

async fn hold(address: std::net::SocketAddr, count: usize) -> Vec<(Client, Vec<Body>)> {
    let mut held = Vec::with_capacity(count);
    for _ in 0..count {
        let client = Client::connect(address).await;
        let mut streams = Vec::with_capacity(STREAMS);
        for _ in 0..STREAMS {
            streams.push(client.events("news").await);
        }
        held.push((client, streams));
    }
    held
}

#[test]
fn ten_thousand_event_streams_share_a_hundred_connections() {
    let _turn = heavy();
    raise_descriptor_limit();
    let server = release().args(["--dev", "--http2-cleartext"]).start();
    run(async {
        // What exists once is not counted.
        let mut held = hold(server.address(), 2).await;
        let before = server.resident_bytes();
        held.extend(hold(server.address(), CONNECTIONS).await);
        let each = (server.resident_bytes() - before) / (CONNECTIONS * STREAMS) as u64;
        publish(&server, "news", &"to all of them".into());
        let start = Instant::now();
        within(Duration::from_secs(60), "a delivery to everybody", async {
            for (_, streams) in &mut held {
                for stream in streams {
                    stream.until("to all of them").await;
                }
            }
        })
        .await;
        say(&format!(
            "{} event streams over {} connections: {each} bytes each, all served within {:?}",
            STREAMS * held.len(),
            held.len(),
            start.elapsed(),
        ));
        assert!(each <= AT_MOST, "{each} bytes for a stream");
    });
}
