//! Property: no data, name, id or comment can make our encoder write anything but the one event
//! it was asked for, and chunks say exactly how long they are.

use bellwire_wire::sse;
use proptest::collection::vec;
use proptest::prelude::*;

use crate::sse_check::{check, transcript};

/// What a reader sees of `data`: line ends are LF, bad UTF-8 is U+FFFD.
fn normalised(data: &[u8]) -> String {
    String::from_utf8_lossy(data)
        .replace("\r\n", "\n")
        .replace('\r', "\n")
}

/// Bytes in which line ends, colons and field names are far likelier than in random ones.
fn hostile() -> impl Strategy<Value = Vec<u8>> {
    let word = prop_oneof![
        prop::sample::select(vec![
            &b"\n"[..],
            b"\r",
            b"\r\n",
            b"\n\n",
            b"data",
            b"id",
            b"event",
            b"retry",
            b":",
            b": ",
            b"\0",
            b"\xef\xbb\xbf",
            b"\xff",
            b"\xe2\x80\xa8",
        ])
        .prop_map(<[u8]>::to_vec),
        vec(any::<u8>(), 0..4),
    ];
    vec(word, 0..20).prop_map(|words| words.concat())
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_data_comes_back_as_exactly_one_event(data in hostile(), comment in hostile()) {
        let mut wire = Vec::new();
        sse::write_comment(&mut wire, &String::from_utf8_lossy(&comment));
        sse::write_data(&mut wire, &data);
        sse::end(&mut wire);
        let seen = transcript([wire.as_slice()]);
        prop_assert_eq!(seen.events.len(), 1);
        prop_assert_eq!(&seen.events[0].data, &normalised(&data));
        prop_assert_eq!(&seen.events[0].name, "message");
        prop_assert_eq!((seen.last_event_id.as_str(), seen.retry), ("", None));
    }

    #[test]
    fn ids_and_names_come_back_or_are_refused(id in hostile(), name in hostile()) {
        let (id, name) = (String::from_utf8_lossy(&id), String::from_utf8_lossy(&name));
        let encodable = |value: &str| !value.contains(['\r', '\n', '\0']);
        let mut wire = Vec::new();
        prop_assert_eq!(sse::write_id(&mut wire, &id).is_ok(), encodable(&id));
        prop_assert_eq!(sse::write_event(&mut wire, &name).is_ok(), encodable(&name));
        sse::write_data(&mut wire, b"x");
        sse::end(&mut wire);
        let seen = transcript([wire.as_slice()]);
        prop_assert_eq!(seen.events.len(), 1);
        prop_assert_eq!(&seen.events[0].id, if encodable(&id) { &*id } else { "" });
        let sent = encodable(&name) && !name.is_empty();
        prop_assert_eq!(&seen.events[0].name, if sent { &*name } else { "message" });
    }

    #[test]
    fn any_stream_is_read_by_the_book(stream in hostile()) {
        check(&[&[2], stream.as_slice()].concat());
    }

    #[test]
    fn chunks_say_exactly_how_long_they_are(contents in vec(vec(any::<u8>(), 0..5000), 0..5)) {
        let mut wire = Vec::new();
        for content in &contents {
            sse::write_chunk(&mut wire, |out| out.extend_from_slice(content));
        }
        wire.extend_from_slice(sse::LAST_CHUNK);
        prop_assert_eq!(dechunk(&wire), contents.concat());
    }
}

/// A strict reader of chunked coding without extensions and trailers.
fn dechunk(mut wire: &[u8]) -> Vec<u8> {
    let mut body = Vec::new();
    loop {
        let end = wire.windows(2).position(|pair| pair == b"\r\n").unwrap();
        let size = usize::from_str_radix(str::from_utf8(&wire[..end]).unwrap(), 16).unwrap();
        let (content, rest) = wire[end + 2..].split_at(size);
        body.extend_from_slice(content);
        wire = rest.strip_prefix(b"\r\n").unwrap();
        if size == 0 {
            assert!(wire.is_empty());
            return body;
        }
    }
}
