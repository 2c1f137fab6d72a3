//! What one shard compresses and decompresses with, for all of its WebSockets: an idle connection
//! holds nothing of it. Called where publications are encoded and where messages are received;
//! must not know connections.

use bellwire_wire::websocket::{
    Compressor, Decompressor, Event, MessageKind, Opcode, Violation, WindowBits, encode_frame,
};

/// Shorter payloads go out as they are: the saving would be smaller than a packet's head.
const MIN_BYTES: usize = 128;
/// Room for payloads that is kept between two of them.
const SCRATCH_BYTES: usize = 64 << 10;

/// A compressor for each window in use, made when it is first needed.
#[derive(Debug, Default)]
pub struct Compressors {
    by_window: [Option<Box<Compressor>>; WindowBits::USED.len()],
    scratch: Vec<u8>,
    count: u64,
}

impl Compressors {
    /// Appends a frame that stands alone, compressed if that is worth it.
    pub fn write_frame(
        &mut self,
        window: WindowBits,
        out: &mut Vec<u8>,
        opcode: Opcode,
        payload: &[u8],
    ) {
        if payload.len() < MIN_BYTES {
            return encode_frame(out, opcode, payload);
        }
        self.count += 1;
        let nth = WindowBits::USED.iter().position(|used| *used == window);
        let nth = nth.expect("a window in use");
        let compressor =
            self.by_window[nth].get_or_insert_with(|| Box::new(Compressor::new(window, false)));
        compressor.write_frame(out, opcode, payload);
    }

    /// The same with a payload that `write` appends to a buffer.
    pub fn write_frame_with(
        &mut self,
        window: WindowBits,
        out: &mut Vec<u8>,
        opcode: Opcode,
        write: impl FnOnce(&mut Vec<u8>),
    ) {
        let mut scratch = std::mem::take(&mut self.scratch);
        write(&mut scratch);
        self.write_frame(window, out, opcode, &scratch);
        scratch.clear();
        scratch.shrink_to(SCRATCH_BYTES);
        self.scratch = scratch;
    }

    /// How many payloads were compressed.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.count
    }
}

/// The decompressor, made when it is first needed.
#[derive(Debug, Default)]
pub struct Inflater {
    decompressor: Option<Box<Decompressor>>,
}

impl Inflater {
    /// The message of at most `limit` bytes that `payload` stands for.
    ///
    /// # Errors
    /// See [`Decompressor::message`].
    pub fn message(
        &mut self,
        kind: MessageKind,
        payload: &[u8],
        limit: usize,
    ) -> Result<Event<'_>, Violation> {
        let decompressor = self
            .decompressor
            .get_or_insert_with(|| Box::new(Decompressor::new(false)));
        decompressor.message(kind, payload, limit)
    }

    /// Gives back what a long message took.
    pub fn release(&mut self) {
        if let Some(decompressor) = &mut self.decompressor {
            decompressor.release();
        }
    }
}
