//! Publishers: one thread per channel that waits for each acknowledgement, so the numbers in the
//! payloads are the order of the log.

use std::{
    io::{self, Read, Write},
    net::{SocketAddr, TcpStream},
    time::Duration,
};

use serde::Deserialize;

use super::http::take_head;
use crate::checker::Published;

/// How long an acknowledgement may take before a test is stuck.
const STUCK: Duration = Duration::from_secs(20);

#[derive(Debug, Deserialize)]
struct Acknowledged {
    id: String,
}

/// A keep-alive connection that publishes.
#[derive(Debug)]
pub struct Publisher {
    address: SocketAddr,
    stream: TcpStream,
    pending: Vec<u8>,
    published: Published,
    refused: u64,
}

impl Publisher {
    /// Connects.
    ///
    /// # Errors
    /// The server is not there.
    pub fn connect(address: SocketAddr) -> io::Result<Self> {
        let published = Published::default();
        Self::resume(address, published)
    }

    /// Connects, to go on numbering where another publisher stopped.
    ///
    /// # Errors
    /// The server is not there.
    pub fn resume(address: SocketAddr, published: Published) -> io::Result<Self> {
        let stream = TcpStream::connect_timeout(&address, STUCK)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(STUCK))?;
        let pending = Vec::new();
        Ok(Self {
            address,
            stream,
            pending,
            published,
            refused: 0,
        })
    }

    /// Publishes the next number to a channel and waits for the acknowledgement. A refusal before
    /// the append (503) is tried again, as its answer asks.
    ///
    /// # Panics
    /// When the answer is another, or none.
    pub fn publish(&mut self, channel: &str) {
        let path = match channel.strip_prefix('@') {
            Some(user) => format!("users/{user}"),
            None => format!("channels/{channel}"),
        };
        let number = (self.published.count(channel) + 1).to_string();
        let request = format!(
            "POST /v1/{path} HTTP/1.1\r\nHost: {}\r\nContent-Length: {}\r\n\r\n{number}",
            self.address,
            number.len()
        );
        loop {
            let sent = self.stream.write_all(request.as_bytes());
            sent.expect("the server takes publications");
            let (status, body) = self.answer();
            match status {
                200 => {
                    let answer: Acknowledged =
                        serde_json::from_str(&body).expect("an acknowledgement is JSON");
                    return self.published.acknowledged(channel, &answer.id);
                }
                503 => self.refused += 1,
                other => panic!("publishing to {channel}: {other} {body}"),
            }
        }
    }

    /// What was acknowledged so far.
    #[must_use]
    pub fn published(&self) -> &Published {
        &self.published
    }

    /// How often the server refused a publication for the time being.
    #[must_use]
    pub fn refused(&self) -> u64 {
        self.refused
    }

    /// Ends the connection and hands over what was acknowledged.
    #[must_use]
    pub fn finish(self) -> Published {
        self.published
    }

    fn answer(&mut self) -> (u16, String) {
        let head = loop {
            match take_head(&mut self.pending) {
                Some(head) => break head,
                None => self.read_more(),
            }
        };
        while self.pending.len() < head.content_length {
            self.read_more();
        }
        let body = self.pending.drain(..head.content_length).collect();
        let body = String::from_utf8(body).expect("an answer is UTF-8");
        (head.status, body)
    }

    fn read_more(&mut self) {
        let mut bytes = [0; 2048];
        let count = self.stream.read(&mut bytes);
        let count = count.expect("the server answers a publication");
        assert!(count > 0, "the server left a publication without an answer");
        self.pending.extend_from_slice(&bytes[..count]);
    }
}
