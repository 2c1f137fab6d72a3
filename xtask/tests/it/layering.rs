//! Dependencies between crates point in one direction, and the pure ones stay pure.

use std::process::Command;

use serde_json::Value;

use crate::tree;

/// Each crate with the workspace's crates that it may use.
const ALLOWED: &[(&str, &[&str])] = &[
    ("bellwire-wire", &[]),
    ("bellwire-core", &["bellwire-wire"]),
    ("bellwire-client", &["bellwire-wire", "bellwire-core"]),
    ("bellwire-server", &["bellwire-wire", "bellwire-core"]),
    (
        "bellwire",
        &[
            "bellwire-wire",
            "bellwire-core",
            "bellwire-client",
            "bellwire-server",
            "bellwire-bench",
        ],
    ),
    (
        "bellwire-testkit",
        &[
            "bellwire-wire",
            "bellwire-core",
            "bellwire-client",
            "bellwire-server",
        ],
    ),
    // Of the client only whom it trusts.
    (
        "bellwire-bench",
        &["bellwire-wire", "bellwire-client", "bellwire-server"],
    ),
    ("xtask", &[]),
];

/// Crates without sockets, threads and clocks, and what would bring them in.
const PURE: [&str; 2] = ["bellwire-wire", "bellwire-core"];
const IMPURE: [&str; 7] = [
    "tokio",
    "hyper",
    "hyper-util",
    "socket2",
    "rustix",
    "mio",
    "tracing-subscriber",
];

/// A dependency: of whom, what, and whether only for tests.
struct Arrow {
    from: String,
    to: String,
    dev: bool,
}

fn arrows() -> Vec<Arrow> {
    let output = Command::new(env!("CARGO"))
        .current_dir(tree::root())
        .args([
            "metadata",
            "--no-deps",
            "--format-version",
            "1",
            "--offline",
        ])
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let metadata: Value = serde_json::from_slice(&output.stdout).unwrap();
    let mut arrows = Vec::new();
    for package in metadata["packages"].as_array().unwrap() {
        for dependency in package["dependencies"].as_array().unwrap() {
            arrows.push(Arrow {
                from: package["name"].as_str().unwrap().to_owned(),
                to: dependency["name"].as_str().unwrap().to_owned(),
                dev: dependency["kind"] == "dev",
            });
        }
    }
    assert!(
        arrows.len() > 20,
        "the format of cargo metadata has changed"
    );
    arrows
}

fn is_ours(name: &str) -> bool {
    ALLOWED.iter().any(|(ours, _)| *ours == name)
}

#[test]
fn crates_depend_downwards_only() {
    for Arrow { from, to, dev } in arrows() {
        let allowed = ALLOWED.iter().find(|(name, _)| *name == from);
        let (_, allowed) = allowed.unwrap_or_else(|| panic!("{from} has no place in the layers"));
        if !is_ours(&to) || dev {
            continue;
        }
        assert!(
            allowed.contains(&to.as_str()),
            "{from} must not depend on {to}"
        );
    }
}

#[test]
fn wire_and_core_bring_no_input_or_output() {
    for Arrow { from, to, dev } in arrows() {
        let impure = IMPURE.contains(&to.as_str());
        assert!(
            dev || !impure || !PURE.contains(&from.as_str()),
            "{from} must not use {to}"
        );
    }
}

#[test]
fn one_source_of_cryptography_is_built() {
    // Two of them, and rustls would refuse to choose where nobody names one.
    let output = Command::new(env!("CARGO"))
        .current_dir(tree::root())
        .args(["tree", "--workspace", "--prefix", "none", "--offline"])
        .output()
        .unwrap();
    let built = String::from_utf8_lossy(&output.stdout);
    assert!(built.contains("aws-lc-rs v"), "{output:?}");
    for other in ["ring v", "openssl v", "native-tls v"] {
        let found = built.lines().find(|line| line.starts_with(other));
        assert_eq!(found, None, "cargo tree --invert {other} says for whom");
    }
}
