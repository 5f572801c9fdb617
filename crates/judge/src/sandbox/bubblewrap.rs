//! Bubblewrap: name spaces of its own for files, processes, users and network.

use super::{
    Error, Interpreter, Limits, Program, environment,
    launcher::{Others, READABLE, limits},
    process::{self, Ended},
    python::{PROCESSES, Token},
    seccomp::{self, Needs},
    step,
};
use std::{
    ffi::OsStr,
    fs,
    io::{Seek, Write},
    os::{fd::AsRawFd, unix::process::CommandExt},
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

/// Where a program sees its folder.
const INSIDE: &str = "/work";

/// Folders in which `bwrap` is looked for; not `PATH`, which another may have written.
const FOLDERS: &[&str] = &["/usr/bin", "/usr/local/bin", "/bin", "/run/current-system/sw/bin"];

/// The `bwrap` program.
#[derive(Debug)]
pub(super) struct Bubblewrap {
    program: PathBuf,
    limits: Limits,
    others: Others,
    /// Options that are the same for all programs.
    options: Vec<std::ffi::OsString>,
}

impl Bubblewrap {
    /// Finds `bwrap`.
    ///
    /// # Errors
    /// [`Error::Unavailable`] where it is not installed.
    pub(super) fn find(interpreter: &Interpreter, limits: Limits) -> Result<Self, Error> {
        let mut candidates = FOLDERS.iter().map(|f| Path::new(f).join("bwrap"));
        let program = candidates
            .find(|p| p.is_file())
            .ok_or_else(|| Error::Unavailable(vec!["bubblewrap: bwrap is not installed".to_owned()]))?;
        let mut options: Vec<std::ffi::OsString> = Vec::new();
        let mut add = |arguments: &[&OsStr]| options.extend(arguments.iter().map(|a| (*a).to_owned()));
        let word = OsStr::new;
        add(&["--unshare-all", "--die-with-parent", "--new-session", "--cap-drop", "ALL"].map(word));
        if rustix::process::geteuid().is_root() {
            add(&["--unshare-user", "--uid", "65534", "--gid", "65534"].map(word));
        }
        add(&["--dev", "/dev", "--proc", "/proc"].map(word));
        let own = interpreter.folders.iter().map(|f| f.as_path());
        for path in READABLE.iter().map(Path::new).filter(|p| !p.starts_with("/dev")).chain(own) {
            match fs::symlink_metadata(path) {
                // `/lib` is a link to `/usr/lib` on a merged system.
                Ok(meta) if meta.is_symlink() && path.parent() == Some(Path::new("/")) => {
                    let target = fs::read_link(path).map_err(step("read a link of the system"))?;
                    add(&[word("--symlink"), target.as_os_str(), path.as_os_str()]);
                }
                Ok(_) => add(&[word("--ro-bind"), path.as_os_str(), path.as_os_str()]),
                Err(_) => {}
            }
        }
        Ok(Self { program, limits, others: Others::count(), options })
    }

    /// Runs a program whose files lie in `folder`.
    pub(super) fn run(
        &self,
        interpreter: &Interpreter,
        program: &Program,
        folder: &Path,
        token: &Token,
    ) -> Result<Ended, Error> {
        let filter = self.filter()?;
        let descriptor = filter.as_raw_fd();
        let limits = limits(self.limits, None, program.wall.as_secs() + 1);
        #[expect(clippy::disallowed_methods, reason = "this is the sandbox")]
        let mut command = Command::new(&self.program);
        command.args(&self.options);
        command.arg("--bind").arg(folder).args([INSIDE, "--chdir", INSIDE]);
        // What bwrap itself made is as read-only as the rest. /proc/sys above all: to the kernel root's program is still root.
        command.args(["--remount-ro", "/", "--remount-ro", "/proc", "--seccomp"]);
        command.arg(descriptor.to_string()).arg("--").arg(&interpreter.program).args(interpreter.arguments(program));
        environment(&mut command, Path::new(INSIDE), token);
        command.env(PROCESSES, (self.limits.processes + self.others.beside(true)).to_string());
        #[expect(unsafe_code, reason = "the only place between fork and exec")]
        // SAFETY: only system calls on memory that exists before the fork; nothing is allocated and no lock is taken.
        unsafe {
            command.pre_exec(move || {
                // What a library opened without close-on-exec is not the program's; the filter is, until bwrap read it.
                let all = libc::c_uint::MAX;
                if libc::syscall(libc::SYS_close_range, 3_u32, all, libc::CLOSE_RANGE_CLOEXEC) < 0
                    || libc::fcntl(descriptor, libc::F_SETFD, 0) < 0
                {
                    return Err(std::io::Error::last_os_error());
                }
                limits.iter().try_for_each(|&(resource, limit)| rlimit::setrlimit(resource, limit, limit))
            });
        }
        let ended =
            process::supervise(command, program.wall + START, self.limits.output).map_err(step("start bwrap"))?;
        drop(filter);
        Ok(ended)
    }

    /// The system call filter as an open file.
    fn filter(&self) -> Result<fs::File, Error> {
        let fail = |e: &dyn std::fmt::Display| Error::Unavailable(vec![format!("seccomp: {e}")]);
        let needs = Needs { network: true, metadata: false, truncate: false, signals: false, group: false };
        let mut programs = seccomp::programs(needs).map_err(|e| fail(&e))?;
        // bwrap takes one program; the last is the one that refuses.
        let program = programs.pop().unwrap_or_default();
        let mut file = tempfile::tempfile().map_err(step("write the filter"))?;
        file.write_all(&seccomp::bytes(&program)).and_then(|()| file.rewind()).map_err(step("write the filter"))?;
        Ok(file)
    }
}

/// bwrap itself takes a moment to build its name spaces.
const START: Duration = Duration::from_millis(100);
