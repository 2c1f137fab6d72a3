//! The parent's side of workers: started as children of this program, told, and listened to.

use std::{
    env,
    io::{BufRead, BufReader, Write},
    process::{Child, ChildStdin, ChildStdout, Command as Process, Stdio},
};

use anyhow::{Context, Result, bail};

use crate::{
    crowd::Group,
    load::{Load, Loaded},
    publish::Publishing,
    storm::{Storm, Stormed},
    worker::{Answer, Command},
};

/// A worker process. Dropping it ends the process.
#[derive(Debug)]
pub struct Worker {
    child: Child,
    commands: ChildStdin,
    answers: BufReader<ChildStdout>,
}

impl Worker {
    /// Starts this program again, with the arguments that make it [`crate::worker::run`].
    ///
    /// # Errors
    /// It does not start.
    pub fn start(arguments: &[&str]) -> Result<Self> {
        let mut child = Process::new(env::current_exe()?)
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .context("starting a worker")?;
        let commands = child.stdin.take().context("standard input is piped")?;
        let answers = child.stdout.take().context("standard output is piped")?;
        Ok(Self {
            child,
            commands,
            answers: BufReader::new(answers),
        })
    }

    fn tell(&mut self, command: &Command) -> Result<()> {
        let mut line = serde_json::to_vec(command)?;
        line.push(b'\n');
        self.commands.write_all(&line).context("a worker is gone")
    }

    fn hear(&mut self, progress: &mut dyn FnMut(f64)) -> Result<Answer> {
        loop {
            let mut line = String::new();
            if self.answers.read_line(&mut line)? == 0 {
                bail!("a worker ended in the middle of a command");
            }
            match serde_json::from_str(&line)? {
                Answer::Progress(share) => progress(share),
                Answer::Failed(reason) => bail!("{reason}"),
                answer => return Ok(answer),
            }
        }
    }

    fn ask(&mut self, command: &Command, progress: &mut dyn FnMut(f64)) -> Result<Answer> {
        self.tell(command)?;
        self.hear(progress)
    }

    /// Connects a group; returns how many seconds that took.
    ///
    /// # Errors
    /// Somebody is refused, or the server is not there.
    pub fn open(
        &mut self,
        group: Group,
        publishing: Publishing,
        progress: &mut dyn FnMut(f64),
    ) -> Result<f64> {
        match self.ask(&Command::Open(Box::new(group), publishing), progress)? {
            Answer::Opened(seconds) => Ok(seconds),
            answer => unexpected(&answer),
        }
    }

    /// Puts load on; returns what became of each stream.
    ///
    /// # Errors
    /// A publication is refused, a connection breaks, or deliveries do not come.
    pub fn load(&mut self, load: Load, progress: &mut dyn FnMut(f64)) -> Result<Vec<Loaded>> {
        self.begin_load(load)?;
        Ok(self.end_load(progress)?.0)
    }

    /// Begins [`Worker::load`] without waiting for its end.
    ///
    /// # Errors
    /// The worker is gone.
    pub fn begin_load(&mut self, load: Load) -> Result<()> {
        self.tell(&Command::Load(load))
    }

    /// Waits for the end of what [`Worker::begin_load`] began; also returns how many publications
    /// there have been so far, by channel, in the first stream's group.
    ///
    /// # Errors
    /// As [`Worker::load`].
    pub fn end_load(&mut self, progress: &mut dyn FnMut(f64)) -> Result<(Vec<Loaded>, Vec<u32>)> {
        match self.hear(progress)? {
            Answer::Loaded(streams, published) => Ok((streams, published)),
            answer => unexpected(&answer),
        }
    }

    /// Begins to receive what another worker publishes to a group, for so many seconds.
    ///
    /// # Errors
    /// The worker is gone.
    pub fn begin_listening(&mut self, group: usize, seconds: f64) -> Result<()> {
        self.tell(&Command::Listen(group, seconds))
    }

    /// Ends [`Worker::begin_listening`] once these publications have come to everybody.
    ///
    /// # Errors
    /// They do not come.
    pub fn settle(&mut self, group: usize, published: Vec<u32>) -> Result<Loaded> {
        let Answer::Received(mut loaded) = self.hear(&mut |_| {})? else {
            bail!("a worker did not listen");
        };
        match self.ask(&Command::Settle(group, published), &mut |_| {})? {
            Answer::Received(rest) => {
                loaded.add(&rest);
                Ok(loaded)
            }
            answer => unexpected(&answer),
        }
    }

    /// Answers pings and polls for so many seconds; returns how many pings there were.
    ///
    /// # Errors
    /// A connection breaks.
    pub fn idle(&mut self, seconds: f64, progress: &mut dyn FnMut(f64)) -> Result<u64> {
        self.begin_idle(seconds)?;
        self.end_idle(progress)
    }

    /// Begins [`Worker::idle`] without waiting for its end.
    ///
    /// # Errors
    /// The worker is gone.
    pub fn begin_idle(&mut self, seconds: f64) -> Result<()> {
        self.tell(&Command::Idle(seconds))
    }

    /// Waits for the end of what [`Worker::begin_idle`] began.
    ///
    /// # Errors
    /// A connection breaks.
    pub fn end_idle(&mut self, progress: &mut dyn FnMut(f64)) -> Result<u64> {
        match self.hear(progress)? {
            Answer::Idled(pings) => Ok(pings),
            answer => unexpected(&answer),
        }
    }

    /// Cuts a group's connections and has them come back.
    ///
    /// # Errors
    /// Somebody does not get back or does not catch up.
    pub fn storm(&mut self, storm: Storm, progress: &mut dyn FnMut(f64)) -> Result<Stormed> {
        match self.ask(&Command::Storm(storm), progress)? {
            Answer::Stormed(stormed) => Ok(stormed),
            answer => unexpected(&answer),
        }
    }

    /// Closes all its connections.
    ///
    /// # Errors
    /// The worker is gone.
    pub fn close(&mut self) -> Result<()> {
        match self.ask(&Command::Close, &mut |_| {})? {
            Answer::Closed => Ok(()),
            answer => unexpected(&answer),
        }
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        // It may have ended by itself.
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

fn unexpected<T>(answer: &Answer) -> Result<T> {
    bail!("a worker answers something else: {answer:?}")
}
