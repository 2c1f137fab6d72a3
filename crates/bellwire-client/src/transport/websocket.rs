//! A WebSocket. Opened and polled through [`super::Link`]; everything is asked for in the URL,
//! so this side only ever sends pongs and a close.

use std::collections::VecDeque;

use super::{
    frames::{Frames, Received},
    request::Wanted,
};
use crate::{endpoint::Endpoint, item::Push, machine::Event, verdict::Loss};

/// An open WebSocket.
#[derive(Debug)]
pub(crate) struct WebSocketLink {
    frames: Frames,
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
        let target = wanted.target("/v1/ws", cursor.as_deref());
        Ok(Self {
            frames: Frames::open(endpoint, &target, wanted.max_message_bytes).await?,
            queue: VecDeque::new(),
        })
    }

    /// The next event.
    pub(crate) async fn next(&mut self) -> Event {
        if let Some(event) = self.queue.pop_front() {
            return event;
        }
        let queue = &mut self.queue;
        let read = self
            .frames
            .read(|received, _| queue.extend(event(&received)));
        match read.await {
            Ok(true) => Event::Life,
            Ok(false) => Event::Lost(Loss::passing("the server dropped the WebSocket")),
            Err(error) => Event::Lost(Loss::passing(format!("the WebSocket was lost: {error}"))),
        }
    }
}

fn event(received: &Received<'_>) -> Option<Event> {
    Some(match *received {
        Received::Text(text) => match Push::of_text(text) {
            Ok(push) => Event::Push(push?),
            Err(loss) => Event::Lost(loss),
        },
        Received::Binary(_) => return None,
        Received::Close(frame) => Event::Lost(Loss::of_close(frame)),
        Received::Broken(violation) => Event::Lost(Loss::passing(violation.to_string())),
    })
}
