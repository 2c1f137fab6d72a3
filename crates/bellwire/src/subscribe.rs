//! `bellwire sub`: prints what a channel says, across cuts and restarts.

use std::{
    future::{Future, poll_fn},
    pin::{Pin, pin},
    task::Poll,
};

use bellwire_client::{Error, Item, Options, Subscription, Transport};
use clap::{ArgMatches, Args, Command, FromArgMatches};

use crate::{
    output::{Output, ends_quietly},
    remote::Remote,
};

const EXAMPLES: &str = "\
Examples:
  bellwire sub news                       follow one channel
  bellwire sub news room:7 --via ws       two channels over a WebSocket
  bellwire sub news --cursor earliest     what history holds, then go on
  bellwire sub news -n 1 | jq .data       the next message's data

On a terminal, lines are for people and notices go to standard error. In a pipe, each line is one
JSON object: a message's envelope as received, or {\"gap\":{…}} where messages were lost.";

/// Subscribe to channels and print their messages
///
/// Reconnects and resumes by itself: every message is printed once and in order, and every loss
/// is told.
#[derive(Args, Debug)]
struct Arguments {
    /// Channels to subscribe to; @me is the inbox of the token's user
    #[arg(value_name = "CHANNEL", required = true)]
    channels: Vec<String>,

    /// Transport: sse, ws or poll
    #[arg(long, value_name = "TRANSPORT", default_value = "sse")]
    via: Transport,

    /// Where to begin: ids joined with '.', or earliest; now unless given
    #[arg(long)]
    cursor: Option<String>,

    /// Exit after this many messages
    #[arg(short = 'n', value_name = "COUNT")]
    count: Option<u64>,

    #[command(flatten)]
    remote: Remote,
}

/// The subcommand.
pub(crate) fn command() -> Command {
    Arguments::augment_args(Command::new("sub")).after_help(EXAMPLES)
}

/// Runs it until the count is reached, the reader goes, or the server refuses.
pub(crate) fn run(matches: &ArgMatches) -> anyhow::Result<()> {
    let arguments = Arguments::from_arg_matches(matches)?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    ends_quietly(runtime.block_on(follow(arguments)))
}

async fn follow(arguments: Arguments) -> anyhow::Result<()> {
    let Arguments {
        channels,
        via,
        cursor,
        count,
        remote,
    } = arguments;
    let options = Options {
        via,
        cursor,
        ..Options::default()
    };
    let mut subscription = remote.client()?.subscribe(channels, options)?;
    let mut output = Output::new();
    let mut left = count;
    while left != Some(0) {
        let Some(item) = next(&mut subscription, &mut output).await? else {
            let refusal = subscription
                .refusal()
                .expect("only a refusal ends a subscription");
            return Err(remote.explain(Error::Refused(refusal.clone())));
        };
        output.item(&item)?;
        if let (Item::Message(_), Some(left)) = (&item, &mut left) {
            *left -= 1;
        }
    }
    Ok(output.flush()?)
}

/// The next item, written out before the wait for it begins, so that a busy stream is written
/// in large pieces and a quiet one at once.
async fn next(
    subscription: &mut Subscription,
    output: &mut Output,
) -> anyhow::Result<Option<Item>> {
    let mut item = pin!(subscription.next());
    match ready_now(item.as_mut()).await {
        Some(item) => Ok(item),
        None => {
            output.flush()?;
            Ok(item.await)
        }
    }
}

async fn ready_now<F: Future>(mut future: Pin<&mut F>) -> Option<F::Output> {
    poll_fn(|context| {
        Poll::Ready(match future.as_mut().poll(context) {
            Poll::Ready(output) => Some(output),
            Poll::Pending => None,
        })
    })
    .await
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Result<Arguments, clap::Error> {
        let matches = command().try_get_matches_from(line.split(' '))?;
        Arguments::from_arg_matches(&matches)
    }

    #[test]
    fn arguments_have_the_documented_defaults() {
        command().debug_assert();
        let arguments = parse("sub news room:7").unwrap();
        assert_eq!(arguments.channels, ["news", "room:7"]);
        assert_eq!((arguments.via, arguments.count), (Transport::Sse, None));
        assert_eq!(
            parse("sub news --via ws -n 3").unwrap().via,
            Transport::WebSocket
        );
    }

    #[test]
    fn a_bad_transport_is_refused_with_the_good_ones() {
        let error = parse("sub news --via carrier-pigeon")
            .unwrap_err()
            .to_string();
        assert!(error.contains("none of sse, ws and poll"), "{error}");
    }
}
