//! TOML text as a flat list of dotted keys with their lines.
//!
//! Sections and dotted keys mean the same, so `[drain] delay` and `drain.delay` both arrive as
//! `drain.delay`. Knows no setting by name.

use std::path::Path;

use toml::de::{DeTable, DeValue};

use super::error::{ConfigError, Source};

/// One key of a file, or of a table in an array of tables.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Entry {
    pub(super) key: String,
    pub(super) line: usize,
    pub(super) value: Raw,
}

/// A value before anybody knows what it is for.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Raw {
    One(String),
    Many(Vec<String>),
    Tables(Vec<Vec<Entry>>),
}

/// Reads a file's text.
pub(super) fn read(path: &Path, text: &str) -> Result<Vec<Entry>, ConfigError> {
    let line_of = |offset: usize| 1 + text.bytes().take(offset).filter(|&b| b == b'\n').count();
    let table = DeTable::parse(text).map_err(|error| ConfigError {
        source_of_value: Source::File {
            path: path.to_owned(),
            line: error.span().map_or(1, |span| line_of(span.start)),
        },
        key: "TOML".to_owned(),
        message: error.message().replace('\n', "; "),
    })?;
    let mut entries = Vec::new();
    flatten("", table.get_ref(), &line_of, &mut entries);
    entries.sort_by_key(|entry| entry.line);
    Ok(entries)
}

fn flatten(
    prefix: &str,
    table: &DeTable<'_>,
    line_of: &dyn Fn(usize) -> usize,
    entries: &mut Vec<Entry>,
) {
    for (key, value) in table {
        let dotted = format!("{prefix}{}", key.get_ref());
        let line = line_of(key.span().start);
        let value = match value.get_ref() {
            DeValue::Table(inner) => {
                flatten(&format!("{dotted}."), inner, line_of, entries);
                continue;
            }
            DeValue::Array(items) => {
                let tables: Option<Vec<_>> =
                    items.iter().map(|item| item.get_ref().as_table()).collect();
                match tables {
                    Some(tables) if !tables.is_empty() => Raw::Tables(
                        tables
                            .into_iter()
                            .map(|inner| nested(inner, line_of))
                            .collect(),
                    ),
                    _ => Raw::Many(items.iter().map(|item| scalar(item.get_ref())).collect()),
                }
            }
            single => Raw::One(scalar(single)),
        };
        entries.push(Entry {
            key: dotted,
            line,
            value,
        });
    }
}

fn nested(table: &DeTable<'_>, line_of: &dyn Fn(usize) -> usize) -> Vec<Entry> {
    let mut entries = Vec::new();
    flatten("", table, line_of, &mut entries);
    entries
}

/// The text of a value; what is not a scalar is written so that no setting accepts it.
fn scalar(value: &DeValue<'_>) -> String {
    match value {
        DeValue::String(text) => text.clone().into_owned(),
        DeValue::Integer(number) => number.to_string(),
        DeValue::Float(number) => number.to_string(),
        DeValue::Boolean(switch) => switch.to_string(),
        DeValue::Datetime(time) => time.to_string(),
        DeValue::Array(_) => "[…]".to_owned(),
        DeValue::Table(_) => "{…}".to_owned(),
    }
}
