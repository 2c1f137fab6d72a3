//! Tokens, grants and API keys for tests, made with nothing of the server's code.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use std::time::{SystemTime, UNIX_EPOCH};

/// The secret that signs the tests' tokens.
pub const SECRET: &str = "a secret of these tests, 32 bytes or more";

/// What `--jwt-key` takes for [`SECRET`].
#[must_use]
pub fn jwt_key() -> String {
    format!("HS256:{SECRET}")
}

/// Seconds since 1970.
///
/// # Panics
/// When the clock is before that.
#[must_use]
pub fn now_seconds() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .expect("after 1970")
        .as_secs()
}

/// A token with exactly these claims, signed with [`SECRET`].
#[must_use]
pub fn token_of(claims: &Value) -> String {
    signed(claims, SECRET)
}

/// A token with exactly these claims, signed with any secret.
#[must_use]
pub fn signed(claims: &Value, secret: &str) -> String {
    let header = URL_SAFE_NO_PAD.encode(r#"{"alg":"HS256","typ":"JWT"}"#);
    let message = format!("{header}.{}", URL_SAFE_NO_PAD.encode(claims.to_string()));
    let signature = hmac_sha256(secret.as_bytes(), message.as_bytes());
    format!("{message}.{}", URL_SAFE_NO_PAD.encode(signature))
}

/// A token for an hour: a user and what he may do with which patterns, as
/// `{"subscribe":["room:*"]}`.
#[must_use]
pub fn token(user: &str, rights: &Value) -> String {
    token_of(&json!({"sub": user, "exp": now_seconds() + 3_600, "bellwire": rights}))
}

/// A grant of one channel for an hour.
#[must_use]
pub fn grant(channel: &str, rights: &[&str]) -> String {
    let own = json!({"grant": channel, "rights": rights});
    token_of(&json!({"exp": now_seconds() + 3_600, "bellwire": own}))
}

/// An API key.
#[derive(Clone, Debug)]
pub struct ApiKey {
    /// What its bearer sends.
    pub text: String,
    /// What `--api-key` takes.
    pub line: String,
}

/// An API key with these scopes, separated by commas. The id has eight letters.
#[must_use]
pub fn api_key(id: &str, scopes: &str) -> ApiKey {
    let text = format!("bw_{id}_{}", "abcdefgh".repeat(4));
    let hash = Sha256::digest(text.as_bytes());
    let hash: String = hash.iter().map(|byte| format!("{byte:02x}")).collect();
    ApiKey {
        text,
        line: format!("{id}:{hash}:{scopes}"),
    }
}

/// HMAC (RFC 2104) for keys of at most one block.
fn hmac_sha256(key: &[u8], message: &[u8]) -> [u8; 32] {
    assert!(
        key.len() <= 64,
        "longer keys are hashed first, which no test needs"
    );
    let padded = |with: u8| {
        let mut block = [with; 64];
        block
            .iter_mut()
            .zip(key)
            .for_each(|(byte, key)| *byte ^= key);
        block
    };
    let inner = Sha256::new()
        .chain_update(padded(0x36))
        .chain_update(message)
        .finalize();
    Sha256::new()
        .chain_update(padded(0x5c))
        .chain_update(inner)
        .finalize()
        .into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn case_2_of_rfc_4231_is_met() {
        let mac = hmac_sha256(b"Jefe", b"what do ya want for nothing?");
        assert_eq!(mac[..4], [0x5b, 0xdc, 0xc1, 0x46]);
        assert_eq!(mac[28..], [0x64, 0xec, 0x38, 0x43]);
    }
}
