//! The files in `spec/` say what the code does.

use std::{
    io::{Read, Write},
    net::TcpStream,
};

use bellwire_core::shard::Cause;
use bellwire_server::{
    Node,
    config::{Config, SETTINGS},
    problem::{CLOSE_CODES, ERROR_CODES, Retry, error_code},
};
use bellwire_wire::websocket::close;
use serde::Deserialize;

fn spec(name: &str) -> String {
    std::fs::read_to_string(format!("{}/../../spec/{name}", env!("CARGO_MANIFEST_DIR"))).unwrap()
}

#[derive(Deserialize)]
struct Codes {
    error: Vec<ErrorRow>,
    close: Vec<CloseRow>,
}

#[derive(Deserialize)]
struct ErrorRow {
    code: String,
    status: u16,
    retry: String,
    title: String,
    meaning: String,
}

#[derive(Deserialize)]
struct CloseRow {
    code: u16,
    name: String,
    reconnect: String,
    meaning: String,
}

#[test]
fn every_error_code_is_in_the_file_and_the_other_way_round() {
    let codes: Codes = toml::from_str(&spec("codes.toml")).unwrap();
    let written: Vec<_> = codes
        .error
        .iter()
        .map(|row| {
            (
                row.code.as_str(),
                row.status,
                row.retry.as_str(),
                row.title.as_str(),
            )
        })
        .collect();
    let known: Vec<_> = ERROR_CODES
        .iter()
        .map(|code| {
            (
                code.name,
                code.status.as_u16(),
                code.retry.as_str(),
                code.title,
            )
        })
        .collect();
    assert_eq!(written, known);
    assert!(codes.error.iter().all(|row| !row.meaning.is_empty()));
}

#[test]
fn every_close_code_is_in_the_file_and_the_other_way_round() {
    let codes: Codes = toml::from_str(&spec("codes.toml")).unwrap();
    let written: Vec<_> = codes
        .close
        .iter()
        .map(|row| (row.code, row.name.as_str(), row.reconnect.as_str()))
        .collect();
    let known: Vec<_> = CLOSE_CODES
        .iter()
        .map(|close| (close.code, close.name, close.reconnect.as_str()))
        .collect();
    assert_eq!(written, known);
    assert!(codes.close.iter().all(|row| !row.meaning.is_empty()));
}

#[test]
fn the_core_closes_with_the_numbers_and_words_of_the_table() {
    for (number, cause) in [
        (close::DRAIN, Cause::Drain),
        (close::OVERLOADED, Cause::Overloaded),
        (close::AUTH_TIMEOUT, Cause::AuthTimeout),
        (close::TOKEN_INVALID, Cause::TokenInvalid),
        (close::TOKEN_EXPIRED, Cause::TokenExpired),
        (close::CLOSED_BY_SERVER, Cause::ClosedByServer),
        (close::SLOW_CONSUMER, Cause::SlowConsumer),
        (close::RAW_LOSS, Cause::RawLoss),
        (close::LIMIT, Cause::Limit),
    ] {
        let row = CLOSE_CODES.iter().find(|row| row.code == number).unwrap();
        assert_eq!(row.name, cause.as_str());
        assert_eq!(
            row.reconnect != Retry::No,
            cause.reconnect(),
            "{}",
            row.name
        );
    }
}

#[test]
fn the_core_answers_commands_with_codes_of_the_table() {
    let folder = format!("{}/../bellwire-core/src/shard", env!("CARGO_MANIFEST_DIR"));
    let mut found = 0;
    for entry in std::fs::read_dir(folder).unwrap() {
        let source = std::fs::read_to_string(entry.unwrap().path()).unwrap();
        for rest in source.split("CommandError::new(").skip(1) {
            let Some(text) = rest.trim_start().strip_prefix('"') else {
                continue;
            };
            let (code, _) = text.split_once('"').unwrap();
            assert!(
                error_code(code).is_some(),
                "{code} is not in spec/codes.toml"
            );
            found += 1;
        }
    }
    assert!(
        found > 0,
        "the constructor has another name now; look for that"
    );
}

#[derive(Deserialize)]
struct Limits {
    limits: Vec<LimitRow>,
}

#[derive(Deserialize)]
struct LimitRow {
    key: String,
    default: String,
    unit: String,
    /// Nothing where reaching the limit is no event.
    metric: Option<String>,
    bounds: String,
}

#[test]
fn every_limit_is_in_the_file_with_its_default() {
    let Limits { limits } = serde_json::from_str(&spec("limits.json")).unwrap();
    let config = Config::default();
    for row in &limits {
        let setting = SETTINGS.iter().find(|setting| setting.key == row.key);
        let setting = setting.unwrap_or_else(|| panic!("{} is no setting", row.key));
        assert_eq!(setting.values(&config).concat(), row.default, "{}", row.key);
        assert!(!row.unit.is_empty() && !row.bounds.is_empty());
    }
    for setting in SETTINGS
        .iter()
        .filter(|setting| setting.key.starts_with("limits."))
    {
        assert!(
            limits.iter().any(|row| row.key == setting.key),
            "{} is missing",
            setting.key
        );
    }
}

#[test]
fn every_metric_that_a_limit_names_is_emitted() {
    let Limits { limits } = serde_json::from_str(&spec("limits.json")).unwrap();
    let config = Config {
        listen: ([127, 0, 0, 1], 0).into(),
        dev: true,
        shards: Some(1),
        ..Config::default()
    };
    let node = Node::start(config).unwrap();
    let mut stream = TcpStream::connect(node.address()).unwrap();
    let request = format!("GET /metrics HTTP/1.0\r\nHost: {}\r\n\r\n", node.address());
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    for metric in limits.iter().filter_map(|row| row.metric.as_deref()) {
        let name = metric.split('{').next().unwrap();
        let family = name.strip_suffix("_total").unwrap_or(name);
        assert!(
            answer.contains(&format!("# HELP {family} ")),
            "{metric} is not in\n{answer}"
        );
    }
    node.stop().unwrap();
}
