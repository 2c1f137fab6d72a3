//! `bellwire token mint|inspect|key`: makes tokens, grants and API keys, and explains refusals.
//!
//! Works without a server. Secrets are shown only where they are made.

use std::{
    io::Write,
    time::{SystemTime, UNIX_EPOCH},
};

use anyhow::{Context, Result, anyhow, bail};
use bellwire_core::{
    access::{Reach, Right, Scopes},
    channel::{Channel, Pattern, UserId},
    time::Now,
};
use bellwire_server::{
    access::{Inspection, KeySpec, Keyring, generate_api_key, inspect},
    config::{Layers, load, read_millis},
};
use clap::{ArgMatches, Args, Command, FromArgMatches, Subcommand};
use serde_json::{Value, json};

#[derive(Subcommand)]
enum Action {
    /// Make a token for a user, or a grant for one channel
    Mint(Box<Mint>),
    /// Say in words what a token holds and which check fails
    Inspect(Inspect),
    /// Make an API key and the lines that make it known to a server
    Key(Key),
}

#[derive(Args)]
struct Mint {
    /// The key to sign with: [KID=]HS256:SECRET, or ES256, EdDSA, RS256 with :@PRIVATE.pem
    #[arg(
        long,
        value_name = "KEY",
        env = "BELLWIRE_JWT_KEY",
        hide_env_values = true
    )]
    key: String,
    /// The user's id; a grant can do without
    #[arg(long, value_name = "USER", required_unless_present = "grant")]
    sub: Option<String>,
    /// How long it is valid
    #[arg(long, value_name = "TIME", default_value = "1h")]
    ttl: String,
    /// Channels to receive: a name, room:*, or *
    #[arg(long, value_name = "PATTERN")]
    subscribe: Vec<String>,
    /// Channels to publish to
    #[arg(long, value_name = "PATTERN")]
    publish: Vec<String>,
    /// Channels whose history may be read
    #[arg(long, value_name = "PATTERN")]
    history: Vec<String>,
    /// Channels whose members may be seen
    #[arg(long, value_name = "PATTERN")]
    presence: Vec<String>,
    /// Make a grant for this channel instead of a token
    #[arg(long, value_name = "CHANNEL",
        conflicts_with_all = ["subscribe", "publish", "history", "presence"])]
    grant: Option<String>,
    /// What a grant allows
    #[arg(
        long,
        value_name = "RIGHT",
        value_delimiter = ',',
        default_value = "subscribe",
        requires = "grant"
    )]
    right: Vec<String>,
    /// The iss claim
    #[arg(long, value_name = "TEXT")]
    issuer: Option<String>,
    /// The aud claim
    #[arg(long, value_name = "TEXT")]
    audience: Option<String>,
}

#[derive(Args)]
struct Inspect {
    /// The token or grant; - reads it from standard input
    token: String,
    /// The key that a server would verify it with; without one the signature is not checked
    #[arg(long, value_name = "KEY")]
    key: Vec<String>,
}

#[derive(Args)]
struct Key {
    /// publish:PATTERN, read:PATTERN (history, presence, listing), manage or metrics;
    /// publish:@* and read:@* reach every inbox
    #[arg(long, value_name = "SCOPE", required = true, value_delimiter = ',')]
    scope: Vec<String>,
}

/// The `token` command.
pub(crate) fn command() -> Command {
    let command = Command::new("token").about("Make and inspect tokens, grants and API keys");
    Action::augment_subcommands(command)
        .subcommand_required(true)
        .arg_required_else_help(true)
}

/// Runs `token`.
pub(crate) fn run(matches: &ArgMatches) -> Result<()> {
    let text = match Action::from_arg_matches(matches)? {
        Action::Mint(mint) => mint.run(now()?)?,
        Action::Inspect(inspect) => inspect.run(now()?)?,
        Action::Key(key) => key.run()?,
    };
    std::io::stdout().lock().write_all(text.as_bytes())?;
    Ok(())
}

fn now() -> Result<Now> {
    let wall = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .context("the clock is before 1970")?;
    Ok(Now {
        mono: 0,
        wall: u64::try_from(wall.as_millis())?,
    })
}

impl Mint {
    fn run(self, now: Now) -> Result<String> {
        let key = KeySpec::parse(&self.key).map_err(|e| anyhow!("--key: {e}"))?;
        let ttl = read_millis(&self.ttl).map_err(|e| anyhow!("--ttl: {e}"))?;
        let mut claims =
            json!({ "iat": now.wall / 1_000, "exp": now.wall.saturating_add(ttl) / 1_000 });
        if let Some(user) = &self.sub {
            UserId::parse(user).context("--sub")?;
            claims["sub"] = json!(user);
        }
        for (name, value) in [("iss", &self.issuer), ("aud", &self.audience)] {
            if let Some(value) = value {
                claims[name] = json!(value);
            }
        }
        claims["bellwire"] = match &self.grant {
            Some(channel) => self.granted(channel)?,
            None => self.lists()?,
        };
        let token = key.sign(&claims).map_err(|e| anyhow!("--key: {e}"))?;
        Ok(format!("{token}\n"))
    }

    fn granted(&self, channel: &str) -> Result<Value> {
        if Channel::parse(channel).context("--grant")?.is_inbox() {
            bail!("--grant: an inbox can't be granted");
        }
        for word in &self.right {
            if Right::parse(word).is_none() {
                bail!("--right: {word:?} is not one of subscribe, publish, history, presence");
            }
        }
        Ok(json!({ "grant": channel, "rights": self.right }))
    }

    fn lists(&self) -> Result<Value> {
        let mut lists = json!({});
        for (right, patterns) in [
            ("subscribe", &self.subscribe),
            ("publish", &self.publish),
            ("history", &self.history),
            ("presence", &self.presence),
        ] {
            for pattern in patterns {
                Pattern::parse(pattern).with_context(|| format!("--{right} {pattern:?}"))?;
            }
            if !patterns.is_empty() {
                lists[right] = json!(patterns);
            }
        }
        Ok(lists)
    }
}

impl Inspect {
    fn run(self, now: Now) -> Result<String> {
        let text = if self.token == "-" {
            std::io::read_to_string(std::io::stdin())?
        } else {
            self.token
        };
        let has_key = !self.key.is_empty();
        let mut layers = Layers::default();
        if has_key {
            layers = layers.with_flag("jwt-key", self.key);
        }
        let keyring = Keyring::new(&load(&layers)?.config);
        let inspection = inspect(text.trim(), &keyring, now).map_err(|e| anyhow!("{e}"))?;
        Ok(explain(&inspection, has_key, now))
    }
}

fn explain(inspection: &Inspection, has_key: bool, now: Now) -> String {
    let Inspection {
        header,
        claims,
        is_grant,
        verdict,
    } = inspection;
    let mut lines = vec![if *is_grant { "grant" } else { "token" }.to_owned()];
    let mut row = |name: &str, value: String| lines.push(format!("  {name:<11}{value}"));
    let text = |value: &Value| {
        value
            .as_str()
            .map_or_else(|| value.to_string(), str::to_owned)
    };
    for (name, value) in [
        ("algorithm", header.get("alg")),
        ("key id", header.get("kid")),
    ] {
        row(name, value.map_or_else(|| "none".to_owned(), text));
    }
    for (name, claim) in [("user", "sub"), ("issuer", "iss"), ("audience", "aud")] {
        row(
            name,
            claims.get(claim).map_or_else(|| "none".to_owned(), text),
        );
    }
    for (name, claim) in [("not before", "nbf"), ("expires", "exp")] {
        if let Some(at) = claims.get(claim) {
            row(
                name,
                at.as_f64()
                    .map_or_else(|| at.to_string(), |at| in_words(at, now)),
            );
        }
    }
    const KNOWN: [&str; 6] = [
        "grant",
        "rights",
        "subscribe",
        "publish",
        "history",
        "presence",
    ];
    for (name, value) in claims
        .get("bellwire")
        .and_then(Value::as_object)
        .into_iter()
        .flatten()
    {
        let note = if KNOWN.contains(&name.as_str()) {
            ""
        } else {
            "  (unknown, ignored)"
        };
        row(name, format!("{value}{note}"));
    }
    lines.push(match verdict {
        Err(refusal) => format!("refused by {}: {}", refusal.check, refusal.detail),
        Ok(()) if has_key => "accepted".to_owned(),
        Ok(()) => "the claims are good; give --key to check the signature".to_owned(),
    });
    lines.join("\n") + "\n"
}

/// A moment in seconds since 1970, as seen from now.
fn in_words(at: f64, now: Now) -> String {
    #[expect(clippy::cast_precision_loss, reason = "seconds of this millennium fit")]
    let seconds = at - (now.wall / 1_000) as f64;
    let span = seconds.abs();
    let (count, unit) = match span {
        s if s < 120.0 => (s, "seconds"),
        s if s < 7_200.0 => (s / 60.0, "minutes"),
        s if s < 172_800.0 => (s / 3_600.0, "hours"),
        s => (s / 86_400.0, "days"),
    };
    if seconds < 0.0 {
        format!("{count:.0} {unit} ago ({at})")
    } else {
        format!("in {count:.0} {unit} ({at})")
    }
}

impl Key {
    fn run(self) -> Result<String> {
        let mut scopes = Scopes::default();
        for scope in &self.scope {
            scopes.add(scope).map_err(|e| anyhow!("--scope: {e}"))?;
        }
        let reaches_all = scopes
            .publish
            .iter()
            .chain(&scopes.read)
            .any(|r| *r == Reach::Inboxes);
        let (text, stored) = generate_api_key(scopes).context("no randomness to be had")?;
        let note = if reaches_all {
            "# It reaches the inboxes of all users.\n"
        } else {
            ""
        };
        Ok(format!(
            "# The key, shown only now:\n{text}\n\n# For bellwire.toml:\n{note}[[api_key]]\n{}\n\n\
             # Or as a flag or variable:\n--api-key {}\n",
            stored.lines(),
            stored.one_line(),
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str = "HS256:a secret of these tests, 32 bytes or more";

    fn run(args: &[&str]) -> Result<String> {
        let matches = command().try_get_matches_from(std::iter::once(&"token").chain(args))?;
        let now = Now {
            mono: 0,
            wall: 1_800_000_000_000,
        };
        match Action::from_arg_matches(&matches)? {
            Action::Mint(mint) => mint.run(now),
            Action::Inspect(inspect) => inspect.run(now),
            Action::Key(key) => key.run(),
        }
    }

    #[test]
    fn the_command_is_well_formed() {
        command().debug_assert();
    }

    #[test]
    fn a_minted_token_is_explained_and_accepted() {
        let token = run(&[
            "mint",
            "--key",
            KEY,
            "--sub",
            "ann",
            "--subscribe",
            "room:*",
        ])
        .unwrap();
        let text = run(&["inspect", token.trim(), "--key", KEY]).unwrap();
        for expected in [
            "user       ann",
            "in 60 minutes",
            r#"subscribe  ["room:*"]"#,
            "\naccepted",
        ] {
            assert!(text.contains(expected), "{expected} in {text}");
        }
        let text = run(&["inspect", token.trim(), "--key", "HS256:another"]).unwrap();
        assert!(text.contains("refused by token.signature"), "{text}");
        let text = run(&["inspect", token.trim()]).unwrap();
        assert!(text.contains("give --key to check the signature"), "{text}");
    }

    #[test]
    fn an_expired_token_says_so_in_words() {
        let token = run(&["mint", "--key", KEY, "--sub", "ann", "--ttl", "0"]).unwrap();
        let matches = ["inspect", token.trim(), "--key", KEY];
        let later = Now {
            mono: 0,
            wall: 1_800_000_600_000,
        };
        let matches = command().get_matches_from(std::iter::once("token").chain(matches));
        let Action::Inspect(inspect) = Action::from_arg_matches(&matches).unwrap() else {
            panic!()
        };
        let text = inspect.run(later).unwrap();
        assert!(
            text.contains("10 minutes ago") && text.contains("refused by token.exp"),
            "{text}"
        );
    }

    #[test]
    fn a_grant_needs_no_user() {
        let args = [
            "mint",
            "--key",
            KEY,
            "--grant",
            "room:7",
            "--right",
            "subscribe,history",
        ];
        let grant = run(&args).unwrap();
        let text = run(&["inspect", grant.trim(), "--key", KEY]).unwrap();
        assert!(
            text.starts_with("grant\n") && text.ends_with("\naccepted\n"),
            "{text}"
        );
        assert!(run(&["mint", "--key", KEY, "--grant", "@ann"]).is_err());
        assert!(
            run(&["mint", "--key", KEY]).is_err(),
            "a token needs a user"
        );
    }

    #[test]
    fn an_api_key_is_shown_once_with_what_a_server_needs() {
        let text = run(&["key", "--scope", "publish:room:*,metrics"]).unwrap();
        let key = text.lines().find(|line| line.starts_with("bw_")).unwrap();
        assert_eq!(key.len(), 44);
        let line = text
            .lines()
            .find_map(|line| line.strip_prefix("--api-key "))
            .unwrap();
        let layers = Layers::default().with_flag("api-key", vec![line.to_owned()]);
        assert_eq!(load(&layers).unwrap().config.api_key.len(), 1);
        assert!(run(&["key", "--scope", "all"]).is_err());
    }
}
