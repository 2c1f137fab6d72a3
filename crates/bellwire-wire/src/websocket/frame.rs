//! The frame header (RFC 6455 §5.2): its opcodes, its three lengths, its parser. Knows one frame
//! and nothing of the frames around it; the decoder holds those rules.

use super::Violation;

/// Longest frame header in bytes: two, a 64-bit length, a masking key.
pub const MAX_HEADER_LEN: usize = 14;

/// Longest payload of a ping, pong or close frame, in bytes.
pub const MAX_CONTROL_PAYLOAD: usize = 125;

const FIN: u8 = 0x80;
const RESERVED: u8 = 0x70;
/// The reserved bit that says, where it was negotiated, that a message is compressed
/// (RFC 7692 §6).
const COMPRESSED: u8 = 0x40;
const MASKED: u8 = 0x80;
const LENGTH_16: u8 = 126;
const LENGTH_64: u8 = 127;

/// What a frame carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Opcode {
    /// A further fragment of the message.
    Continuation = 0x0,
    /// A text message or its first fragment.
    Text = 0x1,
    /// A binary message or its first fragment.
    Binary = 0x2,
    /// The end of the connection.
    Close = 0x8,
    /// A request for a pong.
    Ping = 0x9,
    /// The answer to a ping.
    Pong = 0xa,
}

impl Opcode {
    fn from_bits(bits: u8) -> Result<Self, Violation> {
        Ok(match bits {
            0x0 => Self::Continuation,
            0x1 => Self::Text,
            0x2 => Self::Binary,
            0x8 => Self::Close,
            0x9 => Self::Ping,
            0xa => Self::Pong,
            other => return Err(Violation::UnknownOpcode(other)),
        })
    }

    /// Whether this is a ping, pong or close, which may stand between fragments.
    pub fn is_control(self) -> bool {
        matches!(self, Self::Close | Self::Ping | Self::Pong)
    }
}

/// A parsed frame header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Header {
    pub(super) opcode: Opcode,
    pub(super) fin: bool,
    pub(super) compressed: bool,
    pub(super) payload_len: u64,
    pub(super) mask: Option<[u8; 4]>,
}

impl Header {
    /// Parses the header at the start of `bytes` and returns it with its length; `None` if more
    /// bytes are needed. Checks go in the order of the bytes, so that a bad header is refused for
    /// the same reason whether it comes at once or byte by byte. `may_compress` says that the
    /// first frame of a message may be marked as compressed.
    #[inline]
    pub(super) fn parse(
        bytes: &[u8],
        may_compress: bool,
    ) -> Result<Option<(Self, usize)>, Violation> {
        let Some((&first, rest)) = bytes.split_first() else {
            return Ok(None);
        };
        if first & RESERVED != 0 && !(may_compress && may_be_compressed(first)) {
            return Err(Violation::ReservedBits);
        }
        let opcode = Opcode::from_bits(first & 0x0f)?;
        let fin = first & FIN != 0;
        if opcode.is_control() && !fin {
            return Err(Violation::ControlFragmented);
        }

        let Some((&second, rest)) = rest.split_first() else {
            return Ok(None);
        };
        let short = second & !MASKED;
        if opcode.is_control() && short >= LENGTH_16 {
            return Err(Violation::ControlTooLong);
        }
        let Some((payload_len, rest)) = parse_length(short, rest)? else {
            return Ok(None);
        };

        let (mask, rest) = if second & MASKED == 0 {
            (None, rest)
        } else {
            let Some((key, rest)) = rest.split_first_chunk() else {
                return Ok(None);
            };
            (Some(*key), rest)
        };
        Ok(Some((
            Self {
                opcode,
                fin,
                compressed: first & COMPRESSED != 0,
                payload_len,
                mask,
            },
            bytes.len() - rest.len(),
        )))
    }
}

/// Whether the first byte, in which a reserved bit is set, is one of a compressed message.
#[cold]
fn may_be_compressed(first: u8) -> bool {
    const TEXT: u8 = COMPRESSED | Opcode::Text as u8;
    const BINARY: u8 = COMPRESSED | Opcode::Binary as u8;
    matches!(first & !FIN, TEXT | BINARY)
}

/// Reads the length announced by `short` and, where it says so, by the bytes after it.
fn parse_length(short: u8, rest: &[u8]) -> Result<Option<(u64, &[u8])>, Violation> {
    let (length, rest, least) = match short {
        LENGTH_16 => match rest.split_first_chunk() {
            Some((length, rest)) => (u64::from(u16::from_be_bytes(*length)), rest, 126),
            None => return Ok(None),
        },
        LENGTH_64 => {
            if rest.first().is_some_and(|byte| byte & 0x80 != 0) {
                return Err(Violation::LengthOverflow);
            }
            match rest.split_first_chunk() {
                Some((length, rest)) => (u64::from_be_bytes(*length), rest, 1 << 16),
                None => return Ok(None),
            }
        }
        length => (u64::from(length), rest, 0),
    };
    if length < least {
        return Err(Violation::LengthNotMinimal);
    }
    Ok(Some((length, rest)))
}

/// Length in bytes of the header of an unmasked frame with this payload; a masked one has four
/// more.
pub fn header_len(payload_len: usize) -> usize {
    match payload_len {
        0..=125 => 2,
        126..=0xffff => 4,
        _ => 10,
    }
}

/// Appends a header. `payload_len` is in bytes.
pub(super) fn write_header(
    out: &mut Vec<u8>,
    opcode: Opcode,
    fin: bool,
    payload_len: usize,
    mask: Option<[u8; 4]>,
) {
    let start = out.len();
    out.resize(start + header_len(payload_len), 0);
    put_header(&mut out[start..], opcode, fin, payload_len);
    if let Some(key) = mask {
        out[start + 1] |= MASKED;
        out.extend_from_slice(&key);
    }
}

/// Marks the frame that begins at the front of `frame` as compressed.
pub(super) fn mark_compressed(frame: &mut [u8]) {
    frame[0] |= COMPRESSED;
}

/// Fills the first [`header_len`] bytes of `out` with a header without a mask.
#[inline]
pub(super) fn put_header(out: &mut [u8], opcode: Opcode, fin: bool, payload_len: usize) {
    out[0] = opcode as u8 | if fin { FIN } else { 0 };
    if let Ok(short @ 0..LENGTH_16) = u8::try_from(payload_len) {
        out[1] = short;
    } else if let Ok(length) = u16::try_from(payload_len) {
        out[1] = LENGTH_16;
        out[2..4].copy_from_slice(&length.to_be_bytes());
    } else {
        out[1] = LENGTH_64;
        out[2..10].copy_from_slice(&(payload_len as u64).to_be_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_parse_back_and_every_prefix_asks_for_more() {
        for payload_len in [0, 1, 125, 126, 127, 65_535, 65_536, 1 << 40] {
            for mask in [None, Some([1, 2, 3, 4])] {
                let mut bytes = Vec::new();
                write_header(&mut bytes, Opcode::Binary, false, payload_len, mask);
                let expected = Header {
                    opcode: Opcode::Binary,
                    fin: false,
                    compressed: false,
                    payload_len: payload_len as u64,
                    mask,
                };
                assert_eq!(
                    bytes.len(),
                    header_len(payload_len) + mask.map_or(0, |key| key.len())
                );
                assert_eq!(
                    Header::parse(&bytes, false),
                    Ok(Some((expected, bytes.len())))
                );
                for end in 0..bytes.len() {
                    assert_eq!(Header::parse(&bytes[..end], false), Ok(None));
                }
            }
        }
    }

    #[test]
    fn bad_headers_are_refused_at_the_byte_that_shows_it() {
        let check = |bytes: &[u8], expected| assert_eq!(Header::parse(bytes, false), Err(expected));
        check(&[0xc1], Violation::ReservedBits);
        check(&[0x91], Violation::ReservedBits);
        check(&[0x83], Violation::UnknownOpcode(3));
        check(&[0x8b], Violation::UnknownOpcode(11));
        check(&[0x09], Violation::ControlFragmented);
        check(&[0x89, 0xfe], Violation::ControlTooLong);
        check(&[0x88, 0x7f], Violation::ControlTooLong);
        check(&[0x82, 0x7f, 0x80], Violation::LengthOverflow);
        check(&[0x82, 0x7e, 0, 125], Violation::LengthNotMinimal);
        check(
            &[0x82, 0x7f, 0, 0, 0, 0, 0, 0, 0xff, 0xff],
            Violation::LengthNotMinimal,
        );
    }

    #[test]
    fn only_the_first_frame_of_a_message_may_be_marked_as_compressed() {
        let parse = |first: u8| {
            let parsed = Header::parse(&[first, 0], true);
            parsed.map(|header| header.is_some_and(|(header, _)| header.compressed))
        };
        assert_eq!(
            [parse(0xc1), parse(0x42), parse(0x81)],
            [Ok(true), Ok(true), Ok(false)]
        );
        for refused in [0xc0, 0x40, 0xc8, 0xc9, 0xca, 0xa1, 0x91, 0xe1, 0xd1] {
            assert_eq!(parse(refused), Err(Violation::ReservedBits), "{refused:#x}");
        }
    }
}
