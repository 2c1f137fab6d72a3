//! HTTP/1.1 chunked coding (RFC 9112 §7.1), for streams whose socket was taken over from the
//! HTTP library: one event is one chunk, so its bytes are the same for every reader.

/// The chunk that ends a body, with no trailers.
pub const LAST_CHUNK: &[u8] = b"0\r\n\r\n";

/// Digits of the chunk size that are reserved before the content is known. Three cover the
/// usual event, up to 4,095 bytes; leading zeros are legal.
const SIZE_DIGITS: usize = 3;

const HEX: &[u8; 16] = b"0123456789abcdef";

/// Appends one chunk with what `write` appends: `<hex length>\r\n<bytes>\r\n`.
///
/// The content is written in place after a size of fixed width that is filled in afterwards; a
/// content beyond 4,095 bytes is moved once to make room for more digits. If `write` appends
/// nothing, neither does this: an empty chunk would end the body.
pub fn write_chunk(out: &mut Vec<u8>, write: impl FnOnce(&mut Vec<u8>)) {
    let start = out.len();
    out.extend_from_slice(b"000\r\n");
    let content = out.len();
    write(out);
    debug_assert!(out.len() >= content, "a chunk's writer only appends");
    let length = out.len() - content;
    if length == 0 {
        out.truncate(start);
        return;
    }
    let digits = length.ilog(16) as usize + 1;
    if digits > SIZE_DIGITS {
        out.splice(
            start..start,
            std::iter::repeat_n(b'0', digits - SIZE_DIGITS),
        );
    }
    let mut rest = length;
    for digit in out[start..start + digits.max(SIZE_DIGITS)].iter_mut().rev() {
        *digit = HEX[rest % 16];
        rest /= 16;
    }
    out.extend_from_slice(b"\r\n");
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(length: usize, head: &[u8]) {
        let mut out = b"before".to_vec();
        write_chunk(&mut out, |out| out.resize(out.len() + length, b'x'));
        assert_eq!(
            out,
            [b"before", head, &vec![b'x'; length], b"\r\n"].concat(),
            "{length}"
        );
    }

    #[test]
    fn the_size_is_right_around_every_digit() {
        check(1, b"001\r\n");
        check(15, b"00f\r\n");
        check(16, b"010\r\n");
        check(4095, b"fff\r\n");
        check(4096, b"1000\r\n");
        check(65_536, b"10000\r\n");
        check(1_048_577, b"100001\r\n");
    }

    #[test]
    fn an_empty_chunk_is_not_written_because_it_would_end_the_body() {
        let mut out = b"before".to_vec();
        write_chunk(&mut out, |_| {});
        assert_eq!(out, b"before");
    }
}
