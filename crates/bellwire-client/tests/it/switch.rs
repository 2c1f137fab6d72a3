//! Moving between transports with one cursor.

use bellwire_client::{Item, Transport};

use crate::script::{Server, envelope, hello, id, message, next, response, subscribe};

#[tokio::test]
async fn a_switch_repeats_and_loses_nothing_though_messages_were_waiting() {
    let server = Server::bind().await;
    let mut subscription = subscribe(&server.url, Transport::Sse);
    let script = server.run(|server| async move {
        let (mut peer, _) = server.request().await;
        let hello = format!("event: hello\ndata: {}\n\n", hello(&id("a", 0), 20_000));
        let events: String = (1..=3)
            .map(|offset| format!("data: {}\n\n", envelope("a", offset)))
            .collect();
        peer.send(format!(
            "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n{hello}{events}"
        ))
        .await;
        let (mut next_peer, request) = server.request().await;
        assert!(request.starts_with("GET /v1/poll?"), "{request}");
        assert!(
            request.contains(&format!("cursor={} ", id("a", 1))),
            "{request}"
        );
        peer.gone().await;
        let body = format!(
            r#"{{"cursor":"{}","messages":[{},{}]}}"#,
            id("a", 3),
            envelope("a", 2),
            envelope("a", 3)
        );
        next_peer
            .send(response(
                "200 OK",
                "Content-Type: application/json\r\n",
                &body,
            ))
            .await;
        next_peer.gone().await;
    });
    assert_eq!(message(&mut subscription).await.data, "1");
    subscription.switch(Transport::Poll);
    let Item::Connected {
        transport, resumed, ..
    } = next(&mut subscription).await
    else {
        panic!("a switch is no disconnect");
    };
    assert_eq!((transport, resumed), (Transport::Poll, true));
    assert_eq!(message(&mut subscription).await.data, "2");
    assert_eq!(message(&mut subscription).await.data, "3");
    drop(subscription);
    script.await.unwrap();
}
