//! permessage-deflate on real sockets: what is agreed on, that a broadcast is compressed once,
//! and what bombs and floods of fragments cost.

use std::{fs, io::Write as _, time::Instant};

use bellwire_testkit::{
    http::{Link, Request},
    process::{Server, raise_descriptor_limit},
    raw::{Crowd, Item, Stream, WebSocket},
    wait::{self, SOON},
};
use bellwire_wire::websocket::{Compressor, Opcode, WindowBits, encode_masked_frame};
use serde_json::{Value, json};

use crate::{dev_with, handshakes::handshake, publish, say};

const SHARED: [&str; 2] = ["--websocket-compression", "shared"];
const BROWSERS: &str = "permessage-deflate; client_max_window_bits";
/// The answer where neither side keeps a context.
const NOTHING_KEPT: &str =
    "permessage-deflate; server_no_context_takeover; client_no_context_takeover";
const MASK: [u8; 4] = [7, 77, 177, 27];
/// What stands between two messages that are compressed one by one and sent as one.
const FLUSHED: [u8; 4] = [0, 0, 0xff, 0xff];

fn offering(server: &Server, target: &str, offer: &str) -> WebSocket {
    WebSocket::open_offering(server.address(), target, offer).expect("the handshake succeeds")
}

fn agreed(server: &Server, offer: &str) -> Option<String> {
    let socket = offering(server, "/v1/ws?channel=news", offer);
    let agreed = socket.head().header("sec-websocket-extensions");
    agreed.map(ToOwned::to_owned)
}

#[test]
fn compression_is_off_unless_it_is_set() {
    let server = dev_with(&[]);
    assert_eq!(agreed(&server, BROWSERS), None);
}

#[test]
fn an_offer_is_answered_or_declined_but_never_refused() {
    let server = dev_with(&SHARED);
    for (offer, answer) in [
        (BROWSERS, Some(NOTHING_KEPT.to_owned())),
        (
            "permessage-deflate; server_max_window_bits=9",
            Some(format!("{NOTHING_KEPT}; server_max_window_bits=9")),
        ),
        (
            "permessage-deflate; server_max_window_bits=8, permessage-deflate",
            Some(NOTHING_KEPT.to_owned()),
        ),
        ("permessage-deflate; unknown", None),
        ("permessage-deflate; server_max_window_bits=8", None),
        ("x-webkit-deflate-frame; =, b@d \"", None),
    ] {
        assert_eq!(agreed(&server, offer), answer, "{offer}");
    }
}

#[test]
fn messages_of_every_kind_are_the_same_compressed() {
    let server = dev_with(&SHARED);
    let long = json!({"text": "goal ".repeat(100)});
    let mut enveloped = offering(&server, "/v1/ws?channel=news", BROWSERS);
    enveloped.hello();
    let mut small = offering(
        &server,
        "/v1/ws?channel=news",
        "permessage-deflate; server_max_window_bits=9",
    );
    small.hello();
    let id = publish(&server, "news", &long);
    publish(&server, "news", &json!(2));
    assert_eq!(enveloped.data(2), [long.clone(), json!(2)]);
    assert_eq!(small.data(2), [long.clone(), json!(2)]);
    assert_eq!(
        (enveloped.compressed(), small.compressed()),
        (1, 1),
        "2 is short"
    );

    // What the client sends may be compressed, too, and answers are not.
    let command = json!({"req": 1, "history": {"channel": "news", "order": "asc", "limit": 1}});
    let command = stored(command.to_string().as_bytes());
    enveloped.send_bytes(&framed(Opcode::Text, &[&command], true));
    let Item::Reply(reply) = enveloped.item() else {
        panic!("a reply is awaited")
    };
    assert_eq!(reply["history"]["messages"][0]["id"], id);
    assert_eq!(enveloped.compressed(), 1);

    let mut raw = offering(
        &server,
        "/v1/ws?channel=news&format=raw&cursor=earliest",
        BROWSERS,
    );
    let payload = Item::Named("text".to_owned(), long.to_string());
    assert_eq!((raw.item(), raw.compressed()), (payload, 1));
}

#[test]
fn a_broadcast_to_a_thousand_is_compressed_once() {
    const READERS: usize = 1_000;
    raise_descriptor_limit();
    let server = Server::builder(env!("CARGO_BIN_EXE_bellwire"))
        .args(["--dev", "--shards", "1"])
        .args(SHARED)
        .start();
    let mut crowd = Crowd::default();
    for _ in 0..READERS {
        let request = handshake("/v1/ws?channel=news", &[]);
        let mut link = Link::connect(server.address());
        link.send(&request.header("sec-websocket-extensions", BROWSERS));
        crowd.add(link);
    }
    let greeted = crowd.read_until(SOON, |crowd| {
        crowd.members().iter().all(|member| member.has("hello"))
    });
    assert!(greeted);
    let compressions = || -> u64 {
        let metrics = Request::get("/metrics").send(server.address()).text();
        let line = metrics
            .lines()
            .find_map(|line| line.strip_prefix("bellwire_compressions_total "));
        line.and_then(|count| count.parse().ok()).expect("a count")
    };
    assert_eq!(compressions(), 0, "hello goes out as it is");
    let lengths: Vec<usize> = crowd
        .members()
        .iter()
        .map(|member| member.received.len())
        .collect();
    publish(&server, "news", &json!("score ".repeat(200)));
    let delivered = crowd.read_until(SOON, |crowd| {
        let members = crowd.members().iter().zip(&lengths);
        members
            .into_iter()
            .all(|(member, before)| member.received.len() > *before)
    });
    assert!(delivered);
    assert_eq!(compressions(), 1);
    for (member, before) in crowd.members().iter().zip(&lengths) {
        assert_eq!(member.received[*before], 0xc1, "a compressed text frame");
    }
}

#[test]
fn contexts_are_kept_as_far_as_their_memory_lasts() {
    let server = Server::builder(env!("CARGO_BIN_EXE_bellwire"))
        .args([
            "--dev",
            "--shards",
            "1",
            "--websocket-compression",
            "context",
        ])
        .args(["--limits-compression-memory", "1MiB"])
        .start();
    let open = || {
        let mut socket = offering(&server, "/v1/ws?channel=news", BROWSERS);
        socket.hello();
        let agreed = socket.head().header("sec-websocket-extensions");
        let keeps = agreed == Some("permessage-deflate");
        assert!(keeps || agreed == Some(NOTHING_KEPT), "{agreed:?}");
        (socket, keeps)
    };
    let (mut first, keeps) = open();
    assert!(keeps);
    let (mut second, keeps) = open();
    assert!(keeps);
    let (mut third, keeps) = open();
    assert!(!keeps, "two contexts fit into a mebibyte");
    let news: Vec<Value> = (0..50)
        .map(|n| json!({"text": "goal ".repeat(30), "minute": n}))
        .collect();
    for message in &news {
        publish(&server, "news", message);
    }
    for socket in [&mut first, &mut second, &mut third] {
        assert_eq!(socket.data(news.len()), news);
        assert_eq!(socket.compressed(), news.len());
    }
    assert!(
        2 * first.compressed_bytes() < third.compressed_bytes(),
        "{} bytes with context, {} without",
        first.compressed_bytes(),
        third.compressed_bytes()
    );
    Box::new(first).cut();
    let again = wait::within(SOON, "the memory of who left is free", || {
        let (socket, keeps) = open();
        keeps.then_some(socket)
    });
    drop(again);
}

#[test]
fn a_client_may_refer_to_its_own_earlier_messages() {
    let server = dev_with(&["--websocket-compression", "context"]);
    let mut socket = offering(&server, "/v1/echo", BROWSERS);
    let mut compressor = Compressor::new(WindowBits::FULL, true);
    let message = noise(500);
    let message: String = message
        .iter()
        .map(|byte| char::from(byte % 64 + 48))
        .collect();
    let mut lengths = Vec::new();
    for _ in 0..3 {
        let mut compressed = Vec::new();
        assert!(compressor.compress(message.as_bytes(), &mut compressed));
        lengths.push(compressed.len());
        socket.send_bytes(&framed(Opcode::Text, &[&compressed], true));
        let echoed = Item::Named("text".to_owned(), message.clone());
        assert_eq!(socket.item(), echoed);
    }
    assert!(lengths[1] < 50 && lengths[2] < 50, "{lengths:?}");
    assert_eq!(socket.compressed(), 3);
    assert!(socket.compressed_bytes() < lengths[0] + 100);
}

#[test]
fn a_bomb_is_cut_at_the_limit_while_it_is_decompressed() {
    const LIMIT: u64 = 8 << 20;
    let limit = LIMIT.to_string();
    let server = dev_with(&[
        SHARED[0],
        SHARED[1],
        "--limits-max-message-bytes",
        &limit,
        "--limits-max-echo-bytes",
        &limit,
    ]);
    // A mebibyte of zeros, 1,024 times.
    let mut bomb = Vec::new();
    Compressor::new(WindowBits::FULL, false).compress(&vec![0; 1 << 20], &mut bomb);
    bomb.extend(FLUSHED);
    let bomb = bomb.repeat(1_024);
    for target in ["/v1/ws?channel=news", "/v1/echo"] {
        for opcode in [Opcode::Text, Opcode::Binary] {
            for fragments in [1, 1_000] {
                let before = peak_bytes(&server);
                let mut socket = offering(&server, target, BROWSERS);
                let pieces: Vec<&[u8]> = bomb.chunks(bomb.len().div_ceil(fragments)).collect();
                // The server may hang up on a busy machine before all of it was sent.
                let bomb = framed(opcode, &pieces, true);
                socket.link().stream().write_all(&bomb).ok();
                assert_eq!(close_code(&mut socket), 1009, "{target}");
                let growth = peak_bytes(&server) - before;
                say(&format!(
                    "a bomb of {} bytes in {fragments} frames to {target}: {growth} bytes",
                    bomb.len()
                ));
                assert!(growth < LIMIT, "{growth} bytes");
            }
        }
    }
    assert_serves(&server);
}

#[test]
fn a_message_in_a_million_pieces_of_a_byte_comes_back() {
    const BYTES: usize = 1_000_000;
    let server = dev_with(&SHARED);
    for compress in [false, true] {
        let before = (peak_bytes(&server), server.cpu_time());
        let mut socket = offering(&server, "/v1/echo", BROWSERS);
        let mut message = noise(BYTES);
        let expected = message.clone();
        if compress {
            // Noise as it is, with the marks that make it deflate.
            message = stored(&message);
        }
        let pieces: Vec<&[u8]> = message.chunks(1).collect();
        socket.send_bytes(&framed(Opcode::Binary, &pieces, compress));
        let Item::Binary(echoed) = until(&mut socket, |item| matches!(item, Item::Binary(_)))
        else {
            unreachable!("just looked at")
        };
        assert!(echoed == expected, "{} bytes came back", echoed.len());
        let growth = peak_bytes(&server) - before.0;
        let time = server.cpu_time() - before.1;
        say(&format!(
            "{BYTES} fragments of a byte: {growth} bytes, {time:?} of this build"
        ));
        assert!(growth < 16 << 20, "{growth} bytes");
    }
}

#[test]
fn a_flood_of_fragments_beyond_the_limit_or_empty_ends_the_connection() {
    let server = dev_with(&SHARED);
    let before = peak_bytes(&server);
    for (target, payload) in [
        ("/v1/ws?channel=news", &b"x"[..]),
        ("/v1/ws?channel=news", b""),
        ("/v1/echo", b""),
    ] {
        for compressed in [false, true] {
            let socket = offering(&server, target, BROWSERS);
            let pieces = vec![payload; 1_000_000];
            let flood = framed(Opcode::Binary, &pieces, compressed);
            let mut stream = socket.link().stream();
            // The server hangs up somewhere in between.
            let cut = flood
                .chunks(64 << 10)
                .find(|chunk| stream.write_all(chunk).is_err());
            assert!(cut.is_some() || is_cut(socket), "{target}");
        }
    }
    let growth = peak_bytes(&server) - before;
    say(&format!("floods of a million fragments: {growth} bytes"));
    assert!(growth < 16 << 20, "{growth} bytes");
    assert_serves(&server);
}

#[test]
fn bad_deflate_and_bad_text_inside_of_it_end_with_1007() {
    let server = dev_with(&SHARED);
    let bad_text = {
        let mut out = Vec::new();
        Compressor::new(WindowBits::FULL, false).compress(&[0xce; 200], &mut out);
        out
    };
    for (payload, code) in [(&b"\xff\xff\xff"[..], 1007), (&bad_text, 1007)] {
        let mut socket = offering(&server, "/v1/echo", BROWSERS);
        socket.send_bytes(&framed(Opcode::Text, &[payload], true));
        assert_eq!(close_code(&mut socket), code);
    }
    // Without the agreement the bit is a violation, as it is on a continuation.
    let mut socket = offering(&server, "/v1/echo", "x-other");
    socket.send_bytes(&framed(Opcode::Text, &[b"x"], true));
    assert_eq!(close_code(&mut socket), 1002);
}

/// A message in as many frames as there are pieces, marked as compressed or not.
fn framed(opcode: Opcode, pieces: &[&[u8]], compressed: bool) -> Vec<u8> {
    let mut out = Vec::new();
    for (nth, piece) in pieces.iter().enumerate() {
        let start = out.len();
        let opcode = if nth == 0 {
            opcode
        } else {
            Opcode::Continuation
        };
        encode_masked_frame(&mut out, opcode, piece, MASK);
        if nth + 1 < pieces.len() {
            out[start] &= 0x7f;
        }
        if nth == 0 && compressed {
            out[start] |= 0x40;
        }
    }
    out
}

/// Deflate that does not compress (RFC 1951 §3.2.4).
fn stored(bytes: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    for block in bytes.chunks(0xffff) {
        let length = u16::try_from(block.len()).expect("a block is short");
        out.push(0);
        out.extend(length.to_le_bytes());
        out.extend((!length).to_le_bytes());
        out.extend(block);
    }
    out.push(0);
    out
}

/// Bytes that do not compress (xorshift).
fn noise(count: usize) -> Vec<u8> {
    let mut state = 0x2545_f491_4f6c_dd1d_u64;
    let next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()[3]
    };
    std::iter::repeat_with(next).take(count).collect()
}

fn until(socket: &mut WebSocket, wanted: impl Fn(&Item) -> bool) -> Item {
    let deadline = Instant::now() + SOON;
    loop {
        let item = socket.next(deadline).expect("the connection stays open");
        if wanted(&item) {
            return item;
        }
    }
}

fn close_code(socket: &mut WebSocket) -> u16 {
    match until(socket, |item| matches!(item, Item::End(_))) {
        Item::End(Some((code, _))) => code,
        other => panic!("{other:?} instead of a close frame"),
    }
}

/// Whether a connection has ended, in whatever way.
fn is_cut(mut socket: WebSocket) -> bool {
    let deadline = Instant::now() + SOON;
    loop {
        match socket.next(deadline) {
            Ok(Item::End(_)) => return true,
            Ok(_) => {}
            Err(error) => return error.kind() != std::io::ErrorKind::TimedOut,
        }
    }
}

/// The most memory that a server ever had in use.
fn peak_bytes(server: &Server) -> u64 {
    let status = fs::read_to_string(format!("/proc/{}/status", server.pid())).expect("it runs");
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kib = line
        .and_then(|line| line.trim().strip_suffix(" kB"))
        .expect("in KiB");
    kib.parse::<u64>().expect("a number") << 10
}

fn assert_serves(server: &Server) {
    let mut socket = offering(server, "/v1/ws?channel=healthy", BROWSERS);
    socket.hello();
    publish(server, "healthy", &json!(1));
    assert_eq!(socket.data(1), [json!(1)]);
    wait::until("the others are gone", || {
        let connections = Request::get("/v1/connections").send(server.address());
        connections.json()["connections"]
            .as_array()
            .is_some_and(|all| all.len() == 1)
    });
}
