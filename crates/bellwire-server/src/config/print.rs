//! The configuration in effect as TOML, each value with its origin, secrets masked.

use std::fmt::Write;

use super::{Loaded, SETTINGS, Setting, error::Source, settings::Form};

/// Writes what is in effect.
#[must_use]
pub fn print(loaded: &Loaded) -> String {
    let mut text = String::new();
    let mut section = "";
    for setting in SETTINGS {
        let (here, name) = setting.key.rsplit_once('.').unwrap_or(("", setting.key));
        if setting.form == Form::Tables {
            tables(&mut text, setting, loaded);
            continue;
        }
        if here != section {
            section = here;
            put(&mut text, format_args!("\n[{section}]\n"));
        }
        let values = setting.values(&loaded.config);
        let value = match setting.form {
            Form::Bare if values.iter().all(|value| is_bare(value)) => values.concat(),
            Form::Bare | Form::Quoted => quote(&values.concat()),
            Form::List | Form::Tables => {
                let quoted: Vec<String> = values.iter().map(|value| quote(value)).collect();
                format!("[{}]", quoted.join(", "))
            }
        };
        let origin = loaded.origin(setting.key);
        put(
            &mut text,
            format_args!("{name} = {value}  # {origin}{}\n", effect(setting, loaded)),
        );
    }
    text
}

fn tables(text: &mut String, setting: &Setting, loaded: &Loaded) {
    for lines in setting.values(&loaded.config) {
        put(
            text,
            format_args!(
                "\n[[{}]]  # {}\n{lines}\n",
                setting.key,
                loaded.origin(setting.key)
            ),
        );
    }
}

/// What `auto` comes to on this machine.
fn effect(setting: &Setting, loaded: &Loaded) -> String {
    let config = &loaded.config;
    if *loaded.origin(setting.key) != Source::Default {
        return String::new();
    }
    match setting.key {
        "shards" => format!(": {} here", config.shard_count()),
        "admin_listen" => match config.admin_address() {
            Some(address) => format!(": {address}"),
            None => ": on the main listener".to_owned(),
        },
        "limits.max_connections" => format!(": {} here", config.limits.connections()),
        "limits.max_history_bytes" => {
            format!(": {} MiB here", config.limits.history_bytes() >> 20)
        }
        _ => String::new(),
    }
}

fn is_bare(value: &str) -> bool {
    matches!(value, "true" | "false") || value.bytes().all(|byte| byte.is_ascii_digit())
}

fn quote(value: &str) -> String {
    let mut quoted = String::from('"');
    for c in value.chars() {
        match c {
            '"' => quoted.push_str("\\\""),
            '\\' => quoted.push_str("\\\\"),
            c if c.is_control() => put(&mut quoted, format_args!("\\u{:04X}", u32::from(c))),
            c => quoted.push(c),
        }
    }
    quoted.push('"');
    quoted
}

fn put(text: &mut String, arguments: std::fmt::Arguments<'_>) {
    text.write_fmt(arguments)
        .expect("writing to a String does not fail");
}
