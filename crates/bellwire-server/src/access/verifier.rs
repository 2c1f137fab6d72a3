//! Credentials checked, with the verified ones remembered.
//!
//! One per shard. Implements the core's `Authenticator`, through which
//! sessions present tokens and grants.

use std::{fmt, sync::Arc};

use bellwire_core::{
    access::{Access, Authenticator, Grant, Refusal},
    time::Now,
};
use sha2::{Digest, Sha256};

use super::{
    api_key::{API_KEY_PREFIX, ApiKeys},
    claims,
    dev::{DEV_KEY_PREFIX, DevKey},
    keyring::Keyring,
    token_cache::TokenCache,
};

/// Everything by which credentials are known; shared by the shards.
#[derive(Debug)]
pub(super) struct Credentials {
    pub(super) keyring: Keyring,
    pub(super) api_keys: ApiKeys,
    pub(super) dev_key: Option<DevKey>,
    pub(super) tokens: TokenCache,
}

/// Checks credentials on one shard.
pub struct Verifier {
    credentials: Arc<Credentials>,
}

impl Verifier {
    pub(super) fn new(credentials: Arc<Credentials>) -> Self {
        Self { credentials }
    }

    /// How many verified tokens the node remembers.
    #[must_use]
    pub fn cached_tokens(&self) -> usize {
        self.credentials.tokens.len()
    }

    fn jwt(&self, text: &str, now: Now) -> Result<Arc<Access>, Refusal> {
        // Before the cost of a hash.
        claims::check_size(text)?;
        let digest = Sha256::digest(text.as_bytes());
        let mut key = [0; 16];
        key.copy_from_slice(&digest[..16]);
        let cache = &self.credentials.tokens;
        if let Some(access) = cache.find(&key)
            && !access.is_expired(now.wall)
        {
            return Ok(access);
        }
        let verified = self.credentials.keyring.token(text, now)?;
        let permissions = cache.share(verified.permissions);
        let access = Arc::new(Access::user_until(
            verified.user,
            permissions,
            verified.expires,
        ));
        cache.insert(key, Arc::clone(&access));
        Ok(access)
    }
}

impl Authenticator for Verifier {
    fn token(&self, text: &str, now: Now) -> Result<Arc<Access>, Refusal> {
        match &self.credentials.dev_key {
            _ if text.starts_with(API_KEY_PREFIX) => self.credentials.api_keys.verify(text),
            Some(key) if text.starts_with(DEV_KEY_PREFIX) => key.verify(text),
            _ => self.jwt(text, now),
        }
    }

    fn grant(&self, text: &str, access: &Access, now: Now) -> Result<Grant, Refusal> {
        self.credentials.keyring.grant(text, access, now)
    }
}

impl fmt::Debug for Verifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Verifier")
            .field("cached_tokens", &self.cached_tokens())
            .finish()
    }
}
