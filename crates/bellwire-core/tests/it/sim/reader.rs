//! What a client makes of the bytes it gets: real parsers of the three wires, and one vocabulary
//! for what they say.

use bellwire_wire::{
    sse,
    websocket::{Decoder, Decompressor, Event, Limits, Role},
};
use serde_json::Value;

use super::tap::number_in;

/// The longest message a client takes.
const MAX_MESSAGE: usize = 1 << 20;

/// Something a client was told.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Said {
    Hello(Value),
    /// A publication: its channel where the wire says it, its id, its number.
    Message {
        channel: Option<String>,
        id: String,
        number: u64,
    },
    Gap(Value),
    Denied(Value),
    Bye(Value),
    /// A reply to a command.
    Reply(Value),
    Heartbeat,
    Ping(Vec<u8>),
    Close(u16, String),
    /// The cursor of the whole connection, as an `id:` line or a poll's answer gives it.
    Cursor(String),
    /// A frame of a raw WebSocket.
    Raw(String),
    /// The stream ended by its own framing.
    End,
}

/// A parser of one connection.
#[derive(Debug)]
pub(crate) enum Reader {
    WebSocket {
        decoder: Decoder,
        decompressor: Option<Box<Decompressor>>,
        raw: bool,
    },
    Sse(Box<SseReader>),
    Poll(Vec<u8>),
}

impl Reader {
    pub(crate) fn websocket(raw: bool) -> Self {
        Self::WebSocket {
            decoder: decoder(),
            decompressor: None,
            raw,
        }
    }

    /// Of a WebSocket on which compression was agreed on, with or without context.
    pub(crate) fn compressed(context: bool) -> Self {
        Self::WebSocket {
            decoder: decoder().with_compression(true),
            decompressor: Some(Box::new(Decompressor::new(context))),
            raw: false,
        }
    }

    pub(crate) fn sse(chunked: bool, raw: bool) -> Self {
        Self::Sse(Box::new(SseReader {
            chunks: chunked.then(Chunks::default),
            parser: sse::Parser::new(1 << 20),
            raw,
            id: String::new(),
        }))
    }

    pub(crate) fn poll() -> Self {
        Self::Poll(Vec::new())
    }

    /// Reads on. An error is a broken wire.
    pub(crate) fn feed(&mut self, mut bytes: Vec<u8>) -> Result<Vec<Said>, String> {
        let mut said = Vec::new();
        match self {
            Self::WebSocket {
                decoder,
                decompressor,
                raw,
            } => {
                let broken = |violation| format!("broken WebSocket: {violation}");
                let mut rest = bytes.as_mut_slice();
                while let Some(event) = decoder.decode(&mut rest).map_err(broken)? {
                    let event = match (event, &mut *decompressor) {
                        (Event::Compressed(kind, payload), Some(decompressor)) => {
                            let message = decompressor.message(kind, payload, MAX_MESSAGE);
                            message.map_err(broken)?
                        }
                        (event, _) => event,
                    };
                    said.push(frame_said(event, *raw)?);
                }
            }
            Self::Sse(reader) => reader.feed(&bytes, &mut said)?,
            Self::Poll(answer) => answer.append(&mut bytes),
        }
        Ok(said)
    }

    /// The connection was released in an orderly way: what a poll's answer says.
    pub(crate) fn finish(&self) -> Result<Vec<Said>, String> {
        match self {
            Self::Poll(answer) => poll_said(answer),
            Self::WebSocket { .. } | Self::Sse(_) => Ok(Vec::new()),
        }
    }
}

fn decoder() -> Decoder {
    let limits = Limits {
        max_message: MAX_MESSAGE,
    };
    Decoder::new(Role::Client, limits)
}

fn frame_said(event: Event<'_>, raw: bool) -> Result<Said, String> {
    Ok(match event {
        Event::Text(text) if raw => Said::Raw(text.to_owned()),
        Event::Text(text) => json_said(&parse(text)?)?,
        Event::Ping(payload) => Said::Ping(payload.to_vec()),
        Event::Close(close) => {
            let (code, reason) = close.unwrap_or((1005, ""));
            Said::Close(code, reason.to_owned())
        }
        Event::Binary(_) | Event::Pong(_) | Event::Compressed(..) => {
            return Err(format!("unexpected {event:?}"));
        }
    })
}

fn json_said(json: &Value) -> Result<Said, String> {
    let object = json.as_object().ok_or("a message that is no object")?;
    if json.get("id").is_some() {
        return message(json);
    }
    for (name, value) in object {
        match name.as_str() {
            "hello" => return Ok(Said::Hello(value.clone())),
            "gap" => return Ok(Said::Gap(value.clone())),
            "denied" => return Ok(Said::Denied(value.clone())),
            "bye" => return Ok(Said::Bye(value.clone())),
            "heartbeat" => return Ok(Said::Heartbeat),
            "req" => return Ok(Said::Reply(json.clone())),
            _ => {}
        }
    }
    Err(format!("unknown message {json}"))
}

fn message(json: &Value) -> Result<Said, String> {
    let channel = json["channel"].as_str().map(ToOwned::to_owned);
    let id = json["id"].as_str().unwrap_or_default().to_owned();
    let number = json["data"][0].as_u64();
    number
        .filter(|_| json["time"].is_u64() && channel.is_some())
        .map(|number| Said::Message {
            channel,
            id,
            number,
        })
        .ok_or_else(|| format!("not an envelope: {json}"))
}

fn parse(text: &str) -> Result<Value, String> {
    serde_json::from_str(text).map_err(|error| format!("{error} in {text:?}"))
}

/// An event stream in its HTTP body.
#[derive(Debug)]
pub(crate) struct SseReader {
    chunks: Option<Chunks>,
    parser: sse::Parser,
    raw: bool,
    id: String,
}

impl SseReader {
    fn feed(&mut self, bytes: &[u8], said: &mut Vec<Said>) -> Result<(), String> {
        let body = match &mut self.chunks {
            None => bytes.to_vec(),
            Some(chunks) => chunks.feed(bytes)?,
        };
        let mut events = Vec::new();
        self.parser
            .feed(&body, |event| {
                let parts = [event.name, event.data, event.id].map(ToOwned::to_owned);
                events.push(parts);
            })
            .map_err(|error| error.to_string())?;
        for [name, data, id] in events {
            said.push(self.event(&name, &data, &id)?);
            if self.id != id {
                said.push(Said::Cursor(id.clone()));
                self.id = id;
            }
        }
        let ended = self.chunks.as_ref().is_some_and(|chunks| chunks.ended);
        if ended && !bytes.is_empty() {
            said.push(Said::End);
        }
        Ok(())
    }

    fn event(&self, name: &str, data: &str, id: &str) -> Result<Said, String> {
        Ok(match name {
            "hello" => Said::Hello(parse(data)?),
            "gap" => Said::Gap(parse(data)?),
            "denied" => Said::Denied(parse(data)?),
            "bye" => Said::Bye(parse(data)?),
            "heartbeat" => Said::Heartbeat,
            _ if self.raw => Said::Message {
                channel: None,
                id: id.to_owned(),
                number: number_in(data).ok_or_else(|| format!("a broken payload {data:?}"))?,
            },
            _ => {
                let said = message(&parse(data)?)?;
                if let Said::Message { id: own, .. } = &said
                    && !id.split('.').any(|part| part == own)
                {
                    return Err(format!("{own} came under the id {id}"));
                }
                said
            }
        })
    }
}

/// The chunked coding of HTTP/1.1.
#[derive(Debug, Default)]
struct Chunks {
    rest: Vec<u8>,
    ended: bool,
}

impl Chunks {
    fn feed(&mut self, bytes: &[u8]) -> Result<Vec<u8>, String> {
        self.rest.extend_from_slice(bytes);
        let mut body = Vec::new();
        while let Some(line) = self.rest.windows(2).position(|pair| pair == b"\r\n") {
            if self.ended {
                return Err("bytes behind the last chunk".to_owned());
            }
            let size = std::str::from_utf8(&self.rest[..line]).map_err(|e| e.to_string())?;
            let size = usize::from_str_radix(size, 16)
                .map_err(|_| format!("a chunk of the size {size:?}"))?;
            let end = line + 2 + size;
            let Some(tail) = self.rest.get(end..end + 2) else {
                break;
            };
            if tail != b"\r\n" {
                return Err("a chunk without its end".to_owned());
            }
            body.extend_from_slice(&self.rest[line + 2..end]);
            self.ended = size == 0;
            self.rest.drain(..end + 2);
        }
        Ok(body)
    }
}

fn poll_said(answer: &[u8]) -> Result<Vec<Said>, String> {
    let text = std::str::from_utf8(answer).map_err(|error| error.to_string())?;
    let (head, body) = text.split_once("\r\n\r\n").ok_or("an answer without end")?;
    let length = head
        .split_once("content-length: ")
        .and_then(|(_, rest)| rest.split("\r\n").next());
    if length.and_then(|length| length.parse().ok()) != Some(body.len()) {
        return Err(format!("{length:?} is not the length of {body:?}"));
    }
    let json = parse(body)?;
    let mut said = Vec::new();
    let all = |field: &str| json[field].as_array().cloned().unwrap_or_default();
    said.extend(all("denied").into_iter().map(Said::Denied));
    said.extend(all("gaps").into_iter().map(Said::Gap));
    for envelope in all("messages") {
        said.push(message(&envelope)?);
    }
    let cursor = json["cursor"].as_str().ok_or("an answer without cursor")?;
    said.push(Said::Cursor(cursor.to_owned()));
    Ok(said)
}
