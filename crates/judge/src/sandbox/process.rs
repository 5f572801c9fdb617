//! Starting a process, reading what it prints, and ending it together with its children.

use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    process::{Pid, PidfdFlags, Signal, kill_process_group, pidfd_open},
};
use std::{
    fs,
    io::{self, PipeReader, Read},
    os::{
        fd::OwnedFd,
        unix::process::{CommandExt, ExitStatusExt},
    },
    path::Path,
    process::{Command, ExitStatus, Stdio},
    time::{Duration, Instant},
};

/// How a process ended.
#[derive(Debug)]
pub(crate) struct Ended {
    /// Its exit status.
    pub status: ExitStatus,
    /// Whether we stopped it at its limit.
    pub timed_out: bool,
    /// The last bytes of standard output and standard error, in the order they were written.
    pub output: Vec<u8>,
    /// Whether `output` is all that it printed.
    pub whole: bool,
}

impl Ended {
    /// Signal that ended it; a program in bubblewrap reports it as a status above 128.
    pub(crate) fn stopped_by(&self, wrapped: bool) -> Option<i32> {
        let reported = self.status.code().filter(|c| wrapped && (129..=159).contains(c)).map(|c| c - 128);
        self.status.signal().or(reported)
    }
}

/// Runs a command in a process group of its own until it ends or `wall` has passed, then kills what is left of the group.
/// Keeps the last `keep` bytes of its output; the rest is read and dropped, so that it never blocks.
///
/// # Errors
/// What the system said where the command cannot be started or watched.
pub(crate) fn supervise(command: Command, wall: Duration, keep: usize) -> io::Result<Ended> {
    supervise_in(command, wall, keep, true)
}

/// As [`supervise`]; `grouped` is false where the command makes its own group before it starts.
pub(crate) fn supervise_in(mut command: Command, wall: Duration, keep: usize, grouped: bool) -> io::Result<Ended> {
    let (mut reader, writer) = io::pipe()?;
    command.stdin(Stdio::null()).stdout(writer.try_clone()?).stderr(writer);
    if grouped {
        command.process_group(0);
    }
    let mut child = command.spawn()?;
    // The command holds our copies of the writing end.
    drop(command);
    let pid = Pid::from_child(&child);
    let watch = pidfd_open(pid, PidfdFlags::empty()).inspect_err(|_| {
        // Unwatched it could outlive us.
        let _ = kill_process_group(pid, Signal::KILL);
        let _ = child.wait();
    })?;

    let mut tail = Tail { bytes: Vec::new(), keep, whole: true };
    let mut open = true;
    let timed_out = follow(&watch, &mut reader, &mut tail, &mut open, Instant::now() + wall);
    // The child is not waited for yet, so its number, which names the group, cannot have been given to another. Whatever went
    // wrong above, nothing of the group may live on.
    let _ = kill_process_group(pid, Signal::KILL);
    let status = child.wait()?;
    let timed_out = timed_out?;
    let rest = Instant::now() + Duration::from_millis(500);
    while open {
        let left = rest.saturating_duration_since(Instant::now());
        let mut events = [PollFd::new(&reader, PollFlags::IN)];
        wait_for(&mut events, left)?;
        open = !left.is_zero() && !events[0].revents().is_empty() && tail.read(&mut reader)?;
    }
    Ok(Ended { status, timed_out, output: tail.bytes, whole: tail.whole })
}

/// Reads until the process ends; true where the deadline came first.
fn follow(
    watch: &OwnedFd,
    reader: &mut PipeReader,
    tail: &mut Tail,
    open: &mut bool,
    deadline: Instant,
) -> io::Result<bool> {
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Ok(true);
        }
        let (ended, readable) = {
            let mut events = vec![PollFd::new(watch, PollFlags::IN)];
            if *open {
                events.push(PollFd::new(&*reader, PollFlags::IN));
            }
            wait_for(&mut events, left)?;
            (!events[0].revents().is_empty(), events.get(1).is_some_and(|e| !e.revents().is_empty()))
        };
        if readable {
            *open = tail.read(reader)?;
        } else if ended {
            return Ok(false);
        }
    }
}

fn wait_for(events: &mut [PollFd<'_>], left: Duration) -> io::Result<()> {
    let limit = Timespec::try_from(left).map_err(io::Error::other)?;
    match poll(events, Some(&limit)) {
        Ok(_) | Err(rustix::io::Errno::INTR) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// The last bytes of a stream.
struct Tail {
    bytes: Vec<u8>,
    keep: usize,
    /// Whether nothing was dropped.
    whole: bool,
}

impl Tail {
    /// Reads what is there; false at the end.
    fn read(&mut self, from: &mut impl Read) -> io::Result<bool> {
        let mut chunk = [0; 16 << 10];
        let n = match from.read(&mut chunk) {
            Err(e) if e.kind() == io::ErrorKind::Interrupted => return Ok(true),
            other => other?,
        };
        self.bytes.extend_from_slice(&chunk[..n]);
        // Cutting at twice the size keeps the copying linear.
        if self.bytes.len() > 2 * self.keep || n == 0 {
            let cut = self.bytes.len().saturating_sub(self.keep);
            self.bytes.drain(..cut);
            self.whole &= cut == 0;
        }
        Ok(n > 0)
    }
}

/// Name of a signal for a person.
pub(crate) fn signal_name(signal: i32) -> String {
    let name = match signal {
        libc::SIGKILL => "SIGKILL",
        libc::SIGSEGV => "SIGSEGV: a crash, or memory it was refused",
        libc::SIGABRT => "SIGABRT",
        libc::SIGBUS => "SIGBUS",
        libc::SIGXCPU => "SIGXCPU: processor time",
        libc::SIGXFSZ => "SIGXFSZ: size of a file",
        libc::SIGSYS => "SIGSYS: a forbidden call",
        libc::SIGTERM => "SIGTERM",
        other => return format!("signal {other}"),
    };
    name.to_owned()
}

/// Gives back the right to remove folders that a program closed, so that nothing of it stays on the disk.
pub(super) fn unlock(folder: &Path) {
    use std::os::unix::fs::PermissionsExt;
    let Ok(meta) = fs::symlink_metadata(folder) else { return };
    if !meta.is_dir() {
        return;
    }
    if meta.permissions().mode() & 0o700 != 0o700 {
        #[expect(clippy::disallowed_methods, reason = "opens a folder to its owner alone, right before it is removed")]
        let _ = fs::set_permissions(folder, fs::Permissions::from_mode(0o700));
    }
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        unlock(&entry.path());
    }
}
