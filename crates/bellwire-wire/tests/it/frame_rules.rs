//! Each rule of RFC 6455 §5 and each limit, with the violation that names it, found as early as
//! the bytes allow. The case numbers are Autobahn's.

use bellwire_wire::websocket::{
    Decoder, Event, Limits, MAX_EMPTY_FRAGMENTS, Opcode, Role, Violation, encode_frame,
    encode_header,
};

use crate::frame_check::transcript;

const LIMITS: Limits = Limits { max_message: 1000 };

/// An unmasked frame, for a decoder in the client's role: the rules are the same for both.
fn frame(opcode: Opcode, fin: bool, payload: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    encode_header(&mut out, opcode, fin, payload.len());
    out.extend_from_slice(payload);
    out
}

/// The whole stream gives `expected`, at once and byte by byte.
fn check(stream: &[u8], expected: &[&str]) {
    assert_eq!(
        transcript(Role::Client, LIMITS, false, [stream]),
        expected,
        "at once"
    );
    assert_eq!(
        transcript(Role::Client, LIMITS, false, stream.chunks(1)),
        expected,
        "byte by byte"
    );
}

/// `stream` is fine as far as it goes, and its last byte is the one that shows the violation.
fn check_fails_at_last_byte(stream: &[u8], expected: Violation) {
    let (last, before) = stream.split_last().unwrap();
    let mut decoder = Decoder::new(Role::Client, LIMITS);
    assert_eq!(
        decoder.decode(&mut before.to_vec().as_mut_slice()),
        Ok(None)
    );
    assert_eq!(decoder.decode(&mut [*last].as_mut_slice()), Err(expected));
    assert_eq!(
        decoder.decode(&mut [*last].as_mut_slice()),
        Ok(None),
        "nothing more is decoded"
    );
    assert!(!decoder.is_idle());
}

#[test]
fn violations_of_one_frame_carry_their_close_code() {
    check(&[0xc1, 0], &["ReservedBits"]);
    check(&[0xa1, 0], &["ReservedBits"]);
    check(&[0x91, 0], &["ReservedBits"]);
    check(&[0x83, 0], &["UnknownOpcode(3)"]);
    check(&[0x8f, 0], &["UnknownOpcode(15)"]);
    check(&[0x09, 0], &["ControlFragmented"]);
    check(&[0x89, 126, 0, 126], &["ControlTooLong"]);
    check(&[0x82, 126, 0, 125], &["LengthNotMinimal"]);
    check(
        &[0x82, 127, 0, 0, 0, 0, 0, 0, 0xff, 0xff],
        &["LengthNotMinimal"],
    );
    check(&[0x82, 127, 0x80, 0, 0, 0, 0, 0, 0, 0], &["LengthOverflow"]);
    check(&[0x81, 0x80, 1, 2, 3, 4], &["Masked"]);
    assert_eq!(
        transcript(Role::Server, LIMITS, false, [&[0x81, 0][..]]),
        ["Unmasked"]
    );
    assert_eq!(Violation::Unmasked.close_code(), 1002);
    assert_eq!(Violation::InvalidUtf8.close_code(), 1007);
    assert_eq!(Violation::MessageTooLong(9).close_code(), 1009);
}

#[test]
fn a_fragmented_message_is_joined_and_control_frames_may_stand_between() {
    let stream = [
        frame(Opcode::Text, false, b"one "),
        frame(Opcode::Ping, true, b"p1"),
        frame(Opcode::Continuation, false, b""),
        frame(Opcode::Pong, true, b""),
        frame(Opcode::Continuation, true, b"two"),
        frame(Opcode::Binary, true, b"\x00"),
    ];
    let expected = [
        "Ping([112, 49])",
        "Pong([])",
        "Text(\"one two\")",
        "Binary([0])",
    ];
    check(&stream.concat(), &expected);
}

#[test]
fn fragments_out_of_order_are_refused() {
    check(
        &frame(Opcode::Continuation, true, b"x"),
        &["UnexpectedContinuation"],
    );
    let open = frame(Opcode::Text, false, b"x");
    check(
        &[open.clone(), frame(Opcode::Text, true, b"y")].concat(),
        &["UnfinishedMessage"],
    );
    check(
        &[open, frame(Opcode::Binary, true, b"y")].concat(),
        &["UnfinishedMessage"],
    );
    let done = frame(Opcode::Text, true, b"x");
    let late = frame(Opcode::Continuation, true, b"y");
    check(
        &[done, late].concat(),
        &["Text(\"x\")", "UnexpectedContinuation"],
    );
}

#[test]
fn close_is_the_last_event_and_its_payload_is_checked() {
    let close = |payload: &[u8]| frame(Opcode::Close, true, payload);
    let after = frame(Opcode::Text, true, b"ignored");
    check(&[close(b""), after.clone()].concat(), &["Close(None)"]);
    check(
        &[close(b"\x03\xe8bye"), after].concat(),
        &["Close(Some((1000, \"bye\")))"],
    );
    check(&close(b"\x03"), &["CloseTooShort"]);
    for code in [0, 999, 1004, 1005, 1006, 1016, 1100, 2000, 2999, 5000_u16] {
        check(
            &close(&code.to_be_bytes()),
            &[&format!("CloseCode({code})")],
        );
    }
    check(&close(b"\x03\xe8\xce\xba\xe1"), &["InvalidUtf8"]);
}

#[test]
fn bad_utf8_is_found_at_the_offending_byte_inside_the_fragment() {
    // 6.4.1 to 6.4.4: F4 90 can start no character, whatever follows.
    let text = "κόσμε".as_bytes();
    let one_frame = frame(
        Opcode::Text,
        true,
        &[text, b"\xf4\x90\x80\x80edited"].concat(),
    );
    check_fails_at_last_byte(&one_frame[..2 + text.len() + 2], Violation::InvalidUtf8);

    let fragments = [
        frame(Opcode::Text, false, &[text, b"\xf4"].concat()),
        vec![0x80, 100, 0x90],
    ];
    check_fails_at_last_byte(&fragments.concat(), Violation::InvalidUtf8);

    let close = frame(Opcode::Close, true, b"\x03\xe8\xed\xa0\x80 never read");
    check_fails_at_last_byte(&close[..6], Violation::InvalidUtf8);

    // An incomplete character is an error only once the message ends with it.
    check(
        &frame(Opcode::Text, true, b"\xf0\x9f\x98"),
        &["InvalidUtf8"],
    );
    let split = [
        frame(Opcode::Text, false, b"\xf0\x9f"),
        frame(Opcode::Continuation, false, b""),
        frame(Opcode::Continuation, true, b"\x98\x80"),
    ];
    check(&split.concat(), &["Text(\"😀\")"]);
}

#[test]
fn a_message_over_the_limit_is_refused_by_its_header() {
    let too_long = Violation::MessageTooLong(LIMITS.max_message);
    let mut header = Vec::new();
    encode_header(&mut header, Opcode::Binary, true, 1001);
    check_fails_at_last_byte(&header, too_long);

    let mut fragments = frame(Opcode::Binary, false, &[0; 600]);
    encode_header(&mut fragments, Opcode::Continuation, true, 401);
    check_fails_at_last_byte(&fragments, too_long);

    let fits = [
        frame(Opcode::Binary, false, &[7; 600]),
        frame(Opcode::Continuation, true, &[7; 400]),
    ];
    let expected = format!("{:?}", Event::Binary(&[7; 1000]));
    check(&fits.concat(), &[&expected]);
}

#[test]
fn a_message_of_very_many_fragments_is_read_in_linear_time() {
    const FRAGMENTS: usize = 200_000;
    let mut stream = frame(Opcode::Text, false, b"x");
    for _ in 0..FRAGMENTS {
        stream.extend_from_slice(&frame(Opcode::Continuation, false, b"x"));
    }
    stream.extend_from_slice(&frame(Opcode::Continuation, true, b""));
    let limits = Limits {
        max_message: 1 << 20,
    };
    let mut decoder = Decoder::new(Role::Client, limits);
    let mut lengths = Vec::new();
    for piece in stream.chunks_mut(7) {
        let mut input = piece;
        while let Some(event) = decoder.decode(&mut input).unwrap() {
            let Event::Text(text) = event else {
                panic!("{event:?}")
            };
            lengths.push(text.len());
        }
    }
    assert_eq!(lengths, [FRAGMENTS + 1]);
}

#[test]
fn a_flood_of_empty_fragments_ends_with_a_violation() {
    let empty = frame(Opcode::Continuation, false, b"");
    let mut stream = frame(Opcode::Text, false, b"");
    for _ in 1..MAX_EMPTY_FRAGMENTS {
        stream.extend_from_slice(&empty);
    }
    let last = frame(Opcode::Continuation, true, b"x");
    let message = [stream.clone(), last].concat();
    check(&message, &["Text(\"x\")"]);
    check(&message.repeat(2), &["Text(\"x\")"; 2]);
    check(&[stream, empty].concat(), &["TooManyEmptyFragments"]);
}

#[test]
fn a_caller_may_stop_between_events_and_pass_the_rest_later() {
    let mut wire = Vec::new();
    encode_frame(&mut wire, Opcode::Text, b"one");
    encode_frame(&mut wire, Opcode::Text, b"two");
    let mut decoder = Decoder::new(Role::Client, LIMITS);
    let mut input = wire.as_mut_slice();
    assert_eq!(decoder.decode(&mut input), Ok(Some(Event::Text("one"))));
    let mut rest = input.to_vec();
    assert_eq!(
        decoder.decode(&mut rest.as_mut_slice()),
        Ok(Some(Event::Text("two")))
    );
}
