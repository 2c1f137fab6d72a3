//! The mark in each payload: which channel, which number in it, and when it was due.
//!
//! It makes deliveries countable, verifiable and datable without parsing what is around it, on
//! whatever wire. Fixed width in hex, behind one character that stands nowhere else in a payload.

/// Begins a mark.
pub(crate) const MARK: u8 = b'|';
const CHANNEL_DIGITS: usize = 5;
const SEQUENCE_DIGITS: usize = 8;
const DUE_DIGITS: usize = 14;
/// Bytes of a mark behind its first.
pub(crate) const DIGITS: usize = CHANNEL_DIGITS + SEQUENCE_DIGITS + DUE_DIGITS;
/// The least bytes of a payload: a JSON string with nothing but a mark.
pub const MIN_PAYLOAD: usize = DIGITS + 3;
/// Channels that a mark can name.
pub(crate) const MAX_CHANNELS: usize = 1 << (4 * CHANNEL_DIGITS);

/// See the module.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Mark {
    pub(crate) channel: u32,
    pub(crate) sequence: u32,
    /// Nanoseconds of [`crate::clock::now`].
    pub(crate) due: u64,
}

impl Mark {
    /// Appends a JSON string of `length` bytes, quotes included, that holds the mark.
    pub(crate) fn write_payload(self, out: &mut Vec<u8>, length: usize) {
        let start = out.len();
        out.extend_from_slice(&[b'"', MARK]);
        write_hex(out, u64::from(self.channel), CHANNEL_DIGITS);
        write_hex(out, u64::from(self.sequence), SEQUENCE_DIGITS);
        write_hex(out, self.due, DUE_DIGITS);
        out.resize(start + length.max(MIN_PAYLOAD) - 1, b'x');
        out.push(b'"');
    }

    /// Reads what follows [`MARK`].
    pub(crate) fn read(digits: &[u8]) -> Option<Self> {
        let (channel, rest) = digits.split_at_checked(CHANNEL_DIGITS)?;
        let (sequence, due) = rest.split_at_checked(SEQUENCE_DIGITS)?;
        Some(Self {
            channel: u32::try_from(read_hex(channel)?).ok()?,
            sequence: u32::try_from(read_hex(sequence)?).ok()?,
            due: read_hex(due.get(..DUE_DIGITS)?)?,
        })
    }
}

fn write_hex(out: &mut Vec<u8>, value: u64, digits: usize) {
    out.extend((0..digits).rev().map(|digit| {
        let nibble = (value >> (4 * digit)) & 0xf;
        b"0123456789abcdef"[usize::try_from(nibble).unwrap_or_default()]
    }));
}

fn read_hex(digits: &[u8]) -> Option<u64> {
    digits.iter().try_fold(0, |value, &digit| {
        let nibble = match digit {
            b'0'..=b'9' => digit - b'0',
            b'a'..=b'f' => digit - b'a' + 10,
            _ => return None,
        };
        Some(value << 4 | u64::from(nibble))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_payload_is_a_json_string_of_the_length_asked_for_and_holds_the_mark() {
        let mark = Mark {
            channel: 0xfffff,
            sequence: 7,
            due: 123_456_789_012_345,
        };
        let mut payload = Vec::new();
        mark.write_payload(&mut payload, 128);
        assert_eq!(payload.len(), 128);
        let text: String = serde_json::from_slice(&payload).unwrap();
        assert_eq!(text.len(), 126);
        assert_eq!(payload[1], MARK);
        assert_eq!(Mark::read(&payload[2..2 + DIGITS]), Some(mark));
    }

    #[test]
    fn a_mark_that_was_cut_or_is_none_is_not_read() {
        assert_eq!(Mark::read(b"00000"), None);
        assert_eq!(Mark::read(&[b'x'; DIGITS]), None);
    }
}
