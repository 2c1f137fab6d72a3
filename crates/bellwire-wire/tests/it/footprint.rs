//! What a connection costs: an idle decoder is small and holds no heap, and a peer's words
//! alone make it hold nothing.

use bellwire_wire::websocket::{
    Decoder, Event, Limits, Opcode, Role, encode_header, encode_masked_frame,
};

#[test]
fn a_decoder_fits_a_cache_line_and_starts_without_heap() {
    assert!(size_of::<Decoder>() <= 64, "{}", size_of::<Decoder>());
    let decoder = Decoder::new(Role::Server, Limits { max_message: 1 });
    assert!(decoder.is_idle());
    assert_eq!(decoder.allocated_bytes(), 0);
}

#[test]
fn a_message_within_one_read_is_borrowed_from_it_without_a_copy() {
    let mut scratch = Vec::new();
    encode_masked_frame(&mut scratch, Opcode::Text, &[b'x'; 60_000], [1, 2, 3, 4]);
    let bounds = scratch.as_ptr_range();
    let mut decoder = Decoder::new(
        Role::Server,
        Limits {
            max_message: 1 << 16,
        },
    );
    let mut input = scratch.as_mut_slice();
    let Ok(Some(Event::Text(text))) = decoder.decode(&mut input) else {
        panic!("one message")
    };
    assert!(bounds.contains(&text.as_ptr()));
    assert!(decoder.is_idle());
    assert_eq!(decoder.allocated_bytes(), 0);
}

#[test]
fn an_announced_length_allocates_nothing() {
    let mut header = vec![0x82, 127, 0x40, 0, 0, 0, 0, 0, 0, 0];
    let mut decoder = Decoder::new(
        Role::Client,
        Limits {
            max_message: usize::MAX,
        },
    );
    assert_eq!(decoder.decode(&mut header.as_mut_slice()), Ok(None));
    assert_eq!(decoder.allocated_bytes(), 0);
    assert_eq!(decoder.decode(&mut [0; 10].as_mut_slice()), Ok(None));
    assert!(
        decoder.allocated_bytes() < 100,
        "it grows with what arrives"
    );
}

#[test]
fn a_header_in_pieces_needs_no_heap() {
    let mut header = Vec::new();
    encode_header(&mut header, Opcode::Binary, true, 70_000);
    let mut decoder = Decoder::new(
        Role::Client,
        Limits {
            max_message: 1 << 20,
        },
    );
    for byte in header.chunks_mut(1) {
        let mut input = byte;
        assert_eq!(decoder.decode(&mut input), Ok(None));
        assert!(!decoder.is_idle());
        assert_eq!(decoder.allocated_bytes(), 0);
    }
}

#[test]
fn a_gathered_message_is_given_up_once_the_decoder_is_idle() {
    let mut wire = Vec::new();
    encode_masked_frame(&mut wire, Opcode::Binary, &[7; 5000], [1, 2, 3, 4]);
    let (first, second) = wire.split_at_mut(3000);
    let mut decoder = Decoder::new(
        Role::Server,
        Limits {
            max_message: 1 << 16,
        },
    );
    let (mut first, mut second) = (first, second);
    assert_eq!(decoder.decode(&mut first), Ok(None));
    assert!(decoder.allocated_bytes() > 0);
    assert_eq!(
        decoder.decode(&mut second),
        Ok(Some(Event::Binary(&[7; 5000])))
    );
    assert_eq!(decoder.decode(&mut second), Ok(None));
    assert!(decoder.is_idle());
    assert_eq!(decoder.allocated_bytes(), 0);
}
