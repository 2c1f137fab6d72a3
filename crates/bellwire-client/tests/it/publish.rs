//! Publishing: what goes out, what comes back, and what is safe to repeat.

use bellwire_client::{Client, Durability, Error, Publication, PublishOptions};

use crate::script::{Server, problem, response, within};

fn accepted(n: u32) -> String {
    let body =
        format!(r#"{{"channel":"a","id":"1id{n}","durability":"memory","duplicate":false}}"#);
    response("200 OK", "Content-Type: application/json\r\n", &body)
}

fn keyed() -> PublishOptions {
    PublishOptions {
        event: None,
        idempotency_key: Some("k".to_owned()),
    }
}

fn publication(data: &str) -> Publication {
    Publication {
        channel: "a".to_owned(),
        data: data.into(),
        event: None,
        idempotency_key: None,
    }
}

#[tokio::test]
async fn publishes_share_a_connection_and_return_positions() {
    let server = Server::bind().await;
    let client = Client::builder(&server.url).build().unwrap();
    let script = server.run(|server| async move {
        let (mut peer, request) = server.request().await;
        assert!(
            request.starts_with("POST /v1/publish HTTP/1.1\r\n"),
            "{request}"
        );
        assert!(
            request.ends_with(r#"{"channel":"a","data":"one"}"#),
            "{request}"
        );
        peer.send(accepted(1)).await;
        peer.request().await;
        peer.send(accepted(2)).await;
    });
    let first = within(client.publish("a", "one", PublishOptions::default()))
        .await
        .unwrap();
    assert_eq!(
        (first.id.as_str(), first.durability),
        ("1id1", Durability::Memory)
    );
    let second = within(client.publish("a", "two", PublishOptions::default()))
        .await
        .unwrap();
    assert_eq!(second.id, "1id2");
    script.await.unwrap();
}

#[tokio::test]
async fn a_keyed_publish_is_asked_again_and_one_without_a_key_is_not() {
    let server = Server::bind().await;
    let client = Client::builder(&server.url).build().unwrap();
    let script = server.run(|server| async move {
        let (mut peer, _) = server.request().await;
        peer.send(problem("503 Service Unavailable", "overloaded"))
            .await;
        peer.request().await;
        drop(peer);
        let (mut peer, request) = server.request().await;
        assert!(request.contains(r#""idempotency_key":"k""#), "{request}");
        peer.send(accepted(1)).await;
        peer.request().await;
        drop(peer);
    });
    let published = within(client.publish("a", "x", keyed())).await.unwrap();
    assert_eq!(published.id, "1id1");
    let unknown = within(client.publish("a", "x", PublishOptions::default())).await;
    assert!(matches!(unknown, Err(Error::Unavailable(_))), "{unknown:?}");
    script.await.unwrap();
}

#[tokio::test]
async fn a_refusal_says_who_must_act() {
    let server = Server::bind().await;
    let client = Client::builder(&server.url).build().unwrap();
    let script = server.run(|server| async move {
        let (mut peer, _) = server.request().await;
        peer.send(problem("409 Conflict", "idempotency_mismatch"))
            .await;
        peer.request().await;
        peer.send(response("404 Not Found", "", "<html>")).await;
    });
    let refused = within(client.publish("a", "x", keyed())).await.unwrap_err();
    assert!(matches!(refused, Error::Refused(refusal) if refusal.status == 409));
    let foreign = within(client.publish("a", "x", keyed())).await.unwrap_err();
    assert!(matches!(foreign, Error::Protocol(_)));
    let invalid = within(client.publish("a b", "x", keyed()))
        .await
        .unwrap_err();
    assert!(matches!(
        invalid,
        Error::Invalid {
            field: "channel",
            ..
        }
    ));
    script.await.unwrap();
}

#[tokio::test]
async fn a_batch_goes_out_as_lines_and_each_has_its_own_result() {
    let server = Server::bind().await;
    let client = Client::builder(&server.url).build().unwrap();
    let script = server.run(|server| async move {
        let (mut peer, request) = server.request().await;
        let lines =
            "\r\n\r\n{\"channel\":\"a\",\"data\":\"1\"}\n{\"channel\":\"a\",\"data\":\"2\"}\n";
        assert!(request.ends_with(lines), "{request}");
        let body = concat!(
            r#"{"error":{"status":413,"code":"too_large","field":"data","detail":"shorten it"}}"#,
            "\n",
            r#"{"channel":"a","id":"1x","durability":"memory","duplicate":false}"#,
            "\n",
        );
        peer.send(response(
            "200 OK",
            "Content-Type: application/x-ndjson\r\n",
            body,
        ))
        .await;
    });
    let batch = [publication("1"), publication("2")];
    let results = within(client.publish_batch(&batch)).await.unwrap();
    assert_eq!(results[0].as_ref().unwrap_err().code, "too_large");
    assert_eq!(results[1].as_ref().unwrap().id, "1x");
    script.await.unwrap();
}
