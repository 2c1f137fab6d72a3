//! Replays the committed fuzz corpus, so that a past finding stays fixed on every test run.
#![expect(
    clippy::unwrap_used,
    reason = "a test fails by panicking, its helpers too"
)]

use std::path::Path;

#[expect(
    unreachable_pub,
    reason = "public in the fuzz crate, which owns the file"
)]
#[path = "../../../../fuzz/src/commands.rs"]
mod commands_check;

#[expect(
    unreachable_pub,
    reason = "public in the fuzz crate, which owns the file"
)]
#[path = "../../../../fuzz/src/cursor.rs"]
mod cursor_check;

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
fn the_cursor_corpus_holds() {
    replay("cursor", cursor_check::check);
}

#[test]
fn the_commands_corpus_holds() {
    replay("commands", commands_check::check);
}
