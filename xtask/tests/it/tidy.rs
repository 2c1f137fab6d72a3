//! House rules that no compiler checks: a file says what it is for, is short, and leaves no
//! promise behind.

use std::fs;

use crate::tree;

/// Lines of a file that are not its unit tests.
const MAX_LINES: usize = 600;

#[test]
fn every_rust_file_opens_with_what_it_is_for() {
    for (path, text) in tree::files(&["rs"]) {
        assert!(text.starts_with("//! "), "{path} does not open with `//! `");
    }
}

#[test]
fn no_file_is_longer_than_600_lines_without_its_unit_tests() {
    for (path, text) in tree::files(&["rs", "js", "mjs"]) {
        let code = text.split("\n#[cfg(test)]\nmod tests {").next().unwrap();
        let lines = code.lines().count();
        assert!(lines <= MAX_LINES, "{path} has {lines} lines; split it");
    }
}

#[test]
fn nothing_is_left_to_be_done_and_no_test_is_passed_over() {
    // In two parts, so that this file is not its own finding.
    let words = [
        ["TO", "DO"],
        ["FIX", "ME"],
        ["#[ig", "nore"],
        ["todo", "!("],
        ["unimplem", "ented!("],
    ];
    for (path, text) in tree::files(&["rs", "js", "mjs", "py", "rb", "php", "sh", "toml"]) {
        for word in words.map(|parts| parts.concat()) {
            assert!(
                !text.contains(&word),
                "{path} has {word}; see docs/known-gaps.md"
            );
        }
    }
}

#[test]
fn the_fuzzer_has_one_version() {
    let script = fs::read_to_string(tree::root().join("fuzz/run.sh")).unwrap();
    let needs = fs::read_to_string(tree::root().join("xtask/src/needs.rs")).unwrap();
    let (_, rest) = script.split_once("\nversion=").unwrap();
    let version = rest.lines().next().unwrap();
    assert!(
        needs.contains(&format!("CARGO_FUZZ: &str = \"{version}\"")),
        "{version}"
    );
}

#[test]
fn the_readme_names_the_command_that_ci_runs() {
    let command = "cargo xtask check --install";
    let readme = fs::read_to_string(tree::root().join("README.md")).unwrap();
    let run = fs::read_to_string(tree::root().join(".ci/run")).unwrap();
    assert!(readme.lines().any(|line| line == command));
    assert!(run.lines().any(|line| line == format!("exec {command}")));
}
