//! The benchmarks' files: JSON Lines, plain or compressed, JSON arrays, CSV, text. Every error names the file and the record.

use crate::{Error, Result};
use lexicon::jsonl;
use serde::de::DeserializeOwned;
use std::{
    fs::{self, File},
    io::Read,
    path::{Path, PathBuf},
};

/// Largest file that is read, unpacked: a benchmark has a few megabytes, a bomb has more.
const LARGEST: u64 = 256 << 20;

/// A record and where it stands, for messages.
pub(super) struct Record<T> {
    pub(super) place: String,
    pub(super) value: T,
}

/// The first of several places of a file that exists: upstream's path, or the file alone.
pub(super) fn find(suite: &'static str, root: &Path, places: &[&str]) -> Result<PathBuf> {
    places.iter().map(|p| root.join(p)).find(|p| p.exists()).ok_or_else(|| Error::Missing {
        suite,
        folder: root.display().to_string(),
        wanted: places.join(" or "),
    })
}

/// A file's bytes, unpacked where its name ends in `.gz`.
fn bytes(path: &Path) -> Result<Vec<u8>> {
    let fail = |what: String| Error::Data { place: path.display().to_string(), what };
    let file = File::open(path).map_err(|e| fail(format!("cannot be read: {e}")))?;
    let mut bytes = Vec::new();
    let gz = path.extension().is_some_and(|e| e == "gz");
    let read = if gz {
        flate2::read::GzDecoder::new(file).take(LARGEST + 1).read_to_end(&mut bytes)
    } else {
        file.take(LARGEST + 1).read_to_end(&mut bytes)
    };
    read.map_err(|e| fail(format!("cannot be read to its end: {e}; was the download cut off?")))?;
    if bytes.len() as u64 > LARGEST {
        return Err(fail(format!("is larger than {} MiB", LARGEST >> 20)));
    }
    Ok(bytes)
}

/// A file's text.
pub(super) fn text(path: &Path) -> Result<String> {
    let bytes = bytes(path)?;
    let text = String::from_utf8(bytes);
    text.map_err(|e| Error::Data {
        place: path.display().to_string(),
        what: format!("is not UTF-8 at byte {}", e.utf8_error().valid_up_to() + 1),
    })
}

/// Records of JSON Lines.
pub(super) fn lines<T: DeserializeOwned>(path: &Path) -> Result<Vec<Record<T>>> {
    let text = text(path)?;
    let mut records = Vec::new();
    for (number, line) in text.lines().enumerate().filter(|(_, l)| !l.trim().is_empty()) {
        let place = format!("{}:{}", path.display(), number + 1);
        match serde_json::from_str(line) {
            Ok(value) => records.push(Record { place, value }),
            Err(e) => return Err(Error::Data { place, what: jsonl::explain(&e) }),
        }
    }
    Ok(records)
}

/// Records of a JSON array.
pub(super) fn array<T: DeserializeOwned>(path: &Path) -> Result<Vec<Record<T>>> {
    let fail = |place: String, what: String| Error::Data { place, what };
    let text = text(path)?;
    let values: Vec<serde_json::Value> =
        serde_json::from_str(&text).map_err(|e| fail(path.display().to_string(), format!("is no JSON array: {e}")))?;
    values
        .into_iter()
        .enumerate()
        .map(|(number, value)| {
            let place = format!("{}, record {}", path.display(), number + 1);
            match serde_json::from_value(value) {
                Ok(value) => Ok(Record { place, value }),
                Err(e) => Err(fail(place, e.to_string())),
            }
        })
        .collect()
}

/// Rows of a CSV with a header.
pub(super) fn table<T: DeserializeOwned>(path: &Path) -> Result<Vec<Record<T>>> {
    let text = text(path)?;
    let mut reader = csv::Reader::from_reader(text.as_bytes());
    reader
        .deserialize()
        .enumerate()
        .map(|(number, row)| {
            let place = format!("{}, row {}", path.display(), number + 1);
            row.map(|value| Record { place: place.clone(), value })
                .map_err(|e| Error::Data { place, what: e.to_string() })
        })
        .collect()
}

/// Rows of a CSV without a header, each of `columns` fields.
pub(super) fn rows(path: &Path, columns: usize) -> Result<Vec<Record<Vec<String>>>> {
    let text = text(path)?;
    let mut reader = csv::ReaderBuilder::new().has_headers(false).flexible(true).from_reader(text.as_bytes());
    reader
        .records()
        .enumerate()
        .map(|(number, row)| {
            let place = format!("{}, row {}", path.display(), number + 1);
            let row = row.map_err(|e| Error::Data { place: place.clone(), what: e.to_string() })?;
            if row.len() != columns {
                return Err(Error::Data { place, what: format!("has {} fields, not {columns}", row.len()) });
            }
            Ok(Record { place, value: row.iter().map(str::to_owned).collect() })
        })
        .collect()
}

/// Entries of a folder by name, folders alone or files alone.
pub(super) fn list(folder: &Path, folders: bool) -> Result<Vec<(String, PathBuf)>> {
    let fail =
        |e: std::io::Error| Error::Data { place: folder.display().to_string(), what: format!("cannot be listed: {e}") };
    let mut entries = Vec::new();
    for entry in fs::read_dir(folder).map_err(fail)? {
        let path = entry.map_err(fail)?.path();
        let Some(name) = path.file_name().and_then(|n| n.to_str()) else { continue };
        if path.is_dir() == folders && !name.starts_with('.') {
            entries.push((name.to_owned(), path.clone()));
        }
    }
    entries.sort();
    Ok(entries)
}

/// A CWE in a text such as `CWE-020_author_1.py` or `DoW/CWE-502-0`.
pub(super) fn cwe(place: &str, text: &str) -> Result<lexicon::Cwe> {
    let fail = || Error::Data { place: place.to_owned(), what: format!("{text:?} names no CWE") };
    let at = text.to_ascii_uppercase().find("CWE-").ok_or_else(fail)?;
    let digits: String = text[at + 4..].chars().take_while(char::is_ascii_digit).collect();
    digits.parse().map(lexicon::Cwe).map_err(|_| fail())
}
