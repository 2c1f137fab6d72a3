//! Long-polling: the cursor from answer to answer, gaps before messages, replaced connections.

use bellwire_client::{Client, Item, Options, Transport};

use crate::script::{
    Server, content, envelope, gap, id, message, next, problem, response, subscribe, within,
};

fn answer(cursor: &str, rest: &str) -> String {
    let body = format!(r#"{{"cursor":"{cursor}"{rest}}}"#);
    response("200 OK", "Content-Type: application/json\r\n", &body)
}

fn messages(offsets: &[u64]) -> String {
    let list: Vec<String> = offsets
        .iter()
        .map(|offset| envelope("a", *offset))
        .collect();
    format!(r#","messages":[{}]"#, list.join(","))
}

#[tokio::test]
async fn each_answers_cursor_asks_the_next_question_on_the_same_connection() {
    let server = Server::bind().await;
    let mut subscription = subscribe(&server.url, Transport::Poll);
    let script = server.run(|server| async move {
        let (mut peer, request) = server.request().await;
        assert!(
            request.starts_with("GET /v1/poll?timeout=0&limit=100&channel=a HTTP"),
            "{request}"
        );
        peer.send(answer(&id("a", 0), r#","messages":[],"gaps":[]"#))
            .await;

        let request = peer.request().await;
        assert!(
            request.contains("?timeout=25&limit=100&channel=a&cursor="),
            "{request}"
        );
        assert!(request.contains(&id("a", 0)), "{request}");
        peer.send(answer(&id("a", 2), &messages(&[1, 2]))).await;

        let request = peer.request().await;
        assert!(request.contains(&id("a", 2)), "{request}");
        let both = format!(r#","gaps":[{}]{}"#, gap("a", 7), messages(&[2, 8]));
        peer.send(answer(&id("a", 8), &both)).await;
        peer.gone().await;
    });
    assert!(matches!(
        next(&mut subscription).await,
        Item::Connected {
            connection: None,
            ..
        }
    ));
    assert_eq!(message(&mut subscription).await.data, "1");
    assert_eq!(
        subscription.cursor(),
        Some(id("a", 1)),
        "the answer's cursor is not read yet"
    );
    assert_eq!(message(&mut subscription).await.data, "2");
    assert!(
        matches!(content(&mut subscription).await, Item::Gap(_)),
        "gaps apply first"
    );
    assert_eq!(
        message(&mut subscription).await.data,
        "8",
        "2 is read already"
    );
    drop(subscription);
    script.await.unwrap();
}

#[tokio::test]
async fn a_connection_closed_between_polls_is_replaced_silently() {
    let server = Server::bind().await;
    let mut subscription = subscribe(&server.url, Transport::Poll);
    let script = server.run(|server| async move {
        let (mut peer, _) = server.request().await;
        peer.send(answer(&id("a", 0), "")).await;
        drop(peer);
        let (mut peer, _) = server.request().await;
        peer.send(answer(&id("a", 1), &messages(&[1]))).await;
        peer.gone().await;
    });
    assert!(matches!(
        next(&mut subscription).await,
        Item::Connected { .. }
    ));
    assert!(
        matches!(next(&mut subscription).await, Item::Message(_)),
        "no notice in between"
    );
    drop(subscription);
    script.await.unwrap();
}

#[tokio::test]
async fn an_answer_cut_in_the_middle_is_asked_for_again() {
    let server = Server::bind().await;
    let mut subscription = subscribe(&server.url, Transport::Poll);
    let script = server.run(|server| async move {
        let (mut peer, _) = server.request().await;
        peer.send(answer(&id("a", 0), "")).await;
        peer.request().await;
        let whole = answer(&id("a", 2), &messages(&[1, 2]));
        peer.send(&whole[..whole.len() - 30]).await;
        drop(peer);
        let (mut peer, request) = server.request().await;
        assert!(
            request.contains("timeout=0") && request.contains(&id("a", 0)),
            "{request}"
        );
        peer.send(answer(&id("a", 2), &messages(&[1, 2]))).await;
        peer.gone().await;
    });
    for expected in ["1", "2"] {
        assert_eq!(message(&mut subscription).await.data, expected);
    }
    drop(subscription);
    script.await.unwrap();
}

#[tokio::test]
async fn what_rides_along_with_every_answer_is_told_once() {
    let server = Server::bind().await;
    let client = Client::builder(&server.url).build().unwrap();
    let options = Options {
        via: Transport::Poll,
        ..Options::default()
    };
    let mut subscription = client.subscribe(["a", "b"], options).unwrap();
    let script = server.run(|server| async move {
        let aside = r#","denied":[{"channel":"b","check":"subscribe","detail":"no"}],"status":{"state":"degraded","reason":"backplane"}"#;
        let (mut peer, _) = server.request().await;
        peer.send(answer(&id("a", 0), aside)).await;
        peer.request().await;
        peer.send(answer(&id("a", 1), &format!("{aside}{}", messages(&[1])))).await;
        peer.gone().await;
    });
    assert!(matches!(content(&mut subscription).await, Item::Denied(_)));
    assert!(matches!(content(&mut subscription).await, Item::Status(_)));
    assert_eq!(message(&mut subscription).await.data, "1");
    drop(subscription);
    script.await.unwrap();
}

#[tokio::test]
async fn an_ended_hold_and_a_refusal_are_told_apart() {
    let server = Server::bind().await;
    let mut subscription = subscribe(&server.url, Transport::Poll);
    let script = server.run(|server| async move {
        let (mut peer, _) = server.request().await;
        peer.send(answer(&id("a", 0), "")).await;
        peer.request().await;
        let close = "Content-Type: application/json\r\nConnection: close\r\n";
        let body = format!(r#"{{"cursor":"{}","messages":[]}}"#, id("a", 0));
        peer.send(response("200 OK", close, &body)).await;
        let (mut peer, _) = server.request().await;
        peer.send(problem("401 Unauthorized", "token_expired"))
            .await;
    });
    let mut ends = Vec::new();
    while let Some(item) = within(subscription.next()).await {
        if let Item::Disconnected { retry_in, .. } = item {
            ends.push(retry_in.is_some());
        }
    }
    assert_eq!(ends, [true, false]);
    script.await.unwrap();
}
