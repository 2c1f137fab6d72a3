//! Channel names, user ids, inbox names and permission patterns.
//!
//! Everything that names a channel passes through here, so no other code has to think about
//! alphabets or escaping. Knows nothing of tokens, transports or storage.

use std::{fmt, sync::Arc};

use sha2::{Digest, Sha256};
use smol_str::SmolStr;

/// Longest ordinary channel name, in bytes.
pub const MAX_NAME_BYTES: usize = 200;
/// Longest user id, in bytes before escaping.
pub const MAX_USER_BYTES: usize = 64;

/// A valid channel name with the hash that ids and partitions are made of. Cheap to clone.
#[derive(Clone)]
pub struct Channel {
    name: Arc<str>,
    hash: u64,
}

impl Channel {
    /// Checks an ordinary or inbox name.
    ///
    /// # Errors
    /// The rule that the name breaks; `@me` is not a name, resolve it with [`Channel::inbox`].
    pub fn parse(name: &str) -> Result<Self, NameError> {
        match name.strip_prefix('@') {
            Some(user) => check_inbox(user)?,
            None => check_ordinary(name)?,
        }
        Ok(Self::trusted(name))
    }

    /// The inbox of a user.
    #[must_use]
    pub fn inbox(user: &UserId) -> Self {
        let mut name = String::with_capacity(user.0.len() + 1);
        name.push('@');
        if user.as_str() == "me" {
            name.push_str("%6De");
        } else {
            for &byte in user.0.as_bytes() {
                if is_unescaped(byte) {
                    name.push(char::from(byte));
                } else {
                    name.push('%');
                    name.push(HEX[usize::from(byte >> 4)]);
                    name.push(HEX[usize::from(byte & 15)]);
                }
            }
        }
        Self::trusted(&name)
    }

    fn trusted(name: &str) -> Self {
        let digest = Sha256::digest(name.as_bytes());
        let mut hash = [0; 8];
        hash.copy_from_slice(&digest[..8]);
        Self {
            name: Arc::from(name),
            hash: u64::from_be_bytes(hash),
        }
    }

    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.name
    }

    /// The first 8 bytes of SHA-256(name), big endian: the channel part of an id.
    #[must_use]
    pub fn hash(&self) -> u64 {
        self.hash
    }

    /// Whether this is a user's inbox.
    #[must_use]
    pub fn is_inbox(&self) -> bool {
        self.name.starts_with('@')
    }
}

impl PartialEq for Channel {
    fn eq(&self, other: &Self) -> bool {
        self.hash == other.hash && self.name == other.name
    }
}

impl Eq for Channel {}

impl std::hash::Hash for Channel {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        state.write_u64(self.hash);
    }
}

impl fmt::Display for Channel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)
    }
}

impl fmt::Debug for Channel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Channel({})", self.name)
    }
}

/// A user id: 1 to 64 bytes of any UTF-8 text. One of up to 23 bytes, as most are, takes no memory
/// besides, which counts where every connection has a user of its own.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct UserId(SmolStr);

impl UserId {
    /// Checks the length of a raw (unescaped) user id.
    ///
    /// # Errors
    /// [`NameError::UserLength`].
    pub fn parse(user: &str) -> Result<Self, NameError> {
        if user.is_empty() || user.len() > MAX_USER_BYTES {
            return Err(NameError::UserLength(user.len()));
        }
        Ok(Self(SmolStr::new(user)))
    }

    /// The raw id.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for UserId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Why a channel name, user id or pattern is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NameError {
    /// No bytes at all.
    #[error("the channel name is empty; give 1 to {MAX_NAME_BYTES} characters")]
    Empty,
    /// Over [`MAX_NAME_BYTES`].
    #[error("the channel name has {0} bytes; at most {MAX_NAME_BYTES} are allowed")]
    TooLong(usize),
    /// A character outside the alphabet.
    #[error("the channel name has {0:?} at byte {1}; allowed are A-Z a-z 0-9 _ . : ~ -")]
    Character(char, usize),
    /// Starts with punctuation.
    #[error("the channel name starts with {0:?}; it must start with a letter or a digit")]
    Start(char),
    /// An inbox name that is not the one canonical escape of its user.
    #[error(
        "the inbox name is not canonical; write @ and the user id with every byte outside \
         A-Z a-z 0-9 _ . ~ - as %XX in upper-case hex"
    )]
    InboxEscape,
    /// `@me` where nobody is signed in, or where it can't be used.
    #[error("@me is the inbox of the token's user and is not a name here; use /v1/users/{{user}}")]
    Me,
    /// A user id of 0 or more than 64 bytes.
    #[error("the user id has {0} bytes; 1 to {MAX_USER_BYTES} are allowed")]
    UserLength(usize),
    /// A pattern with `*` somewhere else than after a separator at its end.
    #[error("a pattern is an exact name, or a prefix ending in ':' or '.' followed by '*', or '*'")]
    Pattern,
}

/// What a permission or a namespace covers: one name, a prefix, or all unreserved names.
///
/// No pattern matches an inbox; those belong to their user and to API keys.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Pattern {
    /// Exactly this channel.
    Exact(Box<str>),
    /// Every channel that starts with this text, which ends in `:` or `.`.
    Prefix(Box<str>),
    /// Every ordinary channel.
    All,
}

impl Pattern {
    /// Reads a pattern.
    ///
    /// # Errors
    /// [`NameError::Pattern`] or what is wrong with its name part.
    pub fn parse(text: &str) -> Result<Self, NameError> {
        if text == "*" {
            return Ok(Self::All);
        }
        let Some(prefix) = text.strip_suffix('*') else {
            if text.contains('*') {
                return Err(NameError::Pattern);
            }
            check_ordinary(text)?;
            return Ok(Self::Exact(text.into()));
        };
        if prefix.contains('*') || !prefix.ends_with([':', '.']) {
            return Err(NameError::Pattern);
        }
        check_ordinary(prefix)?;
        Ok(Self::Prefix(prefix.into()))
    }

    /// Whether the channel is covered. Never true for an inbox.
    #[must_use]
    pub fn matches(&self, channel: &Channel) -> bool {
        if channel.is_inbox() {
            return false;
        }
        match self {
            Self::Exact(name) => **name == *channel.as_str(),
            Self::Prefix(prefix) => channel.as_str().starts_with(&**prefix),
            Self::All => true,
        }
    }

    /// How specific the pattern is: the longest match of several wins, an exact one over all.
    #[must_use]
    pub fn specificity(&self) -> usize {
        match self {
            Self::Exact(_) => usize::MAX,
            Self::Prefix(prefix) => prefix.len(),
            Self::All => 0,
        }
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exact(name) => f.write_str(name),
            Self::Prefix(prefix) => write!(f, "{prefix}*"),
            Self::All => f.write_str("*"),
        }
    }
}

const HEX: [char; 16] = [
    '0', '1', '2', '3', '4', '5', '6', '7', '8', '9', 'A', 'B', 'C', 'D', 'E', 'F',
];

fn check_ordinary(name: &str) -> Result<(), NameError> {
    let Some(first) = name.chars().next() else {
        return Err(NameError::Empty);
    };
    if name.len() > MAX_NAME_BYTES {
        return Err(NameError::TooLong(name.len()));
    }
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | ':' | '~' | '-');
    if let Some((at, found)) = name.char_indices().find(|&(_, c)| !allowed(c)) {
        return Err(NameError::Character(found, at));
    }
    if !first.is_ascii_alphanumeric() {
        return Err(NameError::Start(first));
    }
    Ok(())
}

/// Accepts only what [`Channel::inbox`] writes, so that one user has one inbox.
fn check_inbox(escaped: &str) -> Result<(), NameError> {
    if escaped == "me" {
        return Err(NameError::Me);
    }
    if escaped.len() > 3 * MAX_USER_BYTES {
        return Err(NameError::UserLength(escaped.len() / 3));
    }
    let user = unescape(escaped).ok_or(NameError::InboxEscape)?;
    let user = UserId::parse(&user)?;
    if Channel::inbox(&user).as_str().strip_prefix('@') == Some(escaped) {
        Ok(())
    } else {
        Err(NameError::InboxEscape)
    }
}

fn unescape(escaped: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(escaped.len());
    let mut rest = escaped.bytes();
    while let Some(byte) = rest.next() {
        if byte == b'%' {
            let high = char::from(rest.next()?).to_digit(16)?;
            let low = char::from(rest.next()?).to_digit(16)?;
            bytes.push(u8::try_from(high * 16 + low).ok()?);
        } else {
            bytes.push(byte);
        }
    }
    String::from_utf8(bytes).ok()
}

fn is_unescaped(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.' | b'~' | b'-')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ordinary_names_keep_to_their_alphabet() {
        for good in ["news", "room:7", "a.b-c_d~e", "9lives", &"x".repeat(200)] {
            assert!(Channel::parse(good).is_ok(), "{good}");
        }
        for bad in [
            "",
            ":a",
            "_a",
            "a b",
            "a/b",
            "ü",
            "a*",
            "a\0",
            &"x".repeat(201),
        ] {
            assert!(Channel::parse(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn an_inbox_has_exactly_one_name() {
        let user = UserId::parse("a b/ü@x").unwrap();
        let inbox = Channel::inbox(&user);
        assert_eq!(inbox.as_str(), "@a%20b%2F%C3%BC%40x");
        assert_eq!(Channel::parse(inbox.as_str()).unwrap(), inbox);
        for other in [
            "@a%20b%2f%C3%BC%40x",
            "@%61%20b",
            "@a b",
            "@",
            "@me",
            "@%FF",
            "@a%2",
        ] {
            assert!(Channel::parse(other).is_err(), "{other}");
        }
        assert_eq!(
            Channel::inbox(&UserId::parse("me").unwrap()).as_str(),
            "@%6De"
        );
        assert!(Channel::parse("@%6De").is_ok());
    }

    #[test]
    fn patterns_match_whole_segments_and_never_an_inbox() {
        let channel = |name| Channel::parse(name).unwrap();
        let pattern = |text| Pattern::parse(text).unwrap();
        assert!(pattern("room:*").matches(&channel("room:7")));
        assert!(!pattern("room:*").matches(&channel("rooms:7")));
        assert!(pattern("*").matches(&channel("room:7")));
        assert!(!pattern("*").matches(&channel("@ann")));
        assert!(pattern("news").matches(&channel("news")));
        for bad in ["room*", "*:a", "a:*:b", "", "@ann", "@*", "a:**"] {
            assert!(Pattern::parse(bad).is_err(), "{bad}");
        }
    }
}
