//! Compressed messages of a peer: whatever the bytes, the result is within the limit or an error,
//! what was received before changes nothing, and what is accepted is what our own compressor
//! makes of it again.
//!
//! Input: one byte for the limit (`2^(n % 20)` bytes), then the compressed message.

use bellwire_wire::websocket::{
    Compressor, Decompressor, Event, MessageKind, Violation, WindowBits,
};

/// Asserts all of the above.
///
/// # Panics
/// Where the decompressor breaks a promise.
pub fn check(data: &[u8]) {
    let Some((&config, payload)) = data.split_first() else {
        return;
    };
    let limit = 1 << (config % 20);
    let mut alone = Decompressor::new(false);
    let first = binary(&mut alone, payload, limit);
    assert_eq!(first, binary(&mut alone, payload, limit), "a second time");

    let as_text = match alone.message(MessageKind::Text, payload, limit) {
        Ok(Event::Text(text)) => Ok(text.as_bytes().to_vec()),
        Ok(other) => panic!("{other:?}"),
        Err(violation) => Err(violation),
    };
    match (&first, as_text) {
        (Ok(bytes), Err(Violation::InvalidUtf8)) => assert!(str::from_utf8(bytes).is_err()),
        (first, as_text) => assert_eq!(*first, as_text),
    }

    let mut following = Decompressor::new(true);
    for _ in 0..2 {
        if let Ok(bytes) = binary(&mut following, payload, limit) {
            assert!(bytes.len() <= limit);
        }
    }
    if let Ok(bytes) = first {
        assert!(bytes.len() <= limit);
        for window in WindowBits::USED {
            let mut compressed = Vec::new();
            if Compressor::new(window, false).compress(&bytes, &mut compressed) {
                assert!(compressed.len() < bytes.len());
                assert_eq!(binary(&mut alone, &compressed, limit), Ok(bytes.clone()));
            }
        }
    }
}

fn binary(
    decompressor: &mut Decompressor,
    payload: &[u8],
    limit: usize,
) -> Result<Vec<u8>, Violation> {
    let event = decompressor.message(MessageKind::Binary, payload, limit)?;
    let Event::Binary(bytes) = event else {
        panic!("{event:?}");
    };
    let bytes = bytes.to_vec();
    decompressor.release();
    Ok(bytes)
}
