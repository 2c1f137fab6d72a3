//! Tokens, keys, origins and development mode, through the public interface.

mod api_keys;
mod dev_mode;
mod forged_tokens;
mod gate;
mod origins;
mod tokens;

use std::net::SocketAddr;

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use bellwire_core::time::Now;
use bellwire_server::{
    access::{Gate, Keyring, Policy},
    config::{Config, Layers, load},
};
use http::{Request, request::Parts};
use jsonwebtoken::{Algorithm, EncodingKey, crypto::sign};

/// The wall clock of these tests, in seconds.
pub(crate) const NOW_S: u64 = 1_800_000_000;

pub(crate) const SECRET: &str = "a secret of these tests, 32 bytes or more";

pub(crate) fn now() -> Now {
    Now {
        mono: 1_000,
        wall: NOW_S * 1_000,
    }
}

pub(crate) fn key_file(name: &str) -> String {
    format!("{}/tests/it/keys/{name}", env!("CARGO_MANIFEST_DIR"))
}

pub(crate) fn config(flags: &[(&str, &[&str])]) -> Config {
    let mut layers = Layers::default();
    for (flag, values) in flags {
        layers = layers.with_flag(flag, values.iter().map(|&value| value.to_owned()).collect());
    }
    load(&layers).unwrap().config
}

pub(crate) fn keyring(flags: &[(&str, &[&str])]) -> Keyring {
    Keyring::new(&config(flags))
}

fn gate(flags: &[(&str, &[&str])]) -> Gate {
    Gate::new(Policy::new(&config(flags)).unwrap())
}

/// A gate with the tests' secret and other flags.
fn gate_with_secret(flags: &[(&str, &[&str])]) -> Gate {
    let key = format!("HS256:{SECRET}");
    let values = [key.as_str()];
    let mut all: Vec<(&str, &[&str])> = vec![("jwt-key", &values)];
    all.extend(flags);
    gate(&all)
}

fn peer() -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], 50_000))
}

fn get(uri: &str, headers: &[(&str, &str)]) -> Parts {
    request("GET", uri, headers)
}

fn request(method: &str, uri: &str, headers: &[(&str, &str)]) -> Parts {
    let mut builder = Request::builder().method(method).uri(uri);
    for (name, value) in headers {
        builder = builder.header(*name, *value);
    }
    builder.body(()).unwrap().into_parts().0
}

/// Any header and payload text, signed.
fn signed(header: &str, payload: &str, key: &EncodingKey, algorithm: Algorithm) -> String {
    let message = format!(
        "{}.{}",
        URL_SAFE_NO_PAD.encode(header),
        URL_SAFE_NO_PAD.encode(payload)
    );
    let signature = sign(message.as_bytes(), key, algorithm).unwrap();
    format!("{message}.{signature}")
}

/// A payload signed with the tests' secret.
fn hs256(payload: &str) -> String {
    let key = EncodingKey::from_secret(SECRET.as_bytes());
    signed(
        r#"{"alg":"HS256","typ":"JWT"}"#,
        payload,
        &key,
        Algorithm::HS256,
    )
}

/// Ann's token for an hour, with other claims.
fn ann(more: &str) -> String {
    let comma = if more.is_empty() { "" } else { "," };
    hs256(&format!(
        r#"{{"sub":"ann","exp":{}{comma}{more}}}"#,
        NOW_S + 3_600
    ))
}
