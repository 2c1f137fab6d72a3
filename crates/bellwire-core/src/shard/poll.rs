//! Long-polling: a held request is a connection that is answered once and then let go.
//!
//! The answer's cursor covers exactly what was returned, so any node answers the next poll.

use super::{
    Cause, Shard, Sockets,
    connection::{ConnectionRef, Held, Ix, Phase},
};
use crate::{
    envelope::{write_denied, write_number},
    format::Format,
};

impl<S: Sockets> Shard<S> {
    /// Answers a held poll if there is something to say, or at once; returns whether it goes on
    /// being held.
    pub(super) fn answer(&mut self, ix: Ix, at_once: bool) -> bool {
        let Phase::Held(held) = &self.connections[ix as usize].phase else {
            return false;
        };
        let (limit, only_cursor) = (held.poll.limit, held.poll.only_cursor);
        let mut messages = Vec::new();
        if !only_cursor {
            self.collect(ix, limit, &mut messages);
        }
        let Phase::Held(held) = &self.connections[ix as usize].phase else {
            return false;
        };
        if messages.is_empty() && held.gaps.is_empty() && !at_once {
            return true;
        }
        let cursor = self.cursor_of(ix);
        let connection = self.connection(ix);
        let closing = Phase::Closing {
            cause: Cause::Answered,
            heard: true,
        };
        let Phase::Held(held) = std::mem::replace(&mut connection.phase, closing) else {
            return false;
        };
        connection.flags.last_answer = held.poll.close;
        let answer = write_answer(&held, &cursor, &messages);
        connection.output().push_own(&answer);
        self.unsubscribe_all(ix);
        self.make_ready(ix);
        false
    }

    /// Takes up to `limit` messages, shared fairly over the channels that have some.
    fn collect(&mut self, ix: Ix, limit: usize, messages: &mut Vec<u8>) {
        let generation = self.connections[ix as usize].name.generation;
        let mut left = limit;
        let mut missing = Vec::new();
        // Each round gives every channel its share; what one does not need the others get.
        loop {
            let connection = &mut self.connections[ix as usize];
            let behind = connection
                .subscriptions
                .iter()
                .filter(|sub| sub.live && sub.cursor < self.channels[sub.channel].head)
                .count();
            let share = left.checked_div(behind).unwrap_or(0).max(1);
            let mut taken = 0;
            for subscription in &mut connection.subscriptions {
                let entry = &mut self.channels[subscription.channel];
                let room = self
                    .settings
                    .max_answer_bytes
                    .saturating_sub(messages.len());
                if !subscription.live || subscription.cursor >= entry.head || left == 0 {
                    continue;
                }
                let (cursor, spare) = (subscription.cursor, &mut self.flush.spare);
                let Some((chunk, _, end)) = entry.chunk_for(cursor, Format::Json, spare) else {
                    missing.push((subscription.channel, cursor));
                    continue;
                };
                let chunk = chunk.borrow();
                let Some(run) = chunk.run(cursor, share.min(left), room) else {
                    subscription.cursor = end;
                    continue;
                };
                if run.end - run.start > room && !messages.is_empty() {
                    continue;
                }
                messages.extend_from_slice(&chunk.bytes()[run.start..run.end]);
                subscription.cursor = run.last;
                left -= run.count;
                taken += run.count;
            }
            if taken == 0 {
                break;
            }
            missing.clear();
        }
        if messages.is_empty() {
            for (entry_ix, after) in missing {
                self.want_page(ConnectionRef { ix, generation }, entry_ix, after);
            }
        }
    }
}

/// `{"cursor", "messages": […], "gaps": […], "denied"?}`, with the rest of the response head.
fn write_answer(held: &Held, cursor: &str, messages: &[u8]) -> Vec<u8> {
    let mut body = Vec::with_capacity(messages.len() + 64 + cursor.len());
    body.extend_from_slice(b"{\"cursor\":\"");
    body.extend_from_slice(cursor.as_bytes());
    body.extend_from_slice(b"\",\"messages\":[");
    // Each message comes with its comma in front.
    body.extend_from_slice(messages.get(1..).unwrap_or_default());
    body.extend_from_slice(b"],\"gaps\":[");
    for (i, gap) in held.gaps.iter().enumerate() {
        if i > 0 {
            body.push(b',');
        }
        gap.write(&mut body);
    }
    body.push(b']');
    if !held.denied.is_empty() {
        body.extend_from_slice(b",\"denied\":[");
        for (i, refused) in held.denied.iter().enumerate() {
            if i > 0 {
                body.push(b',');
            }
            write_denied(&mut body, &refused.channel, refused.check, &refused.detail);
        }
        body.push(b']');
    }
    body.push(b'}');
    if held.poll.head.is_empty() {
        return body;
    }
    let mut answer = Vec::with_capacity(held.poll.head.len() + 24 + body.len());
    answer.extend_from_slice(&held.poll.head);
    write_number(&mut answer, body.len() as u64);
    if held.poll.close {
        answer.extend_from_slice(b"\r\nconnection: close");
    }
    answer.extend_from_slice(b"\r\n\r\n");
    answer.extend_from_slice(&body);
    answer
}
