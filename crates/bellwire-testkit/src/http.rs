//! A small HTTP/1.1 client over one blocking socket, which can also send what no library would.
//! The raw clients and all tests that look at single answers call it; it must not know any
//! endpoint.

use std::{
    fmt::Write as _,
    io::{self, Read, Write},
    net::{IpAddr, Shutdown, SocketAddr, TcpStream},
    time::Instant,
};

use serde_json::Value;
use socket2::{Domain, Socket, Type};

use crate::wait::SOON;

/// A request.
#[derive(Clone, Debug)]
pub struct Request {
    method: String,
    target: String,
    headers: Vec<(String, String)>,
    body: Option<Vec<u8>>,
}

impl Request {
    /// A request without a body.
    #[must_use]
    pub fn new(method: &str, target: &str) -> Self {
        Self {
            method: method.to_owned(),
            target: target.to_owned(),
            headers: Vec::new(),
            body: None,
        }
    }

    /// A GET.
    #[must_use]
    pub fn get(target: &str) -> Self {
        Self::new("GET", target)
    }

    /// A POST.
    #[must_use]
    pub fn post(target: &str, body: impl Into<Vec<u8>>) -> Self {
        Self::new("POST", target).body(body)
    }

    /// Adds a header.
    #[must_use]
    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Adds a credential, where there is one.
    #[must_use]
    pub fn bearer(self, token: Option<&str>) -> Self {
        match token {
            Some(token) => self.header("authorization", &format!("Bearer {token}")),
            None => self,
        }
    }

    /// Sets the body.
    #[must_use]
    pub fn body(mut self, body: impl Into<Vec<u8>>) -> Self {
        self.body = Some(body.into());
        self
    }

    /// The bytes on the wire. `Host` is `host` unless a header says otherwise.
    #[must_use]
    pub fn to_bytes(&self, host: &str) -> Vec<u8> {
        let mut head = format!("{} {} HTTP/1.1\r\n", self.method, self.target);
        let mut line = |name: &str, value: &str| {
            write!(head, "{name}: {value}\r\n").expect("writing to memory does not fail");
        };
        if !self
            .headers
            .iter()
            .any(|(name, _)| name.eq_ignore_ascii_case("host"))
        {
            line("host", host);
        }
        for (name, value) in &self.headers {
            line(name, value);
        }
        if let Some(body) = &self.body {
            line("content-length", &body.len().to_string());
        }
        head.push_str("\r\n");
        let mut bytes = head.into_bytes();
        bytes.extend_from_slice(self.body.as_deref().unwrap_or_default());
        bytes
    }

    /// Sends it on a connection of its own and reads the whole answer.
    ///
    /// # Panics
    /// When there is no whole answer within [`SOON`].
    #[must_use]
    pub fn send(&self, address: SocketAddr) -> Answer {
        let mut link = Link::connect(address);
        link.send(self);
        link.answer()
    }
}

/// Status line and headers of a response.
#[derive(Clone, Debug)]
pub struct Head {
    /// The status code.
    pub status: u16,
    /// Names in lower case and values.
    pub headers: Vec<(String, String)>,
}

impl Head {
    /// The first value of a header; its name in lower case.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        let found = self.headers.iter().find(|(known, _)| known == name);
        found.map(|(_, value)| value.as_str())
    }

    /// Whether the body comes in chunks.
    #[must_use]
    pub fn is_chunked(&self) -> bool {
        self.header("transfer-encoding") == Some("chunked")
    }

    fn parse(text: &str) -> Self {
        let mut lines = text.split("\r\n");
        let status_line = lines.next().unwrap_or_default();
        let status = status_line
            .split(' ')
            .nth(1)
            .and_then(|status| status.parse().ok());
        let headers = lines.filter_map(|line| line.split_once(':'));
        Self {
            status: status.unwrap_or_else(|| panic!("no status in {status_line:?}")),
            headers: headers
                .map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned()))
                .collect(),
        }
    }
}

/// A whole response.
#[derive(Clone, Debug)]
pub struct Answer {
    /// Its head.
    pub head: Head,
    /// Its body.
    pub body: Vec<u8>,
}

impl Answer {
    /// The status code.
    #[must_use]
    pub fn status(&self) -> u16 {
        self.head.status
    }

    /// The first value of a header.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.head.header(name)
    }

    /// The body as text.
    #[must_use]
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The body as JSON.
    ///
    /// # Panics
    /// When it is none.
    #[must_use]
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body)
            .unwrap_or_else(|error| panic!("{error} in {:?}", self.text()))
    }
}

/// One connection to a server, with the bytes that were read too far.
#[derive(Debug)]
pub struct Link {
    stream: TcpStream,
    unread: Vec<u8>,
}

impl Link {
    /// Connects.
    ///
    /// # Panics
    /// When nobody listens.
    #[must_use]
    pub fn connect(address: SocketAddr) -> Self {
        Self::connect_with(address, None)
    }

    /// Connects with a receive buffer of this many bytes; small ones make slow readers.
    ///
    /// # Panics
    /// When nobody listens.
    #[must_use]
    pub fn connect_with(address: SocketAddr, receive_buffer: Option<usize>) -> Self {
        Self::connect_prepared(address, |socket| match receive_buffer {
            Some(bytes) => socket.set_recv_buffer_size(bytes),
            None => Ok(()),
        })
    }

    /// Connects from one of this machine's addresses; all of 127.0.0.0/8 are.
    ///
    /// # Panics
    /// When nobody listens, or the address is not of this machine.
    #[must_use]
    pub fn connect_from(source: IpAddr, address: SocketAddr) -> Self {
        let source = SocketAddr::new(source, 0);
        Self::connect_prepared(address, |socket| socket.bind(&source.into()))
    }

    fn connect_prepared(address: SocketAddr, prepare: impl Fn(&Socket) -> io::Result<()>) -> Self {
        let connect = || -> io::Result<TcpStream> {
            let socket = Socket::new(Domain::for_address(address), Type::STREAM, None)?;
            prepare(&socket)?;
            socket.connect_timeout(&address.into(), SOON)?;
            socket.set_tcp_nodelay(true)?;
            Ok(socket.into())
        };
        let stream =
            connect().unwrap_or_else(|error| panic!("no connection to {address}: {error}"));
        Self {
            stream,
            unread: Vec::new(),
        }
    }

    /// The socket.
    #[must_use]
    pub fn stream(&self) -> &TcpStream {
        &self.stream
    }

    /// Gives the socket away with what was read too far.
    #[must_use]
    pub fn into_parts(self) -> (TcpStream, Vec<u8>) {
        (self.stream, self.unread)
    }

    /// Sends bytes as they are.
    ///
    /// # Panics
    /// When the connection is gone.
    pub fn send_bytes(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).expect("the server reads");
    }

    /// Sends a request.
    ///
    /// # Panics
    /// When the connection is gone.
    pub fn send(&mut self, request: &Request) {
        let host = self
            .stream
            .peer_addr()
            .expect("it is connected")
            .to_string();
        // A server may refuse a long body, and close, before it was sent to its end.
        drop(self.stream.write_all(&request.to_bytes(&host)));
    }

    /// Says that nothing more will be sent.
    ///
    /// # Panics
    /// When the connection is gone.
    pub fn finish(&self) {
        self.stream
            .shutdown(Shutdown::Write)
            .expect("it is connected");
    }

    /// Ends the connection with a reset.
    ///
    /// # Panics
    /// When the operating system refuses the socket option.
    pub fn reset(self) {
        let socket = Socket::from(self.stream);
        socket
            .set_linger(Some(std::time::Duration::ZERO))
            .expect("a TCP socket lingers");
    }

    /// Reads a head and leaves what follows it unread.
    ///
    /// # Panics
    /// When it has not come within [`SOON`].
    #[must_use]
    pub fn head(&mut self) -> Head {
        self.head_by(Instant::now() + SOON)
            .expect("a response comes")
    }

    fn head_by(&mut self, deadline: Instant) -> io::Result<Head> {
        loop {
            if let Some(end) = find(&self.unread, b"\r\n\r\n") {
                let head: Vec<u8> = self.unread.drain(..end + 4).collect();
                let text = String::from_utf8_lossy(&head);
                return Ok(Head::parse(text.trim_end()));
            }
            if self.read_more(deadline)? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
    }

    /// Reads a whole response.
    ///
    /// # Panics
    /// When it has not come within [`SOON`].
    #[must_use]
    pub fn answer(&mut self) -> Answer {
        self.answer_by(Instant::now() + SOON)
            .expect("a whole response comes")
    }

    /// Reads a whole response.
    ///
    /// # Errors
    /// It has not come by the deadline (`TimedOut`), or the connection ended before it
    /// (`UnexpectedEof`).
    pub fn answer_by(&mut self, deadline: Instant) -> io::Result<Answer> {
        let head = self.head_by(deadline)?;
        let body = self.body(&head, deadline)?;
        Ok(Answer { head, body })
    }

    fn body(&mut self, head: &Head, deadline: Instant) -> io::Result<Vec<u8>> {
        if head.status == 204 || head.status == 304 || head.status < 200 {
            return Ok(Vec::new());
        }
        if head.is_chunked() {
            let mut body = Vec::new();
            while let Some(chunk) = self.chunk(deadline)? {
                body.extend_from_slice(&chunk);
            }
            return Ok(body);
        }
        let length = head
            .header("content-length")
            .and_then(|text| text.parse::<usize>().ok());
        let length = length.unwrap_or(usize::MAX);
        while self.unread.len() < length && self.read_more(deadline)? > 0 {}
        if length != usize::MAX && self.unread.len() < length {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        Ok(self.unread.drain(..length.min(self.unread.len())).collect())
    }

    /// Reads one chunk of a chunked body; nothing at its end.
    ///
    /// # Errors
    /// It has not come by the deadline (`TimedOut`), or the connection ended before the body
    /// (`UnexpectedEof`). What came of it stays unread.
    pub fn chunk(&mut self, deadline: Instant) -> io::Result<Option<Vec<u8>>> {
        loop {
            if let Some(end) = find(&self.unread, b"\r\n") {
                let digits = String::from_utf8_lossy(&self.unread[..end]).into_owned();
                let size = usize::from_str_radix(&digits, 16)
                    .map_err(|_| io::Error::other(format!("{digits:?} is no chunk size")))?;
                let whole = end + 2 + size + 2;
                if self.unread.len() >= whole {
                    let chunk: Vec<u8> = self.unread.drain(..whole).collect();
                    let data = chunk[end + 2..whole - 2].to_vec();
                    return Ok((size > 0).then_some(data));
                }
            }
            if self.read_more(deadline)? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
    }

    /// Waits until there is something to read, and leaves it unread.
    ///
    /// # Errors
    /// Nothing has come by the deadline (`TimedOut`), or the connection ended.
    pub fn await_some(&mut self, deadline: Instant) -> io::Result<()> {
        if self.unread.is_empty() && self.read_more(deadline)? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        Ok(())
    }

    /// Takes what is unread, after waiting for something; nothing at the end of the connection.
    ///
    /// # Errors
    /// Nothing has come by the deadline (`TimedOut`), or the connection broke.
    pub fn read_some(&mut self, deadline: Instant) -> io::Result<Option<Vec<u8>>> {
        if self.unread.is_empty() && self.read_more(deadline)? == 0 {
            return Ok(None);
        }
        Ok(Some(std::mem::take(&mut self.unread)))
    }

    fn read_more(&mut self, deadline: Instant) -> io::Result<usize> {
        let mut buffer = [0; 16 << 10];
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(io::ErrorKind::TimedOut.into());
            }
            self.stream.set_read_timeout(Some(left))?;
            match self.stream.read(&mut buffer) {
                Ok(read) => {
                    self.unread.extend_from_slice(&buffer[..read]);
                    return Ok(read);
                }
                // Whoever waits with a timeout is interrupted where the machine stops for a while.
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    return Err(io::ErrorKind::TimedOut.into());
                }
                Err(error) => return Err(error),
            }
        }
    }
}

/// Where `needle` begins in `bytes`.
pub(crate) fn find(bytes: &[u8], needle: &[u8]) -> Option<usize> {
    bytes
        .windows(needle.len())
        .position(|window| window == needle)
}

/// Writes a text as it may stand in a query.
#[must_use]
pub fn percent_encoded(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-_.~:".contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            write!(encoded, "%{byte:02X}").expect("writing to memory does not fail");
        }
    }
    encoded
}
