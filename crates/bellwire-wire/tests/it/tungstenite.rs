//! Differential tests against tungstenite, an independent implementation, in all four
//! directions.

use std::io::{self, Cursor, Read, Write};

use bellwire_wire::websocket::{
    Decoder, Event, Limits, Opcode, Role, encode_close, encode_frame, encode_masked_close,
    encode_masked_frame,
};
use proptest::collection::vec;
use proptest::prelude::*;
use tungstenite::protocol::frame::coding::CloseCode;
use tungstenite::protocol::{CloseFrame, Role as PeerRole};
use tungstenite::{Message, WebSocket};

const LIMITS: Limits = Limits {
    max_message: 1 << 20,
};

/// A stream that reads from one buffer and writes into another.
struct Pipe {
    incoming: Cursor<Vec<u8>>,
    outgoing: Vec<u8>,
}

impl Pipe {
    fn new(incoming: Vec<u8>) -> Self {
        Self {
            incoming: Cursor::new(incoming),
            outgoing: Vec::new(),
        }
    }
}

impl Read for Pipe {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.incoming.read(buffer)
    }
}

impl Write for Pipe {
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        self.outgoing.write(buffer)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn message() -> impl Strategy<Value = Message> {
    prop_oneof![
        any::<String>().prop_map(Message::text),
        vec(any::<u8>(), 0..300).prop_map(Message::binary),
        vec(any::<u8>(), 65_530..65_540).prop_map(Message::binary),
        vec(any::<u8>(), 0..=125).prop_map(|bytes| Message::Ping(bytes.into())),
        vec(any::<u8>(), 0..=125).prop_map(|bytes| Message::Pong(bytes.into())),
    ]
}

fn parts(message: &Message) -> (Opcode, &[u8]) {
    match message {
        Message::Text(text) => (Opcode::Text, text.as_bytes()),
        Message::Binary(bytes) => (Opcode::Binary, bytes),
        Message::Ping(bytes) => (Opcode::Ping, bytes),
        Message::Pong(bytes) => (Opcode::Pong, bytes),
        Message::Close(_) | Message::Frame(_) => panic!("not generated"),
    }
}

fn owned(event: Event<'_>) -> Message {
    match event {
        Event::Text(text) => Message::text(text),
        Event::Binary(bytes) => Message::binary(bytes.to_vec()),
        Event::Compressed(..) => unreachable!("no compression was negotiated"),
        Event::Ping(bytes) => Message::Ping(bytes.to_vec().into()),
        Event::Pong(bytes) => Message::Pong(bytes.to_vec().into()),
        Event::Close(close) => Message::Close(close.map(|(code, reason)| CloseFrame {
            code: CloseCode::from(code),
            reason: reason.to_owned().into(),
        })),
    }
}

fn ours_decodes(role: Role, wire: &mut [u8], piece: usize) -> Vec<Message> {
    let mut decoder = Decoder::new(role, LIMITS);
    let mut messages = Vec::new();
    for mut input in wire.chunks_mut(piece) {
        while let Some(event) = decoder.decode(&mut input).unwrap() {
            messages.push(owned(event));
        }
    }
    messages
}

fn theirs_decodes(role: PeerRole, wire: Vec<u8>, count: usize) -> Vec<Message> {
    let mut peer = WebSocket::from_raw_socket(Pipe::new(wire), role, None);
    (0..count).map(|_| peer.read().unwrap()).collect()
}

fn theirs_encodes(role: PeerRole, messages: &[Message]) -> Vec<u8> {
    let mut peer = WebSocket::from_raw_socket(Pipe::new(Vec::new()), role, None);
    for message in messages {
        peer.send(message.clone()).unwrap();
    }
    peer.get_ref().outgoing.clone()
}

fn closing(code: u16, reason: &str) -> Message {
    Message::Close(Some(CloseFrame {
        code: code.into(),
        reason: reason.to_owned().into(),
    }))
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 64,
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn what_we_encode_tungstenite_reads(
        mut messages in vec(message(), 0..5),
        key in any::<[u8; 4]>(),
        reason in "[a-zé]{0,30}",
    ) {
        let (mut masked, mut plain) = (Vec::new(), Vec::new());
        for message in &messages {
            let (opcode, payload) = parts(message);
            encode_masked_frame(&mut masked, opcode, payload, key);
            encode_frame(&mut plain, opcode, payload);
        }
        encode_masked_close(&mut masked, 4001, &reason, key);
        encode_close(&mut plain, 4001, &reason);
        messages.push(closing(4001, &reason));
        let count = messages.len();
        prop_assert_eq!(&theirs_decodes(PeerRole::Server, masked, count), &messages);
        prop_assert_eq!(&theirs_decodes(PeerRole::Client, plain, count), &messages);
    }

    #[test]
    fn what_tungstenite_encodes_we_read(
        mut messages in vec(message(), 0..5),
        piece in prop_oneof![1..20_usize, Just(1 << 20)],
        reason in "[a-zé]{0,30}",
    ) {
        messages.push(closing(1000, &reason));
        let mut masked = theirs_encodes(PeerRole::Client, &messages);
        prop_assert_eq!(&ours_decodes(Role::Server, &mut masked, piece), &messages);
        let mut plain = theirs_encodes(PeerRole::Server, &messages);
        prop_assert_eq!(&ours_decodes(Role::Client, &mut plain, piece), &messages);
    }
}
