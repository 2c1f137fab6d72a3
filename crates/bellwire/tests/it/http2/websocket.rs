//! WebSockets inside of HTTP/2 (RFC 8441), which clients may open once that is set.

use std::time::Instant;

use bellwire_testkit::wait::SOON;
use bellwire_wire::websocket::{Opcode, encode_masked_frame};
use bytes::Bytes;
use h2::SendStream;
use http::StatusCode;
use serde_json::{Value, json};

use super::{
    client::{Body, Client, run},
    dev_http2,
};
use crate::publish;

/// A WebSocket whose frames are read as text: none of these is masked.
struct Socket {
    sending: SendStream<Bytes>,
    body: Body,
}

impl Socket {
    async fn open(client: &Client, path: &str) -> Result<Self, StatusCode> {
        let headers = [
            ("sec-websocket-version", "13"),
            ("origin", "http://localhost"),
        ];
        let (answer, sending) = client.connect_websocket(path, &headers).await;
        for name in ["connection", "upgrade", "sec-websocket-accept"] {
            assert_eq!(answer.headers.get(name), None, "{name}");
        }
        if answer.status != StatusCode::OK {
            return Err(answer.status);
        }
        let body = answer.body;
        Ok(Self { sending, body })
    }

    fn send(&mut self, opcode: Opcode, payload: &[u8]) {
        let mut frame = Vec::new();
        encode_masked_frame(&mut frame, opcode, payload, [7, 5, 3, 1]);
        self.sending.send_data(frame.into(), false).unwrap();
    }

    fn command(&mut self, command: &Value) {
        self.send(Opcode::Text, command.to_string().as_bytes());
    }
}

#[test]
fn a_websocket_shares_its_connection_with_event_streams() {
    let server = dev_http2(&["--http2-websocket"]);
    run(async {
        let client = Client::connect(server.address()).await;
        let mut events = client.events("news").await;
        let mut socket = Socket::open(&client, "/v1/ws?channel=news").await.unwrap();
        socket.body.until("{\"hello\"").await;
        publish(&server, "news", &"to both".into());
        events.until("to both").await;
        socket.body.until("to both").await;
        socket.command(&json!({"req": 1, "publish": {"channel": "news", "data": "from it"}}));
        socket.body.until("\"req\":1").await;
        events.until("from it").await;
        // A close is answered, and ends the stream but not the connection.
        socket.send(Opcode::Close, &1000_u16.to_be_bytes());
        socket.body.rest().await;
        publish(&server, "news", &"afterwards".into());
        events.until("afterwards").await;
    });
}

#[test]
fn frames_in_pieces_and_many_at_once_are_answered_in_order() {
    const COMMANDS: u64 = 500;
    let server = dev_http2(&["--http2-websocket"]);
    run(async {
        let client = Client::connect(server.address()).await;
        let mut socket = Socket::open(&client, "/v1/ws?channel=news").await.unwrap();
        socket.body.until("{\"hello\"").await;
        let mut frames = Vec::new();
        for req in 1..=COMMANDS {
            let command = json!({"req": req, "ping": {}}).to_string();
            encode_masked_frame(&mut frames, Opcode::Text, command.as_bytes(), [1, 2, 3, 4]);
        }
        for piece in frames.chunks(1_000) {
            let piece = Bytes::copy_from_slice(piece);
            socket.sending.send_data(piece, false).unwrap();
        }
        socket.body.until(&format!("\"req\":{COMMANDS},")).await;
        let said = &socket.body.text;
        let mut from = 0;
        for req in 1..=COMMANDS {
            let reply = format!("\"req\":{req},");
            let at = said.get(from..).unwrap().find(&reply);
            from += at.unwrap_or_else(|| panic!("{reply} in order"));
        }
    });
}

#[test]
fn a_session_ends_with_its_stream_and_a_stream_with_its_session() {
    let server = dev_http2(&["--http2-websocket"]);
    run(async {
        let client = Client::connect(server.address()).await;
        let mut left = Socket::open(&client, "/v1/ws?channel=news").await.unwrap();
        left.body.until("{\"hello\"").await;
        left.sending.send_reset(h2::Reason::CANCEL);
        // Each look lets the client's connection go on, too.
        let deadline = Instant::now() + SOON;
        loop {
            let listing = client.get("/v1/connections").await.body.json().await;
            if listing["connections"].as_array().unwrap().is_empty() {
                break;
            }
            assert!(Instant::now() < deadline, "the session goes on");
        }
        let mut thrown = Socket::open(&client, "/v1/ws?channel=news").await.unwrap();
        thrown.body.until("{\"hello\"").await;
        // Not masked as a client's must be.
        thrown
            .sending
            .send_data(Bytes::from_static(&[0x81, 1, b'x']), false)
            .unwrap();
        thrown.body.rest().await;
    });
}

#[test]
fn a_close_frame_that_ends_the_stream_is_answered() {
    let server = dev_http2(&["--http2-websocket"]);
    run(async {
        let client = Client::connect(server.address()).await;
        let mut socket = Socket::open(&client, "/v1/ws?channel=news").await.unwrap();
        socket.body.until("{\"hello\"").await;
        let mut frame = Vec::new();
        encode_masked_frame(&mut frame, Opcode::Close, &[12, 0], [7, 5, 3, 1]);
        socket.sending.send_data(frame.into(), true).unwrap();
        let said = socket.body.rest().await;
        // 0x88 is no text.
        assert!(said.ends_with("\u{fffd}\u{2}\u{c}\u{0}"), "{said:?}");
    });
}

#[test]
fn handshakes_are_checked_as_over_http1() {
    let server = dev_http2(&["--http2-websocket"]);
    run(async {
        let client = Client::connect(server.address()).await;
        client.get("/livez").await;
        for (headers, code) in [
            (vec![], "version"),
            (vec![("sec-websocket-version", "8")], "version"),
            (
                vec![
                    ("sec-websocket-version", "13"),
                    ("origin", "https://elsewhere.example"),
                ],
                "origin",
            ),
        ] {
            let (answer, _) = client
                .connect_websocket("/v1/ws?channel=news", &headers)
                .await;
            assert!(answer.status.is_client_error(), "{}", answer.status);
            let problem = answer.body.json().await;
            assert!(
                problem["code"].as_str().unwrap().contains(code),
                "{problem}"
            );
        }
    });
}

#[test]
fn without_the_setting_none_is_offered() {
    let server = dev_http2(&[]);
    run(async {
        let client = Client::connect(server.address()).await;
        client.get("/livez").await;
        assert!(!client.offers_websockets());
        client.events("news").await;
    });
}
