//! The snippets in `examples/tokens` print tokens that the server accepts.

use std::process::Command;

use bellwire_core::{access::Right, channel::Pattern, time::Now};

use crate::access::keyring;

const SECRET: &str = "a secret for examples, at least 32 bytes";

fn now() -> Now {
    let since = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .unwrap();
    Now {
        mono: 0,
        wall: u64::try_from(since.as_millis()).unwrap(),
    }
}

/// Runs a snippet; a missing runtime is a failure that names what to install.
fn mint(runtime: &str, package: &str, file: &str) {
    let path = format!(
        "{}/../../examples/tokens/{file}",
        env!("CARGO_MANIFEST_DIR")
    );
    let output = Command::new(runtime)
        .arg(&path)
        .env("SECRET", SECRET)
        .env("SUB", "Zoë \"Z\"")
        .output()
        .unwrap_or_else(|error| panic!("{runtime}: {error}; install the Debian package {package}"));
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{file}: {errors}");
    let token = String::from_utf8(output.stdout).unwrap();
    let key = format!("HS256:{SECRET}");
    let verified = keyring(&[("jwt-key", &[&key])])
        .token(token.trim(), now())
        .unwrap();
    assert_eq!(verified.user.as_str(), "Zoë \"Z\"", "{file}");
    let expected = [Pattern::parse("room:*").unwrap()];
    assert_eq!(
        *verified.permissions.of(Right::Subscribe),
        expected,
        "{file}"
    );
    let left = verified.expires - now().wall;
    assert!((3_500_000..=3_600_000).contains(&left), "{file}: {left} ms");
}

#[test]
fn python_mints() {
    mint("python3", "python3", "mint.py");
}

#[test]
fn node_mints() {
    mint("node", "nodejs", "mint.mjs");
}

#[test]
fn ruby_mints() {
    mint("ruby", "ruby", "mint.rb");
}

#[test]
fn php_mints() {
    mint("php", "php-cli", "mint.php");
}

#[test]
fn the_page_about_tokens_shows_what_the_file_has() {
    let read = |path: &str| {
        std::fs::read_to_string(format!("{}/../../{path}", env!("CARGO_MANIFEST_DIR"))).unwrap()
    };
    let page = read("docs/tokens.md");
    let (_, rest) = page.split_once("```python\n").unwrap();
    let (shown, _) = rest.split_once("```").unwrap();
    assert!(read("examples/tokens/mint.py").contains(shown));
}
