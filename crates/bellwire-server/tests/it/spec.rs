//! The files in `spec/` say what the code does.

use bellwire_server::{
    config::{Config, SETTINGS},
    problem::{CLOSE_CODES, ERROR_CODES},
};
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

#[derive(Deserialize)]
struct Limits {
    limits: Vec<LimitRow>,
}

#[derive(Deserialize)]
struct LimitRow {
    key: String,
    default: String,
    unit: String,
    metric: String,
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
        assert!(!row.unit.is_empty() && !row.bounds.is_empty() && row.metric.contains("limit"));
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
