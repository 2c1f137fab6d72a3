//! A simulated client: connects on any transport and shard, is cut, and comes back with what it
//! was told. Everything it is told goes into its [`Book`].

use std::{cell::RefCell, collections::BTreeMap, rc::Rc, sync::Arc};

use bellwire_core::{
    access::Access,
    cursor::Cursor,
    engine::ShardId,
    shard::{ConnectionId, ConnectionRef, Open, Poll, Release, SocketKey},
};
use bellwire_wire::websocket::{Opcode, WindowBits, encode_masked_close, encode_masked_frame};
use serde_json::{Value, json};

use super::{
    book::{Allowed, Book, Stand},
    ledger::Ledger,
    reader::{Reader, Said},
    way::Way,
    world::World,
};

/// What a command waits for.
#[derive(Debug)]
enum Asked {
    Subscribe(String),
    Unsubscribe(String),
    Publish(u64),
}

/// A connection, as the client sees it.
#[derive(Debug)]
pub(crate) struct Link {
    pub(crate) shard: ShardId,
    pub(crate) socket: SocketKey,
    pub(crate) connection: ConnectionRef,
    pub(crate) way: Way,
    reader: Reader,
    /// Bytes on their way to the shard.
    pub(crate) uplink: Vec<u8>,
    /// The shard does not read.
    pub(crate) paused: bool,
    hello: bool,
    bye: Option<String>,
    /// Channels that deliver here.
    live: Vec<String>,
    requests: u64,
    asked: BTreeMap<u64, Asked>,
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Client {
    pub(crate) name: String,
    pub(crate) channels: Vec<String>,
    access: Arc<Access>,
    pub(crate) book: Book,
    pub(crate) link: Option<Link>,
    ledger: Rc<RefCell<Ledger>>,
    /// Starts at `earliest` while it has no position.
    pub(crate) earliest: bool,
}

type Checked = Result<(), String>;

impl Client {
    /// A client of some channels; `@me` is its inbox.
    pub(crate) fn new(name: &str, channels: &[&str], access: Access, world: &World) -> Self {
        let inbox = format!("@{name}");
        let resolve = |channel: &&str| match *channel {
            "@me" => inbox.clone(),
            other => other.to_owned(),
        };
        let channels: Vec<String> = channels.iter().map(resolve).collect();
        let mut book = Book::default();
        for channel in &channels {
            book.subscribe(channel);
        }
        Self {
            name: name.to_owned(),
            channels,
            access: Arc::new(access),
            book,
            link: None,
            ledger: Rc::clone(&world.ledger),
            earliest: false,
        }
    }

    /// What it resumes from: the ids it holds.
    pub(crate) fn cursor(&self) -> String {
        let texts = self.channels.iter().map(|channel| self.book.text(channel));
        let mut ids: Vec<&str> = texts.filter(|text| !text.is_empty()).collect();
        if self.earliest && ids.len() < self.channels.len() {
            ids.push("earliest");
        } else if !ids.is_empty() && ids.len() < self.channels.len() {
            ids.push("latest");
        }
        ids.join(".")
    }

    /// Connects; `capacity` is what its socket takes before it blocks.
    pub(crate) fn connect(&mut self, world: &mut World, shard: ShardId, way: Way, capacity: usize) {
        let cursor = self.cursor();
        let inbox = format!("@{}", self.name);
        let as_given = |channel: &String| match *channel == inbox {
            true => "@me".to_owned(),
            false => channel.clone(),
        };
        let (transport, format, reader) = way.wires();
        let bare = way == Way::Commands;
        let names = match bare {
            true => Vec::new(),
            false => self.channels.iter().map(as_given).collect(),
        };
        let poll = match way {
            Way::Poll { limit, timeout_ms } => Some(Poll {
                timeout_ms,
                limit,
                only_cursor: cursor.is_empty(),
                close: false,
                head: Some(
                    b"HTTP/1.1 200 OK\r\nbellwire-connection: "
                        .as_slice()
                        .into(),
                ),
            }),
            Way::WebSocket | Way::Compressed { .. } | Way::Commands | Way::Sse(_) => None,
        };
        let contexts = match way {
            Way::Compressed { context: true } => world.with(shard, |shard, _| {
                let contexts = shard.contexts(Some(WindowBits::FULL), true);
                Some(contexts.expect("few have contexts at a time"))
            }),
            _ => None,
        };
        let access = Arc::clone(&self.access);
        let (socket, connection) = world.open(shard, capacity, |socket| Open {
            id: ConnectionId(u64::from(socket)),
            socket,
            transport,
            format,
            visible_heartbeats: socket % 2 == 0,
            names,
            cursor: Cursor::parse(if bare { "" } else { &cursor }, 4_096),
            access,
            grants: Vec::new(),
            head: Vec::new(),
            poll,
            contexts,
        });
        let mut link = Link {
            shard,
            socket,
            connection,
            way,
            reader,
            uplink: Vec::new(),
            paused: false,
            hello: false,
            bye: None,
            live: Vec::new(),
            requests: 0,
            asked: BTreeMap::new(),
        };
        if !bare {
            link.live.clone_from(&self.channels);
            self.channels
                .iter()
                .for_each(|channel| self.book.present(channel));
        }
        self.link = Some(link);
        if bare {
            for channel in self.channels.clone() {
                self.subscribe(&channel);
            }
        }
    }

    /// Sends a `subscribe` command.
    pub(crate) fn subscribe(&mut self, channel: &str) {
        self.book.present(channel);
        let mut cursor = self.book.text(channel);
        if cursor.is_empty() && self.earliest {
            cursor = "earliest";
        }
        let command = json!({"channel": channel, "cursor": cursor});
        self.command("subscribe", command, Asked::Subscribe(channel.to_owned()));
    }

    /// Sends an `unsubscribe` command; the reply makes it subscribe again.
    pub(crate) fn leave_and_return(&mut self, channel: &str) {
        let command = json!({"channel": channel});
        self.command(
            "unsubscribe",
            command,
            Asked::Unsubscribe(channel.to_owned()),
        );
    }

    /// Sends a `publish` command.
    pub(crate) fn publish(&mut self, channel: &str, payload: &str, number: u64) {
        let data: Value = serde_json::from_str(payload).expect("payloads are JSON");
        let command = json!({"channel": channel, "data": data});
        self.command("publish", command, Asked::Publish(number));
    }

    /// Whether it could send a command on what it has.
    pub(crate) fn takes_commands(&self) -> bool {
        let link = self.link.as_ref();
        link.is_some_and(|link| {
            link.hello
                && matches!(
                    link.way,
                    Way::WebSocket | Way::Compressed { .. } | Way::Commands
                )
        })
    }

    /// Channels that deliver now, where nothing is asked.
    pub(crate) fn live(&self) -> Vec<String> {
        let link = self.link.as_ref().filter(|link| link.asked.is_empty());
        link.map(|link| link.live.clone()).unwrap_or_default()
    }

    fn command(&mut self, name: &str, body: Value, asked: Asked) {
        let Some(link) = &mut self.link else { return };
        link.requests += 1;
        let mut command = json!({"req": link.requests});
        command[name] = body;
        link.asked.insert(link.requests, asked);
        link.send(Opcode::Text, command.to_string().as_bytes());
    }

    /// Reads what the shard sent, up to `max` bytes; an orderly end ends the connection.
    pub(crate) fn read(&mut self, world: &mut World, max: usize) -> Checked {
        let Some(link) = &mut self.link else {
            return Ok(());
        };
        let (shard, socket) = (link.shard, link.socket);
        let bytes = world.shards[shard].sockets().read(socket, max);
        for said in link.reader.feed(bytes)? {
            self.hear(said, world)?;
        }
        let end = world.shards[shard].sockets().end(socket).map(|end| end.0);
        let Some(release) = end else { return Ok(()) };
        let Some(link) = self.link.take() else {
            return Ok(());
        };
        if let (Way::Poll { .. }, Release::Reuse) = (link.way, release) {
            let said = link.reader.finish()?;
            self.link = Some(link);
            for said in said {
                self.hear(said, world)?;
            }
            self.link = None;
        }
        Ok(())
    }

    /// Judges something it was told.
    fn hear(&mut self, said: Said, world: &World) -> Checked {
        let Some(link) = &mut self.link else {
            return Ok(());
        };
        let ledger = Rc::clone(&self.ledger);
        let ledger = &ledger.borrow();
        let polls = matches!(link.way, Way::Poll { .. });
        let early = !link.hello && !polls;
        match said {
            Said::Hello(_) if link.hello => return Err("a second hello".to_owned()),
            Said::Hello(hello) => {
                link.hello = true;
                let cursor = hello["cursor"].as_str().ok_or("hello without cursor")?;
                self.book.cursor(cursor, ledger)?;
                let live = &link.live;
                if live
                    .iter()
                    .any(|channel| self.book.stand(channel) == Stand::Fresh)
                {
                    return Err(format!("D4: {hello} leaves a channel out"));
                }
            }
            Said::Message { .. } | Said::Gap(_) if early => {
                return Err(format!("{said:?} before hello"));
            }
            Said::Message {
                channel,
                id,
                number,
            } => {
                let channel = channel.unwrap_or_else(|| self.channels[0].clone());
                if !link.live.contains(&channel) {
                    return Err(format!("{number} of {channel}, which is not subscribed"));
                }
                if link.awaits_publish(number) {
                    return Err(format!("the echo of {number} before its reply"));
                }
                self.book.message(&channel, &id, number, ledger)?;
            }
            Said::Gap(gap) => {
                let allowed = Allowed {
                    false_gaps: world.pushed_out,
                };
                self.book.gap(&gap, ledger, allowed)?;
            }
            Said::Cursor(cursor) => self.book.cursor(&cursor, ledger)?,
            Said::Reply(reply) => {
                let asked = link.answered(&reply)?;
                self.replied(asked, &reply, ledger)?;
            }
            Said::Bye(bye) => {
                let cursor = bye["cursor"].as_str().ok_or("bye without cursor")?;
                self.book.cursor(cursor, ledger)?;
                link.bye = bye["code"].as_str().map(ToOwned::to_owned);
            }
            Said::Ping(payload) => link.send(Opcode::Pong, &payload),
            Said::Close(code, reason) => {
                if (code >= 4000 || code == 1012 || code == 1013) && link.bye.is_none() {
                    return Err(format!("{code} {reason:?} without bye"));
                }
                if code == 1002 || code == 1007 {
                    return Err(format!("closed with {code} {reason:?}"));
                }
                encode_masked_close(&mut link.uplink, code, "", [1, 2, 3, 4]);
            }
            Said::Heartbeat | Said::End => {}
            Said::Denied(_) | Said::Raw(_) => return Err(format!("unexpected {said:?}")),
        }
        Ok(())
    }

    fn replied(&mut self, asked: Asked, reply: &Value, ledger: &Ledger) -> Checked {
        let Some(link) = &mut self.link else {
            return Ok(());
        };
        match asked {
            Asked::Subscribe(channel) => {
                let cursor = reply["subscribe"]["cursor"].as_str();
                let cursor = cursor.ok_or_else(|| format!("{channel}: {reply}"))?;
                link.live.push(channel);
                self.book.cursor(cursor, ledger)
            }
            Asked::Unsubscribe(channel) => {
                let cursor = reply["unsubscribe"]["cursor"].as_str();
                let cursor = cursor.ok_or_else(|| format!("{channel}: {reply}"))?;
                link.live.retain(|live| *live != channel);
                self.book.cursor(cursor, ledger)?;
                self.subscribe(&channel);
                Ok(())
            }
            Asked::Publish(number) => {
                if reply["error"]["code"] == "overloaded" {
                    return Ok(());
                }
                let id = reply["publish"]["id"].as_str().unwrap_or_default();
                let told = super::ids::read_id(id).map(|(_, place)| place);
                if told.is_none() || told != ledger.place_of(number) {
                    return Err(format!("D2: {number} was told {reply}"));
                }
                Ok(())
            }
        }
    }

    /// Whether everything published was received or said to be lost.
    pub(crate) fn complete(&self) -> Checked {
        let link = self.link.as_ref().ok_or("not connected at the end")?;
        if let Some(asked) = link.asked.values().next() {
            return Err(format!("{asked:?} was never answered"));
        }
        let ledger = self.ledger.borrow();
        let mut live = link.live.iter();
        live.try_for_each(|channel| self.book.complete(channel, &ledger))
    }
}

impl Link {
    /// Frames a message; a WebSocket client masks.
    pub(crate) fn send(&mut self, opcode: Opcode, payload: &[u8]) {
        encode_masked_frame(&mut self.uplink, opcode, payload, [9, 8, 7, 6]);
    }

    fn awaits_publish(&self, number: u64) -> bool {
        let mut asked = self.asked.values();
        asked.any(|asked| matches!(asked, Asked::Publish(of) if *of == number))
    }

    /// Exactly one reply to each command.
    fn answered(&mut self, reply: &Value) -> Result<Asked, String> {
        let req = reply["req"].as_u64();
        let asked = req.and_then(|req| self.asked.remove(&req));
        asked.ok_or_else(|| format!("a reply to nothing: {reply}"))
    }
}
