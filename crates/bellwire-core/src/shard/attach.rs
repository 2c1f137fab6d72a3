//! How a connection gets its subscriptions: open, attach, hello.
//!
//! Order on every transport: `hello` once every channel is attached or refused, then each
//! `denied`, then each `gap`, then publications.

use std::{num::NonZeroU32, sync::Arc};

use super::{
    Cause, Pending, Refused, Shard, SocketKey, Sockets,
    admit::admit,
    channels::Subscriber,
    connection::{
        Connection, ConnectionId, ConnectionRef, Held, Ix, Name, Phase, Poll, Subscription,
        Transport, Wish,
    },
    contexts::Contexts,
    replies::{Asked, CommandError},
    settings::PlantedFault,
};
use crate::{
    access::{Access, Grant},
    channel::Channel,
    cursor::Cursor,
    engine::{Attached, Request, Start, Token},
    envelope::ChannelGap,
    format::Format,
    position::{Id, Position},
    time::Now,
};

/// A connection as the HTTP layer hands it over: its request is checked, nothing of the response
/// was written.
#[derive(Debug)]
pub struct Open {
    /// Its public name.
    pub id: ConnectionId,
    /// Its socket.
    pub socket: SocketKey,
    /// How it reads.
    pub transport: Transport,
    /// In which format.
    pub format: Format,
    /// Whether heartbeats are to be seen by scripts.
    pub visible_heartbeats: bool,
    /// The channels asked for, as given (`@me` included).
    pub names: Vec<String>,
    /// Where it resumes.
    pub cursor: Cursor,
    /// Who it is.
    pub access: Arc<Access>,
    /// Single channels granted besides.
    pub grants: Vec<Grant>,
    /// The response head, sent first; a poll's head is in `poll`.
    pub head: Vec<u8>,
    /// For polls.
    pub poll: Option<Poll>,
    /// For WebSockets with a plain format on which that was agreed.
    pub contexts: Option<Contexts>,
}

impl Attaching {
    /// What is asked for, where the session is a poll.
    pub(super) fn poll_mut(&mut self) -> Option<&mut Poll> {
        self.poll.as_mut()
    }
}

/// What is known of a session whose channels are being attached.
#[derive(Debug, Default)]
pub(super) struct Attaching {
    missing: usize,
    /// Where each subscription stood before any gap.
    asked: Vec<Id>,
    gaps: Vec<(usize, ChannelGap)>,
    denied: Vec<Refused>,
    poll: Option<Poll>,
}

impl<S: Sockets> Shard<S> {
    /// Takes a connection over.
    pub fn open(&mut self, open: Open, now: Now) -> ConnectionRef {
        self.now = now;
        let Open {
            id,
            socket,
            transport,
            format,
            names,
            cursor,
            access,
            grants,
            contexts,
            ..
        } = open;
        let drawn = self.random.within(1, u64::from(u32::MAX));
        let generation = u32::try_from(drawn).ok().and_then(NonZeroU32::new);
        let generation = generation.expect("drawn from 1 to 2^32 - 1");
        let name = Name {
            id,
            generation,
            socket,
            transport,
            format,
            visible_heartbeats: open.visible_heartbeats,
        };
        let mut connection = Connection::new(name, access, grants, now.mono);
        if let Some(contexts) = contexts {
            connection.put_contexts(Box::new(contexts));
        }
        let ix = Ix::try_from(self.connections.insert(connection)).expect("fewer than 2^32");
        self.stats.opened[transport as usize] += 1;
        if !open.head.is_empty() {
            self.connection(ix).output().push_own(&open.head);
        }
        if transport == Transport::Echo {
            self.make_ready(ix);
        } else if transport == Transport::WebSocket && self.waits_for_auth(ix, &names, &cursor) {
            let wish = Phase::AwaitingAuth(Wish { names, cursor });
            self.connection(ix).phase = Some(Box::new(wish));
            self.make_ready(ix);
        } else {
            self.begin(ix, &names, &cursor, open.poll);
        }
        self.plan(ix);
        self.settle();
        ConnectionRef { ix, generation }
    }

    /// A WebSocket without credentials may still present a token, unless what it asks for is
    /// open to everybody.
    fn waits_for_auth(&self, ix: Ix, names: &[String], cursor: &Cursor) -> bool {
        let (now, settings) = (self.now, &self.settings);
        let connection = &self.connections[ix as usize];
        if !connection.access.is_anonymous() {
            return false;
        }
        let (granted, _) = admit(
            names,
            cursor,
            &connection.access,
            connection.grants(),
            settings,
            now,
        );
        granted.is_empty()
    }

    /// Subscribes to what a connection asked for at open; hello follows when all is resolved.
    pub(super) fn begin(&mut self, ix: Ix, names: &[String], cursor: &Cursor, poll: Option<Poll>) {
        let connection = &self.connections[ix as usize];
        let (granted, denied) = admit(
            names,
            cursor,
            &connection.access,
            connection.grants(),
            &self.settings,
            self.now,
        );
        let asked = granted.iter().map(Id::null).collect();
        let attaching = Attaching {
            missing: granted.len(),
            asked,
            gaps: Vec::new(),
            denied,
            poll,
        };
        self.connection(ix).phase = Some(Box::new(Phase::Attaching(attaching)));
        for channel in granted {
            let start = cursor.start(&channel);
            self.subscribe(ix, channel, start, None);
        }
        self.finish_attaching(ix);
    }

    /// Adds one subscription. It is not walked before its start is resolved.
    pub(super) fn subscribe(
        &mut self,
        ix: Ix,
        channel: Channel,
        start: Start,
        asked: Option<Asked>,
    ) {
        let max_delay = self.settings.namespaces.of(&channel).max_delay_ms;
        let entry_ix = self.channels.find(&channel).unwrap_or_else(|| {
            self.channels.insert(
                channel.clone(),
                u32::try_from(max_delay).unwrap_or(u32::MAX),
            )
        });
        let subscriptions = &mut self.connections[ix as usize].subscriptions;
        let nth = u32::try_from(subscriptions.len()).expect("at most 128");
        let entry = &mut self.channels[entry_ix];
        let slot = u32::try_from(entry.subscribers.len()).expect("fewer than 2^32");
        entry.subscribers.push(Subscriber {
            connection: ix,
            nth,
        });
        subscriptions.push(Subscription::new(entry_ix, slot));
        let generation = self.connections[ix as usize].name.generation;
        let connection = ConnectionRef { ix, generation };
        let at_head = match start {
            Start::Latest => true,
            Start::After(at) => at.epoch == entry.epoch && at.offset == entry.head,
            Start::Earliest | Start::Unknown => false,
        };
        if entry.is_attached() && at_head {
            let attached = Attached {
                epoch: entry.epoch,
                asked: Some(entry.head),
                start: entry.head,
                head: entry.head,
                gap: None,
            };
            self.resolved(connection, nth as usize, attached, asked);
            return;
        }
        let request = Request::Attach {
            channel: channel.clone(),
            start,
            max_catchup: self.settings.max_catchup,
        };
        let token = self.submit(
            Pending::Attach {
                connection,
                channel,
                asked,
            },
            request,
        );
        self.connection(ix).subscriptions[nth as usize].wait_for(token);
    }

    /// The engine has resolved a start.
    pub(super) fn attached(
        &mut self,
        connection: ConnectionRef,
        token: Token,
        mut attached: Attached,
        asked: Option<Asked>,
    ) {
        if self.settings.planted == Some(PlantedFault::SkipCatchUp) {
            attached.start = attached.head;
        }
        let Some(found) = self.find_mut(connection) else {
            return;
        };
        let mut subscriptions = found.subscriptions.iter().enumerate();
        let waiting = subscriptions.find(|(_, sub)| sub.waits_for(token));
        // Nobody waits for the reply to an interest that was withdrawn meanwhile: what was
        // announced since is lost to this shard, so only the next one's reply counts.
        let Some((nth, entry_ix)) = waiting.map(|(nth, sub)| (nth, sub.channel)) else {
            return;
        };
        let entry = &mut self.channels[entry_ix];
        if !entry.is_attached() {
            entry.epoch = attached.epoch;
            entry.head = attached.head;
        }
        self.resolved(connection, nth, attached, asked);
    }

    /// The backplane is out of reach: a command is refused, a session is sent away to try again.
    pub(super) fn attach_failed(
        &mut self,
        connection: ConnectionRef,
        channel: &Channel,
        asked: Option<Asked>,
    ) {
        if self.find_mut(connection).is_none() {
            return;
        }
        match asked {
            Some(asked) => {
                let ix = connection.ix;
                if let Some(nth) = self.subscription_to(ix, channel) {
                    self.unsubscribe(ix, nth);
                }
                let error = CommandError::new("unavailable", "the backplane is out of reach");
                self.reply_error(ix, asked, &error);
            }
            None => self.close(
                connection.ix,
                Cause::Overloaded,
                "the backplane is out of reach",
            ),
        }
    }

    fn resolved(
        &mut self,
        connection: ConnectionRef,
        nth: usize,
        attached: Attached,
        asked: Option<Asked>,
    ) {
        let ix = connection.ix;
        match attached.gap {
            None => self.stats.resumed += 1,
            Some(gap) => self.stats.gap(gap.reason),
        }
        let found = &mut self.connections[ix as usize];
        let subscription = &mut found.subscriptions[nth];
        subscription.move_to(attached.start);
        let entry = &self.channels[subscription.channel];
        let channel = entry.channel.clone();
        let stood = attached.asked.map_or_else(
            || Id::null(&channel),
            |offset| {
                Id::new(
                    &channel,
                    Position {
                        epoch: attached.epoch,
                        offset,
                    },
                )
            },
        );
        let gap = attached.gap.map(|gap| ChannelGap {
            channel: channel.clone(),
            epoch: attached.epoch,
            gap,
        });
        if let Some(Phase::Attaching(attaching)) = found.phase.as_deref_mut() {
            attaching.missing -= 1;
            attaching.asked[nth] = stood;
            attaching.gaps.extend(gap.map(|gap| (nth, gap)));
            self.finish_attaching(ix);
            return;
        }
        if let Some(asked) = asked {
            self.reply_subscribed(ix, asked, stood);
        }
        if let Some(gap) = gap {
            self.say_gap(ix, &gap);
        }
        self.make_ready(ix);
    }

    /// Opens the session once every channel is attached or refused.
    fn finish_attaching(&mut self, ix: Ix) {
        let connection = self.connection(ix);
        let Some(Phase::Attaching(attaching)) = connection.phase.as_deref_mut() else {
            return;
        };
        if attaching.missing > 0 {
            return;
        }
        let Attaching {
            mut asked,
            gaps,
            denied,
            poll,
            ..
        } = std::mem::take(attaching);
        if let Some(poll) = poll {
            let gaps = gaps.into_iter().map(|(_, gap)| gap).collect();
            self.hold(ix, poll, gaps, denied);
            return;
        }
        connection.phase = None;
        self.say_hello(ix, &join(&asked));
        for refused in &denied {
            self.say_denied(ix, refused);
        }
        for (nth, gap) in &gaps {
            let at = Position {
                epoch: gap.epoch,
                offset: gap.gap.resume,
            };
            asked[*nth] = Id::new(&gap.channel, at);
            self.say_gap_at(ix, gap, &join(&asked));
        }
        self.plan(ix);
        self.make_ready(ix);
        self.resume_input(ix);
    }

    pub(super) fn hold(&mut self, ix: Ix, poll: Poll, gaps: Vec<ChannelGap>, denied: Vec<Refused>) {
        let deadline = self.now.mono + poll.timeout_ms;
        let at_once = poll.only_cursor || !gaps.is_empty();
        self.connection(ix).phase = Some(Box::new(Phase::Held(Held {
            poll,
            gaps,
            denied,
            deadline,
            found: 0,
        })));
        self.answer(ix, at_once);
        self.plan(ix);
    }

    pub(super) fn connection(&mut self, ix: Ix) -> &mut Connection {
        &mut self.connections[ix as usize]
    }
}

/// A cursor of several ids.
pub(super) fn join(ids: &[Id]) -> String {
    let mut cursor = String::with_capacity(ids.len() * 30);
    for id in ids {
        if !cursor.is_empty() {
            cursor.push('.');
        }
        cursor.push_str(id.as_str());
    }
    cursor
}
