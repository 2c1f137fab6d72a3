//! The frames of an open WebSocket: handshake, pings, the close handshake, compressed messages.
//! Driven by [`super::websocket`], and by `conformance` for test suites; knows nothing
//! of what messages mean.

use std::{
    future::poll_fn,
    io, mem,
    pin::Pin,
    task::{Context, Poll, Waker, ready},
};

use bellwire_wire::websocket::{
    Decoder, Decompressor, Event, Limits, Opcode, Role, Violation, close, encode_masked_close,
    encode_masked_frame,
    handshake::{CLIENT_OFFER, Compression, VERSION, client_request_key, verify_accept},
};
use http::{HeaderValue, StatusCode, header, response};
use tokio::io::{AsyncRead as _, AsyncWrite as _, ReadBuf};

use super::http::{Exchange, Socket};
use crate::{backoff::random, endpoint::Endpoint, verdict::Loss};

/// How much is read at a time.
const READ_BYTES: usize = 64 * 1024;
/// The most bytes of pongs that may wait for a server that pings but does not read.
const MAX_UNSENT: usize = 16 * 1024;

/// What a server sent.
#[derive(Debug)]
pub(crate) enum Received<'a> {
    Text(&'a str),
    Binary(
        #[cfg_attr(
            not(feature = "conformance"),
            expect(dead_code, reason = "only a test suite returns it")
        )]
        &'a [u8],
    ),
    /// The server closes, with its code and reason if it gave them; that was answered.
    Close(Option<(u16, &'a str)>),
    /// The server broke the protocol or a limit; that was answered.
    Broken(Violation),
}

/// An open WebSocket.
#[derive(Debug)]
pub(crate) struct Frames {
    socket: Socket,
    decoder: Decoder,
    /// Where compression was agreed on.
    decompressor: Option<Box<Decompressor>>,
    max_message: usize,
    buffer: Box<[u8]>,
    /// What came with the answer to the handshake.
    glued: Vec<u8>,
    unsent: Outgoing,
}

/// Frames that wait for the socket.
#[derive(Debug, Default)]
pub(crate) struct Outgoing {
    bytes: Vec<u8>,
    /// Whether an encrypted socket may hold some that it took.
    held: bool,
}

impl Frames {
    /// Connects to a path below the endpoint and performs the opening handshake. `max_message`
    /// bounds what a server may send, in bytes.
    pub(crate) async fn open(
        endpoint: &Endpoint,
        path: &str,
        max_message: usize,
    ) -> Result<Self, Loss> {
        let mut request = endpoint.get(path)?;
        let entropy = (u128::from(random()) << 64) | u128::from(random());
        let key = client_request_key(entropy.to_be_bytes());
        let headers = request.headers_mut();
        headers.insert(header::CONNECTION, HeaderValue::from_static("Upgrade"));
        headers.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
        headers.insert(
            header::SEC_WEBSOCKET_VERSION,
            HeaderValue::from_static(VERSION),
        );
        headers.insert(
            header::SEC_WEBSOCKET_EXTENSIONS,
            HeaderValue::from_static(CLIENT_OFFER),
        );
        let key_value = HeaderValue::from_bytes(&key).expect("base64 is visible ASCII");
        headers.insert(header::SEC_WEBSOCKET_KEY, key_value);

        let mut exchange = Exchange::open(endpoint).await?;
        let response = exchange
            .send(request)
            .await
            .map_err(|unanswered| Loss::passing(unanswered.reason))?;
        if response.status() != StatusCode::SWITCHING_PROTOCOLS {
            return Err(exchange.judge(response).await);
        }
        let (head, _) = response.into_parts();
        let accept = head.headers.get(header::SEC_WEBSOCKET_ACCEPT);
        if !accept.is_some_and(|accept| verify_accept(&key, accept.as_bytes())) {
            return Err(Loss::passing("the server's Sec-WebSocket-Accept is wrong"));
        }
        let agreed = agreed(&head)?;
        let (socket, glued) = exchange.into_socket();
        let decoder = Decoder::new(Role::Client, Limits { max_message });
        Ok(Self {
            socket,
            decoder: decoder.with_compression(agreed.is_some()),
            decompressor: agreed
                .map(|agreed| Box::new(Decompressor::new(agreed.server_keeps_context))),
            max_message,
            buffer: vec![0; READ_BYTES].into(),
            glued: glued.to_vec(),
            unsent: Outgoing::default(),
        })
    }

    /// Waits until something was read, and gives each message to `take`, which may answer.
    /// Returns whether the connection is still open.
    ///
    /// # Errors
    /// The socket's.
    ///
    /// # Cancel safety
    /// Dropping the future loses nothing.
    pub(crate) async fn read(
        &mut self,
        take: impl FnMut(Received<'_>, &mut Outgoing),
    ) -> io::Result<bool> {
        let mut glued = mem::take(&mut self.glued);
        if !glued.is_empty() {
            self.decode(&mut glued, take);
            return Ok(true);
        }
        let read = self.exchange_bytes().await?;
        let mut buffer = mem::take(&mut self.buffer);
        self.decode(&mut buffer[..read], take);
        self.buffer = buffer;
        Ok(read > 0)
    }

    /// Sends what waits.
    ///
    /// # Errors
    /// The socket's.
    #[cfg(feature = "conformance")]
    pub(crate) async fn flush(&mut self) -> io::Result<()> {
        poll_fn(|context| self.unsent.poll_send(&mut self.socket, context)).await
    }

    /// Sends what waits and reads what is there, whichever is possible, until something is read.
    async fn exchange_bytes(&mut self) -> io::Result<usize> {
        poll_fn(|context| {
            // Where the socket takes no more it wakes this, too.
            if let Poll::Ready(sent) = self.unsent.poll_send(&mut self.socket, context) {
                sent?;
            }
            let mut buffer = ReadBuf::new(&mut self.buffer);
            ready!(Pin::new(&mut self.socket).poll_read(context, &mut buffer))?;
            Poll::Ready(Ok(buffer.filled().len()))
        })
        .await
    }

    fn decode(&mut self, mut input: &mut [u8], mut take: impl FnMut(Received<'_>, &mut Outgoing)) {
        loop {
            let event = match self.decoder.decode(&mut input) {
                Ok(None) => return,
                Ok(Some(Event::Compressed(kind, payload))) => match &mut self.decompressor {
                    Some(decompressor) => decompressor.message(kind, payload, self.max_message),
                    None => Err(Violation::ReservedBits),
                },
                Ok(Some(event)) => Ok(event),
                Err(violation) => Err(violation),
            };
            let received = match event {
                Ok(Event::Text(text)) => Received::Text(text),
                Ok(Event::Binary(bytes)) => Received::Binary(bytes),
                Ok(Event::Ping(payload)) => {
                    if self.unsent.bytes.len() < MAX_UNSENT {
                        self.unsent.push(Opcode::Pong, payload);
                    }
                    continue;
                }
                Ok(Event::Pong(_) | Event::Compressed(..)) => continue,
                Ok(Event::Close(frame)) => {
                    self.unsent
                        .close(frame.map_or(close::NORMAL, |(code, _)| code), "");
                    Received::Close(frame)
                }
                Err(violation) => {
                    self.unsent
                        .close(violation.close_code(), &violation.to_string());
                    Received::Broken(violation)
                }
            };
            let broken = matches!(received, Received::Broken(_));
            take(received, &mut self.unsent);
            if let Some(decompressor) = &mut self.decompressor {
                decompressor.release();
            }
            if broken {
                return;
            }
        }
    }
}

impl Outgoing {
    /// Adds a frame.
    pub(crate) fn push(&mut self, opcode: Opcode, payload: &[u8]) {
        encode_masked_frame(&mut self.bytes, opcode, payload, mask());
    }

    fn close(&mut self, code: u16, reason: &str) {
        encode_masked_close(&mut self.bytes, code, reason, mask());
    }

    fn poll_send(
        &mut self,
        socket: &mut Socket,
        context: &mut Context<'_>,
    ) -> Poll<io::Result<()>> {
        let mut socket = Pin::new(socket);
        while !self.bytes.is_empty() {
            let written = ready!(socket.as_mut().poll_write(context, &self.bytes))?;
            if written == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.bytes.drain(..written);
            self.held = true;
        }
        if self.held {
            ready!(socket.as_mut().poll_flush(context))?;
            self.held = false;
        }
        Poll::Ready(Ok(()))
    }
}

impl Drop for Frames {
    /// Says goodbye where that needs no waiting; a server that does not hear it sees the end of
    /// the connection.
    fn drop(&mut self) {
        if self.unsent.bytes.is_empty() {
            self.unsent.close(close::NORMAL, "");
        }
        let mut nobody = Context::from_waker(Waker::noop());
        drop(self.unsent.poll_send(&mut self.socket, &mut nobody));
    }
}

/// What the server answered to the offer of compression.
fn agreed(head: &response::Parts) -> Result<Option<Compression>, Loss> {
    let values = head.headers.get_all(header::SEC_WEBSOCKET_EXTENSIONS);
    let values = values
        .iter()
        .map(|value| value.to_str().unwrap_or_default());
    Compression::of_answer(values).map_err(|unknown| Loss::passing(unknown.to_string()))
}

/// A masking key, unpredictable as RFC 6455 §10.3 wants it.
fn mask() -> [u8; 4] {
    let [a, b, c, d, ..] = random().to_be_bytes();
    [a, b, c, d]
}
