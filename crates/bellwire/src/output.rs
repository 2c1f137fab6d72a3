//! How items look: JSON lines for programs, readable lines for people. Used by `sub` and `pub`;
//! it formats and writes, and decides nothing else.

use std::{
    fmt::Write as _,
    io::{self, BufWriter, IsTerminal, Write},
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use bellwire_client::{Gap, Item, Message};

/// Who reads standard output.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reader {
    /// A terminal.
    Person,
    /// A pipe or a file.
    Program,
}

/// Standard output for content and standard error for notices.
#[derive(Debug)]
pub(crate) struct Output {
    reader: Reader,
    content: BufWriter<io::Stdout>,
    dim_notices: bool,
    /// Whether the last notice told of trouble, so that its end is worth telling too.
    troubled: bool,
}

impl Output {
    /// The process's own streams.
    pub(crate) fn new() -> Self {
        let reader = if io::stdout().is_terminal() {
            Reader::Person
        } else {
            Reader::Program
        };
        Self {
            reader,
            content: BufWriter::new(io::stdout()),
            dim_notices: io::stderr().is_terminal(),
            troubled: false,
        }
    }

    /// Who reads.
    pub(crate) fn reader(&self) -> Reader {
        self.reader
    }

    /// Writes one item. It may wait in the buffer until [`Output::flush`].
    pub(crate) fn item(&mut self, item: &Item) -> io::Result<()> {
        match (item, self.reader) {
            (Item::Message(message), Reader::Program) => {
                self.content.write_all(&message.envelope)?;
                self.content.write_all(b"\n")
            }
            (Item::Message(message), Reader::Person) => self.line(&readable(message)),
            (Item::Gap(gap), Reader::Program) => self.line(&gap_json(gap)),
            (item, reader) => {
                let trouble = matches!(item, Item::Disconnected { .. });
                let quiet = reader == Reader::Program && !self.troubled;
                if matches!(item, Item::Connected { .. }) && quiet {
                    return Ok(());
                }
                self.troubled = trouble;
                match notice_of(item) {
                    Some(notice) => self.notice(&notice),
                    None => Ok(()),
                }
            }
        }
    }

    /// Writes one line of content.
    pub(crate) fn line(&mut self, line: &str) -> io::Result<()> {
        writeln!(self.content, "{line}")
    }

    /// Writes a line beside the content, dimmed on a terminal.
    pub(crate) fn notice(&mut self, notice: &str) -> io::Result<()> {
        // What happened before it must be seen before it.
        self.content.flush()?;
        let mut stderr = io::stderr().lock();
        if self.dim_notices {
            writeln!(stderr, "\x1b[2m{notice}\x1b[0m")
        } else {
            writeln!(stderr, "{notice}")
        }
    }

    /// Writes out what waits.
    pub(crate) fn flush(&mut self) -> io::Result<()> {
        self.content.flush()
    }
}

/// Makes a vanished reader a normal end: `bellwire sub news | head -1` is no failure.
pub(crate) fn ends_quietly(outcome: anyhow::Result<()>) -> anyhow::Result<()> {
    match outcome {
        Err(error) if is_broken_pipe(&error) => Ok(()),
        outcome => outcome,
    }
}

fn is_broken_pipe(error: &anyhow::Error) -> bool {
    let cause = error.downcast_ref::<io::Error>();
    cause.is_some_and(|cause| cause.kind() == io::ErrorKind::BrokenPipe)
}

/// A gap as one JSON object.
fn gap_json(gap: &Gap) -> String {
    let json = serde_json::to_string(gap).expect("a gap is strings");
    format!(r#"{{"gap":{json}}}"#)
}

/// `12:03:44Z news greeting {"a":1}`.
fn readable(message: &Message) -> String {
    let mut line = format!("{} {}", clock(message.time), message.channel);
    for label in [&message.event, &message.user].into_iter().flatten() {
        line.push(' ');
        push_visible(&mut line, label);
    }
    line.push(' ');
    if message.binary {
        line.push_str("base64:");
        line.push_str(&STANDARD.encode(&message.data));
    } else {
        push_visible(&mut line, &String::from_utf8_lossy(&message.data));
    }
    line
}

/// Appends text with its control characters escaped: JSON allows some that steer a terminal.
fn push_visible(line: &mut String, text: &str) {
    for character in text.chars() {
        if character.is_control() {
            line.extend(character.escape_unicode());
        } else {
            line.push(character);
        }
    }
}

/// The time of day in UTC.
fn clock(millis: u64) -> String {
    let seconds = millis / 1000 % 86_400;
    format!(
        "{:02}:{:02}:{:02}Z",
        seconds / 3600,
        seconds / 60 % 60,
        seconds % 60
    )
}

/// What a person should know beside the messages.
fn notice_of(item: &Item) -> Option<String> {
    let mut line = String::new();
    let written = match item {
        Item::Gap(gap) => write!(line, "gap in {}: {}", gap.channel, gap.reason),
        Item::Status(status) => {
            let reason = status.reason.as_deref().unwrap_or_default();
            write!(line, "server is {} {reason}", status.state)
        }
        Item::Denied(denied) => {
            write!(
                line,
                "{} is denied ({}): {}",
                denied.channel, denied.check, denied.detail
            )
        }
        Item::Bye(bye) => write!(line, "server says bye ({}): {}", bye.code, bye.reason),
        Item::Connected {
            transport,
            resumed: true,
            ..
        } => {
            write!(line, "connected over {transport}, resumed")
        }
        Item::Connected { transport, .. } => write!(line, "connected over {transport}"),
        Item::Disconnected {
            reason,
            retry_in: Some(wait),
        } => {
            write!(
                line,
                "{reason}; next attempt in {:.1} s",
                wait.as_secs_f32()
            )
        }
        // The end is told as the command's error.
        _ => return None,
    };
    written.expect("writing to a string can't fail");
    let mut visible = String::new();
    push_visible(&mut visible, line.trim_end());
    Some(visible)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_time_of_day_is_utc() {
        assert_eq!(clock(1_790_000_000_123), "14:13:20Z");
        assert_eq!(clock(0), "00:00:00Z");
    }

    #[test]
    fn control_characters_never_reach_the_terminal() {
        let mut line = String::new();
        push_visible(&mut line, "a\u{9b}31m\u{1b}[2Jb");
        assert_eq!(line, "a\\u{9b}31m\\u{1b}[2Jb");
    }

    #[test]
    fn notices_say_what_happens_next() {
        let wait = Some(std::time::Duration::from_millis(1250));
        let item = Item::Disconnected {
            reason: "cut".to_owned(),
            retry_in: wait,
        };
        assert_eq!(notice_of(&item).unwrap(), "cut; next attempt in 1.2 s");
        let end = Item::Disconnected {
            reason: "cut".to_owned(),
            retry_in: None,
        };
        assert_eq!(notice_of(&end), None);
    }

    #[test]
    fn only_a_vanished_reader_ends_quietly() {
        let broken = || io::Error::from(io::ErrorKind::BrokenPipe);
        assert!(ends_quietly(Err(broken().into())).is_ok());
        assert!(ends_quietly(Err(anyhow::anyhow!("other"))).is_err());
    }
}
