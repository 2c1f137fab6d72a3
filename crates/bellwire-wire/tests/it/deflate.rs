//! permessage-deflate: what is compressed here is read by another implementation and the other
//! way round; a limit is kept while a message is decompressed.

use bellwire_wire::websocket::{
    Compressor, Decoder, Decompressor, Event, Limits, MessageKind, Opcode, Role, Violation,
    WindowBits,
};
use flate2::{Compress, Compression, Decompress, FlushCompress, FlushDecompress};
use proptest::prelude::*;

use crate::frame_check::transcript;

const LIMIT: usize = 1 << 20;
const TAIL: [u8; 4] = [0, 0, 0xff, 0xff];

/// Messages as they come: some that compress, some that do not.
fn messages() -> impl Strategy<Value = Vec<Vec<u8>>> {
    let noise = prop::collection::vec(any::<u8>(), 0..2_000);
    let words = prop::collection::vec("[a-d]{1,6}", 0..20_000)
        .prop_map(|words| words.join(" ").into_bytes());
    prop::collection::vec(prop_oneof![noise, words], 1..4)
}

fn window() -> impl Strategy<Value = WindowBits> {
    prop::sample::select(WindowBits::USED.to_vec())
}

fn binary(
    decompressor: &mut Decompressor,
    payload: &[u8],
    limit: usize,
) -> Result<Vec<u8>, Violation> {
    let event = decompressor.message(MessageKind::Binary, payload, limit)?;
    let Event::Binary(bytes) = event else {
        panic!("{event:?}")
    };
    Ok(bytes.to_vec())
}

/// The other implementation's compressed form of a message.
fn foreign(compress: &mut Compress, message: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(2 * message.len() + 1_024);
    compress
        .compress_vec(message, &mut out, FlushCompress::Sync)
        .unwrap();
    assert!(out.ends_with(&TAIL));
    out.truncate(out.len() - TAIL.len());
    out
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn another_implementation_reads_what_is_compressed(
        messages in messages(), window in window(), keeps_context: bool,
    ) {
        let mut compressor = Compressor::new(window, keeps_context);
        let mut other = Decompress::new(false);
        let mut own = Decompressor::new(keeps_context);
        for message in &messages {
            let mut compressed = Vec::new();
            if !compressor.compress(message, &mut compressed) {
                prop_assert!(compressed.is_empty());
                continue;
            }
            prop_assert!(compressed.len() < message.len());
            prop_assert_eq!(&binary(&mut own, &compressed, LIMIT), &Ok(message.clone()));
            compressed.extend(TAIL);
            let mut read = Vec::with_capacity(message.len() + 1);
            if !keeps_context {
                other.reset(false);
            }
            other.decompress_vec(&compressed, &mut read, FlushDecompress::Sync).unwrap();
            prop_assert_eq!(&read, message);
        }
    }

    #[test]
    fn what_another_implementation_compresses_is_read(
        messages in messages(), keeps_context: bool, level in 0u32..10,
    ) {
        let mut other = Compress::new(Compression::new(level), false);
        let mut own = Decompressor::new(keeps_context);
        for message in &messages {
            if !keeps_context {
                other.reset();
            }
            let compressed = foreign(&mut other, message);
            prop_assert_eq!(&binary(&mut own, &compressed, LIMIT), &Ok(message.clone()));
        }
    }

    #[test]
    fn compressed_frames_are_read_alike_however_the_stream_is_cut(
        messages in messages(), window in window(), piece in 1usize..5_000,
    ) {
        let mut compressor = Compressor::new(window, false);
        let mut wire = Vec::new();
        for message in &messages {
            compressor.write_frame(&mut wire, Opcode::Binary, message);
        }
        let mut decoder = Decoder::new(Role::Client, Limits { max_message: LIMIT })
            .with_compression(true);
        let mut decompressor = Decompressor::new(false);
        let mut read = Vec::new();
        for piece in wire.chunks_mut(piece) {
            let mut input = piece;
            while let Some(event) = decoder.decode(&mut input).unwrap() {
                let event = match event {
                    Event::Compressed(kind, payload) => {
                        decompressor.message(kind, payload, LIMIT).unwrap()
                    }
                    plain => plain,
                };
                let Event::Binary(bytes) = event else {
                    panic!("{event:?}")
                };
                read.push(bytes.to_vec());
            }
        }
        prop_assert_eq!(read, messages);
        prop_assert!(decoder.is_idle());
    }
}

#[test]
fn the_examples_of_rfc_7692_section_7_2_3_are_read() {
    let hello = |payload: &[u8]| binary(&mut Decompressor::new(false), payload, LIMIT);
    for payload in [
        &b"\xf2\x48\xcd\xc9\xc9\x07\x00"[..],
        b"\x00\x05\x00\xfa\xff\x48\x65\x6c\x6c\x6f\x00",
        b"\xf3\x48\xcd\xc9\xc9\x07\x00\x00",
        b"\xf2\x48\x05\x00\x00\x00\xff\xff\xca\xc9\xc9\x07\x00",
    ] {
        assert_eq!(hello(payload), Ok(b"Hello".to_vec()), "{payload:x?}");
    }
    let mut following = Decompressor::new(true);
    for payload in [
        &b"\xf2\x48\xcd\xc9\xc9\x07\x00"[..],
        b"\xf2\x00\x11\x00\x00",
    ] {
        assert_eq!(
            binary(&mut following, payload, LIMIT),
            Ok(b"Hello".to_vec())
        );
    }
}

#[test]
fn a_last_block_may_end_a_message_with_or_without_the_byte_behind_it() {
    let alone = |payload: &[u8]| binary(&mut Decompressor::new(false), payload, LIMIT);
    assert_eq!(
        alone(b"\xf3\x48\xcd\xc9\xc9\x07\x00"),
        Ok(b"Hello".to_vec())
    );
    assert_eq!(alone(b""), Ok(Vec::new()));
    assert_eq!(alone(b"\x00"), Ok(Vec::new()));
}

#[test]
fn what_is_not_deflate_or_not_whole_is_refused() {
    let mut alone = Decompressor::new(false);
    for bad in [
        &b"\xff\xff\xff"[..],
        b"\x07",
        // "Hello", cut.
        b"\xf2\x48\xcd",
        // A reference to what only an earlier message holds.
        b"\xf2\x00\x11\x00\x00",
    ] {
        assert_eq!(
            binary(&mut alone, bad, LIMIT),
            Err(Violation::InvalidDeflate),
            "{bad:x?}"
        );
    }
    assert_eq!(Violation::InvalidDeflate.close_code(), 1007);
    assert_eq!(
        binary(&mut alone, b"\xf2\x48\xcd\xc9\xc9\x07\x00", LIMIT),
        Ok(b"Hello".to_vec()),
        "what was wrong before does not matter"
    );
}

#[test]
fn text_is_utf_8_once_it_is_decompressed() {
    let mut compressed = Vec::new();
    let mut compressor = Compressor::new(WindowBits::FULL, false);
    assert!(compressor.compress("κόσμε ".repeat(99).as_bytes(), &mut compressed));
    let mut alone = Decompressor::new(false);
    let event = alone.message(MessageKind::Text, &compressed, LIMIT);
    assert_eq!(event, Ok(Event::Text(&"κόσμε ".repeat(99))));
    compressed.clear();
    assert!(compressor.compress(&[0xce; 99], &mut compressed));
    let event = alone.message(MessageKind::Text, &compressed, LIMIT);
    assert_eq!(event, Err(Violation::InvalidUtf8));
}

#[test]
fn a_message_may_be_as_long_as_the_limit_and_no_longer() {
    for keeps_context in [false, true] {
        for length in [1, 100, 16_383, 16_384, 16_385, 300_000] {
            let message = vec![b'x'; length];
            let compressed = foreign(&mut Compress::new(Compression::best(), false), &message);
            let inflate = |limit| binary(&mut Decompressor::new(keeps_context), &compressed, limit);
            assert_eq!(inflate(length), Ok(message.clone()), "{length}");
            let refused = Err(Violation::MessageTooLong(length - 1));
            assert_eq!(inflate(length - 1), refused, "{length}");
        }
    }
}

#[test]
fn nothing_is_compressed_that_would_not_get_shorter() {
    let mut compressor = Compressor::new(WindowBits::FULL, true);
    for message in [
        &b""[..],
        b"x",
        b"Hello",
        &[0x17, 0x2a, 0xe4, 0x99, 0x01, 0x5c],
    ] {
        let mut out = b"before".to_vec();
        assert!(!compressor.write_frame(&mut out, Opcode::Binary, message));
        assert_eq!(out[..6], *b"before");
        assert_eq!(out[6..8], [0x82, u8::try_from(message.len()).unwrap()]);
        assert_eq!(out[8..], *message);
    }
}

#[test]
fn the_compressed_bit_is_for_the_first_frame_where_it_was_negotiated() {
    let limits = Limits { max_message: 1_000 };
    let check = |negotiated, stream: &[u8], expected: &[&str]| {
        let pieces = stream.chunks(1);
        assert_eq!(
            transcript(Role::Client, limits, negotiated, pieces),
            expected
        );
    };
    let fragments = b"\x41\x03\xf2\x48\xcd\x89\x00\x80\x04\xc9\xc9\x07\x00";
    check(
        true,
        fragments,
        &[
            "Ping([])",
            "Compressed(Text, [242, 72, 205, 201, 201, 7, 0])",
        ],
    );
    check(false, fragments, &["ReservedBits"]);
    check(true, b"\x41\x00\xc0\x00", &["ReservedBits"]);
    check(true, b"\xc9\x00", &["ReservedBits"]);
    check(
        true,
        b"\xc2\x00\x81\x01x",
        &["Compressed(Binary, [])", "Text(\"x\")"],
    );
    // Longer than the limit by a little: it may be what does not compress.
    let mut long = b"\xc2\x7e\x04\x00".to_vec();
    long.extend([0xff; 1_024]);
    let lines = transcript(Role::Client, limits, true, [long.as_slice()]);
    assert!(lines[0].starts_with("Compressed(Binary"), "{lines:?}");
    check(true, b"\xc2\x7e\x08\x00", &["MessageTooLong(1000)"]);
}
