//! Every shell example of the README is run as it stands there, section by section, each with a
//! server of its own; only ports are replaced. Examples that start the server, or that go on
//! receiving, run until they have shown what they promise.
#![expect(
    clippy::unwrap_used,
    reason = "a test fails by panicking, its helpers too"
)]

use std::{
    fmt::Write as _,
    fs,
    net::{SocketAddr, TcpListener},
    os::unix::process::CommandExt,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use rustix::process::{Pid, Signal, kill_process_group};

/// The command that runs all tests, this one among them; it is compared with what CI runs.
const ALL_CHECKS: &str = "cargo xtask check --install";

/// What the examples that go on receiving must have shown in the end.
const SHOWN: [(&str, &str); 4] = [
    ("Bellwire", r#""data":{"goals":2}"#),
    ("Receiving", r#""data":{"goals":3}"#),
    ("Resuming, and gaps", r#""data":"second""#),
    (
        "From --dev to production in five lines",
        r#""data":"hello""#,
    ),
];

/// Fails on an HTTP error, where a person would see it.
const PRELUDE: &str = r#"set -euo pipefail
trap 'kill -9 $(jobs -p) 2>/dev/null' EXIT
curl() { command curl --silent --show-error --fail-with-body "$@"; }
# Waits for a condition; what was started last must not end meanwhile.
until_true() { until "$@"; do kill -0 $! || { cat shown.*; exit 1; }; sleep 0.05; done; }
answers() { command curl --silent --fail "http://127.0.0.1:$1/livez" > alive.txt 2>&1; }
subscribed() { command curl --silent "http://127.0.0.1:$1/v1/connections" | grep -q '"channels":."'; }
"#;

/// A part of the README between two headings.
struct Section {
    title: String,
    shell: Vec<String>,
    toml: String,
}

fn readme() -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../README.md");
    fs::read_to_string(path).unwrap()
}

fn sections() -> Vec<Section> {
    let mut sections: Vec<Section> = Vec::new();
    let (readme, mut language) = (readme(), None);
    for line in readme.lines() {
        if let Some(fence) = line.strip_prefix("```") {
            language = if language.is_some() {
                None
            } else {
                Some(fence)
            };
            continue;
        }
        if language.is_none() {
            if let Some(title) = line.strip_prefix("## ").or_else(|| line.strip_prefix("# ")) {
                let title = title.to_owned();
                sections.push(Section {
                    title,
                    shell: Vec::new(),
                    toml: String::new(),
                });
            }
            continue;
        }
        let section = sections.last_mut().expect("a page opens with its title");
        match language {
            Some("sh") => section.shell.push(line.to_owned()),
            Some("toml") => writeln!(section.toml, "{line}").unwrap(),
            _ => {}
        }
    }
    sections
}

impl Section {
    /// Whole commands: a line that ends in a backslash goes on.
    fn commands(&self) -> Vec<String> {
        let joined = self.shell.join("\n");
        let parts = joined.replace("\\\n", " ");
        let commands = parts
            .lines()
            .filter(|line| !line.is_empty() && *line != ALL_CHECKS);
        commands.map(str::to_owned).collect()
    }

    fn script(&self, ports: [u16; 2]) -> String {
        let [port, admin] = ports;
        let commands = self.commands();
        let mut script = PRELUDE.to_owned();
        let mut put = |line: &str| writeln!(script, "{line}").unwrap();
        if !commands.iter().any(|command| serves(command)) {
            put(&in_background(0, "bellwire serve --dev"));
            put(&format!("until_true answers {port}"));
        }
        for (nth, command) in commands.iter().enumerate() {
            let command = command
                .replace("cargo run --release -p bellwire --", "bellwire")
                .replace(":2355", &format!(":{port}"))
                .replace(":2356", &format!(":{admin}"));
            if serves(&command) {
                put(&in_background(nth + 1, &command));
                put(&format!("until_true answers {port}"));
            } else if goes_on(&command) {
                put(&in_background(nth + 1, &command));
                if command.contains("curl -N") {
                    put(&format!("until_true test -s shown.{}", nth + 1));
                } else {
                    // In a pipe the command is silent until the first message.
                    put(&format!("until_true subscribed {port}"));
                }
            } else {
                put(&command);
            }
        }
        for (_, text) in SHOWN.iter().filter(|(title, _)| *title == self.title) {
            put(&format!("until_true grep -qsF '{text}' shown.*"));
        }
        script
    }

    /// Runs all of it in a directory of its own.
    fn run(&self) {
        let ports = [free_port(), free_port()];
        let directory = self.directory();
        fs::write(directory.join("bellwire.toml"), &self.toml).unwrap();
        let script = self.script(ports);
        let mut command = Command::new("timeout");
        command
            .args([
                "--foreground",
                "--signal=KILL",
                "300",
                "bash",
                "-c",
                &script,
            ])
            .current_dir(&directory)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .process_group(0);
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with("BELLWIRE_") {
                command.env_remove(name);
            }
        }
        command
            .env("PATH", path())
            .env("BELLWIRE_LISTEN", format!("127.0.0.1:{}", ports[0]));
        command.env("BELLWIRE_URL", format!("http://127.0.0.1:{}", ports[0]));
        if self
            .commands()
            .iter()
            .any(|command| serves(command) && !command.contains("--dev"))
        {
            command.env("BELLWIRE_ADMIN_LISTEN", format!("127.0.0.1:{}", ports[1]));
        }
        let shell = command.spawn().unwrap();
        let group = Pid::from_child(&shell);
        let output = shell.wait_with_output().unwrap();
        // What the examples left running must not outlive them; there may be nothing.
        kill_process_group(group, Signal::KILL).ok();
        let (said, complained) = (
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr),
        );
        let title = &self.title;
        assert!(
            output.status.success(),
            "{title}: {}\n{script}\n{said}\n{complained}",
            output.status
        );
        fs::remove_dir_all(directory).unwrap();
    }

    fn directory(&self) -> PathBuf {
        let name: String = self
            .title
            .chars()
            .filter(char::is_ascii_alphanumeric)
            .collect();
        let directory = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("readme-{name}"));
        if directory.exists() {
            fs::remove_dir_all(&directory).unwrap();
        }
        fs::create_dir_all(&directory).unwrap();
        directory
    }
}

fn serves(command: &str) -> bool {
    command.contains(" serve") && !command.contains("--help")
}

fn goes_on(command: &str) -> bool {
    command.contains("curl -N") || (command.contains("bellwire sub ") && !command.contains(" -n "))
}

fn in_background(nth: usize, command: &str) -> String {
    format!("{{ {command}\n}} > shown.{nth} 2>&1 &")
}

/// The directory of the binary under test first.
fn path() -> String {
    let binary = Path::new(env!("CARGO_BIN_EXE_bellwire"));
    let folder = binary.parent().unwrap().display();
    format!("{folder}:{}", std::env::var("PATH").unwrap())
}

fn free_port() -> u16 {
    let listener = TcpListener::bind(SocketAddr::from(([127, 0, 0, 1], 0))).unwrap();
    listener.local_addr().unwrap().port()
}

#[test]
fn every_shell_example_of_the_readme_runs() {
    let sections = sections();
    let with_examples: Vec<&Section> = sections
        .iter()
        .filter(|section| !section.commands().is_empty())
        .collect();
    let commands: usize = with_examples
        .iter()
        .map(|section| section.commands().len())
        .sum();
    assert!(commands > 30, "only {commands} examples were found");
    for (title, _) in SHOWN {
        assert!(
            with_examples.iter().any(|section| section.title == title),
            "no section {title}"
        );
    }
    for section in with_examples {
        section.run();
    }
}

#[test]
fn the_first_screen_starts_the_server_and_runs_the_tests() {
    let first = &sections()[0].shell;
    assert_eq!(first[0], "cargo run --release -p bellwire -- serve --dev");
    assert!(first.iter().any(|line| line == ALL_CHECKS));
}
