//! Masking (RFC 6455 §5.3): XOR with a repeating 4-byte key. Called by the decoder and by the
//! client half of the encoder.

/// Masks or unmasks `payload` in place and returns the key turned so that it fits the byte that
/// follows, for payloads that arrive in pieces.
pub(super) fn apply(payload: &mut [u8], key: [u8; 4]) -> [u8; 4] {
    // Eight bytes at a time, in a plain loop that the compiler turns into vector instructions.
    let [a, b, c, d] = key;
    let wide = u64::from_ne_bytes([a, b, c, d, a, b, c, d]);
    let (chunks, tail) = payload.as_chunks_mut::<8>();
    for chunk in chunks {
        *chunk = (u64::from_ne_bytes(*chunk) ^ wide).to_ne_bytes();
    }
    if tail.is_empty() {
        return key;
    }
    for (byte, key) in tail.iter_mut().zip(key.iter().cycle()) {
        *byte ^= key;
    }
    let turn = [0, 8, 16, 24][tail.len() % 4];
    u32::from_be_bytes(key).rotate_left(turn).to_be_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_of_any_size_mask_like_the_whole() {
        let key = [0x37, 0xfa, 0x21, 0x3d];
        let plain: Vec<u8> = (0..=99).collect();
        let expected: Vec<u8> = plain
            .iter()
            .zip(key.iter().cycle())
            .map(|(byte, key)| byte ^ key)
            .collect();
        for size in 1..=plain.len() {
            let mut masked = plain.clone();
            let mut turned = key;
            for piece in masked.chunks_mut(size) {
                turned = apply(piece, turned);
            }
            assert_eq!(masked, expected, "pieces of {size}");
        }
    }
}
