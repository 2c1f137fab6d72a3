//! As much of HTTP/1.1 as raw clients need: requests without frills, response heads, bodies with a
//! length, and chunks. Takes bytes as they come; knows nothing of what the bodies mean.

/// A response head.
#[derive(Clone, Copy, Debug)]
pub(super) struct Head {
    pub(super) status: u16,
    pub(super) content_length: usize,
    pub(super) chunked: bool,
}

/// Takes a whole head off the front of `bytes`, if it has come.
///
/// # Panics
/// When it is not HTTP.
pub(super) fn take_head(bytes: &mut Vec<u8>) -> Option<Head> {
    let end = bytes.windows(4).position(|window| window == b"\r\n\r\n")? + 4;
    let text = std::str::from_utf8(&bytes[..end]).expect("a head is ASCII");
    let status = text.split(' ').nth(1).and_then(|word| word.parse().ok());
    let header = |name: &str| {
        let mut lines = text.lines().filter_map(|line| line.split_once(':'));
        lines
            .find(|(found, _)| found.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.trim())
    };
    let head = Head {
        status: status.unwrap_or_else(|| panic!("no status in {text:?}")),
        content_length: header("content-length").map_or(0, |length| {
            length.parse().unwrap_or_else(|_| panic!("in {text:?}"))
        }),
        chunked: header("transfer-encoding") == Some("chunked"),
    };
    bytes.drain(..end);
    Some(head)
}

/// Takes the chunks off the front of `bytes` as far as they have come whole. Returns whether the
/// last one was among them.
///
/// # Panics
/// When it is no chunk.
pub(super) fn take_chunks(bytes: &mut Vec<u8>, content: &mut Vec<u8>) -> bool {
    let mut at = 0;
    let mut ended = false;
    while let Some(line) = bytes[at..].windows(2).position(|window| window == b"\r\n") {
        let digits = std::str::from_utf8(&bytes[at..at + line]).expect("a chunk size is ASCII");
        let size = usize::from_str_radix(digits, 16).expect("a chunk begins with its size");
        let start = at + line + 2;
        if bytes.len() < start + size + 2 {
            break;
        }
        content.extend_from_slice(&bytes[start..start + size]);
        assert_eq!(&bytes[start + size..start + size + 2], b"\r\n");
        at = start + size + 2;
        ended |= size == 0;
    }
    bytes.drain(..at);
    ended
}
