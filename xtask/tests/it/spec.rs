//! The page about the protocol leaves out nothing that the machine-readable files list.

use std::fs;

use serde_json::Value;

use crate::tree;

fn read(path: &str) -> String {
    fs::read_to_string(tree::root().join(path)).unwrap()
}

#[test]
fn every_endpoint_is_in_the_protocol() {
    let protocol = read("spec/protocol.md");
    let document = read("crates/bellwire-server/openapi.json");
    let document: Value = serde_json::from_str(&document).unwrap();
    for path in document["paths"].as_object().unwrap().keys() {
        // The files of the start page are its own business.
        let known = path.starts_with("/assets/") || protocol.contains(path.as_str());
        assert!(known, "{path} is not in spec/protocol.md");
    }
}

#[test]
fn every_close_code_is_in_the_protocol() {
    let protocol = read("spec/protocol.md");
    let codes = read("spec/codes.toml");
    let closes: Vec<&str> = codes.split("[[close]]").skip(1).collect();
    assert!(
        closes.len() > 10,
        "the layout of spec/codes.toml has changed"
    );
    for close in closes {
        let (_, rest) = close.split_once("code = ").unwrap();
        let code = rest.lines().next().unwrap();
        assert!(protocol.contains(code), "{code} is not in spec/protocol.md");
    }
}
