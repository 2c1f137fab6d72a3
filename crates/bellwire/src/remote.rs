//! The server that a client command talks to. Flattened into the arguments of `pub`, `sub` and
//! every other command that is a client.

use bellwire_client::{Client, Error};
use clap::Args;

/// Where the server is and what to present there.
#[derive(Args, Clone, Debug)]
pub(crate) struct Remote {
    /// The server's base URL
    #[arg(
        long,
        value_name = "URL",
        env = "BELLWIRE_URL",
        default_value = "http://127.0.0.1:2355"
    )]
    pub(crate) url: String,

    /// API key or token to present; best given in the environment
    #[arg(
        long,
        value_name = "KEY",
        env = "BELLWIRE_CREDENTIAL",
        hide_env_values = true
    )]
    pub(crate) credential: Option<String>,
}

impl Remote {
    /// A client of this server.
    pub(crate) fn client(&self) -> Result<Client, Error> {
        let builder = Client::builder(&self.url);
        match &self.credential {
            Some(credential) => builder.credential(credential).build(),
            None => builder.build(),
        }
    }

    /// An error with the next step, where the error itself can't know it.
    pub(crate) fn explain(&self, error: Error) -> anyhow::Error {
        match &error {
            Error::Unavailable(reason) if reason.starts_with("cannot connect") => {
                anyhow::anyhow!("{error}; start a server with `bellwire serve --dev` or give --url")
            }
            Error::Refused(refusal) if refusal.status == 401 => {
                anyhow::anyhow!("{error}; give --credential or set BELLWIRE_CREDENTIAL")
            }
            _ => error.into(),
        }
    }
}
