//! A connection to a server, encrypted or not. Subscribers and publishers read and write it; what
//! goes through is their matter.

use std::{
    fmt,
    io::{self, ErrorKind, Read, Write},
    net::TcpStream,
    os::fd::{AsFd, BorrowedFd},
    sync::Arc,
};

use anyhow::{Context, Result};
use rustls::{ClientConfig, ClientConnection, Stream, pki_types::ServerName};
use serde::{Deserialize, Serialize};

/// A server that encrypts.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Secure {
    /// Its name, for which its certificate has to be good.
    pub name: String,
    /// Certificates (PEM) to trust besides the system's.
    pub ca: Option<String>,
}

/// Encrypts connections to one server.
#[derive(Clone)]
pub(crate) struct Connector {
    config: Arc<ClientConfig>,
    name: ServerName<'static>,
}

impl Connector {
    pub(crate) fn new(secure: &Secure) -> Result<Self> {
        let config = bellwire_client::tls_config(secure.ca.as_ref().map(String::as_bytes))?;
        let name = ServerName::try_from(secure.name.clone());
        Ok(Self {
            config: Arc::new(config),
            name: name.with_context(|| format!("{:?} is no name of a server", secure.name))?,
        })
    }
}

/// See the module.
pub(crate) struct Socket {
    stream: TcpStream,
    tls: Option<Box<ClientConnection>>,
}

impl Socket {
    /// A connection that stands or is on its way; nothing is sent before the first write.
    pub(crate) fn new(stream: TcpStream, connector: Option<&Connector>) -> Result<Self> {
        let encrypt = |Connector { config, name }: &Connector| {
            ClientConnection::new(Arc::clone(config), name.clone()).map(Box::new)
        };
        Ok(Self {
            stream,
            tls: connector.map(encrypt).transpose()?,
        })
    }

    /// Waits until both sides encrypt.
    pub(crate) fn shake_hands(&mut self) -> io::Result<()> {
        if let Some(tls) = &mut self.tls {
            while tls.is_handshaking() {
                tls.complete_io(&mut self.stream)?;
            }
        }
        Ok(())
    }

    pub(crate) fn tcp(&self) -> &TcpStream {
        &self.stream
    }

    pub(crate) fn is_encrypted(&self) -> bool {
        self.tls.is_some()
    }

    /// Bytes that were decrypted and not read, of which the kernel knows nothing.
    pub(crate) fn decrypted(&mut self) -> io::Result<usize> {
        let Some(tls) = &mut self.tls else {
            return Ok(0);
        };
        let state = tls.process_new_packets().map_err(io::Error::other)?;
        Ok(state.plaintext_bytes_to_read())
    }

    /// Looks whether something came, as [`TcpStream::peek`] does.
    pub(crate) fn peek(&mut self) -> io::Result<usize> {
        let Some(tls) = &mut self.tls else {
            return self.stream.peek(&mut [0]);
        };
        let ended = tls.read_tls(&mut self.stream)? == 0;
        match self.decrypted()? {
            // What the server says of later sessions is for nobody here.
            0 if !ended => Err(ErrorKind::WouldBlock.into()),
            count => Ok(count),
        }
    }
}

impl Read for Socket {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match &mut self.tls {
            None => self.stream.read(buffer),
            Some(tls) => Stream::new(&mut **tls, &mut self.stream).read(buffer),
        }
    }
}

impl Write for Socket {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match &mut self.tls {
            None => self.stream.write(bytes),
            Some(tls) => Stream::new(&mut **tls, &mut self.stream).write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match &mut self.tls {
            None => self.stream.flush(),
            Some(tls) => Stream::new(&mut **tls, &mut self.stream).flush(),
        }
    }
}

impl AsFd for Socket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.stream.as_fd()
    }
}

impl fmt::Debug for Socket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Socket").field(&self.stream).finish()
    }
}
