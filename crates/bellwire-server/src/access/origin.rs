//! Which pages may connect: the `Origin` of a request against its `Host` and the allowed list.
//!
//! Asked by the gate for everything that streams or changes state. A browser always sends an
//! Origin with such requests from a foreign page; what has none is no browser, or a page of ours.

use std::{cell::RefCell, fmt};

use bellwire_core::time::Now;

use super::dev::is_loopback_host;
use crate::config::Kind;

/// One entry of `--allow-origin`: exact, or with `*.` for all names below a domain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AllowedOrigin {
    any_subdomain: bool,
    origin: Origin,
}

/// An origin in one spelling: lower case, no trailing dot, the port always there.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Origin {
    scheme: String,
    host: String,
    port: u16,
}

impl Origin {
    /// Reads `scheme://host[:port]`, nothing after it.
    fn parse(text: &str) -> Option<Self> {
        let (scheme, authority) = text.split_once("://")?;
        let scheme = scheme.to_ascii_lowercase();
        let (host, port) = split_authority(authority);
        let fits =
            |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '.' | '_' | '[' | ']' | ':');
        if host.is_empty() || !host.chars().all(fits) || scheme.is_empty() {
            return None;
        }
        let port = match port {
            Some(port) => port.parse().ok()?,
            None => default_port(&scheme)?,
        };
        Some(Self {
            scheme,
            host: plain_host(host),
            port,
        })
    }

    /// Whether a Host header names the same host and port. A Host without a port has the default
    /// one of the origin's scheme, because TLS may end at a proxy before this server.
    fn is_host(&self, host: &str) -> bool {
        let (name, port) = split_authority(host);
        let port = match port {
            Some(port) => port.parse().ok(),
            None => default_port(&self.scheme),
        };
        plain_host(name) == self.host && port == Some(self.port)
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}", self.scheme, self.host)?;
        if default_port(&self.scheme) == Some(self.port) {
            Ok(())
        } else {
            write!(f, ":{}", self.port)
        }
    }
}

fn default_port(scheme: &str) -> Option<u16> {
    match scheme {
        "http" | "ws" => Some(80),
        "https" | "wss" => Some(443),
        _ => None,
    }
}

fn plain_host(host: &str) -> String {
    host.strip_suffix('.').unwrap_or(host).to_ascii_lowercase()
}

/// Cuts `host[:port]`; the colons of an IPv6 address are inside brackets.
pub(super) fn split_authority(authority: &str) -> (&str, Option<&str>) {
    match authority.rsplit_once(':') {
        Some((host, port)) if !port.contains(']') => (host, Some(port)),
        _ => (authority, None),
    }
}

impl AllowedOrigin {
    /// Reads `https://app.example.com`, `https://*.example.com` or `http://localhost:3000`.
    ///
    /// # Errors
    /// What to write instead.
    pub fn parse(text: &str) -> Result<Self, String> {
        let wrong = |why: &str| format!("{text:?} {why}; write https://app.example.com");
        if text == "*" || text == "null" {
            return Err(wrong("would let every page connect"));
        }
        let (exact, any_subdomain) = match text.split_once("://*.") {
            Some((scheme, domain)) => (format!("{scheme}://{domain}"), true),
            None => (text.to_owned(), false),
        };
        let bare = exact.strip_suffix('/').unwrap_or(&exact);
        let origin = Origin::parse(bare).ok_or_else(|| wrong("is not an origin"))?;
        if any_subdomain && !origin.host.contains('.') {
            return Err(wrong("covers a whole top-level domain"));
        }
        Ok(Self {
            any_subdomain,
            origin,
        })
    }

    fn matches(&self, origin: &Origin) -> bool {
        let host = if self.any_subdomain {
            origin
                .host
                .strip_suffix(&self.origin.host)
                .is_some_and(|name| name.ends_with('.'))
        } else {
            origin.host == self.origin.host
        };
        host && origin.scheme == self.origin.scheme && origin.port == self.origin.port
    }
}

impl Kind for AllowedOrigin {
    type Value = Self;
    const NAME: &'static str = "ORIGIN";

    fn read(text: &str) -> Result<Self, String> {
        Self::parse(text)
    }

    fn show(value: &Self) -> String {
        let text = value.origin.to_string();
        if value.any_subdomain {
            text.replacen("://", "://*.", 1)
        } else {
            text
        }
    }
}

/// Whether the page that sent an Origin may connect to a Host.
pub(super) fn is_allowed(
    origin: &str,
    host: Option<&str>,
    allowed: &[AllowedOrigin],
    dev: bool,
) -> bool {
    let Some(origin) = Origin::parse(origin) else {
        return false;
    };
    host.is_some_and(|host| origin.is_host(host))
        || allowed.iter().any(|entry| entry.matches(&origin))
        || (dev && matches!(&*origin.scheme, "http" | "https") && is_loopback_host(&origin.host))
}

/// Says in the log which flag would allow a refused origin, at most once in ten seconds.
#[derive(Debug, Default)]
pub(super) struct RefusalLog {
    /// When a line was last written (monotonic), and how many were left out since.
    last: RefCell<Option<(u64, u64)>>,
}

const LOG_INTERVAL_MS: u64 = 10_000;

impl RefusalLog {
    pub(super) fn refused(&self, origin: &str, now: Now) {
        if let Some((line, left_out)) = self.line(origin, now) {
            tracing::warn!(origin = %line.origin, left_out, "{}", line.advice);
        }
    }

    /// The line to write, and how many were left out before it.
    fn line(&self, origin: &str, now: Now) -> Option<(Line, u64)> {
        let mut last = self.last.borrow_mut();
        let left_out = match &mut *last {
            Some((at, left_out)) if now.mono < at.saturating_add(LOG_INTERVAL_MS) => {
                *left_out += 1;
                return None;
            }
            Some((_, left_out)) => *left_out,
            None => 0,
        };
        *last = Some((now.mono, 0));
        Some((Line::new(origin), left_out))
    }
}

struct Line {
    origin: String,
    advice: String,
}

impl Line {
    /// An origin is a stranger's text: only what parses is repeated as it is.
    fn new(origin: &str) -> Self {
        match Origin::parse(origin) {
            Some(origin) => {
                let advice = format!(
                    "refused a page of a foreign origin; if it is yours, add --allow-origin {origin}"
                );
                Self {
                    origin: origin.to_string(),
                    advice,
                }
            }
            None => {
                let shown: String = origin
                    .chars()
                    .take(100)
                    .flat_map(char::escape_default)
                    .collect();
                let advice = "refused a page without a proper origin, \
                              such as a file or a sandboxed frame; serve it over HTTP";
                Self {
                    origin: shown,
                    advice: advice.to_owned(),
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_prints_the_exact_flag_once_in_ten_seconds() {
        let log = RefusalLog::default();
        let at = |mono| Now { mono, wall: 0 };
        let (line, left_out) = log.line("https://App.example.com:8443", at(0)).unwrap();
        assert!(
            line.advice
                .ends_with("--allow-origin https://app.example.com:8443")
        );
        assert_eq!(left_out, 0);
        assert!(log.line("https://b.example", at(9_999)).is_none());
        let (_, left_out) = log.line("https://b.example", at(10_000)).unwrap();
        assert_eq!(left_out, 1);
    }

    #[test]
    fn a_strangers_text_is_escaped_in_the_log() {
        let line = Line::new("evil\u{1b}[2J\nFAKE LINE");
        assert!(!line.origin.contains(['\n', '\u{1b}']), "{}", line.origin);
    }

    #[test]
    fn dangerous_or_shapeless_entries_are_refused() {
        for bad in [
            "*",
            "null",
            "",
            "example.com",
            "https://",
            "https://*.com",
            "https://a b",
            "ftp://x",
        ] {
            assert!(AllowedOrigin::parse(bad).is_err(), "{bad}");
        }
        for good in [
            "https://app.example.com",
            "https://*.example.com:8443",
            "http://[::1]:3000",
        ] {
            let entry = AllowedOrigin::parse(good).unwrap();
            assert_eq!(AllowedOrigin::show(&entry), good);
        }
    }
}
