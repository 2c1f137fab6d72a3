//! permessage-deflate (RFC 7692): what is inside of compressed messages. Who owns a connection,
//! or many, owns compressors and decompressors; which side may remember what is settled in the
//! handshake. Knows nothing of connections, and no memory is taken for what is over a limit.

use std::{fmt, num::NonZeroU8};

use zlib_rs::{Deflate, DeflateConfig, DeflateFlush, Inflate, InflateFlush, Status};

use super::{
    Event, MessageKind, Opcode, Violation,
    encoder::{encode_frame, write_frame},
    frame, utf8,
};

/// What a sync flush ends with; it does not travel (RFC 7692 §7.2.1).
const TAIL: &[u8] = &[0x00, 0x00, 0xff, 0xff];
/// The tail, and an empty last block, whose end is met only behind a message that is whole.
const TAIL_AND_END: &[u8] = &[0x00, 0x00, 0xff, 0xff, 0x01, 0x00, 0x00, 0xff, 0xff];
/// The balance of time and size: a broadcast is compressed once, however many hear it.
const LEVEL: i32 = 6;
/// Room that a decompressor keeps; most messages need no more.
const USUAL_BYTES: usize = 16 << 10;

/// The size of a compressor's window as a power of two, 9 to 15. RFC 7692 also has 8, which no
/// compressor of the zlib family can keep to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct WindowBits(NonZeroU8);

impl WindowBits {
    /// 32 KiB, what holds without a word.
    pub const FULL: Self = Self(NonZeroU8::new(15).expect("15 is not zero"));

    /// The sizes in use. A server may choose a smaller one than it was asked for; with few of
    /// them, clients can't make it compress everything seven times over.
    pub const USED: [Self; 3] = [
        Self(NonZeroU8::new(9).expect("9 is not zero")),
        Self(NonZeroU8::new(12).expect("12 is not zero")),
        Self::FULL,
    ];

    /// The largest size in use that is not over `bits`.
    #[must_use]
    pub fn at_most(bits: u8) -> Option<Self> {
        Self::USED.into_iter().rfind(|used| used.get() <= bits)
    }

    /// The number.
    #[must_use]
    pub fn get(self) -> u8 {
        self.0.get()
    }
}

/// Compresses messages, one at a time. About 380 KB, whatever the window.
pub struct Compressor {
    deflate: Deflate,
    keeps_context: bool,
}

impl Compressor {
    /// A compressor for messages of which each stands alone, or, where it `keeps_context`, for
    /// those of one connection, which refer to earlier ones.
    #[must_use]
    pub fn new(window: WindowBits, keeps_context: bool) -> Self {
        Self {
            deflate: Deflate::new_with_config(DeflateConfig {
                level: LEVEL,
                window_bits: -i32::from(window.get()),
                ..DeflateConfig::default()
            }),
            keeps_context,
        }
    }

    /// Appends an unmasked, unfragmented frame, compressed where that makes it shorter. Returns
    /// whether it did.
    pub fn write_frame(&mut self, out: &mut Vec<u8>, opcode: Opcode, payload: &[u8]) -> bool {
        let start = out.len();
        let mut shorter = false;
        write_frame(out, opcode, |out| shorter = self.compress(payload, out));
        if shorter {
            frame::mark_compressed(&mut out[start..]);
        } else {
            out.truncate(start);
            encode_frame(out, opcode, payload);
        }
        shorter
    }

    /// Appends a message's compressed form, or nothing where that is not shorter. Returns whether
    /// it is.
    pub fn compress(&mut self, payload: &[u8], out: &mut Vec<u8>) -> bool {
        let start = out.len();
        out.resize(start + payload.len() + TAIL.len(), 0);
        let (read, written) = (self.deflate.total_in(), self.deflate.total_out());
        let flush = DeflateFlush::SyncFlush;
        let status = self.deflate.compress(payload, &mut out[start..], flush);
        let read = self.deflate.total_in() - read;
        let written = usize::try_from(self.deflate.total_out() - written).unwrap_or(usize::MAX);
        // Where room is left, all is flushed.
        let whole = read == payload.len() as u64 && written < out.len() - start;
        let shorter = status == Ok(Status::Ok) && whole && written > TAIL.len();
        if shorter {
            out.truncate(start + written - TAIL.len());
        } else {
            out.truncate(start);
        }
        // What was compressed but not sent must not be referred to.
        if !self.keeps_context || !shorter {
            self.deflate.reset();
        }
        shorter
    }
}

impl fmt::Debug for Compressor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Compressor").finish_non_exhaustive()
    }
}

/// Decompresses messages, one at a time. About 64 KB.
pub struct Decompressor {
    inflate: Inflate,
    keeps_context: bool,
    /// At least [`USUAL_BYTES`]; what the last event borrowed.
    buffer: Vec<u8>,
}

/// What is still to be read of a message.
struct Source<'a> {
    payload: &'a [u8],
    end: &'a [u8],
}

impl Decompressor {
    /// A decompressor for messages of which each stands alone, or, where it `keeps_context`, for
    /// those of one connection, which refer to earlier ones. It takes every window.
    #[must_use]
    pub fn new(keeps_context: bool) -> Self {
        Self {
            inflate: Inflate::new(false, WindowBits::FULL.get()),
            keeps_context,
            buffer: vec![0; USUAL_BYTES],
        }
    }

    /// The message that `payload` is the compressed form of, as an [`Event::Text`] or
    /// [`Event::Binary`] of at most `limit` bytes.
    ///
    /// # Errors
    /// [`Violation::MessageTooLong`], for which no more memory is taken than for a message of the
    /// usual size (with context: than `limit`); [`Violation::InvalidDeflate`];
    /// [`Violation::InvalidUtf8`].
    pub fn message(
        &mut self,
        kind: MessageKind,
        payload: &[u8],
        limit: usize,
    ) -> Result<Event<'_>, Violation> {
        let length = self.fill(payload, limit);
        if length.is_err() || !self.keeps_context {
            self.inflate.reset(false);
        }
        let message = &self.buffer[..length?];
        Ok(match kind {
            MessageKind::Text => Event::Text(utf8::whole(message)?),
            MessageKind::Binary => Event::Binary(message),
        })
    }

    /// Gives back what a long message took. To be called once its event is dealt with.
    pub fn release(&mut self) {
        self.buffer.truncate(USUAL_BYTES);
        self.buffer.shrink_to(USUAL_BYTES);
    }

    /// Decompresses into the buffer; returns how much.
    fn fill(&mut self, payload: &[u8], limit: usize) -> Result<usize, Violation> {
        if payload.is_empty() {
            // An empty message is one byte; some leave that away, too.
            return Ok(0);
        }
        let mut source = self.source(payload);
        let mut filled = 0;
        while !self.step(&mut source, &mut filled)? {
            if filled > limit {
                break;
            }
            if filled < self.buffer.len() {
                continue;
            }
            if self.keeps_context {
                let longer = (2 * filled).min(limit.saturating_add(1));
                self.buffer.resize(longer, 0);
            } else {
                // How long it is must be known before there is room for it: a few bytes may
                // stand for a thousand times as many.
                let length = self.measure(&mut source, filled, limit)?;
                self.inflate.reset(false);
                self.buffer.resize(length + 1, 0);
                source = self.source(payload);
                filled = 0;
            }
        }
        if filled > limit {
            return Err(Violation::MessageTooLong(limit));
        }
        Ok(filled)
    }

    /// Goes on to the end of a message without keeping it; returns its length.
    fn measure(
        &mut self,
        source: &mut Source<'_>,
        before: usize,
        limit: usize,
    ) -> Result<usize, Violation> {
        let mut length = before;
        loop {
            let mut filled = 0;
            let ended = self.step(source, &mut filled)?;
            length += filled;
            if length > limit {
                return Err(Violation::MessageTooLong(limit));
            }
            if ended {
                return Ok(length);
            }
        }
    }

    fn source<'a>(&self, payload: &'a [u8]) -> Source<'a> {
        let end = if self.keeps_context {
            TAIL
        } else {
            TAIL_AND_END
        };
        Source { payload, end }
    }

    /// Decompresses into the buffer behind `filled`; returns whether that was the end.
    fn step(&mut self, source: &mut Source<'_>, filled: &mut usize) -> Result<bool, Violation> {
        let in_payload = !source.payload.is_empty();
        let input = if in_payload {
            &mut source.payload
        } else {
            &mut source.end
        };
        let room = &mut self.buffer[*filled..];
        let (read, written) = (self.inflate.total_in(), self.inflate.total_out());
        let status = self.inflate.decompress(input, room, InflateFlush::NoFlush);
        let status = status.map_err(|_| Violation::InvalidDeflate)?;
        let count = |after: u64, before: u64| usize::try_from(after - before).expect("of a slice");
        let read = count(self.inflate.total_in(), read);
        let written = count(self.inflate.total_out(), written);
        *input = &input[read..];
        *filled += written;
        let has_room = written < room.len();
        let at_end = source.payload.is_empty() && source.end.is_empty();
        match status {
            // A message may hold a last block, and more behind it (RFC 7692 §7.2.3.4).
            Status::StreamEnd => {
                self.inflate.reset(false);
                Ok(in_payload && source.payload.is_empty() || at_end)
            }
            Status::Ok | Status::BufError if at_end && has_room => {
                // The end of a message that stands alone is the end of its stream.
                if self.keeps_context {
                    Ok(true)
                } else {
                    Err(Violation::InvalidDeflate)
                }
            }
            Status::BufError if read == 0 && written == 0 && has_room => {
                Err(Violation::InvalidDeflate)
            }
            Status::Ok | Status::BufError => Ok(false),
        }
    }
}

impl fmt::Debug for Decompressor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Decompressor").finish_non_exhaustive()
    }
}
