//! UTF-8 of messages: whole ones at SIMD speed, growing ones so that the first bad byte is found
//! when it arrives (RFC 6455 §8.1; Autobahn 6.4 asks for exactly that). Called by the decoder.

use super::Violation;

/// Checks a complete text.
pub(super) fn whole(bytes: &[u8]) -> Result<&str, Violation> {
    simdutf8::basic::from_utf8(bytes).map_err(|_| Violation::InvalidUtf8)
}

/// Checks text whose end has not arrived yet. Returns how many bytes at its end (0 to 3) belong
/// to a character that is still incomplete; only those need to be looked at again later.
pub(super) fn unfinished(bytes: &[u8]) -> Result<u8, Violation> {
    match simdutf8::compat::from_utf8(bytes) {
        Ok(_) => Ok(0),
        Err(error) if error.error_len().is_some() => Err(Violation::InvalidUtf8),
        Err(error) => Ok(u8::try_from(bytes.len() - error.valid_up_to())
            .expect("an incomplete character has at most 3 bytes")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_incomplete_character_is_counted() {
        assert_eq!(unfinished(b"abc"), Ok(0));
        assert_eq!(unfinished(b"abc\xf0\x9f\x98"), Ok(3));
        assert_eq!(unfinished("κόσμε".as_bytes()), Ok(0));
        assert_eq!(unfinished(&"€".repeat(50).as_bytes()[..149]), Ok(2));
    }

    #[test]
    fn a_prefix_that_no_character_has_is_refused_at_once() {
        for bad in [
            &b"\xf4\x90"[..],
            b"\xed\xa0",
            b"\xe0\x80",
            b"\xc0",
            b"\xf5",
            b"\x80",
            b"\xe2\x82x",
        ] {
            assert_eq!(unfinished(bad), Err(Violation::InvalidUtf8), "{bad:x?}");
            let long = [&b"a".repeat(100), bad].concat();
            assert_eq!(unfinished(&long), Err(Violation::InvalidUtf8), "{bad:x?}");
        }
    }
}
