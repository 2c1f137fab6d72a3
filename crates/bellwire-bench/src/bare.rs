//! The limit that a server is compared with: one thread, an epoll, one `send(2)` of a frame that
//! was encoded once for each subscriber. No history, no backpressure, no access, no timers.
//!
//! It speaks just enough HTTP for the generator: a GET becomes a subscriber, a POST is published
//! to all of them. A frame carries the same envelope, of the same length, as the server's.

use std::{
    io::{self, Read, Write},
    mem::MaybeUninit,
    net::{TcpListener, TcpStream},
    os::fd::OwnedFd,
};

use anyhow::{Context, Result, bail};
use rustix::event::epoll::{self, CreateFlags, Event, EventData, EventFlags};

/// How the loop runs.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Settings {
    /// Send what a turn of the loop published at its end, instead of each message at once
    #[arg(long)]
    flush_per_turn: bool,
}

/// The listener's place among the events.
const LISTENER: u64 = u64::MAX;
/// What the handshake of RFC 6455, section 1.3, answers to the key that the generator sends.
const ACCEPT: &str = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Framing {
    WebSocket,
    Sse,
}

struct Connection {
    stream: TcpStream,
    request: Vec<u8>,
}

struct Loop {
    epoll: OwnedFd,
    connections: Vec<Connection>,
    subscribers: Vec<usize>,
    framing: Framing,
    /// Frames of this turn.
    pending: Vec<u8>,
    flush_per_turn: bool,
    published: u64,
}

/// Runs until it is killed; says on the first line of standard error where it listens.
pub(crate) fn run(settings: &Settings) -> Result<()> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    listener.set_nonblocking(true)?;
    writeln!(
        io::stderr(),
        "bare write loop on http://{}/",
        listener.local_addr()?
    )?;
    let epoll = epoll::create(CreateFlags::CLOEXEC)?;
    epoll::add(
        &epoll,
        &listener,
        EventData::new_u64(LISTENER),
        EventFlags::IN,
    )?;
    let mut state = Loop {
        epoll,
        connections: Vec::new(),
        subscribers: Vec::new(),
        framing: Framing::WebSocket,
        pending: Vec::new(),
        flush_per_turn: settings.flush_per_turn,
        published: 0,
    };
    let mut events = [const { MaybeUninit::<Event>::uninit() }; 256];
    loop {
        let (events, _) = epoll::wait(&state.epoll, &mut events[..], None)?;
        for event in events.iter() {
            match event.data.u64() {
                LISTENER => state.accept(&listener)?,
                nth => state.read(usize::try_from(nth)?)?,
            }
        }
        state.flush()?;
    }
}

impl Loop {
    fn accept(&mut self, listener: &TcpListener) -> Result<()> {
        loop {
            match listener.accept() {
                Ok((stream, _)) => {
                    stream.set_nonblocking(true)?;
                    stream.set_nodelay(true)?;
                    let data = EventData::new_u64(self.connections.len() as u64);
                    epoll::add(&self.epoll, &stream, data, EventFlags::IN)?;
                    self.connections.push(Connection {
                        stream,
                        request: Vec::new(),
                    });
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error.into()),
            }
        }
    }

    fn read(&mut self, nth: usize) -> Result<()> {
        let connection = &mut self.connections[nth];
        let mut bytes = [0; 4096];
        let count = (&connection.stream).read(&mut bytes)?;
        if count == 0 {
            // The generator leaves all at once and then ends this process.
            epoll::delete(&self.epoll, &connection.stream)?;
            return Ok(());
        }
        connection.request.extend_from_slice(&bytes[..count]);
        let Some(head) = memchr::memmem::find(&connection.request, b"\r\n\r\n") else {
            return Ok(());
        };
        if connection.request.starts_with(b"GET") {
            return self.subscribe(nth);
        }
        let text = std::str::from_utf8(&connection.request[..head])?;
        let (_, length) = text
            .split_once("content-length: ")
            .context("no content-length")?;
        let length: usize = length.lines().next().unwrap_or_default().parse()?;
        if connection.request.len() < head + 4 + length {
            return Ok(());
        }
        let request = std::mem::take(&mut connection.request);
        self.publish(&request[head + 4..])?;
        self.connections[nth].request = request;
        self.connections[nth].request.clear();
        let answer = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}";
        (&self.connections[nth].stream).write_all(answer)?;
        Ok(())
    }

    fn subscribe(&mut self, nth: usize) -> Result<()> {
        let connection = &mut self.connections[nth];
        let websocket = memchr::memmem::find(&connection.request, b"/v1/ws").is_some();
        connection.request.clear();
        let hello = if websocket {
            self.framing = Framing::WebSocket;
            format!(
                "HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\n\
                 connection: Upgrade\r\nsec-websocket-accept: {ACCEPT}\r\n\r\n\u{1}\u{5}hello"
            )
        } else {
            self.framing = Framing::Sse;
            "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\
             transfer-encoding: chunked\r\n\r\n8\r\n: hello\n\r\n"
                .to_owned()
        };
        (&connection.stream).write_all(hello.as_bytes())?;
        self.subscribers.push(nth);
        Ok(())
    }

    fn publish(&mut self, payload: &[u8]) -> Result<()> {
        self.published += 1;
        let id = format!("1AAAAAAAAAAAAAAAA{:0>4}", self.published % 10_000);
        let mut envelope =
            format!("{{\"channel\":\"all\",\"id\":\"{id}\",\"time\":1700000000000,\"data\":")
                .into_bytes();
        envelope.extend_from_slice(payload);
        envelope.push(b'}');
        match self.framing {
            Framing::WebSocket => {
                let length = u16::try_from(envelope.len())?;
                self.pending.extend_from_slice(&[0x81, 126]);
                self.pending.extend_from_slice(&length.to_be_bytes());
                self.pending.extend_from_slice(&envelope);
            }
            Framing::Sse => {
                let mut event = format!("id: {id}\ndata: ").into_bytes();
                event.extend_from_slice(&envelope);
                event.extend_from_slice(b"\n\n");
                write!(self.pending, "{:x}\r\n", event.len())?;
                self.pending.extend_from_slice(&event);
                self.pending.extend_from_slice(b"\r\n");
            }
        }
        if self.flush_per_turn {
            Ok(())
        } else {
            self.flush()
        }
    }

    fn flush(&mut self) -> Result<()> {
        if self.pending.is_empty() {
            return Ok(());
        }
        for &nth in &self.subscribers {
            if (&self.connections[nth].stream).write(&self.pending)? < self.pending.len() {
                bail!("a subscriber does not keep up, and this loop has no backpressure");
            }
        }
        self.pending.clear();
        Ok(())
    }
}
