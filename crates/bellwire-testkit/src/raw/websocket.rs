//! A reader and writer of `/v1/ws`.

use std::{
    collections::VecDeque,
    io::{self, Write as _},
    net::SocketAddr,
    time::Instant,
};

use bellwire_wire::websocket::{
    Decoder, Decompressor, Event, Limits, Opcode, Role, encode_masked_close, encode_masked_frame,
    handshake::Compression,
};
use serde_json::Value;

use super::{Item, Stream, Wish, control, merged, text};
use crate::http::{Answer, Head, Link, Request};

/// A masking key need not be hard to guess where no proxy is to be protected.
const MASK: [u8; 4] = [0x5a, 0x3c, 0x96, 0xe1];

/// The longest message taken.
const MAX_MESSAGE: usize = 32 << 20;

/// The key of RFC 6455 §1.3 and the answer to it.
pub(super) const KEY: (&str, &str) = ("dGhlIHNhbXBsZSBub25jZQ==", "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");

/// An open WebSocket.
#[derive(Debug)]
pub struct WebSocket {
    link: Link,
    head: Head,
    decoder: Decoder,
    decompressor: Option<Decompressor>,
    compressed: usize,
    compressed_bytes: usize,
    items: VecDeque<Item>,
    cursor: String,
    raw: bool,
    answers_pings: bool,
    ended: bool,
}

impl WebSocket {
    /// Opens a WebSocket.
    ///
    /// # Errors
    /// The answer, where its status is not 101.
    pub fn open(address: SocketAddr, wish: &Wish) -> Result<Self, Answer> {
        let mut link = Link::connect_with(address, wish.receive_buffer);
        let wish = Wish {
            by_post: false,
            ..wish.clone()
        };
        link.send(&upgrade(wish.request("/v1/ws", wish.cursor.as_deref())));
        let raw = wish.query.iter().any(|(name, _)| name == "format");
        Self::over(link).map(|socket| Self { raw, ..socket })
    }

    /// Opens a WebSocket at any path.
    ///
    /// # Errors
    /// The answer, where its status is not 101.
    pub fn open_at(address: SocketAddr, target: &str) -> Result<Self, Answer> {
        let mut link = Link::connect(address);
        link.send(&upgrade(Request::get(target)));
        Self::over(link).map(|socket| Self {
            raw: true,
            ..socket
        })
    }

    /// Opens a WebSocket at any path and offers compression.
    ///
    /// # Errors
    /// The answer, where its status is not 101.
    pub fn open_offering(address: SocketAddr, target: &str, offer: &str) -> Result<Self, Answer> {
        let mut link = Link::connect(address);
        let request = upgrade(Request::get(target));
        link.send(&request.header("sec-websocket-extensions", offer));
        Self::over(link).map(|socket| Self {
            raw: target.starts_with("/v1/echo") || target.contains("format=raw"),
            ..socket
        })
    }

    /// Talks on a connection whose request was sent.
    ///
    /// # Errors
    /// The answer, where its status is not 101.
    pub fn over(mut link: Link) -> Result<Self, Answer> {
        let answer = link.answer();
        if answer.status() != 101 {
            return Err(answer);
        }
        assert_eq!(answer.header("sec-websocket-accept"), Some(KEY.1));
        let agreed = Compression::of_answer(answer.header("sec-websocket-extensions"));
        let agreed = agreed.expect("an answer to what was offered");
        let limits = Limits {
            max_message: MAX_MESSAGE,
        };
        Ok(Self {
            link,
            head: answer.head,
            decoder: Decoder::new(Role::Client, limits).with_compression(agreed.is_some()),
            decompressor: agreed.map(|agreed| Decompressor::new(agreed.server_keeps_context)),
            compressed: 0,
            compressed_bytes: 0,
            items: VecDeque::new(),
            cursor: String::new(),
            raw: false,
            answers_pings: true,
            ended: false,
        })
    }

    /// The response's head.
    #[must_use]
    pub fn head(&self) -> &Head {
        &self.head
    }

    /// The socket, for a reader that stops reading.
    #[must_use]
    pub fn link(&self) -> &Link {
        &self.link
    }

    /// Gives the connection away, for a reader with a loop of its own.
    ///
    /// # Panics
    /// When items were received and not taken.
    #[must_use]
    pub fn into_link(self) -> Link {
        assert!(self.items.is_empty(), "{:?} would be lost", self.items);
        self.link
    }

    /// How many messages came compressed.
    #[must_use]
    pub fn compressed(&self) -> usize {
        self.compressed
    }

    /// How long these were.
    #[must_use]
    pub fn compressed_bytes(&self) -> usize {
        self.compressed_bytes
    }

    /// Leaves pings unanswered from here on, as a peer that is gone.
    pub fn ignore_pings(&mut self) {
        self.answers_pings = false;
    }

    /// Sends a command.
    pub fn command(&mut self, command: &Value) {
        self.send(Opcode::Text, command.to_string().as_bytes());
    }

    /// Sends a command and waits for its reply; what comes before it stays for later.
    ///
    /// # Panics
    /// When none comes.
    pub fn ask(&mut self, command: &Value) -> Value {
        self.command(command);
        let mut before = VecDeque::new();
        let reply = loop {
            match self.item() {
                Item::Reply(reply) if reply["req"] == command["req"] => break reply,
                other => before.push_back(other),
            }
        };
        before.append(&mut self.items);
        self.items = before;
        reply
    }

    /// Sends a frame.
    pub fn send(&mut self, opcode: Opcode, payload: &[u8]) {
        let mut frame = Vec::new();
        encode_masked_frame(&mut frame, opcode, payload, MASK);
        self.link.send_bytes(&frame);
    }

    /// Sends frames as they are.
    pub fn send_bytes(&mut self, frames: &[u8]) {
        self.link.send_bytes(frames);
    }

    /// Sends a close frame.
    pub fn close(&mut self, code: u16, reason: &str) {
        let mut frame = Vec::new();
        encode_masked_close(&mut frame, code, reason, MASK);
        self.link.send_bytes(&frame);
    }

    fn take(&mut self, mut bytes: Vec<u8>) -> io::Result<()> {
        let mut input = bytes.as_mut_slice();
        let mut answer = Vec::new();
        loop {
            let event = match self.decoder.decode(&mut input) {
                Ok(Some(Event::Compressed(kind, payload))) => {
                    self.compressed += 1;
                    self.compressed_bytes += payload.len();
                    let decompressor = self.decompressor.as_mut().expect("agreed on");
                    decompressor.message(kind, payload, MAX_MESSAGE).map(Some)
                }
                event => event,
            };
            let Some(event) = event.map_err(|violation| io::Error::other(violation.to_string()))?
            else {
                break;
            };
            let item = match event {
                Event::Text(text) if self.raw => Item::Named("text".to_owned(), text.to_owned()),
                Event::Text(text) => {
                    let value = serde_json::from_str(text)
                        .map_err(|error| io::Error::other(format!("{error} in {text:?}")))?;
                    understood(value)
                }
                Event::Binary(bytes) => Item::Binary(bytes.to_vec()),
                Event::Ping(payload) => {
                    if self.answers_pings {
                        encode_masked_frame(&mut answer, Opcode::Pong, payload, MASK);
                    }
                    Item::Idle
                }
                Event::Pong(_) | Event::Compressed(..) => Item::Idle,
                Event::Close(reason) => {
                    encode_masked_close(
                        &mut answer,
                        reason.map_or(1000, |(code, _)| code),
                        "",
                        MASK,
                    );
                    self.ended = true;
                    Item::End(reason.map(|(code, reason)| (code, reason.to_owned())))
                }
            };
            self.items.push_back(item);
        }
        if !answer.is_empty() {
            // A server that has ended the connection needs no answer; its end is read next.
            self.link.stream().write_all(&answer).ok();
        }
        Ok(())
    }

    fn note(&mut self, item: &Item) {
        match item {
            Item::Hello(hello) => self.cursor = text(hello, "cursor").to_owned(),
            Item::Message(envelope) => self.cursor = merged(&self.cursor, text(envelope, "id")),
            Item::Gap(gap) => self.cursor = merged(&self.cursor, text(gap, "cursor")),
            Item::Reply(reply) => {
                let id = text(&reply["subscribe"], "cursor");
                if !id.is_empty() {
                    self.cursor = merged(&self.cursor, id);
                }
            }
            _ => {}
        }
    }
}

/// Adds to a request what makes it a handshake.
#[must_use]
pub(super) fn upgrade(request: Request) -> Request {
    request
        .header("connection", "Upgrade")
        .header("upgrade", "websocket")
        .header("sec-websocket-version", "13")
        .header("sec-websocket-key", KEY.0)
}

fn understood(value: Value) -> Item {
    if value.get("channel").is_some() {
        return Item::Message(value);
    }
    let is_reply = value.get("req").is_some() || value.get("error").is_some();
    let first = value.as_object().and_then(|object| object.iter().next());
    match first {
        Some((name, content)) if !is_reply => control(name, content.clone()),
        _ => Item::Reply(value),
    }
}

impl Stream for WebSocket {
    fn next(&mut self, deadline: Instant) -> io::Result<Item> {
        loop {
            if let Some(item) = self.items.pop_front() {
                self.note(&item);
                return Ok(item);
            }
            if self.ended {
                return Ok(Item::End(None));
            }
            match self.link.read_some(deadline)? {
                Some(bytes) => self.take(bytes)?,
                None => return Err(io::ErrorKind::UnexpectedEof.into()),
            }
        }
    }

    fn cursor(&self) -> String {
        self.cursor.clone()
    }

    fn cut(self: Box<Self>) {
        self.link.reset();
    }
}
