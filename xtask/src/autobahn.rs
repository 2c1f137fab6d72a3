//! `cargo xtask autobahn`: the whole Autobahn test suite against the release build, and its report
//! for the documentation. Takes about a quarter of an hour; `cargo test` runs a part of it, and
//! makes the suite's environment. Knows nothing of what the cases do.

use std::{
    collections::BTreeMap,
    fmt::Write as _,
    fs,
    net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream},
    path::Path,
    process::{Child, Command, Stdio},
    thread,
    time::Duration,
};

use anyhow::{Context as _, Result, bail};
use serde::Deserialize;
use serde_json::json;

use crate::{
    run,
    steps::{cargo, target},
};

const PAGE: &str = "docs/autobahn.md";
const INDEX: &str = "docs/autobahn/index.json";
/// Who is tested, in the suite's reports.
const AGENT: &str = "bellwire";
const SECTIONS: [(&str, &str); 11] = [
    ("1", "framing"),
    ("2", "pings and pongs"),
    ("3", "reserved bits"),
    ("4", "opcodes"),
    ("5", "fragmentation"),
    ("6", "UTF-8"),
    ("7", "close handshake"),
    ("9", "limits and performance"),
    ("10", "automatic fragmentation"),
    ("12", "permessage-deflate"),
    ("13", "permessage-deflate, parameters"),
];
const FLAGS: [&str; 3] = ["--dev", "--websocket-compression", "shared"];

/// What became of a case.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Case {
    behavior: String,
    behavior_close: String,
    remote_close_code: Option<u16>,
}

/// Runs the suite, or takes the index that a run left, and writes the report.
///
/// # Errors
/// Something does not run, or a case has failed; the report is written all the same.
pub(crate) fn autobahn(root: &Path, index: Option<&str>) -> Result<()> {
    let text = match index {
        Some(index) => fs::read_to_string(index).with_context(|| index.to_owned())?,
        None => run_suite(root)?,
    };
    let mut agents: BTreeMap<String, BTreeMap<String, Case>> = serde_json::from_str(&text)?;
    let cases = agents
        .remove(AGENT)
        .context("the report has another agent")?;
    fs::create_dir_all(root.join("docs/autobahn"))?;
    fs::write(root.join(INDEX), compact(&cases)?)?;
    fs::write(root.join(PAGE), page(&cases)?)?;
    println!("{PAGE} and {INDEX} are written");
    let failed: Vec<&str> = cases
        .iter()
        .filter(|(_, case)| !matches!(case.behavior.as_str(), "OK" | "INFORMATIONAL"))
        .map(|(name, _)| name.as_str())
        .collect();
    if failed.is_empty() {
        return Ok(());
    }
    bail!("not OK: {}", failed.join(", "))
}

/// All cases against a server of the release build; gives the text of the report's index.
fn run_suite(root: &Path) -> Result<String> {
    run(&mut cargo(
        root,
        &["build", "--release", "--package", "bellwire"],
    ))?;
    let home = target(root).join("autobahn");
    let suite = home.join("py27/bin/wstest");
    if !suite.exists() {
        bail!("the suite is missing; `cargo test -p bellwire --test it autobahn` makes it");
    }
    let free = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    let address = free.local_addr()?;
    drop(free);
    let mut server = Command::new(target(root).join("release/bellwire"));
    server
        .arg("serve")
        .args(FLAGS)
        .args(["--listen", &address.to_string()]);
    server.stdout(Stdio::null()).stderr(Stdio::null());
    let _server = Ends(server.spawn()?);
    await_listener(address)?;
    let reports = home.join("reports/all");
    let specification = home.join("all.json");
    let content = json!({
        "options": {"failByDrop": false},
        "outdir": reports,
        "servers": [{"agent": AGENT, "url": format!("ws://{address}/v1/echo")}],
        "cases": ["*"],
        "exclude-cases": [],
        "exclude-agent-cases": {},
    });
    fs::write(&specification, content.to_string())?;
    run(Command::new(suite)
        .args(["--mode", "fuzzingclient", "--spec"])
        .arg(&specification))?;
    Ok(fs::read_to_string(reports.join("index.json"))?)
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

fn await_listener(address: SocketAddr) -> Result<()> {
    for _ in 0..100 {
        if TcpStream::connect(address).is_ok() {
            return Ok(());
        }
        thread::sleep(Duration::from_millis(50));
    }
    bail!("nobody listens on {address}")
}

/// The index, a line for each case in the order of their numbers.
fn compact(cases: &BTreeMap<String, Case>) -> Result<String> {
    let mut names: Vec<&String> = cases.keys().collect();
    names.sort_by_key(|name| numbers(name));
    let mut lines = Vec::new();
    for name in names {
        let case = &cases[name];
        let content = json!({
            "behavior": case.behavior,
            "behaviorClose": case.behavior_close,
            "remoteCloseCode": case.remote_close_code,
        });
        lines.push(format!("{}: {content}", serde_json::to_string(name)?));
    }
    Ok(format!("{{\"{AGENT}\": {{\n{}\n}}}}\n", lines.join(",\n")))
}

fn numbers(name: &str) -> Vec<u32> {
    name.split('.')
        .filter_map(|part| part.parse().ok())
        .collect()
}

fn page(cases: &BTreeMap<String, Case>) -> Result<String> {
    let mut page = format!(
        "# The Autobahn test suite\n\n\
         `cargo xtask autobahn` runs all cases of `autobahntestsuite` 25.10.1 (fuzzingclient) against\n\
         `/v1/echo` of the release build and writes this page; each case is in\n\
         [autobahn/index.json](autobahn/index.json). The tests run sections 1 to 7, 9 and 10 and a case of\n\
         each set of parameters of 12 and 13, for the server and, as fuzzingserver, for the Rust client;\n\
         and a server that overlooks bad text, which has to fail. All cases for the Rust client are run\n\
         by `BELLWIRE_AUTOBAHN=all cargo test --release -p bellwire --test it autobahn::the_rust_client`;\n\
         of 517, on 26 November 2026, 514 were OK and the same three informational.\n\n\
         Bellwire {} as of {}, {} cases: `bellwire serve {}`.\n\n\
         | section | cases | OK | non-strict | informational | unimplemented | failed |\n\
         |---|---|---|---|---|---|---|\n",
        env!("CARGO_PKG_VERSION"),
        today()?,
        cases.len(),
        FLAGS.join(" "),
    );
    let all = SECTIONS.iter().map(|(number, what)| (Some(*number), *what));
    for (number, what) in all.chain([(None, "all")]) {
        let chosen: Vec<&str> = cases
            .iter()
            .filter(|(name, _)| number.is_none() || name.split('.').next() == number)
            .map(|(_, case)| case.behavior.as_str())
            .collect();
        let count = |behavior| chosen.iter().filter(|known| **known == behavior).count();
        let named = ["OK", "NON-STRICT", "INFORMATIONAL", "UNIMPLEMENTED"].map(count);
        let [ok, loose, informational, unimplemented] = named;
        let failed = chosen.len() - named.iter().sum::<usize>();
        writeln!(
            page,
            "| {} {what} | {} | {ok} | {loose} | {informational} | {unimplemented} | {failed} |",
            number.unwrap_or_default(),
            chosen.len(),
        )?;
    }
    page.push_str(
        "\nThe suite never judges its three informational cases: 7.1.6, 7.13.1 and 7.13.2.\n",
    );
    Ok(page)
}

/// The day on which the report is written.
fn today() -> Result<String> {
    let output = Command::new("date").args(["-u", "+%F"]).output()?;
    Ok(String::from_utf8(output.stdout)?.trim().to_owned())
}
