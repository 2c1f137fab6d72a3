//! What the checks need of the machine. A missing tool is a failure that names its package, never
//! a skipped check; with `--install` it is installed.

use std::{
    path::Path,
    process::{Command, Stdio},
};

use anyhow::{Context as _, Result, bail};

use crate::{Options, run};

/// The fuzzer's version, which `fuzz/run.sh` pins as well; a test compares the two.
pub(crate) const CARGO_FUZZ: &str = "0.13.2";

/// The last CPython under which the Autobahn suite runs; `pyenv` builds it where it is missing.
const AUTOBAHN_PYTHON: &str = "2.7.18";

/// A program, how to see that it is there and good, and what brings it on Debian.
struct Tool {
    probe: &'static [&'static str],
    packages: &'static [&'static str],
    quick: bool,
}

const TOOLS: &[Tool] = &[
    tool(&["cc", "--version"], &["gcc", "libc6-dev"]),
    tool(&["curl", "--version"], &["curl", "ca-certificates"]),
    tool(
        &["python3", "-c", "import venv, ensurepip"],
        &["python3", "python3-venv"],
    ),
    tool(
        &["ruby", "-r", "base64", "-r", "openssl", "-e", "0"],
        &["ruby"],
    ),
    tool(&["php", "--version"], &["php-cli"]),
    tool(&["node", "--version"], &["nodejs"]),
    tool(&["h2load", "--version"], &["nghttp2-client"]),
    tool(&["openssl", "version"], &["openssl"]),
    tool(&["ps", "--version"], &["procps"]),
    Tool {
        quick: false,
        ..tool(&["npm", "--version"], &["npm"])
    },
    tool(&["/usr/sbin/nginx", "-v"], &["nginx-light"]),
    tool(&["/usr/sbin/haproxy", "-v"], &["haproxy"]),
    tool(&["test", "-x", "/usr/bin/slowhttptest"], &["slowhttptest"]),
    Tool {
        quick: false,
        ..tool(&["c++", "--version"], &["g++"])
    },
    Tool {
        quick: false,
        ..tool(&["valgrind", "--version"], &["valgrind"])
    },
    Tool {
        quick: false,
        ..tool(
            &["/usr/bin/chromium", "--version"],
            &["chromium", "fonts-dejavu-core"],
        )
    },
    Tool {
        quick: false,
        ..tool(&["/usr/bin/firefox-esr", "--version"], &["firefox-esr"])
    },
];

const fn tool(probe: &'static [&'static str], packages: &'static [&'static str]) -> Tool {
    Tool {
        probe,
        packages,
        quick: true,
    }
}

/// Checks that all is there, or sees to it.
///
/// # Errors
/// Something is missing and was not to be, or could not be, installed.
pub(crate) fn satisfy(root: &Path, options: Options) -> Result<()> {
    packages(options)?;
    rust_component("fmt", "rustfmt", options)?;
    rust_component("clippy", "clippy", options)?;
    autobahn_python(options)?;
    if options.quick {
        return Ok(());
    }
    cargo_fuzz(root, options)
}

fn packages(options: Options) -> Result<()> {
    let missing = || {
        let wanted = TOOLS.iter().filter(|tool| tool.quick || !options.quick);
        let absent = wanted.filter(|tool| !works(tool.probe));
        absent
            .flat_map(|tool| tool.packages)
            .copied()
            .collect::<Vec<&str>>()
    };
    let absent = missing();
    if absent.is_empty() {
        return Ok(());
    }
    let names = absent.join(" ");
    if !options.install {
        bail!("missing: {names}; run `apt-get install {names}`, or this command with --install");
    }
    let apt = |arguments: &[&str]| {
        let mut command = Command::new("apt-get");
        command
            .args(arguments)
            .env("DEBIAN_FRONTEND", "noninteractive");
        run(&mut command).context("installing Debian packages needs Debian, and root")
    };
    apt(&["update", "--quiet"])?;
    let mut install = vec!["install", "--yes", "--quiet", "--no-install-recommends"];
    install.extend(&absent);
    apt(&install)?;
    let absent = missing();
    if absent.is_empty() {
        return Ok(());
    }
    bail!(
        "still missing after their installation: {}",
        absent.join(" ")
    )
}

fn rust_component(subcommand: &str, name: &str, options: Options) -> Result<()> {
    if works(&["cargo", subcommand, "--version"]) {
        return Ok(());
    }
    if !options.install {
        bail!("missing: {name}; run `rustup component add {name}`");
    }
    run(Command::new("rustup").args(["component", "add", name]))
}

fn autobahn_python(options: Options) -> Result<()> {
    if works(&["pyenv", "prefix", AUTOBAHN_PYTHON]) || works(&["python2.7", "--version"]) {
        return Ok(());
    }
    if !options.install {
        bail!("missing: CPython 2.7 for the Autobahn suite; run `pyenv install {AUTOBAHN_PYTHON}`");
    }
    run(Command::new("pyenv").args(["install", "--skip-existing", AUTOBAHN_PYTHON])).context(
        "CPython 2.7 for the Autobahn suite needs pyenv (https://github.com/pyenv/pyenv), \
         which builds it, and the headers of zlib and OpenSSL (zlib1g-dev, libssl-dev)",
    )
}

fn cargo_fuzz(root: &Path, options: Options) -> Result<()> {
    let output = Command::new("cargo")
        .current_dir(root)
        .args(["fuzz", "--version"])
        .output()?;
    if output.stdout.trim_ascii() == format!("cargo-fuzz {CARGO_FUZZ}").as_bytes() {
        return Ok(());
    }
    let arguments = [
        "install",
        "cargo-fuzz",
        "--version",
        CARGO_FUZZ,
        "--locked",
        "--force",
    ];
    if !options.install {
        bail!(
            "missing: cargo-fuzz {CARGO_FUZZ}; run `cargo {}`",
            arguments.join(" ")
        );
    }
    run(Command::new("cargo").current_dir(root).args(arguments))
}

fn works(probe: &[&str]) -> bool {
    let (program, arguments) = probe.split_first().expect("a probe names its program");
    let status = Command::new(program)
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
    status.is_ok_and(|status| status.success())
}
