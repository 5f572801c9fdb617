//! A program nobody trusts comes in; how it ended goes out.
//!
//! 1. [`python`] finds out what the interpreter must be able to read.
//! 2. A back end confines it: [`launcher`] (Landlock, [`seccomp`], resource limits, a network of its own) or
//!    [`bubblewrap`].
//! 3. [`process`] feeds, times and kills it, and reads what it prints.
//!
//! What a program has: its own empty folder, which is the current one, `$HOME` and `$TMPDIR`; the interpreter, its
//! packages and the system's libraries, to read; loopback where the kernel grants a private network, else no network. What it
//! has not: other files, other processes, this process's environment, descriptors or terminal, any way to outlive its run.
//!
//! Invariants: nothing runs unconfined; [`Sandbox::detect`] lets a probe try to break out before it says that a back end
//! works. Nothing needs root; under root the launcher first becomes an ordinary user. A run passes only when `test.py`
//! ran to its end: `exit(0)` in the code under test is a failure.
//!
//! Limits of the launcher: a path's existence can be asked (`stat`), memory is limited a process and not a run, and before
//! Linux 6.12 a program's children cannot signal each other.

mod bubblewrap;
mod launcher;
pub(crate) mod process;
mod python;
mod seccomp;

use lexicon::TestOutcome;
use process::Ended;
use python::Token;
use std::{
    fs, io,
    net::TcpListener,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

pub use python::Interpreter;

/// What one run may use. The wall-clock limit is the program's own ([`Program::wall`]).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Address space of each process, in bytes.
    pub memory: u64,
    /// Largest file, in bytes.
    pub file: u64,
    /// Processes and threads at a time.
    pub processes: u64,
    /// Open files.
    pub files: u64,
    /// Last bytes of what it prints that are kept.
    pub output: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { memory: 1 << 30, file: 16 << 20, processes: 64, files: 256, output: 64 << 10 }
    }
}

/// A program to run: the code under test and the script that tests or attacks it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Program<'a> {
    /// Contents of `solution.py`.
    pub solution: &'a str,
    /// Contents of `test.py`, which runs as `__main__`.
    pub script: &'a str,
    /// Whether installed packages can be imported; without them Python starts faster.
    pub packages: bool,
    /// Wall-clock limit.
    pub wall: Duration,
}

/// Which back end confines programs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Backend {
    /// The `bwrap` program: name spaces of its own for files, processes and network.
    Bubblewrap,
    /// Our own launcher: Landlock, seccomp and resource limits.
    Launcher,
}

impl Backend {
    /// Every back end.
    pub const ALL: &[Self] = &[Self::Bubblewrap, Self::Launcher];

    /// Name for a person.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Bubblewrap => "bubblewrap",
            Self::Launcher => "landlock+seccomp",
        }
    }
}

/// A program cannot be run.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// This machine offers no way to confine a program, so none is run.
    #[error(
        "no sandbox, so generated code is not run ({}): install bubblewrap (apt-get install bubblewrap), or use Linux 5.13 \
         or later with Landlock enabled",
        .0.join("; ")
    )]
    Unavailable(Vec<String>),
    /// The interpreter cannot be used.
    #[error("python interpreter {path}: {message}", path = path.display())]
    Python {
        /// As given.
        path: PathBuf,
        /// What is wrong with it.
        message: String,
    },
    /// The system refused a step, such as a full disk.
    #[error("sandbox cannot {step}: {source}")]
    Step {
        /// What was tried.
        step: &'static str,
        /// What the system said.
        source: io::Error,
    },
}

/// Turns a system error into one that says what was tried.
pub(crate) fn step(step: &'static str) -> impl FnOnce(io::Error) -> Error {
    move |source| Error::Step { step, source }
}

#[derive(Debug)]
enum Confinement {
    Bubblewrap(bubblewrap::Bubblewrap),
    Launcher(launcher::Launcher),
}

/// Runs programs that nobody trusts. Shared between threads; each run has a folder of its own.
#[derive(Debug)]
pub struct Sandbox {
    interpreter: Interpreter,
    confinement: Confinement,
}

impl Sandbox {
    /// Finds a back end that works here: as root the launcher, which can become an ordinary user and so bounds the number
    /// of processes; otherwise bubblewrap where it is in one of the usual folders, then the launcher.
    ///
    /// # Errors
    /// [`Error::Python`] where `python` is no interpreter; [`Error::Unavailable`] with the reason of every back end.
    pub fn detect(python: &Path) -> Result<Self, Error> {
        let order = if rustix::process::geteuid().is_root() {
            [Backend::Launcher, Backend::Bubblewrap]
        } else {
            [Backend::Bubblewrap, Backend::Launcher]
        };
        let mut reasons = Vec::new();
        for backend in order {
            match Self::with(backend, python, Limits::default()) {
                Err(Error::Unavailable(why)) => reasons.extend(why),
                other => return other,
            }
        }
        Err(Error::Unavailable(reasons))
    }

    /// Uses one back end, with limits of the caller's choice.
    ///
    /// # Errors
    /// As [`Self::detect`].
    pub fn with(backend: Backend, python: &Path, limits: Limits) -> Result<Self, Error> {
        let interpreter = Interpreter::ask(python)?;
        let confinement = match backend {
            Backend::Bubblewrap => Confinement::Bubblewrap(bubblewrap::Bubblewrap::find(&interpreter, limits)?),
            Backend::Launcher => Confinement::Launcher(launcher::Launcher::find(&interpreter, limits)?),
        };
        let mut sandbox = Self { interpreter, confinement };
        sandbox.settle(backend)?;
        Ok(sandbox)
    }

    /// Tries the strongest form first, and believes none that the probe can leave.
    fn settle(&mut self, backend: Backend) -> Result<(), Error> {
        // Something to knock at and something to read: an empty machine would prove nothing.
        let door = TcpListener::bind(("127.0.0.1", 0)).ok();
        let port = door.as_ref().and_then(|d| d.local_addr().ok()).map_or(9, |a| a.port());
        let secret = tempfile::Builder::new().prefix("rampart-").tempfile().map_err(step("make a file"))?;
        // In a process name space of its own our number may be another's.
        let parent = if backend == Backend::Launcher { std::process::id() } else { 0 };
        let script = python::PROBE
            .replace("@PORT@", &port.to_string())
            .replace("@PARENT@", &parent.to_string())
            .replace("@SECRET@", &secret.path().display().to_string());
        loop {
            let probe = Program { solution: "", script: &script, packages: false, wall: Duration::from_secs(60) };
            let why = match self.run(&probe) {
                Ok(TestOutcome::Passed) => return Ok(()),
                Ok(TestOutcome::Failed(output) | TestOutcome::Killed(output)) => output,
                Ok(TestOutcome::TimedOut) => "the probe did not end".to_owned(),
                Err(Error::Unavailable(why)) => why.join("; "),
                Err(error) => error.to_string(),
            };
            let weaker = match &mut self.confinement {
                Confinement::Launcher(launcher) => launcher.without_network(),
                Confinement::Bubblewrap(_) => false,
            };
            if !weaker {
                // A traceback says at its end what the probe could do.
                let why = why.trim().lines().last().unwrap_or_default();
                return Err(Error::Unavailable(vec![format!("{}: {why}", backend.name())]));
            }
        }
    }

    /// Which back end confines programs.
    #[must_use]
    pub const fn backend(&self) -> &'static str {
        match self.confinement {
            Confinement::Bubblewrap(_) => Backend::Bubblewrap.name(),
            Confinement::Launcher(_) => Backend::Launcher.name(),
        }
    }

    /// Whether programs have a loopback network of their own; without it every socket call fails.
    #[must_use]
    pub const fn loopback(&self) -> bool {
        match &self.confinement {
            Confinement::Bubblewrap(_) => true,
            Confinement::Launcher(launcher) => launcher.loopback(),
        }
    }

    /// The interpreter that runs programs.
    #[must_use]
    pub const fn interpreter(&self) -> &Interpreter {
        &self.interpreter
    }

    /// Runs one program to its end or its limit. May be called from several threads at a time.
    ///
    /// # Errors
    /// [`Error::Step`] where we fail, never because of what the program does.
    pub fn run(&self, program: &Program) -> Result<TestOutcome, Error> {
        let folder = tempfile::Builder::new().prefix("rampart-").tempdir().map_err(step("make a folder"))?;
        let place = folder.path();
        // tidy-expect(atomic-writes): a temporary folder of our own, gone after the run
        fs::write(place.join("solution.py"), program.solution).map_err(step("write solution.py"))?;
        // tidy-expect(atomic-writes): likewise
        fs::write(place.join("test.py"), program.script).map_err(step("write test.py"))?;
        let token = Token::new();
        let ended = match &self.confinement {
            Confinement::Bubblewrap(b) => b.run(&self.interpreter, program, place, &token)?,
            Confinement::Launcher(l) => l.run(&self.interpreter, program, place, &token)?,
        };
        process::unlock(place);
        self.outcome(&ended, &token)
    }

    fn outcome(&self, ended: &Ended, token: &Token) -> Result<TestOutcome, Error> {
        if ended.timed_out {
            return Ok(TestOutcome::TimedOut);
        }
        let printed = |word: &str| ended.output.windows(word.len()).any(|w| w == word.as_bytes());
        let wrapped = matches!(self.confinement, Confinement::Bubblewrap(_));
        Ok(match ended.stopped_by(wrapped) {
            Some(signal) => TestOutcome::Killed(process::signal_name(signal)),
            None if ended.status.success() && printed(&token.finished) => TestOutcome::Passed,
            None if ended.status.success() => {
                TestOutcome::Failed("the program ended itself before the last line of its test".to_owned())
            }
            // The word stands first, so that a flood of output may have pushed it out.
            None if ended.whole && !printed(&token.started) => {
                let why = last_lines(&ended.output, token);
                return Err(Error::Step { step: "start python", source: io::Error::other(why) });
            }
            None => TestOutcome::Failed(last_lines(&ended.output, token)),
        })
    }
}

/// The last lines of an output, at most 20 and 2,000 bytes.
fn last_lines(output: &[u8], token: &Token) -> String {
    let text = String::from_utf8_lossy(output).replace(&token.started, "").replace(&token.finished, "");
    let mut lines: Vec<&str> = text.trim_end().lines().rev().take(20).collect();
    lines.reverse();
    let mut joined = lines.join("\n");
    while joined.len() > 2_000 {
        let cut = joined.char_indices().map(|(i, _)| i).find(|i| joined.len() - i <= 2_000).unwrap_or(joined.len());
        joined.drain(..cut);
    }
    joined
}

/// The environment of every program; `folder` is its own folder as it sees it.
fn environment(command: &mut Command, folder: &Path, token: &Token) {
    command.env_clear();
    command.env("PATH", "/usr/local/bin:/usr/bin:/bin").env("LANG", "C.UTF-8").env("LC_ALL", "C.UTF-8");
    command.env("HOME", folder).env("TMPDIR", folder).env("USER", "nobody").env("LOGNAME", "nobody");
    // The order of sets is part of what a test sees: the same code must get the same verdict every time.
    command.env("PYTHONHASHSEED", "0").env(python::TOKEN, token.pair());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keeps_the_last_lines() {
        let token = Token::new();
        let text = (0..50).map(|i| format!("line {i}\n")).collect::<String>();
        let kept = last_lines(text.as_bytes(), &token);
        assert!(kept.starts_with("line 30\n") && kept.ends_with("line 49"), "{kept}");
        let wide = "é".repeat(5_000);
        let kept = last_lines(wide.as_bytes(), &token);
        assert_eq!(kept.len(), 2_000);
        let words = format!("{}done\n{}", token.started, token.finished);
        assert_eq!(last_lines(words.as_bytes(), &token), "done");
    }

    /// Debian 12's kernel has the second version of Landlock, Ubuntu 22.04's the first: what they cannot refuse, the system
    /// call filter does. A user without name spaces has no sockets at all.
    #[test]
    fn an_old_kernel_confines_too() -> Result<(), Error> {
        let interpreter = Interpreter::ask(Path::new("python3"))?;
        for abi in [landlock::ABI::V1, landlock::ABI::V2, landlock::ABI::V4] {
            let mut launcher = launcher::Launcher::of_abi(&interpreter, Limits::default(), abi)?;
            launcher.without_network();
            let interpreter = interpreter.clone();
            let mut sandbox = Sandbox { interpreter, confinement: Confinement::Launcher(launcher) };
            match sandbox.settle(Backend::Launcher) {
                Ok(()) => {}
                Err(Error::Unavailable(why)) => {
                    eprintln!("skipped: {}", why.join("; "));
                    return Ok(());
                }
                Err(error) => return Err(error),
            }
            let outside = tempfile::NamedTempFile::new().map_err(step("make a file"))?;
            fs::write(&outside, "text").map_err(step("write a file"))?;
            let run = |script: &str| {
                sandbox.run(&Program { solution: "", script, packages: false, wall: Duration::from_secs(60) })
            };
            let refused = |what: &str| -> Result<(), Error> {
                let script = format!(
                    "import os, signal, socket\ntry:\n    {what}\nexcept OSError:\n    pass\nelse:\n    raise AssertionError\n"
                );
                assert_eq!(run(&script)?, TestOutcome::Passed, "{abi:?}: {what}");
                Ok(())
            };
            refused(&format!("os.truncate({:?}, 0)", outside.path()))?;
            refused(&format!("os.chmod({:?}, 0o777)", outside.path()))?;
            refused(&format!("os.kill({}, signal.SIGTERM)", std::process::id()))?;
            refused(&format!("os.kill({}, 0)", std::process::id()))?;
            refused("socket.socket()")?;
            assert_eq!(fs::read_to_string(&outside).map_err(step("read a file"))?, "text");
            let own = "import os, signal\nos.kill(os.getpid(), signal.SIGTERM)\n";
            assert_eq!(run(own)?, TestOutcome::Killed("SIGTERM".to_owned()), "{abi:?}");
            let child = "import subprocess, sys\nsubprocess.run([sys.executable, '-c', ''], check=True)\n";
            assert_eq!(run(child)?, TestOutcome::Passed, "{abi:?}");
        }
        Ok(())
    }
}
