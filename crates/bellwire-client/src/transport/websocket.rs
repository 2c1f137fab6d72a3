//! A WebSocket. Opened and polled through [`super::Link`]; everything is asked for in the URL,
//! so this side only ever sends pongs and a close.

use std::{collections::VecDeque, io};

use bellwire_wire::websocket::{
    Decoder, Event as Frame, Limits, Opcode, Role, close, encode_masked_close, encode_masked_frame,
    handshake::{VERSION, client_request_key, verify_accept},
};
use http::{HeaderValue, StatusCode, header};
use tokio::{io::Interest, net::TcpStream};

use super::{http::Exchange, request::Wanted};
use crate::{backoff::random, endpoint::Endpoint, item::Push, machine::Event, verdict::Loss};

/// How much is read at a time.
const READ_BYTES: usize = 64 * 1024;
/// The most bytes of pongs that may wait for a server that pings but does not read.
const MAX_UNSENT: usize = 16 * 1024;

/// An open WebSocket.
#[derive(Debug)]
pub(crate) struct WebSocketLink {
    socket: TcpStream,
    decoder: Decoder,
    buffer: Box<[u8]>,
    unsent: Vec<u8>,
    /// What the last read held.
    queue: VecDeque<Event>,
}

impl WebSocketLink {
    /// Connects and performs the opening handshake.
    pub(crate) async fn open(
        endpoint: &Endpoint,
        wanted: &Wanted,
        cursor: Option<String>,
    ) -> Result<Self, Loss> {
        let mut request = endpoint.get(&wanted.target("/v1/ws", cursor.as_deref()))?;
        let entropy = (u128::from(random()) << 64) | u128::from(random());
        let key = client_request_key(entropy.to_be_bytes());
        let headers = request.headers_mut();
        headers.insert(header::CONNECTION, HeaderValue::from_static("Upgrade"));
        headers.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
        headers.insert(
            header::SEC_WEBSOCKET_VERSION,
            HeaderValue::from_static(VERSION),
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
        let accept = response.headers().get(header::SEC_WEBSOCKET_ACCEPT);
        if !accept.is_some_and(|accept| verify_accept(&key, accept.as_bytes())) {
            return Err(Loss::passing("the server's Sec-WebSocket-Accept is wrong"));
        }
        let (socket, glued) = exchange.into_socket();
        let mut link = Self {
            socket,
            decoder: Decoder::new(
                Role::Client,
                Limits {
                    max_message: wanted.max_message_bytes,
                },
            ),
            buffer: vec![0; READ_BYTES].into(),
            unsent: Vec::new(),
            queue: VecDeque::new(),
        };
        link.decode(&mut glued.to_vec());
        Ok(link)
    }

    /// The next event.
    pub(crate) async fn next(&mut self) -> Event {
        if let Some(event) = self.queue.pop_front() {
            return event;
        }
        match self.exchange_bytes().await {
            Ok(0) => Event::Lost(Loss::passing("the server dropped the WebSocket")),
            Ok(read) => {
                let mut buffer = std::mem::take(&mut self.buffer);
                self.decode(&mut buffer[..read]);
                self.buffer = buffer;
                Event::Life
            }
            Err(error) => Event::Lost(Loss::passing(format!("the WebSocket was lost: {error}"))),
        }
    }

    /// Sends what waits and reads what is there, whichever is possible, until something is read.
    async fn exchange_bytes(&mut self) -> io::Result<usize> {
        loop {
            let interest = match self.unsent.as_slice() {
                [] => Interest::READABLE,
                _ => Interest::READABLE | Interest::WRITABLE,
            };
            let ready = self.socket.ready(interest).await?;
            if ready.is_writable() && !self.unsent.is_empty() {
                match self.socket.try_write(&self.unsent) {
                    Ok(written) => drop(self.unsent.drain(..written)),
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                    Err(error) => return Err(error),
                }
            }
            if ready.is_readable() || ready.is_read_closed() {
                match self.socket.try_read(&mut self.buffer) {
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                    outcome => return outcome,
                }
            }
        }
    }

    fn decode(&mut self, mut input: &mut [u8]) {
        loop {
            let frame = match self.decoder.decode(&mut input) {
                Ok(Some(frame)) => frame,
                Ok(None) => return,
                Err(violation) => {
                    let mask = mask();
                    let reason = violation.to_string();
                    encode_masked_close(&mut self.unsent, violation.close_code(), &reason, mask);
                    return self.queue.push_back(Event::Lost(Loss::passing(reason)));
                }
            };
            let event = match frame {
                Frame::Text(text) => match Push::of_text(text) {
                    Ok(Some(push)) => Event::Push(push),
                    Ok(None) => continue,
                    Err(loss) => Event::Lost(loss),
                },
                Frame::Ping(payload) => {
                    if self.unsent.len() < MAX_UNSENT {
                        let mask = mask();
                        encode_masked_frame(&mut self.unsent, Opcode::Pong, payload, mask);
                    }
                    continue;
                }
                Frame::Binary(_) | Frame::Pong(_) => continue,
                Frame::Close(frame) => {
                    let code = frame.map_or(close::NORMAL, |(code, _)| code);
                    encode_masked_close(&mut self.unsent, code, "", mask());
                    Event::Lost(Loss::of_close(frame))
                }
            };
            self.queue.push_back(event);
        }
    }
}

impl Drop for WebSocketLink {
    /// Says goodbye where that needs no waiting; a server that does not hear it sees the end of
    /// the connection.
    fn drop(&mut self) {
        if self.unsent.is_empty() {
            encode_masked_close(&mut self.unsent, close::NORMAL, "", mask());
        }
        drop(self.socket.try_write(&self.unsent));
    }
}

/// A masking key, unpredictable as RFC 6455 §10.3 wants it.
fn mask() -> [u8; 4] {
    let [a, b, c, d, ..] = random().to_be_bytes();
    [a, b, c, d]
}
