//! Rights, the lists of tokens, and the scopes of API keys.
//!
//! Read by the server's verifier and configuration, asked by [`super::Access`]. Knows nothing of
//! who holds them.

use crate::{
    channel::{Channel, Pattern},
    namespace::Rights,
};

/// Something that is done to one channel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Right {
    /// Receive publications.
    Subscribe,
    /// Publish.
    Publish,
    /// Read history and start at `earliest`.
    History,
    /// See who is there.
    Presence,
}

impl Right {
    /// The word in tokens, in namespaces and as the name of the failing check.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Subscribe => "subscribe",
            Self::Publish => "publish",
            Self::History => "history",
            Self::Presence => "presence",
        }
    }

    /// Reads the word.
    #[must_use]
    pub fn parse(word: &str) -> Option<Self> {
        [
            Self::Subscribe,
            Self::Publish,
            Self::History,
            Self::Presence,
        ]
        .into_iter()
        .find(|right| right.as_str() == word)
    }

    /// Whether a set of rights has this one.
    #[must_use]
    pub fn is_in(self, rights: Rights) -> bool {
        match self {
            Self::Subscribe => rights.subscribe,
            Self::Publish => rights.publish,
            Self::History => rights.history,
            Self::Presence => rights.presence,
        }
    }

    /// Adds this right to a set.
    pub fn add_to(self, rights: &mut Rights) {
        match self {
            Self::Subscribe => rights.subscribe = true,
            Self::Publish => rights.publish = true,
            Self::History => rights.history = true,
            Self::Presence => rights.presence = true,
        }
    }
}

/// The `bellwire` claim of a token: which channels for which right. An absent list is empty.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Permissions {
    /// Channels to receive.
    pub subscribe: Box<[Pattern]>,
    /// Channels to publish to.
    pub publish: Box<[Pattern]>,
    /// Channels whose history may be read.
    pub history: Box<[Pattern]>,
    /// Channels whose members may be seen.
    pub presence: Box<[Pattern]>,
}

impl Permissions {
    /// The patterns for one right.
    #[must_use]
    pub fn of(&self, right: Right) -> &[Pattern] {
        match right {
            Right::Subscribe => &self.subscribe,
            Right::Publish => &self.publish,
            Right::History => &self.history,
            Right::Presence => &self.presence,
        }
    }
}

/// What an API key may do.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Scopes {
    /// `publish:<pattern>`.
    pub publish: Vec<Reach>,
    /// `read:<pattern>`: history, presence and listing.
    pub read: Vec<Reach>,
    /// `manage`: connections and users; reaches every inbox.
    pub manage: bool,
    /// `metrics`.
    pub metrics: bool,
}

impl Scopes {
    /// Adds one scope as it is written.
    ///
    /// # Errors
    /// A sentence that says what is wrong with it.
    pub fn add(&mut self, scope: &str) -> Result<(), String> {
        match scope.split_once(':') {
            Some(("publish", pattern)) => self.publish.push(Reach::parse(pattern)?),
            Some(("read", pattern)) => self.read.push(Reach::parse(pattern)?),
            None if scope == "manage" => self.manage = true,
            None if scope == "metrics" => self.metrics = true,
            _ => {
                return Err(format!(
                    "{scope:?} is not a scope; \
                     write publish:<pattern>, read:<pattern>, manage or metrics"
                ));
            }
        }
        Ok(())
    }

    /// The scopes as they are written.
    #[must_use]
    pub fn to_words(&self) -> Vec<String> {
        let publish = self.publish.iter().map(|reach| format!("publish:{reach}"));
        let read = self.read.iter().map(|reach| format!("read:{reach}"));
        let manage = self.manage.then(|| "manage".to_owned());
        let metrics = self.metrics.then(|| "metrics".to_owned());
        publish.chain(read).chain(manage).chain(metrics).collect()
    }

    pub(super) fn reaches(&self, list: &[Reach], channel: &Channel) -> bool {
        list.iter().any(|reach| reach.matches(channel)) || (self.manage && channel.is_inbox())
    }
}

/// The channels of an API key's scope: unlike a token's pattern it may be all inboxes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reach {
    /// Ordinary channels.
    Channels(Pattern),
    /// `@*`: every inbox.
    Inboxes,
}

impl Reach {
    /// Reads a pattern or `@*`.
    ///
    /// # Errors
    /// A sentence that says what is wrong with it.
    pub fn parse(text: &str) -> Result<Self, String> {
        match text {
            "@*" => Ok(Self::Inboxes),
            _ if text.starts_with('@') => Err(format!(
                "{text:?} names one inbox; a scope reaches all inboxes (@*) or ordinary channels"
            )),
            _ => Pattern::parse(text)
                .map(Self::Channels)
                .map_err(|e| format!("{text:?}: {e}")),
        }
    }

    fn matches(&self, channel: &Channel) -> bool {
        match self {
            Self::Channels(pattern) => pattern.matches(channel),
            Self::Inboxes => channel.is_inbox(),
        }
    }
}

impl std::fmt::Display for Reach {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Channels(pattern) => pattern.fmt(f),
            Self::Inboxes => f.write_str("@*"),
        }
    }
}

/// An API key as the server knows it, without its secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ApiKey {
    /// The public part, 8 characters.
    pub id: Box<str>,
    /// What it may do.
    pub scopes: Scopes,
}
