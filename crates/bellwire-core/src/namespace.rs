//! What applies to a group of channels: history, delay, rights without credentials.

use crate::{
    access::Right,
    channel::{Channel, Pattern},
    engine::Durability,
};

/// How much of a channel is kept. What reaches any of the three bounds goes, oldest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Retention {
    /// Publications.
    pub count: usize,
    /// Bytes of [`crate::publication::Publication::weight`].
    pub bytes: usize,
    /// Milliseconds since the append.
    pub age_ms: u64,
}

impl Default for Retention {
    fn default() -> Self {
        Self {
            count: 100,
            bytes: 1 << 20,
            age_ms: 600_000,
        }
    }
}

/// What somebody without credentials may do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "four independent rights")]
pub struct Rights {
    /// Receive publications.
    pub subscribe: bool,
    /// Publish.
    pub publish: bool,
    /// Read history and start at `earliest`.
    pub history: bool,
    /// See who is there.
    pub presence: bool,
}

/// The settings of the channels that a pattern covers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Namespace {
    /// Which channels.
    pub pattern: Pattern,
    /// How much is kept.
    pub history: Retention,
    /// How long publications may wait to share a send, in milliseconds; 0 sends at the turn's end.
    pub max_delay_ms: u64,
    /// What a publish reply promises.
    pub durability: Durability,
    /// Rights without credentials.
    pub anonymous: Rights,
}

/// All namespaces of a node, with the one that covers the rest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Namespaces {
    rules: Vec<Namespace>,
    default: Namespace,
}

impl Namespaces {
    /// `default` covers inboxes and what no rule matches; its pattern is not looked at.
    #[must_use]
    pub fn new(mut rules: Vec<Namespace>, default: Namespace) -> Self {
        rules.sort_by_key(|rule| std::cmp::Reverse(rule.pattern.specificity()));
        Self { rules, default }
    }

    /// The namespace of a channel: the longest match wins.
    #[must_use]
    pub fn of(&self, channel: &Channel) -> &Namespace {
        self.rules
            .iter()
            .find(|rule| rule.pattern.matches(channel))
            .unwrap_or(&self.default)
    }

    /// Whether some channel is open to everybody for something.
    #[must_use]
    pub fn give_everybody(&self, right: Right) -> bool {
        let mut all = self.rules.iter().chain([&self.default]);
        all.any(|rule| right.is_in(rule.anonymous))
    }
}

impl Default for Namespaces {
    fn default() -> Self {
        let default = Namespace {
            pattern: Pattern::All,
            history: Retention::default(),
            max_delay_ms: 0,
            durability: Durability::Memory,
            anonymous: Rights::default(),
        };
        Self::new(Vec::new(), default)
    }
}
