//! The event stream parser must agree with a naive transcription of the standard, however the
//! stream is cut; what it delivers must survive our encoder; a small buffer must never panic.
//!
//! Input: one byte for the size of the pieces, then the stream.

use bellwire_wire::sse;

/// Asserts all of the above.
///
/// # Panics
/// Where the parser breaks a promise.
pub fn check(data: &[u8]) {
    let Some((&piece, stream)) = data.split_first() else {
        return;
    };
    let expected = by_the_book(stream);
    assert_eq!(transcript([stream]), expected, "at once");
    assert_eq!(transcript(stream.chunks(1)), expected, "byte by byte");
    let piece = usize::from(piece) + 1;
    assert_eq!(
        transcript(stream.chunks(piece)),
        expected,
        "in pieces of {piece}"
    );
    for event in &expected.events {
        assert_reads_back(event);
    }

    let mut small = sse::Parser::new(piece);
    let delivered_whole = |event: sse::Event<'_>| assert!(event.data.len() <= 3 * piece);
    for part in stream.chunks(piece) {
        if small.feed(part, delivered_whole).is_err() {
            assert!(
                small
                    .feed(b"x", |_| panic!("no event after an error"))
                    .is_err()
            );
            break;
        }
    }
}

/// All that a stream leads to.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Transcript {
    /// What was delivered, in order.
    pub events: Vec<Delivered>,
    /// The last event id at the end.
    pub last_event_id: String,
    /// The reconnection time at the end.
    pub retry: Option<u64>,
}

/// An event, owned.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Delivered {
    /// Its name.
    pub name: String,
    /// Its data.
    pub data: String,
    /// The last event id at that point.
    pub id: String,
}

impl From<sse::Event<'_>> for Delivered {
    fn from(event: sse::Event<'_>) -> Self {
        Self {
            name: event.name.to_owned(),
            data: event.data.to_owned(),
            id: event.id.to_owned(),
        }
    }
}

/// Parses a stream that comes in `pieces`, with room for anything.
///
/// # Panics
/// If the parser claims to be out of room.
pub fn transcript<'a>(pieces: impl IntoIterator<Item = &'a [u8]>) -> Transcript {
    let mut parser = sse::Parser::new(usize::MAX);
    let mut events = Vec::new();
    for piece in pieces {
        parser
            .feed(piece, |event| events.push(event.into()))
            .expect("there is room for anything");
    }
    Transcript {
        events,
        last_event_id: parser.last_event_id().to_owned(),
        retry: parser.retry(),
    }
}

/// WHATWG HTML §9.2.6, as it reads, over the whole stream as one text.
fn by_the_book(stream: &[u8]) -> Transcript {
    let text = String::from_utf8_lossy(stream);
    let text = text.strip_prefix('\u{feff}').unwrap_or(&text);
    let text = text.replace("\r\n", "\n").replace('\r', "\n");
    let mut lines: Vec<&str> = text.split('\n').collect();
    lines.pop(); // What follows the last line end is unfinished.

    let mut result = Transcript::default();
    let (mut data, mut name, mut id) = (String::new(), String::new(), String::new());
    for line in lines {
        let (field, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match field {
            "" if line.is_empty() => {
                result.last_event_id.clone_from(&id);
                if data.pop().is_some() {
                    let name = if name.is_empty() {
                        "message".to_owned()
                    } else {
                        name
                    };
                    result.events.push(Delivered {
                        name,
                        data,
                        id: id.clone(),
                    });
                }
                (data, name) = (String::new(), String::new());
            }
            "data" => data.extend([value, "\n"]),
            "event" => value.clone_into(&mut name),
            "id" if !value.contains('\0') => value.clone_into(&mut id),
            "retry" if !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_digit()) => {
                result.retry = Some(value.parse().unwrap_or(u64::MAX));
            }
            _ => {}
        }
    }
    result
}

fn assert_reads_back(event: &Delivered) {
    let mut wire = Vec::new();
    // A reader takes NUL in a name, but our encoder does not write it.
    if sse::write_event(&mut wire, &event.name).is_err() {
        assert!(event.name.contains('\0') && !event.name.contains(['\r', '\n']));
        return;
    }
    sse::write_id(&mut wire, &event.id).expect("a parsed id has neither line end nor NUL");
    sse::write_data(&mut wire, event.data.as_bytes());
    sse::end(&mut wire);
    assert_eq!(
        transcript([wire.as_slice()]).events,
        std::slice::from_ref(event)
    );
}
