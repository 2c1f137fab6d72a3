//! The table of settings: the one place where a key, its flag, its variable, its form and its
//! meaning are written down.
//!
//! The command line builds its flags from it, `config print` walks it, documentation is checked
//! against it. To add a setting: a field in [`Config`], a row here.

use super::{
    Compression, Config, EngineKind, LogFormat, LogLevel, SlowConsumer,
    file::Raw,
    namespaces,
    rate::Often,
    values::{
        Address, AdminListen, Auto, Count, CountOrZero, File, Kind, Millis, Network, Off, Size,
        Switch, Text, Time, TimeRange,
    },
};
use crate::access::{AllowedOrigin, JwtKey, StoredKey};

/// One setting.
#[derive(Clone, Copy, Debug)]
pub struct Setting {
    /// Its dotted key in TOML.
    pub key: &'static str,
    /// What stands for its value in usage texts; empty for a switch.
    pub placeholder: &'static str,
    /// One sentence.
    pub help: &'static str,
    /// Whether several values may be given.
    pub many: bool,
    /// Whether it is masked when printed, and may be read from a file named by `<key>_file`.
    pub secret: bool,
    pub(super) form: Form,
    pub(super) set: fn(&mut Config, &Raw) -> Result<(), String>,
    pub(super) show: fn(&Config) -> Vec<String>,
}

/// How a setting's value is written in TOML.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    Bare,
    Quoted,
    List,
    /// An array of tables; `show` returns the lines of each.
    Tables,
}

impl Setting {
    /// The long flag without its dashes: `drain-delay`. Namespaces have none.
    #[must_use]
    pub fn flag(&self) -> Option<String> {
        (self.key != "namespace").then(|| self.key.replace(['.', '_'], "-"))
    }

    /// The environment variable: `BELLWIRE_DRAIN_DELAY`. Namespaces have none.
    #[must_use]
    pub fn variable(&self) -> Option<String> {
        let upper = || self.key.replace('.', "_").to_ascii_uppercase();
        (self.key != "namespace").then(|| format!("BELLWIRE_{}", upper()))
    }

    /// Whether it is a flag without a value.
    #[must_use]
    pub fn is_switch(&self) -> bool {
        self.placeholder.is_empty()
    }

    /// The values in effect, as they would be written; secrets are masked.
    #[must_use]
    pub fn values(&self, config: &Config) -> Vec<String> {
        (self.show)(config)
    }
}

impl Kind for EngineKind {
    type Value = Self;
    const NAME: &'static str = "memory";

    fn read(text: &str) -> Result<Self, String> {
        match text {
            "memory" => Ok(Self::Memory),
            "durable" | "redis" | "nats" => Err(format!(
                "the {text} engine is not built into this version; it has memory"
            )),
            _ => Err(format!(
                "{text:?} is not an engine; this version has memory"
            )),
        }
    }

    fn show(value: &Self) -> String {
        match value {
            Self::Memory => "memory".to_owned(),
        }
    }
}

fn one(raw: &Raw) -> Result<&str, String> {
    match raw {
        Raw::One(text) => Ok(text),
        Raw::Many(_) | Raw::Tables(_) => Err("it takes one value, not a list".to_owned()),
    }
}

fn many(raw: &Raw) -> Result<&[String], String> {
    match raw {
        Raw::One(text) => Ok(std::slice::from_ref(text)),
        Raw::Many(texts) => Ok(texts),
        Raw::Tables(_) => Err("it takes a list of texts".to_owned()),
    }
}

fn read_all<K: Kind>(raw: &Raw) -> Result<Vec<K::Value>, String> {
    many(raw)?.iter().map(|text| K::read(text)).collect()
}

macro_rules! key {
    ($first:ident $(. $rest:ident)*) => {
        concat!(stringify!($first) $(, ".", stringify!($rest))*)
    };
}

macro_rules! single {
    ($kind:ty, $first:ident $(. $rest:ident)*, $help:literal) => {
        Setting {
            key: key!($first $(. $rest)*),
            placeholder: <$kind as Kind>::NAME,
            help: $help,
            many: false,
            secret: false,
            form: if <$kind as Kind>::BARE { Form::Bare } else { Form::Quoted },
            set: |config, raw| {
                config.$first $(. $rest)* = <$kind as Kind>::read(one(raw)?)?;
                Ok(())
            },
            show: |config| vec![<$kind as Kind>::show(&config.$first $(. $rest)*)],
        }
    };
}

macro_rules! list {
    ($kind:ty, $field:ident, secret: $secret:literal, $help:literal) => {
        Setting {
            key: stringify!($field),
            placeholder: <$kind as Kind>::NAME,
            help: $help,
            many: true,
            secret: $secret,
            form: Form::List,
            set: |config, raw| {
                config.$field = read_all::<$kind>(raw)?;
                Ok(())
            },
            show: |config| config.$field.iter().map(<$kind as Kind>::show).collect(),
        }
    };
}

/// Its field carries a unit that the key need not.
const HISTORY_AGE: Setting = Setting {
    key: "history.age",
    ..single!(Millis, history.age_ms, "How long publications are kept")
};

/// Every setting, in the order in which they are printed and applied.
pub const SETTINGS: &[Setting] = &[
    single!(Address, listen, "Where clients connect"),
    single!(
        AdminListen,
        admin_listen,
        "Where operations answer: metrics, console, connections"
    ),
    single!(Switch, dev, "Open access on loopback, for development"),
    single!(
        Switch,
        dev_public,
        "Development mode beyond loopback, with an access key"
    ),
    single!(Auto<Count>, shards, "Event loops; auto is one per core"),
    single!(EngineKind, engine, "Where publications are kept"),
    single!(Switch, diagnostics, "Answer /v1/echo and other diagnostics"),
    list!(AllowedOrigin, allow_origin, secret: false,
        "A foreign origin whose pages may connect: https://app.example.com, https://*.example.com"),
    list!(Network, trusted_proxy, secret: false,
        "A proxy whose Forwarded or X-Forwarded-For header is believed: 10.0.0.0/8"),
    single!(
        Switch,
        proxy_protocol,
        "Each connection begins with a PROXY header of a trusted proxy"
    ),
    single!(Time, heartbeat, "Silence after which a heartbeat is sent"),
    single!(
        TimeRange,
        retry,
        "When SSE clients come back; drawn anew for each"
    ),
    single!(
        SlowConsumer,
        slow_consumer,
        "What happens to a connection behind its history"
    ),
    list!(JwtKey, jwt_key, secret: true,
        "A key that signs tokens: [KID=]HS256:SECRET, or ES256, EdDSA, RS256 with :@PEMFILE"),
    list!(Text, jwt_issuer, secret: false, "An accepted iss claim; without any, all are"),
    list!(Text, jwt_audience, secret: false, "An accepted aud claim; without any, all are"),
    single!(
        Time,
        jwt_leeway,
        "How far the clock of whoever signs tokens may differ"
    ),
    single!(
        Off<File>,
        tls.certificate,
        "PEM file of the certificate and those that vouch for it; turns TLS on"
    ),
    single!(
        Off<File>,
        tls.key,
        "PEM file of the certificate's private key"
    ),
    single!(
        Switch,
        http2.cleartext,
        "Take HTTP/2 without TLS, from clients that begin with it"
    ),
    single!(
        Switch,
        http2.websocket,
        "Let clients open WebSockets inside of HTTP/2"
    ),
    single!(
        Count,
        http2.max_streams,
        "Requests that one HTTP/2 connection may have open"
    ),
    single!(
        LogFormat,
        log.format,
        "How lines are written; auto is text on a terminal"
    ),
    single!(
        LogLevel,
        log.level,
        "The least important lines: error, warn, info, debug or trace"
    ),
    single!(Time, drain.delay, "How long a draining node still accepts"),
    single!(
        Time,
        drain.window,
        "Over what time its connections are moved away"
    ),
    single!(CountOrZero, history.count, "Publications kept of a channel"),
    single!(Size, history.bytes, "Bytes kept of a channel"),
    HISTORY_AGE,
    single!(
        Compression,
        websocket.compression,
        "Whether messages of WebSockets that offer it are compressed; not where secrets and a stranger's text share a message"
    ),
    single!(
        Size,
        limits.max_message_bytes,
        "One payload or WebSocket message"
    ),
    single!(Size, limits.max_echo_bytes, "One message of /v1/echo"),
    single!(Size, limits.max_head_bytes, "Request line and headers"),
    single!(Size, limits.max_body_bytes, "The body of a publish request"),
    single!(
        Size,
        limits.body_bytes,
        "Request bodies on their way; lists of channels have a quarter"
    ),
    single!(Count, limits.max_batch, "Items of one publish request"),
    single!(Size, limits.max_cursor_bytes, "A cursor"),
    single!(
        Count,
        limits.max_channels_per_connection,
        "Subscriptions of one connection"
    ),
    single!(
        Count,
        limits.max_catchup,
        "Publications that a channel's catch-up may span"
    ),
    single!(
        Size,
        limits.max_catchup_bytes,
        "Bytes that a channel's catch-up may span"
    ),
    single!(
        Size,
        limits.catchup_bytes,
        "Pages of the log held for connections behind the tail"
    ),
    single!(
        Size,
        limits.poll_bytes,
        "Answers that polls have not taken yet; above it answers are short"
    ),
    single!(
        Size,
        limits.compression_memory,
        "What connections with websocket.compression = context may remember"
    ),
    single!(Size, limits.shard_inbox_bytes, "What waits for one shard"),
    single!(
        Count,
        limits.max_idempotency_keys,
        "Idempotency keys remembered by the node"
    ),
    single!(
        Size,
        limits.send_buffer_bytes,
        "The kernel's send buffer of one connection"
    ),
    single!(
        Time,
        limits.handshake_timeout,
        "From accept to the end of the first request's head"
    ),
    single!(
        Time,
        limits.keep_alive_timeout,
        "How long an idle HTTP connection stays open"
    ),
    single!(
        Time,
        limits.auth_timeout,
        "How long a bare WebSocket may take to authenticate"
    ),
    single!(
        Auto<Count>,
        limits.max_connections,
        "Connections of the node; auto is the descriptor limit less 64"
    ),
    single!(
        Off<Count>,
        limits.max_connections_per_address,
        "Connections from one address, loopback and trusted proxies aside"
    ),
    single!(
        Off<Often>,
        limits.connect_rate_per_address,
        "New connections from one address, loopback and trusted proxies aside: 10/s, burst 100"
    ),
    single!(
        Off<Often>,
        limits.publish_rate_per_connection,
        "Publishes over one WebSocket: 100/s, burst 200"
    ),
    single!(
        Off<Often>,
        limits.publish_rate_per_user,
        "Publishes of one user: 100/s, burst 200"
    ),
    single!(
        Off<Often>,
        limits.publish_rate_per_address,
        "Publishes from one address, loopback and trusted proxies aside: 1000/s"
    ),
    single!(
        Off<Often>,
        limits.subscribe_rate_per_connection,
        "Subscribe and unsubscribe commands over one WebSocket: 10/s, burst 200"
    ),
    single!(
        Count,
        limits.max_rate_keys,
        "Connections, users and addresses whose rates are remembered"
    ),
    single!(Count, limits.max_channels, "Channels with a record"),
    single!(
        Auto<Size>,
        limits.max_history_bytes,
        "History of all channels; auto is a quarter of memory"
    ),
    single!(
        Count,
        limits.max_cached_tokens,
        "Verified tokens that one shard remembers"
    ),
    Setting {
        key: "api_key",
        placeholder: "ID:SHA256:SCOPE,…",
        help: "An API key as bellwire token key prints it",
        many: true,
        secret: true,
        form: Form::Tables,
        set: |config, raw| {
            config.api_key = match raw {
                Raw::Tables(tables) => {
                    let keys = tables.iter().map(|table| namespaces::read_api_key(table));
                    keys.collect::<Result<_, _>>()?
                }
                Raw::One(_) | Raw::Many(_) => {
                    let texts = many(raw)?.iter();
                    texts
                        .map(|text| StoredKey::parse(text))
                        .collect::<Result<_, _>>()?
                }
            };
            Ok(())
        },
        show: |config| config.api_key.iter().map(StoredKey::masked).collect(),
    },
    Setting {
        key: "namespace",
        placeholder: "TABLE",
        help: "What applies to a group of channels",
        many: true,
        secret: false,
        form: Form::Tables,
        set: |config, raw| {
            let Raw::Tables(tables) = raw else {
                return Err("it is written as [[namespace]] tables".to_owned());
            };
            let history = config.history;
            let read = tables
                .iter()
                .map(|table| namespaces::read_namespace(table, history));
            config.namespace = read.collect::<Result<_, _>>()?;
            Ok(())
        },
        show: |config| config.namespace.iter().map(namespaces::show).collect(),
    },
];

/// The key that somebody may have meant.
pub(super) fn nearest<'a>(
    unknown: &str,
    known: impl Iterator<Item = &'a str> + Clone,
) -> Option<&'a str> {
    let last_part = |key: &&str| {
        key.rsplit_once('.')
            .is_some_and(|(_, last)| last == unknown)
    };
    if let Some(nested) = known.clone().find(last_part) {
        return Some(nested);
    }
    let distance = |key: &str| {
        let whole = strsim::damerau_levenshtein(unknown, key);
        let last = key.rsplit_once('.').map_or(key, |(_, last)| last);
        whole.min(strsim::damerau_levenshtein(unknown, last) + 1)
    };
    let close = known.map(|key| (distance(key), key)).min()?;
    (close.0 <= unknown.len() / 3 + 1).then_some(close.1)
}
