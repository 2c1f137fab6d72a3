//! Connections that remember earlier messages when they compress or decompress, as far as there
//! is memory for that. Such a connection reads the plain format, and its messages are compressed
//! on their way into its own output; everything else is as for any other.

use bellwire_wire::websocket::{
    Compressor, Decompressor, Opcode, WindowBits, encode_frame, split_frame,
};

use super::{
    Shard, Sockets,
    channels::Source,
    connection::{Connection, Ix},
    room::Share,
    walk::Gathered,
};

/// What a compressor takes, whatever its window.
const COMPRESSOR_BYTES: usize = 384 << 10;
/// What a decompressor takes.
const DECOMPRESSOR_BYTES: usize = 64 << 10;
/// Shorter payloads go out as they are. Names and ids are what earlier messages had, too, so this
/// is less than where each message stands alone.
const MIN_BYTES: usize = 32;

/// What one connection remembers, and its share of the memory for that.
#[derive(Debug)]
pub struct Contexts {
    compressor: Option<Compressor>,
    pub(super) decompressor: Option<Box<Decompressor>>,
    _share: Share,
}

impl Contexts {
    /// Whether what is sent refers to what was sent before.
    #[must_use]
    pub fn compresses(&self) -> bool {
        self.compressor.is_some()
    }

    /// Appends a frame; returns how often it was tried to compress it.
    fn write_frame(&mut self, out: &mut Vec<u8>, opcode: Opcode, payload: &[u8]) -> u64 {
        match &mut self.compressor {
            Some(compressor) if payload.len() >= MIN_BYTES => {
                compressor.write_frame(out, opcode, payload);
                1
            }
            _ => {
                encode_frame(out, opcode, payload);
                0
            }
        }
    }
}

impl<S: Sockets> Shard<S> {
    /// What a connection needs to remember what it sends, in this window, and what it receives;
    /// nothing where there is no memory left for that.
    #[must_use]
    pub fn contexts(&self, sends: Option<WindowBits>, receives: bool) -> Option<Contexts> {
        let bytes =
            sends.map_or(0, |_| COMPRESSOR_BYTES) + if receives { DECOMPRESSOR_BYTES } else { 0 };
        let room = &self.rooms.contexts;
        (bytes <= room.left()).then(|| Contexts {
            compressor: sends.map(|window| Compressor::new(window, true)),
            decompressor: receives.then(|| Box::new(Decompressor::new(true))),
            _share: room.hold(bytes),
        })
    }

    /// Compresses what was gathered into the connection's output, of which it then is a part: what
    /// was compressed has to be sent, or the next message refers to what never came.
    pub(super) fn pin_compressed(&mut self, ix: Ix, gathered: &mut Gathered) {
        let connection = &mut self.connections[ix as usize];
        let Some(mut contexts) = connection.take_contexts() else {
            return;
        };
        for piece in gathered.take_pieces() {
            let chunk = piece.chunk.borrow();
            let mut frames = &chunk.bytes()[piece.run.start..piece.run.end];
            let out = connection.output().own();
            while let Some((opcode, payload, rest)) = split_frame(frames) {
                self.stats.compressions += contexts.write_frame(out, opcode, payload);
                frames = rest;
            }
            debug_assert!(frames.is_empty(), "a run is whole frames");
            connection.subscriptions[piece.nth].move_to(piece.run.last);
            let count = piece.run.count as u64;
            self.stats.deliveries[connection.name.transport as usize] += count;
            if piece.source == Source::Page {
                self.stats.replayed += count;
            }
        }
        connection.put_contexts(contexts);
    }
}

/// Returns a message as it came; returns how often it was tried to compress it.
pub(super) fn echo(connection: &mut Connection, opcode: Opcode, payload: &[u8]) -> u64 {
    let Some(mut contexts) = connection.take_contexts() else {
        return 0;
    };
    let compressions = contexts.write_frame(connection.output().own(), opcode, payload);
    connection.put_contexts(contexts);
    compressions
}
