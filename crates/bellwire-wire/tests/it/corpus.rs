//! Replays the committed fuzz corpus, so that a past finding stays fixed on every test run.

use std::path::Path;

fn replay(target: &str, check: fn(&[u8])) {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../../fuzz/corpus")
        .join(target);
    let mut seeds = 0;
    for entry in std::fs::read_dir(&corpus).unwrap() {
        check(&std::fs::read(entry.unwrap().path()).unwrap());
        seeds += 1;
    }
    assert!(seeds > 0, "no seeds in {}", corpus.display());
}

#[test]
fn the_extensions_corpus_holds() {
    replay("extensions", crate::extensions_check::check);
}

#[test]
fn the_inflate_corpus_holds() {
    replay("inflate", crate::inflate_check::check);
}

#[test]
fn the_frame_decoder_corpus_holds() {
    replay("frame_decoder", crate::frame_check::check);
}

#[test]
fn the_handshake_corpus_holds() {
    replay("handshake", crate::handshake_check::check);
}

#[test]
fn the_proxy_header_corpus_holds() {
    replay("proxy_header", crate::proxy_header_check::check);
}

#[test]
fn the_sse_parser_corpus_holds() {
    replay("sse_parser", crate::sse_check::check);
}
