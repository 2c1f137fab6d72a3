//! Who the simulated clients are, and an authenticator that takes their word for it.

use std::sync::Arc;

use bellwire_core::{
    access::{Access, Authenticator, Grant, Permissions, Refusal},
    channel::{Channel, Pattern, UserId},
    namespace::Rights,
    time::Now,
};

/// Tokens are `<user> <expires> <pattern>…`, grants are `<channel> <expires>`; in clear, since
/// signatures are the server's business.
#[derive(Debug)]
pub(crate) struct Tokens;

impl Authenticator for Tokens {
    fn token(&self, text: &str, now: Now) -> Result<Arc<Access>, Refusal> {
        let mut words = text.split(' ');
        let user = words.next().unwrap_or_default();
        let expires = words.next().and_then(|word| word.parse::<u64>().ok());
        let Some(expires) = expires.filter(|expires| *expires > now.wall) else {
            return Err(refusal("token_invalid"));
        };
        let patterns: Vec<_> = words.collect();
        Ok(Arc::new(user_access(user, &patterns, expires)))
    }

    fn grant(&self, text: &str, _access: &Access, now: Now) -> Result<Grant, Refusal> {
        let (channel, expires) = text
            .split_once(' ')
            .ok_or_else(|| refusal("grant_invalid"))?;
        let expires = expires.parse().unwrap_or_default();
        if expires <= now.wall {
            return Err(refusal("grant_expired"));
        }
        Ok(grant(channel, expires))
    }
}

fn refusal(code: &'static str) -> Refusal {
    Refusal {
        check: "token",
        code,
        detail: "not one of ours".to_owned(),
    }
}

/// A user with the same patterns for every right.
pub(crate) fn user_access(user: &str, patterns: &[&str], expires: u64) -> Access {
    let patterns: Box<[Pattern]> = patterns
        .iter()
        .map(|pattern| Pattern::parse(pattern).expect("a valid name"))
        .collect();
    let permissions = Permissions {
        subscribe: patterns.clone(),
        publish: patterns.clone(),
        history: patterns.clone(),
        presence: patterns,
    };
    let user = UserId::parse(user).expect("a valid name");
    Access::user_until(user, Arc::new(permissions), expires)
}

/// A grant to subscribe to one channel.
pub(crate) fn grant(channel: &str, expires: u64) -> Grant {
    Grant {
        channel: Channel::parse(channel).expect("a valid name"),
        rights: Rights {
            subscribe: true,
            ..Rights::default()
        },
        expires,
        user: None,
    }
}
