//! The one entry point for requests: who is asking, from which page, with what rights.
//!
//! The HTTP layer calls [`Gate::admit`] before it looks at a request's parameters and then asks
//! the returned `Access` channel by channel. One gate per shard; it does no I/O.

use std::{borrow::Cow, net::SocketAddr, sync::Arc};

use bellwire_core::{
    access::{Access, Authenticator},
    time::Now,
};
use http::{
    HeaderName, HeaderValue, Method,
    header::{
        ACCESS_CONTROL_ALLOW_CREDENTIALS, ACCESS_CONTROL_ALLOW_HEADERS,
        ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN, ACCESS_CONTROL_MAX_AGE, HOST,
        ORIGIN, VARY,
    },
    request::Parts,
};

use super::{
    api_key::ApiKeys,
    credential,
    dev::{self, DevKey},
    keyring::Keyring,
    origin::{self, AllowedOrigin, RefusalLog},
    token_cache::TokenCache,
    verifier::{Credentials, Verifier},
};
use crate::{
    config::Config,
    problem::{ORIGIN_REFUSED, Problem, UNAUTHORIZED},
};

/// What a route is for; it decides which rules apply.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// Open to everybody: probes and the API description. Nothing is checked.
    Public,
    /// A page for people. Credentials count, and `/?key=…` signs a browser in on `--dev-public`.
    Page,
    /// Streams to a client: sse, ws, poll. Foreign origins are refused; a GET takes `?token=`.
    Stream,
    /// Changes something. Foreign origins are refused.
    Change,
    /// Only reads. A foreign page gets no permission to see the answer.
    Read,
}

/// CORS headers of a response, to be added to errors as well.
pub type Cors = Vec<(HeaderName, HeaderValue)>;

/// A request that may go on.
#[derive(Clone, Debug)]
pub struct Admitted {
    /// What it may do; ask it about each channel.
    pub access: Arc<Access>,
    /// Headers of the response.
    pub cors: Cors,
    /// A `Set-Cookie` of the response, after `/?key=…`.
    pub set_cookie: Option<HeaderValue>,
}

/// What all shards share: keys, allowed origins, mode.
#[derive(Debug)]
pub struct Policy {
    credentials: Arc<Credentials>,
    allowed: Vec<AllowedOrigin>,
    mode: Mode,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mode {
    Standard,
    Dev,
    DevPublic,
}

impl Policy {
    /// The policy of a configuration. `--dev-public` makes its key here.
    ///
    /// # Errors
    /// The operating system gives no randomness.
    pub fn new(config: &Config) -> Result<Arc<Self>, getrandom::Error> {
        let mode = match (config.dev, config.dev_public) {
            (_, true) => Mode::DevPublic,
            (true, false) => Mode::Dev,
            (false, false) => Mode::Standard,
        };
        let dev_key = if mode == Mode::DevPublic {
            Some(DevKey::generate()?)
        } else {
            None
        };
        let credentials = Credentials {
            keyring: Keyring::new(config),
            api_keys: ApiKeys::new(&config.api_key),
            dev_key,
            tokens: TokenCache::new(config.limits.max_cached_tokens),
        };
        Ok(Arc::new(Self {
            credentials: Arc::new(credentials),
            allowed: config.allow_origin.clone(),
            mode,
        }))
    }

    /// The key of `--dev-public`, to print `http://<ip>:<port>/?key=…` at start.
    #[must_use]
    pub fn dev_key(&self) -> Option<&DevKey> {
        self.credentials.dev_key.as_ref()
    }
}

/// Admits requests on one shard.
#[derive(Debug)]
pub struct Gate {
    policy: Arc<Policy>,
    verifier: Verifier,
    refusals: RefusalLog,
    anonymous: Arc<Access>,
    dev: Arc<Access>,
}

impl Gate {
    /// A shard's gate.
    #[must_use]
    pub fn new(policy: Arc<Policy>) -> Self {
        let verifier = Verifier::new(Arc::clone(&policy.credentials));
        Self {
            policy,
            verifier,
            refusals: RefusalLog::default(),
            anonymous: Arc::new(Access::anonymous()),
            dev: Arc::new(Access::dev()),
        }
    }

    /// The shard's verifier, for its metrics.
    #[must_use]
    pub fn verifier(&self) -> &Verifier {
        &self.verifier
    }

    /// Checks tokens and grants that sessions present later.
    #[must_use]
    pub fn authenticator(&self) -> &dyn Authenticator {
        &self.verifier
    }

    /// Who is asking, and whether from here. Rights are not looked at: without credentials the
    /// access is the anonymous one.
    ///
    /// # Errors
    /// A refused host, origin or credential. The response should carry [`Gate::cors`].
    pub fn admit(
        &self,
        parts: &Parts,
        peer: SocketAddr,
        purpose: Purpose,
        now: Now,
    ) -> Result<Admitted, Problem> {
        if purpose == Purpose::Public {
            let access = Arc::clone(&self.anonymous);
            return Ok(Admitted {
                access,
                cors: Vec::new(),
                set_cookie: None,
            });
        }
        let host = host(parts);
        match self.policy.mode {
            Mode::Standard => {}
            Mode::Dev => dev::check_local(host.as_deref(), &parts.headers, peer)?,
            Mode::DevPublic => dev::check_not_forwarded(&parts.headers)?,
        }
        if matches!(purpose, Purpose::Stream | Purpose::Change) {
            self.check_origin(parts, host.as_deref(), now)?;
        }
        if purpose == Purpose::Page
            && let Some(key) = self.policy.dev_key()
            && let Some(text) = credential::parameter(&parts.uri, "key")
        {
            let access = key
                .verify(&text)
                .map_err(|refusal| Problem::refused(&refusal))?;
            let set_cookie = HeaderValue::from_str(&key.cookie()).ok();
            return Ok(Admitted {
                access,
                cors: self.cors(parts),
                set_cookie,
            });
        }
        let access = self.access(parts, purpose, now)?;
        Ok(Admitted {
            access,
            cors: self.cors(parts),
            set_cookie: None,
        })
    }

    fn access(&self, parts: &Parts, purpose: Purpose, now: Now) -> Result<Arc<Access>, Problem> {
        let takes_parameter = purpose == Purpose::Stream && parts.method == Method::GET;
        let found = credential::find(&parts.headers, &parts.uri, takes_parameter);
        match found.map_err(|refusal| Problem::refused(&refusal))? {
            // A bad credential is refused even where none would do.
            Some(text) => self
                .verifier
                .token(&text, now)
                .map_err(|refusal| Problem::refused(&refusal)),
            None if self.policy.mode == Mode::Dev => Ok(Arc::clone(&self.dev)),
            None if self.policy.mode == Mode::DevPublic && purpose == Purpose::Page => {
                let detail = "open the address with ?key=… that was printed at start";
                Err(Problem::new(UNAUTHORIZED, detail).with_check("dev.key"))
            }
            None => Ok(Arc::clone(&self.anonymous)),
        }
    }

    fn check_origin(&self, parts: &Parts, host: Option<&str>, now: Now) -> Result<(), Problem> {
        match origin(parts) {
            None => Ok(()),
            Some(origin) if self.is_allowed(&origin, host) => Ok(()),
            Some(origin) => {
                self.refusals.refused(&origin, now);
                let detail = "the page's origin is foreign here; the server's log has the flag \
                              that allows it (--allow-origin)";
                Err(Problem::new(ORIGIN_REFUSED, detail).with_check("origin"))
            }
        }
    }

    fn is_allowed(&self, origin: &str, host: Option<&str>) -> bool {
        let dev = self.policy.mode != Mode::Standard;
        origin::is_allowed(origin, host, &self.policy.allowed, dev)
    }

    /// The CORS headers of every response to a request, errors included.
    #[must_use]
    pub fn cors(&self, parts: &Parts) -> Cors {
        let mut headers = vec![(VARY, HeaderValue::from_static("Origin"))];
        let value = parts.headers.get(ORIGIN);
        if let Some(origin) = origin(parts)
            && let Some(value) = value
            && self.is_allowed(&origin, host(parts).as_deref())
        {
            headers.push((ACCESS_CONTROL_ALLOW_ORIGIN, value.clone()));
            headers.push((
                ACCESS_CONTROL_ALLOW_CREDENTIALS,
                HeaderValue::from_static("true"),
            ));
        }
        headers
    }

    /// The headers of the answer to `OPTIONS` (204). A foreign origin gets no permission in them.
    #[must_use]
    pub fn preflight(&self, parts: &Parts) -> Cors {
        let mut headers = self.cors(parts);
        if headers
            .iter()
            .any(|(name, _)| name == ACCESS_CONTROL_ALLOW_ORIGIN)
        {
            let allowed = "authorization, content-type, idempotency-key, last-event-id";
            headers.extend([
                (
                    ACCESS_CONTROL_ALLOW_METHODS,
                    HeaderValue::from_static("GET, POST, DELETE"),
                ),
                (
                    ACCESS_CONTROL_ALLOW_HEADERS,
                    HeaderValue::from_static(allowed),
                ),
                (ACCESS_CONTROL_MAX_AGE, HeaderValue::from_static("600")),
            ]);
        }
        headers
    }
}

/// The Origin header; several count as `null`, which is foreign.
fn origin(parts: &Parts) -> Option<Cow<'_, str>> {
    let mut values = parts.headers.get_all(ORIGIN).into_iter();
    let first = values.next()?;
    if values.next().is_some() {
        return Some(Cow::Borrowed("null"));
    }
    Some(String::from_utf8_lossy(first.as_bytes()))
}

/// The host that was asked for: HTTP/2's `:authority`, else the one Host header.
fn host(parts: &Parts) -> Option<Cow<'_, str>> {
    if let Some(authority) = parts.uri.authority() {
        return Some(Cow::Borrowed(authority.as_str()));
    }
    let mut values = parts.headers.get_all(HOST).into_iter();
    let first = values.next()?;
    if values.next().is_some() {
        return None;
    }
    first.to_str().ok().map(Cow::Borrowed)
}
