//! Writes the fields of an event. Whatever bytes are passed in, nothing can break out of its
//! field: data and comments are split at line ends, names and ids with one are refused.

use std::io::Write as _;

/// An id or event name holds CR, LF or NUL, which no encoding can carry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("an SSE field cannot hold CR, LF or NUL")]
pub struct UnencodableField;

/// Appends an `id:` line. An empty id makes the client forget the one it has.
///
/// # Errors
/// [`UnencodableField`], with nothing written, if `id` holds CR, LF or NUL.
pub fn write_id(out: &mut Vec<u8>, id: &str) -> Result<(), UnencodableField> {
    write_checked(out, b"id: ", id)
}

/// Appends an `event:` line.
///
/// # Errors
/// [`UnencodableField`], with nothing written, if `name` holds CR, LF or NUL.
pub fn write_event(out: &mut Vec<u8>, name: &str) -> Result<(), UnencodableField> {
    write_checked(out, b"event: ", name)
}

/// Appends `data:` lines, one for each line of `data`. CR, LF and CRLF all end a line, so the
/// reader sees LF for each of them; bytes that are not UTF-8 it sees as U+FFFD.
pub fn write_data(out: &mut Vec<u8>, data: &[u8]) {
    write_lines(out, b"data: ", data);
}

/// Appends comment lines, which readers ignore; one for each line of `text`.
pub fn write_comment(out: &mut Vec<u8>, text: &str) {
    write_lines(out, b": ", text.as_bytes());
}

/// Appends a `retry:` line: how long the reader waits before it reconnects, in milliseconds.
pub fn write_retry(out: &mut Vec<u8>, milliseconds: u64) {
    writeln!(out, "retry: {milliseconds}").expect("a Vec takes all writes");
}

/// Ends the event with its empty line.
pub fn end(out: &mut Vec<u8>) {
    out.push(b'\n');
}

fn write_checked(out: &mut Vec<u8>, prefix: &[u8], value: &str) -> Result<(), UnencodableField> {
    if memchr::memchr3(b'\r', b'\n', 0, value.as_bytes()).is_some() {
        return Err(UnencodableField);
    }
    write_line(out, prefix, value.as_bytes());
    Ok(())
}

fn write_lines(out: &mut Vec<u8>, prefix: &[u8], mut rest: &[u8]) {
    out.reserve(prefix.len() + rest.len() + 1);
    while let Some(end) = memchr::memchr2(b'\r', b'\n', rest) {
        let (line, tail) = rest.split_at(end);
        write_line(out, prefix, line);
        rest = tail.strip_prefix(b"\r\n").unwrap_or_else(|| &tail[1..]);
    }
    write_line(out, prefix, rest);
}

fn write_line(out: &mut Vec<u8>, prefix: &[u8], line: &[u8]) {
    // The space after the colon is always written: readers remove exactly one, so a value that
    // starts with a space survives.
    out.extend_from_slice(prefix);
    out.extend_from_slice(line);
    out.push(b'\n');
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(write: impl FnOnce(&mut Vec<u8>)) -> String {
        let mut out = Vec::new();
        write(&mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn every_kind_of_line_end_starts_a_new_data_line() {
        let data = |bytes: &[u8]| written(|out| write_data(out, bytes));
        assert_eq!(data(b"a"), "data: a\n");
        assert_eq!(data(b""), "data: \n");
        assert_eq!(
            data(b"a\nb\rc\r\nd"),
            "data: a\ndata: b\ndata: c\ndata: d\n"
        );
        assert_eq!(data(b"a\n\r"), "data: a\ndata: \ndata: \n");
        assert_eq!(
            data(b"x\nid: 1\n\nevent: y"),
            "data: x\ndata: id: 1\ndata: \ndata: event: y\n"
        );
    }

    #[test]
    fn ids_and_names_that_would_break_out_are_refused_and_leave_nothing() {
        for bad in ["a\nb", "a\r", "\0", "x\r\ndata: forged"] {
            let mut out = Vec::new();
            assert_eq!(write_id(&mut out, bad), Err(UnencodableField));
            assert_eq!(write_event(&mut out, bad), Err(UnencodableField));
            assert!(out.is_empty());
        }
        assert_eq!(written(|out| write_id(out, "").unwrap()), "id: \n");
        assert_eq!(
            written(|out| write_event(out, "gap").unwrap()),
            "event: gap\n"
        );
    }

    #[test]
    fn comments_and_retry_are_single_purpose_lines() {
        assert_eq!(
            written(|out| write_comment(out, "hi\r\nthere")),
            ": hi\n: there\n"
        );
        assert_eq!(written(|out| write_retry(out, 1500)), "retry: 1500\n");
    }
}
