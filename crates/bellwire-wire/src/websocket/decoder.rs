//! Turns received bytes into messages, incrementally. The server's shards and the client call
//! it with whatever a read returned; it owns only what is unfinished, so a connection between
//! two messages needs no decoder at all.

use std::mem;

use super::frame::{Header, MAX_HEADER_LEN, Opcode};
use super::{Violation, close, mask, utf8};

/// Empty fragments tolerated in one message. Fragments that carry something are bounded by the
/// message limit; without this bound, empty ones would keep a message open for ever.
pub const MAX_EMPTY_FRAGMENTS: u16 = 1024;

/// Whose frames are decoded: the role of *this* side.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Receives from a client, whose frames must be masked.
    Server,
    /// Receives from a server, whose frames must not be masked.
    Client,
}

/// What a peer may make us hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Longest message in bytes, over all its fragments.
    pub max_message: usize,
}

/// What a data message holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MessageKind {
    /// UTF-8.
    Text,
    /// Bytes.
    Binary,
}

/// A whole message or control frame, unmasked and validated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event<'a> {
    /// A text message.
    Text(&'a str),
    /// A binary message.
    Binary(&'a [u8]),
    /// A message as it was compressed, for a [`Decompressor`](super::Decompressor). Only of a
    /// decoder that [may get them](Decoder::with_compression).
    Compressed(MessageKind, &'a [u8]),
    /// A ping, to be answered with a pong of the same payload.
    Ping(&'a [u8]),
    /// A pong.
    Pong(&'a [u8]),
    /// The peer closes, with its code and reason if it gave them. The last event there is.
    Close(Option<(u16, &'a str)>),
}

/// An incremental decoder for one direction of one connection.
///
/// While no frame is incomplete it holds no heap memory and may be dropped and made anew
/// ([`is_idle`](Self::is_idle)).
#[derive(Debug)]
pub struct Decoder {
    /// What has arrived of the open message, then what has arrived of an open control frame.
    /// Also what the last event borrowed, until the next call.
    gathered: Vec<u8>,
    max_message: usize,
    state: State,
    message: Option<MessageKind>,
    /// Bytes at the end of the message's part of `gathered` that are an incomplete character.
    unfinished_char: u8,
    /// Bytes at the end of `gathered` that belong to a control frame.
    control_len: u8,
    empty_fragments: u16,
    role: Role,
    may_compress: bool,
    /// Whether the open message, or the one returned last, is compressed.
    compressed: bool,
}

#[derive(Clone, Copy, Debug)]
enum State {
    /// Between frames, or inside a header of which `len` bytes have arrived.
    Header {
        bytes: [u8; MAX_HEADER_LEN],
        len: u8,
    },
    /// Inside a payload.
    Payload(Frame),
    /// After a close frame or a violation: nothing more is decoded.
    Closed,
}

impl State {
    const BETWEEN_FRAMES: Self = Self::Header {
        bytes: [0; MAX_HEADER_LEN],
        len: 0,
    };
}

/// A frame whose payload is being received.
#[derive(Clone, Copy, Debug)]
struct Frame {
    remaining: usize,
    /// The masking key turned to the next byte; zeros where there is none.
    key: [u8; 4],
    opcode: Opcode,
    fin: bool,
}

/// A complete payload and where it lies.
enum Complete<'i> {
    InPlace(Opcode, &'i [u8]),
    Gathered(Opcode),
}

impl Decoder {
    /// A decoder between two messages. Allocates nothing.
    pub fn new(role: Role, limits: Limits) -> Self {
        Self {
            gathered: Vec::new(),
            max_message: limits.max_message,
            state: State::BETWEEN_FRAMES,
            message: None,
            unfinished_char: 0,
            control_len: 0,
            empty_fragments: 0,
            role,
            may_compress: false,
            compressed: false,
        }
    }

    /// The same, of a connection on which permessage-deflate was negotiated, or not.
    #[must_use]
    pub fn with_compression(self, negotiated: bool) -> Self {
        Self {
            may_compress: negotiated,
            ..self
        }
    }

    /// Takes bytes from the front of `input` up to the end of the next event, and returns that;
    /// `None` once all of `input` is taken. A caller loops until `None`, or stops early and
    /// passes the rest later.
    ///
    /// A message that lies whole in `input` in one frame is unmasked there and borrowed from
    /// there; any other is gathered. After [`Event::Close`] or an error all input is discarded.
    ///
    /// # Errors
    /// The first [`Violation`] of the stream; it does not depend on how the stream is cut.
    pub fn decode<'a, 'i: 'a>(
        &'a mut self,
        input: &mut &'i mut [u8],
    ) -> Result<Option<Event<'a>>, Violation> {
        self.forget_delivered();
        let complete = match self.advance(input) {
            Ok(Some(complete)) => complete,
            Ok(None) => {
                if self.is_idle() {
                    self.gathered = Vec::new();
                }
                return Ok(None);
            }
            Err(violation) => {
                self.gathered = Vec::new();
                self.state = State::Closed;
                return Err(violation);
            }
        };
        let (opcode, payload) = match complete {
            Complete::InPlace(opcode, payload) => (opcode, payload),
            Complete::Gathered(opcode) => {
                let message_len = self.gathered.len() - usize::from(self.control_len);
                let start = if opcode.is_control() { message_len } else { 0 };
                (opcode, &self.gathered[start..])
            }
        };
        let event = if self.compressed && !opcode.is_control() {
            Ok(compressed(opcode, payload))
        } else {
            event(opcode, payload)
        };
        if matches!(event, Err(_) | Ok(Event::Close(_))) {
            self.state = State::Closed;
        }
        event.map(Some)
    }

    /// Whether nothing is unfinished, so that this decoder may be dropped and replaced by a new
    /// one for the next bytes. Never true after a close frame or a violation.
    pub fn is_idle(&self) -> bool {
        matches!(self.state, State::Header { len: 0, .. }) && self.message.is_none()
    }

    /// Heap memory held, in bytes. Zero when [`decode`](Self::decode) has returned `None` and
    /// the decoder is idle.
    pub fn allocated_bytes(&self) -> usize {
        self.gathered.capacity()
    }

    /// Drops what the event returned last may have borrowed.
    fn forget_delivered(&mut self) {
        match self.state {
            State::Payload(_) => {}
            State::Closed => self.gathered = Vec::new(),
            State::Header { .. } => {
                let control_len = mem::take(&mut self.control_len);
                let message_len = match self.message {
                    Some(_) => self.gathered.len() - usize::from(control_len),
                    None => 0,
                };
                self.gathered.truncate(message_len);
            }
        }
    }

    fn advance<'i>(&mut self, input: &mut &'i mut [u8]) -> Result<Option<Complete<'i>>, Violation> {
        loop {
            let (mut frame, fresh) = match self.state {
                State::Closed => {
                    *input = &mut [];
                    return Ok(None);
                }
                State::Payload(frame) => (frame, false),
                State::Header { bytes, len } => {
                    match self.read_header(input, bytes, usize::from(len))? {
                        Some(header) => (self.admit(header)?, true),
                        None => return Ok(None),
                    }
                }
            };
            let taken = frame.remaining.min(input.len());
            let (payload, rest) = mem::take(input).split_at_mut(taken);
            *input = rest;
            frame.remaining -= taken;
            if frame.key != [0; 4] {
                frame.key = mask::apply(payload, frame.key);
            }

            let complete = frame.remaining == 0;
            self.state = if complete {
                State::BETWEEN_FRAMES
            } else {
                State::Payload(frame)
            };
            let alone = frame.opcode != Opcode::Continuation && frame.fin;
            if complete && fresh && alone {
                if !frame.opcode.is_control() {
                    self.message = None;
                }
                return Ok(Some(Complete::InPlace(frame.opcode, payload)));
            }
            self.gather(frame.opcode, payload)?;
            if !complete {
                return Ok(None);
            }
            if frame.opcode.is_control() {
                return Ok(Some(Complete::Gathered(frame.opcode)));
            }
            if frame.fin {
                return Ok(self
                    .message
                    .take()
                    .map(|kind| Complete::Gathered(kind.opcode())));
            }
        }
    }

    /// Completes the header of which `held` bytes came earlier.
    fn read_header(
        &mut self,
        input: &mut &mut [u8],
        mut bytes: [u8; MAX_HEADER_LEN],
        held: usize,
    ) -> Result<Option<Header>, Violation> {
        let parsed = if held == 0 {
            Header::parse(input, self.may_compress)?
        } else {
            let end = MAX_HEADER_LEN.min(held + input.len());
            bytes[held..end].copy_from_slice(&input[..end - held]);
            Header::parse(&bytes[..end], self.may_compress)?
        };
        if let Some((header, header_len)) = parsed {
            *input = &mut mem::take(input)[header_len - held..];
            return Ok(Some(header));
        }
        let len = held + input.len();
        bytes[held..len].copy_from_slice(input);
        let len = u8::try_from(len).expect("an incomplete header is shorter than 14 bytes");
        self.state = State::Header { bytes, len };
        *input = &mut [];
        Ok(None)
    }

    /// Checks a header against the role, the frames before it and the limits, before anything of
    /// its payload is looked at or room is made for it.
    fn admit(&mut self, header: Header) -> Result<Frame, Violation> {
        match (self.role, header.mask) {
            (Role::Server, None) => return Err(Violation::Unmasked),
            (Role::Client, Some(_)) => return Err(Violation::Masked),
            (Role::Server, Some(_)) | (Role::Client, None) => {}
        }
        match (header.opcode, self.message) {
            (Opcode::Continuation, None) => return Err(Violation::UnexpectedContinuation),
            (Opcode::Text | Opcode::Binary, Some(_)) => return Err(Violation::UnfinishedMessage),
            (Opcode::Text, None) => self.open_message(MessageKind::Text, header.compressed),
            (Opcode::Binary, None) => self.open_message(MessageKind::Binary, header.compressed),
            (Opcode::Close, _) if header.payload_len == 1 => return Err(Violation::CloseTooShort),
            (Opcode::Continuation | Opcode::Close | Opcode::Ping | Opcode::Pong, _) => {}
        }
        let too_long = Violation::MessageTooLong(self.max_message);
        let remaining = usize::try_from(header.payload_len).map_err(|_| too_long)?;
        if !header.opcode.is_control() {
            let most = if self.compressed {
                max_compressed(self.max_message)
            } else {
                self.max_message
            };
            if remaining > most - self.gathered.len() {
                return Err(too_long);
            }
            if remaining == 0 && !header.fin {
                self.empty_fragments += 1;
                if self.empty_fragments > MAX_EMPTY_FRAGMENTS {
                    return Err(Violation::TooManyEmptyFragments);
                }
            }
        }
        let key = header.mask.unwrap_or_default();
        Ok(Frame {
            remaining,
            key,
            opcode: header.opcode,
            fin: header.fin,
        })
    }

    fn open_message(&mut self, kind: MessageKind, compressed: bool) {
        debug_assert_eq!(
            self.unfinished_char, 0,
            "a message ends with a whole character"
        );
        self.message = Some(kind);
        self.compressed = compressed;
        self.empty_fragments = 0;
    }

    /// Keeps unmasked payload bytes and judges them as far as they have come. The buffer grows
    /// with what arrives, never by what a header announces.
    fn gather(&mut self, opcode: Opcode, payload: &[u8]) -> Result<(), Violation> {
        self.gathered.extend_from_slice(payload);
        if opcode.is_control() {
            self.control_len += u8::try_from(payload.len()).expect("a control payload has ≤ 125");
            if opcode == Opcode::Close {
                let start = self.gathered.len() - usize::from(self.control_len);
                close::check_prefix(&self.gathered[start..])?;
            }
        } else if self.message == Some(MessageKind::Text) && !self.compressed {
            let unjudged = usize::from(self.unfinished_char) + payload.len();
            let start = self.gathered.len() - unjudged;
            self.unfinished_char = utf8::unfinished(&self.gathered[start..])?;
        }
        Ok(())
    }
}

impl MessageKind {
    fn opcode(self) -> Opcode {
        match self {
            Self::Text => Opcode::Text,
            Self::Binary => Opcode::Binary,
        }
    }
}

/// How long a message of at most `max_message` bytes may be while it is compressed: bytes that
/// do not compress get longer, by up to 4 % with the smallest memory a compressor can have.
fn max_compressed(max_message: usize) -> usize {
    max_message.saturating_add(max_message / 16 + 64)
}

fn event(opcode: Opcode, payload: &[u8]) -> Result<Event<'_>, Violation> {
    Ok(match opcode {
        Opcode::Text => Event::Text(utf8::whole(payload)?),
        Opcode::Binary => Event::Binary(payload),
        Opcode::Ping => Event::Ping(payload),
        Opcode::Pong => Event::Pong(payload),
        Opcode::Close => Event::Close(close::parse(payload)?),
        Opcode::Continuation => unreachable!("a message has the opcode of its first frame"),
    })
}

#[cold]
fn compressed(opcode: Opcode, payload: &[u8]) -> Event<'_> {
    let kind = match opcode {
        Opcode::Text => MessageKind::Text,
        _ => MessageKind::Binary,
    };
    Event::Compressed(kind, payload)
}
