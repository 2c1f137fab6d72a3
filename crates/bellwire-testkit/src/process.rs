//! The real binary as a child process: started on a port of its own, killed when dropped. Tests
//! of the binary, the bench and the page tests call it; it must not know what the server does
//! beyond the introduction it prints.

use std::{
    env,
    ffi::OsString,
    io::{BufRead, BufReader},
    net::SocketAddr,
    path::PathBuf,
    process::{Child, ChildStderr, Command, ExitStatus, Stdio},
    sync::{Arc, Mutex, MutexGuard},
    thread,
    time::Duration,
};

use rustix::process::{Pid, Resource, Rlimit, Signal, getrlimit, kill_process, setrlimit};

use crate::{
    certificate::Certificate,
    tunnel::Tunnel,
    wait::{self, SOON},
};

/// Where set, every server of these tests encrypts, and the clients reach it through a tunnel.
const ALL_OVER_TLS: &str = "BELLWIRE_TEST_TLS";

/// How to start a server.
#[derive(Clone, Debug)]
pub struct ServerBuilder {
    binary: PathBuf,
    arguments: Vec<OsString>,
    variables: Vec<(String, String)>,
    listen: Option<String>,
    max_descriptors: Option<u64>,
    core: Option<usize>,
    certificate: Option<Arc<Certificate>>,
    announced: Vec<u8>,
}

impl ServerBuilder {
    /// Adds arguments of `bellwire serve`.
    #[must_use]
    pub fn args<A: Into<OsString>>(mut self, arguments: impl IntoIterator<Item = A>) -> Self {
        self.arguments.extend(arguments.into_iter().map(Into::into));
        self
    }

    /// Sets an environment variable; all others that begin with `BELLWIRE_` are taken away.
    #[must_use]
    pub fn env(mut self, name: &str, value: &str) -> Self {
        self.variables.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Listens on this address in place of a free port of 127.0.0.1.
    #[must_use]
    pub fn listen(mut self, address: impl ToString) -> Self {
        self.listen = Some(address.to_string());
        self
    }

    /// Starts the child with this descriptor limit, hard and soft.
    #[must_use]
    pub fn max_descriptors(mut self, max: u64) -> Self {
        self.max_descriptors = Some(max);
        self
    }

    /// Makes it encrypt. Its [`Server::address`] is then that of a tunnel for clients that do not.
    #[must_use]
    pub fn tls(mut self) -> Self {
        self.certificate = Some(Arc::default());
        self
    }

    /// What its tunnel says before the encryption of each connection.
    #[must_use]
    pub fn announced(mut self, header: &[u8]) -> Self {
        self.announced = header.to_vec();
        self
    }

    /// Keeps the child on one core.
    #[must_use]
    pub fn core(mut self, core: usize) -> Self {
        self.core = Some(core);
        self
    }

    /// Starts it and waits for its introduction.
    ///
    /// # Panics
    /// When it ends or says nothing within [`SOON`]; the message holds its log.
    #[must_use]
    pub fn start(self) -> Server {
        let mut process = self.spawn();
        let introduction = wait::within(SOON, "the server's introduction", || {
            let log = process.log();
            if log.contains("\n  ceilings ") {
                return Some(log);
            }
            assert!(
                process.has_ended().is_none(),
                "the server ended at its start:\n{log}"
            );
            None
        });
        let listening = address_after(&introduction, "Bellwire ").expect("it names its address");
        let admin = address_after(&introduction, "  operations ");
        let tunnel = self
            .certificate
            .as_ref()
            .map(|certificate| Tunnel::start(listening, certificate, &self.announced));
        let address = tunnel.as_ref().map_or(listening, Tunnel::address);
        Server {
            admin: admin.map(|admin| if admin == listening { address } else { admin }),
            builder: self,
            process,
            address,
            listening,
            _tunnel: tunnel,
        }
    }

    /// Starts it without waiting for anything, for a start that is to fail.
    ///
    /// # Panics
    /// When there is no such binary.
    #[must_use]
    pub fn spawn(&self) -> Process {
        let mut command = self.command();
        command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped());
        for (name, _) in env::vars().filter(|(name, _)| name.starts_with("BELLWIRE_")) {
            command.env_remove(name);
        }
        command.envs(self.variables.iter().map(|(name, value)| (name, value)));
        let mut child = command
            .spawn()
            .unwrap_or_else(|error| panic!("{} does not start: {error}", self.binary.display()));
        let log = Arc::new(Mutex::new(String::new()));
        let stderr = child.stderr.take().expect("stderr is piped");
        let reader = thread::spawn({
            let log = Arc::clone(&log);
            move || collect(stderr, &log)
        });
        Process {
            child,
            log,
            reader: Some(reader),
        }
    }

    fn command(&self) -> Command {
        // A shell that replaces itself keeps the pid, so signals reach the server.
        let mut script = String::new();
        if let Some(max) = self.max_descriptors {
            script += &format!("ulimit -n {max}; ");
        }
        script += "exec ";
        if let Some(core) = self.core {
            script += &format!("taskset -c {core} ");
        }
        script += "\"$0\" \"$@\"";
        let mut command = Command::new("sh");
        command.arg("-c").arg(script).arg(&self.binary).arg("serve");
        command
            .arg("--listen")
            .arg(self.listen.as_deref().unwrap_or("127.0.0.1:0"));
        let given = |flag: &str| self.arguments.iter().any(|argument| argument == flag);
        if !given("--dev") && !given("--dev-public") && !given("--admin-listen") {
            command.args(["--admin-listen", "127.0.0.1:0"]);
        }
        if let Some(certificate) = &self.certificate {
            command.arg("--tls-certificate").arg(certificate.path());
            command.arg("--tls-key").arg(certificate.key());
        }
        command.args(&self.arguments);
        command
    }
}

/// A child process and what it wrote to standard error. Killed when dropped.
#[derive(Debug)]
pub struct Process {
    child: Child,
    log: Arc<Mutex<String>>,
    reader: Option<thread::JoinHandle<()>>,
}

impl Process {
    /// Its process id.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Everything it has written to standard error.
    #[must_use]
    pub fn log(&self) -> String {
        locked(&self.log).clone()
    }

    /// How it ended, if it has.
    ///
    /// # Panics
    /// When the operating system does not say.
    pub fn has_ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().expect("a child can be waited for")
    }

    /// Waits for its end by itself and for the rest of its log.
    ///
    /// # Panics
    /// When it has not ended within `limit`.
    pub fn wait(&mut self, limit: Duration) -> ExitStatus {
        let status = wait::within(limit, "the end of the process", || self.has_ended());
        if let Some(reader) = self.reader.take() {
            reader.join().expect("collecting the log does not panic");
        }
        status
    }

    /// Sends SIGHUP.
    pub fn hang_up(&self) {
        self.signal(Signal::HUP);
    }

    /// Sends SIGTERM.
    pub fn terminate(&self) {
        self.signal(Signal::TERM);
    }

    /// Ends it with SIGKILL and waits until it is gone.
    pub fn kill(&mut self) {
        self.signal(Signal::KILL);
        self.wait(SOON);
    }

    fn signal(&self, signal: Signal) {
        let pid = Pid::from_child(&self.child);
        kill_process(pid, signal).expect("a child that was not waited for can be signalled");
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if self.has_ended().is_none() {
            self.kill();
        }
    }
}

/// A server that answers.
#[derive(Debug)]
pub struct Server {
    builder: ServerBuilder,
    process: Process,
    address: SocketAddr,
    listening: SocketAddr,
    admin: Option<SocketAddr>,
    _tunnel: Option<Tunnel>,
}

impl Server {
    /// Begins to describe a server. The binary is `BELLWIRE_BIN` where that is set, else the one
    /// given, which tests take from `env!("CARGO_BIN_EXE_bellwire")`.
    #[must_use]
    pub fn builder(binary: &str) -> ServerBuilder {
        ServerBuilder {
            binary: env::var_os("BELLWIRE_BIN").map_or_else(|| binary.into(), PathBuf::from),
            arguments: Vec::new(),
            variables: Vec::new(),
            listen: None,
            max_descriptors: None,
            core: None,
            certificate: env::var_os(ALL_OVER_TLS).map(|_| Arc::default()),
            announced: Vec::new(),
        }
    }

    /// Where clients connect.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Where it listens itself, whether there is a tunnel or not.
    #[must_use]
    pub fn listening(&self) -> SocketAddr {
        self.listening
    }

    /// Whether it speaks TLS.
    #[must_use]
    pub fn is_encrypted(&self) -> bool {
        self.builder.certificate.is_some()
    }

    /// The certificate that it shows.
    ///
    /// # Panics
    /// When it does not encrypt.
    #[must_use]
    pub fn certificate(&self) -> &Certificate {
        let certificate = self.builder.certificate.as_deref();
        certificate.expect("a server with TLS has one")
    }

    /// Where operations answer.
    ///
    /// # Panics
    /// When they are off.
    #[must_use]
    pub fn admin(&self) -> SocketAddr {
        self.admin.expect("operations are not off")
    }

    /// The URL of a path on the main listener.
    #[must_use]
    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// The process.
    pub fn process(&mut self) -> &mut Process {
        &mut self.process
    }

    /// Its process id.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.process.pid()
    }

    /// Its log so far, the introduction included.
    #[must_use]
    pub fn log(&self) -> String {
        self.process.log()
    }

    /// Waits until the log holds a text.
    ///
    /// # Panics
    /// When it does not within [`SOON`].
    pub fn await_log(&self, text: &str) {
        let what = format!("{text:?} in the log");
        wait::until(&what, || locked(&self.process.log).contains(text));
    }

    /// Sends SIGTERM, so that it drains.
    pub fn terminate(&self) {
        self.process.terminate();
    }

    /// Sends SIGHUP, so that it reads its certificate anew.
    pub fn hang_up(&self) {
        self.process.hang_up();
    }

    /// Kills it with SIGKILL and starts it anew on the same port, with an empty log.
    pub fn restart(&mut self) {
        self.process.kill();
        let builder = self.builder.clone().listen(self.listening);
        *self = builder.start();
    }

    /// Resident memory in bytes, as the kernel counts it (`VmRSS`).
    ///
    /// # Panics
    /// When the process is gone.
    #[must_use]
    pub fn resident_bytes(&self) -> u64 {
        let path = format!("/proc/{}/status", self.pid());
        let status = std::fs::read_to_string(path).expect("the server runs");
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let kib = line.and_then(|line| line.trim().strip_suffix(" kB"));
        kib.and_then(|kib| kib.parse::<u64>().ok())
            .expect("VmRSS is in kB")
            << 10
    }

    /// CPU time used so far, in user and system mode (proc(5), fields 14 and 15 of `stat`).
    ///
    /// # Panics
    /// When the process is gone.
    #[must_use]
    pub fn cpu_time(&self) -> Duration {
        let path = format!("/proc/{}/stat", self.pid());
        let stat = std::fs::read_to_string(path).expect("the server runs");
        // The name in brackets may hold spaces; what follows it begins with field 3.
        let (_, fields) = stat.rsplit_once(") ").expect("stat has a name");
        let ticks: u64 = fields
            .split(' ')
            .skip(11)
            .take(2)
            .map(|field| field.parse::<u64>().expect("times are numbers"))
            .sum();
        Duration::from_millis(ticks * 1_000 / rustix::param::clock_ticks_per_second())
    }
}

/// Lets this process open as many descriptors as it may, for tests with many clients.
///
/// # Panics
/// When the operating system refuses what it allows.
pub fn raise_descriptor_limit() {
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit {
        current: limit.maximum,
        ..limit
    };
    setrlimit(Resource::Nofile, raised).expect("the soft limit may rise to the hard one");
}

fn locked(log: &Mutex<String>) -> MutexGuard<'_, String> {
    log.lock().expect("nobody panics while holding the log")
}

fn collect(stderr: ChildStderr, log: &Mutex<String>) {
    let mut lines = BufReader::new(stderr);
    let mut line = Vec::new();
    while matches!(lines.read_until(b'\n', &mut line), Ok(read) if read > 0) {
        locked(log).push_str(&String::from_utf8_lossy(&line));
        line.clear();
    }
}

/// The address in the first URL of the line that begins with `start`.
fn address_after(introduction: &str, start: &str) -> Option<SocketAddr> {
    let line = introduction.lines().find(|line| line.starts_with(start))?;
    let (_, url) = line.split_once("://")?;
    let end = url.find('/').unwrap_or(url.len());
    url.get(..end)?.parse().ok()
}
