//! The crate's front door: where the server is, what to present there, and the calls.

use std::sync::Arc;

use bellwire_core::channel::Channel;

use crate::{
    endpoint::Endpoint,
    error::Error,
    publish::Pool,
    subscription::{Options, Subscription},
};

/// A server and the credential to present. Cheap to clone; clones share their connections for
/// publishing.
#[derive(Clone, Debug)]
pub struct Client {
    pub(crate) endpoint: Endpoint,
    pub(crate) pool: Arc<Pool>,
}

/// Settings of a [`Client`].
pub struct ClientBuilder {
    url: String,
    ca: Option<Vec<u8>>,
    credential: Arc<dyn Fn() -> Option<String> + Send + Sync>,
}

impl std::fmt::Debug for ClientBuilder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ClientBuilder")
            .field("url", &self.url)
            .finish_non_exhaustive()
    }
}

impl ClientBuilder {
    /// Presents an API key or a token.
    #[must_use]
    pub fn credential(self, credential: impl Into<String>) -> Self {
        let credential = credential.into();
        self.credential_from(move || Some(credential.clone()))
    }

    /// Presents what `source` returns, asked anew for every request: a renewed token is used
    /// from the next one on.
    #[must_use]
    pub fn credential_from(
        mut self,
        source: impl Fn() -> Option<String> + Send + Sync + 'static,
    ) -> Self {
        self.credential = Arc::new(source);
        self
    }

    /// Trusts the authorities in this PEM, besides the system's, to vouch for a server at an
    /// `https` URL.
    #[must_use]
    pub fn ca(mut self, pem: impl Into<Vec<u8>>) -> Self {
        self.ca = Some(pem.into());
        self
    }

    /// The client. Nothing is sent yet; for `https` the system's authorities are read.
    ///
    /// # Errors
    /// [`Error::Invalid`] for a URL or an authority that can't be used.
    pub fn build(self) -> Result<Client, Error> {
        let endpoint = Endpoint::parse(&self.url, self.ca.as_deref(), self.credential)?;
        Ok(Client {
            endpoint,
            pool: Arc::default(),
        })
    }
}

impl Client {
    /// A client of the server at `url`, like `http://127.0.0.1:2355` or `https://push.example`.
    #[must_use]
    pub fn builder(url: impl Into<String>) -> ClientBuilder {
        ClientBuilder {
            url: url.into(),
            ca: None,
            credential: Arc::new(|| None),
        }
    }

    /// Subscribes to channels; `@me` is the inbox of the token's user. The connection is made
    /// when the first item is asked for.
    ///
    /// # Errors
    /// [`Error::Invalid`] for a bad channel name, or no channel.
    pub fn subscribe(
        &self,
        channels: impl IntoIterator<Item = impl Into<String>>,
        options: Options,
    ) -> Result<Subscription, Error> {
        let channels: Vec<String> = channels.into_iter().map(Into::into).collect();
        if channels.is_empty() {
            return Err(Error::invalid("channel", "give at least one"));
        }
        for channel in channels.iter().filter(|channel| *channel != "@me") {
            check_channel(channel)?;
        }
        Ok(Subscription::new(self.endpoint.clone(), channels, options))
    }
}

/// Refuses a name that no server would take.
pub(crate) fn check_channel(channel: &str) -> Result<(), Error> {
    match Channel::parse(channel) {
        Ok(_) => Ok(()),
        Err(error) => Err(Error::invalid(
            "channel",
            format!("{error}, in {channel:?}"),
        )),
    }
}
