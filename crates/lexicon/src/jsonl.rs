//! JSON Lines: one record a line; a bad line is named by file and line, never silently dropped.

use crate::atomic::{self, WriteError};
use serde::{Serialize, de::DeserializeOwned};
use std::{
    fs::File,
    io::{self, BufRead, BufReader},
    path::{Path, PathBuf},
};

/// Longest line that is read, in bytes: a file without line ends must not fill the memory.
pub const LONGEST_LINE: usize = 64 << 20;

/// A record that could not be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{path}:{line}: {message}")]
pub struct BadLine {
    /// File as the caller named it.
    pub path: String,
    /// Line, from 1.
    pub line: usize,
    /// What is wrong with it.
    pub message: String,
    /// The line itself, for quarantine.
    pub text: String,
}

/// A file could not be read as JSON Lines.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Opening or reading failed.
    #[error("cannot read {path}: {source}")]
    Io {
        /// File as the caller named it.
        path: String,
        /// What the system said.
        source: io::Error,
    },
    /// A line is not a record.
    #[error(transparent)]
    Line(#[from] BadLine),
}

/// What [`read_lenient`] found: the good records with their line numbers, and every bad line.
#[derive(Debug)]
pub struct Lines<T> {
    /// Records, with the line (from 1) each stands on.
    pub records: Vec<(usize, T)>,
    /// Lines that are not records.
    pub bad: Vec<BadLine>,
}

/// Reads every record of a file, keeping bad lines apart. Blank lines are skipped.
///
/// # Errors
/// [`Error::Io`] when the file cannot be read at all.
pub fn read_lenient<T: DeserializeOwned>(path: &Path) -> Result<Lines<T>, Error> {
    read_with(path, |text| serde_json::from_str(text).map_err(|e| explain(&e)))
}

/// Reads every record with a reader of the caller's; its error text is attached to file and line.
///
/// # Errors
/// [`Error::Io`] when the file cannot be read at all.
pub fn read_with<T>(path: &Path, mut parse: impl FnMut(&str) -> Result<T, String>) -> Result<Lines<T>, Error> {
    let name = path.display().to_string();
    let io_error = |source| Error::Io { path: path.display().to_string(), source };
    let mut reader = BufReader::with_capacity(1 << 18, File::open(path).map_err(io_error)?);
    let mut lines = Lines { records: Vec::new(), bad: Vec::new() };
    let mut buffer = Vec::new();
    for line in 1.. {
        buffer.clear();
        let read =
            io::Read::take(&mut reader, LONGEST_LINE as u64 + 1).read_until(b'\n', &mut buffer).map_err(io_error)?;
        if read == 0 {
            break;
        }
        if read > LONGEST_LINE {
            return Err(BadLine {
                path: name,
                line,
                message: format!("line is longer than {} MiB: is this JSON Lines?", LONGEST_LINE >> 20),
                text: String::new(),
            }
            .into());
        }
        let outcome = match std::str::from_utf8(&buffer) {
            Ok(text) if text.trim().is_empty() => continue,
            Ok(text) => parse(text.trim()),
            Err(e) => Err(format!("invalid UTF-8 at byte {}", e.valid_up_to() + 1)),
        };
        match outcome {
            Ok(record) => lines.records.push((line, record)),
            Err(message) => lines.bad.push(BadLine {
                path: name.clone(),
                line,
                message,
                text: String::from_utf8_lossy(&buffer).trim_end().to_owned(),
            }),
        }
    }
    Ok(lines)
}

/// Reads every record; the first bad line ends it.
///
/// # Errors
/// [`Error::Io`], or [`Error::Line`] with file, line and what is wrong.
pub fn read<T: DeserializeOwned>(path: &Path) -> Result<Vec<T>, Error> {
    let lines = read_lenient(path)?;
    match lines.bad.into_iter().next() {
        Some(bad) => Err(bad.into()),
        None => Ok(lines.records.into_iter().map(|(_, r)| r).collect()),
    }
}

/// Writes records atomically, one a line.
///
/// # Errors
/// [`WriteError`]; nothing is left half-written.
pub fn write<'a, T: Serialize + 'a>(path: &Path, records: impl IntoIterator<Item = &'a T>) -> Result<(), WriteError> {
    atomic::write_with(path, |out| {
        for record in records {
            serde_json::to_writer(&mut *out, record).map_err(io::Error::from)?;
            out.write_all(b"\n")?;
        }
        Ok(())
    })
}

/// Keeps bad lines beside their file (`<file>.quarantine.jsonl`), with the reason, and returns where.
///
/// # Errors
/// [`WriteError`] when that file cannot be written.
pub fn quarantine(path: &Path, bad: &[BadLine], folder: &Path) -> Result<PathBuf, WriteError> {
    #[derive(Serialize)]
    struct Row<'a> {
        format: u32,
        path: &'a str,
        line: usize,
        message: &'a str,
        text: &'a str,
    }
    let stem = path.file_name().map_or_else(|| "input".into(), |n| n.to_string_lossy().into_owned());
    let out = folder.join(format!("{stem}.quarantine.jsonl"));
    let rows: Vec<_> = bad
        .iter()
        .map(|b| Row { format: crate::FORMAT, path: &b.path, line: b.line, message: &b.message, text: &b.text })
        .collect();
    write(&out, &rows)?;
    Ok(out)
}

/// serde's message without its own "at line 1": the caller knows the real line; the column stays.
#[must_use]
pub fn explain(error: &serde_json::Error) -> String {
    let text = error.to_string();
    let head = text.rfind(" at line ").map_or(text.as_str(), |at| &text[..at]);
    if error.is_syntax() || error.is_eof() {
        format!("not JSON: {head} (column {})", error.column())
    } else {
        head.to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Pair;

    fn file(text: &[u8]) -> io::Result<(tempfile::TempDir, PathBuf)> {
        let folder = tempfile::tempdir()?;
        let path = folder.path().join("p.jsonl");
        std::fs::write(&path, text)?;
        Ok((folder, path))
    }

    #[test]
    fn errors_name_file_and_line() -> io::Result<()> {
        let good = r#"{"id":"a","instruction":"i","secure":"x","insecure":"y"}"#;
        let cases: &[(&[u8], &str)] = &[
            (b"{\"id\": \"a\",", "p.jsonl:2: not JSON: EOF while parsing"),
            (b"{\"id\":\"a\"}", "p.jsonl:2: missing field `instruction`"),
            (b"\xff\xfe", "p.jsonl:2: invalid UTF-8 at byte 1"),
            (br#"{"id":"a","instruction":"i","secure":"x","insecure":"y","cwe":["CWE-x"]}"#, "is not a CWE identifier"),
        ];
        for (bad, expect) in cases {
            let (_folder, path) = file(&[good.as_bytes(), b"\n", bad, b"\n", good.as_bytes()].concat())?;
            let error = read::<Pair>(&path).err().map(|e| e.to_string()).unwrap_or_default();
            assert!(error.contains(expect), "{error} should contain {expect}");
            let lines = read_lenient::<Pair>(&path).map_err(io::Error::other)?;
            assert_eq!((lines.records.len(), lines.bad.len()), (2, 1));
            assert_eq!(lines.records[1].0, 3, "line numbers survive a bad line");
            let kept = quarantine(&path, &lines.bad, &path.with_file_name("q")).map_err(io::Error::other)?;
            assert!(std::fs::read_to_string(kept)?.contains("\"line\":2"));
        }
        Ok(())
    }

    #[test]
    fn records_round_trip() -> io::Result<()> {
        let (_folder, path) = file(b"")?;
        let pair = Pair {
            format: 1,
            id: "a".into(),
            language: crate::Language::Python,
            cwe: vec![crate::Cwe(89)],
            instruction: "é\n\u{2028}".into(),
            reasoning: String::new(),
            secure: "1".into(),
            insecure: "2".into(),
            origin: crate::Origin::default(),
        };
        write(&path, [&pair]).map_err(io::Error::other)?;
        assert_eq!(read::<Pair>(&path).map_err(io::Error::other)?, [pair]);
        Ok(())
    }
}
