//! The protocol's JSON as a raw client reads it, and what it makes of it.

use serde::Deserialize;

use crate::checker::GapWord;

/// Something the server said, in the order it came.
#[derive(Debug)]
pub enum Said {
    /// The stream is open; the cursor is where it begins.
    Hello(String),
    /// A publication. The payload is its number.
    Message {
        /// Its channel.
        channel: String,
        /// Its id.
        id: String,
        /// Its number.
        number: u64,
    },
    /// An announced loss.
    Gap(GapWord),
    /// What to resume from, now that everything before it was read.
    Cursor(String),
    /// The whole answer to a poll was read.
    Answered,
    /// A WebSocket ping.
    Ping(Vec<u8>),
    /// A channel was refused.
    Denied(String),
    /// The server says goodbye, or closes.
    Bye(String),
}

/// What a WebSocket text message or the `data:` of an event may hold.
#[derive(Debug, Deserialize)]
pub(super) struct Push<'a> {
    channel: Option<&'a str>,
    id: Option<&'a str>,
    data: Option<u64>,
    hello: Option<Hello>,
    gap: Option<GapWord>,
    denied: Option<Denied>,
    bye: Option<serde_json::Value>,
}

#[derive(Debug, Deserialize)]
struct Hello {
    cursor: String,
}

#[derive(Debug, Deserialize)]
struct Denied {
    channel: String,
}

#[derive(Debug, Deserialize)]
struct Envelope<'a> {
    channel: &'a str,
    id: &'a str,
    data: u64,
}

/// The answer to a poll.
#[derive(Debug, Deserialize)]
struct Answer<'a> {
    cursor: String,
    #[serde(borrow)]
    messages: Vec<Envelope<'a>>,
    gaps: Vec<GapWord>,
    #[serde(default)]
    denied: Vec<Denied>,
}

impl From<Envelope<'_>> for Said {
    fn from(envelope: Envelope<'_>) -> Self {
        Self::Message {
            channel: envelope.channel.to_owned(),
            id: envelope.id.to_owned(),
            number: envelope.data,
        }
    }
}

/// Reads a WebSocket text message. Each push of publications is its own cursor.
pub(super) fn read_push(text: &str, said: &mut Vec<Said>) -> Result<(), String> {
    let push: Push<'_> = parse(text)?;
    match push {
        Push {
            channel: Some(channel),
            id: Some(id),
            data: Some(data),
            ..
        } => {
            said.push(Said::from(Envelope { channel, id, data }));
            said.push(Said::Cursor(id.to_owned()));
        }
        Push {
            hello: Some(hello), ..
        } => said.push(Said::Hello(hello.cursor)),
        Push { gap: Some(gap), .. } => {
            let cursor = gap.cursor.clone();
            said.push(Said::Gap(gap));
            said.push(Said::Cursor(cursor));
        }
        Push {
            denied: Some(denied),
            ..
        } => said.push(Said::Denied(denied.channel)),
        Push { bye: Some(bye), .. } => said.push(Said::Bye(bye.to_string())),
        other => return Err(format!("{text} is {other:?}")),
    }
    Ok(())
}

/// Reads one block of an event stream, without its closing empty line.
pub(super) fn read_event(block: &str, said: &mut Vec<Said>) -> Result<(), String> {
    let (mut name, mut id, mut data) = ("message", None, "");
    for line in block.lines() {
        match line.split_once(": ") {
            Some(("event", value)) => name = value,
            Some(("id", value)) => id = Some(value),
            Some(("data", value)) => data = value,
            Some(("retry", _)) => {}
            None if line.starts_with(':') => {}
            _ => return Err(format!("{line:?} in an event stream")),
        }
    }
    match name {
        "message" if data.is_empty() => {}
        "message" => said.push(Said::from(parse::<Envelope<'_>>(data)?)),
        "hello" => said.push(Said::Hello(parse::<Hello>(data)?.cursor)),
        "gap" => said.push(Said::Gap(parse(data)?)),
        "denied" => said.push(Said::Denied(parse::<Denied>(data)?.channel)),
        "bye" => said.push(Said::Bye(data.to_owned())),
        other => return Err(format!("event {other:?}")),
    }
    // Browsers take an id over once its event was handled.
    said.extend(id.map(|id| Said::Cursor(id.to_owned())));
    Ok(())
}

/// Reads the answer to a poll: gaps apply before messages, the cursor covers all of it.
pub(super) fn read_answer(text: &str, said: &mut Vec<Said>) -> Result<(), String> {
    let answer: Answer<'_> = parse(text)?;
    let denied = answer.denied.into_iter();
    said.extend(denied.map(|denied| Said::Denied(denied.channel)));
    said.extend(answer.gaps.into_iter().map(Said::Gap));
    said.extend(answer.messages.into_iter().map(Said::from));
    said.push(Said::Cursor(answer.cursor));
    said.push(Said::Answered);
    Ok(())
}

fn parse<'a, T: Deserialize<'a>>(text: &'a str) -> Result<T, String> {
    serde_json::from_str(text).map_err(|error| format!("{error} in {text}"))
}
