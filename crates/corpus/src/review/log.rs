//! Decisions on disk: a line each, appended and synced before it counts.
//!
//! A process that dies in the middle of a line leaves half of one. It is told, it stays in the file, and the next decision
//! begins on a line of its own: nothing that was taken is ever lost or joined to something else.

use super::Decision;
use lexicon::jsonl::{self, BadLine};
use std::{
    fs::{File, OpenOptions, TryLockError},
    io::{self, Read, Seek, SeekFrom, Write},
    path::{Path, PathBuf},
};

/// The log cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// It cannot be opened or written.
    #[error("cannot write {path}: {source}")]
    Io {
        /// The file.
        path: String,
        /// What the system said.
        source: io::Error,
    },
    /// Another process writes it.
    #[error("{0} is in use: another review of these rows is running; end it, or use its page")]
    Busy(String),
    /// It cannot be read.
    #[error(transparent)]
    Read(#[from] jsonl::Error),
}

/// A log that is open for this process alone.
#[derive(Debug)]
pub struct Log {
    path: PathBuf,
    file: File,
}

/// What a log held when it was opened.
#[derive(Debug, Default)]
pub struct Held {
    /// Decisions in their order.
    pub decisions: Vec<Decision>,
    /// Lines that are none: half-written ones, or what somebody else wrote.
    pub bad: Vec<BadLine>,
}

impl Log {
    /// Opens a log for appending, or makes it.
    ///
    /// # Errors
    /// [`Error`].
    pub fn open(path: &Path) -> Result<(Self, Held), Error> {
        let failed = |source| Error::Io { path: path.display().to_string(), source };
        let mut file = OpenOptions::new().create(true).read(true).append(true).open(path).map_err(failed)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(Error::Busy(path.display().to_string())),
            // A file system without locks: two people at one log are told apart by their names alone.
            Err(TryLockError::Error(error)) if error.kind() == io::ErrorKind::Unsupported => {}
            Err(TryLockError::Error(error)) => return Err(failed(error)),
        }
        let lines = jsonl::read_lenient::<Decision>(path)?;
        let held = Held { decisions: lines.records.into_iter().map(|(_, d)| d).collect(), bad: lines.bad };
        if !ends_a_line(&mut file).map_err(failed)? {
            file.write_all(b"\n").and_then(|()| file.sync_data()).map_err(failed)?;
        }
        Ok((Self { path: path.to_owned(), file }, held))
    }

    /// Appends a decision; it is on disk when this returns.
    ///
    /// # Errors
    /// [`Error::Io`]: the decision does not count. What was written of it, if anything, is closed off as a line of its own.
    pub fn append(&mut self, decision: &Decision) -> Result<(), Error> {
        let failed = |source| Error::Io { path: self.path.display().to_string(), source };
        let mut line = serde_json::to_vec(decision).map_err(|e| failed(e.into()))?;
        line.push(b'\n');
        let written = self.file.write_all(&line).and_then(|()| self.file.sync_data());
        written.map_err(|error| {
            // A full disk may have taken half of it.
            let _ = self.file.write_all(b"\n");
            failed(error)
        })
    }
}

fn ends_a_line(file: &mut File) -> io::Result<bool> {
    if file.metadata()?.len() == 0 {
        return Ok(true);
    }
    file.seek(SeekFrom::End(-1))?;
    let mut last = [0];
    file.read_exact(&mut last)?;
    Ok(last == *b"\n")
}
