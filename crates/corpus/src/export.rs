//! Sets as others load them: rows come in, files go out whose every row has the same columns.
//!
//! `datasets` and other readers of tables infer columns from the first rows, so nothing is left out where it is empty, and
//! what has other names in every row (`origin.extra`) is a list of keys and values. What is written here is read back by
//! [`crate::rows`] as it was.

mod table;

use crate::rows::Row;
use lexicon::{Origin, Pair};
use serde::Serialize;
use std::io::{self, Write};

/// Which columns rows get.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// Ours, whole.
    Pairs,
    /// `prompt`, `chosen`, `rejected` and what identifies them: what TRL's trainers take.
    Preference,
    /// Texts without sides.
    Texts,
}

/// Rows that cannot stand in one table.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Nothing to write.
    #[error("no row to export")]
    Empty,
    /// Pairs and texts have other columns.
    #[error("row {0:?} is a text among pairs, or a pair among texts: export them apart")]
    Mixed(String),
    /// Texts have no sides.
    #[error("row {0:?} is text without two sides: it is no preference row")]
    OneSided(String),
    /// A number that tables hold otherwise.
    #[error("row {id:?}: the variant {variant} is above {most}", most = i64::MAX)]
    Variant {
        /// The row.
        id: String,
        /// Its variant.
        variant: u64,
    },
    /// Writing fails.
    #[error("{0}")]
    Io(#[from] io::Error),
    /// The table cannot be written.
    #[error("table: {0}")]
    Table(String),
}

/// A key of `origin.extra` with its value.
#[derive(Debug, Serialize)]
struct Entry<'r> {
    key: &'r str,
    value: &'r str,
}

#[derive(Debug, Serialize)]
struct Provenance<'r> {
    kind: &'r str,
    source: &'r str,
    variant: Option<i64>,
    licence: &'r str,
    verified: &'r [String],
    extra: Vec<Entry<'r>>,
}

/// A row with every column of its form.
#[derive(Debug)]
enum Columns<'r> {
    Pair {
        id: &'r str,
        language: &'static str,
        cwe: Vec<String>,
        instruction: &'r str,
        reasoning: &'r str,
        secure: &'r str,
        insecure: &'r str,
        origin: Provenance<'r>,
    },
    Preference {
        id: &'r str,
        prompt: &'r str,
        chosen: &'r str,
        rejected: &'r str,
        reasoning: &'r str,
        language: &'static str,
        cwe: Vec<String>,
        licence: &'r str,
    },
    Text {
        id: &'r str,
        text: &'r str,
        origin: Provenance<'r>,
    },
}

/// The form that rows have by themselves.
///
/// # Errors
/// [`Error::Empty`], [`Error::Mixed`].
pub fn form_of(rows: &[Row]) -> Result<Form, Error> {
    let form = |row: &Row| if matches!(row, Row::Pair(_)) { Form::Pairs } else { Form::Texts };
    let first = form(rows.first().ok_or(Error::Empty)?);
    match rows.iter().find(|r| form(r) != first) {
        Some(other) => Err(Error::Mixed(crate::clean::id(other).to_owned())),
        None => Ok(first),
    }
}

/// Writes JSON Lines.
///
/// # Errors
/// [`Error`]; what is written by then is no whole file.
pub fn jsonl(rows: &[Row], form: Form, out: &mut dyn Write) -> Result<(), Error> {
    for row in rows {
        let line = match columns(row, form)? {
            Columns::Pair { id, language, cwe, instruction, reasoning, secure, insecure, origin } => {
                serde_json::json!({
                    "format": lexicon::FORMAT, "id": id, "language": language, "cwe": cwe, "instruction": instruction,
                    "reasoning": reasoning, "secure": secure, "insecure": insecure, "origin": origin,
                })
            }
            Columns::Preference { id, prompt, chosen, rejected, reasoning, language, cwe, licence } => {
                serde_json::json!({
                    "id": id, "prompt": prompt, "chosen": chosen, "rejected": rejected, "reasoning": reasoning,
                    "language": language, "cwe": cwe, "licence": licence,
                })
            }
            Columns::Text { id, text, origin } => {
                serde_json::json!({ "format": lexicon::FORMAT, "id": id, "text": text, "origin": origin })
            }
        };
        serde_json::to_writer(&mut *out, &line).map_err(io::Error::from)?;
        out.write_all(b"\n")?;
    }
    Ok(())
}

/// A Parquet file (Snappy, groups of 10,000 rows), whole in memory.
///
/// # Errors
/// [`Error`].
pub fn parquet(rows: &[Row], form: Form) -> Result<Vec<u8>, Error> {
    table::write(&rows.iter().map(|r| columns(r, form)).collect::<Result<Vec<_>, _>>()?, form)
}

fn columns(row: &Row, form: Form) -> Result<Columns<'_>, Error> {
    Ok(match (row, form) {
        (Row::Pair(p), Form::Pairs) => Columns::Pair {
            id: &p.id,
            language: p.language.name(),
            cwe: cwe(p),
            instruction: &p.instruction,
            reasoning: &p.reasoning,
            secure: &p.secure,
            insecure: &p.insecure,
            origin: provenance(&p.id, &p.origin)?,
        },
        (Row::Pair(p), Form::Preference) => Columns::Preference {
            id: &p.id,
            prompt: &p.instruction,
            chosen: &p.secure,
            rejected: &p.insecure,
            reasoning: &p.reasoning,
            language: p.language.name(),
            cwe: cwe(p),
            licence: &p.origin.licence,
        },
        (Row::Text { id, text, origin }, Form::Texts) => Columns::Text { id, text, origin: provenance(id, origin)? },
        (Row::Text { id, .. }, Form::Preference) => return Err(Error::OneSided(id.clone())),
        (Row::Text { id, .. }, Form::Pairs) | (Row::Pair(Pair { id, .. }), Form::Texts) => {
            return Err(Error::Mixed(id.clone()));
        }
    })
}

fn cwe(pair: &Pair) -> Vec<String> {
    pair.cwe.iter().map(ToString::to_string).collect()
}

fn provenance<'r>(id: &str, origin: &'r Origin) -> Result<Provenance<'r>, Error> {
    let variant = |variant: u64| i64::try_from(variant).map_err(|_| Error::Variant { id: id.to_owned(), variant });
    Ok(Provenance {
        kind: &origin.kind,
        source: &origin.source,
        variant: origin.variant.map(variant).transpose()?,
        licence: &origin.licence,
        verified: &origin.verified,
        extra: origin.extra.iter().map(|(key, value)| Entry { key, value }).collect(),
    })
}

/// The columns of a form as `datasets` names their kinds, YAML under `features:`.
#[must_use]
pub fn features(form: Form) -> &'static str {
    const ORIGIN: &str = "  - name: origin\n    struct:\n    - name: kind\n      dtype: string\n    - name: source\n      dtype: \
        string\n    - name: variant\n      dtype: int64\n    - name: licence\n      dtype: string\n    - name: verified\n      \
        sequence: string\n    - name: extra\n      list:\n      - name: key\n        dtype: string\n      - name: value\n        \
        dtype: string\n";
    const PAIRS: &str = "  - name: format\n    dtype: int32\n  - name: id\n    dtype: string\n  - name: language\n    dtype: \
        string\n  - name: cwe\n    sequence: string\n  - name: instruction\n    dtype: string\n  - name: reasoning\n    dtype: \
        string\n  - name: secure\n    dtype: string\n  - name: insecure\n    dtype: string\n";
    const PREFERENCE: &str = "  - name: id\n    dtype: string\n  - name: prompt\n    dtype: string\n  - name: chosen\n    dtype: \
        string\n  - name: rejected\n    dtype: string\n  - name: reasoning\n    dtype: string\n  - name: language\n    dtype: \
        string\n  - name: cwe\n    sequence: string\n  - name: licence\n    dtype: string\n";
    const TEXTS: &str =
        "  - name: format\n    dtype: int32\n  - name: id\n    dtype: string\n  - name: text\n    dtype: string\n";
    static ALL: std::sync::LazyLock<[String; 2]> =
        std::sync::LazyLock::new(|| [PAIRS.to_owned() + ORIGIN, TEXTS.to_owned() + ORIGIN]);
    match form {
        Form::Pairs => &ALL[0],
        Form::Preference => PREFERENCE,
        Form::Texts => &ALL[1],
    }
}

#[cfg(test)]
mod tests;
