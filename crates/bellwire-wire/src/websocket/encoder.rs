//! Writes frames. The server's are unmasked, so that one encoded publication serves every
//! connection; the client's are masked with a key that the caller draws at random.

use super::close;
use super::frame::{self, MAX_HEADER_LEN, Opcode};
use super::mask;

/// The header of a frame of 126 to 65,535 bytes, which most are.
const USUAL_HEADER_LEN: usize = 4;

/// Appends the header of an unmasked frame whose payload of `payload_len` bytes the caller
/// writes after it.
pub fn encode_header(out: &mut Vec<u8>, opcode: Opcode, fin: bool, payload_len: usize) {
    frame::write_header(out, opcode, fin, payload_len, None);
}

/// Appends an unmasked, unfragmented frame, as servers send it.
pub fn encode_frame(out: &mut Vec<u8>, opcode: Opcode, payload: &[u8]) {
    out.reserve(frame::header_len(payload.len()) + payload.len());
    encode_header(out, opcode, true, payload.len());
    out.extend_from_slice(payload);
}

/// Appends an unmasked, unfragmented frame whose payload is what `write` appends.
///
/// The payload is written behind a header of the usual length, and moved once where it turns out
/// to be one of few bytes or very many.
pub fn write_frame(out: &mut Vec<u8>, opcode: Opcode, write: impl FnOnce(&mut Vec<u8>)) {
    let start = out.len();
    let content = start + USUAL_HEADER_LEN;
    out.resize(content, 0);
    write(out);
    debug_assert!(out.len() >= content, "a frame's writer only appends");
    let payload_len = out.len() - content;
    let behind = start + frame::header_len(payload_len);
    if behind != content {
        out.resize(out.len().max(behind + payload_len), 0);
        out.copy_within(content..content + payload_len, behind);
        out.truncate(behind + payload_len);
    }
    frame::put_header(&mut out[start..], opcode, true, payload_len);
}

/// Takes the first of some frames apart that this module wrote: its opcode, its payload, and the
/// frames behind it. `None` where there is none.
pub fn split_frame(frames: &[u8]) -> Option<(Opcode, &[u8], &[u8])> {
    let (header, header_len) = frame::Header::parse(frames, false).ok()??;
    let behind = frames.get(header_len..)?;
    let payload_len = usize::try_from(header.payload_len).ok()?;
    let (payload, rest) = behind.split_at_checked(payload_len)?;
    Some((header.opcode, payload, rest))
}

/// Appends a masked, unfragmented frame, as clients send it. `key` must be unpredictable
/// (RFC 6455 §10.3).
pub fn encode_masked_frame(out: &mut Vec<u8>, opcode: Opcode, payload: &[u8], key: [u8; 4]) {
    out.reserve(MAX_HEADER_LEN + payload.len());
    frame::write_header(out, opcode, true, payload.len(), Some(key));
    let start = out.len();
    out.extend_from_slice(payload);
    mask::apply(&mut out[start..], key);
}

/// Appends a server's close frame; `reason` is cut to 123 bytes between characters. A close
/// without a code is an empty [`encode_frame`] with [`Opcode::Close`].
pub fn encode_close(out: &mut Vec<u8>, code: u16, reason: &str) {
    let reason = close::fit(reason);
    encode_header(out, Opcode::Close, true, 2 + reason.len());
    out.extend_from_slice(&code.to_be_bytes());
    out.extend_from_slice(reason.as_bytes());
}

/// Appends a client's close frame; as [`encode_close`], masked with `key`.
pub fn encode_masked_close(out: &mut Vec<u8>, code: u16, reason: &str, key: [u8; 4]) {
    let reason = close::fit(reason);
    frame::write_header(out, Opcode::Close, true, 2 + reason.len(), Some(key));
    let start = out.len();
    out.extend_from_slice(&code.to_be_bytes());
    out.extend_from_slice(reason.as_bytes());
    mask::apply(&mut out[start..], key);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_examples_of_rfc_6455_section_5_7_are_met() {
        let mut out = Vec::new();
        encode_frame(&mut out, Opcode::Text, b"Hello");
        assert_eq!(out, b"\x81\x05Hello");

        out.clear();
        encode_masked_frame(&mut out, Opcode::Text, b"Hello", [0x37, 0xfa, 0x21, 0x3d]);
        assert_eq!(out, b"\x81\x85\x37\xfa\x21\x3d\x7f\x9f\x4d\x51\x58");

        out.clear();
        encode_header(&mut out, Opcode::Binary, true, 256);
        assert_eq!(out, b"\x82\x7e\x01\x00");

        out.clear();
        encode_header(&mut out, Opcode::Binary, true, 65_536);
        assert_eq!(out, b"\x82\x7f\x00\x00\x00\x00\x00\x01\x00\x00");
    }

    #[test]
    fn a_payload_that_is_written_in_place_gets_the_header_of_its_length() {
        for length in [0, 1, 2, 125, 126, 65_535, 65_536] {
            let payload = vec![b'x'; length];
            let (mut out, mut expected) = (b"before".to_vec(), b"before".to_vec());
            write_frame(&mut out, Opcode::Text, |out| {
                out.extend_from_slice(&payload);
            });
            encode_frame(&mut expected, Opcode::Text, &payload);
            assert_eq!(out, expected, "{length}");
        }
    }

    #[test]
    fn frames_that_were_written_can_be_taken_apart() {
        let mut out = Vec::new();
        let payloads = [vec![], vec![b'x'; 125], vec![b'y'; 126], vec![b'z'; 70_000]];
        for payload in &payloads {
            encode_frame(&mut out, Opcode::Binary, payload);
        }
        let mut frames = out.as_slice();
        for expected in &payloads {
            let (opcode, payload, rest) = split_frame(frames).expect("a frame");
            assert_eq!((opcode, payload), (Opcode::Binary, expected.as_slice()));
            frames = rest;
        }
        assert_eq!(split_frame(frames), None);
    }

    #[test]
    fn a_close_frame_never_exceeds_a_control_payload() {
        let mut out = Vec::new();
        encode_close(&mut out, close::DRAIN, &"x".repeat(500));
        assert_eq!(out.len(), 2 + 125);
        assert_eq!(out[..4], [0x88, 125, 0x03, 0xf4]);
    }
}
