//! One key that signs tokens: `[KID=]ALG:SECRET` or `[KID=]ALG:@FILE`.
//!
//! A key carries its algorithm, so a token can't choose one. Read by the configuration, used by
//! the keyring.

use std::{fmt, fs};

use jsonwebtoken::{Algorithm, DecodingKey};

use crate::config::Kind;

/// A key by which tokens are verified. Debug output and [`JwtKey::masked`] hide secrets.
#[derive(Clone)]
pub struct JwtKey {
    kid: Option<Box<str>>,
    algorithm: Algorithm,
    key: DecodingKey,
    masked: String,
    is_short: bool,
}

/// The algorithms that keys may have, with their names in headers.
const ALGORITHMS: [(&str, Algorithm); 4] = [
    ("HS256", Algorithm::HS256),
    ("ES256", Algorithm::ES256),
    ("EdDSA", Algorithm::EdDSA),
    ("RS256", Algorithm::RS256),
];

/// A key as it was written, before it is known whether it verifies or signs.
#[derive(Clone)]
pub struct KeySpec {
    pub(super) kid: Option<Box<str>>,
    pub(super) algorithm: Algorithm,
    /// The secret of HS256, else PEM.
    pub(super) material: Vec<u8>,
    /// The same without the secret.
    pub(super) masked: String,
}

impl KeySpec {
    /// Reads `[KID=]ALG:SECRET` or `[KID=]ALG:@FILE`.
    ///
    /// # Errors
    /// What is wrong, without showing the secret.
    pub fn parse(text: &str) -> Result<Self, String> {
        let form = "write [KID=]HS256:SECRET, or [KID=]ES256:@PEMFILE (ES256, EdDSA, RS256)";
        let (head, material) = text.split_once(':').ok_or(form)?;
        let (kid, name) = head
            .split_once('=')
            .map_or((None, head), |(k, n)| (Some(k), n));
        let known = ALGORITHMS.iter().find(|(known, _)| *known == name);
        let &(name, algorithm) = known
            .ok_or_else(|| format!("{name:?} is not one of HS256, ES256, EdDSA, RS256; {form}"))?;
        if kid == Some("") || material.is_empty() {
            return Err(format!("the key or its id is empty; {form}"));
        }
        let kid_part = kid.map_or_else(String::new, |kid| format!("{kid}="));
        let (material, shown) = match material.strip_prefix('@') {
            Some(path) => (read_file(path, algorithm)?, format!("@{path}")),
            None if algorithm == Algorithm::HS256 => {
                (material.as_bytes().to_vec(), "***".to_owned())
            }
            None => {
                return Err(format!(
                    "{name} needs a PEM file; write {name}:@/path/key.pem"
                ));
            }
        };
        let masked = format!("{kid_part}{name}:{shown}");
        Ok(Self {
            kid: kid.map(Into::into),
            algorithm,
            material,
            masked,
        })
    }
}

impl KeySpec {
    /// The algorithm's name in a token's header.
    pub(super) fn algorithm_name(&self) -> &'static str {
        name_of(self.algorithm)
    }
}

fn name_of(algorithm: Algorithm) -> &'static str {
    ALGORITHMS
        .iter()
        .find(|(_, known)| *known == algorithm)
        .map_or("", |(name, _)| name)
}

impl fmt::Debug for KeySpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "KeySpec({})", self.masked)
    }
}

fn read_file(path: &str, algorithm: Algorithm) -> Result<Vec<u8>, String> {
    let mut bytes = fs::read(path).map_err(|error| format!("{path} can't be read: {error}"))?;
    if algorithm == Algorithm::HS256 {
        // Editors end files with a line break, which nobody means as part of a secret.
        let end = bytes.trim_ascii_end().len();
        bytes.truncate(end);
    }
    if bytes.is_empty() {
        Err(format!("{path} is empty"))
    } else {
        Ok(bytes)
    }
}

impl JwtKey {
    /// Reads a key that verifies.
    ///
    /// # Errors
    /// What is wrong, without showing the secret.
    pub fn parse(text: &str) -> Result<Self, String> {
        let KeySpec {
            kid,
            algorithm,
            material,
            masked,
        } = KeySpec::parse(text)?;
        if algorithm != Algorithm::HS256 && contains(&material, b"PRIVATE KEY") {
            return Err(format!(
                "{masked} is a private key; a server needs only the public one: \
                 openssl pkey -in key.pem -pubout"
            ));
        }
        let key = match algorithm {
            Algorithm::ES256 => DecodingKey::from_ec_pem(&material),
            Algorithm::EdDSA => DecodingKey::from_ed_pem(&material),
            Algorithm::RS256 => DecodingKey::from_rsa_pem(&material),
            _ => Ok(DecodingKey::from_secret(&material)),
        };
        let key = key.map_err(|_| format!("{masked} is not a public key of that kind in PEM"))?;
        let bytes = key.try_get_as_bytes().map_or(0, <[u8]>::len);
        match algorithm {
            // An uncompressed point of P-256; a key of another curve would refuse every token.
            Algorithm::ES256 if bytes != 65 => return Err(format!("{masked} is not on P-256")),
            Algorithm::RS256 if bytes < 256 => {
                return Err(format!(
                    "{masked} has under 2048 bits; make a longer RSA key"
                ));
            }
            _ => {}
        }
        let is_short = algorithm == Algorithm::HS256 && bytes < 32;
        Ok(Self {
            kid,
            algorithm,
            key,
            masked,
            is_short,
        })
    }

    /// Its id, which tokens name in their header.
    #[must_use]
    pub fn kid(&self) -> Option<&str> {
        self.kid.as_deref()
    }

    /// The key without its secret.
    #[must_use]
    pub fn masked(&self) -> &str {
        &self.masked
    }

    /// Advice to the operator, where the secret is shorter than RFC 7518 asks for.
    #[must_use]
    pub fn warning(&self) -> Option<String> {
        self.is_short.then(|| {
            let key = &self.masked;
            format!("jwt_key {key} is under 32 bytes and can be guessed: openssl rand -base64 32")
        })
    }

    /// The algorithm's name in a token's header.
    pub(super) fn algorithm(&self) -> &'static str {
        name_of(self.algorithm)
    }

    /// Whether a signature (base64url) is this key's over a message.
    pub(super) fn verifies(&self, signature: &str, message: &[u8]) -> bool {
        jsonwebtoken::crypto::verify(signature, message, &self.key, self.algorithm).unwrap_or(false)
    }
}

impl fmt::Debug for JwtKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "JwtKey({})", self.masked)
    }
}

impl Kind for JwtKey {
    type Value = Self;
    const NAME: &'static str = "KEY";

    fn read(text: &str) -> Result<Self, String> {
        Self::parse(text)
    }

    fn show(value: &Self) -> String {
        value.masked.clone()
    }
}

fn contains(bytes: &[u8], needle: &[u8]) -> bool {
    bytes.windows(needle.len()).any(|window| window == needle)
}
