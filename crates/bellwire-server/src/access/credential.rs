//! Where a request carries its credential.
//!
//! The first source that has one counts: the Authorization header, the token cookie, `?token=`
//! where the route takes it, the development key's cookie. Whether it is good is the verifier's
//! business; one that is bad is never passed over for the next.

use std::borrow::Cow;

use bellwire_core::access::Refusal;
use http::{
    HeaderMap, Uri,
    header::{AUTHORIZATION, COOKIE},
};

use super::{claims::invalid, dev::DEV_KEY_COOKIE};

/// The cookie that holds a client's token.
pub const TOKEN_COOKIE: &str = "bellwire_token";
/// The query parameter that holds a client's token.
pub const TOKEN_PARAMETER: &str = "token";

/// The credential of a request, if it has one.
pub(super) fn find<'a>(
    headers: &'a HeaderMap,
    uri: &'a Uri,
    takes_parameter: bool,
) -> Result<Option<Cow<'a, str>>, Refusal> {
    if let Some(token) = bearer(headers)? {
        return Ok(Some(Cow::Borrowed(token)));
    }
    if let Some(token) = cookie(headers, TOKEN_COOKIE) {
        return Ok(Some(Cow::Borrowed(token)));
    }
    if takes_parameter && let Some(token) = parameter(uri, TOKEN_PARAMETER) {
        return Ok(Some(token));
    }
    Ok(cookie(headers, DEV_KEY_COOKIE).map(Cow::Borrowed))
}

/// What follows `Bearer` in the Authorization header. Other schemes belong to somebody else, a
/// proxy with a password for example.
fn bearer(headers: &HeaderMap) -> Result<Option<&str>, Refusal> {
    let mut found = None;
    for value in headers.get_all(AUTHORIZATION) {
        let text = value
            .to_str()
            .map_err(|_| invalid("token.malformed", "the Authorization header is not ASCII"))?;
        let (scheme, token) = text.split_once(' ').unwrap_or((text, ""));
        if !scheme.eq_ignore_ascii_case("bearer") {
            continue;
        }
        if found.replace(token.trim()).is_some() {
            return Err(invalid(
                "token.malformed",
                "there are several Authorization headers",
            ));
        }
    }
    Ok(found)
}

/// A cookie's value. An empty one is how servers take cookies back, so it counts as absent.
pub(super) fn cookie<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    let lines = headers
        .get_all(COOKIE)
        .into_iter()
        .filter_map(|value| value.to_str().ok());
    let pairs = lines.flat_map(|line| line.split(';'));
    let mut found = pairs.filter_map(|pair| {
        let (key, value) = pair.trim().split_once('=')?;
        (key == name && !value.is_empty()).then_some(value)
    });
    found.next()
}

/// A query parameter's first value, decoded.
pub(super) fn parameter<'a>(uri: &'a Uri, name: &str) -> Option<Cow<'a, str>> {
    let pairs = uri.query()?.split('&');
    let mut found = pairs.filter_map(|pair| {
        let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
        (key == name).then(|| decode(value))
    });
    found.next()
}

/// Percent-decodes what should be a token; bytes that are not UTF-8 become something that no
/// verifier accepts.
fn decode(value: &str) -> Cow<'_, str> {
    if !value.contains('%') {
        return Cow::Borrowed(value);
    }
    let mut bytes = Vec::with_capacity(value.len());
    let mut rest = value.bytes();
    while let Some(byte) = rest.next() {
        let mut ahead = rest.clone();
        let digit = |byte: Option<u8>| char::from(byte?).to_digit(16);
        let escaped = if byte == b'%' {
            digit(ahead.next())
                .zip(digit(ahead.next()))
                .map(|(high, low)| high * 16 + low)
        } else {
            None
        };
        match escaped.and_then(|value| u8::try_from(value).ok()) {
            Some(decoded) => {
                bytes.push(decoded);
                rest = ahead;
            }
            None => bytes.push(byte),
        }
    }
    Cow::Owned(String::from_utf8_lossy(&bytes).into_owned())
}

/// A path and query as access logs may show them: without the values of `token`, `grant` and
/// `key`.
#[must_use]
pub fn redacted(uri: &Uri) -> String {
    let Some(query) = uri.query() else {
        return uri.path().to_owned();
    };
    let shown = query.split('&').map(|pair| match pair.split_once('=') {
        Some((name @ (TOKEN_PARAMETER | "grant" | "key"), _)) => format!("{name}=***"),
        _ => pair.to_owned(),
    });
    format!("{}?{}", uri.path(), shown.collect::<Vec<_>>().join("&"))
}
