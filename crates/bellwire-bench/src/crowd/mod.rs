//! Subscribers: very many sockets in one epoll, read as they fill.
//!
//! Every delivery is checked by the [`ledger`]; pings are answered, as a browser would. Joining
//! and reading share the epoll, so that those who are there receive while others still come.

mod join;
mod ledger;
mod marks;
mod member;
mod pauses;
mod tally;

use std::{
    mem::MaybeUninit,
    net::{IpAddr, SocketAddr},
    os::fd::OwnedFd,
    time::Duration,
};

use anyhow::{Context, Result, bail};
use bellwire_server::access::KeySpec;
use rustix::event::epoll::{self, CreateFlags, Event};
use serde::{Deserialize, Serialize};

pub use self::ledger::Channels;
pub(crate) use self::{ledger::Ledger, tally::Tally};
use self::{member::Member, pauses::Pauses};
use crate::{dialect::Target, socket::Connector};

/// What one read takes at most.
const BUFFER: usize = 64 << 10;

/// Connections of a kind.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Group {
    /// Whom they connect to.
    pub target: Target,
    /// How many.
    pub connections: usize,
    /// What they subscribe to.
    pub channels: Channels,
    /// The beginning of every channel's name.
    pub prefix: String,
    /// As whom they connect.
    pub tokens: Tokens,
    /// The number of the first one's user.
    pub first_user: usize,
    /// Connections that come at the same time.
    pub at_once: usize,
    /// Loopback addresses they come from, so that ports do not run out; 0 leaves it to the kernel.
    pub sources: u8,
    /// The first of those addresses, as the third byte of 127.0.x.y.
    pub network: u8,
}

/// What subscribers present.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Tokens {
    /// Nothing.
    None,
    /// All the same.
    One(String),
    /// A user each, with a token that is signed by this key (`[KID=]ALG:SECRET|@FILE`).
    Minted(String),
}

impl Group {
    /// The name of a channel.
    #[must_use]
    pub fn channel(&self, nth: usize) -> String {
        format!("{}:{nth:05}", self.prefix)
    }

    /// The address that a connection comes from.
    fn source(&self, nth: usize) -> Option<IpAddr> {
        if self.sources == 0 || !self.target.address.ip().is_loopback() {
            return None;
        }
        let last = u8::try_from(nth % usize::from(self.sources)).ok()?;
        Some(IpAddr::from([127, 0, self.network, last + 1]))
    }

    /// The tokens of its connections.
    fn mint(&self) -> Result<Vec<String>> {
        let Tokens::Minted(key) = &self.tokens else {
            return Ok(Vec::new());
        };
        let key = KeySpec::parse(key).map_err(anyhow::Error::msg)?;
        let claims = |nth| {
            serde_json::json!({
                "sub": format!("{}-{:05}", self.prefix, self.first_user + nth),
                "exp": 32_503_680_000_u64,
                "bellwire": {"subscribe": [format!("{}:*", self.prefix)]},
            })
        };
        (0..self.connections)
            .map(|nth| key.sign(&claims(nth)).map_err(anyhow::Error::msg))
            .collect()
    }
}

/// The subscribers of a group.
pub(crate) struct Crowd {
    group: Group,
    minted: Vec<String>,
    /// Where connections are encrypted.
    connector: Option<Connector>,
    epoll: OwnedFd,
    members: Vec<Member>,
    buffer: Vec<u8>,
    /// Between the polls of those who do not wait for messages.
    pauses: Option<Pauses>,
    pub(crate) ledger: Ledger,
    /// What the ledger does not count.
    traffic: Tally,
    /// Pings that were answered.
    pub(crate) pings: u64,
}

impl Crowd {
    /// Nobody is connected yet.
    pub(crate) fn new(group: Group) -> Result<Self> {
        if group.channels.total(group.connections) > crate::mark::MAX_CHANNELS {
            bail!(
                "at most {} channels can be told apart",
                crate::mark::MAX_CHANNELS
            );
        }
        Ok(Self {
            minted: group.mint()?,
            connector: group
                .target
                .secure
                .as_ref()
                .map(Connector::new)
                .transpose()?,
            epoll: epoll::create(CreateFlags::CLOEXEC)?,
            members: Vec::new(),
            buffer: vec![0; BUFFER],
            pauses: None,
            ledger: Ledger::new(group.channels, group.connections),
            traffic: Tally::default(),
            pings: 0,
            group,
        })
    }

    /// Lets everybody poll once in so long, instead of as soon as the last poll was answered.
    pub(crate) fn poll_every(&mut self, interval: Duration) {
        self.pauses = Some(Pauses::new(interval, self.group.connections));
    }

    pub(crate) fn group(&self) -> &Group {
        &self.group
    }

    /// Readable when something has come.
    pub(crate) fn epoll(&self) -> &OwnedFd {
        &self.epoll
    }

    pub(crate) fn len(&self) -> usize {
        self.members.len()
    }

    /// Reads up to `MAX` sockets on which something has arrived, waiting for the first one at most
    /// this long. Returns whether anything was there.
    pub(crate) fn read<const MAX: usize>(&mut self, wait: Duration) -> Result<bool> {
        let wait = self.poll_again(wait)?;
        let wait = rustix::time::Timespec::try_from(wait)?;
        let mut events = [const { MaybeUninit::<Event>::uninit() }; MAX];
        let events = match epoll::wait(&self.epoll, &mut events[..], Some(&wait)) {
            Ok((events, _)) => events,
            Err(rustix::io::Errno::INTR) => return Ok(true),
            Err(error) => return Err(error.into()),
        };
        let now = crate::clock::now();
        for event in events.iter() {
            let nth = usize::try_from(event.data.u64())?;
            self.handle(nth, now)
                .with_context(|| format!("connection {nth} to {}", self.group.target.address))?;
        }
        Ok(!events.is_empty())
    }

    /// Sends the polls whose time has come. Returns how long may be waited until the next one,
    /// at most this long.
    fn poll_again(&mut self, wait: Duration) -> Result<Duration> {
        let Some(mut pauses) = self.pauses.take() else {
            return Ok(wait);
        };
        let now = crate::clock::now();
        while let Some((nth, cursor)) = pauses.due(now) {
            self.poll(nth, &cursor)?;
        }
        let wait = pauses.left(now).map_or(wait, |left| left.min(wait));
        self.pauses = Some(pauses);
        Ok(wait)
    }

    /// Closes all connections at once, from this side.
    pub(crate) fn cut(&mut self) {
        self.members.clear();
    }

    /// How many connections, of all, have every publication of their channels.
    pub(crate) fn up_to_date(&self, published: &[u32]) -> usize {
        (0..self.members.len())
            .filter(|&nth| {
                self.members[nth].has_joined() && self.ledger.is_up_to_date(nth, published)
            })
            .count()
    }

    fn address(&self) -> SocketAddr {
        self.group.target.address
    }
}
