//! A raw connection on any of the three transports: one TCP socket, the request, and a reader of
//! what comes. It resumes nothing by itself; whoever owns it reads, and cuts it.

use std::{
    io::{self, Read, Write},
    net::{Shutdown, SocketAddr, TcpStream},
    time::Duration,
};

use bellwire_wire::websocket::{Decoder, Event, Limits, Opcode, Role, encode_masked_frame};
use socket2::SockRef;

use super::{
    http::{take_chunks, take_head},
    words::{Said, read_answer, read_event, read_push},
};

/// How long a peer may take for anything before a test is stuck.
const STUCK: Duration = Duration::from_secs(20);
/// The longest message these clients expect.
const MAX_MESSAGE: usize = 1 << 20;

/// How a client connects.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// `GET /v1/ws?channel=…&cursor=…`
    WebSocket,
    /// `GET /v1/sse` whose ids are the cursor of the whole connection, sent as `Last-Event-ID`.
    Sse,
    /// `GET /v1/sse?ids=own`, whose ids are those of the publications.
    SseOwnIds,
    /// `GET /v1/poll`, again and again on one connection.
    Poll,
}

/// Who asks for what.
#[derive(Clone, Debug)]
pub struct Wish {
    /// The server.
    pub address: SocketAddr,
    /// The names as they are asked for, `@me` included.
    pub channels: Vec<String>,
    /// The bearer token, if any.
    pub token: Option<String>,
}

/// How a connection is cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cut {
    /// With a reset, as when a machine is gone.
    Reset,
    /// In order, as when a program ends.
    Fin,
    /// With a reset in the middle of a frame, a chunk or an answer.
    MidFrame,
}

/// What a connection's reader is in the middle of.
#[derive(Debug)]
enum Reader {
    WebSocket(Box<Decoder>),
    Sse { content: Vec<u8> },
    Poll { length: Option<usize> },
}

/// See the module.
#[derive(Debug)]
pub struct Connection {
    stream: TcpStream,
    way: Way,
    /// Whether the response's head has come.
    open: bool,
    /// Bytes that are not understood yet.
    pending: Vec<u8>,
    reader: Reader,
}

impl Connection {
    /// Connects and sends the request, to resume from `cursor`.
    ///
    /// # Errors
    /// The server is not there.
    pub fn open(wish: &Wish, way: Way, cursor: &str) -> io::Result<Self> {
        let stream = TcpStream::connect_timeout(&wish.address, STUCK)?;
        stream.set_nodelay(true)?;
        stream.set_write_timeout(Some(STUCK))?;
        let reader = match way {
            Way::WebSocket => {
                let max_message = MAX_MESSAGE;
                Reader::WebSocket(Box::new(Decoder::new(Role::Client, Limits { max_message })))
            }
            Way::Sse | Way::SseOwnIds => Reader::Sse {
                content: Vec::new(),
            },
            Way::Poll => Reader::Poll { length: None },
        };
        let mut connection = Self {
            stream,
            way,
            open: false,
            pending: Vec::new(),
            reader,
        };
        connection.ask(wish, cursor)?;
        Ok(connection)
    }

    /// Sends the request; the next one of a poll, once the last was answered.
    ///
    /// # Errors
    /// The connection is gone.
    pub fn ask(&mut self, wish: &Wish, cursor: &str) -> io::Result<()> {
        let channels = wish.channels.iter();
        let mut query: Vec<String> = channels.map(|name| format!("channel={name}")).collect();
        let mut headers = format!("Host: {}\r\n", wish.address);
        if let Some(token) = &wish.token {
            headers += &format!("Authorization: Bearer {token}\r\n");
        }
        let path = match self.way {
            Way::WebSocket => {
                headers += "Connection: Upgrade\r\nUpgrade: websocket\r\n\
                            Sec-WebSocket-Version: 13\r\n\
                            Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";
                "ws"
            }
            Way::Sse => "sse",
            Way::SseOwnIds => {
                query.push("ids=own".to_owned());
                "sse"
            }
            Way::Poll => {
                query.push("timeout=20".to_owned());
                "poll"
            }
        };
        match self.way {
            _ if cursor.is_empty() => {}
            Way::Sse => headers += &format!("Last-Event-ID: {cursor}\r\n"),
            Way::WebSocket | Way::SseOwnIds | Way::Poll => query.push(format!("cursor={cursor}")),
        }
        let request = format!(
            "GET /v1/{path}?{} HTTP/1.1\r\n{headers}\r\n",
            query.join("&")
        );
        self.stream.write_all(request.as_bytes())
    }

    /// Reads once, at most `max` bytes, for at most `patience`. `None` is the end of the
    /// connection.
    ///
    /// # Errors
    /// What was said makes no sense.
    pub fn read(&mut self, max: usize, patience: Duration) -> Result<Option<Vec<Said>>, String> {
        let mut bytes = [0; 16 << 10];
        let max = max.min(bytes.len());
        let patience = patience.max(Duration::from_millis(1));
        let timeout = self.stream.set_read_timeout(Some(patience));
        timeout.expect("a read timeout can be set");
        match self.stream.read(&mut bytes[..max]) {
            Ok(0) => Ok(None),
            Ok(count) => {
                self.pending.extend_from_slice(&bytes[..count]);
                self.understand().map(Some)
            }
            Err(error) => match error.kind() {
                io::ErrorKind::WouldBlock
                | io::ErrorKind::TimedOut
                | io::ErrorKind::Interrupted => Ok(Some(Vec::new())),
                _ => Ok(None),
            },
        }
    }

    /// Sends a pong.
    ///
    /// # Errors
    /// The connection is gone.
    pub fn pong(&mut self, payload: &[u8]) -> io::Result<()> {
        let mut frame = Vec::new();
        encode_masked_frame(&mut frame, Opcode::Pong, payload, [1, 2, 3, 4]);
        self.stream.write_all(&frame)
    }

    /// Whether something has come in part.
    #[must_use]
    pub fn is_mid_frame(&self) -> bool {
        let in_message = match &self.reader {
            Reader::WebSocket(decoder) => !decoder.is_idle(),
            Reader::Sse { content } => !content.is_empty(),
            Reader::Poll { length } => length.is_some(),
        };
        self.open && (in_message || !self.pending.is_empty())
    }

    /// Ends the connection; `MidFrame` differs from `Reset` in what was read before.
    pub fn cut(self, how: Cut) {
        let done = match how {
            Cut::Reset | Cut::MidFrame => {
                SockRef::from(&self.stream).set_linger(Some(Duration::ZERO))
            }
            Cut::Fin => self.stream.shutdown(Shutdown::Write),
        };
        // The server may have been first.
        drop(done);
    }

    fn understand(&mut self) -> Result<Vec<Said>, String> {
        let mut said = Vec::new();
        if !self.open && self.way != Way::Poll {
            let Some(head) = take_head(&mut self.pending) else {
                return Ok(said);
            };
            let expected = if self.way == Way::WebSocket { 101 } else { 200 };
            if head.status != expected {
                let body = String::from_utf8_lossy(&self.pending);
                return Err(format!("{:?} got {}: {body}", self.way, head.status));
            }
            assert_eq!(head.chunked, self.way != Way::WebSocket);
            self.open = true;
        }
        match &mut self.reader {
            Reader::WebSocket(decoder) => {
                let mut input = self.pending.as_mut_slice();
                loop {
                    let event = decoder.decode(&mut input);
                    match event.map_err(|violation| violation.to_string())? {
                        None => break,
                        Some(Event::Text(text)) => read_push(text, &mut said)?,
                        Some(Event::Ping(payload)) => said.push(Said::Ping(payload.to_vec())),
                        Some(Event::Close(close)) => said.push(Said::Bye(format!("{close:?}"))),
                        Some(other) => return Err(format!("{other:?}")),
                    }
                }
                self.pending.clear();
            }
            Reader::Sse { content } => {
                let ended = take_chunks(&mut self.pending, content);
                let text = std::str::from_utf8(content).map_err(|error| error.to_string())?;
                let whole = text.rfind("\n\n").map_or(0, |end| end + 2);
                let (blocks, _) = text.split_at(whole);
                for block in blocks.split_terminator("\n\n") {
                    read_event(block, &mut said)?;
                }
                content.drain(..whole);
                if ended {
                    said.push(Said::Bye("the end of the stream".to_owned()));
                }
            }
            Reader::Poll { length } => {
                if length.is_none()
                    && let Some(head) = take_head(&mut self.pending)
                {
                    self.open = true;
                    if head.status != 200 {
                        let body = String::from_utf8_lossy(&self.pending);
                        return Err(format!("a poll got {}: {body}", head.status));
                    }
                    *length = Some(head.content_length);
                }
                if let Some(needed) = *length
                    && self.pending.len() >= needed
                {
                    let body: Vec<u8> = self.pending.drain(..needed).collect();
                    let text = std::str::from_utf8(&body).map_err(|error| error.to_string())?;
                    read_answer(text, &mut said)?;
                    *length = None;
                }
            }
        }
        Ok(said)
    }
}
