//! `[[namespace]]` and `[[api_key]]` tables.

use bellwire_core::{
    access::{Right, Scopes},
    channel::Pattern,
    engine::Durability,
    namespace::{Namespace, Retention, Rights},
};

use super::{
    file::{Entry, Raw},
    settings::nearest,
    values::{CountOrZero, Kind, Millis, Size},
};
use crate::access::StoredKey;

/// The namespace of what no rule covers.
pub(super) fn standard(history: Retention) -> Namespace {
    Namespace {
        pattern: Pattern::All,
        history,
        max_delay_ms: 0,
        durability: Durability::Memory,
        anonymous: Rights::default(),
    }
}

const NAMESPACE_KEYS: [&str; 7] = [
    "match",
    "history.count",
    "history.bytes",
    "history.age",
    "max_delay",
    "durability",
    "anonymous",
];

/// Reads one `[[namespace]]`; what it leaves out is as in `standard`.
pub(super) fn read_namespace(table: &[Entry], history: Retention) -> Result<Namespace, String> {
    let mut namespace = standard(history);
    let mut matched = false;
    for Entry { key, value, .. } in table {
        let result = match (key.as_str(), value) {
            ("match", Raw::One(text)) => {
                matched = true;
                Pattern::parse(text)
                    .map(|pattern| namespace.pattern = pattern)
                    .map_err(|e| e.to_string())
            }
            ("history.count", Raw::One(text)) => {
                CountOrZero::read(text).map(|count| namespace.history.count = count)
            }
            ("history.bytes", Raw::One(text)) => {
                Size::read(text).map(|bytes| namespace.history.bytes = bytes)
            }
            ("history.age", Raw::One(text)) => {
                Millis::read(text).map(|age| namespace.history.age_ms = age)
            }
            ("max_delay", Raw::One(text)) => {
                Millis::read(text).map(|delay| namespace.max_delay_ms = delay)
            }
            ("durability", Raw::One(text)) => {
                Durability::read(text).map(|durability| namespace.durability = durability)
            }
            ("anonymous", Raw::Many(words)) => {
                rights(words).map(|rights| namespace.anonymous = rights)
            }
            _ => Err(misplaced(key, &NAMESPACE_KEYS)),
        };
        result.map_err(|e| format!("{key}: {e}"))?;
    }
    if matched {
        Ok(namespace)
    } else {
        Err("match is missing; write match = \"room:*\"".to_owned())
    }
}

/// The lines of a `[[namespace]]` table.
pub(super) fn show(namespace: &Namespace) -> String {
    let Namespace {
        pattern,
        history,
        max_delay_ms,
        durability,
        anonymous,
    } = namespace;
    let rights = [
        Right::Subscribe,
        Right::Publish,
        Right::History,
        Right::Presence,
    ];
    let granted = rights.into_iter().filter(|right| right.is_in(*anonymous));
    let words: Vec<String> = granted
        .map(|right| format!("{:?}", right.as_str()))
        .collect();
    format!(
        "match = \"{pattern}\"\n\
         history = {{ count = {}, bytes = \"{}\", age = \"{}\" }}\n\
         max_delay = \"{}\"\ndurability = \"{}\"\nanonymous = [{}]",
        history.count,
        Size::show(&history.bytes),
        Millis::show(&history.age_ms),
        Millis::show(max_delay_ms),
        Durability::show(durability),
        words.join(", "),
    )
}

fn rights(words: &[String]) -> Result<Rights, String> {
    let mut rights = Rights::default();
    for word in words {
        let right = Right::parse(word).ok_or_else(|| {
            format!("{word:?} is not one of subscribe, publish, history, presence")
        })?;
        right.add_to(&mut rights);
    }
    Ok(rights)
}

/// Reads one `[[api_key]]`.
pub(super) fn read_api_key(table: &[Entry]) -> Result<StoredKey, String> {
    let (mut id, mut sha256, mut scopes) = (None, None, None);
    for Entry { key, value, .. } in table {
        match (key.as_str(), value) {
            ("id", Raw::One(text)) => id = Some(text),
            ("sha256", Raw::One(text)) => sha256 = Some(text),
            ("scopes", Raw::Many(words)) => scopes = Some(words),
            _ => {
                return Err(format!(
                    "{key}: {}",
                    misplaced(key, &["id", "sha256", "scopes"])
                ));
            }
        }
    }
    let (Some(id), Some(sha256), Some(words)) = (id, sha256, scopes) else {
        return Err("id, sha256 and scopes are needed; bellwire token key writes them".to_owned());
    };
    let mut scopes = Scopes::default();
    for word in words {
        scopes.add(word)?;
    }
    StoredKey::new(id, sha256, scopes)
}

fn misplaced(key: &str, known: &[&str]) -> String {
    if known.contains(&key) {
        return "the value has the wrong shape".to_owned();
    }
    match nearest(key, known.iter().copied()) {
        Some(near) => format!("unknown key; did you mean {near}?"),
        None => format!("unknown key; known are {}", known.join(", ")),
    }
}
