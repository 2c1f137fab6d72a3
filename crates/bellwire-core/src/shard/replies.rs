//! Replies to commands: exactly one each, in the connection's output ahead of the publications
//! that follow from it, so a sender can drop its own echo by id.

use bellwire_wire::websocket::{Opcode, write_frame};

use super::{ConnectionRef, Shard, Sockets, connection::Ix};
use crate::{
    channel::Channel,
    draft::{DraftError, write_published},
    engine::{PublishError, Reply},
    envelope::{write_history, write_number, write_string},
    position::Id,
};

/// Room for most replies.
const USUAL_REPLY_BYTES: usize = 160;

/// A command's number, as the client chose it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Asked {
    pub(super) req: Option<u64>,
    pub(super) command: Kind,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Subscribe,
    Unsubscribe,
    Publish,
    History,
    Ping,
    Auth,
    Unknown,
}

impl Kind {
    fn as_str(self) -> &'static str {
        match self {
            Self::Subscribe => "subscribe",
            Self::Unsubscribe => "unsubscribe",
            Self::Publish => "publish",
            Self::History => "history",
            Self::Ping => "ping",
            Self::Auth => "auth",
            Self::Unknown => "error",
        }
    }
}

/// Why a command failed.
#[derive(Debug)]
pub(super) struct CommandError<'a> {
    pub(super) code: &'a str,
    pub(super) field: Option<&'a str>,
    pub(super) detail: &'a str,
}

impl<'a> CommandError<'a> {
    pub(super) fn new(code: &'a str, detail: &'a str) -> Self {
        Self {
            code,
            field: None,
            detail,
        }
    }

    pub(super) fn invalid(field: &'a str, detail: &'a str) -> Self {
        Self {
            code: "invalid",
            field: Some(field),
            detail,
        }
    }
}

impl<S: Sockets> Shard<S> {
    pub(super) fn reply_subscribed(&mut self, ix: Ix, asked: Asked, stood: Id) {
        self.write_reply(ix, asked, |out| {
            out.extend_from_slice(b"{\"cursor\":\"");
            out.extend_from_slice(stood.as_bytes());
            out.extend_from_slice(b"\"}");
        });
    }

    pub(super) fn command_answered(
        &mut self,
        connection: ConnectionRef,
        channel: &Channel,
        asked: Asked,
        reply: &Reply,
    ) {
        let Some(found) = self.find_mut(connection) else {
            return;
        };
        let ix = connection.ix;
        if let Some(reading) = found.reading_mut() {
            reading.in_flight -= 1;
        }
        match reply {
            Reply::Published(Ok(published)) => {
                self.write_reply(ix, asked, |out| write_published(out, channel, published));
            }
            Reply::Published(Err(error)) => {
                let detail = error.to_string();
                self.reply_error(
                    ix,
                    asked,
                    &CommandError::new(publish_error_code(*error), &detail),
                );
            }
            Reply::History(page) => {
                self.write_reply(ix, asked, |out| write_history(out, channel, page));
            }
            Reply::Attached(_) | Reply::Page(_) | Reply::Unavailable => {
                let error = CommandError::new("unavailable", "the backplane is out of reach");
                self.reply_error(ix, asked, &error);
            }
        }
        self.resume_input(ix);
    }

    pub(super) fn reply(&mut self, ix: Ix, asked: Asked, json: &[u8]) {
        self.write_reply(ix, asked, |out| out.extend_from_slice(json));
    }

    /// A reply that is written in its place.
    fn write_reply(&mut self, ix: Ix, asked: Asked, write: impl FnOnce(&mut Vec<u8>)) {
        let connection = self.connection(ix);
        if connection.is_closing() {
            return;
        }
        let out = connection.output().own();
        out.reserve(USUAL_REPLY_BYTES);
        write_frame(out, Opcode::Text, |out| {
            out.push(b'{');
            if let Some(req) = asked.req {
                out.extend_from_slice(b"\"req\":");
                write_number(out, req);
                out.push(b',');
            }
            out.push(b'"');
            out.extend_from_slice(asked.command.as_str().as_bytes());
            out.extend_from_slice(b"\":");
            write(out);
            out.push(b'}');
        });
        self.make_ready(ix);
    }

    pub(super) fn reply_error(&mut self, ix: Ix, asked: Asked, error: &CommandError<'_>) {
        let mut json = b"{\"code\":".to_vec();
        write_string(&mut json, error.code);
        if let Some(field) = error.field {
            json.extend_from_slice(b",\"field\":");
            write_string(&mut json, field);
        }
        json.extend_from_slice(b",\"detail\":");
        write_string(&mut json, error.detail);
        json.push(b'}');
        self.reply(
            ix,
            Asked {
                command: Kind::Unknown,
                ..asked
            },
            &json,
        );
    }

    pub(super) fn reply_draft_error(&mut self, ix: Ix, asked: Asked, error: &DraftError) {
        let detail = error.to_string();
        let error = CommandError {
            code: error.code(),
            field: Some(error.field()),
            detail: &detail,
        };
        self.reply_error(ix, asked, &error);
    }
}

/// The error code of a failed publish.
#[must_use]
pub fn publish_error_code(error: PublishError) -> &'static str {
    match error {
        PublishError::IdempotencyMismatch => "idempotency_mismatch",
        PublishError::IdempotencyFull => "idempotency_full",
        PublishError::Overloaded { .. } => "overloaded",
        PublishError::Unavailable => "unavailable",
    }
}
