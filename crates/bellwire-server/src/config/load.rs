//! Merges flags, environment, file and defaults, and remembers who said what.
//!
//! A higher layer replaces a value whole, lists included. Every mistake of every layer is
//! reported at once.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

use super::{
    Config, SETTINGS, Setting, check,
    error::{ConfigError, ConfigErrors, Source},
    file::{self, Raw},
    settings::nearest,
};

/// What was said where, before it is merged.
#[derive(Clone, Debug, Default)]
pub struct Layers {
    file: Option<PathBuf>,
    environment: Vec<(String, String)>,
    flags: Vec<(String, Vec<String>)>,
}

impl Layers {
    /// Reads a TOML file when loading.
    #[must_use]
    pub fn with_file(self, path: impl Into<PathBuf>) -> Self {
        Self {
            file: Some(path.into()),
            ..self
        }
    }

    /// Looks at the variables that begin with `BELLWIRE_`. Lists are separated by white space.
    #[must_use]
    pub fn with_environment(self, variables: impl Iterator<Item = (String, String)>) -> Self {
        let ours = variables.filter(|(name, _)| name.starts_with(PREFIX));
        let mut environment: Vec<_> = ours.collect();
        environment.sort();
        Self {
            environment,
            ..self
        }
    }

    /// Adds a flag by its name without dashes, with all its values; a switch has `true`.
    #[must_use]
    pub fn with_flag(mut self, flag: &str, values: Vec<String>) -> Self {
        self.flags.push((flag.to_owned(), values));
        self
    }
}

/// A checked configuration that knows where its values came from.
#[derive(Clone, Debug)]
pub struct Loaded {
    /// The values.
    pub config: Config,
    origins: BTreeMap<&'static str, Source>,
}

impl Loaded {
    /// Where the value of a setting came from.
    #[must_use]
    pub fn origin(&self, key: &str) -> &Source {
        self.origins.get(key).unwrap_or(&Source::Default)
    }
}

/// Merges and checks.
///
/// # Errors
/// Everything that is wrong, each with source, key and fix.
pub fn load(layers: &Layers) -> Result<Loaded, ConfigErrors> {
    let mut merge = Merge::default();
    if let Some(path) = &layers.file {
        merge.file(path);
    }
    for (variable, text) in &layers.environment {
        merge.variable(variable, text);
    }
    for (flag, values) in &layers.flags {
        merge.flag(flag, values);
    }
    merge.finish()
}

#[derive(Default)]
struct Merge {
    values: BTreeMap<&'static str, (Source, Raw)>,
    errors: Vec<ConfigError>,
}

/// How every variable of ours begins.
const PREFIX: &str = "BELLWIRE_";

/// Variables of the same prefix that belong to client commands, not to a node's settings.
const OTHER_VARIABLES: [&str; 3] = ["BELLWIRE_CONFIG", "BELLWIRE_CREDENTIAL", "BELLWIRE_URL"];

impl Merge {
    fn file(&mut self, path: &Path) {
        let entries = fs::read_to_string(path)
            .map_err(|error| ConfigError {
                source_of_value: Source::File {
                    path: path.to_owned(),
                    line: 1,
                },
                key: "config".to_owned(),
                message: format!("it can't be read: {error}"),
            })
            .and_then(|text| file::read(path, &text));
        match entries {
            Err(error) => self.errors.push(error),
            Ok(entries) => {
                for entry in entries {
                    let source = Source::File {
                        path: path.to_owned(),
                        line: entry.line,
                    };
                    self.put(
                        &entry.key,
                        |setting| Some(setting.key.to_owned()),
                        source,
                        entry.value,
                    );
                }
            }
        }
    }

    fn variable(&mut self, variable: &str, text: &str) {
        if OTHER_VARIABLES.contains(&variable) || is_service_link(variable, text) {
            return;
        }
        let source = Source::Environment(variable.to_owned());
        let is_list = SETTINGS
            .iter()
            .any(|setting| setting.many && setting.variable().as_deref() == Some(variable));
        let value = if is_list {
            Raw::Many(text.split_whitespace().map(str::to_owned).collect())
        } else {
            Raw::One(text.to_owned())
        };
        self.put(variable, Setting::variable, source, value);
    }

    fn flag(&mut self, flag: &str, values: &[String]) {
        let source = Source::Flag(flag.to_owned());
        let value = match values {
            [one] => Raw::One(one.clone()),
            several => Raw::Many(several.to_vec()),
        };
        self.put(flag, Setting::flag, source, value);
    }

    /// Stores a value under the setting that is called `name` in its layer, directly or as the
    /// file that holds a secret.
    fn put(
        &mut self,
        name: &str,
        name_of: impl Fn(&Setting) -> Option<String>,
        source: Source,
        value: Raw,
    ) {
        let direct = SETTINGS
            .iter()
            .find(|setting| name_of(setting).as_deref() == Some(name));
        if let Some(setting) = direct {
            self.insert(setting.key, source, value);
            return;
        }
        let in_file = SETTINGS
            .iter()
            .filter(|setting| setting.secret)
            .find(|setting| {
                name_of(setting).is_some_and(|known| {
                    ["_file", "_FILE", "-file"]
                        .iter()
                        .any(|end| name.strip_suffix(end) == Some(&known))
                })
            });
        match (in_file, value) {
            (None, _) => self.errors.push(unknown(name, &name_of, source)),
            (Some(setting), Raw::One(path)) => match fs::read_to_string(&path) {
                Ok(text) => {
                    let lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
                    self.insert(
                        setting.key,
                        source,
                        Raw::Many(lines.map(str::to_owned).collect()),
                    );
                }
                Err(error) => self.fail(source, name, format!("{path} can't be read: {error}")),
            },
            (Some(_), _) => self.fail(source, name, "it takes the path of one file".to_owned()),
        }
    }

    /// A higher layer replaces; the same layer adds, so that a list and its file go together.
    fn insert(&mut self, key: &'static str, source: Source, value: Raw) {
        let same_layer =
            |known: &Source| std::mem::discriminant(known) == std::mem::discriminant(&source);
        match self.values.get_mut(key) {
            Some((known, Raw::Many(texts))) if same_layer(known) => match value {
                Raw::One(text) => texts.push(text),
                Raw::Many(more) => texts.extend(more),
                Raw::Tables(_) => self.fail(source, key, "it is given in two forms".to_owned()),
            },
            _ => {
                self.values.insert(key, (source, value));
            }
        }
    }

    fn fail(&mut self, source: Source, key: &str, message: String) {
        self.errors.push(ConfigError {
            source_of_value: source,
            key: key.to_owned(),
            message,
        });
    }

    fn finish(mut self) -> Result<Loaded, ConfigErrors> {
        let mut config = Config::default();
        let mut origins = BTreeMap::new();
        for setting in SETTINGS {
            let Some((source, raw)) = self.values.remove(setting.key) else {
                continue;
            };
            if let Err(message) = (setting.set)(&mut config, &raw) {
                self.fail(source.clone(), setting.key, message);
            }
            origins.insert(setting.key, source);
        }
        config.dev |= config.dev_public;
        let loaded = Loaded { config, origins };
        if self.errors.is_empty() {
            self.errors = check::check(&loaded);
        }
        if self.errors.is_empty() {
            Ok(loaded)
        } else {
            Err(ConfigErrors(self.errors))
        }
    }
}

fn unknown(
    name: &str,
    name_of: &impl Fn(&Setting) -> Option<String>,
    source: Source,
) -> ConfigError {
    // The prefix that all variables share would make them all look alike.
    let prefix = if name.starts_with(PREFIX) { PREFIX } else { "" };
    let bare = |name: &str| name.strip_prefix(prefix).unwrap_or(name).to_owned();
    let names: Vec<String> = SETTINGS
        .iter()
        .filter_map(name_of)
        .map(|name| bare(&name))
        .collect();
    let message = match nearest(&bare(name), names.iter().map(String::as_str)) {
        Some(near) => format!("unknown setting; did you mean {prefix}{near}?"),
        None => "unknown setting; bellwire config print lists all".to_owned(),
    };
    ConfigError {
        source_of_value: source,
        key: name.to_owned(),
        message,
    }
}

/// Kubernetes puts `BELLWIRE_SERVICE_HOST`, `BELLWIRE_PORT=tcp://…` and the like into every
/// container beside a service of that name.
fn is_service_link(variable: &str, text: &str) -> bool {
    let port = text.bytes().all(|byte| byte.is_ascii_digit());
    variable.ends_with("_SERVICE_HOST")
        || variable.contains("_SERVICE_PORT")
        || (variable.ends_with("_PORT") && text.contains("://"))
        || (variable.contains("_PORT_")
            && (variable.ends_with("_TCP") || variable.ends_with("_UDP")))
        || variable.ends_with("_TCP_ADDR")
        || variable.ends_with("_UDP_ADDR")
        || variable.ends_with("_TCP_PROTO")
        || variable.ends_with("_UDP_PROTO")
        || ((variable.ends_with("_TCP_PORT") || variable.ends_with("_UDP_PORT")) && port)
}
