//! `bellwire pub`: publishes one message, or each line of standard input.

use std::{
    io::{self, BufRead, Read},
    thread,
};

use anyhow::{Context, bail};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use bellwire_client::{Client, Data, Publication, PublishOptions};
use bytes::Bytes;
use clap::{ArgMatches, Args, Command, FromArgMatches};
use tokio::sync::mpsc;

use crate::{
    output::{Output, Reader, ends_quietly},
    remote::Remote,
};

const EXAMPLES: &str = "\
Examples:
  bellwire pub news hello                          a string
  bellwire pub news '{\"goals\":2}' --event score    JSON, with an event name
  tail -f app.log | bellwire pub logs --text       a message per line, as it comes
  bellwire pub news hello --idempotency-key k1     safe to repeat within five minutes

What parses as JSON is JSON; other text is a string. In a pipe, each accepted message's id is
printed on a line of its own.";

/// The longest line of standard input: a request's default limit.
const MAX_LINE: usize = 8 * 1024 * 1024;
/// The most lines of one request.
const MAX_BATCH: usize = 500;
/// From this many bytes on, a request takes no further line.
const FULL_BATCH: usize = 1024 * 1024;

/// Publish a message, or each line of standard input
#[derive(Args, Debug)]
struct Arguments {
    /// The channel to publish to
    channel: String,

    /// The message; without it, each line of standard input is one (empty ones are skipped)
    #[arg(allow_negative_numbers = true)]
    data: Option<String>,

    /// Event name for subscribers
    #[arg(long, value_name = "NAME")]
    event: Option<String>,

    /// Publish once however often repeated; lines get KEY:1, KEY:2 and so on
    #[arg(long, value_name = "KEY")]
    idempotency_key: Option<String>,

    /// Take the data as text even if it is JSON
    #[arg(long, conflicts_with = "binary")]
    text: bool,

    /// Take the data as base64 and publish its bytes
    #[arg(long)]
    binary: bool,

    #[command(flatten)]
    remote: Remote,
}

/// The subcommand.
pub(crate) fn command() -> Command {
    Arguments::augment_args(Command::new("pub")).after_help(EXAMPLES)
}

/// Runs it; an error names the field and its fix.
pub(crate) fn run(matches: &ArgMatches) -> anyhow::Result<()> {
    let arguments = Arguments::from_arg_matches(matches)?;
    let client = arguments.remote.client()?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    ends_quietly(runtime.block_on(async {
        match &arguments.data {
            Some(data) => publish_one(&client, &arguments, data.as_bytes()).await,
            None => publish_lines(&client, &arguments).await,
        }
    }))
}

async fn publish_one(client: &Client, arguments: &Arguments, data: &[u8]) -> anyhow::Result<()> {
    let options = PublishOptions {
        event: arguments.event.clone(),
        idempotency_key: arguments.idempotency_key.clone(),
    };
    let data = arguments.read(data)?;
    let outcome = client.publish(&arguments.channel, data, options).await;
    let published = outcome.map_err(|error| arguments.remote.explain(error))?;
    let mut output = Output::new();
    if published.duplicate {
        output.notice("published before with this key; this is the first id")?;
    }
    output.line(&published.id)?;
    Ok(output.flush()?)
}

async fn publish_lines(client: &Client, arguments: &Arguments) -> anyhow::Result<()> {
    let mut output = Output::new();
    let mut lines = read_lines();
    let (mut published, mut refused) = (0_u64, 0_u64);
    let mut failure = None;
    while failure.is_none()
        && let Some(first) = lines.recv().await
    {
        let batch = Batch::gather(arguments, first, &mut lines, &mut failure);
        let outcome = client.publish_batch(&batch.publications).await;
        let results = outcome.map_err(|error| arguments.remote.explain(error))?;
        for (number, result) in batch.numbers.iter().zip(results) {
            match result {
                Ok(accepted) => {
                    published += 1;
                    if output.reader() == Reader::Program {
                        output.line(&accepted.id)?;
                    }
                }
                Err(refusal) => {
                    refused += 1;
                    output.notice(&format!("line {number}: {refusal}"))?;
                }
            }
        }
        output.flush()?;
    }
    if let Some(failure) = failure {
        return Err(failure);
    }
    if refused > 0 {
        bail!("{refused} of {} messages were refused", refused + published);
    }
    if output.reader() == Reader::Person {
        output.notice(&format!("published {published} to {}", arguments.channel))?;
    }
    Ok(())
}

/// Lines that go out in one request.
#[derive(Default)]
struct Batch {
    numbers: Vec<u64>,
    publications: Vec<Publication>,
}

impl Batch {
    /// Takes what is there already and no more, so that a slow producer's line goes out at once.
    /// A bad line ends the batch: those before it are published, and then it is told.
    fn gather(
        arguments: &Arguments,
        first: io::Result<Line>,
        lines: &mut mpsc::Receiver<io::Result<Line>>,
        failure: &mut Option<anyhow::Error>,
    ) -> Self {
        let (mut batch, mut bytes, mut next) = (Self::default(), 0, Some(first));
        while let Some(line) = next.take() {
            let taken = line.map_err(anyhow::Error::from).and_then(|line| {
                bytes += line.text.len();
                Ok((line.number, arguments.publication(line)?))
            });
            match taken {
                Ok((number, publication)) => {
                    batch.numbers.push(number);
                    batch.publications.push(publication);
                }
                Err(error) => {
                    *failure = Some(error);
                    break;
                }
            }
            if batch.numbers.len() < MAX_BATCH && bytes < FULL_BATCH {
                next = lines.try_recv().ok();
            }
        }
        batch
    }
}

impl Arguments {
    fn publication(&self, line: Line) -> anyhow::Result<Publication> {
        let key = self.idempotency_key.as_ref();
        Ok(Publication {
            channel: self.channel.clone(),
            data: self
                .read(&line.text)
                .map_err(|error| error.context(format!("line {}", line.number)))?,
            event: self.event.clone(),
            idempotency_key: key.map(|key| format!("{key}:{}", line.number)),
        })
    }

    /// The rule of `POST /v1/channels/{channel}`: JSON, else text, else bytes.
    fn read(&self, data: &[u8]) -> anyhow::Result<Data> {
        if self.binary {
            let bytes = STANDARD.decode(data.trim_ascii());
            let bytes = bytes.context("data: --binary needs standard base64 with padding")?;
            return Ok(Bytes::from(bytes).into());
        }
        let Ok(text) = std::str::from_utf8(data) else {
            return Ok(Bytes::copy_from_slice(data).into());
        };
        let json = if self.text {
            None
        } else {
            Data::from_json(text.trim())
        };
        Ok(json.unwrap_or_else(|| text.into()))
    }
}

/// A line of standard input without its end.
struct Line {
    number: u64,
    text: Vec<u8>,
}

/// Reads standard input on a thread of its own, which a blocking read can't be without.
fn read_lines() -> mpsc::Receiver<io::Result<Line>> {
    let (sender, receiver) = mpsc::channel(MAX_BATCH);
    thread::spawn(move || {
        let mut input = io::stdin().lock();
        for number in 1.. {
            let line = match read_line(&mut input) {
                Ok(None) => return,
                Ok(Some(text)) if text.is_empty() => continue,
                Ok(Some(text)) => Ok(Line { number, text }),
                Err(error) => Err(error),
            };
            let failed = line.is_err();
            if sender.blocking_send(line).is_err() || failed {
                return;
            }
        }
    });
    receiver
}

/// The next line; nothing at the end of the input.
fn read_line(input: &mut impl BufRead) -> io::Result<Option<Vec<u8>>> {
    let mut line = Vec::new();
    let limit = u64::try_from(MAX_LINE).expect("8 MiB") + 2;
    if input.take(limit).read_until(b'\n', &mut line)? == 0 {
        return Ok(None);
    }
    let text = line.strip_suffix(b"\n").unwrap_or(&line);
    let text = text.strip_suffix(b"\r").unwrap_or(text);
    if text.len() > MAX_LINE {
        return Err(io::Error::other(format!(
            "data: a line is over {MAX_LINE} bytes; shorten it"
        )));
    }
    let len = text.len();
    line.truncate(len);
    Ok(Some(line))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Arguments {
        let matches = command().try_get_matches_from(line.split(' ')).unwrap();
        Arguments::from_arg_matches(&matches).unwrap()
    }

    fn json(arguments: &Arguments, data: &str) -> String {
        match arguments.read(data.as_bytes()).unwrap() {
            Data::Json(json) => json.get().to_owned(),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn json_is_json_and_other_text_a_string_unless_text_is_forced() {
        command().debug_assert();
        let plain = parse("pub news");
        assert_eq!(json(&plain, " {\"a\": 1} "), "{\"a\": 1}");
        assert_eq!(json(&plain, "hello"), "\"hello\"");
        assert_eq!(json(&parse("pub news --text"), "1"), "\"1\"");
        assert_eq!(parse("pub temperature -5").data.as_deref(), Some("-5"));
    }

    #[test]
    fn bytes_come_from_base64_or_from_what_is_no_text() {
        let decoded = parse("pub news --binary").read(b"AP8=\n").unwrap();
        assert!(matches!(decoded, Data::Binary(bytes) if bytes.as_ref() == [0, 255]));
        let raw = parse("pub news").read(&[0xff]).unwrap();
        assert!(matches!(raw, Data::Binary(bytes) if bytes.as_ref() == [0xff]));
        let error = parse("pub news --binary").read(b"?").unwrap_err();
        assert!(error.to_string().starts_with("data: "), "{error}");
    }

    #[test]
    fn lines_end_with_lf_or_crlf_and_get_a_key_each() {
        let mut input = io::Cursor::new(b"one\r\ntwo\n\nthree".to_vec());
        let mut lines = Vec::new();
        while let Some(line) = read_line(&mut input).unwrap() {
            lines.push(line);
        }
        assert_eq!(lines, [b"one".as_slice(), b"two", b"", b"three"]);
        let line = Line {
            number: 3,
            text: b"x".to_vec(),
        };
        let publication = parse("pub news --idempotency-key k")
            .publication(line)
            .unwrap();
        assert_eq!(publication.idempotency_key.as_deref(), Some("k:3"));
    }

    #[test]
    fn an_endless_line_is_refused_before_it_fills_the_memory() {
        let mut input = io::BufReader::new(io::repeat(b'x'));
        assert!(read_line(&mut input).is_err());
    }
}
