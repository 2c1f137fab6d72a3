//! Python environments for programs that nobody here wrote: made once, from pinned requirements,
//! kept beside the build. Where an interpreter is missing the test fails and says what to install.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    sync::{Mutex, PoisonError},
};

/// The directory of builds.
fn target() -> &'static Path {
    let tmp = Path::new(env!("CARGO_TARGET_TMPDIR"));
    tmp.parent().expect("it lies in the target directory")
}

/// A file of `tests/external`.
pub(super) fn external(name: &str) -> PathBuf {
    let root = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/external");
    Path::new(root).join(name)
}

/// An environment in the target directory: made by `make` where it is not there yet, or was made
/// from other requirements. It is made once, however many tests want it at the same time.
pub(super) fn environment(
    name: &str,
    requirements: &[&str],
    make: impl FnOnce(&Path, &[PathBuf]),
) -> PathBuf {
    static TURN: Mutex<()> = Mutex::new(());
    // What a test that failed has left half made has no stamp.
    let _turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    let home = target().join(name);
    let files: Vec<PathBuf> = requirements.iter().map(|file| external(file)).collect();
    let read = |file| fs::read_to_string(file).expect("requirements are in tests/external");
    let wanted: String = files.iter().map(read).collect();
    let stamp = home.join("made-from.txt");
    if fs::read_to_string(&stamp).ok().as_deref() != Some(wanted.as_str()) {
        if home.exists() {
            fs::remove_dir_all(&home).expect("an old environment can be removed");
        }
        fs::create_dir_all(&home).expect("the target directory can be written");
        make(&home, &files);
        fs::write(&stamp, wanted).expect("the target directory can be written");
    }
    home
}

/// An environment of the Python that is installed, with these requirements.
pub(super) fn python(name: &str, requirements: &'static str) -> PathBuf {
    environment(name, &[requirements], |home, requirements| {
        must(Command::new("python3").args(["-m", "venv"]).arg(home));
        let mut pip = Command::new(home.join("bin/pip"));
        pip.args([
            "install",
            "--quiet",
            "--disable-pip-version-check",
            "--require-virtualenv",
        ]);
        must(pip.arg("--requirement").arg(&requirements[0]));
    })
}

/// Runs a command to its end and gives what it printed.
pub(super) fn must(command: &mut Command) -> String {
    let output = command.output();
    let output = output.unwrap_or_else(|error| panic!("{command:?} does not start: {error}"));
    let printed = String::from_utf8_lossy(&output.stdout).into_owned();
    let complaint = String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.success(),
        "{command:?}:\n{printed}\n{complaint}"
    );
    printed
}

/// Whether a program starts.
pub(super) fn starts(program: &Path) -> bool {
    let run = Command::new(program).arg("--version").output();
    run.is_ok_and(|output| output.status.success())
}
