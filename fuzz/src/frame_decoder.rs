//! The WebSocket decoder must say the same of a stream however it is cut, hold no more than its
//! limit, hold nothing when idle, and read back what the encoder makes of its events.
//!
//! Input: one byte for role (bit 0), negotiated compression (bit 1) and message limit (upper half:
//! `2^(n+1)` bytes), one for the size of the pieces, then the stream.

use bellwire_wire::websocket::{
    Decoder, Event, Limits, MAX_CONTROL_PAYLOAD, MessageKind, Opcode, Role, encode_frame,
    encode_masked_frame,
};

/// Asserts all of the above.
///
/// # Panics
/// Where the decoder breaks a promise.
pub fn check(data: &[u8]) {
    let Some((&[config, piece], stream)) = data.split_first_chunk() else {
        return;
    };
    let role = if config & 1 == 0 {
        Role::Server
    } else {
        Role::Client
    };
    let limits = Limits {
        max_message: 2 << (config >> 4),
    };
    let compression = config & 2 != 0;
    let whole = transcript(role, limits, compression, [stream]);
    assert_eq!(
        whole,
        transcript(role, limits, compression, stream.chunks(1)),
        "byte by byte"
    );
    let pieces = stream.chunks(usize::from(piece) + 1);
    assert_eq!(
        whole,
        transcript(role, limits, compression, pieces),
        "in pieces of {}",
        usize::from(piece) + 1
    );
}

/// Decodes a stream that comes in `pieces` and writes down each event and, at the end, the
/// violation.
///
/// # Panics
/// Where the decoder breaks a promise.
pub fn transcript<'a>(
    role: Role,
    limits: Limits,
    compression: bool,
    pieces: impl IntoIterator<Item = &'a [u8]>,
) -> Vec<String> {
    let mut lines = Vec::new();
    let new = || Decoder::new(role, limits).with_compression(compression);
    let mut decoder = new();
    for piece in pieces {
        let mut scratch = piece.to_vec();
        let mut input = scratch.as_mut_slice();
        loop {
            match decoder.decode(&mut input) {
                Ok(Some(event)) => {
                    assert_reads_back(role, limits, event);
                    lines.push(format!("{event:?}"));
                }
                Ok(None) => break,
                Err(violation) => {
                    lines.push(format!("{violation:?}"));
                    assert_eq!(decoder.decode(&mut [0x8a, 0].as_mut_slice()), Ok(None));
                    assert!(!decoder.is_idle(), "nothing follows a violation");
                    return lines;
                }
            }
        }
        assert!(input.is_empty(), "None means that all input was taken");
        // A vector doubles and starts with eight bytes; what does not compress gets longer.
        let most = limits
            .max_message
            .saturating_add(limits.max_message / 16 + 64)
            .saturating_add(MAX_CONTROL_PAYLOAD)
            .saturating_mul(2)
            .max(8);
        assert!(
            decoder.allocated_bytes() <= most,
            "memory is bounded by the limit"
        );
        if decoder.is_idle() {
            assert_eq!(
                decoder.allocated_bytes(),
                0,
                "an idle decoder holds nothing"
            );
            decoder = new();
        }
    }
    lines
}

fn assert_reads_back(role: Role, limits: Limits, event: Event<'_>) {
    let (opcode, payload) = match event {
        Event::Text(text) => (Opcode::Text, text.as_bytes()),
        Event::Binary(bytes) => (Opcode::Binary, bytes),
        Event::Compressed(MessageKind::Text, bytes) => (Opcode::Text, bytes),
        Event::Compressed(MessageKind::Binary, bytes) => (Opcode::Binary, bytes),
        Event::Ping(bytes) => (Opcode::Ping, bytes),
        Event::Pong(bytes) => (Opcode::Pong, bytes),
        Event::Close(_) => return,
    };
    let mut wire = Vec::new();
    match role {
        Role::Server => encode_masked_frame(&mut wire, opcode, payload, [9, 0, 200, 77]),
        Role::Client => encode_frame(&mut wire, opcode, payload),
    }
    if matches!(event, Event::Compressed(..)) {
        wire[0] |= 0x40;
    }
    let mut decoder = Decoder::new(role, limits).with_compression(true);
    assert_eq!(decoder.decode(&mut wire.as_mut_slice()), Ok(Some(event)));
}
