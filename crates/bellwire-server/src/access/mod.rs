//! Who may come in: tokens, API keys, origins and development mode.
//!
//! [`Policy`] is made once from the configuration and shared, with the cache of verified tokens;
//! each shard has its own [`Gate`]. Everything here is given the time and does no I/O after start.

mod api_key;
mod claims;
mod credential;
mod dev;
mod forwarded;
mod gate;
mod inspect;
mod jwt_key;
mod keyring;
mod origin;
mod token_cache;
mod verifier;

pub use api_key::{API_KEY_PREFIX, StoredKey, generate as generate_api_key};
pub use credential::{TOKEN_COOKIE, TOKEN_PARAMETER, redacted};
pub use dev::DevKey;
pub(crate) use forwarded::ipv6_network;
pub use forwarded::{Malformed, Proxies};
pub use gate::{Admitted, Cors, Gate, Policy, Purpose};
pub use inspect::{Inspection, inspect};
pub use jwt_key::{JwtKey, KeySpec};
pub use keyring::{Keyring, Verified};
pub use origin::AllowedOrigin;
pub use verifier::Verifier;
