//! API keys: `bw_<8>_<32>`, kept as a hash.
//!
//! `bellwire token key` makes them, the configuration lists them, the verifier looks them up.

use std::{collections::HashMap, fmt::Write, sync::Arc};

use bellwire_core::access::{Access, ApiKey, Refusal, Scopes};
use sha2::{Digest, Sha256};

/// How every API key begins.
pub const API_KEY_PREFIX: &str = "bw_";

const ID_LENGTH: usize = 8;
const SECRET_LENGTH: usize = 32;
/// 32 letters and digits that are hard to mix up: 5 bits each, 160 for a secret.
const ALPHABET: &[u8; 32] = b"abcdefghijkmnpqrstuvwxyz23456789";

/// A key as the configuration holds it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredKey {
    key: Arc<ApiKey>,
    sha256: [u8; 32],
}

impl StoredKey {
    /// From its parts; the hash in hexadecimal is that of the whole key.
    ///
    /// # Errors
    /// What is wrong with them.
    pub fn new(id: &str, sha256: &str, scopes: Scopes) -> Result<Self, String> {
        if id.len() != ID_LENGTH || !id.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
            return Err(format!(
                "the id {id:?} is not {ID_LENGTH} letters and digits"
            ));
        }
        let sha256 = from_hex(sha256).ok_or("sha256 is not 64 hexadecimal digits")?;
        Ok(Self {
            key: Arc::new(ApiKey {
                id: id.into(),
                scopes,
            }),
            sha256,
        })
    }

    /// Reads `ID:SHA256:SCOPE,SCOPE…`.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut parts = text.splitn(3, ':');
        let (Some(id), Some(sha256), Some(words)) = (parts.next(), parts.next(), parts.next())
        else {
            return Err("write ID:SHA256:SCOPE,SCOPE…, as bellwire token key prints it".to_owned());
        };
        let mut scopes = Scopes::default();
        for word in words.split(',') {
            scopes.add(word)?;
        }
        Self::new(id, sha256, scopes)
    }

    /// The public part.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.key.id
    }

    /// The lines of its `[[api_key]]` table.
    #[must_use]
    pub fn lines(&self) -> String {
        self.table(&hex(&self.sha256))
    }

    /// The same without the hash.
    #[must_use]
    pub fn masked(&self) -> String {
        self.table("***")
    }

    /// The same key as a flag or variable takes it: `ID:SHA256:SCOPE,SCOPE…`.
    #[must_use]
    pub fn one_line(&self) -> String {
        let words = self.key.scopes.to_words().join(",");
        format!("{}:{}:{words}", self.key.id, hex(&self.sha256))
    }

    fn table(&self, sha256: &str) -> String {
        let words = self.key.scopes.to_words();
        let quoted: Vec<String> = words.iter().map(|word| format!("\"{word}\"")).collect();
        let scopes = quoted.join(", ");
        format!(
            "id = \"{}\"\nsha256 = \"{sha256}\"\nscopes = [{scopes}]",
            self.key.id
        )
    }
}

/// Makes a new key: its text, which exists only here, and what to store.
///
/// # Errors
/// The operating system gives no randomness.
pub fn generate(scopes: Scopes) -> Result<(String, StoredKey), getrandom::Error> {
    let (id, secret) = (random_text(ID_LENGTH)?, random_text(SECRET_LENGTH)?);
    let text = format!("{API_KEY_PREFIX}{id}_{secret}");
    let sha256 = Sha256::digest(text.as_bytes()).into();
    Ok((
        text,
        StoredKey {
            key: Arc::new(ApiKey {
                id: id.into(),
                scopes,
            }),
            sha256,
        },
    ))
}

/// Random letters and digits, 5 bits each.
pub(super) fn random_text(length: usize) -> Result<String, getrandom::Error> {
    let mut bytes = vec![0; length];
    getrandom::fill(&mut bytes)?;
    Ok(bytes
        .iter()
        .map(|byte| char::from(ALPHABET[usize::from(byte % 32)]))
        .collect())
}

/// All API keys of a node, by id.
#[derive(Clone, Debug, Default)]
pub(super) struct ApiKeys {
    by_id: HashMap<Box<str>, (Arc<Access>, [u8; 32])>,
}

impl ApiKeys {
    pub(super) fn new(keys: &[StoredKey]) -> Self {
        let entry = |stored: &StoredKey| {
            let access = Arc::new(Access::api_key(Arc::clone(&stored.key)));
            (stored.key.id.clone(), (access, stored.sha256))
        };
        Self {
            by_id: keys.iter().map(entry).collect(),
        }
    }

    /// What the bearer of a key may do.
    pub(super) fn verify(&self, text: &str) -> Result<Arc<Access>, Refusal> {
        let refuse = |check, detail: &str| {
            Err(Refusal {
                check,
                code: "key_invalid",
                detail: detail.to_owned(),
            })
        };
        let parts = text
            .strip_prefix(API_KEY_PREFIX)
            .and_then(|rest| rest.split_once('_'));
        let Some((id, secret)) = parts else {
            return refuse(
                "key.malformed",
                "an API key is bw_<8 characters>_<32 characters>",
            );
        };
        if id.len() != ID_LENGTH || secret.len() != SECRET_LENGTH {
            return refuse(
                "key.malformed",
                "an API key is bw_<8 characters>_<32 characters>",
            );
        }
        let Some((access, sha256)) = self.by_id.get(id) else {
            return refuse(
                "key.unknown",
                "no API key has this id; look at api_key in the config",
            );
        };
        if !same(&Sha256::digest(text.as_bytes()).into(), sha256) {
            return refuse("key.secret", "the secret part of the API key is wrong");
        }
        Ok(Arc::clone(access))
    }
}

/// Compares in a time that does not depend on where two hashes differ.
pub(super) fn same(a: &[u8; 32], b: &[u8; 32]) -> bool {
    let differ = a.iter().zip(b).fold(0, |differ, (a, b)| differ | (a ^ b));
    std::hint::black_box(differ) == 0
}

fn hex(bytes: &[u8; 32]) -> String {
    bytes
        .iter()
        .fold(String::with_capacity(64), |mut text, byte| {
            write!(text, "{byte:02x}").expect("writing to a String does not fail");
            text
        })
}

fn from_hex(text: &str) -> Option<[u8; 32]> {
    let mut bytes = [0; 32];
    let digits: Option<Vec<u32>> = text.chars().map(|c| c.to_digit(16)).collect();
    let digits = digits.filter(|digits| digits.len() == 64)?;
    for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
        *byte = u8::try_from(pair[0] * 16 + pair[1]).ok()?;
    }
    Some(bytes)
}
