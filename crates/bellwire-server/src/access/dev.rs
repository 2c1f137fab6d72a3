//! Development mode: open access, but to this machine only.
//!
//! A page of the web that a developer visits can reach a server on loopback; it is kept out by
//! the Origin rule and, against DNS rebinding, by the Host rule. A reverse proxy or tunnel would
//! make loopback public, so forwarded requests are refused. Asked by the gate.

use std::{
    fmt,
    net::{IpAddr, SocketAddr},
    sync::Arc,
};

use bellwire_core::access::{Access, Refusal};
use http::HeaderMap;
use sha2::{Digest, Sha256};

use super::{
    api_key::{random_text, same},
    origin::split_authority,
};
use crate::problem::{FORWARDED_REFUSED, HOST_REFUSED, Problem};

/// How the access key of `--dev-public` begins.
pub(super) const DEV_KEY_PREFIX: &str = "dev_";
/// The cookie that holds it after `/?key=…` was opened.
pub(super) const DEV_KEY_COOKIE: &str = "bellwire_dev_key";

/// What proxies add.
const FORWARDING_HEADERS: [&str; 6] = [
    "forwarded",
    "via",
    "x-forwarded-for",
    "x-forwarded-host",
    "x-forwarded-proto",
    "x-real-ip",
];

/// Refuses what does not come from this machine directly.
pub(super) fn check_local(
    host: Option<&str>,
    headers: &HeaderMap,
    peer: SocketAddr,
) -> Result<(), Problem> {
    check_not_forwarded(headers)?;
    let advice = "use --dev-public, or tokens without --dev";
    if !peer.ip().to_canonical().is_loopback() {
        let detail = format!(
            "--dev answers this machine only, not {}; {advice}",
            peer.ip()
        );
        return Err(Problem::new(HOST_REFUSED, detail).with_check("dev.peer"));
    }
    if !host.is_some_and(is_loopback_host) {
        let host = host.unwrap_or("missing or doubled");
        let detail = format!("--dev answers localhost and 127.0.0.1; Host is {host:?}; {advice}");
        return Err(Problem::new(HOST_REFUSED, detail).with_check("dev.host"));
    }
    Ok(())
}

/// Refuses what a proxy or tunnel has passed on.
pub(super) fn check_not_forwarded(headers: &HeaderMap) -> Result<(), Problem> {
    let forwarded = FORWARDING_HEADERS
        .into_iter()
        .chain(
            headers
                .keys()
                .map(http::HeaderName::as_str)
                .filter(|n| n.starts_with("x-forwarded-")),
        )
        .find(|name| headers.contains_key(*name));
    let Some(name) = forwarded else { return Ok(()) };
    let detail = format!(
        "the request has the header {name}, so a proxy passed it on; \
         --dev would open access to the world, use tokens instead"
    );
    Err(Problem::new(FORWARDED_REFUSED, detail).with_check("dev.forwarded"))
}

/// Whether a Host, or the host of an origin, names this machine by a loopback name or address.
pub(super) fn is_loopback_host(authority: &str) -> bool {
    let (host, port) = split_authority(authority);
    if port.is_some_and(|port| port.parse::<u16>().is_err()) {
        return false;
    }
    let host = host.strip_suffix('.').unwrap_or(host).to_ascii_lowercase();
    if host == "localhost"
        || host
            .strip_suffix(".localhost")
            .is_some_and(|name| !name.is_empty())
    {
        return true;
    }
    let address = host
        .strip_prefix('[')
        .and_then(|host| host.strip_suffix(']'));
    match address {
        Some(v6) => v6
            .parse::<IpAddr>()
            .is_ok_and(|ip| ip.to_canonical().is_loopback()),
        None => host
            .parse::<IpAddr>()
            .is_ok_and(|ip| ip.is_ipv4() && ip.is_loopback()),
    }
}

/// The access key of `--dev-public`. Made at start, shown once, gone with the process.
#[derive(Clone)]
pub struct DevKey {
    text: String,
    sha256: [u8; 32],
}

impl DevKey {
    /// Makes a key.
    ///
    /// # Errors
    /// The operating system gives no randomness.
    pub fn generate() -> Result<Self, getrandom::Error> {
        let text = format!("{DEV_KEY_PREFIX}{}", random_text(32)?);
        let sha256 = Sha256::digest(text.as_bytes()).into();
        Ok(Self { text, sha256 })
    }

    /// The key, for the start message only.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    pub(super) fn verify(&self, text: &str) -> Result<Arc<Access>, Refusal> {
        if same(&Sha256::digest(text.as_bytes()).into(), &self.sha256) {
            return Ok(Arc::new(Access::dev()));
        }
        Err(Refusal {
            check: "dev.key",
            code: "key_invalid",
            detail: "the development key is of another run; open the address printed at start"
                .to_owned(),
        })
    }

    /// The cookie that keeps a browser signed in.
    pub(super) fn cookie(&self) -> String {
        format!(
            "{DEV_KEY_COOKIE}={}; Path=/; HttpOnly; SameSite=Strict",
            self.text
        )
    }
}

impl fmt::Debug for DevKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("DevKey(***)")
    }
}
