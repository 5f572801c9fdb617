//! Rows of a Parquet file: what JSON Lines would hold, column by column.

use super::{Rows, row};
use lexicon::jsonl::{self, BadLine};
use parquet::file::{reader::FileReader, serialized_reader::SerializedFileReader};
use serde_json::Value;
use std::{
    fs::File,
    io,
    panic::{self, AssertUnwindSafe},
    path::Path,
};

/// Longest row that is read, in bytes of its texts: a few bytes of a table may stand for any number.
const LONGEST: usize = jsonl::LONGEST_LINE;

/// Reads every row; one of no known form is told with its number.
pub(super) fn read(path: &Path) -> Result<Rows, jsonl::Error> {
    let name = path.display().to_string();
    let failed = |source: io::Error| jsonl::Error::Io { path: name.clone(), source };
    let file = File::open(path).map_err(failed)?;
    // A file that contradicts itself must end in a message, whatever the library inside does with it.
    let read = quietly(|| rows(file, path));
    let broken =
        |why: &str| failed(io::Error::new(io::ErrorKind::InvalidData, format!("not Parquet, or broken: {why}")));
    match read {
        Some(Ok(rows)) => Ok(rows),
        Some(Err(why)) => Err(broken(&why)),
        None => Err(broken("its parts contradict each other")),
    }
}

fn rows(file: File, path: &Path) -> Result<Rows, String> {
    let stem = path.file_stem().map_or_else(|| "row".into(), |s| s.to_string_lossy().into_owned());
    let name = path.display().to_string();
    let said = |e: parquet::errors::ParquetError| e.to_string().split_whitespace().collect::<Vec<_>>().join(" ");
    let reader = SerializedFileReader::new(file).map_err(said)?;
    let mut out = Rows::default();
    for (i, record) in reader.get_row_iter(None).map_err(said)?.enumerate() {
        let Value::Object(mut object) = record.map_err(said)?.to_json_value() else {
            return Err("a row is no group".into());
        };
        // A table has every column in every row.
        object.retain(|_, value| !value.is_null());
        let size: usize = object.values().filter_map(Value::as_str).map(str::len).sum();
        let parsed = if size > LONGEST {
            Err(format!("the row is longer than {} MiB", LONGEST >> 20))
        } else {
            row(object, &format!("{stem}-{}", i + 1))
        };
        match parsed {
            Ok(row) => out.rows.push(row),
            Err(message) => {
                out.bad.push(BadLine { path: name.clone(), line: i + 1, message, text: String::new() });
            }
        }
    }
    Ok(out)
}

/// What `work` gives, or nothing where it panics; the panic says nothing by itself. For libraries that read hostile files.
pub fn quietly<T>(work: impl FnOnce() -> T) -> Option<T> {
    let hook = panic::take_hook();
    panic::set_hook(Box::new(|_| {}));
    let done = panic::catch_unwind(AssertUnwindSafe(work));
    panic::set_hook(hook);
    done.ok()
}
