//! One encrypted connection over a socket that never waits, whoever drives it: the HTTP phase
//! (`wire.rs`) or the shard's epoll (`sockets.rs`).
//!
//! rustls brings the records, the buffers are ours: a thread's scratch, so that a connection at
//! rest owns none. What the socket did not take of a record stays here and goes out before
//! anything else; at most one record of 16 KiB does. Knows no sessions and no HTTP.

use std::{
    cell::RefCell,
    fmt,
    io::{self, ErrorKind, IoSlice, Read, Write},
    mem,
    sync::Arc,
};

use rustls::{
    ServerConfig,
    server::{ServerConnectionData, UnbufferedServerConnection},
    unbuffered::{
        ConnectionState, EncodeError, EncodeTlsData, EncryptError, UnbufferedStatus, WriteTraffic,
    },
};

/// What is encrypted at once: the most that a record takes.
const RECORD: usize = 16 << 10;
/// What encryption adds to a record at most, and room for a key update before it.
const OVERHEAD: usize = 512;

/// Room of a thread for what passes through.
struct Scratch {
    /// As it comes from the socket: a record and the beginning of the next.
    received: Vec<u8>,
    /// As a session wrote it, put together from its slices.
    plain: Vec<u8>,
    /// As it goes to the socket.
    sealed: Vec<u8>,
}

thread_local! {
    static SCRATCH: RefCell<Scratch> = RefCell::new(Scratch {
        received: vec![0; 2 * (RECORD + OVERHEAD)],
        plain: Vec::with_capacity(RECORD),
        sealed: vec![0; RECORD + OVERHEAD],
    });
}

/// See the module.
pub(crate) struct Tls {
    connection: UnbufferedServerConnection,
    /// The beginning of a record whose rest has not come.
    partial: Vec<u8>,
    /// Decrypted, and not yet asked for.
    plain: Vec<u8>,
    /// Encrypted, and not yet taken by the socket.
    sealed: Vec<u8>,
    /// The peer has said that nothing more comes.
    ended: bool,
    /// The peer does not keep to the protocol; rustls is not to be asked any more.
    failed: bool,
}

impl Tls {
    /// The server's side of a handshake that has not begun.
    ///
    /// # Errors
    /// The configuration is of no use.
    pub(crate) fn new(config: Arc<ServerConfig>) -> Result<Self, rustls::Error> {
        Ok(Self {
            connection: UnbufferedServerConnection::new(config)?,
            partial: Vec::new(),
            plain: Vec::new(),
            sealed: Vec::new(),
            ended: false,
            failed: false,
        })
    }

    /// Goes on with the handshake. Returns whether it is complete and the peer has all of it; if
    /// not, there is nothing to do before the socket is ready again.
    ///
    /// # Errors
    /// The socket's, or the peer does not keep to the protocol.
    pub(crate) fn shake_hands(&mut self, io: &mut (impl Read + Write)) -> io::Result<bool> {
        // Before the peer has all that was said so far it has nothing to answer.
        while self.flush(io)? {
            if !self.connection.is_handshaking() {
                return Ok(true);
            }
            match self.pull(io)? {
                Pulled::Some => {}
                Pulled::Nothing => return Ok(false),
                Pulled::End => return Err(ErrorKind::UnexpectedEof.into()),
            }
        }
        Ok(false)
    }

    /// Whether both sides settled on HTTP/2.
    pub(crate) fn is_http2(&self) -> bool {
        self.connection.alpn_protocol() == Some(b"h2")
    }

    /// Reads once; `None` means that nothing is there, 0 that nothing will come.
    ///
    /// # Errors
    /// The socket's, or the peer does not keep to the protocol. `Interrupted` where what came holds
    /// nothing for the reader and there may be more, as much as the peer likes: how often to read
    /// again at once is for the caller to bound.
    pub(crate) fn receive(
        &mut self,
        io: &mut (impl Read + Write),
        buffer: &mut [u8],
    ) -> io::Result<Option<usize>> {
        if self.needs_socket() {
            match self.pull(io)? {
                Pulled::Some => {}
                Pulled::Nothing => return Ok(None),
                Pulled::End => self.ended = true,
            }
        }
        if self.needs_socket() {
            return Err(ErrorKind::Interrupted.into());
        }
        let taken = self.plain.len().min(buffer.len());
        buffer[..taken].copy_from_slice(&self.plain[..taken]);
        if taken == self.plain.len() {
            self.plain = Vec::new();
        } else {
            self.plain.drain(..taken);
        }
        Ok(Some(taken))
    }

    /// Whether there is nothing to read before the socket has something.
    pub(crate) fn needs_socket(&self) -> bool {
        self.plain.is_empty() && !self.ended
    }

    /// Puts decrypted bytes that were read too far before those that follow.
    pub(crate) fn put_back(&mut self, mut bytes: Vec<u8>) {
        bytes.append(&mut self.plain);
        self.plain = bytes;
    }

    /// Takes what is decrypted already.
    pub(crate) fn take_plain(&mut self) -> Vec<u8> {
        mem::take(&mut self.plain)
    }

    /// Whether there is something to read that the socket knows nothing of.
    pub(crate) fn has_plain(&self) -> bool {
        !self.plain.is_empty()
    }

    /// Encrypts and writes as much as the socket takes, and the rest of a record more; 0 means
    /// that it took nothing. Less than all means that the socket will tell when it has room.
    ///
    /// # Errors
    /// The socket's, or the keys are used up.
    pub(crate) fn send(
        &mut self,
        io: &mut (impl Read + Write),
        slices: &[IoSlice<'_>],
    ) -> io::Result<usize> {
        let mut sent = 0;
        SCRATCH.with_borrow_mut(|scratch| {
            let mut rest = slices.iter().map(|slice| &**slice).peekable();
            let mut within = 0;
            while self.flush(io)? {
                scratch.plain.clear();
                while let Some(slice) = rest.peek() {
                    let room = RECORD - scratch.plain.len();
                    let taken = room.min(slice.len() - within);
                    scratch
                        .plain
                        .extend_from_slice(&slice[within..within + taken]);
                    within += taken;
                    if within < slice.len() {
                        break;
                    }
                    rest.next();
                    within = 0;
                }
                if scratch.plain.is_empty() {
                    break;
                }
                self.seal(io, &scratch.plain, &mut scratch.sealed)?;
                sent += scratch.plain.len();
            }
            Ok(sent)
        })
    }

    /// Writes what the socket did not take before. Returns whether nothing is left.
    ///
    /// # Errors
    /// The socket's.
    pub(crate) fn flush(&mut self, io: &mut impl Write) -> io::Result<bool> {
        if self.sealed.is_empty() {
            return Ok(true);
        }
        let written = write_all_that_fits(io, &self.sealed)?;
        if written == self.sealed.len() {
            self.sealed = Vec::new();
            return Ok(true);
        }
        self.sealed.drain(..written);
        Ok(false)
    }

    /// Whether the socket has not taken everything.
    pub(crate) fn has_sealed(&self) -> bool {
        !self.sealed.is_empty()
    }

    /// Says that nothing more comes. Returns whether the socket took that, and all before it.
    ///
    /// # Errors
    /// The socket's.
    pub(crate) fn close(&mut self, io: &mut impl Write) -> io::Result<bool> {
        let mut alert = [0; OVERHEAD];
        let length = self.with_traffic(|traffic| traffic.queue_close_notify(&mut alert));
        // Where there is no traffic yet, or none any more, there is nothing to close.
        self.sealed
            .extend_from_slice(&alert[..length.unwrap_or_default()]);
        self.flush(io)
    }

    fn seal(&mut self, io: &mut impl Write, plain: &[u8], sealed: &mut [u8]) -> io::Result<()> {
        let length = self.with_traffic(|traffic| traffic.encrypt(plain, sealed))?;
        let sealed = &sealed[..length];
        let written = if self.sealed.is_empty() {
            write_all_that_fits(io, sealed)?
        } else {
            // What rustls had for the peer goes first.
            0
        };
        self.sealed.extend_from_slice(&sealed[written..]);
        Ok(())
    }

    /// Encrypts. rustls is always shown the record that it has the beginning of: it remembers
    /// where in it it stands.
    fn with_traffic(
        &mut self,
        encrypt: impl FnOnce(&mut WriteTraffic<'_, ServerConnectionData>) -> Result<usize, EncryptError>,
    ) -> io::Result<usize> {
        let mut partial = mem::take(&mut self.partial);
        let done = self.process(&mut partial)?;
        partial.drain(..done);
        let status = self.connection.process_tls_records(&mut partial);
        let encrypted = match status.state {
            Ok(ConnectionState::WriteTraffic(mut traffic)) => {
                encrypt(&mut traffic).map_err(io::Error::other)
            }
            _ => Err(ErrorKind::BrokenPipe.into()),
        };
        self.partial = partial;
        encrypted
    }

    /// Reads from the socket once and processes what came.
    fn pull(&mut self, io: &mut (impl Read + Write)) -> io::Result<Pulled> {
        let mut received = SCRATCH.with_borrow_mut(|scratch| mem::take(&mut scratch.received));
        let pulled = self.pull_through(io, &mut received);
        SCRATCH.with_borrow_mut(|scratch| scratch.received = received);
        pulled
    }

    fn pull_through(
        &mut self,
        io: &mut (impl Read + Write),
        received: &mut [u8],
    ) -> io::Result<Pulled> {
        let before = self.partial.len();
        let Some((held, room)) = received
            .split_at_mut_checked(before)
            .filter(|(_, room)| !room.is_empty())
        else {
            return Err(ErrorKind::InvalidData.into());
        };
        let count = match io.read(room) {
            Ok(0) => return Ok(Pulled::End),
            Ok(count) => count,
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(Pulled::Nothing),
            Err(error) if error.kind() == ErrorKind::Interrupted => return Ok(Pulled::Some),
            Err(error) => return Err(error),
        };
        held.copy_from_slice(&self.partial);
        let bytes = &mut received[..before + count];
        let processed = self.process(bytes);
        // A refusal is told to the peer as well as it can be.
        let flushed = self.flush(io);
        self.partial = Vec::from(&bytes[processed?..]);
        flushed?;
        Ok(Pulled::Some)
    }

    /// Processes records, and returns how many bytes of them are done with.
    fn process(&mut self, records: &mut [u8]) -> io::Result<usize> {
        if self.failed {
            return Err(ErrorKind::BrokenPipe.into());
        }
        let mut done = 0;
        loop {
            let UnbufferedStatus { discard, state, .. } =
                self.connection.process_tls_records(&mut records[done..]);
            done += discard;
            match state {
                Err(error) => {
                    self.failed = true;
                    self.take_alert();
                    return Err(io::Error::new(ErrorKind::InvalidData, error));
                }
                Ok(ConnectionState::ReadTraffic(mut traffic)) => {
                    while let Some(record) = traffic.next_record() {
                        let record = record.map_err(io::Error::other)?;
                        done += record.discard;
                        self.plain.extend_from_slice(record.payload);
                    }
                }
                Ok(ConnectionState::EncodeTlsData(mut data)) => {
                    encode(&mut self.sealed, &mut data)?;
                }
                Ok(ConnectionState::TransmitTlsData(data)) => data.done(),
                Ok(ConnectionState::PeerClosed) => self.ended = true,
                // Nothing more to do with what is there; early data is never accepted.
                Ok(_) => return Ok(done),
            }
        }
    }

    /// What rustls has to tell a peer that it refuses. It is asked for nothing else any more.
    fn take_alert(&mut self) {
        while self.connection.wants_write() {
            let status = self.connection.process_tls_records(&mut []);
            let Ok(ConnectionState::EncodeTlsData(mut data)) = status.state else {
                return;
            };
            if encode(&mut self.sealed, &mut data).is_err() {
                return;
            }
        }
    }
}

/// What a read from the socket came to.
enum Pulled {
    Some,
    Nothing,
    End,
}

/// Appends what rustls has for the peer, once it has said how long that is.
fn encode(
    sealed: &mut Vec<u8>,
    data: &mut EncodeTlsData<'_, ServerConnectionData>,
) -> io::Result<()> {
    let before = sealed.len();
    match data.encode(&mut []) {
        Ok(_) => return Ok(()),
        Err(EncodeError::InsufficientSize(size)) => sealed.resize(before + size.required_size, 0),
        Err(error @ EncodeError::AlreadyEncoded) => return Err(io::Error::other(error)),
    }
    data.encode(&mut sealed[before..])
        .map_err(io::Error::other)?;
    Ok(())
}

fn write_all_that_fits(io: &mut impl Write, bytes: &[u8]) -> io::Result<usize> {
    let mut written = 0;
    while written < bytes.len() {
        match io.write(&bytes[written..]) {
            Ok(0) => return Err(ErrorKind::WriteZero.into()),
            Ok(count) => written += count,
            Err(error) if error.kind() == ErrorKind::WouldBlock => break,
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(written)
}

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tls")
            .field("plain", &self.plain.len())
            .field("sealed", &self.sealed.len())
            .finish_non_exhaustive()
    }
}
