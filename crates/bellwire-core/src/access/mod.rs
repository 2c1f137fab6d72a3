//! What a bearer may do, and the question put to whoever checks credentials.
//!
//! Sessions and the HTTP API hold an [`Access`] and ask it; the server's verifier makes them.
//! Knows nothing of signatures, headers, cookies or clocks. One `Access` exists per user and is
//! shared by that user's connections; the permission lists are shared by all users that have the
//! same ones.

use std::{borrow::Cow, net::IpAddr, sync::Arc};

use crate::{
    channel::{Channel, UserId},
    namespace::{Namespaces, Rights},
    rate::TooFast,
    time::Now,
};

mod rights;

pub use rights::{ApiKey, Permissions, Reach, Right, Scopes};

/// Who is asking.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Bearer {
    /// Nobody: only what namespaces give to everybody.
    Anonymous,
    /// The user of a token.
    User {
        /// The token's `sub`.
        user: UserId,
        /// The token's lists.
        permissions: Arc<Permissions>,
    },
    /// A server with an API key.
    ApiKey(Arc<ApiKey>),
    /// Whoever reaches a server in development mode: everything.
    Dev,
}

/// What one bearer may do, and until when.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Access {
    bearer: Bearer,
    /// `u64::MAX` is never.
    expires: u64,
}

impl Access {
    /// Of a request without credentials.
    #[must_use]
    pub fn anonymous() -> Self {
        Self {
            bearer: Bearer::Anonymous,
            expires: u64::MAX,
        }
    }

    /// Of everybody in development mode.
    #[must_use]
    pub fn dev() -> Self {
        Self {
            bearer: Bearer::Dev,
            expires: u64::MAX,
        }
    }

    /// Of a token's user until `expires`, in milliseconds since the Unix epoch.
    #[must_use]
    pub fn user_until(user: UserId, permissions: Arc<Permissions>, expires: u64) -> Self {
        Self {
            bearer: Bearer::User { user, permissions },
            expires,
        }
    }

    /// Of an API key.
    #[must_use]
    pub fn api_key(key: Arc<ApiKey>) -> Self {
        Self {
            bearer: Bearer::ApiKey(key),
            expires: u64::MAX,
        }
    }

    /// Who it is.
    #[must_use]
    pub fn bearer(&self) -> &Bearer {
        &self.bearer
    }

    /// The user of a token; the owner of the inbox `@me`.
    #[must_use]
    pub fn user(&self) -> Option<&UserId> {
        match &self.bearer {
            Bearer::User { user, .. } => Some(user),
            Bearer::Anonymous | Bearer::ApiKey(_) | Bearer::Dev => None,
        }
    }

    /// Whether there were no credentials: a refusal is then 401 rather than 403.
    #[must_use]
    pub fn is_anonymous(&self) -> bool {
        self.bearer == Bearer::Anonymous
    }

    /// When it ends, in milliseconds since the Unix epoch.
    #[must_use]
    pub fn expires_at(&self) -> Option<u64> {
        (self.expires != u64::MAX).then_some(self.expires)
    }

    /// Whether it has ended at a wall time in milliseconds.
    #[must_use]
    pub fn is_expired(&self, now_wall: u64) -> bool {
        now_wall >= self.expires
    }

    /// The scope of idempotency keys: `key:<id>`, `user:<sub>` or `anonymous`.
    #[must_use]
    pub fn publisher_identity(&self) -> Cow<'static, str> {
        match &self.bearer {
            Bearer::ApiKey(key) => Cow::Owned(format!("key:{}", key.id)),
            Bearer::User { user, .. } => Cow::Owned(format!("user:{user}")),
            Bearer::Anonymous | Bearer::Dev => Cow::Borrowed("anonymous"),
        }
    }

    /// Whether a publication's `user` may be set to somebody else.
    #[must_use]
    pub fn may_set_user(&self) -> bool {
        matches!(self.bearer, Bearer::ApiKey(_) | Bearer::Dev)
    }

    /// Whether connections and users may be listed and closed.
    ///
    /// # Errors
    /// The check `manage`.
    pub fn may_manage(&self) -> Result<(), Denied> {
        self.scoped("manage", |scopes| scopes.manage)
    }

    /// Whether metrics may be read.
    ///
    /// # Errors
    /// The check `metrics`.
    pub fn may_read_metrics(&self) -> Result<(), Denied> {
        self.scoped("metrics", |scopes| scopes.metrics)
    }

    /// Whether channels may be listed at all; [`Access::sees`] tells which.
    ///
    /// # Errors
    /// The check `read`.
    pub fn may_list(&self) -> Result<(), Denied> {
        self.scoped("read", |scopes| scopes.manage || !scopes.read.is_empty())
    }

    /// Whether a channel belongs into this bearer's listing; inboxes only with `manage`.
    #[must_use]
    pub fn sees(&self, channel: &Channel) -> bool {
        match &self.bearer {
            Bearer::Dev => true,
            Bearer::ApiKey(key) if channel.is_inbox() => key.scopes.manage,
            Bearer::ApiKey(key) => key.scopes.reaches(&key.scopes.read, channel),
            Bearer::Anonymous | Bearer::User { .. } => false,
        }
    }

    fn scoped(&self, check: &'static str, has: impl Fn(&Scopes) -> bool) -> Result<(), Denied> {
        let detail = match &self.bearer {
            Bearer::Dev => return Ok(()),
            Bearer::ApiKey(key) if has(&key.scopes) => return Ok(()),
            Bearer::ApiKey(key) => format!("the API key {} has no scope for {check}", key.id),
            Bearer::User { .. } => format!("{check} needs an API key, not a token"),
            Bearer::Anonymous => format!("{check} needs an API key as Authorization: Bearer"),
        };
        Err(Denied { check, detail })
    }

    /// Whether something may be done to a channel with this access alone.
    ///
    /// # Errors
    /// Which check says no, and what would change that.
    pub fn check(
        &self,
        right: Right,
        channel: &Channel,
        namespaces: &Namespaces,
    ) -> Result<(), Denied> {
        if self.allows(right, channel) {
            return Ok(());
        }
        // Rights without credentials are everybody's, but never reach an inbox.
        if !channel.is_inbox() && right.is_in(namespaces.of(channel).anonymous) {
            return Ok(());
        }
        Err(self.denial(right, channel))
    }

    /// The same with the bearer's grants, which add single channels for a while.
    ///
    /// # Errors
    /// As [`Access::check`], or `grant_expired` where only a grant that has ended allows it.
    pub fn check_with(
        &self,
        right: Right,
        channel: &Channel,
        namespaces: &Namespaces,
        grants: &[Grant],
        now_wall: u64,
    ) -> Result<Allowed, Denied> {
        let denied = match self.check(right, channel, namespaces) {
            Ok(()) => return Ok(Allowed { until: None }),
            Err(denied) => denied,
        };
        let fitting = grants
            .iter()
            .filter(|grant| grant.allows(right, channel, self.user()));
        match fitting.map(|grant| grant.expires).max() {
            None => Err(denied),
            Some(expires) if now_wall >= expires => Err(Denied::grant_expired(channel)),
            Some(expires) => Ok(Allowed {
                until: Some(expires),
            }),
        }
    }

    fn allows(&self, right: Right, channel: &Channel) -> bool {
        match &self.bearer {
            Bearer::Dev => true,
            Bearer::Anonymous => false,
            Bearer::ApiKey(key) => match right {
                Right::Subscribe => false,
                Right::Publish => key.scopes.reaches(&key.scopes.publish, channel),
                Right::History | Right::Presence => key.scopes.reaches(&key.scopes.read, channel),
            },
            Bearer::User { user, .. } if channel.is_inbox() => {
                matches!(right, Right::Subscribe | Right::History) && owns(user, channel)
            }
            Bearer::User { permissions, .. } => permissions
                .of(right)
                .iter()
                .any(|pattern| pattern.matches(channel)),
        }
    }

    fn denial(&self, right: Right, channel: &Channel) -> Denied {
        let check = right.as_str();
        if let Bearer::User { user, .. } = &self.bearer
            && channel.is_inbox()
            && !owns(user, channel)
        {
            let detail = format!("the token's user is {user:?}; only its own inbox is open to it");
            return Denied {
                check: "user",
                detail,
            };
        }
        let detail = match &self.bearer {
            Bearer::User { .. } if channel.is_inbox() => {
                format!("a token gives no {check} on inboxes; use an API key with {check}:@*")
            }
            Bearer::User { .. } => {
                format!("no pattern in the token's bellwire.{check} list covers {channel}")
            }
            Bearer::ApiKey(_) if right == Right::Subscribe => {
                "API keys publish and read history; subscribe with a token".to_owned()
            }
            Bearer::ApiKey(key) => {
                let scope = if right == Right::Publish {
                    "publish"
                } else {
                    "read"
                };
                format!(
                    "no {scope} scope of the API key {} covers {channel}",
                    key.id
                )
            }
            Bearer::Anonymous | Bearer::Dev => format!(
                "no credentials, and no namespace gives anonymous {check} on {channel}; \
                 send a token, or an API key"
            ),
        };
        Denied { check, detail }
    }
}

fn owns(user: &UserId, channel: &Channel) -> bool {
    Channel::inbox(user) == *channel
}

/// How long a permission holds on its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Allowed {
    /// When the grant behind it ends, in milliseconds since the Unix epoch; `None` holds as long
    /// as the access does.
    pub until: Option<u64>,
}

/// A signed addition of one channel, without an identity.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Grant {
    /// The channel it adds.
    pub channel: Channel,
    /// What may be done to it.
    pub rights: Rights,
    /// When it ends, in milliseconds since the Unix epoch.
    pub expires: u64,
    /// Where given, it counts only beside this user's token.
    pub user: Option<UserId>,
}

impl Grant {
    fn allows(&self, right: Right, channel: &Channel, user: Option<&UserId>) -> bool {
        let user_fits = self.user.is_none() || self.user.as_ref() == user;
        self.channel == *channel && right.is_in(self.rights) && user_fits
    }
}

/// Why something may not be done to a channel; the payload of `denied`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Denied {
    /// The failing check: a right, `user`, `grant_expired`, or a scope.
    pub check: &'static str,
    /// A sentence for the developer who reads it.
    pub detail: String,
}

impl Denied {
    /// `@me` was asked for where nobody is signed in.
    #[must_use]
    pub fn no_user() -> Self {
        let detail = "@me is the inbox of a token's user; send a token".to_owned();
        Self {
            check: "user",
            detail,
        }
    }

    /// The grant behind a subscription has ended.
    #[must_use]
    pub fn grant_expired(channel: &Channel) -> Self {
        let detail = format!("the grant for {channel} has expired; present a new one");
        Self {
            check: "grant_expired",
            detail,
        }
    }
}

/// Why a credential is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{check}: {detail}")]
pub struct Refusal {
    /// The failing check, `token.signature` for example.
    pub check: &'static str,
    /// The error code of `spec/codes.toml`.
    pub code: &'static str,
    /// A sentence for the developer who reads it.
    pub detail: String,
}

/// Checks credentials; one per shard, so it may cache without a lock.
pub trait Authenticator {
    /// What the bearer of a token or an API key may do.
    ///
    /// # Errors
    /// The failing check, with code `token_invalid`, `token_expired` or `key_invalid`.
    fn token(&self, text: &str, now: Now) -> Result<Arc<Access>, Refusal>;

    /// What a grant adds to an access.
    ///
    /// # Errors
    /// The failing check, with code `grant_invalid` or `grant_expired`.
    fn grant(&self, text: &str, access: &Access, now: Now) -> Result<Grant, Refusal>;

    /// Takes one publish from what a bearer's user and address may do, over all of their
    /// connections. `address` tells the latter where it is asked for. No bound unless it is said.
    ///
    /// # Errors
    /// Nothing is left.
    fn may_publish(
        &self,
        _access: &Access,
        _address: &dyn Fn() -> Option<IpAddr>,
        _now: Now,
    ) -> Result<(), TooFast> {
        Ok(())
    }
}

#[cfg(test)]
mod tests;
