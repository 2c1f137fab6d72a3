//! Many open connections read by one thread: for tests that count clients by the thousand.

use std::{
    io::{self, Read},
    net::{Shutdown, TcpStream},
    time::{Duration, Instant},
};

use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    io::Errno,
};

use crate::http::Link;

/// One of many connections.
#[derive(Debug)]
pub struct Member {
    stream: TcpStream,
    /// Everything received.
    pub received: Vec<u8>,
    /// When it ended, by the server's FIN or a reset.
    pub ended: Option<Instant>,
}

impl Member {
    /// Whether what was received holds a text.
    #[must_use]
    pub fn has(&self, text: &str) -> bool {
        crate::http::find(&self.received, text.as_bytes()).is_some()
    }

    /// Ends it from this side.
    pub fn leave(&mut self) {
        // The server may have been faster.
        drop(self.stream.shutdown(Shutdown::Both));
        self.ended.get_or_insert_with(Instant::now);
    }
}

/// Many connections.
#[derive(Debug, Default)]
pub struct Crowd {
    members: Vec<Member>,
}

impl Crowd {
    /// Adds a connection with what it has not read yet.
    ///
    /// # Panics
    /// When the operating system refuses to make it non-blocking.
    pub fn add(&mut self, link: Link) {
        let (stream, received) = link.into_parts();
        stream
            .set_nonblocking(true)
            .expect("a socket can be non-blocking");
        self.members.push(Member {
            stream,
            received,
            ended: None,
        });
    }

    /// All of them, in the order in which they came.
    #[must_use]
    pub fn members(&self) -> &[Member] {
        &self.members
    }

    /// The same, to let some of them leave.
    pub fn members_mut(&mut self) -> &mut [Member] {
        &mut self.members
    }

    /// How many have not ended.
    #[must_use]
    pub fn open(&self) -> usize {
        self.members
            .iter()
            .filter(|member| member.ended.is_none())
            .count()
    }

    /// Reads until `done`, or for at most `limit`; returns whether it is done.
    ///
    /// # Panics
    /// When the operating system refuses to wait.
    pub fn read_until(&mut self, limit: Duration, mut done: impl FnMut(&mut Self) -> bool) -> bool {
        let deadline = Instant::now() + limit;
        loop {
            if done(self) {
                return true;
            }
            if Instant::now() >= deadline {
                return false;
            }
            self.read_ready(Duration::from_millis(20));
        }
    }

    fn read_ready(&mut self, patience: Duration) {
        let open = self
            .members
            .iter_mut()
            .filter(|member| member.ended.is_none());
        let mut open: Vec<&mut Member> = open.collect();
        let timeout = Timespec::try_from(patience).expect("a short time");
        let ready: Vec<bool> = {
            let mut asked: Vec<PollFd<'_>> = open
                .iter()
                .map(|member| PollFd::new(&member.stream, PollFlags::IN))
                .collect();
            match poll(&mut asked, Some(&timeout)) {
                Ok(_) | Err(Errno::INTR) => {}
                Err(error) => panic!("waiting for many sockets: {error}"),
            }
            asked.iter().map(|fd| !fd.revents().is_empty()).collect()
        };
        for (member, ready) in open.iter_mut().zip(ready) {
            if ready {
                member.read();
            }
        }
    }
}

impl Member {
    fn read(&mut self) {
        let mut buffer = [0; 16 << 10];
        loop {
            match self.stream.read(&mut buffer) {
                Ok(0) => self.ended = Some(Instant::now()),
                Ok(read) => {
                    self.received.extend_from_slice(&buffer[..read]);
                    continue;
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(_) => self.ended = Some(Instant::now()),
            }
            return;
        }
    }
}
