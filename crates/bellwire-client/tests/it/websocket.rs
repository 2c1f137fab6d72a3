//! WebSocket: the upgrade, glued and cut frames, pings, silence, close codes.

use std::time::Duration;

use bellwire_client::{Item, Transport};
use bellwire_wire::websocket::{Opcode, encode_close, encode_frame, handshake::accept_key};

use crate::script::{
    Peer, Server, content, envelope, gap, hello, id, message, next, problem, subscribe, within,
};

fn text(payload: &str) -> Vec<u8> {
    let mut out = Vec::new();
    encode_frame(&mut out, Opcode::Text, payload.as_bytes());
    out
}

/// The 101 that answers `request`, and hello in the same bytes.
fn greeting(request: &str, heartbeat_ms: u64) -> Vec<u8> {
    let key = request
        .lines()
        .find_map(|line| line.strip_prefix("sec-websocket-key: "))
        .unwrap();
    let accept = String::from_utf8(accept_key(key.as_bytes()).to_vec()).unwrap();
    let mut out = format!(
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Accept: {accept}\r\n\r\n"
    )
    .into_bytes();
    out.extend(text(&format!(
        r#"{{"hello":{}}}"#,
        hello(&id("a", 0), heartbeat_ms)
    )));
    out
}

async fn greet(server: &Server, heartbeat_ms: u64) -> (Peer, String) {
    let (mut peer, request) = server.request().await;
    peer.send(greeting(&request, heartbeat_ms)).await;
    (peer, request)
}

/// Reads a masked frame with a short payload.
async fn frame(peer: &mut Peer) -> (u8, Vec<u8>) {
    let head = peer.bytes(6).await;
    assert_eq!(head[1] & 0x80, 0x80, "clients mask");
    let payload = peer.bytes(usize::from(head[1] & 0x7f)).await;
    let unmasked = payload
        .iter()
        .zip(head[2..].iter().cycle())
        .map(|(a, b)| a ^ b)
        .collect();
    (head[0], unmasked)
}

#[tokio::test]
async fn a_cut_within_a_frame_resumes_without_loss_or_repetition() {
    let server = Server::bind().await;
    let mut subscription = subscribe(&server.url, Transport::WebSocket);
    let script = server.run(|server| async move {
        let (mut peer, request) = greet(&server, 20_000).await;
        assert!(
            request.starts_with("GET /v1/ws?channel=a HTTP/1.1\r\n"),
            "{request}"
        );
        peer.send(text(&envelope("a", 1))).await;
        peer.send(&text(&envelope("a", 2))[..30]).await;
        drop(peer);

        let (mut peer, request) = greet(&server, 20_000).await;
        assert!(
            request.contains(&format!("?channel=a&cursor={} ", id("a", 1))),
            "{request}"
        );
        let wire: Vec<u8> = (1..=3)
            .flat_map(|offset| text(&envelope("a", offset)))
            .collect();
        for piece in wire.chunks(7) {
            peer.send(piece).await;
        }
        peer.gone().await;
    });
    let Item::Connected { connection, .. } = next(&mut subscription).await else {
        panic!("the greeting was glued to the 101");
    };
    assert_eq!(connection.as_deref(), Some("c1"));
    for expected in ["1", "2", "3"] {
        assert_eq!(message(&mut subscription).await.data, expected);
    }
    drop(subscription);
    script.await.unwrap();
}

#[tokio::test]
async fn pings_are_answered_and_count_as_life_until_they_stop() {
    let server = Server::bind().await;
    let mut subscription = subscribe(&server.url, Transport::WebSocket);
    let script = server.run(|server| async move {
        let (mut peer, _) = greet(&server, 1_600).await;
        let mut ticks = tokio::time::interval(Duration::from_millis(800));
        for n in 0..5 {
            ticks.tick().await;
            let mut ping = Vec::new();
            encode_frame(&mut ping, Opcode::Ping, &[n]);
            peer.send(ping).await;
            assert_eq!(frame(&mut peer).await, (0x8a, vec![n]));
        }
        assert_eq!(
            frame(&mut peer).await,
            (0x88, 1000_u16.to_be_bytes().to_vec()),
            "goodbye"
        );
        peer.gone().await;
    });
    next(&mut subscription).await;
    let Item::Disconnected { reason, .. } = next(&mut subscription).await else {
        panic!()
    };
    assert!(reason.contains("silent"), "{reason}");
    drop(
        within(tokio::time::timeout(
            Duration::from_millis(1),
            subscription.next(),
        ))
        .await,
    );
    script.await.unwrap();
}

#[tokio::test]
async fn pushes_are_handed_over_in_order() {
    let server = Server::bind().await;
    let mut subscription = subscribe(&server.url, Transport::WebSocket);
    let script = server.run(|server| async move {
        let (mut peer, _) = greet(&server, 20_000).await;
        peer.send(text(
            r#"{"denied":{"channel":"b","check":"subscribe","detail":"no"}}"#,
        ))
        .await;
        peer.send(text(&format!(r#"{{"gap":{}}}"#, gap("a", 7))))
            .await;
        peer.send(text(
            r#"{"status":{"state":"degraded","reason":"backplane"}}"#,
        ))
        .await;
        peer.send(text(&envelope("a", 8))).await;
        peer.gone().await;
    });
    assert!(matches!(content(&mut subscription).await, Item::Denied(_)));
    assert!(matches!(content(&mut subscription).await, Item::Gap(_)));
    assert!(
        matches!(content(&mut subscription).await, Item::Status(status) if status.state == "degraded")
    );
    assert_eq!(message(&mut subscription).await.id, id("a", 8));
    drop(subscription);
    script.await.unwrap();
}

#[tokio::test]
async fn close_codes_decide_whether_to_come_back() {
    let server = Server::bind().await;
    let mut subscription = subscribe(&server.url, Transport::WebSocket);
    let script = server.run(|server| async move {
        for code in [1012, 4005, 4004] {
            let (mut peer, _) = greet(&server, 20_000).await;
            let mut close = Vec::new();
            encode_close(&mut close, code, "because");
            peer.send(close).await;
            assert_eq!(
                frame(&mut peer).await.1,
                code.to_be_bytes(),
                "the code is echoed"
            );
            peer.gone().await;
        }
    });
    let mut ends = Vec::new();
    while let Some(item) = within(subscription.next()).await {
        if let Item::Disconnected { retry_in, .. } = item {
            ends.push(retry_in.is_some());
        }
    }
    assert_eq!(ends, [true, true, false]);
    assert_eq!(subscription.refusal().unwrap().status, 4004);
    script.await.unwrap();
}

#[tokio::test]
async fn a_refusal_before_the_upgrade_ends_the_subscription() {
    let server = Server::bind().await;
    let mut subscription = subscribe(&server.url, Transport::WebSocket);
    let script = server.run(|server| async move {
        let (mut peer, _) = server.request().await;
        peer.send(problem("401 Unauthorized", "token_invalid"))
            .await;
    });
    assert!(matches!(
        next(&mut subscription).await,
        Item::Disconnected { retry_in: None, .. }
    ));
    assert_eq!(subscription.refusal().unwrap().code, "token_invalid");
    script.await.unwrap();
}
