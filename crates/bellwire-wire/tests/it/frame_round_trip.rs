//! Property: whatever frames are encoded, masked or not, fragmented or not, and however their
//! bytes are cut, the decoder gives the same messages back.

use bellwire_wire::websocket::{
    Event, Limits, Opcode, Role, encode_frame, encode_header, encode_masked_frame,
};
use proptest::collection::vec;
use proptest::prelude::*;

use crate::frame_check::{check, transcript};

const LIMITS: Limits = Limits {
    max_message: 1 << 20,
};

#[derive(Clone, Debug)]
enum Message {
    Text(String),
    Binary(Vec<u8>),
    Ping(Vec<u8>),
    Pong(Vec<u8>),
}

impl Message {
    fn any() -> impl Strategy<Value = Self> {
        prop_oneof![
            any::<String>().prop_map(Self::Text),
            vec(any::<u8>(), 0..300).prop_map(Self::Binary),
            vec(any::<u8>(), 65_530..65_540).prop_map(Self::Binary),
            vec(any::<u8>(), 0..=125).prop_map(Self::Ping),
            vec(any::<u8>(), 0..=125).prop_map(Self::Pong),
        ]
    }

    fn event(&self) -> Event<'_> {
        match self {
            Self::Text(text) => Event::Text(text),
            Self::Binary(bytes) => Event::Binary(bytes),
            Self::Ping(bytes) => Event::Ping(bytes),
            Self::Pong(bytes) => Event::Pong(bytes),
        }
    }

    fn parts(&self) -> (Opcode, &[u8]) {
        match self {
            Self::Text(text) => (Opcode::Text, text.as_bytes()),
            Self::Binary(bytes) => (Opcode::Binary, bytes),
            Self::Ping(bytes) => (Opcode::Ping, bytes),
            Self::Pong(bytes) => (Opcode::Pong, bytes),
        }
    }
}

fn expected(messages: &[Message]) -> Vec<String> {
    messages
        .iter()
        .map(|message| format!("{:?}", message.event()))
        .collect()
}

/// Cuts `stream` into pieces whose sizes repeat `sizes`.
fn cut<'a>(stream: &'a [u8], sizes: &'a [usize]) -> impl Iterator<Item = &'a [u8]> {
    let mut rest = stream;
    sizes.iter().cycle().map_while(move |&size| {
        let (piece, tail) = rest.split_at(size.min(rest.len()));
        rest = tail;
        (!piece.is_empty()).then_some(piece)
    })
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn whole_messages_come_back_however_the_stream_is_cut(
        messages in vec(Message::any(), 0..6),
        key in any::<[u8; 4]>(),
        sizes in vec(1..70_000_usize, 1..5),
        small in vec(1..9_usize, 1..5),
    ) {
        let (mut masked, mut plain) = (Vec::new(), Vec::new());
        for message in &messages {
            let (opcode, payload) = message.parts();
            encode_masked_frame(&mut masked, opcode, payload, key);
            encode_frame(&mut plain, opcode, payload);
        }
        let expected = expected(&messages);
        for sizes in [&sizes, &small] {
            prop_assert_eq!(&transcript(Role::Server, LIMITS, false, cut(&masked, sizes)), &expected);
            prop_assert_eq!(&transcript(Role::Client, LIMITS, false, cut(&plain, sizes)), &expected);
        }
    }

    #[test]
    fn fragments_with_pings_between_give_the_message_back(
        message in prop_oneof![
            any::<String>().prop_map(Message::Text),
            vec(any::<u8>(), 0..300).prop_map(Message::Binary),
        ],
        fragment in 1..40_usize,
        sizes in vec(1..50_usize, 1..5),
    ) {
        let (opcode, payload) = message.parts();
        let fragments: Vec<&[u8]> = payload.chunks(fragment).collect();
        let mut wire = Vec::new();
        let mut lines = Vec::new();
        for (index, part) in fragments.iter().enumerate() {
            let opcode = if index == 0 { opcode } else { Opcode::Continuation };
            encode_header(&mut wire, opcode, index + 1 == fragments.len(), part.len());
            wire.extend_from_slice(part);
            if index + 1 < fragments.len() {
                encode_frame(&mut wire, Opcode::Ping, b"");
                lines.push("Ping([])".to_owned());
            }
        }
        if !fragments.is_empty() {
            lines.push(format!("{:?}", message.event()));
        }
        prop_assert_eq!(transcript(Role::Client, LIMITS, false, cut(&wire, &sizes)), lines);
    }

    #[test]
    fn any_bytes_are_judged_alike_however_they_are_cut(bytes in vec(any::<u8>(), 0..200)) {
        check(&bytes);
    }
}
