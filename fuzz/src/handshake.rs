//! The upgrade request: any header list is either accepted with a key that can be answered, or
//! refused with a reason that is complete; and the order of different fields never matters.
//!
//! Input: lines; the first is the method, a `1` at its end means HTTP/1.1, the others are
//! `name: value`.

use bellwire_wire::websocket::handshake::{Handshake, Refusal, validate, verify_accept};

/// Asserts all of the above.
///
/// # Panics
/// Where the handshake breaks a promise.
pub fn check(data: &[u8]) {
    let mut lines = data.split(|&byte| byte == b'\n');
    let first = lines
        .next()
        .and_then(|line| str::from_utf8(line).ok())
        .unwrap_or_default();
    let (method, version_1_1) = first
        .strip_suffix('1')
        .map_or((first, false), |m| (m, true));
    let headers: Vec<(&str, &[u8])> = lines.filter_map(header).collect();

    let result = validate(method, version_1_1, headers.iter().copied());
    match &result {
        Ok(handshake) => assert_answerable(handshake, &headers),
        Err(refusal) => assert_complete(*refusal),
    }

    // A stable sort changes the order of different fields only.
    let mut sorted = headers;
    sorted.sort_by_key(|(name, _)| name.to_ascii_lowercase());
    let again = validate(method, version_1_1, sorted);
    assert_eq!(result.is_ok(), again.is_ok());
}

fn header(line: &[u8]) -> Option<(&str, &[u8])> {
    let colon = line.iter().position(|&byte| byte == b':')?;
    Some((
        str::from_utf8(&line[..colon]).ok()?,
        line[colon + 1..].trim_ascii(),
    ))
}

fn assert_answerable(handshake: &Handshake<'_>, headers: &[(&str, &[u8])]) {
    let (_, key) = headers
        .iter()
        .find(|(name, _)| name.eq_ignore_ascii_case("sec-websocket-key"))
        .expect("an accepted request has a key");
    assert!(verify_accept(key, &handshake.accept_key()));
    assert!(
        handshake
            .protocols()
            .iter()
            .all(|name| !name.is_empty() && name.is_ascii())
    );
    for offer in handshake.extensions() {
        assert!(!offer.name.is_empty());
        assert!(
            offer
                .parameters
                .iter()
                .all(|(name, value)| !name.is_empty() && *value != Some(""))
        );
    }
}

fn assert_complete(refusal: Refusal) {
    assert!(Refusal::ALL.contains(&refusal));
    assert!((400..=426).contains(&refusal.status()));
    assert!(refusal.code().starts_with("websocket_") && !refusal.detail().is_empty());
}
