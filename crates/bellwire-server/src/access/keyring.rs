//! All keys by which tokens are verified, and the verdict on one token.
//!
//! Shared by the shards; each has a [`super::Verifier`] with a cache in front of it. Pure: the
//! time is passed in.

use bellwire_core::{
    access::{Access, Grant, Permissions, Refusal},
    channel::UserId,
    time::Now,
};

use super::{
    claims::{self, Claims, Expected, invalid},
    jwt_key::JwtKey,
};
use crate::config::Config;

/// The keys of a node and what it expects of claims.
#[derive(Clone, Debug)]
pub struct Keyring {
    keys: Vec<JwtKey>,
    issuers: Vec<String>,
    audiences: Vec<String>,
    leeway_ms: u64,
}

/// What a valid token says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verified {
    /// `sub`.
    pub user: UserId,
    /// The `bellwire` claim.
    pub permissions: Permissions,
    /// When it ends, in milliseconds since the Unix epoch.
    pub expires: u64,
}

impl Keyring {
    /// The keyring of a configuration.
    #[must_use]
    pub fn new(config: &Config) -> Self {
        Self {
            keys: config.jwt_key.clone(),
            issuers: config.jwt_issuer.clone(),
            audiences: config.jwt_audience.clone(),
            leeway_ms: u64::try_from(config.jwt_leeway.as_millis()).unwrap_or(u64::MAX),
        }
    }

    /// Whether there is no key, so that no token is taken.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }

    /// Verifies a client's token.
    ///
    /// # Errors
    /// The failing check, with code `token_invalid` or `token_expired`.
    pub fn token(&self, text: &str, now: Now) -> Result<Verified, Refusal> {
        let payload = self.signed_payload(text)?;
        let claims = Claims::read(&payload)?;
        let expires = claims.check(self.expected(now))?;
        let permissions = claims.permissions()?;
        let user = claims
            .user()?
            .ok_or_else(|| invalid("token.sub", "sub is missing; it is the id of the user"))?;
        Ok(Verified {
            user,
            permissions,
            expires,
        })
    }

    /// Verifies a grant for whoever has an access.
    ///
    /// # Errors
    /// The failing check, with code `grant_invalid` or `grant_expired`.
    pub fn grant(&self, text: &str, access: &Access, now: Now) -> Result<Grant, Refusal> {
        self.read_grant(text, access, now)
            .map_err(|refusal| Refusal {
                code: if refusal.code == "token_expired" {
                    "grant_expired"
                } else {
                    "grant_invalid"
                },
                ..refusal
            })
    }

    fn read_grant(&self, text: &str, access: &Access, now: Now) -> Result<Grant, Refusal> {
        let payload = self.signed_payload(text)?;
        let claims = Claims::read(&payload)?;
        let expires = claims.check(self.expected(now))?;
        let (channel, rights) = claims.granted()?;
        let user = claims.user()?;
        if user.is_some() && user.as_ref() != access.user() {
            let detail = "the grant belongs to a user; present that user's token beside it";
            return Err(invalid("grant.sub", detail));
        }
        Ok(Grant {
            channel,
            rights,
            expires,
            user,
        })
    }

    pub(super) fn expected(&self, now: Now) -> Expected<'_> {
        Expected {
            issuers: &self.issuers,
            audiences: &self.audiences,
            leeway_ms: self.leeway_ms,
            now_wall: now.wall,
        }
    }

    /// The payload of a token that one of the keys has signed.
    fn signed_payload(&self, text: &str) -> Result<Vec<u8>, Refusal> {
        let parts = claims::parts(text)?;
        let candidates = self.candidates(parts.header.kid.as_deref())?;
        // The algorithm is the key's; the header's is only compared, so that the message is clear.
        let alg = parts.header.alg.as_str();
        if !candidates.iter().any(|key| key.algorithm() == alg) {
            let known: Vec<&str> = candidates.iter().map(|key| key.algorithm()).collect();
            let detail = format!(
                "the token says {alg:?}, its key here is for {}",
                known.join(", ")
            );
            return Err(invalid("token.alg", detail));
        }
        let message = parts.message.as_bytes();
        let signed = candidates
            .iter()
            .filter(|key| key.algorithm() == alg)
            .any(|key| key.verifies(parts.signature, message));
        if !signed {
            return Err(invalid(
                "token.signature",
                "no key of this server has signed this token",
            ));
        }
        parts.payload()
    }

    /// The keys that a token may be signed with: those of its `kid`, else those without an id;
    /// all, where the token names none.
    fn candidates(&self, kid: Option<&str>) -> Result<Vec<&JwtKey>, Refusal> {
        if self.keys.is_empty() {
            return Err(invalid(
                "token.kid",
                "this server has no jwt_key, so it takes no tokens",
            ));
        }
        let Some(kid) = kid else {
            return Ok(self.keys.iter().collect());
        };
        let named: Vec<&JwtKey> = self
            .keys
            .iter()
            .filter(|key| key.kid() == Some(kid))
            .collect();
        if !named.is_empty() {
            return Ok(named);
        }
        let unnamed: Vec<&JwtKey> = self.keys.iter().filter(|key| key.kid().is_none()).collect();
        if unnamed.is_empty() {
            let shown: String = kid.chars().take(40).collect();
            return Err(invalid(
                "token.kid",
                format!("no jwt_key has the id {shown:?}"),
            ));
        }
        Ok(unnamed)
    }
}
