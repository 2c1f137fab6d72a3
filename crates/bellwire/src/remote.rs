//! The server that a client command talks to. Flattened into the arguments of `pub`, `sub` and
//! every other command that is a client.

use std::{fs, path::PathBuf};

use anyhow::Context as _;
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

    /// File with certificates (PEM) to trust besides the system's, where the URL is https
    #[arg(long, value_name = "FILE", env = "BELLWIRE_CA")]
    pub(crate) ca: Option<PathBuf>,
}

impl Remote {
    /// A client of this server.
    pub(crate) fn client(&self) -> anyhow::Result<Client> {
        let mut builder = Client::builder(&self.url);
        if let Some(credential) = &self.credential {
            builder = builder.credential(credential);
        }
        if let Some(pem) = self.ca()? {
            builder = builder.ca(pem);
        }
        Ok(builder.build()?)
    }

    /// What is in the file of certificates.
    pub(crate) fn ca(&self) -> anyhow::Result<Option<String>> {
        let read = |file: &PathBuf| {
            let pem = fs::read_to_string(file);
            pem.with_context(|| format!("ca: {} can't be read", file.display()))
        };
        self.ca.as_ref().map(read).transpose()
    }

    /// An error with the next step, where the error itself can't know it.
    pub(crate) fn explain(&self, error: Error) -> anyhow::Error {
        match &error {
            Error::Unavailable(reason) if reason.starts_with("cannot connect") => {
                anyhow::anyhow!("{error}; start a server with `bellwire serve --dev` or give --url")
            }
            Error::Unavailable(reason)
                if reason.starts_with("cannot encrypt") && !reason.contains("CA:TRUE") =>
            {
                anyhow::anyhow!("{error}; an authority of your own is named with --ca")
            }
            Error::Refused(refusal) if refusal.status == 401 => {
                anyhow::anyhow!("{error}; give --credential or set BELLWIRE_CREDENTIAL")
            }
            _ => error.into(),
        }
    }
}
