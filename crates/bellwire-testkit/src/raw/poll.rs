//! A client of `/v1/poll`: asks again and again on one connection.

use std::{collections::VecDeque, io, net::SocketAddr, time::Instant};

use serde_json::{Value, json};

use super::{Item, Stream, Wish, text};
use crate::{
    http::{Answer, Link},
    wait::SOON,
};

/// A series of polls.
#[derive(Debug)]
pub struct Poll {
    address: SocketAddr,
    link: Link,
    wish: Wish,
    cursor: String,
    items: VecDeque<Item>,
    /// A request waits for its answer.
    asked: bool,
    /// The last answer said that the connection ends.
    ended: bool,
}

impl Poll {
    /// Starts polling; without a cursor the first answer is waited for.
    ///
    /// # Errors
    /// The answer, where its status is not 200.
    pub fn open(address: SocketAddr, wish: &Wish) -> Result<Self, Answer> {
        let mut poll = Self {
            address,
            link: Link::connect_with(address, wish.receive_buffer),
            wish: wish.clone(),
            cursor: wish.cursor.clone().unwrap_or_default(),
            items: VecDeque::new(),
            asked: false,
            ended: false,
        };
        if wish.cursor.is_none() {
            poll.ask();
            let answer = poll.link.answer();
            poll.take(answer)?;
            let hello = json!({"cursor": poll.cursor});
            poll.items.retain(|item| *item != Item::Idle);
            poll.items.push_front(Item::Hello(hello));
        } else {
            poll.items
                .push_back(Item::Hello(json!({"cursor": poll.cursor})));
        }
        Ok(poll)
    }

    /// Sends the next request, if none waits for its answer.
    pub fn ask(&mut self) {
        if self.asked {
            return;
        }
        if self.ended {
            self.link = Link::connect_with(self.address, self.wish.receive_buffer);
            self.ended = false;
        }
        let cursor = Some(self.cursor.as_str()).filter(|cursor| !cursor.is_empty());
        self.link.send(&self.wish.request("/v1/poll", cursor));
        self.asked = true;
    }

    /// Whether the last answer said `Connection: close`.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.ended
    }

    /// The socket, for a client that stops reading.
    #[must_use]
    pub fn link(&self) -> &Link {
        &self.link
    }

    fn take(&mut self, answer: Answer) -> Result<(), Answer> {
        self.asked = false;
        self.ended = answer.header("connection") == Some("close");
        if answer.status() != 200 {
            return Err(answer);
        }
        let body = answer.json();
        self.cursor = text(&body, "cursor").to_owned();
        let list = |name: &str| body[name].as_array().cloned().unwrap_or_default();
        let before = self.items.len();
        self.items
            .extend(list("denied").into_iter().map(Item::Denied));
        self.items.extend(list("gaps").into_iter().map(Item::Gap));
        self.items
            .extend(list("messages").into_iter().map(Item::Message));
        self.items
            .extend(body.get("status").cloned().map(Item::Status));
        if self.items.len() == before {
            self.items.push_back(Item::Idle);
        }
        Ok(())
    }

    /// Waits for one whole answer and gives its body.
    ///
    /// # Panics
    /// When none comes, or a refusal.
    pub fn round(&mut self) -> Value {
        self.ask();
        let answer = self.link.answer();
        let body = answer.json();
        self.take(answer).expect("the poll is not refused");
        self.items.clear();
        body
    }
}

impl Stream for Poll {
    fn next(&mut self, deadline: Instant) -> io::Result<Item> {
        if let Some(item) = self.items.pop_front() {
            return Ok(item);
        }
        self.ask();
        self.link.await_some(deadline)?;
        let answer = self.link.answer_by(deadline.max(Instant::now() + SOON))?;
        self.take(answer)
            .map_err(|answer| io::Error::other(answer.text()))?;
        Ok(self.items.pop_front().unwrap_or(Item::Idle))
    }

    fn cursor(&self) -> String {
        self.cursor.clone()
    }

    fn cut(self: Box<Self>) {
        self.link.reset();
    }
}
