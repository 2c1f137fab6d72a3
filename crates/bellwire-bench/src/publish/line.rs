//! One connection that publishes: requests one at a time, or commands with several under way.

use std::{
    collections::VecDeque,
    io::{self, ErrorKind, Read, Write},
    net::{Shutdown, TcpStream},
};

use anyhow::{Context, Result, bail};
use bellwire_wire::websocket::{Decoder, Event, Limits, Role};

use super::Via;
use crate::{
    dialect::{Response, Target, Wire, Wish, text_frame},
    socket::{Connector, Socket},
};

/// What one read takes at most.
const BUFFER: usize = 16 << 10;

/// See the module.
pub(super) struct Line {
    socket: Socket,
    kind: Kind,
    /// Channels of the requests or commands that have no answer yet.
    under_way: VecDeque<Vec<u32>>,
    /// Whether the server has ended, or is about to end, the connection.
    spent: bool,
}

enum Kind {
    /// The beginning of an answer.
    Requests(Vec<u8>),
    Commands {
        decoder: Box<Decoder>,
        at_once: usize,
    },
}

impl Line {
    pub(super) fn connect(
        target: &Target,
        connector: Option<&Connector>,
        via: Via,
    ) -> Result<Self> {
        let stream = TcpStream::connect(target.publish)?;
        stream.set_nodelay(true)?;
        let mut socket = Socket::new(stream, connector)?;
        socket.shake_hands()?;
        let kind = match via {
            Via::Requests => Kind::Requests(Vec::new()),
            Via::Commands(at_once) => Kind::Commands {
                decoder: upgrade(&mut socket, target)?,
                at_once,
            },
        };
        socket.tcp().set_nonblocking(true)?;
        Ok(Self {
            socket,
            kind,
            under_way: VecDeque::new(),
            spent: false,
        })
    }

    pub(super) fn socket(&self) -> &Socket {
        &self.socket
    }

    /// Whether the server is known to have closed it, or to be about to.
    pub(super) fn is_closed(&self) -> bool {
        self.spent
    }

    /// Whether it must be connected anew before it sends again: a server may have closed it while
    /// it was idle.
    pub(super) fn is_spent(&mut self) -> bool {
        if !self.spent && self.under_way.is_empty() {
            let peeked = self.socket.peek();
            return self.is_given_up(&peeked);
        }
        self.spent
    }

    /// Whether what was read while nothing was under way is a server's goodbye: an end, a reset, or
    /// the answer to a request that it did not get in time.
    fn is_given_up(&self, read: &io::Result<usize>) -> bool {
        match read {
            Ok(0) => true,
            Ok(_) => matches!(self.kind, Kind::Requests(_)),
            Err(error) => error.kind() != ErrorKind::WouldBlock,
        }
    }

    pub(super) fn has_room(&self) -> bool {
        let most = match &self.kind {
            Kind::Requests(_) => 1,
            Kind::Commands { at_once, .. } => *at_once,
        };
        self.under_way.len() < most
    }

    /// Sends publications: one request, or a command each.
    pub(super) fn send(
        &mut self,
        target: &Target,
        items: &[(String, Vec<u8>)],
        channels: Vec<u32>,
        scratch: &mut Vec<u8>,
    ) -> Result<()> {
        match (&self.kind, items) {
            (Kind::Requests(_), [(channel, payload)]) => target.publish(scratch, channel, payload),
            (Kind::Requests(_), several) => target.publish_batch(scratch, several)?,
            (Kind::Commands { .. }, several) => {
                for (channel, payload) in several {
                    let data = std::str::from_utf8(payload)?;
                    scratch.extend(text_frame(&format!(
                        "{{\"req\":1,\"publish\":{{\"channel\":\"{channel}\",\"data\":{data}}}}}"
                    )));
                }
            }
        }
        let sent = self.socket.write(scratch).context("publishing")?;
        if sent < scratch.len() {
            // A large batch; the server reads on while it is sent.
            self.socket.tcp().set_nonblocking(false)?;
            self.socket.write_all(&scratch[sent..])?;
            self.socket.tcp().set_nonblocking(true)?;
        }
        match &self.kind {
            Kind::Requests(_) => self.under_way.push_back(channels),
            Kind::Commands { .. } => {
                self.under_way
                    .extend(channels.into_iter().map(|channel| vec![channel]));
            }
        }
        Ok(())
    }

    /// Takes the answers that have come; returns how many publications they are for.
    pub(super) fn receive(
        &mut self,
        target: &Target,
        cursors: &mut [Option<String>],
    ) -> Result<usize> {
        let mut answered = self.receive_some(target, cursors)?;
        // Of what is decrypted already the epoll does not tell.
        while !self.spent && self.socket.decrypted()? > 0 {
            answered += self.receive_some(target, cursors)?;
        }
        Ok(answered)
    }

    fn receive_some(&mut self, target: &Target, cursors: &mut [Option<String>]) -> Result<usize> {
        let mut buffer = [0; BUFFER];
        let read = self.socket.read(&mut buffer);
        // Servers close publishers that were idle for long.
        if self.under_way.is_empty() && self.is_given_up(&read) {
            self.spent = true;
            self.socket.tcp().shutdown(Shutdown::Both).ok();
            return Ok(0);
        }
        let count = match read {
            Ok(0) => bail!("the server closed a publisher's connection"),
            Ok(count) => count,
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(0),
            Err(error) => return Err(error.into()),
        };
        let mut answered = 0;
        match &mut self.kind {
            Kind::Requests(begun) => {
                begun.extend_from_slice(&buffer[..count]);
                while let Some(Response { length, body }) = target.answer(begun)? {
                    let channels = self.under_way.pop_front().context("an answer to nothing")?;
                    if channels.len() > 1 && memchr::memmem::find(body, b"\"error\"").is_some() {
                        bail!("refused in a batch: {}", String::from_utf8_lossy(body));
                    }
                    note_cursor(&channels, body, cursors);
                    answered += channels.len();
                    begun.drain(..length);
                    self.spent |= target.closes_publishers();
                }
            }
            Kind::Commands { decoder, .. } => {
                let mut bytes = &mut buffer[..count];
                while let Some(event) = decoder.decode(&mut bytes)? {
                    let Event::Text(text) = event else { continue };
                    if !text.starts_with("{\"req\"") {
                        continue;
                    }
                    if text.contains("\"error\"") {
                        bail!("a publication was refused: {text}");
                    }
                    let channels = self.under_way.pop_front().context("a reply to nothing")?;
                    note_cursor(&channels, text.as_bytes(), cursors);
                    answered += channels.len();
                }
            }
        }
        Ok(answered)
    }
}

/// Remembers the id that an answer to one publication tells.
fn note_cursor(channels: &[u32], answer: &[u8], cursors: &mut [Option<String>]) {
    const ID: &[u8] = b"\"id\":\"";
    let [channel] = channels else { return };
    let Some(start) = memchr::memmem::find(answer, ID) else {
        return;
    };
    let rest = &answer[start + ID.len()..];
    let id = rest.split(|&byte| byte == b'"').next();
    let id = id.and_then(|id| std::str::from_utf8(id).ok());
    if let Some(cursor) = cursors.get_mut(*channel as usize) {
        *cursor = id.map(str::to_owned);
    }
}

/// Makes a connection a WebSocket that subscribes to nothing.
fn upgrade(socket: &mut Socket, target: &Target) -> Result<Box<Decoder>> {
    let subscriber = Target {
        wire: Wire::Ws,
        ..target.clone()
    };
    let wish = Wish {
        channels: &[],
        token: target.credential.as_deref(),
        cursor: None,
    };
    let mut steps = subscriber.subscribe(wish);
    socket.write_all(&steps.swap_remove(0).send)?;
    let mut seen = Vec::new();
    let mut buffer = [0; 1024];
    while memchr::memmem::find(&seen, b"hello").is_none() {
        let count = socket.read(&mut buffer)?;
        seen.extend_from_slice(&buffer[..count]);
        if count == 0 || !seen.starts_with(b"HTTP/1.1 101") {
            bail!("refused: {}", String::from_utf8_lossy(&seen));
        }
    }
    let head = memchr::memmem::find(&seen, b"\r\n\r\n").context("a response has a head")?;
    let mut decoder = Decoder::new(
        Role::Client,
        Limits {
            max_message: 1 << 20,
        },
    );
    let mut frames = &mut seen[head + 4..];
    while decoder.decode(&mut frames)?.is_some() {}
    Ok(Box::new(decoder))
}
