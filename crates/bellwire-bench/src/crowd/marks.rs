//! Finds marks in what a connection receives, however it was cut.

use super::ledger::Ledger;
use crate::mark::{DIGITS, MARK, Mark};

/// One connection's eye on the ledger.
pub(crate) struct Watch<'a> {
    pub(super) ledger: &'a mut Ledger,
    pub(super) connection: usize,
    pub(super) now: u64,
}

impl Watch<'_> {
    /// Notes the marks of a message that is whole.
    pub(crate) fn message(&mut self, bytes: &[u8]) {
        for at in memchr::memchr_iter(MARK, bytes) {
            self.digits(bytes.get(at + 1..at + 1 + DIGITS));
        }
    }

    /// Notes the marks of a piece of a stream; a mark that it cuts is kept in `carry`.
    pub(crate) fn piece(&mut self, carry: &mut Vec<u8>, mut bytes: &[u8]) {
        if !carry.is_empty() {
            let missing = 1 + DIGITS - carry.len();
            let (rest, later) = bytes.split_at(missing.min(bytes.len()));
            carry.extend_from_slice(rest);
            if carry.len() <= DIGITS {
                return;
            }
            self.digits(carry.get(1..));
            carry.clear();
            bytes = later;
        }
        for at in memchr::memchr_iter(MARK, bytes) {
            match bytes.get(at + 1..at + 1 + DIGITS) {
                None => carry.extend_from_slice(&bytes[at..]),
                digits => self.digits(digits),
            }
        }
    }

    fn digits(&mut self, digits: Option<&[u8]>) {
        if let Some(mark) = digits.and_then(Mark::read) {
            self.ledger.note(self.connection, mark, self.now);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{super::ledger::Channels, *};

    #[test]
    fn marks_are_found_wherever_the_stream_is_cut() {
        let mut stream = b": hello\n\n".to_vec();
        for sequence in 0..3 {
            let mark = Mark {
                channel: 0,
                sequence,
                due: 1,
            };
            stream.extend_from_slice(b"data: ");
            mark.write_payload(&mut stream, 40);
            stream.extend_from_slice(b"\n\n");
        }
        for size in 1..=stream.len() {
            let mut ledger = Ledger::new(Channels::Shared(1), 1);
            let mut carry = Vec::new();
            for piece in stream.chunks(size) {
                ledger.watch(0, 2).piece(&mut carry, piece);
            }
            assert_eq!((ledger.deliveries, ledger.lost), (3, 0), "pieces of {size}");
        }
    }
}
