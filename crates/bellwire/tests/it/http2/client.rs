//! A client of HTTP/2 that takes of each answer only what it is told to.

use std::{future::Future, net::SocketAddr, time::Duration};

use bellwire_testkit::wait::SOON;
use bytes::Bytes;
use h2::{
    RecvStream, SendStream,
    client::{Builder, SendRequest},
    ext::Protocol,
};
use http::{HeaderMap, Request, Response, StatusCode};
use serde_json::Value;
use tokio::{net::TcpStream, task::JoinHandle, time::timeout};

/// Runs a client's part of a test.
pub(super) fn run<T>(part: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap()
        .block_on(part)
}

/// Waits for what should happen soon.
pub(super) async fn soon<T>(what: &str, event: impl Future<Output = T>) -> T {
    within(SOON, what, event).await
}

/// Waits for what should happen within a time.
pub(super) async fn within<T>(limit: Duration, what: &str, event: impl Future<Output = T>) -> T {
    let happened = timeout(limit, event).await;
    happened.unwrap_or_else(|_| panic!("not within {limit:?}: {what}"))
}

/// A connection.
#[derive(Debug)]
pub(super) struct Client {
    requests: SendRequest<Bytes>,
    address: SocketAddr,
    /// Ends with the connection.
    pub(super) connection: JoinHandle<Result<(), h2::Error>>,
}

/// An answer whose body is still to come.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    pub(super) body: Body,
}

/// A body, and what was read of it.
#[derive(Debug)]
pub(super) struct Body {
    stream: RecvStream,
    pub(super) text: String,
}

impl Client {
    pub(super) async fn connect(address: SocketAddr) -> Self {
        Self::connect_with(address, &Builder::new()).await
    }

    pub(super) async fn connect_with(address: SocketAddr, builder: &Builder) -> Self {
        let stream = TcpStream::connect(address).await.unwrap();
        let (requests, connection) = builder.handshake(stream).await.unwrap();
        Self {
            requests,
            address,
            connection: tokio::spawn(connection),
        }
    }

    pub(super) async fn get(&self, path: &str) -> Answer {
        self.get_with(path, &[]).await
    }

    pub(super) async fn get_with(&self, path: &str, headers: &[(&str, &str)]) -> Answer {
        self.ask("GET", path, headers, None).await.unwrap()
    }

    pub(super) async fn post(&self, path: &str, body: impl Into<Bytes>) -> Answer {
        self.ask("POST", path, &[], Some(body.into()))
            .await
            .unwrap()
    }

    pub(super) async fn ask(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: Option<Bytes>,
    ) -> Result<Answer, h2::Error> {
        let mut request = Request::builder()
            .method(method)
            .uri(format!("http://{}{path}", self.address));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(()).unwrap();
        let mut requests = soon("a free stream", self.requests.clone().ready()).await?;
        let (answer, mut sending) = requests.send_request(request, body.is_none())?;
        if let Some(body) = body {
            sending.send_data(body, true)?;
        }
        Ok(Answer::of(soon(path, answer).await?))
    }

    /// Asks for a WebSocket, once the server has said that it may be asked.
    pub(super) async fn connect_websocket(
        &self,
        path: &str,
        headers: &[(&str, &str)],
    ) -> (Answer, SendStream<Bytes>) {
        // Whatever is answered comes behind the server's settings.
        assert_eq!(self.get("/livez").await.status, 200);
        assert!(self.offers_websockets());
        let mut request = Request::builder()
            .method("CONNECT")
            .uri(format!("http://{}{path}", self.address))
            .extension(Protocol::from_static("websocket"));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let mut requests = soon("a free stream", self.requests.clone().ready())
            .await
            .unwrap();
        let (answer, sending) = requests
            .send_request(request.body(()).unwrap(), false)
            .unwrap();
        let answer = soon(path, answer).await.unwrap();
        (Answer::of(answer), sending)
    }

    pub(super) fn offers_websockets(&self) -> bool {
        self.requests.is_extended_connect_protocol_enabled()
    }

    /// Opens an event stream that has said hello.
    pub(super) async fn events(&self, channel: &str) -> Body {
        let answer = self.get(&format!("/v1/sse?channel={channel}")).await;
        assert_eq!(answer.status, 200);
        let mut body = answer.body;
        body.until("event: hello").await;
        body
    }
}

impl Answer {
    fn of(answer: Response<RecvStream>) -> Self {
        let (head, stream) = answer.into_parts();
        Self {
            status: head.status,
            headers: head.headers,
            body: Body {
                stream,
                text: String::new(),
            },
        }
    }
}

impl Body {
    /// Reads on until a text has come.
    pub(super) async fn until(&mut self, text: &str) {
        while !self.text.contains(text) {
            let more = soon(text, self.stream.data()).await;
            let more = more.unwrap_or_else(|| panic!("{text:?} before the end of {}", self.text));
            self.take(more.unwrap());
        }
    }

    /// Reads to the end.
    pub(super) async fn rest(&mut self) -> &str {
        while let Some(more) = soon("the end", self.stream.data()).await {
            self.take(more.unwrap());
        }
        &self.text
    }

    pub(super) async fn json(mut self) -> Value {
        serde_json::from_str(self.rest().await).unwrap()
    }

    fn take(&mut self, bytes: Bytes) {
        let size = bytes.len();
        self.stream.flow_control().release_capacity(size).unwrap();
        self.text.push_str(&String::from_utf8_lossy(&bytes));
    }
}
