//! Server-Sent Events: cut streams, hints, silence, refusals, backpressure.

use std::time::Duration;

use bellwire_client::{Item, Transport};
use bellwire_wire::sse::write_chunk;
use tokio::time::Instant;

use crate::script::{
    Peer, Server, content, envelope, gap, hello, id, message, next, problem, response, subscribe,
    within,
};

const HEAD: &str = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\
                    Transfer-Encoding: chunked\r\n\r\n";

fn chunk(text: &str) -> Vec<u8> {
    let mut out = Vec::new();
    write_chunk(&mut out, |out| out.extend_from_slice(text.as_bytes()));
    out
}

fn event(name: &str, data: &str) -> Vec<u8> {
    chunk(&format!("event: {name}\ndata: {data}\n\n"))
}

fn publication(offset: u64) -> Vec<u8> {
    chunk(&format!(
        "id: {}\ndata: {}\n\n",
        id("a", offset),
        envelope("a", offset)
    ))
}

async fn greet(peer: &mut Peer, heartbeat_ms: u64) {
    peer.send(HEAD).await;
    peer.send(event("hello", &hello(&id("a", 0), heartbeat_ms)))
        .await;
}

#[tokio::test]
async fn a_stream_cut_within_a_chunk_resumes_without_loss_or_repetition() {
    let server = Server::bind().await;
    let mut subscription = subscribe(&server.url, Transport::Sse);
    let script = server.run(|server| async move {
        let (mut peer, request) = server.request().await;
        assert!(
            request.starts_with("GET /v1/sse?ids=own&channel=a HTTP/1.1\r\n"),
            "{request}"
        );
        assert!(
            request.contains("authorization: Bearer secret\r\n"),
            "{request}"
        );
        greet(&mut peer, 20_000).await;
        peer.send(publication(1)).await;
        let second = publication(2);
        peer.send(&second[..second.len() - 20]).await;
        drop(peer);

        let (mut peer, request) = server.request().await;
        let cursor = format!("&cursor={} ", id("a", 1));
        assert!(request.contains(&cursor), "{request}");
        greet(&mut peer, 20_000).await;
        for offset in [1, 2, 3] {
            peer.send(publication(offset)).await;
        }
        peer.gone().await;
    });
    assert!(matches!(
        next(&mut subscription).await,
        Item::Connected { resumed: false, .. }
    ));
    assert_eq!(message(&mut subscription).await.data, "1");
    let Item::Disconnected {
        retry_in: Some(_), ..
    } = next(&mut subscription).await
    else {
        panic!("the cut is told");
    };
    assert!(matches!(
        next(&mut subscription).await,
        Item::Connected { resumed: true, .. }
    ));
    assert_eq!(message(&mut subscription).await.data, "2");
    assert_eq!(message(&mut subscription).await.data, "3");
    assert_eq!(subscription.cursor(), Some(id("a", 3)));
    drop(subscription);
    script.await.unwrap();
}

#[tokio::test]
async fn events_in_seven_byte_pieces_arrive_whole() {
    let server = Server::bind().await;
    let mut subscription = subscribe(&server.url, Transport::Sse);
    let script = server.run(|server| async move {
        let (mut peer, _) = server.request().await;
        greet(&mut peer, 20_000).await;
        let wire: Vec<u8> = (1..=3).flat_map(publication).collect();
        for piece in wire.chunks(7) {
            peer.send(piece).await;
        }
        peer.gone().await;
    });
    for expected in ["1", "2", "3"] {
        assert_eq!(message(&mut subscription).await.data, expected);
    }
    drop(subscription);
    script.await.unwrap();
}

#[tokio::test]
async fn a_gap_is_handed_over_and_the_next_cursor_is_behind_it() {
    let server = Server::bind().await;
    let mut subscription = subscribe(&server.url, Transport::Sse);
    let script = server.run(|server| async move {
        let (mut peer, _) = server.request().await;
        greet(&mut peer, 20_000).await;
        peer.send(event("gap", &gap("a", 7))).await;
        peer.send(event(
            "denied",
            r#"{"channel":"b","check":"subscribe","detail":"no"}"#,
        ))
        .await;
        drop(peer);
        let (_, request) = server.request().await;
        assert!(
            request.contains(&format!("&cursor={} ", id("a", 7))),
            "{request}"
        );
    });
    let Item::Gap(gap) = content(&mut subscription).await else {
        panic!("the gap comes first")
    };
    assert_eq!(
        (gap.channel.as_str(), gap.reason.as_str()),
        ("a", "retention")
    );
    assert!(
        matches!(content(&mut subscription).await, Item::Denied(denied) if denied.channel == "b")
    );
    tokio::select! {
        ended = script => ended.unwrap(),
        item = content(&mut subscription) => panic!("nothing else comes: {item:?}"),
    }
}

#[tokio::test]
async fn the_streams_retry_time_is_waited_out() {
    let server = Server::bind().await;
    let mut subscription = subscribe(&server.url, Transport::Sse);
    let script = server.run(|server| async move {
        let (mut peer, _) = server.request().await;
        peer.send(HEAD).await;
        peer.send(chunk("retry: 600\n\n0")).await;
        drop(peer);
        let left = Instant::now();
        drop(server.request().await);
        assert!(
            left.elapsed() >= Duration::from_millis(590),
            "{:?}",
            left.elapsed()
        );
    });
    tokio::select! {
        ended = script => ended.unwrap(),
        item = content(&mut subscription) => panic!("nothing comes: {item:?}"),
    }
}

#[tokio::test]
async fn a_muted_link_is_left_and_comments_keep_one_alive() {
    let server = Server::bind().await;
    let mut subscription = subscribe(&server.url, Transport::Sse);
    let script = server.run(|server| async move {
        let (mut peer, _) = server.request().await;
        greet(&mut peer, 1_600).await;
        // Comments for longer than a silent link would live.
        let mut ticks = tokio::time::interval(Duration::from_millis(800));
        for _ in 0..5 {
            ticks.tick().await;
            peer.send(chunk(":\n\n")).await;
        }
        let muted = Instant::now();
        peer.gone().await;
        let lived = muted.elapsed();
        assert!(
            lived >= Duration::from_millis(2_350),
            "1.5 intervals are 2,400 ms: {lived:?}"
        );
    });
    next(&mut subscription).await;
    let Item::Disconnected { reason, .. } = next(&mut subscription).await else {
        panic!("silence is told");
    };
    assert!(reason.contains("silent"), "{reason}");
    tokio::select! {
        ended = script => ended.unwrap(),
        item = content(&mut subscription) => panic!("nothing comes: {item:?}"),
    }
}

#[tokio::test]
async fn refusals_end_the_subscription_and_a_proxys_errors_do_not() {
    let server = Server::bind().await;
    let mut subscription = subscribe(&server.url, Transport::Sse);
    let script = server.run(|server| async move {
        for answer in [
            response("502 Bad Gateway", "", "<html>"),
            response("401 No", "", ""),
        ] {
            let (mut peer, _) = server.request().await;
            peer.send(answer).await;
        }
        let (mut peer, _) = server.request().await;
        peer.send(problem("403 Forbidden", "forbidden")).await;
    });
    for status in ["502", "401"] {
        let Item::Disconnected {
            reason,
            retry_in: Some(_),
        } = next(&mut subscription).await
        else {
            panic!("it tries again");
        };
        assert!(reason.contains(status), "{reason}");
    }
    assert!(matches!(
        next(&mut subscription).await,
        Item::Disconnected { retry_in: None, .. }
    ));
    assert_eq!(within(subscription.next()).await, None);
    let refusal = subscription.refusal().unwrap();
    assert_eq!((refusal.status, refusal.code.as_str()), (403, "forbidden"));
    script.await.unwrap();
}

#[tokio::test]
async fn no_content_ends_the_subscription() {
    let server = Server::bind().await;
    let mut subscription = subscribe(&server.url, Transport::Sse);
    let script = server.run(|server| async move {
        let (mut peer, _) = server.request().await;
        peer.send("HTTP/1.1 204 No Content\r\n\r\n").await;
    });
    assert!(matches!(
        next(&mut subscription).await,
        Item::Disconnected { retry_in: None, .. }
    ));
    assert_eq!(within(subscription.next()).await, None);
    script.await.unwrap();
}

#[tokio::test]
async fn an_event_over_the_limit_is_a_disconnect_that_names_it() {
    let server = Server::bind().await;
    let mut subscription = subscribe(&server.url, Transport::Sse);
    let script = server.run(|server| async move {
        let (mut peer, _) = server.request().await;
        greet(&mut peer, 20_000).await;
        peer.flood(&chunk(&format!("data: {}", "x".repeat(64 * 1024))), 2 << 20)
            .await;
    });
    next(&mut subscription).await;
    let Item::Disconnected { reason, .. } = next(&mut subscription).await else {
        panic!()
    };
    assert!(reason.contains("longer than 1048576 bytes"), "{reason}");
    drop(subscription);
    script.abort();
}

#[tokio::test]
async fn an_idle_reader_leaves_the_socket_unread() {
    const FAR: usize = 256 << 20;
    let server = Server::bind().await;
    let mut subscription = subscribe(&server.url, Transport::Sse);
    let script = server.run(|server| async move {
        let (mut peer, _) = server.request().await;
        greet(&mut peer, 20_000).await;
        let wire: Vec<u8> = (1..=1000).flat_map(publication).collect();
        let sent = peer.flood(&wire, FAR).await;
        assert!(sent < FAR, "everything was taken though nobody reads");
    });
    next(&mut subscription).await;
    script.await.unwrap();
    assert_eq!(message(&mut subscription).await.data, "1");
}
