//! Streams, polls and publishing over one connection, and how a connection ends.

use std::time::Duration;

use bellwire_testkit::{
    credentials::token,
    http::Request,
    raw::{Sse, Stream as _, Wish},
    wait,
};
use h2::client::Builder;
use serde_json::json;

use super::{
    client::{Client, run, soon, within},
    dev_http2,
};
use crate::{publish, say, secured};

#[test]
fn streams_polls_and_publishing_share_a_connection() {
    let server = dev_http2(&[]);
    run(async {
        let client = Client::connect(server.address()).await;
        let mut events = client.events("news").await;
        let first = client.get("/v1/poll?channel=news").await.body.json().await;
        let cursor = first["cursor"].as_str().unwrap();
        let target = format!("/v1/poll?channel=news&cursor={cursor}");
        let (poll, published) = tokio::join!(client.get(&target), async {
            client
                .post("/v1/channels/news", "hello")
                .await
                .body
                .json()
                .await
        });
        assert_eq!(poll.headers["content-type"], "application/json");
        let polled = poll.body.json().await;
        assert_eq!(polled["messages"][0]["id"], published["id"]);
        events.until(published["id"].as_str().unwrap()).await;
        let posted = client
            .post("/v1/sse", json!({"channels": ["news"]}).to_string())
            .await;
        let mut posted = posted.body;
        posted.until("event: hello").await;
        publish(&server, "news", &"second".into());
        events.until("second").await;
        posted.until("second").await;
    });
}

#[test]
fn a_page_that_breaks_off_hundreds_of_streams_keeps_its_connection() {
    let server = dev_http2(&[]);
    run(async {
        let client = Client::connect(server.address()).await;
        // Twice as many as it may have open.
        for _ in 0..256 {
            drop(client.events("news").await);
        }
        let mut events = client.events("news").await;
        publish(&server, "news", &"still".into());
        events.until("still").await;
    });
}

#[test]
fn who_goes_on_breaking_off_streams_is_ended_and_counted() {
    let server = dev_http2(&[]);
    run(async {
        let client = Client::connect(server.address()).await;
        let open = || client.ask("GET", "/v1/sse?channel=news", &[], None);
        // Each is answered, and broken off by being dropped.
        let flood = async { while open().await.is_ok() {} };
        soon("the end of who floods", Box::pin(flood)).await;
    });
    let metrics = Request::get("/metrics").send(server.address()).text();
    let counted = "bellwire_requests_refused_total{code=\"too_many_resets\"} 1\n";
    assert!(metrics.contains(counted), "{metrics}");
}

#[test]
fn streams_take_the_places_of_the_clients_for_whom_a_proxy_opens_them() {
    let secured = secured(&[
        "--http2-cleartext",
        "--trusted-proxy",
        "127.0.0.1",
        "--limits-max-connections-per-address",
        "1",
    ]);
    let bearer = format!("Bearer {}", token("ann", &json!({"subscribe": ["news"]})));
    run(async {
        let proxy = Client::connect(secured.server.address()).await;
        // Whether the stream has opened: one for whom there is no room is told when to come back.
        let open = async |client: &str| {
            let headers = [("authorization", &*bearer), ("x-forwarded-for", client)];
            let mut body = proxy.get_with("/v1/sse?channel=news", &headers).await.body;
            body.until("\n\n").await;
            body.text.contains("event: hello").then_some(body)
        };
        let first = open("203.0.113.1").await;
        assert!(first.is_some());
        assert!(open("203.0.113.1").await.is_none());
        let other = open("203.0.113.2").await;
        assert!(other.is_some());
        drop(first);
        let reopened = async { while open("203.0.113.1").await.is_none() {} };
        soon("the place of the stream that was left", Box::pin(reopened)).await;
    });
}

#[test]
fn a_trusted_proxy_breaks_off_streams_for_as_many_clients_as_it_has() {
    let secured = secured(&["--http2-cleartext", "--trusted-proxy", "127.0.0.1"]);
    let bearer = format!("Bearer {}", token("ann", &json!({"subscribe": ["news"]})));
    run(async {
        let proxy = Client::connect(secured.server.address()).await;
        let headers = [
            ("authorization", &*bearer),
            ("x-forwarded-for", "203.0.113.1"),
        ];
        for _ in 0..1_500 {
            let answer = proxy.get_with("/v1/sse?channel=news", &headers).await;
            assert_eq!(answer.status, 200);
            // What came only behind the reset would be an error to the library of this client.
            let mut events = answer.body;
            events.until("event: hello").await;
        }
    });
}

#[test]
fn nothing_that_belongs_to_a_connection_is_in_a_head() {
    let server = dev_http2(&["--limits-max-connections", "1"]);
    run(async {
        let seated = Client::connect(server.address()).await;
        let stream = seated.get("/v1/sse?channel=news").await;
        // One that gets no seat is told to go away, by HTTP/2's own means.
        let refused = Client::connect(server.address()).await;
        let refusal = refused.get("/v1/poll?channel=news").await;
        assert_eq!(refusal.status, 503);
        for answer in [&stream, &refusal] {
            for name in ["connection", "transfer-encoding", "keep-alive", "upgrade"] {
                assert_eq!(answer.headers.get(name), None, "{name}");
            }
        }
        drop(refusal);
        soon("the end of the refused", refused.connection)
            .await
            .unwrap()
            .unwrap();
    });
}

#[test]
fn a_websocket_handshake_of_http1_is_refused() {
    let server = dev_http2(&[]);
    run(async {
        let client = Client::connect(server.address()).await;
        let answer = client.get("/v1/ws?channel=news").await;
        assert!(answer.status.is_client_error(), "{}", answer.status);
    });
}

#[test]
fn heartbeats_come_over_an_idle_stream() {
    let server = dev_http2(&["--heartbeat", "3s"]);
    run(async {
        let client = Client::connect(server.address()).await;
        let mut events = client.events("quiet").await;
        events.until("\n:\n\n").await;
    });
}

#[test]
fn an_idle_connection_is_closed_and_one_with_a_stream_is_not() {
    let server = dev_http2(&["--limits-keep-alive-timeout", "3s"]);
    run(async {
        let busy = Client::connect(server.address()).await;
        let mut events = busy.events("news").await;
        // It comes later, so that the other has been there for longer when it ends.
        let idle = Client::connect(server.address()).await;
        assert_eq!(idle.get("/livez").await.status, 200);
        soon("the end of the idle one", idle.connection)
            .await
            .unwrap()
            .unwrap();
        publish(&server, "news", &1.into());
        events.until("\"data\":1").await;
        drop(events);
        soon("the end of the other, once it is idle", busy.connection)
            .await
            .unwrap()
            .unwrap();
    });
    let listing = || {
        Request::get("/v1/connections")
            .send(server.address())
            .json()
    };
    wait::until("the session to end with its stream", || {
        listing()["connections"].as_array().unwrap().is_empty()
    });
}

#[test]
fn a_connection_has_its_limit_of_streams() {
    let server = dev_http2(&["--http2-max-streams", "3"]);
    run(async {
        let client = Client::connect(server.address()).await;
        let mut streams = Vec::new();
        for _ in 0..3 {
            streams.push(client.events("news").await);
        }
        // The client library waits, as the server has told it to.
        let fourth = client.events("news");
        tokio::pin!(fourth);
        let waits = tokio::time::timeout(Duration::from_millis(300), &mut fourth).await;
        assert!(waits.is_err(), "a fourth stream was opened");
        streams.pop();
        fourth.await;
    });
}

#[test]
fn a_drain_sends_streams_away_and_closes_connections() {
    let mut server = dev_http2(&["--drain-window", "1s"]);
    run(async {
        let client = Client::connect(server.address()).await;
        let mut streams = Vec::new();
        for _ in 0..5 {
            streams.push(client.events("news").await);
        }
        server.terminate();
        for stream in &mut streams {
            let text = stream.rest().await;
            assert!(text.contains("event: bye"), "{text}");
        }
        drop(streams);
        soon("the connection's end", client.connection)
            .await
            .unwrap()
            .unwrap();
    });
    let status = server.process().wait(Duration::from_secs(10));
    assert!(status.success(), "{status}");
}

#[test]
fn a_stream_with_a_closed_window_is_a_slow_reader_and_harms_nobody() {
    const BUSY: u64 = 256;
    let server = dev_http2(&["--history-count", "1000", "--history-bytes", "64MiB"]);
    let mut healthy = Sse::open(server.address(), &Wish::to(["busy"])).unwrap();
    healthy.hello();
    run(async {
        let mut window = Builder::new();
        window.initial_window_size(16 << 10);
        window.initial_connection_window_size(1 << 20);
        let client = Client::connect_with(server.address(), &window).await;
        let mut slow = Vec::new();
        for _ in 0..32 {
            slow.push(client.events("busy").await);
        }
        // Another stream of the same connection goes on.
        let mut quiet = client.events("quiet").await;
        let before = server.resident_bytes();
        let filler = "x".repeat(8 << 10);
        for number in 0..BUSY {
            publish(&server, "busy", &json!([number, filler]));
            assert_eq!(healthy.message()["data"][0], number);
        }
        let grown = server.resident_bytes().saturating_sub(before);
        publish(&server, "quiet", &"still here".into());
        quiet.until("still here").await;
        say(&format!(
            "32 streams with closed windows: memory grew by {:.1} MB, {:.1} MB of it history",
            grown as f64 / 1e6,
            (BUSY * (8 << 10)) as f64 / 1e6,
        ));
        assert!(grown < 16_000_000, "memory grew by {grown} bytes");
        // Whoever reads on has missed nothing.
        let mut last = slow.pop().unwrap();
        within(Duration::from_secs(60), "all that was published", async {
            for number in 0..BUSY {
                last.until(&format!("\"data\":[{number},")).await;
            }
        })
        .await;
    });
}

#[test]
fn who_finds_no_room_does_not_stay_by_leaving_the_refusal_untaken() {
    let server = dev_http2(&[
        "--limits-max-connections",
        "1",
        "--limits-handshake-timeout",
        "4s",
    ]);
    let mut seated = Sse::open(server.address(), &Wish::to(["news"])).unwrap();
    seated.hello();
    run(async {
        let mut closed = Builder::new();
        closed.initial_window_size(0);
        let client = Client::connect_with(server.address(), &closed).await;
        let refused = client.get("/v1/poll?channel=news").await;
        assert_eq!(refused.status, 503);
        soon("the connection's end", client.connection)
            .await
            .unwrap()
            .ok();
    });
}
