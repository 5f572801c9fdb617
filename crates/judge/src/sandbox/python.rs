//! The interpreter: where it lives, and how a program is started in it.

use super::{Error, Program, process};
use std::{
    collections::BTreeSet,
    hash::{BuildHasher, Hasher, RandomState},
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

/// Runs `test.py` and proves that it came to its end.
const BOOT: &str = include_str!("boot.py");

/// Tries to leave the sandbox.
pub(super) const PROBE: &str = include_str!("probe.py");

/// Name of the variable that carries the proof.
pub(super) const TOKEN: &str = "RAMPART_TOKEN";

/// Name of the variable that limits processes once the program is in a user name space of its own.
pub(super) const PROCESSES: &str = "RAMPART_PROCESSES";

/// Name of the variable that asks for `chmod` and its like by descriptor.
pub(super) const BY_DESCRIPTOR: &str = "RAMPART_BY_DESCRIPTOR";

const QUESTION: &str = "import os, sys
for path in (sys.executable, os.path.realpath(sys.executable), sys.prefix, sys.exec_prefix, sys.base_prefix, \
sys.base_exec_prefix):
    print(os.path.realpath(path) if path != sys.executable else os.path.abspath(path))
print('%d.%d.%d' % sys.version_info[:3])";

/// A Python interpreter and the folders it needs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Interpreter {
    /// Program, absolute; a virtual environment's own link.
    pub program: PathBuf,
    /// Version, such as `3.11.7`.
    pub version: String,
    /// Folders it must read: its environment and the installation below it.
    pub folders: Vec<PathBuf>,
}

impl Interpreter {
    /// Asks an interpreter where it lives. Runs no code but ours, unconfined.
    ///
    /// # Errors
    /// [`Error::Python`] where it cannot be started, does not answer, or would open the whole disk.
    pub fn ask(python: &Path) -> Result<Self, Error> {
        let fail = |message: String| Error::Python { path: python.to_owned(), message };
        #[expect(clippy::disallowed_methods, reason = "this is the sandbox; the program is the user's own interpreter")]
        let mut command = Command::new(python);
        command.args(["-I", "-c", QUESTION]);
        let ended = process::supervise(command, Duration::from_secs(20), 64 << 10)
            .map_err(|e| fail(format!("cannot be started ({e}); give the path of Python 3.10 or later")))?;
        let text = String::from_utf8_lossy(&ended.output).into_owned();
        let lines: Vec<&str> = text.lines().collect();
        let (true, [program, real, prefixes @ .., version]) = (ended.status.success(), lines.as_slice()) else {
            return Err(fail(format!("does not answer: {}", text.trim())));
        };
        let mut folders: BTreeSet<PathBuf> = prefixes.iter().map(PathBuf::from).collect();
        // A virtual environment's link to the program stands in the environment; the program itself in its installation.
        folders.extend(Path::new(real).parent().map(Path::to_owned));
        if folders.iter().any(|f| f.parent().is_none() || !f.is_absolute()) {
            return Err(fail("is installed at the root of the disk, which programs may not read".to_owned()));
        }
        Ok(Self {
            program: PathBuf::from(program),
            version: (*version).to_owned(),
            folders: folders.into_iter().collect(),
        })
    }

    /// The arguments that run a program.
    pub(super) fn arguments(&self, program: &Program) -> Vec<&'static str> {
        // No user folder, no byte code; `-c` puts the current folder first on the path.
        let mut arguments = vec!["-s", "-B"];
        if !program.packages {
            arguments.push("-S");
        }
        arguments.extend(["-c", BOOT]);
        arguments
    }
}

/// Words that a program cannot guess.
#[derive(Debug)]
pub(super) struct Token {
    /// Printed before anything of the program's is read: without it Python never started.
    pub started: String,
    /// Printed when the test came to its end.
    pub finished: String,
}

impl Token {
    pub(super) fn new() -> Self {
        let word = || RandomState::new().build_hasher().finish();
        let made = || format!("\u{1}{:016x}{:016x}\u{1}", word(), word());
        Self { started: made(), finished: made() }
    }

    /// Form in the environment.
    pub(super) fn pair(&self) -> String {
        format!("{} {}", self.started, self.finished)
    }
}
