//! `bellwire config check|print`, and the flags that `serve` shares with them.
//!
//! The table of settings in the server makes the flags; nothing here knows one by name.

use std::{io::Write, path::PathBuf};

use anyhow::{Result, bail};
use bellwire_server::config::{Layers, Loaded, SETTINGS, Setting, load, print};
use clap::{Arg, ArgAction, ArgMatches, Command, value_parser};

/// The settings that most people need; the others show up with `--help` only.
const COMMON: [&str; 10] = [
    "listen",
    "admin_listen",
    "dev",
    "dev_public",
    "shards",
    "engine",
    "jwt_key",
    "api_key",
    "allow_origin",
    "diagnostics",
];

/// The `config` command.
pub(crate) fn command() -> Command {
    let check = Command::new("check").about("Check the configuration and say what is wrong");
    let print = Command::new("print")
        .about("Print the configuration in effect as TOML, with the origin of each value");
    Command::new("config")
        .about("Check or print the configuration")
        .subcommand_required(true)
        .arg_required_else_help(true)
        .subcommands([with_settings(check), with_settings(print)])
}

/// Runs `config`.
pub(crate) fn run(matches: &ArgMatches) -> Result<()> {
    let Some((action, matches)) = matches.subcommand() else {
        bail!("say check or print")
    };
    let loaded = loaded(matches)?;
    let mut out = std::io::stdout().lock();
    if action == "print" {
        out.write_all(print(&loaded).as_bytes())?;
        return Ok(());
    }
    for warning in loaded.config.warnings() {
        writeln!(out, "warning: {warning}")?;
    }
    writeln!(out, "The configuration is good.")?;
    Ok(())
}

/// Adds `--config` and a flag for every setting to a command.
pub(crate) fn with_settings(command: Command) -> Command {
    let file = Arg::new("config")
        .long("config")
        .value_name("FILE")
        .env("BELLWIRE_CONFIG")
        .value_parser(value_parser!(PathBuf))
        .help("Read settings from a TOML file");
    SETTINGS.iter().fold(command.arg(file), |command, setting| {
        let Some(flag) = setting.flag() else {
            return command;
        };
        let command = command.arg(argument(setting, &flag));
        if setting.secret {
            command.arg(file_argument(setting, &flag))
        } else {
            command
        }
    })
}

fn argument(setting: &Setting, flag: &str) -> Arg {
    let variable = setting.variable().unwrap_or_default();
    let arg = Arg::new(flag.to_owned())
        .long(flag.to_owned())
        .help(format!("{} [env: {variable}]", setting.help))
        .hide_short_help(!COMMON.contains(&setting.key));
    if setting.is_switch() {
        return arg.action(ArgAction::SetTrue);
    }
    let action = if setting.many {
        ArgAction::Append
    } else {
        ArgAction::Set
    };
    arg.value_name(setting.placeholder)
        .action(action)
        .allow_hyphen_values(true)
}

fn file_argument(setting: &Setting, flag: &str) -> Arg {
    let name = format!("{flag}-file");
    Arg::new(name.clone())
        .long(name)
        .value_name("FILE")
        .help(format!("Read --{flag} from a file, one a line"))
        .hide_short_help(!COMMON.contains(&setting.key))
}

/// The checked configuration of a command made by [`with_settings`].
pub(crate) fn loaded(matches: &ArgMatches) -> Result<Loaded> {
    // A variable that is not Unicode is none of ours.
    let variables = std::env::vars_os()
        .filter_map(|(name, text)| Some((name.into_string().ok()?, text.into_string().ok()?)));
    loaded_beside(matches, variables)
}

fn loaded_beside(
    matches: &ArgMatches,
    variables: impl Iterator<Item = (String, String)>,
) -> Result<Loaded> {
    let mut layers = Layers::default().with_environment(variables);
    if let Some(path) = matches.get_one::<PathBuf>("config") {
        layers = layers.with_file(path);
    }
    for setting in SETTINGS {
        let Some(flag) = setting.flag() else { continue };
        if setting.is_switch() {
            if matches.get_flag(&flag) {
                layers = layers.with_flag(&flag, vec!["true".to_owned()]);
            }
            continue;
        }
        layers = with_values(layers, matches, &flag);
        if setting.secret {
            layers = with_values(layers, matches, &format!("{flag}-file"));
        }
    }
    Ok(load(&layers)?)
}

fn with_values(layers: Layers, matches: &ArgMatches, flag: &str) -> Layers {
    match matches.get_many::<String>(flag) {
        Some(values) => layers.with_flag(flag, values.cloned().collect()),
        None => layers,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(args: &[&str]) -> Result<Loaded> {
        let command = with_settings(Command::new("serve"));
        let matches = command.try_get_matches_from(std::iter::once(&"serve").chain(args))?;
        loaded_beside(&matches, std::iter::empty())
    }

    #[test]
    fn every_setting_is_a_flag_that_clap_accepts() {
        with_settings(Command::new("serve")).debug_assert();
        command().debug_assert();
    }

    #[test]
    fn flags_arrive_in_the_configuration() {
        let loaded = parse(&[
            "--dev",
            "--shards",
            "3",
            "--allow-origin",
            "https://a.example",
            "--allow-origin",
            "https://b.example",
            "--limits-max-batch",
            "7",
            "--jwt-key",
            "HS256:-starts-with-a-dash-and-is-long-enough",
        ]);
        let config = loaded.unwrap().config;
        assert!(config.dev);
        assert_eq!((config.shards, config.limits.max_batch), (Some(3), 7));
        assert_eq!((config.allow_origin.len(), config.jwt_key.len()), (2, 1));
    }

    #[test]
    fn a_misspelt_flag_gets_a_suggestion() {
        let error = parse(&["--alow-origin", "x"]).unwrap_err().to_string();
        assert!(error.contains("--allow-origin"), "{error}");
    }
}
