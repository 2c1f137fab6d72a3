//! A reader of `/v1/sse`.

use std::{collections::VecDeque, io, net::SocketAddr, time::Instant};

use super::{Item, Stream, Wish, control, merged};
use crate::http::{Answer, Head, Link, find};

/// An open event stream.
#[derive(Debug)]
pub struct Sse {
    link: Link,
    head: Head,
    body: Vec<u8>,
    items: VecDeque<Item>,
    last_id: String,
    retry_ms: Option<u64>,
    own_ids: bool,
    ended: bool,
}

impl Sse {
    /// Opens a stream.
    ///
    /// # Errors
    /// The answer, where its status is not 200.
    pub fn open(address: SocketAddr, wish: &Wish) -> Result<Self, Answer> {
        let mut link = Link::connect_with(address, wish.receive_buffer);
        link.send(&wish.request("/v1/sse", wish.cursor.as_deref()));
        let own_ids = wish.query.iter().any(|(name, _)| name == "ids");
        let last_id = wish.cursor.clone().unwrap_or_default();
        Self::over(link).map(|sse| Self {
            own_ids,
            last_id,
            ..sse
        })
    }

    /// Reads a stream on a connection whose request was sent.
    ///
    /// # Errors
    /// The answer, where its status is not 200.
    pub fn over(mut link: Link) -> Result<Self, Answer> {
        let head = link.head();
        let is_stream = head.header("content-type") == Some("text/event-stream");
        if head.status != 200 || !is_stream {
            let body = link.read_some(Instant::now() + crate::wait::SOON);
            return Err(Answer {
                head,
                body: body.ok().flatten().unwrap_or_default(),
            });
        }
        Ok(Self {
            link,
            head,
            body: Vec::new(),
            items: VecDeque::new(),
            last_id: String::new(),
            retry_ms: None,
            own_ids: false,
            ended: false,
        })
    }

    /// The response's head.
    #[must_use]
    pub fn head(&self) -> &Head {
        &self.head
    }

    /// When the server wants the client back, in milliseconds.
    #[must_use]
    pub fn retry_ms(&self) -> Option<u64> {
        self.retry_ms
    }

    /// The socket, for a reader that stops reading.
    #[must_use]
    pub fn link(&self) -> &Link {
        &self.link
    }

    fn take_blocks(&mut self) {
        while let Some(end) = find(&self.body, b"\n\n") {
            let block: Vec<u8> = self.body.drain(..end + 2).collect();
            let block = String::from_utf8(block).expect("an event stream is UTF-8");
            self.take_block(&block);
        }
    }

    fn take_block(&mut self, block: &str) {
        let (mut name, mut data, mut id) = (None, Vec::new(), None);
        let mut comment = false;
        for line in block.lines().filter(|line| !line.is_empty()) {
            match line.split_once(": ").unwrap_or((line, "")) {
                ("event", value) => name = Some(value.to_owned()),
                ("data", value) => data.push(value.to_owned()),
                ("id", value) => id = Some(value.to_owned()),
                ("retry", value) => self.retry_ms = value.parse().ok(),
                (other, _) => {
                    assert!(
                        other.starts_with(':'),
                        "{line:?} is no line of an event stream"
                    );
                    comment = true;
                }
            }
        }
        if let Some(id) = id {
            self.last_id = if self.own_ids {
                merged(&self.last_id, &id)
            } else {
                id
            };
        }
        if data.is_empty() {
            self.items.extend(comment.then_some(Item::Idle));
            return;
        }
        let (name, data) = (
            name.unwrap_or_else(|| "message".to_owned()),
            data.join("\n"),
        );
        self.items.push_back(match serde_json::from_str(&data) {
            Ok(value) => control(&name, value),
            Err(_) => Item::Named(name, data),
        });
    }
}

impl Stream for Sse {
    fn next(&mut self, deadline: Instant) -> io::Result<Item> {
        loop {
            if let Some(item) = self.items.pop_front() {
                return Ok(item);
            }
            if self.ended {
                return Ok(Item::End(None));
            }
            let more = if self.head.is_chunked() {
                self.link.chunk(deadline)?
            } else {
                self.link.read_some(deadline)?
            };
            self.ended = more.is_none();
            self.body.extend(more.unwrap_or_default());
            self.take_blocks();
        }
    }

    fn cursor(&self) -> String {
        self.last_id.clone()
    }

    fn cut(self: Box<Self>) {
        self.link.reset();
    }
}
