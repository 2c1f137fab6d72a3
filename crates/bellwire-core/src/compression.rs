//! What one shard compresses with, for all of its WebSockets: no connection holds anything of it.
//! Called where publications are encoded; must not know connections.

use bellwire_wire::websocket::{Compressor, Opcode, WindowBits, encode_frame};

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
