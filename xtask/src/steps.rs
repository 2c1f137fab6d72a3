//! The steps of `cargo xtask check`, cheap ones first, in the order in which they run.

use std::{
    fmt,
    fs::{self, File},
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use anyhow::{Context as _, Result, bail};

use crate::{counts, run};

/// Seconds per fuzz target.
const FUZZ_SECONDS: &str = "30";

/// One thing to check.
pub(crate) struct Step {
    pub(crate) name: &'static str,
    /// Whether `--quick` runs it too.
    pub(crate) quick: bool,
    /// Whether a failure makes the later ones pointless.
    pub(crate) others_need_it: bool,
    pub(crate) run: fn(&Path) -> Result<()>,
}

/// What became of a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    Passed,
    Failed,
    LeftOut,
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Passed => "passed",
            Self::Failed => "FAILED",
            Self::LeftOut => "left out",
        })
    }
}

/// Every step. Layering, tidiness and the agreement with `spec/` are ordinary tests.
pub(crate) const STEPS: &[Step] = &[
    Step {
        name: "format",
        quick: true,
        others_need_it: false,
        run: format,
    },
    Step {
        name: "javascript syntax",
        quick: true,
        others_need_it: false,
        run: javascript,
    },
    Step {
        name: "lint",
        quick: true,
        others_need_it: false,
        run: lint,
    },
    Step {
        name: "release build",
        quick: true,
        others_need_it: true,
        run: build,
    },
    Step {
        name: "tests",
        quick: true,
        others_need_it: false,
        run: tests,
    },
    Step {
        name: "behaviour over TLS",
        quick: false,
        others_need_it: false,
        run: behaviour_over_tls,
    },
    Step {
        name: "documentation",
        quick: false,
        others_need_it: false,
        run: documentation,
    },
    Step {
        name: "instruction counts",
        quick: false,
        others_need_it: false,
        run: |root| counts::counts(root, false),
    },
    Step {
        name: "typescript client",
        quick: false,
        others_need_it: false,
        run: typescript,
    },
    Step {
        name: "examples",
        quick: false,
        others_need_it: false,
        run: examples,
    },
    Step {
        name: "browser tests",
        quick: false,
        others_need_it: false,
        run: browser,
    },
    Step {
        name: "fuzzing",
        quick: false,
        others_need_it: false,
        run: fuzzing,
    },
];

/// Cargo, to be run at the root of the repository.
pub(crate) fn cargo(root: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new("cargo");
    command.current_dir(root).args(arguments);
    command
}

/// Where cargo puts what it builds.
pub(crate) fn target(root: &Path) -> PathBuf {
    match std::env::var_os("CARGO_TARGET_DIR") {
        Some(directory) => root.join(directory),
        None => root.join("target"),
    }
}

fn binary(root: &Path) -> PathBuf {
    target(root).join("release").join("bellwire")
}

fn format(root: &Path) -> Result<()> {
    run(&mut cargo(root, &["fmt", "--all", "--check"]))?;
    for apart in [
        "fuzz/Cargo.toml",
        "bench/peers/axum/Cargo.toml",
        "examples/axum/Cargo.toml",
    ] {
        run(&mut cargo(
            root,
            &["fmt", "--manifest-path", apart, "--check"],
        ))?;
    }
    Ok(())
}

fn lint(root: &Path) -> Result<()> {
    let arguments = [
        "clippy",
        "--workspace",
        "--all-targets",
        "--locked",
        "--",
        "--deny",
        "warnings",
    ];
    run(&mut cargo(root, &arguments))
}

fn build(root: &Path) -> Result<()> {
    run(&mut cargo(
        root,
        &["build", "--release", "--locked", "--package", "bellwire"],
    ))
}

/// Some tests measure, and run the binary as it is shipped.
fn tests(root: &Path) -> Result<()> {
    let binary = binary(root);
    run(
        cargo(root, &["test", "--workspace", "--locked", "--no-fail-fast"])
            .env("BELLWIRE_BIN", &binary)
            .env("BELLWIRE_BIN_RELEASE", &binary)
            // What the stopped reader misses; a debug build would need minutes for it.
            .env("BELLWIRE_TEST_VOLUME_MIB", "1024"),
    )
}

/// What holds on every transport, once more through an encrypted listener.
fn behaviour_over_tls(root: &Path) -> Result<()> {
    let only = ["behaviour::", "takeover::", "handshakes::", "malformed::"];
    let mut arguments = vec![
        "test",
        "--package",
        "bellwire",
        "--test",
        "it",
        "--locked",
        "--",
    ];
    arguments.extend(only);
    run(cargo(root, &arguments)
        .env("BELLWIRE_BIN", binary(root))
        .env("BELLWIRE_TEST_TLS", "1"))
}

fn documentation(root: &Path) -> Result<()> {
    run(cargo(
        root,
        &[
            "doc",
            "--workspace",
            "--no-deps",
            "--locked",
            "--document-private-items",
        ],
    )
    .env("RUSTDOCFLAGS", "--deny warnings"))
}

/// Parses every script that no build step reads.
fn javascript(root: &Path) -> Result<()> {
    for folder in [
        "crates/bellwire-server/pages",
        "tests/browser",
        "examples/express",
        "examples/tokens",
        "bench/peers",
        "bench/peers/node-sse",
        "bench/peers/node-ws",
        "bench/peers/pushpin",
    ] {
        let folder = root.join(folder);
        let listing = fs::read_dir(&folder).with_context(|| folder.display().to_string())?;
        for entry in listing {
            let path = entry?.path();
            let extension = path.extension().unwrap_or_default();
            if extension != "js" && extension != "mjs" {
                continue;
            }
            // From standard input, since only there a plain .js can be declared a module.
            let status = Command::new("node")
                .args(["--check", "--input-type=module", "-"])
                .stdin(Stdio::from(File::open(&path)?))
                .status()?;
            if !status.success() {
                bail!("{} does not parse", path.display());
            }
        }
    }
    Ok(())
}

/// Types, lint, bundle, sizes and tests, in Node, Deno, Bun, Chromium and Firefox.
fn typescript(root: &Path) -> Result<()> {
    npm(root, "clients/typescript", &["run", "check", "--silent"])
}

/// The backends of `examples/`, each installed, started and used; after the client, whose build it
/// drives them with.
fn examples(root: &Path) -> Result<()> {
    npm(
        root,
        "clients/typescript",
        &["run", "test:examples", "--silent"],
    )
}

fn browser(root: &Path) -> Result<()> {
    npm(root, "tests/browser", &["test", "--silent"])
}

/// Runs a script of a package, with what its lock file says, against the release build.
fn npm(root: &Path, folder: &str, script: &[&str]) -> Result<()> {
    let folder = root.join(folder);
    run(Command::new("npm")
        .current_dir(&folder)
        .args(["ci", "--no-audit", "--no-fund"]))?;
    run(Command::new("npm")
        .current_dir(&folder)
        .args(script)
        .env("BELLWIRE_BIN", binary(root)))
}

/// Fuzzes each target for a while; builds into a directory of its own.
fn fuzzing(root: &Path) -> Result<()> {
    let folder = root.join("fuzz/fuzz_targets");
    let mut targets: Vec<String> = fs::read_dir(&folder)?
        .map(|entry| {
            let path = entry?.path();
            let stem = path.file_stem().context("a target has a name")?;
            Ok(stem.to_string_lossy().into_owned())
        })
        .collect::<Result<_>>()?;
    targets.sort();
    for name in &targets {
        run(Command::new(root.join("fuzz/run.sh"))
            .args([name, FUZZ_SECONDS])
            .env_remove("CARGO_TARGET_DIR"))?;
    }
    Ok(())
}
