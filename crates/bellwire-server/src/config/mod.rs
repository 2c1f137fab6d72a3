//! The settings of a node: one table drives flags, environment and TOML.
//!
//! [`load()`] merges the layers (flag over environment over file over default), checks them and
//! remembers where each value came from. The rest of the server reads [`Config`], whose values
//! are known to be consistent. Reads files it is pointed to; opens no sockets.

use std::{net::SocketAddr, path::PathBuf, time::Duration};

use bellwire_core::{
    engine::Durability,
    namespace::{Namespace, Namespaces, Retention},
};

use crate::access::{AllowedOrigin, JwtKey, StoredKey};

mod check;
mod error;
mod file;
mod limits;
mod load;
mod namespaces;
mod print;
mod rate;
mod settings;
mod system;
mod values;

pub use error::{ConfigError, ConfigErrors, Source};
pub use limits::Limits;
pub use load::{Layers, Loaded, load};
pub use print::print;
pub use settings::{SETTINGS, Setting};
pub use system::{available_memory_bytes, max_descriptors};
pub use values::{AdminListen, Network, TimeRange, read_millis};

pub(crate) use values::Kind;
use values::Word;

/// Everything that can be set. [`Config::default`] is what a node without settings runs with.
#[derive(Clone, Debug)]
#[expect(clippy::struct_excessive_bools, reason = "independent switches")]
pub struct Config {
    /// Where clients connect.
    pub listen: SocketAddr,
    /// Where operations answer; see [`Config::admin_address`].
    pub admin_listen: AdminListen,
    /// Open access on loopback. Also set by `dev_public`.
    pub dev: bool,
    /// Development mode beyond loopback, with an access key.
    pub dev_public: bool,
    /// Event loops; `None` is one per core.
    pub shards: Option<usize>,
    /// Where publications are kept.
    pub engine: EngineKind,
    /// Whether `/v1/echo` and other diagnostics answer.
    pub diagnostics: bool,
    /// Foreign origins whose pages may connect.
    pub allow_origin: Vec<AllowedOrigin>,
    /// Peers whose word on their clients' addresses counts, and to whom bounds per address do not
    /// apply.
    pub trusted_proxy: Vec<Network>,
    /// Whether each connection of the main listener begins with a PROXY header.
    pub proxy_protocol: bool,
    /// Encryption of the main listener.
    pub tls: Tls,
    /// What is offered of HTTP/2.
    pub http2: Http2,
    /// Silence after which a heartbeat is sent.
    pub heartbeat: Duration,
    /// When SSE clients come back, drawn anew for each.
    pub retry: TimeRange,
    /// What happens when a connection falls behind its history.
    pub slow_consumer: SlowConsumer,
    /// Keys that sign tokens and grants.
    pub jwt_key: Vec<JwtKey>,
    /// Accepted `iss` claims; none accepts all.
    pub jwt_issuer: Vec<String>,
    /// Accepted `aud` claims; none accepts all.
    pub jwt_audience: Vec<String>,
    /// How far clocks may differ.
    pub jwt_leeway: Duration,
    /// API keys by their hashes.
    pub api_key: Vec<StoredKey>,
    /// What is logged and how.
    pub log: Log,
    /// Leaving without loss.
    pub drain: Drain,
    /// What is kept of a channel that no namespace says otherwise of.
    pub history: Retention,
    /// What WebSockets are offered.
    pub websocket: WebSocketOptions,
    /// Bounds.
    pub limits: Limits,
    /// Groups of channels, as written; see [`Config::namespaces`].
    pub namespace: Vec<Namespace>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 2355)),
            admin_listen: AdminListen::Standard,
            dev: false,
            dev_public: false,
            shards: None,
            engine: EngineKind::Memory,
            diagnostics: false,
            allow_origin: Vec::new(),
            trusted_proxy: Vec::new(),
            proxy_protocol: false,
            tls: Tls::default(),
            http2: Http2::default(),
            heartbeat: Duration::from_secs(20),
            retry: TimeRange {
                min: Duration::from_secs(1),
                max: Duration::from_secs(3),
            },
            slow_consumer: SlowConsumer::Gap,
            jwt_key: Vec::new(),
            jwt_issuer: Vec::new(),
            jwt_audience: Vec::new(),
            jwt_leeway: Duration::from_secs(30),
            api_key: Vec::new(),
            log: Log {
                format: LogFormat::Auto,
                level: LogLevel::Info,
            },
            drain: Drain {
                delay: Duration::from_secs(5),
                window: Duration::from_secs(20),
            },
            history: Retention::default(),
            websocket: WebSocketOptions {
                compression: Compression::Off,
            },
            limits: Limits::default(),
            namespace: Vec::new(),
        }
    }
}

impl Config {
    /// The second listener, where there is one: in development mode operations answer on the
    /// main one unless an address was given.
    #[must_use]
    pub fn admin_address(&self) -> Option<SocketAddr> {
        match self.admin_listen {
            AdminListen::Standard if self.dev => None,
            AdminListen::Standard => Some(SocketAddr::from(([127, 0, 0, 1], 2356))),
            AdminListen::Off => None,
            AdminListen::At(address) => Some(address),
        }
    }

    /// How many shards to run: as set, else one per core this process may use.
    #[must_use]
    pub fn shard_count(&self) -> usize {
        self.shards.unwrap_or_else(system::cores)
    }

    /// The rules for channels, with the default for the rest. Where operators gave `*` a
    /// namespace, it is one of the rules and still leaves inboxes alone.
    #[must_use]
    pub fn namespaces(&self) -> Namespaces {
        let default = namespaces::standard(self.history);
        Namespaces::new(self.namespace.clone(), default)
    }

    /// What an operator should know but may keep: short secrets, for example.
    #[must_use]
    pub fn warnings(&self) -> Vec<String> {
        self.jwt_key.iter().filter_map(JwtKey::warning).collect()
    }
}

/// Where publications are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum EngineKind {
    /// In this process.
    Memory,
}

/// What happens when a connection falls behind its history.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SlowConsumer {
    /// A gap is said and delivery goes on.
    Gap,
    /// The connection is closed with a cursor to come back with.
    Close,
}

impl Word for SlowConsumer {
    const WORDS: &'static [(&'static str, Self)] = &[("gap", Self::Gap), ("close", Self::Close)];
    const NAME: &'static str = "gap|close";
}

/// What WebSockets are offered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WebSocketOptions {
    /// Whether permessage-deflate is accepted.
    pub compression: Compression,
}

/// Whether WebSockets whose clients offer it are compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Compression {
    /// Frames go out as they are.
    Off,
    /// Each message stands alone, so that all who read a publication share its compressed form.
    Shared,
    /// Messages refer to earlier ones on the same connection where its client allows it and
    /// `limits.compression_memory` lasts; elsewhere as `Shared`.
    Context,
}

impl Word for Compression {
    const WORDS: &'static [(&'static str, Self)] = &[
        ("off", Self::Off),
        ("shared", Self::Shared),
        ("context", Self::Context),
    ];
    const NAME: &'static str = "off|shared|context";
}

/// Encryption of the main listener: both files, or neither.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tls {
    /// A PEM file with the certificate and those that vouch for it; with it the listener speaks
    /// TLS only.
    pub certificate: Option<PathBuf>,
    /// A PEM file with the certificate's private key.
    pub key: Option<PathBuf>,
}

/// What is offered of HTTP/2. Over TLS clients choose it by themselves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Http2 {
    /// Whether clients without TLS may begin with it.
    pub cleartext: bool,
    /// Whether clients may open WebSockets in it (RFC 8441).
    pub websocket: bool,
    /// Requests that one connection may have open.
    pub max_streams: usize,
}

impl Default for Http2 {
    fn default() -> Self {
        Self {
            cleartext: false,
            websocket: false,
            max_streams: 128,
        }
    }
}

/// What is logged and how.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Log {
    /// Text or JSON.
    pub format: LogFormat,
    /// The least important lines that still appear.
    pub level: LogLevel,
}

/// How lines are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// Text on a terminal, else JSON.
    Auto,
    /// For programs.
    Json,
    /// For people.
    Text,
}

impl Word for LogFormat {
    const WORDS: &'static [(&'static str, Self)] = &[
        ("auto", Self::Auto),
        ("json", Self::Json),
        ("text", Self::Text),
    ];
    const NAME: &'static str = "auto|json|text";
}

/// How important a line is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogLevel {
    /// Something is broken.
    Error,
    /// Something should be looked at.
    Warn,
    /// What an operator wants to see.
    Info,
    /// What a developer wants to see.
    Debug,
    /// Everything.
    Trace,
}

impl Word for LogLevel {
    const WORDS: &'static [(&'static str, Self)] = &[
        ("error", Self::Error),
        ("warn", Self::Warn),
        ("info", Self::Info),
        ("debug", Self::Debug),
        ("trace", Self::Trace),
    ];
    const NAME: &'static str = "LEVEL";
}

/// Leaving without loss (design D11).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Drain {
    /// How long a draining node still accepts.
    pub delay: Duration,
    /// Over what time its connections are moved away.
    pub window: Duration,
}

impl Word for Durability {
    const WORDS: &'static [(&'static str, Self)] = &[
        ("memory", Self::Memory),
        ("os", Self::Os),
        ("disk", Self::Disk),
        ("replicated", Self::Replicated),
    ];
    const NAME: &'static str = "DURABILITY";
}
