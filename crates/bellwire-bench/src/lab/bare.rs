//! The limit that servers are compared with: one thread, an epoll, one `send(2)` of a frame that
//! was encoded once for each subscriber. No history, no backpressure, no access, no timers.
//!
//! It speaks just enough HTTP for the generator: a GET becomes a subscriber of the channels that
//! it names, a POST is published to one. A frame carries the same envelope, of the same length,
//! as Bellwire's.

use std::{
    collections::HashMap,
    io::{self, Read, Write},
    mem::MaybeUninit,
    net::{TcpListener, TcpStream},
    os::fd::OwnedFd,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};
use rustix::event::epoll::{self, CreateFlags, Event, EventData, EventFlags};

/// How the loop runs.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Settings {
    /// Send what a turn of the loop published at its end, instead of each message at once
    #[arg(long)]
    flush_per_turn: bool,
    /// Ping every WebSocket once in so many milliseconds, and read the pongs
    #[arg(long)]
    ping_every: Option<u64>,
}

/// The listener's place among the events.
const LISTENER: u64 = u64::MAX;
/// What the handshake of RFC 6455, section 1.3, answers to the key that the generator sends.
const ACCEPT: &str = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";
/// A ping without a payload.
const PING: [u8; 2] = [0x89, 0];
/// How often pings go out, to a share of the subscribers each time.
const PING_STEP: Duration = Duration::from_millis(100);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Framing {
    WebSocket,
    Sse,
}

struct Connection {
    stream: TcpStream,
    request: Vec<u8>,
    subscribed: bool,
}

#[derive(Default)]
struct Channel {
    subscribers: Vec<usize>,
    /// Frames of this turn.
    pending: Vec<u8>,
}

struct Loop {
    epoll: OwnedFd,
    connections: Vec<Option<Connection>>,
    vacant: Vec<usize>,
    channels: HashMap<String, Channel>,
    dirty: Vec<String>,
    framing: Framing,
    settings: Settings,
    published: u64,
    /// The next one to be pinged.
    ping_at: usize,
}

/// Runs until it is killed; says on the first line of standard error where it listens.
pub(crate) fn run(settings: &Settings) -> Result<()> {
    bellwire_bench::worker::raise_descriptor_limit()?;
    let listener = TcpListener::bind("127.0.0.1:0")?;
    // The standard library's backlog is too short for thousands at once.
    rustix::net::listen(&listener, 4_096)?;
    listener.set_nonblocking(true)?;
    let address = listener.local_addr()?;
    writeln!(io::stderr(), "bare write loop on http://{address}/")?;
    let epoll = epoll::create(CreateFlags::CLOEXEC)?;
    let data = EventData::new_u64(LISTENER);
    epoll::add(&epoll, &listener, data, EventFlags::IN)?;
    let mut state = Loop {
        epoll,
        connections: Vec::new(),
        vacant: Vec::new(),
        channels: HashMap::new(),
        dirty: Vec::new(),
        framing: Framing::WebSocket,
        settings: settings.clone(),
        published: 0,
        ping_at: 0,
    };
    let step = settings.ping_every.map(|_| PING_STEP);
    let wait = step.map(rustix::time::Timespec::try_from).transpose()?;
    let mut next_ping = Instant::now();
    let mut events = [const { MaybeUninit::<Event>::uninit() }; 256];
    loop {
        let (events, _) = epoll::wait(&state.epoll, &mut events[..], wait.as_ref())?;
        for event in events.iter() {
            match event.data.u64() {
                LISTENER => state.accept(&listener)?,
                nth => state.read(usize::try_from(nth)?)?,
            }
        }
        state.flush()?;
        if let Some(every) = settings.ping_every
            && Instant::now() >= next_ping
        {
            next_ping += PING_STEP;
            state.ping(Duration::from_millis(every))?;
        }
    }
}

impl Loop {
    fn accept(&mut self, listener: &TcpListener) -> Result<()> {
        loop {
            match listener.accept() {
                Ok((stream, _)) => {
                    stream.set_nonblocking(true)?;
                    stream.set_nodelay(true)?;
                    let nth = self.vacant.pop().unwrap_or(self.connections.len());
                    let data = EventData::new_u64(nth as u64);
                    epoll::add(&self.epoll, &stream, data, EventFlags::IN)?;
                    let connection = Some(Connection {
                        stream,
                        request: Vec::new(),
                        subscribed: false,
                    });
                    match self.connections.get_mut(nth) {
                        Some(slot) => *slot = connection,
                        None => self.connections.push(connection),
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error.into()),
            }
        }
    }

    fn read(&mut self, nth: usize) -> Result<()> {
        let Some(connection) = &mut self.connections[nth] else {
            return Ok(());
        };
        let mut bytes = [0; 16_384];
        let count = (&connection.stream).read(&mut bytes).unwrap_or_default();
        if count == 0 {
            self.forget(nth);
            return Ok(());
        }
        if connection.subscribed {
            // A pong.
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
        let mut request = std::mem::take(&mut connection.request);
        self.publish(&request, head + 4)?;
        request.clear();
        if let Some(connection) = &mut self.connections[nth] {
            connection.request = request;
            let answer = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}";
            (&connection.stream).write_all(answer)?;
        }
        Ok(())
    }

    fn forget(&mut self, nth: usize) {
        if self.connections[nth]
            .take()
            .is_some_and(|gone| gone.subscribed)
        {
            self.channels.retain(|_, channel| {
                channel.subscribers.retain(|&other| other != nth);
                !channel.subscribers.is_empty()
            });
        }
        self.vacant.push(nth);
    }

    fn subscribe(&mut self, nth: usize) -> Result<()> {
        let Some(connection) = &mut self.connections[nth] else {
            return Ok(());
        };
        let request = String::from_utf8(std::mem::take(&mut connection.request))?;
        let target = request.split(' ').nth(1).unwrap_or_default();
        let hello = if target.starts_with("/v1/ws") {
            self.framing = Framing::WebSocket;
            let mut hello = format!(
                "HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\n\
                 connection: Upgrade\r\nsec-websocket-accept: {ACCEPT}\r\n\r\n"
            )
            .into_bytes();
            hello.extend_from_slice(b"\x81\x05hello");
            hello
        } else {
            self.framing = Framing::Sse;
            b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\
              transfer-encoding: chunked\r\n\r\n8\r\n: hello\n\r\n"
                .to_vec()
        };
        (&connection.stream).write_all(&hello)?;
        connection.subscribed = true;
        for channel in target
            .split(['?', '&'])
            .filter_map(|part| part.strip_prefix("channel="))
        {
            let channel = self.channels.entry(channel.to_owned()).or_default();
            channel.subscribers.push(nth);
        }
        Ok(())
    }

    fn publish(&mut self, request: &[u8], body: usize) -> Result<()> {
        let line = request.split(|&byte| byte == b' ').nth(1);
        let path = std::str::from_utf8(line.unwrap_or_default())?;
        let name = path.rsplit('/').next().unwrap_or_default();
        let payload = &request[body..];
        self.published += 1;
        let id = format!("1AAAAAAAAAAAAAAAA{:0>4}", self.published % 10_000);
        let mut envelope =
            format!("{{\"channel\":\"{name}\",\"id\":\"{id}\",\"time\":1700000000000,\"data\":")
                .into_bytes();
        envelope.extend_from_slice(payload);
        envelope.push(b'}');
        if !self.channels.contains_key(name) {
            return Ok(());
        }
        let channel = self.channels.entry(name.to_owned()).or_default();
        if channel.pending.is_empty() {
            self.dirty.push(name.to_owned());
        }
        frame(self.framing, &id, &envelope, &mut channel.pending)?;
        if self.settings.flush_per_turn {
            Ok(())
        } else {
            self.flush()
        }
    }

    fn flush(&mut self) -> Result<()> {
        for name in std::mem::take(&mut self.dirty) {
            let Some(channel) = self.channels.get_mut(&name) else {
                continue;
            };
            for &nth in &channel.subscribers {
                let Some(connection) = &self.connections[nth] else {
                    continue;
                };
                if (&connection.stream).write(&channel.pending)? < channel.pending.len() {
                    bail!("a subscriber does not keep up, and this loop has no backpressure");
                }
            }
            channel.pending.clear();
        }
        Ok(())
    }

    /// Pings the share of the subscribers that is due in one step.
    fn ping(&mut self, every: Duration) -> Result<()> {
        let total = self.connections.len();
        let steps = usize::try_from(every.as_millis() / PING_STEP.as_millis())?.max(1);
        for _ in 0..total.div_ceil(steps) {
            self.ping_at = (self.ping_at + 1) % total;
            if let Some(connection) = &self.connections[self.ping_at]
                && connection.subscribed
            {
                (&connection.stream).write_all(&PING)?;
            }
        }
        Ok(())
    }
}

fn frame(framing: Framing, id: &str, envelope: &[u8], out: &mut Vec<u8>) -> Result<()> {
    match framing {
        Framing::WebSocket => {
            let length = u16::try_from(envelope.len())?;
            out.extend_from_slice(&[0x81, 126]);
            out.extend_from_slice(&length.to_be_bytes());
            out.extend_from_slice(envelope);
        }
        Framing::Sse => {
            let length = "id: \ndata: \n\n".len() + id.len() + envelope.len();
            write!(out, "{length:x}\r\nid: {id}\ndata: ")?;
            out.extend_from_slice(envelope);
            out.extend_from_slice(b"\n\n\r\n");
        }
    }
    Ok(())
}
