//! Reads an event stream incrementally, by the rules of WHATWG HTML §9.2.6. Used by the client
//! and, in tests, against our own encoder. It knows nothing of reconnecting; it only keeps what
//! reconnecting needs, the last event id and the retry time.

use std::borrow::Cow;

use smallvec::SmallVec;

const BYTE_ORDER_MARK: [u8; 3] = *b"\xef\xbb\xbf";
const FIELDS: [&[u8]; 4] = [b"data", b"event", b"id", b"retry"];

/// An event as a browser would dispatch it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Event<'a> {
    /// The event's name, `message` unless the stream names it.
    pub name: &'a str,
    /// The data, its lines joined with LF.
    pub data: &'a str,
    /// The last event id at this event, which an earlier event may have set.
    pub id: &'a str,
}

/// An event, or a line of it, is longer than the parser may hold. The stream is lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("event is longer than {max_buffer} bytes")]
pub struct EventTooLong {
    /// The limit in bytes.
    pub max_buffer: usize,
}

/// A push parser for one stream.
#[derive(Debug)]
pub struct Parser {
    position: Position,
    /// The part of an unfinished line that came with earlier calls.
    line: Vec<u8>,
    /// The event's data so far, each line ended by LF.
    data: Vec<u8>,
    name: String,
    /// An id that takes effect at the end of its block.
    pending_id: Option<String>,
    last_event_id: String,
    retry: Option<u64>,
    max_buffer: usize,
}

#[derive(Clone, Copy, Debug)]
enum Position {
    /// At the very start, with this many bytes of a byte order mark seen.
    Start(usize),
    /// Inside a line, or at the start of one.
    Line,
    /// Inside a line that no rule looks at, which is not kept.
    IgnoredLine,
    /// After a CR: a LF now belongs to it.
    AfterCr,
    /// After an error.
    Failed,
}

impl Parser {
    /// A parser that holds at most `max_buffer` bytes of an unfinished event.
    pub fn new(max_buffer: usize) -> Self {
        Self {
            position: Position::Start(0),
            line: Vec::new(),
            data: Vec::new(),
            name: String::new(),
            pending_id: None,
            last_event_id: String::new(),
            retry: None,
            max_buffer,
        }
    }

    /// Takes the next bytes of the stream, cut anywhere, and hands over each event they
    /// complete. When the stream ends, an unfinished event is dropped with the parser.
    ///
    /// # Errors
    /// [`EventTooLong`] for this and every later call.
    pub fn feed(
        &mut self,
        mut bytes: &[u8],
        mut deliver: impl FnMut(Event<'_>),
    ) -> Result<(), EventTooLong> {
        while let Some(&first) = bytes.first() {
            match self.position {
                Position::Failed => return Err(self.too_long()),
                Position::Start(matched) => {
                    if first == BYTE_ORDER_MARK[matched] {
                        bytes = &bytes[1..];
                        let whole = matched + 1 == BYTE_ORDER_MARK.len();
                        self.position = if whole {
                            Position::Line
                        } else {
                            Position::Start(matched + 1)
                        };
                    } else {
                        self.line.extend_from_slice(&BYTE_ORDER_MARK[..matched]);
                        self.position = Position::Line;
                    }
                }
                Position::AfterCr => {
                    bytes = bytes.strip_prefix(b"\n").unwrap_or(bytes);
                    self.position = Position::Line;
                }
                Position::Line | Position::IgnoredLine => {
                    let Some(end) = memchr::memchr2(b'\r', b'\n', bytes) else {
                        return self.keep(bytes);
                    };
                    let ignored = matches!(self.position, Position::IgnoredLine);
                    self.position = if bytes[end] == b'\r' {
                        Position::AfterCr
                    } else {
                        Position::Line
                    };
                    if !ignored {
                        self.finish_line(&bytes[..end], &mut deliver)?;
                    }
                    bytes = &bytes[end + 1..];
                }
            }
        }
        Ok(())
    }

    /// What `Last-Event-ID` should say when reconnecting; empty for nothing.
    pub fn last_event_id(&self) -> &str {
        &self.last_event_id
    }

    /// The reconnection time the stream asked for last, in milliseconds.
    pub fn retry(&self) -> Option<u64> {
        self.retry
    }

    /// Keeps the start of a line whose end has not come, unless no rule will look at it.
    fn keep(&mut self, bytes: &[u8]) -> Result<(), EventTooLong> {
        if matches!(self.position, Position::IgnoredLine) {
            return Ok(());
        }
        // A field name is at most five bytes, so a copy of six tells whether the line matters.
        let head: SmallVec<[u8; 6]> = self.line.iter().chain(bytes).take(6).copied().collect();
        if may_become_field(&head) {
            self.make_room(bytes.len())?;
            self.line.extend_from_slice(bytes);
        } else {
            self.line.clear();
            self.position = Position::IgnoredLine;
        }
        Ok(())
    }

    fn finish_line(
        &mut self,
        tail: &[u8],
        deliver: &mut impl FnMut(Event<'_>),
    ) -> Result<(), EventTooLong> {
        if self.line.is_empty() {
            return self.take_line(tail, deliver);
        }
        self.make_room(tail.len())?;
        let mut line = std::mem::take(&mut self.line);
        line.extend_from_slice(tail);
        let result = self.take_line(&line, deliver);
        // Given back empty, so that a stream of cut lines does not allocate for each.
        line.clear();
        self.line = line;
        result
    }

    fn take_line(
        &mut self,
        line: &[u8],
        deliver: &mut impl FnMut(Event<'_>),
    ) -> Result<(), EventTooLong> {
        if line.is_empty() {
            self.dispatch(deliver);
            return Ok(());
        }
        let (field, value) = match memchr::memchr(b':', line) {
            Some(colon) => (&line[..colon], &line[colon + 1..]),
            None => (line, &[][..]),
        };
        let value = value.strip_prefix(b" ").unwrap_or(value);
        match field {
            b"data" => {
                self.make_room(value.len() + 1)?;
                self.data.extend_from_slice(value);
                self.data.push(b'\n');
            }
            b"event" => {
                self.make_room(value.len())?;
                self.name = String::from_utf8_lossy(value).into_owned();
            }
            b"id" if !value.contains(&0) => {
                self.make_room(value.len())?;
                self.pending_id = Some(String::from_utf8_lossy(value).into_owned());
            }
            b"retry" => self.retry = milliseconds(value).or(self.retry),
            _ => {}
        }
        Ok(())
    }

    /// The end of a block. Its id takes effect even where there is nothing to deliver.
    fn dispatch(&mut self, deliver: &mut impl FnMut(Event<'_>)) {
        if let Some(id) = self.pending_id.take() {
            self.last_event_id = id;
        }
        if let Some((_newline, data)) = self.data.split_last() {
            let data: Cow<'_, str> = String::from_utf8_lossy(data);
            let name = if self.name.is_empty() {
                "message"
            } else {
                &self.name
            };
            deliver(Event {
                name,
                data: &data,
                id: &self.last_event_id,
            });
        }
        self.data.clear();
        self.name.clear();
    }

    /// Fails if `more` bytes would exceed what an unfinished event may hold.
    fn make_room(&mut self, more: usize) -> Result<(), EventTooLong> {
        let id_len = self.pending_id.as_ref().map_or(0, String::len);
        let held = self.line.len() + self.data.len() + self.name.len() + id_len;
        if held + more > self.max_buffer {
            self.position = Position::Failed;
            return Err(self.too_long());
        }
        Ok(())
    }

    fn too_long(&self) -> EventTooLong {
        EventTooLong {
            max_buffer: self.max_buffer,
        }
    }
}

/// Whether a line that starts with `head` is one of the four fields, or may yet become one.
fn may_become_field(head: &[u8]) -> bool {
    FIELDS.iter().any(|field| match head.get(field.len()) {
        Some(after) => *after == b':' && head.starts_with(field),
        None => field.starts_with(head),
    })
}

/// The value of `retry:`, where it is one: ASCII digits only. Beyond `u64` it is the longest.
fn milliseconds(value: &[u8]) -> Option<u64> {
    if value.is_empty() || !value.iter().all(u8::is_ascii_digit) {
        return None;
    }
    Some(str::from_utf8(value).ok()?.parse().unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_matters_while_it_may_be_a_field() {
        for head in [
            "", "d", "data", "data:", "data: ", "id", "id:x", "retry:", "event",
        ] {
            assert!(may_become_field(head.as_bytes()), "{head}");
        }
        for head in [
            ":", "x", "dat:", "datab", "id ", "idx", "retry ", "Data", " data",
        ] {
            assert!(!may_become_field(head.as_bytes()), "{head}");
        }
    }

    #[test]
    fn retry_takes_digits_only() {
        assert_eq!(milliseconds(b"1500"), Some(1500));
        assert_eq!(milliseconds(b"99999999999999999999999"), Some(u64::MAX));
        for bad in [&b""[..], b"+5", b"1.5", b"5s", b" 5", b"-1"] {
            assert_eq!(milliseconds(bad), None);
        }
    }
}
