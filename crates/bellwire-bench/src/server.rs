//! A server as a child process on its own core, and what it has used of it.

use std::{
    env, fs,
    io::{BufRead, BufReader},
    net::SocketAddr,
    process::{Child, Command, Stdio},
    thread,
    time::Duration,
};

use anyhow::{Context, Result, bail};
use rustix::thread::{CpuSet, sched_setaffinity};

/// The core of the servers.
const SERVER_CORE: usize = 0;
/// The core of the generator.
const GENERATOR_CORE: usize = 1;

/// What is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Bellwire,
    Bare,
    BareFlushPerTurn,
}

impl Kind {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Bellwire => "bellwire",
            Self::Bare => "bare loop, a send per message",
            Self::BareFlushPerTurn => "bare loop, flush per turn",
        }
    }

    fn command(self) -> Result<Command> {
        let this = env::current_exe()?;
        let server = this.with_file_name("bellwire");
        let mut command = Command::new(if self == Self::Bellwire {
            &server
        } else {
            &this
        });
        match self {
            Self::Bellwire if !server.exists() => {
                bail!(
                    "{} is missing; cargo build --release -p bellwire",
                    server.display()
                )
            }
            // Subscribers answer no pings, so none are sent.
            Self::Bellwire => command.args([
                "serve",
                "--dev",
                "--shards",
                "1",
                "--listen",
                "127.0.0.1:0",
                "--heartbeat",
                "1h",
                "--log-level",
                "warn",
            ]),
            Self::Bare => command.arg("bare"),
            Self::BareFlushPerTurn => command.args(["bare", "--flush-per-turn"]),
        };
        Ok(command)
    }
}

/// See the module. Dropping it ends the process.
pub(crate) struct Server {
    child: Child,
    pub(crate) address: SocketAddr,
}

impl Server {
    pub(crate) fn start(kind: Kind) -> Result<Self> {
        // A child inherits its parent's core.
        pin(SERVER_CORE)?;
        let child = kind
            .command()?
            .stderr(Stdio::piped())
            .stdin(Stdio::null())
            .spawn();
        pin(GENERATOR_CORE)?;
        let mut child = child?;
        let mut lines = BufReader::new(child.stderr.take().context("standard error is piped")?);
        let mut line = String::new();
        let address = loop {
            line.clear();
            if lines.read_line(&mut line)? == 0 {
                bail!("{} ended before it said where it listens", kind.name());
            }
            let found = line
                .split_once(" on http://")
                .and_then(|(_, rest)| rest.split_once('/'));
            if let Some((address, _)) = found {
                break address.parse()?;
            }
        };
        // A full pipe would stop the server at its next line.
        thread::spawn(move || std::io::copy(&mut lines, &mut std::io::stderr()));
        Ok(Self { child, address })
    }

    /// The CPU time of all its threads so far.
    pub(crate) fn cpu(&self) -> Result<Duration> {
        let mut nanoseconds = 0;
        for task in fs::read_dir(format!("/proc/{}/task", self.child.id()))? {
            let text = fs::read_to_string(task?.path().join("schedstat"))?;
            let ran = text
                .split_whitespace()
                .next()
                .context("an empty schedstat")?;
            nanoseconds += ran.parse::<u64>()?;
        }
        Ok(Duration::from_nanos(nanoseconds))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended by itself.
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

fn pin(core: usize) -> Result<()> {
    let mut cores = CpuSet::new();
    cores.set(core);
    sched_setaffinity(None, &cores).context("two cores are needed")
}
