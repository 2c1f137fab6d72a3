//! Making and explaining tokens, for the command line and for tests of those who embed.
//!
//! No request passes through here.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use bellwire_core::{
    access::{Access, Refusal},
    time::Now,
};
use jsonwebtoken::{Algorithm, EncodingKey, crypto::sign};
use serde_json::{Value, json};

use super::{
    claims::{self, Claims, invalid},
    jwt_key::KeySpec,
    keyring::Keyring,
};

impl KeySpec {
    /// Signs claims as a token or grant. Algorithms other than HS256 need the private key.
    ///
    /// # Errors
    /// The key is not a private one of its kind.
    pub fn sign(&self, claims: &Value) -> Result<String, String> {
        let pem = &self.material;
        let key = match self.algorithm {
            Algorithm::ES256 => EncodingKey::from_ec_pem(pem),
            Algorithm::EdDSA => EncodingKey::from_ed_pem(pem),
            Algorithm::RS256 => EncodingKey::from_rsa_pem(pem),
            _ => Ok(EncodingKey::from_secret(pem)),
        };
        let wrong = |_| format!("{} is not a private key of that kind in PEM", self.masked);
        let key = key.map_err(wrong)?;
        let mut header = json!({ "alg": self.algorithm_name(), "typ": "JWT" });
        if let Some(kid) = &self.kid {
            header["kid"] = json!(kid);
        }
        let encode = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let message = format!("{}.{}", encode(&header), encode(claims));
        let signature = sign(message.as_bytes(), &key, self.algorithm).map_err(wrong)?;
        Ok(format!("{message}.{signature}"))
    }
}

/// What a token says, and what a server says to it.
#[derive(Clone, Debug)]
pub struct Inspection {
    /// Its header.
    pub header: Value,
    /// Its claims.
    pub claims: Value,
    /// Whether it is a grant rather than a token.
    pub is_grant: bool,
    /// The first failing check. Without keys the signature is left out.
    pub verdict: Result<(), Refusal>,
}

/// Explains a token. With an empty keyring its signature is not checked.
///
/// # Errors
/// It is not even the shape of a token.
pub fn inspect(text: &str, keyring: &Keyring, now: Now) -> Result<Inspection, Refusal> {
    let parts = claims::parts(text)?;
    let payload = parts.payload()?;
    let header = text.split('.').next().unwrap_or_default();
    let header = URL_SAFE_NO_PAD.decode(header).unwrap_or_default();
    let json = |bytes: &[u8]| {
        serde_json::from_slice::<Value>(bytes)
            .map_err(|e| invalid("token.malformed", format!("a part is not JSON: {e}")))
    };
    let (header, claims) = (json(&header)?, json(&payload)?);
    let is_grant = claims.pointer("/bellwire/grant").is_some();
    let verdict = if keyring.is_empty() {
        check_claims(&payload, keyring, is_grant, now)
    } else if is_grant {
        keyring.grant(text, &owner(&payload), now).map(|_| ())
    } else {
        keyring.token(text, now).map(|_| ())
    };
    Ok(Inspection {
        header,
        claims,
        is_grant,
        verdict,
    })
}

fn check_claims(payload: &[u8], keyring: &Keyring, grant: bool, now: Now) -> Result<(), Refusal> {
    let claims = Claims::read(payload)?;
    claims.check(keyring.expected(now))?;
    if grant {
        claims.granted()?;
        claims.user().map(|_| ())
    } else {
        claims.permissions()?;
        claims
            .user()?
            .map(|_| ())
            .ok_or_else(|| invalid("token.sub", "sub is missing"))
    }
}

/// The user whose token would have to be beside a grant.
fn owner(payload: &[u8]) -> Access {
    let user = Claims::read(payload)
        .ok()
        .and_then(|claims| claims.user().ok().flatten());
    user.map_or_else(Access::anonymous, |user| {
        Access::user_until(user, Default::default(), u64::MAX)
    })
}
