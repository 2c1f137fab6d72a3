//! Subscribers: sockets that are read as fast as they fill, without ever sleeping, so that no
//! server pays for waking its peer. Counts deliveries by the one mark in each payload.

use std::{
    io::{ErrorKind, Read, Write},
    mem::MaybeUninit,
    net::{SocketAddr, TcpStream},
    os::fd::OwnedFd,
};

use anyhow::{Context, Result, bail};
use rustix::event::epoll::{self, CreateFlags, Event, EventData, EventFlags};

use crate::publisher::MARK;

/// The two wires of a broadcast.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wire {
    WebSocket,
    Sse,
}

impl Wire {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::WebSocket => "WebSocket",
            Self::Sse => "SSE",
        }
    }

    fn request(self, address: SocketAddr, channel: &str) -> String {
        match self {
            Self::WebSocket => format!(
                "GET /v1/ws?channel={channel} HTTP/1.1\r\nhost: {address}\r\n\
                 upgrade: websocket\r\nconnection: Upgrade\r\nsec-websocket-version: 13\r\n\
                 sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
            ),
            Self::Sse => {
                format!("GET /v1/sse?channel={channel} HTTP/1.1\r\nhost: {address}\r\n\r\n")
            }
        }
    }
}

/// Subscribers of one server.
pub(crate) struct Crowd {
    epoll: OwnedFd,
    sockets: Vec<TcpStream>,
    buffer: Vec<u8>,
    /// Publications that have arrived.
    pub(crate) deliveries: u64,
    /// Bytes that have arrived.
    pub(crate) bytes: u64,
}

impl Crowd {
    /// Connects one subscriber per channel, each until its hello has come.
    pub(crate) fn connect<'a>(
        address: SocketAddr,
        wire: Wire,
        channels: impl IntoIterator<Item = &'a str>,
    ) -> Result<Self> {
        let epoll = epoll::create(CreateFlags::CLOEXEC)?;
        let mut sockets: Vec<TcpStream> = Vec::new();
        for channel in channels {
            let stream = subscribe(address, wire, channel)?;
            let data = EventData::new_u64(sockets.len() as u64);
            epoll::add(&epoll, &stream, data, EventFlags::IN)?;
            sockets.push(stream);
        }
        Ok(Self {
            epoll,
            sockets,
            buffer: vec![0; 64 << 10],
            deliveries: 0,
            bytes: 0,
        })
    }

    pub(crate) fn len(&self) -> u64 {
        self.sockets.len() as u64
    }

    /// Reads what has arrived on up to `MAX` sockets, without waiting, and shows it to `look`.
    pub(crate) fn read<const MAX: usize>(&mut self, mut look: impl FnMut(&[u8])) -> Result<()> {
        let zero = rustix::time::Timespec {
            tv_sec: 0,
            tv_nsec: 0,
        };
        let mut events = [const { MaybeUninit::<Event>::uninit() }; MAX];
        let (events, _) = epoll::wait(&self.epoll, &mut events[..], Some(&zero))?;
        for event in events.iter() {
            let socket = &self.sockets[usize::try_from(event.data.u64())?];
            let mut stream = socket;
            let count = match stream.read(&mut self.buffer) {
                Ok(0) => bail!("the server closed a subscriber's connection"),
                Ok(count) => count,
                Err(error) if error.kind() == ErrorKind::WouldBlock => continue,
                Err(error) => return Err(error.into()),
            };
            let bytes = &self.buffer[..count];
            self.deliveries += memchr::memchr_iter(MARK, bytes).count() as u64;
            self.bytes += count as u64;
            look(bytes);
        }
        Ok(())
    }
}

fn subscribe(address: SocketAddr, wire: Wire, channel: &str) -> Result<TcpStream> {
    let mut stream = TcpStream::connect(address).context("connecting a subscriber")?;
    stream.set_nodelay(true)?;
    stream.write_all(wire.request(address, channel).as_bytes())?;
    let mut answer = Vec::new();
    let mut bytes = [0; 2048];
    while memchr::memmem::find(&answer, b"hello").is_none() {
        let count = stream.read(&mut bytes)?;
        answer.extend_from_slice(&bytes[..count]);
        if count == 0 {
            bail!("refused: {}", String::from_utf8_lossy(&answer));
        }
    }
    stream.set_nonblocking(true)?;
    Ok(stream)
}
