//! What a WebSocket client sends: commands, each with exactly one reply.
//!
//! A reply goes into the connection's output before the publications that follow from it, so a
//! sender can drop its own echo by id.

use serde::Deserialize;
use serde_json::value::RawValue;

use super::{
    Cause, ConnectionRef, Pending, Shard, Sockets,
    admit::{admit, resolve},
    connection::{Ix, Phase},
    replies::{Asked, CommandError, Kind},
};
use crate::{
    access::{Denied, Right},
    channel::Channel,
    cursor::Cursor,
    draft::DraftText,
    engine::{Order, Request, Start},
    envelope::{write_number, write_string},
    position::{Id, Position},
};

/// Publications in a history page.
const MAX_HISTORY: usize = 1_000;

/// One client message.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Command<'a> {
    req: Option<u64>,
    subscribe: Option<Subscribe>,
    unsubscribe: Option<OneChannel>,
    #[serde(borrow)]
    publish: Option<DraftText<'a>>,
    history: Option<History>,
    #[serde(borrow)]
    presence: Option<&'a RawValue>,
    #[serde(borrow)]
    ping: Option<&'a RawValue>,
    auth: Option<Auth>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Subscribe {
    channel: Option<String>,
    #[serde(default)]
    cursor: String,
    grant: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct OneChannel {
    channel: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct History {
    channel: String,
    #[serde(default)]
    cursor: String,
    limit: Option<usize>,
    order: Option<Direction>,
}

#[derive(Deserialize)]
#[serde(rename_all = "lowercase")]
enum Direction {
    Asc,
    Desc,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Auth {
    token: String,
}

impl<S: Sockets> Shard<S> {
    pub(super) fn command(&mut self, ix: Ix, text: &str) {
        let command: Command<'_> = match serde_json::from_str(text) {
            Ok(command) => command,
            Err(error) => {
                let req = serde_json::from_str::<OnlyReq>(text)
                    .ok()
                    .and_then(|only| only.req);
                let asked = Asked {
                    req,
                    command: Kind::Unknown,
                };
                let detail = error.to_string();
                self.reply_error(ix, asked, &CommandError::new("invalid", &detail));
                return;
            }
        };
        let asked = |kind| Asked {
            req: command.req,
            command: kind,
        };
        if let Some(subscribe) = command.subscribe {
            self.on_subscribe(ix, asked(Kind::Subscribe), subscribe);
        } else if let Some(unsubscribe) = command.unsubscribe {
            self.on_unsubscribe(ix, asked(Kind::Unsubscribe), &unsubscribe.channel);
        } else if let Some(publish) = command.publish {
            self.on_publish(ix, asked(Kind::Publish), &publish);
        } else if let Some(history) = command.history {
            self.on_history(ix, asked(Kind::History), &history);
        } else if let Some(auth) = command.auth {
            self.on_auth(ix, asked(Kind::Auth), &auth.token);
        } else if command.ping.is_some() {
            self.reply(ix, asked(Kind::Ping), b"{}");
        } else if command.presence.is_some() {
            let detail = "presence is not part of this version";
            self.reply_error(
                ix,
                asked(Kind::Unknown),
                &CommandError::new("unsupported", detail),
            );
        } else {
            let detail =
                "the message has none of subscribe, unsubscribe, publish, history, ping, auth";
            self.reply_error(
                ix,
                asked(Kind::Unknown),
                &CommandError::new("invalid", detail),
            );
        }
    }

    fn on_subscribe(&mut self, ix: Ix, asked: Asked, subscribe: Subscribe) {
        if self.is_too_fast(ix, asked) {
            return;
        }
        let now = self.now;
        let access = self.connections[ix as usize].access.clone();
        let mut name = subscribe.channel;
        if let Some(text) = &subscribe.grant {
            match self.authenticator.grant(text, &access, now) {
                Err(refusal) => {
                    let error = CommandError::new(refusal.code, &refusal.detail);
                    self.reply_error(ix, asked, &error);
                    return;
                }
                Ok(grant) => {
                    name.get_or_insert_with(|| grant.channel.as_str().to_owned());
                    self.connection(ix)
                        .change_grants(|grants| grants.push(grant));
                    self.plan(ix);
                }
            }
        }
        let Some(name) = name else {
            let error = CommandError::invalid("channel", "name a channel, or present a grant");
            self.reply_error(ix, asked, &error);
            return;
        };
        let cursor = Cursor::parse(&subscribe.cursor, self.settings.max_cursor_bytes);
        let connection = &self.connections[ix as usize];
        let names = [name];
        let (granted, refused) = admit(
            &names,
            &cursor,
            &connection.access,
            connection.grants(),
            &self.settings,
            now,
        );
        let Some(channel) = granted.into_iter().next() else {
            let (code, detail) = refused.first().map_or(("forbidden", ""), |refused| {
                (refusal_code(refused.check), &refused.detail)
            });
            self.reply_error(
                ix,
                asked,
                &CommandError {
                    code,
                    field: Some("channel"),
                    detail,
                },
            );
            return;
        };
        if self.subscription_to(ix, &channel).is_some() {
            let error = CommandError::new("already_subscribed", "unsubscribe first");
            self.reply_error(ix, asked, &error);
            return;
        }
        let max = self.settings.max_channels_per_connection;
        if self.connections[ix as usize].subscriptions.len() >= max {
            let detail = format!("a connection subscribes to at most {max} channels");
            self.reply_error(ix, asked, &CommandError::new("limit", &detail));
            return;
        }
        self.open_by_command(ix);
        let start = cursor.start(&channel);
        self.subscribe(ix, channel, start, Some(asked));
    }

    fn awaits_auth(&mut self, ix: Ix) -> bool {
        let phase = self.connection(ix).phase.as_deref();
        matches!(phase, Some(Phase::AwaitingAuth(_)))
    }

    /// A bare connection that turns out to need no token is as good as any other.
    fn open_by_command(&mut self, ix: Ix) {
        if self.awaits_auth(ix) {
            self.connection(ix).phase = None;
            self.say_hello(ix, "");
        }
    }

    fn on_unsubscribe(&mut self, ix: Ix, asked: Asked, name: &str) {
        if self.is_too_fast(ix, asked) {
            return;
        }
        let found = resolve(name, &self.connections[ix as usize].access)
            .ok()
            .and_then(|channel| self.subscription_to(ix, &channel));
        let Some(nth) = found else {
            let error = CommandError::new("not_subscribed", "there is no such subscription");
            self.reply_error(ix, asked, &error);
            return;
        };
        let subscription = &self.connections[ix as usize].subscriptions[nth];
        let entry = &self.channels[subscription.channel];
        let at = Position {
            epoch: entry.epoch,
            offset: subscription.cursor(),
        };
        let id = if subscription.is_live() {
            Id::new(&entry.channel, at)
        } else {
            Id::null(&entry.channel)
        };
        self.unsubscribe(ix, nth);
        self.reply_subscribed(ix, asked, id);
    }

    fn on_publish(&mut self, ix: Ix, asked: Asked, text: &DraftText<'_>) {
        if self.is_too_fast(ix, asked) {
            return;
        }
        let access = self.connections[ix as usize].access.clone();
        let draft = match text.check(&access, self.settings.max_message_bytes, None) {
            Ok(draft) => draft,
            Err(error) => {
                self.reply_draft_error(ix, asked, &error);
                return;
            }
        };
        let checked = access.check_with(
            Right::Publish,
            &draft.channel,
            &self.settings.namespaces,
            self.connections[ix as usize].grants(),
            self.now.wall,
        );
        if let Err(Denied { detail, .. }) = checked {
            self.reply_error(ix, asked, &CommandError::new("forbidden", &detail));
            return;
        }
        let channel = draft.channel.clone();
        self.ask_engine(ix, asked, channel, Request::Publish(Box::new(draft)));
    }

    fn on_history(&mut self, ix: Ix, asked: Asked, history: &History) {
        let connection = &self.connections[ix as usize];
        let checked = resolve(&history.channel, &connection.access).and_then(|channel| {
            connection.access.check_with(
                Right::History,
                &channel,
                &self.settings.namespaces,
                connection.grants(),
                self.now.wall,
            )?;
            Ok(channel)
        });
        let channel = match checked {
            Ok(channel) => channel,
            Err(Denied { check, detail }) => {
                let error = CommandError {
                    code: refusal_code(check),
                    field: Some("channel"),
                    detail: &detail,
                };
                self.reply_error(ix, asked, &error);
                return;
            }
        };
        let order = match history.order {
            None | Some(Direction::Asc) => Order::Asc,
            Some(Direction::Desc) => Order::Desc,
        };
        let Some(start) = history_start(&history.cursor, &channel, order, &self.settings) else {
            let detail = "the field cursor is not an id of this channel";
            self.reply_error(ix, asked, &CommandError::invalid("cursor", detail));
            return;
        };
        let limit = history.limit.unwrap_or(100).clamp(1, MAX_HISTORY);
        let request = Request::History {
            channel: channel.clone(),
            start,
            order,
            limit,
            max_bytes: self.settings.max_answer_bytes,
        };
        self.ask_engine(ix, asked, channel, request);
    }

    fn on_auth(&mut self, ix: Ix, asked: Asked, token: &str) {
        let access = match self.authenticator.token(token, self.now) {
            Ok(access) => access,
            Err(refusal) => {
                let error = CommandError::new(refusal.code, &refusal.detail);
                if self.awaits_auth(ix) {
                    self.reply_error(ix, asked, &error);
                    self.close(ix, Cause::TokenInvalid, &refusal.detail);
                } else {
                    self.refuse(ix, asked, &error, "too many refused tokens");
                }
                return;
            }
        };
        let mut json = b"{".to_vec();
        if let Some(user) = access.user() {
            json.extend_from_slice(b"\"user\":");
            write_string(&mut json, user.as_str());
        }
        if let Some(expires) = access.expires_at() {
            json.extend_from_slice(if json.len() > 1 {
                b",\"expires\":"
            } else {
                b"\"expires\":"
            });
            write_number(&mut json, expires);
        }
        json.push(b'}');
        self.connection(ix).access = access;
        self.reply(ix, asked, &json);
        if let Some(Phase::AwaitingAuth(wish)) = self.connection(ix).phase.as_deref_mut() {
            let names = std::mem::take(&mut wish.names);
            let cursor = std::mem::take(&mut wish.cursor);
            self.begin_authenticated(ix, names, &cursor);
        } else {
            self.recheck(ix);
        }
        if self.connections.contains(ix as usize) {
            self.plan(ix);
        }
    }

    fn begin_authenticated(&mut self, ix: Ix, mut names: Vec<String>, cursor: &Cursor) {
        if names.is_empty() && self.connections[ix as usize].access.user().is_some() {
            names.push("@me".to_owned());
        }
        self.begin(ix, &names, cursor, None);
    }

    /// Rights may have changed with the token: what is no longer allowed ends (D10).
    fn recheck(&mut self, ix: Ix) {
        let channels: Vec<Channel> = self.connections[ix as usize]
            .subscriptions
            .iter()
            .map(|subscription| self.channels[subscription.channel].channel.clone())
            .collect();
        for channel in channels {
            let denied = Denied {
                check: "subscribe",
                detail: format!("the new token does not allow {channel}"),
            };
            self.revoke_if_denied(ix, &channel, &denied);
        }
    }

    /// Ends a subscription that nothing allows any more, and says so.
    pub(super) fn revoke_if_denied(&mut self, ix: Ix, channel: &Channel, denied: &Denied) {
        let connection = &self.connections[ix as usize];
        let checked = connection.access.check_with(
            Right::Subscribe,
            channel,
            &self.settings.namespaces,
            connection.grants(),
            self.now.wall,
        );
        let Some(nth) = self.subscription_to(ix, channel) else {
            return;
        };
        if checked.is_err() {
            self.unsubscribe(ix, nth);
            let refused = super::Refused {
                channel: channel.as_str().to_owned(),
                check: denied.check,
                detail: denied.detail.clone(),
            };
            self.say_denied(ix, &refused);
        }
    }

    fn ask_engine(&mut self, ix: Ix, asked: Asked, channel: Channel, request: Request) {
        self.reading(ix).in_flight += 1;
        let generation = self.connections[ix as usize].name.generation;
        let connection = ConnectionRef { ix, generation };
        self.submit(
            Pending::Command {
                connection,
                channel,
                asked,
            },
            request,
        );
    }
}

/// Read again from what is no command, so that the error finds its request.
#[derive(Deserialize)]
struct OnlyReq {
    req: Option<u64>,
}

/// Where a history page starts; nothing where the cursor is not one of this channel.
pub fn history_start(
    cursor: &str,
    channel: &Channel,
    order: Order,
    settings: &super::Settings,
) -> Option<Start> {
    if cursor.is_empty() {
        return Some(match order {
            Order::Asc => Start::Earliest,
            Order::Desc => Start::Latest,
        });
    }
    match Cursor::parse(cursor, settings.max_cursor_bytes).start(channel) {
        Start::Unknown => None,
        start => Some(start),
    }
}

/// The error code of a failed check.
fn refusal_code(check: &str) -> &'static str {
    if check == "channel" {
        "invalid"
    } else {
        "forbidden"
    }
}
