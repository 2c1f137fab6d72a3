//! Publishers: HTTP POSTs on connections that are kept, one request at a time on each.

use std::{
    collections::VecDeque,
    io::{ErrorKind, Read, Write},
    net::{SocketAddr, TcpStream},
    time::{Duration, Instant},
};

use anyhow::{Result, bail};

/// Stands once in every payload, and nowhere else on the wire.
pub(crate) const MARK: u8 = b'|';
/// Length of a payload in bytes, its quotes included.
const PAYLOAD_BYTES: usize = 128;
/// Digits of the time in a payload.
const TIME_DIGITS: usize = 20;

/// Some connections to one server.
pub(crate) struct Publishers {
    address: SocketAddr,
    streams: Vec<TcpStream>,
    /// In turns, so that none is idle for long enough to be closed.
    idle: VecDeque<usize>,
    busy: Vec<usize>,
    started: Instant,
}

impl Publishers {
    pub(crate) fn connect(address: SocketAddr, count: usize) -> Result<Self> {
        let mut streams = Vec::with_capacity(count);
        for _ in 0..count {
            let stream = TcpStream::connect(address)?;
            stream.set_nodelay(true)?;
            stream.set_nonblocking(true)?;
            streams.push(stream);
        }
        let idle = (0..count).collect();
        Ok(Self {
            address,
            streams,
            idle,
            busy: Vec::new(),
            started: Instant::now(),
        })
    }

    /// Whether a request can be sent now.
    pub(crate) fn is_free(&self) -> bool {
        !self.idle.is_empty()
    }

    /// Whether every request was answered.
    pub(crate) fn is_quiet(&self) -> bool {
        self.busy.is_empty()
    }

    /// Publishes to a channel, with the time at which the message was due in its payload.
    pub(crate) fn publish(&mut self, channel: &str, due: Instant) -> Result<()> {
        let Some(nth) = self.idle.pop_front() else {
            bail!("every publisher waits for its answer")
        };
        let time = due.duration_since(self.started).as_nanos();
        let padding = PAYLOAD_BYTES - TIME_DIGITS - 3;
        let request = format!(
            "POST /v1/channels/{channel} HTTP/1.1\r\nhost: {}\r\n\
             content-length: {PAYLOAD_BYTES}\r\n\r\n\"{}{time:0>TIME_DIGITS$}{:x<padding$}\"",
            self.address,
            char::from(MARK),
            "",
        );
        self.streams[nth].write_all(request.as_bytes())?;
        self.busy.push(nth);
        Ok(())
    }

    /// Takes the answers that have come.
    pub(crate) fn answers(&mut self) -> Result<()> {
        let mut bytes = [0; 4096];
        let mut at = 0;
        while let Some(&nth) = self.busy.get(at) {
            match self.streams[nth].read(&mut bytes) {
                Ok(count) if bytes[..count].starts_with(b"HTTP/1.1 200") => {
                    self.busy.swap_remove(at);
                    self.idle.push_back(nth);
                }
                Ok(count) => {
                    bail!(
                        "a publish failed: {}",
                        String::from_utf8_lossy(&bytes[..count])
                    )
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => at += 1,
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }

    /// How long ago each publication in these bytes was due.
    pub(crate) fn ages(&self, bytes: &[u8]) -> impl Iterator<Item = Duration> {
        let now = self.started.elapsed();
        memchr::memchr_iter(MARK, bytes).filter_map(move |at| {
            let digits = bytes.get(at + 1..at + 1 + TIME_DIGITS)?;
            let due = std::str::from_utf8(digits).ok()?.parse().ok()?;
            Some(now.saturating_sub(Duration::from_nanos(due)))
        })
    }
}
