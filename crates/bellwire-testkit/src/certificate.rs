//! Certificates that nobody has to trust beyond a test: made anew, written where a server can read
//! them. Servers that encrypt and tunnels call it.

use std::{
    env, fs,
    path::{Path, PathBuf},
    process,
    sync::atomic::{AtomicUsize, Ordering},
};

use rcgen::generate_simple_self_signed;

/// Two files in a directory of their own, which goes away with this.
#[derive(Debug)]
pub struct Certificate {
    directory: PathBuf,
}

impl Certificate {
    /// A certificate for `localhost` and 127.0.0.1 that signs itself.
    ///
    /// # Panics
    /// When the directory of temporary files can't be written.
    #[must_use]
    pub fn new() -> Self {
        static MADE: AtomicUsize = AtomicUsize::new(0);
        let nth = MADE.fetch_add(1, Ordering::Relaxed);
        let name = format!("bellwire-certificate-{}-{nth}", process::id());
        let directory = env::temp_dir().join(name);
        fs::create_dir_all(&directory).expect("temporary files can be written");
        let certificate = Self { directory };
        certificate.renew();
        certificate
    }

    /// Writes another certificate with another key to the same files.
    ///
    /// # Panics
    /// When they can't be written.
    pub fn renew(&self) {
        let names = ["localhost", "127.0.0.1"].map(str::to_owned);
        let made = generate_simple_self_signed(names).expect("two names are enough");
        fs::write(self.path(), made.cert.pem()).expect("the directory is there");
        let key = made.signing_key.serialize_pem();
        fs::write(self.key(), key).expect("the directory is there");
    }

    /// The file with the certificate.
    #[must_use]
    pub fn path(&self) -> PathBuf {
        self.in_directory("certificate.pem")
    }

    /// The file with its key.
    #[must_use]
    pub fn key(&self) -> PathBuf {
        self.in_directory("key.pem")
    }

    fn in_directory(&self, name: &str) -> PathBuf {
        Path::new(&self.directory).join(name)
    }
}

impl Default for Certificate {
    fn default() -> Self {
        Self::new()
    }
}

impl Drop for Certificate {
    fn drop(&mut self) {
        // What is left of it is in the directory of temporary files.
        fs::remove_dir_all(&self.directory).ok();
    }
}
