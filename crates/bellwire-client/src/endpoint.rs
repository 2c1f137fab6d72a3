//! Where a server is and how a request to it looks. Built by the client once; used by every
//! transport and by publishing. It opens nothing.

use std::{fmt, sync::Arc};

use bytes::Bytes;
use http::{HeaderValue, Method, Request, Uri, header};
use http_body_util::Full;

use crate::{error::Error, tls::Tls};

/// A request as this crate sends it.
pub(crate) type Outgoing = Request<Full<Bytes>>;
/// Gives the credential of each new request.
type CredentialSource = Arc<dyn Fn() -> Option<String> + Send + Sync>;

/// A server's address and what to present there. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Endpoint {
    host: Arc<str>,
    port: u16,
    authority: HeaderValue,
    prefix: Arc<str>,
    credential: CredentialSource,
    /// Where the URL says https.
    tls: Option<Tls>,
}

impl Endpoint {
    /// Reads a base URL. Where it is https, the authorities in `ca` (PEM) are trusted besides the
    /// system's.
    ///
    /// # Errors
    /// [`Error::Invalid`] with the field `url` or `ca`.
    pub(crate) fn parse(
        url: &str,
        ca: Option<&[u8]>,
        credential: CredentialSource,
    ) -> Result<Self, Error> {
        let refuse = |detail: &str| Error::invalid("url", format!("{detail}, in {url:?}"));
        let example = "write it like http://127.0.0.1:2355";
        let uri: Uri = url.parse().map_err(|_| refuse(example))?;
        let is_secure = match uri.scheme_str() {
            Some("http" | "ws") => false,
            Some("https" | "wss") => true,
            _ => return Err(refuse(example)),
        };
        let authority = uri.authority().ok_or_else(|| refuse(example))?;
        if authority.as_str().contains('@') || uri.query().is_some() {
            return Err(refuse(
                "give credentials as a credential and not in the URL",
            ));
        }
        let host = authority
            .host()
            .trim_start_matches('[')
            .trim_end_matches(']');
        Ok(Self {
            host: host.into(),
            port: authority
                .port_u16()
                .unwrap_or(if is_secure { 443 } else { 80 }),
            authority: HeaderValue::from_str(authority.as_str())
                .expect("an authority is visible ASCII"),
            prefix: uri.path().trim_end_matches('/').into(),
            credential,
            tls: is_secure.then(|| Tls::new(host, ca)).transpose()?,
        })
    }

    /// What to connect to.
    pub(crate) fn address(&self) -> (&str, u16) {
        (&self.host, self.port)
    }

    /// How to encrypt the connection, where it is to be.
    pub(crate) fn tls(&self) -> Option<&Tls> {
        self.tls.as_ref()
    }

    /// A GET of `path` below the base URL.
    pub(crate) fn get(&self, path: &str) -> Result<Outgoing, Error> {
        self.request(Method::GET, path, Bytes::new())
    }

    /// A POST of a JSON body to `path` below the base URL.
    pub(crate) fn post(&self, path: &str, body: Bytes) -> Result<Outgoing, Error> {
        let mut request = self.request(Method::POST, path, body)?;
        let json = HeaderValue::from_static("application/json");
        request.headers_mut().insert(header::CONTENT_TYPE, json);
        Ok(request)
    }

    fn request(&self, method: Method, path: &str, body: Bytes) -> Result<Outgoing, Error> {
        let target = format!("{}{path}", self.prefix);
        let uri: Uri = target
            .parse()
            .map_err(|_| Error::invalid("url", "the URL is too long"))?;
        let mut request = Request::new(Full::new(body));
        *request.method_mut() = method;
        *request.uri_mut() = uri;
        request
            .headers_mut()
            .insert(header::HOST, self.authority.clone());
        if let Some(credential) = (self.credential)() {
            let mut value = HeaderValue::from_str(&format!("Bearer {}", credential.trim()))
                .map_err(|_| Error::invalid("credential", "it must be one line of ASCII"))?;
            value.set_sensitive(true);
            request.headers_mut().insert(header::AUTHORIZATION, value);
        }
        Ok(request)
    }
}

impl fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Endpoint({}:{}{})", self.host, self.port, self.prefix)
    }
}

/// Appends `name=value` to a path, escaping all but RFC 3986's unreserved characters.
pub(crate) fn push_query(path: &mut String, name: &str, value: &str) {
    path.push(if path.contains('?') { '&' } else { '?' });
    path.push_str(name);
    path.push('=');
    for byte in value.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~' | b':') {
            path.push(char::from(byte));
        } else {
            path.push_str(&format!("%{byte:02X}"));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(url: &str) -> Result<Endpoint, Error> {
        Endpoint::parse(url, None, Arc::new(|| Some("key".to_owned())))
    }

    #[test]
    fn a_base_url_may_have_a_path_and_an_ipv6_host() {
        let endpoint = parse("http://[::1]:2355/bell/").unwrap();
        assert_eq!(endpoint.address(), ("::1", 2355));
        let request = endpoint.get("/v1/sse").unwrap();
        assert_eq!(request.uri(), "/bell/v1/sse");
        assert_eq!(request.headers()["host"], "[::1]:2355");
        assert_eq!(request.headers()["authorization"], "Bearer key");
    }

    #[test]
    fn a_port_left_out_is_the_scheme_s_own() {
        assert_eq!(parse("ws://push.example").unwrap().address().1, 80);
    }

    #[test]
    fn an_authority_that_is_none_is_refused_before_anything_is_sent() {
        for pem in [
            "",
            "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
        ] {
            let pem = Some(pem.as_bytes());
            let error = Endpoint::parse("https://push.example", pem, Arc::new(|| None));
            assert!(error.unwrap_err().to_string().starts_with("ca: "));
        }
    }

    #[test]
    fn other_urls_are_refused_with_a_way_out() {
        for (url, expected) in [
            ("localhost:2355", "write it like"),
            ("/v1", "write it like"),
            ("http://me:secret@example.org", "as a credential"),
        ] {
            let error = parse(url).unwrap_err().to_string();
            assert!(
                error.starts_with("url: ") && error.contains(expected),
                "{error}"
            );
        }
    }

    #[test]
    fn query_values_are_escaped() {
        let mut path = "/v1/sse".to_owned();
        push_query(&mut path, "channel", "room:7");
        push_query(&mut path, "channel", "@me%");
        assert_eq!(path, "/v1/sse?channel=room:7&channel=%40me%25");
    }
}
