//! A server that does what a test says, byte by byte, and what tests say to it. It knows HTTP
//! only as far as a request's head and body have to be told apart.

use std::{future::Future, time::Duration};

use bellwire_client::{Client, Item, Message, Options, Subscription, Transport};
use bellwire_core::{
    channel::Channel,
    position::{Epoch, Id, Position},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    task::JoinHandle,
    time::timeout,
};

/// Longer than anything here may take; only a broken test meets it.
const DEADLINE: Duration = Duration::from_secs(20);

/// A listener whose connections a test serves one after the other.
pub(crate) struct Server {
    listener: TcpListener,
    pub(crate) url: String,
}

/// One accepted connection.
pub(crate) struct Peer {
    stream: TcpStream,
    received: Vec<u8>,
}

impl Server {
    pub(crate) async fn bind() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        Self { listener, url }
    }

    pub(crate) async fn accept(&self) -> Peer {
        let (stream, _) = within(self.listener.accept()).await.unwrap();
        Peer {
            stream,
            received: Vec::new(),
        }
    }

    /// Accepts a connection and reads its first request.
    pub(crate) async fn request(&self) -> (Peer, String) {
        let mut peer = self.accept().await;
        let request = peer.request().await;
        (peer, request)
    }

    /// Runs a script beside the test; await what it returns at the end.
    pub(crate) fn run<F>(self, script: impl FnOnce(Self) -> F) -> JoinHandle<()>
    where
        F: Future<Output = ()> + Send + 'static,
    {
        tokio::spawn(script(self))
    }
}

impl Peer {
    /// The next request, head and body.
    pub(crate) async fn request(&mut self) -> String {
        loop {
            let text = String::from_utf8_lossy(&self.received).into_owned();
            if let Some(head) = text.find("\r\n\r\n") {
                let end = head + 4 + content_length(&text[..head]);
                if self.received.len() >= end {
                    self.received.drain(..end);
                    return text[..end].to_owned();
                }
            }
            assert!(
                self.read_more().await > 0,
                "the client left within a request: {text}"
            );
        }
    }

    pub(crate) async fn send(&mut self, bytes: impl AsRef<[u8]>) {
        within(self.stream.write_all(bytes.as_ref())).await.unwrap();
    }

    /// Sends until the other side takes no more, and tells how many bytes went.
    pub(crate) async fn flood(&mut self, piece: &[u8], most: usize) -> usize {
        let mut sent = 0;
        while sent < most {
            match timeout(Duration::from_millis(500), self.stream.write(piece)).await {
                Ok(written) => sent += written.unwrap(),
                Err(_) => break,
            }
        }
        sent
    }

    /// The next `n` bytes beside requests.
    pub(crate) async fn bytes(&mut self, n: usize) -> Vec<u8> {
        while self.received.len() < n {
            assert!(self.read_more().await > 0, "the client left");
        }
        self.received.drain(..n).collect()
    }

    /// Waits until the client has gone.
    pub(crate) async fn gone(&mut self) {
        while self.read_more().await > 0 {}
    }

    async fn read_more(&mut self) -> usize {
        within(self.stream.read_buf(&mut self.received))
            .await
            .unwrap_or(0)
    }
}

fn content_length(head: &str) -> usize {
    let lower = head.to_ascii_lowercase();
    let value = lower
        .lines()
        .find_map(|line| line.strip_prefix("content-length:"));
    value.map_or(0, |value| value.trim().parse().unwrap())
}

pub(crate) async fn within<T>(future: impl Future<Output = T>) -> T {
    timeout(DEADLINE, future)
        .await
        .expect("it happens within the deadline")
}

/// A whole HTTP response.
pub(crate) fn response(status: &str, headers: &str, body: &str) -> String {
    format!(
        "HTTP/1.1 {status}\r\n{headers}Content-Length: {}\r\n\r\n{body}",
        body.len()
    )
}

/// A refusal as Bellwire writes it.
pub(crate) fn problem(status: &str, code: &str) -> String {
    let body = format!(r#"{{"status":0,"code":"{code}","detail":"because"}}"#);
    response(status, "Content-Type: application/problem+json\r\n", &body)
}

/// The id of an offset in a channel, in the one epoch of these tests.
pub(crate) fn id(channel: &str, offset: u64) -> String {
    let channel = Channel::parse(channel).unwrap();
    Id::new(
        &channel,
        Position {
            epoch: Epoch(1).tag(&channel),
            offset,
        },
    )
    .to_string()
}

/// The envelope of a message whose data is its offset.
pub(crate) fn envelope(channel: &str, offset: u64) -> String {
    let id = id(channel, offset);
    format!(r#"{{"channel":"{channel}","id":"{id}","time":1,"data":{offset}}}"#)
}

pub(crate) fn gap(channel: &str, cursor: u64) -> String {
    let cursor = id(channel, cursor);
    format!(
        r#"{{"channel":"{channel}","reason":"retention","last":null,"next":null,"cursor":"{cursor}"}}"#
    )
}

pub(crate) fn hello(cursor: &str, heartbeat_ms: u64) -> String {
    format!(r#"{{"connection":"c1","cursor":"{cursor}","heartbeat_ms":{heartbeat_ms}}}"#)
}

pub(crate) fn subscribe(url: &str, via: Transport) -> Subscription {
    let client = Client::builder(url).credential("secret").build().unwrap();
    client
        .subscribe(
            ["a"],
            Options {
                via,
                ..Options::default()
            },
        )
        .unwrap()
}

/// The next item, whatever it is.
pub(crate) async fn next(subscription: &mut Subscription) -> Item {
    within(subscription.next())
        .await
        .expect("the subscription goes on")
}

/// The next item that is no notice of connecting or disconnecting.
pub(crate) async fn content(subscription: &mut Subscription) -> Item {
    loop {
        match next(subscription).await {
            Item::Connected { .. } | Item::Disconnected { .. } => {}
            item => return item,
        }
    }
}

/// The next message.
pub(crate) async fn message(subscription: &mut Subscription) -> Message {
    match content(subscription).await {
        Item::Message(message) => message,
        item => panic!("expected a message, not {item:?}"),
    }
}
