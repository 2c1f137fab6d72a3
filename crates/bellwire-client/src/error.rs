//! What can go wrong, sorted by who must act. Used by every public function of this crate.
//!
//! A lost connection is not an error of a subscription but an item; only a refusal ends one.

use serde::Deserialize;

/// A failed call, or the reason why a subscription ended for good.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The caller must change an argument; nothing was sent.
    #[error("{field}: {detail}")]
    Invalid {
        /// The argument.
        field: &'static str,
        /// What is wrong with it and what to write instead.
        detail: String,
    },
    /// The server said no; the same request will be refused again.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// The server can't be reached or can't serve now; later it may. A publication that was
    /// sent may or may not have been accepted.
    #[error("{0}")]
    Unavailable(String),
    /// The peer does not speak Bellwire's protocol, or a message is over a limit.
    #[error("{0}")]
    Protocol(String),
}

impl Error {
    pub(crate) fn invalid(field: &'static str, detail: impl Into<String>) -> Self {
        Self::Invalid {
            field,
            detail: detail.into(),
        }
    }
}

/// A refusal in the server's words: problem+json, an item's error, or a final close.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, thiserror::Error)]
#[error("{}{detail} ({code})", field.as_deref().map(|field| format!("{field}: ")).unwrap_or_default())]
#[non_exhaustive]
pub struct Refusal {
    /// The HTTP status, or the code of a WebSocket's close frame; 0 where a `bye` said it.
    #[serde(default)]
    pub status: u16,
    /// The machine-readable code, as listed in `spec/codes`.
    pub code: String,
    /// The field of the request that is wrong, where it is one.
    #[serde(default)]
    pub field: Option<String>,
    /// What is wrong and how to fix it.
    #[serde(default)]
    pub detail: String,
}
