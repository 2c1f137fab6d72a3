//! Long-polling: a held request is a connection that is answered once and then let go.
//!
//! The answer's cursor covers exactly what was returned, so any node answers the next poll.

use super::{
    Shard, Sockets,
    connection::{ConnectionId, ConnectionRef, Held, Ix, Phase, Subscription},
};
use crate::{
    envelope::{write_denied, write_number},
    format::Format,
};

/// Bytes of messages that an answer may have even if others hold all the memory for answers. One
/// message always fits.
const SHORT_ANSWER: usize = 16 << 10;

impl<S: Sockets> Shard<S> {
    /// Answers a held poll if there is something to say, or at once; returns whether it goes on
    /// being held.
    pub(super) fn answer(&mut self, ix: Ix, at_once: bool) -> bool {
        let Some(Phase::Held(held)) = self.connections[ix as usize].phase.as_deref() else {
            return false;
        };
        let (limit, only_cursor) = (held.poll.limit, held.poll.only_cursor);
        let mut answer = Collected::default();
        if !only_cursor {
            answer = self.collect(ix, limit);
        }
        let connection = self.connection(ix);
        let Some(Phase::Held(held)) = connection.phase.as_deref_mut() else {
            return false;
        };
        // What has to be read from the log first is waited for, rather than answered in parts: as
        // long as that brings more, since pages may push each other out.
        let nothing = answer.messages.is_empty() && held.gaps.is_empty();
        let grows = answer.messages.is_empty() || answer.messages.len() > held.found;
        held.found = held.found.max(answer.messages.len());
        let waits = if at_once {
            // Nothing, where there is something, would say that there is nothing.
            nothing && !answer.missing.is_empty() && !held.poll.close
        } else {
            nothing || !answer.missing.is_empty() && grows
        };
        if waits {
            let generation = connection.name.generation;
            for (entry_ix, after) in answer.missing {
                self.want_page(ConnectionRef { ix, generation }, entry_ix, after);
            }
            return true;
        }
        for (subscription, cursor) in connection.subscriptions.iter_mut().zip(answer.cursors) {
            subscription.move_to(cursor);
        }
        let messages = answer.messages;
        let cursor = self.cursor_of(ix);
        let connection = &mut self.connections[ix as usize];
        let phase = connection.phase.take();
        let Some(Phase::Held(held)) = phase.map(|phase| *phase) else {
            return false;
        };
        connection.flags.last_answer = held.poll.close;
        let answer = write_answer(&held, connection.name.id, &cursor, &messages);
        let share = self.rooms.answers.hold(answer.len());
        connection.phase = Some(Box::new(Phase::Answered(share)));
        connection.output().push_own(&answer);
        self.unsubscribe_all(ix);
        self.make_ready(ix);
        false
    }

    /// Finds up to `limit` messages, shared fairly over the channels that have some.
    fn collect(&mut self, ix: Ix, limit: usize) -> Collected {
        let connection = &self.connections[ix as usize];
        let mut found = Collected {
            cursors: connection
                .subscriptions
                .iter()
                .map(Subscription::cursor)
                .collect(),
            ..Collected::default()
        };
        let mut left = limit;
        // Many who ask and do not read must not hold more than their share of memory together.
        let room_left = self.rooms.answers.left().max(SHORT_ANSWER);
        let max_bytes = self.settings.max_answer_bytes.min(room_left);
        // Each round gives every channel its share; what one does not need the others get.
        loop {
            let subscriptions = &connection.subscriptions;
            let behind = subscriptions
                .iter()
                .zip(&found.cursors)
                .filter(|(sub, cursor)| sub.is_live() && **cursor < self.channels[sub.channel].head)
                .count();
            let share = left.checked_div(behind).unwrap_or(0).max(1);
            let mut advanced = false;
            found.missing.clear();
            for (nth, subscription) in subscriptions.iter().enumerate() {
                let entry = &mut self.channels[subscription.channel];
                let cursor = found.cursors[nth];
                let room = max_bytes.saturating_sub(found.messages.len());
                if !subscription.is_live() || cursor >= entry.head || left == 0 || room == 0 {
                    continue;
                }
                let Some((chunk, _, end)) =
                    entry.chunk_for(cursor, Format::Json, &mut self.flush.spare)
                else {
                    found.missing.push((subscription.channel, cursor));
                    continue;
                };
                let chunk = chunk.borrow();
                let Some(run) = chunk.run(cursor, share.min(left), room) else {
                    // The log says that nothing is retained up to here.
                    found.cursors[nth] = end;
                    advanced = true;
                    continue;
                };
                if run.end - run.start > room && !found.messages.is_empty() {
                    continue;
                }
                found
                    .messages
                    .extend_from_slice(&chunk.bytes()[run.start..run.end]);
                found.cursors[nth] = run.last;
                left -= run.count;
                advanced = true;
            }
            if !advanced {
                return found;
            }
        }
    }
}

/// What there is for an answer.
#[derive(Default)]
struct Collected {
    messages: Vec<u8>,
    /// Where each subscription stands behind them.
    cursors: Vec<u64>,
    /// Channels of which a page of the log is needed to go on, and from where.
    missing: Vec<(Ix, u64)>,
}

/// `{"cursor", "messages": […], "gaps": […], "denied"?}`, with the rest of the response head.
fn write_answer(held: &Held, id: ConnectionId, cursor: &str, messages: &[u8]) -> Vec<u8> {
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
    let Some(head) = &held.poll.head else {
        return body;
    };
    let mut answer = Vec::with_capacity(head.len() + 80 + body.len());
    answer.extend_from_slice(head);
    answer.extend_from_slice(id.to_string().as_bytes());
    answer.extend_from_slice(b"\r\ncontent-length: ");
    write_number(&mut answer, body.len() as u64);
    if held.poll.close {
        answer.extend_from_slice(b"\r\nconnection: close");
    }
    answer.extend_from_slice(b"\r\n\r\n");
    answer.extend_from_slice(&body);
    answer
}
