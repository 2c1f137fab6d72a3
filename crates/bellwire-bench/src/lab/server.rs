//! Servers as child processes on their own core: Bellwire, the bare loop, and the peers of
//! `bench/peers`.

use std::{
    env, fs,
    io::{BufRead, BufReader, Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::atomic::{AtomicU16, Ordering},
    thread,
    time::Duration,
};

use anyhow::{Context, Result, bail};
use bellwire_bench::{Dialect, Target, Wire, process};
use bellwire_server::access::KeySpec;
use rustix::{
    process::{Pid, Signal, kill_process},
    thread::{CpuSet, sched_setaffinity},
};

/// The core of the servers.
const SERVER_CORE: usize = 0;
/// The core of the generators.
const GENERATOR_CORE: usize = 1;

/// Secret of the tokens in these measurements, in the form of `--jwt-key`.
pub(crate) const JWT_KEY: &str = "HS256:a secret of thirty-two bytes for measuring";

/// What is measured.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Bellwire with `--dev` and these arguments besides.
    Bellwire(Vec<&'static str>),
    /// Bellwire that asks for tokens and API keys.
    Guarded(Vec<String>),
    /// The bare loop with these arguments.
    Bare(Vec<&'static str>),
    /// A folder of `bench/peers`.
    Peer(&'static str),
}

/// How servers are told apart in tables.
pub(crate) const BARE: Kind = Kind::Bare(Vec::new());

impl Kind {
    /// Bellwire as it is compared: one shard, everything allowed.
    pub(crate) fn bellwire() -> Self {
        Self::Bellwire(vec!["--shards", "1"])
    }

    /// The bare loop that sends at the end of a turn.
    pub(crate) fn bare_per_turn() -> Self {
        Self::Bare(vec!["--flush-per-turn"])
    }

    /// Bellwire that asks for tokens, one shard.
    pub(crate) fn guarded() -> Self {
        Self::Guarded(Vec::new())
    }

    pub(crate) fn name(&self) -> &str {
        match self {
            Self::Bellwire(_) | Self::Guarded(_) => "Bellwire",
            Self::Bare(arguments) if arguments.contains(&"--flush-per-turn") => {
                "bare loop, flush per turn"
            }
            Self::Bare(_) => "bare loop",
            Self::Peer("nchan") => "Nchan",
            Self::Peer("pushpin") => "Pushpin",
            Self::Peer("redis") => "Redis pub/sub",
            Self::Peer("node-ws") => "node ws",
            Self::Peer("node-sse") => "node http (SSE)",
            Self::Peer("uwebsockets") => "uWebSockets",
            Self::Peer("axum") => "axum + tokio broadcast",
            Self::Peer(name) => name,
        }
    }

    pub(crate) fn is_bellwire(&self) -> bool {
        matches!(self, Self::Bellwire(_) | Self::Guarded(_))
    }

    fn dialect(&self) -> Dialect {
        match self {
            Self::Peer("nchan") => Dialect::Nchan,
            Self::Peer("pushpin") => Dialect::Pushpin,
            Self::Peer("redis") => Dialect::Redis,
            _ => Dialect::Bellwire,
        }
    }
}

/// The root of the repository.
pub(crate) fn repository() -> PathBuf {
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR"));
    manifest.ancestors().nth(2).unwrap_or(manifest).to_owned()
}

/// A token that may publish to every channel that is measured.
pub(crate) fn publisher_token() -> Result<String> {
    let key = KeySpec::parse(JWT_KEY).map_err(anyhow::Error::msg)?;
    let claims = serde_json::json!({
        "sub": "publisher",
        "exp": 32_503_680_000_u64,
        "bellwire": {"publish": ["*"]},
    });
    key.sign(&claims).map_err(anyhow::Error::msg)
}

/// A pair of ES256 keys, in the form of `--jwt-key`: the private one and the public one.
pub(crate) fn es256_keys() -> Result<(String, String)> {
    let folder = repository().join("crates/bellwire-server/tests/it/keys");
    let key = |name: &str| format!("ES256:@{}", folder.join(name).display());
    Ok((key("es256.private.pem"), key("es256.public.pem")))
}

/// What a peer says of its version.
pub(crate) fn version(peer: &str) -> String {
    let script = repository().join("bench/peers").join(peer).join("version");
    let output = Command::new(script).output();
    output.map_or_else(
        |error| format!("{peer}: {error}"),
        |output| String::from_utf8_lossy(&output.stdout).trim().to_owned(),
    )
}

/// See the module. Dropping it ends the process and its children.
pub(crate) struct Server {
    child: Child,
    kind: Kind,
    address: SocketAddr,
    publish: SocketAddr,
    state: Option<PathBuf>,
}

impl Server {
    pub(crate) fn start(kind: &Kind) -> Result<Self> {
        // A child inherits its parent's core.
        pin(&[SERVER_CORE])?;
        let started = Self::start_unpinned(kind);
        pin(&[GENERATOR_CORE])?;
        started
    }

    /// Starts it on whatever cores this process may use.
    pub(crate) fn start_unpinned(kind: &Kind) -> Result<Self> {
        Self::spawn(kind).with_context(|| format!("starting {}", kind.name()))
    }

    fn spawn(kind: &Kind) -> Result<Self> {
        match kind {
            Kind::Peer(name) => Self::spawn_peer(kind, name),
            Kind::Bare(arguments) => {
                let mut command = Command::new(env::current_exe()?);
                command.arg("bare").args(arguments);
                Self::spawn_ours(kind, command)
            }
            Kind::Bellwire(arguments) => {
                let mut command = Self::bellwire()?;
                command.arg("--dev").args(arguments);
                Self::spawn_ours(kind, command)
            }
            Kind::Guarded(arguments) => {
                let mut command = Self::bellwire()?;
                command.args(["--admin-listen", "off", "--shards", "1"]);
                // Another key takes the place of the usual one.
                let arguments = arguments.iter().map(String::as_str);
                let usual = ["--jwt-key", JWT_KEY];
                command.args(if arguments.len() == 0 {
                    usual.to_vec()
                } else {
                    arguments.collect()
                });
                Self::spawn_ours(kind, command)
            }
        }
    }

    fn bellwire() -> Result<Command> {
        let binary = env::current_exe()?.with_file_name("bellwire");
        if !binary.exists() {
            bail!(
                "{} is missing; cargo build --release -p bellwire",
                binary.display()
            );
        }
        let mut command = Command::new(binary);
        command.args(["serve", "--listen", "127.0.0.1:0", "--log-level", "warn"]);
        Ok(command)
    }

    /// Starts a program that says on standard error ` on http://ADDRESS/`.
    fn spawn_ours(kind: &Kind, mut command: Command) -> Result<Self> {
        let mut child = command
            .stderr(Stdio::piped())
            .stdin(Stdio::null())
            .spawn()?;
        let mut lines = BufReader::new(child.stderr.take().context("standard error is piped")?);
        let mut line = String::new();
        let address = loop {
            line.clear();
            if lines.read_line(&mut line)? == 0 {
                bail!("it ended before it said where it listens");
            }
            let found = line
                .split_once(" on http://")
                .and_then(|(_, rest)| rest.split_once('/'));
            if let Some((address, _)) = found {
                break address.parse()?;
            }
        };
        // A full pipe would stop the server at its next line; what it warns of is worth seeing.
        thread::spawn(move || {
            for line in lines.lines().map_while(Result::ok) {
                if line.contains("WARN") || line.contains("ERROR") || line.contains("panic") {
                    crate::say(&line);
                }
            }
        });
        Ok(Self {
            child,
            kind: kind.clone(),
            address,
            publish: address,
            state: None,
        })
    }

    fn spawn_peer(kind: &Kind, name: &str) -> Result<Self> {
        let port = two_free_ports()?;
        let state = env::temp_dir().join(format!("bellwire-bench-{name}-{port}"));
        fs::create_dir_all(&state)?;
        let script = repository().join("bench/peers").join(name).join("start");
        let mut child = Command::new(&script)
            .arg(port.to_string())
            .arg(&state)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .with_context(|| format!("{}; see bench/peers/README.md", script.display()))?;
        let mut lines = BufReader::new(child.stdout.take().context("standard output is piped")?);
        let mut line = String::new();
        lines.read_line(&mut line)?;
        if line.trim() != "ready" {
            child.kill().ok();
            bail!("it does not get ready; run bench/peers/install {name}");
        }
        thread::spawn(move || lines.read_to_end(&mut Vec::new()));
        let publish_port = if name == "pushpin" { port + 1 } else { port };
        Ok(Self {
            child,
            kind: kind.clone(),
            address: SocketAddr::from(([127, 0, 0, 1], port)),
            publish: SocketAddr::from(([127, 0, 0, 1], publish_port)),
            state: Some(state),
        })
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    pub(crate) fn is_bellwire(&self) -> bool {
        self.kind.is_bellwire()
    }

    /// How the generator speaks to it.
    pub(crate) fn target(&self, wire: Wire) -> Target {
        Target {
            address: self.address,
            publish: self.publish,
            host: self.address.to_string(),
            secure: None,
            publish_secure: None,
            dialect: self.kind.dialect(),
            wire,
            query: String::new(),
            credential: None,
        }
    }

    /// A line of its metrics, where they answer on the main listener (`--dev`).
    pub(crate) fn metric(&self, name: &str) -> Option<f64> {
        let mut stream = TcpStream::connect(self.address).ok()?;
        let request = "GET /metrics HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n";
        stream.write_all(request.as_bytes()).ok()?;
        let mut text = String::new();
        stream.read_to_string(&mut text).ok()?;
        let line = text.lines().find_map(|line| line.strip_prefix(name))?;
        line.trim().parse().ok()
    }

    /// The CPU time of all its threads and children so far.
    pub(crate) fn cpu(&self) -> Result<Duration> {
        process::cpu(self.child.id())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended by itself; children end with it when it is asked.
        if self.state.is_some()
            && let Some(pid) = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw)
        {
            kill_process(pid, Signal::TERM).ok();
            let family = process::family(self.child.id());
            for _ in 0..100 {
                if self.child.try_wait().is_ok_and(|status| status.is_some()) {
                    break;
                }
                thread::sleep(Duration::from_millis(20));
            }
            for pid in family.into_iter().skip(1) {
                let pid = i32::try_from(pid).ok().and_then(Pid::from_raw);
                pid.map(|pid| kill_process(pid, Signal::KILL).ok());
            }
        }
        self.child.kill().ok();
        self.child.wait().ok();
        if let Some(state) = &self.state {
            fs::remove_dir_all(state).ok();
        }
    }
}

/// A port whose successor is free, too; below those that the kernel gives to connections, of which
/// there are tens of thousands here.
fn two_free_ports() -> Result<u16> {
    static NEXT: AtomicU16 = AtomicU16::new(20_000);
    let free = |port: u16| TcpListener::bind(("127.0.0.1", port)).is_ok();
    for _ in 0..5_000 {
        let port = NEXT.fetch_add(2, Ordering::Relaxed);
        if free(port) && free(port + 1) {
            return Ok(port);
        }
    }
    bail!("no two free ports in a row")
}

/// Binds this thread, and what it starts, to cores.
pub(crate) fn pin(cores: &[usize]) -> Result<()> {
    let mut set = CpuSet::new();
    for &core in cores {
        set.set(core);
    }
    sched_setaffinity(None, &set).context("two cores are needed")
}
