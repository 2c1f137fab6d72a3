//! The text of a token as typed claims, each checked under its own name.
//!
//! Written by hand rather than left to a library, so that a refusal names the failing check, wrong
//! types are refused even where a claim is optional, and nothing is believed of the header but a
//! key id. Knows nothing of keys; the keyring verifies the signature between the two steps.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use bellwire_core::{
    access::{Permissions, Refusal, Right},
    channel::{Channel, Pattern, UserId},
    namespace::Rights,
};
use serde::Deserialize;
use serde_json::{Value, value::RawValue};

/// Longer tokens are refused before anything is parsed.
const MAX_TOKEN_BYTES: usize = 8 << 10;

/// The highest `exp` that is believed to be seconds: later than the year 5000 it is milliseconds.
const MAX_SECONDS: f64 = 1e11;

/// A token cut into its parts.
#[derive(Debug)]
pub(super) struct Parts<'a> {
    pub(super) header: Header,
    /// What is signed.
    pub(super) message: &'a str,
    payload: &'a str,
    pub(super) signature: &'a str,
}

/// What is read of the header.
#[derive(Debug, Deserialize)]
pub(super) struct Header {
    /// Compared with the key's, never used.
    pub(super) alg: String,
    pub(super) kid: Option<String>,
    crit: Option<Value>,
}

pub(super) fn invalid(check: &'static str, detail: impl Into<String>) -> Refusal {
    Refusal {
        check,
        code: "token_invalid",
        detail: detail.into(),
    }
}

/// Refuses what is too long to look at.
pub(super) fn check_size(token: &str) -> Result<(), Refusal> {
    let bytes = token.len();
    if bytes <= MAX_TOKEN_BYTES {
        return Ok(());
    }
    let detail = format!("the token has {bytes} bytes; at most {MAX_TOKEN_BYTES} are read");
    Err(invalid("token.size", detail))
}

/// Cuts a token and reads its header.
pub(super) fn parts(token: &str) -> Result<Parts<'_>, Refusal> {
    check_size(token)?;
    let malformed = || {
        invalid(
            "token.malformed",
            "a token is three parts of base64url with dots",
        )
    };
    let (message, signature) = token.rsplit_once('.').ok_or_else(malformed)?;
    let (header, payload) = message.split_once('.').ok_or_else(malformed)?;
    if payload.contains('.') || header.is_empty() || payload.is_empty() {
        return Err(malformed());
    }
    let header = URL_SAFE_NO_PAD.decode(header).map_err(|_| malformed())?;
    let header: Header = object(&header).map_err(|e| {
        invalid(
            "token.malformed",
            format!("the header is not as expected: {e}"),
        )
    })?;
    if header.crit.is_some() {
        return Err(invalid(
            "token.crit",
            "the header demands extensions that are not known here",
        ));
    }
    Ok(Parts {
        header,
        message,
        payload,
        signature,
    })
}

/// The claims of a verified token, still untyped.
#[derive(Deserialize)]
pub(super) struct Claims<'a> {
    exp: Option<Value>,
    nbf: Option<Value>,
    iss: Option<Value>,
    aud: Option<Value>,
    sub: Option<Value>,
    #[serde(borrow)]
    bellwire: Option<&'a RawValue>,
}

/// The `bellwire` claim of tokens and grants.
#[derive(Deserialize, Default)]
struct Own {
    subscribe: Option<Vec<String>>,
    publish: Option<Vec<String>>,
    history: Option<Vec<String>>,
    presence: Option<Vec<String>>,
    grant: Option<String>,
    rights: Option<Vec<String>>,
}

impl Parts<'_> {
    /// The payload's bytes, for [`Claims::read`].
    pub(super) fn payload(&self) -> Result<Vec<u8>, Refusal> {
        URL_SAFE_NO_PAD.decode(self.payload).map_err(|_| {
            invalid(
                "token.malformed",
                "the payload is not base64url without padding",
            )
        })
    }
}

/// What is expected of the registered claims.
#[derive(Clone, Copy, Debug)]
pub(super) struct Expected<'a> {
    pub(super) issuers: &'a [String],
    pub(super) audiences: &'a [String],
    pub(super) leeway_ms: u64,
    pub(super) now_wall: u64,
}

impl<'a> Claims<'a> {
    /// Reads the payload. A claim that is there twice is refused.
    pub(super) fn read(payload: &'a [u8]) -> Result<Self, Refusal> {
        object(payload).map_err(|e| {
            invalid(
                "token.malformed",
                format!("the payload is not as expected: {e}"),
            )
        })
    }

    /// Checks times, issuer and audience, and returns when the token ends in milliseconds: at
    /// `exp`, or where that has passed by less than the leeway, when the leeway is over.
    pub(super) fn check(&self, expected: Expected<'_>) -> Result<u64, Refusal> {
        let Expected {
            issuers,
            audiences,
            leeway_ms,
            now_wall,
        } = expected;
        let Some(exp) = &self.exp else {
            return Err(invalid(
                "token.exp",
                "exp is missing; give it in seconds since 1970",
            ));
        };
        let exp = millis(exp).map_err(|e| invalid("token.exp", format!("exp {e}")))?;
        let last = exp.saturating_add(leeway_ms);
        if now_wall >= last {
            let ago = (now_wall - exp) / 1000;
            let detail = format!("the token expired {ago} s ago; get a new one");
            return Err(Refusal {
                check: "token.exp",
                code: "token_expired",
                detail,
            });
        }
        if let Some(nbf) = &self.nbf {
            let nbf = millis(nbf).map_err(|e| invalid("token.nbf", format!("nbf {e}")))?;
            if nbf > now_wall.saturating_add(leeway_ms) {
                let detail = format!("the token is valid only in {} s", (nbf - now_wall) / 1000);
                return Err(invalid("token.nbf", detail));
            }
        }
        check_name("token.iss", "iss", self.iss.as_ref(), issuers, false)?;
        check_name("token.aud", "aud", self.aud.as_ref(), audiences, true)?;
        Ok(if now_wall < exp { exp } else { last })
    }

    /// The user, where there is one.
    pub(super) fn user(&self) -> Result<Option<UserId>, Refusal> {
        match &self.sub {
            None => Ok(None),
            Some(Value::String(sub)) => UserId::parse(sub)
                .map(Some)
                .map_err(|e| invalid("token.sub", format!("sub: {e}"))),
            Some(_) => Err(invalid("token.sub", "sub is not a string")),
        }
    }

    fn own(&self) -> Result<Own, Refusal> {
        let Some(raw) = self.bellwire else {
            return Ok(Own::default());
        };
        object(raw.get().as_bytes()).map_err(|e| {
            invalid(
                "token.bellwire",
                format!("the bellwire claim is not as expected: {e}"),
            )
        })
    }

    /// The lists of a token.
    pub(super) fn permissions(&self) -> Result<Permissions, Refusal> {
        let own = self.own()?;
        if own.grant.is_some() || own.rights.is_some() {
            return Err(invalid(
                "token.grant",
                "this is a grant; pass it as grant beside a token",
            ));
        }
        let list = |right: Right, texts: Option<Vec<String>>| -> Result<Box<[Pattern]>, Refusal> {
            let read = |text: String| {
                Pattern::parse(&text).map_err(|e| {
                    let right = right.as_str();
                    invalid(
                        "token.bellwire",
                        format!("bellwire.{right} has {text:?}: {e}"),
                    )
                })
            };
            texts.unwrap_or_default().into_iter().map(read).collect()
        };
        Ok(Permissions {
            subscribe: list(Right::Subscribe, own.subscribe)?,
            publish: list(Right::Publish, own.publish)?,
            history: list(Right::History, own.history)?,
            presence: list(Right::Presence, own.presence)?,
        })
    }

    /// The channel and rights of a grant.
    pub(super) fn granted(&self) -> Result<(Channel, Rights), Refusal> {
        let own = self.own()?;
        let grant = own.grant.ok_or_else(|| {
            invalid(
                "grant.channel",
                "bellwire.grant is missing; this is a token, not a grant",
            )
        })?;
        let channel = Channel::parse(&grant)
            .map_err(|e| invalid("grant.channel", format!("bellwire.grant: {e}")))?;
        if channel.is_inbox() {
            return Err(invalid("grant.channel", "an inbox can't be granted"));
        }
        let mut rights = Rights::default();
        for word in own.rights.unwrap_or_default() {
            let right = Right::parse(&word).ok_or_else(|| {
                invalid(
                    "grant.rights",
                    format!("bellwire.rights has {word:?}, which is no right"),
                )
            })?;
            right.add_to(&mut rights);
        }
        Ok((channel, rights))
    }
}

/// Reads a JSON object; serde would also take an array for a struct.
fn object<'a, T: Deserialize<'a>>(json: &'a [u8]) -> Result<T, String> {
    if json.trim_ascii_start().first() != Some(&b'{') {
        return Err("it is not a JSON object".to_owned());
    }
    serde_json::from_slice(json).map_err(|e| e.to_string())
}

/// A `NumericDate` of RFC 7519 in milliseconds.
fn millis(value: &Value) -> Result<u64, String> {
    let seconds = value.as_f64().ok_or("is not a number of seconds")?;
    if !(0.0..MAX_SECONDS).contains(&seconds) {
        return Err("is out of range; give seconds since 1970, not milliseconds".to_owned());
    }
    #[expect(
        clippy::cast_possible_truncation,
        reason = "the range is checked above"
    )]
    #[expect(clippy::cast_sign_loss, reason = "the range is checked above")]
    let millis = (seconds * 1000.0) as u64;
    Ok(millis)
}

/// A claim that names one of several accepted parties. Where none is configured, all are
/// accepted, but its type is still checked.
fn check_name(
    check: &'static str,
    claim: &str,
    value: Option<&Value>,
    accepted: &[String],
    may_be_list: bool,
) -> Result<(), Refusal> {
    let names: Vec<&str> = match value {
        None => Vec::new(),
        Some(Value::String(name)) => vec![name],
        Some(Value::Array(names)) if may_be_list => {
            let names: Option<Vec<&str>> = names.iter().map(Value::as_str).collect();
            names.ok_or_else(|| invalid(check, format!("{claim} holds something not a string")))?
        }
        Some(_) => return Err(invalid(check, format!("{claim} is not a string"))),
    };
    if accepted.is_empty()
        || names
            .iter()
            .any(|name| accepted.iter().any(|known| known == name))
    {
        return Ok(());
    }
    let wanted = accepted.join(" or ");
    Err(invalid(
        check,
        format!("{claim} is {names:?}; this server accepts {wanted}"),
    ))
}
