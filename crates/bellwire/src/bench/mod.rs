//! `bellwire bench`: puts load on a server, checks every delivery, and tells what it cost.
//!
//! Here are the arguments; [`plan`] runs them over the workers of `bellwire-bench`, [`report`]
//! shows what came out.

mod plan;
mod report;

use std::{
    net::{SocketAddr, ToSocketAddrs},
    path::PathBuf,
};

use anyhow::{Context, bail};
use bellwire_bench::{Dialect, Secure, Target, Wire, worker};
use clap::{ArgMatches, Args, Command, FromArgMatches, ValueEnum};

use crate::remote::Remote;

/// The subcommand by which the command starts itself as a worker.
const WORKER: &str = "bench-worker";

const EXAMPLES: &str = "\
Examples:
  bellwire bench                                   1,000 event streams, one channel, 10 messages/s
  bellwire bench --via ws -c 10000 --rate 50       WebSockets, at a fixed rate
  bellwire bench --outstanding 1                   as fast as deliveries come, one at a time
  bellwire bench --pattern unicast --rate 1000     a channel each, to one after the other
  bellwire bench --pid $(pidof bellwire) --storm   memory and CPU of the server, then a storm
  bellwire bench --compare                         which transport costs what, for the same feed

Latencies count from when a message was due (open loop), so a stall of the server is charged with
everything that waited meanwhile. A message that is lost or comes twice makes the run fail.
Progress goes to standard error, the result to standard output.";

/// Put load on a server and measure it
#[derive(Args, Clone, Debug)]
struct Arguments {
    #[command(flatten)]
    remote: Remote,

    /// Where publications go, if not to --url
    #[arg(long, value_name = "URL")]
    publish_url: Option<String>,

    /// Whose protocol is spoken there
    #[arg(long, default_value = "bellwire")]
    dialect: Dialect,

    /// What carries deliveries
    #[arg(long, value_name = "WIRE", default_value = "sse")]
    via: Wire,

    /// Connections
    #[arg(short, long, value_name = "N", default_value_t = 1_000)]
    connections: usize,

    /// Who gets what
    #[arg(long, default_value = "broadcast")]
    pattern: Pattern,

    /// Messages per second
    #[arg(long, value_name = "N", default_value_t = 10.0)]
    rate: f64,

    /// Publish whenever fewer than so many messages are on their way, instead of at a rate
    #[arg(long, value_name = "N", conflicts_with = "rate")]
    outstanding: Option<u64>,

    /// Seconds of load
    #[arg(long, value_name = "N", default_value_t = 10.0)]
    seconds: f64,

    /// Bytes of a message's data
    #[arg(long, value_name = "N", default_value_t = 128)]
    payload: usize,

    /// Connections that publish
    #[arg(long, value_name = "N", default_value_t = 16)]
    publishers: usize,

    /// Publications in one request
    #[arg(long, value_name = "N", default_value_t = 1)]
    batch: usize,

    /// Cut all connections at the end and see how soon they have what they missed
    #[arg(long)]
    storm: bool,

    /// Publications to each channel that a storm misses
    #[arg(long, value_name = "N", default_value_t = 20)]
    missed: u32,

    /// Send one feed over short polling, long-polling, SSE and WebSocket, at a message a minute,
    /// a second and sixty a second, and compare what each costs; takes some minutes
    #[arg(long, conflicts_with_all = ["via", "pattern", "rate", "outstanding", "storm", "svg"])]
    compare: bool,

    /// Sign a token for a user of each connection: [KID=]HS256:SECRET, or ES256, EdDSA, RS256
    /// with :@PRIVATE.pem
    #[arg(
        long,
        value_name = "KEY",
        env = "BELLWIRE_BENCH_JWT_KEY",
        hide_env_values = true
    )]
    jwt_key: Option<String>,

    /// The server's process on this machine: its CPU time and memory are measured, too
    #[arg(long)]
    pid: Option<u32>,

    /// Print one JSON object instead of tables
    #[arg(long)]
    json: bool,

    /// Write charts into this folder
    #[arg(long, value_name = "DIR")]
    svg: Option<PathBuf>,
}

/// How messages are spread.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Pattern {
    /// One channel, which everybody reads
    Broadcast,
    /// A channel for each connection, published to in turns
    Unicast,
    /// A tenth with a channel each, while the others get a hundredth of the rate as broadcasts
    Mixed,
}

/// The subcommand.
pub(crate) fn command() -> Command {
    Arguments::augment_args(Command::new("bench")).after_help(EXAMPLES)
}

/// The subcommand of its workers.
pub(crate) fn worker_command() -> Command {
    Command::new(WORKER).hide(true)
}

/// Serves as a worker.
pub(crate) fn run_worker() -> anyhow::Result<()> {
    worker::run()
}

/// Runs it.
pub(crate) fn run(matches: &ArgMatches) -> anyhow::Result<()> {
    let arguments = Arguments::from_arg_matches(matches)?;
    arguments.check()?;
    if arguments.compare {
        return report::compare(&arguments, &plan::compare(&arguments)?);
    }
    let found = plan::run(&arguments)?;
    report::show(&arguments, &found)?;
    found.verify()
}

impl Arguments {
    fn check(&self) -> anyhow::Result<()> {
        if self.connections == 0 {
            bail!("--connections is 0; give at least one");
        }
        if self.payload < bellwire_bench::MIN_PAYLOAD {
            let least = bellwire_bench::MIN_PAYLOAD;
            bail!(
                "--payload is {}; the number and the time in each message take {least} bytes",
                self.payload
            );
        }
        if self.seconds <= 0.0 || self.rate <= 0.0 || self.outstanding == Some(0) {
            bail!("--seconds, --rate and --outstanding must be above 0");
        }
        if self.storm && self.via == Wire::Poll {
            bail!("--storm is for --via sse and ws: polls are not connected between two answers");
        }
        if self.storm && self.dialect != Dialect::Bellwire {
            bail!("--storm is for --dialect bellwire, whose cursors it comes back with");
        }
        if self.via == Wire::Poll && self.dialect != Dialect::Bellwire {
            bail!("--via poll is for --dialect bellwire");
        }
        Ok(())
    }

    fn target(&self) -> anyhow::Result<Target> {
        let server = resolve(&self.remote.url, "--url")?;
        let publish = match &self.publish_url {
            Some(url) => resolve(url, "--publish-url")?,
            None => server.clone(),
        };
        let ca = self.remote.ca()?;
        let secure = |name: Option<String>| {
            name.map(|name| Secure {
                name,
                ca: ca.clone(),
            })
        };
        Ok(Target {
            address: server.address,
            publish: publish.address,
            host: server.host,
            secure: secure(server.secure),
            publish_secure: secure(publish.secure),
            dialect: self.dialect,
            wire: self.via,
            query: String::new(),
            credential: self.remote.credential.clone(),
        })
    }
}

/// Where a URL leads.
#[derive(Clone, Debug)]
struct Resolved {
    address: SocketAddr,
    /// The authority, for `Host`.
    host: String,
    /// The server's name, where it is spoken to by https.
    secure: Option<String>,
}

fn resolve(url: &str, flag: &str) -> anyhow::Result<Resolved> {
    let (host, port, is_secure) = match url.split_once("://") {
        Some(("http", rest)) => (rest, 80, false),
        Some(("https", rest)) => (rest, 443, true),
        _ => bail!("{flag} is {url:?}; write it like http://127.0.0.1:2355"),
    };
    let host = host.trim_end_matches('/');
    let (name, named) = match host.rsplit_once(':') {
        Some((name, _)) if !host.ends_with(']') => (name, host.to_owned()),
        _ => (host, format!("{host}:{port}")),
    };
    let mut addresses = named
        .to_socket_addrs()
        .with_context(|| format!("{flag}: {host} is not found"))?;
    let address = addresses
        .next()
        .with_context(|| format!("{flag}: {host} has no address"))?;
    let name = name.trim_matches(['[', ']']);
    Ok(Resolved {
        address,
        host: host.to_owned(),
        secure: is_secure.then(|| name.to_owned()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> anyhow::Result<Arguments> {
        let matches = command().try_get_matches_from(line.split(' '))?;
        let arguments = Arguments::from_arg_matches(&matches)?;
        arguments.check()?;
        Ok(arguments)
    }

    #[test]
    fn arguments_have_the_documented_defaults() {
        command().debug_assert();
        let arguments = parse("bench").unwrap();
        assert_eq!((arguments.connections, arguments.via), (1_000, Wire::Sse));
        assert_eq!(arguments.pattern, Pattern::Broadcast);
    }

    #[test]
    fn a_url_says_whether_to_encrypt_and_for_whom_the_certificate_is() {
        let secure = |url| resolve(url, "--url").unwrap().secure;
        assert_eq!(secure("http://127.0.0.1:2355"), None);
        assert_eq!(secure("https://127.0.0.1/").as_deref(), Some("127.0.0.1"));
        assert_eq!(secure("https://[::1]:2355").as_deref(), Some("::1"));
        let ports = ["http://[::1]", "https://[::1]", "https://[::1]:8443"];
        let ports = ports.map(|url| resolve(url, "--url").unwrap().address.port());
        assert_eq!(ports, [80, 443, 8443]);
    }

    #[test]
    fn what_can_not_be_measured_is_refused_with_the_flag_that_asks_for_it() {
        for (line, flag) in [
            ("bench -c 0", "--connections"),
            ("bench --payload 3", "--payload"),
            ("bench --via poll --storm", "--storm"),
            ("bench --dialect mercure --storm", "--dialect"),
            ("bench --outstanding 0", "--outstanding"),
        ] {
            let error = parse(line).unwrap_err().to_string();
            assert!(error.contains(flag), "{line}: {error}");
        }
        let error = resolve("live.example.com", "--url").unwrap_err();
        assert!(error.to_string().contains("--url"), "{error}");
    }
}
