//! What a client offers in `Sec-WebSocket-Extensions`: any text is answered or passed over, an
//! answer is one that clients understand and asks nothing of them that they did not offer; and
//! an offer that can't be accepted never hides the next one.
//!
//! Input: one byte for what the server may keep (bits 0 and 1), then the header's value.

use bellwire_wire::websocket::handshake::{Compression, Handshake, Memory, accept_key, validate};

const KEY: &[u8] = b"dGhlIHNhbXBsZSBub25jZQ==";

/// Asserts all of the above.
///
/// # Panics
/// Where the negotiation breaks a promise.
pub fn check(data: &[u8]) {
    let Some((&config, value)) = data.split_first() else {
        return;
    };
    let memory = Memory {
        server: config & 1 != 0,
        client: config & 2 != 0,
    };
    let agreed = handshake(&[value], |handshake| {
        Compression::accept(handshake.extensions(), memory)
    });
    if let Some(agreed) = agreed {
        let answer = agreed.to_string();
        let read = Compression::of_answer([answer.as_str()]);
        assert_eq!(read, Ok(Some(agreed)), "{answer}");
        assert!(memory.server || !agreed.server_keeps_context);
        assert!(memory.client || !agreed.client_keeps_context);
        assert!(!answer.contains("client_max_window_bits"));
    }
    let followed = handshake(&[value, b"permessage-deflate"], |handshake| {
        Compression::accept(handshake.extensions(), memory)
    });
    assert!(followed.is_some(), "what comes last can be accepted");
    assert!(agreed.is_none() || agreed == followed, "the first wins");
}

fn handshake<T>(extensions: &[&[u8]], read: impl FnOnce(&Handshake<'_>) -> T) -> T {
    let mut headers: Vec<(&str, &[u8])> = vec![
        ("upgrade", b"websocket"),
        ("connection", b"Upgrade"),
        ("sec-websocket-version", b"13"),
        ("sec-websocket-key", KEY),
    ];
    headers.extend(
        extensions
            .iter()
            .map(|value| ("sec-websocket-extensions", *value)),
    );
    let handshake = validate("GET", true, headers);
    let handshake = handshake.expect("an extension never refuses the handshake");
    assert_eq!(handshake.accept_key(), accept_key(KEY));
    read(&handshake)
}
