//! `cargo xtask check`: checks everything, with one command. People and CI run the same.
//!
//! The steps are in [`steps`], what they need of the machine in [`needs`]; [`counts`] and
//! [`autobahn`] are commands of their own, too. Knows nothing of the project beyond paths; what must hold of the tree itself is
//! in the tests beside.
#![expect(
    clippy::print_stdout,
    reason = "a command whose output is for people and CI logs"
)]

mod autobahn;
mod counts;
mod needs;
mod steps;

use std::{
    path::{Path, PathBuf},
    process::{Command, ExitCode},
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail};

use self::steps::{Outcome, STEPS};

const USAGE: &str = "\
cargo xtask check [--install] [--quick]
cargo xtask counts [--write]
cargo xtask autobahn [INDEX]

check: everything
  --install   install what the tests need and is missing: Debian packages by apt-get (as root),
              cargo-fuzz, the browser tests' packages
  --quick     leave out documentation, instruction counts, browser tests and fuzzing

counts: the instructions of the hot functions, against bench/instructions.json
  --write     write the counts into that file instead

autobahn: every case of the Autobahn suite against the release build, for docs/autobahn.md; with
the index.json of such a run, only the page";

/// What was asked for.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Options {
    install: bool,
    quick: bool,
}

fn main() -> ExitCode {
    match run_command() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            println!("\nxtask: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run_command() -> Result<()> {
    let mut arguments = std::env::args().skip(1);
    let command = arguments.next();
    let rest: Vec<String> = arguments.collect();
    match command.as_deref() {
        Some("check") => check(&repository(), read_options(&rest)?),
        Some("counts") if rest.is_empty() => counts::counts(&repository(), false),
        Some("counts") if rest == ["--write"] => counts::counts(&repository(), true),
        Some("autobahn") if rest.len() <= 1 => {
            autobahn::autobahn(&repository(), rest.first().map(String::as_str))
        }
        _ => bail!("say what to do\n\n{USAGE}"),
    }
}

fn read_options(arguments: &[String]) -> Result<Options> {
    let mut options = Options::default();
    for argument in arguments {
        match argument.as_str() {
            "--install" => options.install = true,
            "--quick" => options.quick = true,
            _ => bail!("{argument} is not known\n\n{USAGE}"),
        }
    }
    Ok(options)
}

/// The root of the repository, from wherever the command was called.
fn repository() -> PathBuf {
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR"));
    manifest
        .parent()
        .expect("xtask lies in the repository")
        .to_owned()
}

/// Runs every step, so that one failure does not hide the next, and prints what each took. A step
/// that others build on ends the run.
fn check(root: &Path, options: Options) -> Result<()> {
    let start = Instant::now();
    let mut table = Vec::new();
    let mut record = |name, outcome, took| table.push((name, outcome, took));
    println!("== what the steps need");
    needs::satisfy(root, options).context("the machine lacks something")?;
    record("needs", Outcome::Passed, start.elapsed());
    for step in STEPS {
        if options.quick && !step.quick {
            record(step.name, Outcome::LeftOut, Duration::ZERO);
            continue;
        }
        println!("\n== {}", step.name);
        let begun = Instant::now();
        let result = (step.run)(root);
        let took = begun.elapsed();
        match result {
            Ok(()) => {
                println!("== {} passed in {}", step.name, seconds(took));
                record(step.name, Outcome::Passed, took);
            }
            Err(error) => {
                println!("== {} FAILED in {}: {error:#}", step.name, seconds(took));
                record(step.name, Outcome::Failed, took);
                if step.others_need_it {
                    break;
                }
            }
        }
    }
    println!();
    for (name, outcome, took) in &table {
        println!("{outcome:<9} {:>8}  {name}", seconds(*took));
    }
    println!("{:<9} {:>8}  all", "", seconds(start.elapsed()));
    let failed: Vec<&str> = table
        .iter()
        .filter(|row| row.1 == Outcome::Failed)
        .map(|row| row.0)
        .collect();
    if failed.is_empty() {
        return Ok(());
    }
    bail!("failed: {}", failed.join(", "));
}

fn seconds(took: Duration) -> String {
    format!("{:.1} s", took.as_secs_f64())
}

/// Runs a command with its output in view.
///
/// # Errors
/// It does not start, or ends with another status than 0.
pub(crate) fn run(command: &mut Command) -> Result<()> {
    let shown = format!("{command:?}").replace('"', "");
    println!("$ {shown}");
    let status = command
        .status()
        .with_context(|| format!("{shown} does not start"))?;
    if !status.success() {
        bail!("{shown} ended with {status}");
    }
    Ok(())
}
