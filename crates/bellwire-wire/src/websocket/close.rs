//! Close codes (RFC 6455 §7.4 and the IANA registry) and the payload of a close frame. Used by
//! the codec and by everyone who closes a WebSocket. Which code means "reconnect" is policy and
//! lives in `spec/codes`, not here.

use super::{Violation, utf8};

/// The purpose is fulfilled.
pub const NORMAL: u16 = 1000;
/// The peer broke RFC 6455.
pub const PROTOCOL_ERROR: u16 = 1002;
/// A kind of message that is not accepted here.
pub const UNSUPPORTED_DATA: u16 = 1003;
/// Text that is not UTF-8.
pub const INVALID_PAYLOAD: u16 = 1007;
/// A message beyond the limit.
pub const TOO_BIG: u16 = 1009;
/// A fault on our side.
pub const INTERNAL_ERROR: u16 = 1011;
/// The node drains: reconnect.
pub const DRAIN: u16 = 1012;
/// The node is overloaded: reconnect later.
pub const OVERLOADED: u16 = 1013;
/// No credential arrived in time.
pub const AUTH_TIMEOUT: u16 = 4001;
/// The credential is bad.
pub const TOKEN_INVALID: u16 = 4002;
/// The credential is out of date: reconnect with a new one.
pub const TOKEN_EXPIRED: u16 = 4003;
/// Closed through the administration API.
pub const CLOSED_BY_SERVER: u16 = 4004;
/// The consumer fell behind and the policy is to close: reconnect.
pub const SLOW_CONSUMER: u16 = 4005;
/// Loss on a raw stream; the reason holds the cursor: reconnect.
pub const RAW_LOSS: u16 = 4006;
/// A limit of this connection was exceeded.
pub const LIMIT: u16 = 4007;

/// Longest reason of a close frame, in bytes: 125 less the two of the code.
pub const MAX_REASON: usize = 123;

/// Whether a peer may put `code` into a close frame. 1004–1006 and 1015 never travel, 1016–2999
/// are unassigned, and 5000 upwards does not exist.
pub fn is_valid_received(code: u16) -> bool {
    matches!(code, 1000..=1003 | 1007..=1014 | 3000..=4999)
}

/// Judges the bytes of a close payload that have arrived so far, and fails as soon as one of
/// them is wrong. A payload of one byte is refused earlier, by its announced length.
pub(super) fn check_prefix(payload: &[u8]) -> Result<(), Violation> {
    let Some((code, reason)) = payload.split_first_chunk() else {
        return Ok(());
    };
    let code = u16::from_be_bytes(*code);
    if !is_valid_received(code) {
        return Err(Violation::CloseCode(code));
    }
    utf8::unfinished(reason).map(drop)
}

/// Parses a whole close payload.
pub(super) fn parse(payload: &[u8]) -> Result<Option<(u16, &str)>, Violation> {
    check_prefix(payload)?;
    let Some((code, reason)) = payload.split_first_chunk() else {
        return Ok(None);
    };
    Ok(Some((u16::from_be_bytes(*code), utf8::whole(reason)?)))
}

/// Cuts `reason` to what a close frame can hold, at a character boundary.
pub(super) fn fit(reason: &str) -> &str {
    let end = reason.floor_char_boundary(MAX_REASON);
    reason
        .get(..end)
        .expect("floor_char_boundary returns a boundary")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_codes_that_may_travel_are_valid() {
        for code in [
            1000, 1001, 1002, 1003, 1007, 1008, 1011, 1012, 1014, 3000, 3999, 4000, 4999,
        ] {
            assert!(is_valid_received(code), "{code}");
        }
        for code in [
            0, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999, 5000, 65535,
        ] {
            assert!(!is_valid_received(code), "{code}");
        }
    }

    #[test]
    fn a_long_reason_is_cut_between_characters() {
        let reason = "ü".repeat(100);
        assert_eq!(fit(&reason), "ü".repeat(61));
        assert_eq!(fit("short"), "short");
    }

    #[test]
    fn a_bad_reason_fails_at_its_first_bad_byte() {
        assert_eq!(check_prefix(b"\x03\xe8\xf0\x9f"), Ok(()));
        assert_eq!(
            check_prefix(b"\x03\xe8\xf0\x9fx"),
            Err(Violation::InvalidUtf8)
        );
        assert_eq!(check_prefix(b"\x03\xed"), Err(Violation::CloseCode(1005)));
        assert_eq!(parse(b"\x03\xe8\xf0\x9f"), Err(Violation::InvalidUtf8));
    }
}
