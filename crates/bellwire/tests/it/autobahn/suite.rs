//! The suite's environment, which is CPython 2.7, and its two modes.

use std::{
    fs,
    net::{Ipv4Addr, TcpListener, TcpStream},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

use bellwire_testkit::wait;
use serde_json::{Value, json};

use crate::python::{environment, must, starts};

/// The suite runs under no other Python.
const PYTHON: &str = "2.7.18";
const REQUIREMENTS: [&str; 3] = [
    "autobahn/1-build-tools.txt",
    "autobahn/2-libraries.txt",
    "autobahn/3-suite.txt",
];
/// Who is tested, in reports.
pub(super) const AGENT: &str = "bellwire";

/// Runs cases against the WebSocket at an HTTP URL that echoes; gives the report's index.
pub(super) fn test_server(name: &str, url: &str, cases: &[&str]) -> PathBuf {
    let run = Run::new(name, cases, |specification| {
        let url = url.replacen("http", "ws", 1);
        specification["servers"] = json!([{"agent": AGENT, "url": url}]);
    });
    must(&mut run.command("fuzzingclient"));
    run.index
}

/// Lets `client` run cases against the suite's server, whose URL it is given; gives the report's
/// index.
pub(super) fn test_client(name: &str, cases: &[&str], client: impl FnOnce(&str)) -> PathBuf {
    let free = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
    let address = free.local_addr().expect("a bound socket has an address");
    drop(free);
    let run = Run::new(name, cases, |specification| {
        specification["url"] = json!(format!("ws://{address}"));
    });
    let mut command = run.command("fuzzingserver");
    command
        .args(["--webport", "0"])
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    let _server = Ends(command.spawn().expect("the suite starts"));
    wait::until("the suite's server listens", || {
        TcpStream::connect(address).is_ok()
    });
    client(&format!("http://{address}"));
    run.index
}

/// One run of the suite, with a directory of its own.
struct Run {
    home: PathBuf,
    specification: PathBuf,
    index: PathBuf,
}

impl Run {
    fn new(name: &str, cases: &[&str], complete: impl FnOnce(&mut Value)) -> Self {
        let home = environment("autobahn", &REQUIREMENTS, install);
        let reports = home.join("reports").join(name);
        let mut specification = json!({
            "options": {"failByDrop": false},
            "outdir": reports,
            "cases": cases,
            "exclude-cases": [],
            "exclude-agent-cases": {},
        });
        complete(&mut specification);
        let run = Self {
            specification: home.join(format!("{name}.json")),
            index: reports.join("index.json"),
            home,
        };
        let written = fs::write(&run.specification, specification.to_string());
        written.expect("the target directory can be written");
        if run.index.exists() {
            fs::remove_file(&run.index).expect("an old report can be removed");
        }
        run
    }

    fn command(&self, mode: &str) -> Command {
        let mut suite = Command::new(self.home.join("py27/bin/wstest"));
        suite
            .args(["--mode", mode, "--spec"])
            .arg(&self.specification);
        suite
    }
}

/// A process that ends with its owner.
struct Ends(Child);

impl Drop for Ends {
    fn drop(&mut self) {
        // It may have ended by itself.
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

/// Builds the suite's environment. The order matters: its libraries are built by the build tools
/// installed before them, because newer ones fetch what Python 2.7 can't read.
fn install(home: &Path, requirements: &[PathBuf]) {
    let python = python27();
    let tools = home.join("virtualenv");
    let mut pip = Command::new(&python);
    pip.args([
        "-m",
        "pip",
        "install",
        "--quiet",
        "virtualenv<20.22",
        "--target",
    ]);
    must(pip.arg(&tools));
    let mut virtualenv = Command::new(&python);
    virtualenv
        .args(["-m", "virtualenv", "--quiet"])
        .env("PYTHONPATH", &tools);
    must(virtualenv.arg(home.join("py27")));
    let options: [&[&str]; 3] = [
        &[],
        &["--no-build-isolation"],
        &["--no-build-isolation", "--no-deps"],
    ];
    for (requirements, options) in requirements.iter().zip(options) {
        let mut pip = Command::new(home.join("py27/bin/pip"));
        pip.args(["install", "--quiet"]).args(options);
        must(pip.arg("--requirement").arg(requirements));
    }
}

fn python27() -> PathBuf {
    let pyenv = Command::new("pyenv").args(["prefix", PYTHON]).output();
    let prefix = pyenv.ok().filter(|output| output.status.success());
    let found = prefix.map_or_else(
        || PathBuf::from("python2.7"),
        |output| Path::new(String::from_utf8_lossy(&output.stdout).trim()).join("bin/python2.7"),
    );
    // It writes its version to standard error, but writes it.
    assert!(
        starts(&found),
        "CPython 2.7 is missing, which the Autobahn test suite needs: pyenv install {PYTHON}"
    );
    found
}
