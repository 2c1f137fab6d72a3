//! `cargo xtask counts`: the instructions that the hot functions take, against a baseline that is
//! kept with the code.
//!
//! Builds the scenarios in `crates/bellwire-core/benches/counts` and runs each under callgrind,
//! which counts what happens inside of [`COUNTED`]. Knows nothing of what the scenarios do; what a
//! count means beside the baseline is in [`baseline`].

mod baseline;

use std::{
    ffi::OsString,
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use anyhow::{Context as _, Result, bail};
use serde_json::Value;

use self::baseline::{Baseline, Count, compare};
use crate::steps::{cargo, target};

/// The baseline's place in the repository.
const BASELINE: &str = "bench/instructions.json";
/// The function of the scenarios' program in which instructions count.
const COUNTED: &str = "counts::counted*";

/// A scenario as its program lists it.
struct Scenario {
    name: String,
    /// How many units are counted.
    units: u64,
    unit: String,
    function: String,
}

/// Counts, and compares with the baseline or replaces it.
///
/// # Errors
/// A count is more than 5 % above the baseline, or has none there; or something does not run.
pub(crate) fn counts(root: &Path, write: bool) -> Result<()> {
    let program = build(root)?;
    let profiles = target(root).join("counts");
    fs::create_dir_all(&profiles)?;
    let made_with = format!(
        "{}, {}",
        first_line("rustc", "--version")?,
        first_line("valgrind", "--version")?
    );
    let mut counted = Vec::new();
    for scenario in scenarios(&program)? {
        let profile = profiles.join(format!("{}.out", scenario.name));
        let all = run(&program, &scenario.name, &profile)?;
        let count = Count {
            each: (all + scenario.units / 2) / scenario.units,
            name: scenario.name,
            unit: scenario.unit,
            function: scenario.function,
        };
        println!("{count}");
        counted.push(count);
    }
    let path = root.join(BASELINE);
    if write {
        let text = Baseline::new(made_with, &counted).to_json()?;
        fs::write(&path, text).with_context(|| path.display().to_string())?;
        println!("{BASELINE} is written");
        return Ok(());
    }
    let text = fs::read_to_string(&path).with_context(|| path.display().to_string())?;
    let findings = compare(&Baseline::from_json(&text)?, &made_with, &counted);
    for line in &findings.notes {
        println!("{line}");
    }
    if findings.failures.is_empty() {
        return Ok(());
    }
    bail!(
        "{}\n`callgrind_annotate --inclusive=yes {}/NAME.out` shows where the instructions are",
        findings.failures.join("\n"),
        profiles.display()
    );
}

/// Builds the scenarios as a release is built, and returns the program.
fn build(root: &Path) -> Result<PathBuf> {
    let arguments = [
        "bench",
        "--package",
        "bellwire-core",
        "--bench",
        "counts",
        "--no-run",
        "--locked",
        "--message-format=json-render-diagnostics",
    ];
    let output = cargo(root, &arguments).stderr(Stdio::inherit()).output()?;
    if !output.status.success() {
        bail!("the scenarios do not build");
    }
    let messages = serde_json::Deserializer::from_slice(&output.stdout).into_iter::<Value>();
    for message in messages {
        let message = message?;
        if let Some(path) = message["executable"].as_str() {
            return Ok(path.into());
        }
    }
    bail!("cargo names no executable")
}

fn scenarios(program: &Path) -> Result<Vec<Scenario>> {
    let output = Command::new(program).output()?;
    let text = String::from_utf8(output.stdout)?;
    let scenario = |line: &str| {
        let mut fields = line.split('\t').map(str::to_owned);
        let mut field = || fields.next().context("a scenario has four fields");
        Ok(Scenario {
            name: field()?,
            units: field()?.parse()?,
            unit: field()?,
            function: field()?,
        })
    };
    text.lines().map(scenario).collect()
}

/// Runs a scenario and returns the instructions counted.
fn run(program: &Path, name: &str, profile: &Path) -> Result<u64> {
    let folder = program.parent().context("a program lies in a folder")?;
    let file = program.file_name().context("a program has a name")?;
    let mut out_file = OsString::from("--callgrind-out-file=");
    out_file.push(profile);
    let output = Command::new("valgrind")
        .args(["--tool=callgrind", "--quiet"])
        .arg(format!("--toggle-collect={COUNTED}"))
        .arg(out_file)
        // Path and environment lie on the stack: how long they are moves what lies behind them,
        // and copies between other addresses take other instructions.
        .current_dir(folder)
        .args([Path::new(".").join(file).as_os_str(), name.as_ref()])
        .env_clear()
        .env("PATH", "/usr/local/bin:/usr/bin:/bin")
        .output()
        .context("valgrind does not start; it is in the package valgrind")?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        bail!("{name} ended with {}\n{said}", output.status);
    }
    let text = fs::read_to_string(profile).with_context(|| profile.display().to_string())?;
    let total = text.lines().find_map(|line| line.strip_prefix("totals: "));
    let total = total.context("the profile has no totals")?.trim().parse()?;
    if total == 0 {
        bail!("{name}: callgrind found no function {COUNTED}");
    }
    Ok(total)
}

fn first_line(program: &str, argument: &str) -> Result<String> {
    let output = Command::new(program)
        .arg(argument)
        .output()
        .with_context(|| format!("{program} does not start"))?;
    let text = String::from_utf8(output.stdout)?;
    let line = text.lines().next().context("a program has a version")?;
    Ok(line.to_owned())
}
