//! Pairs as others publish them, read into ours.
//!
//! JSON Lines rows are told apart by their keys: our pairs, preference rows (`prompt`, `chosen`, `rejected`), SafeCoder's
//! and SVEN's rows, [`curated`] patterns, plain text for pre-training. DiSCo publishes CSV. Parquet files hold any of these
//! rows.

pub mod curated;
mod table;

pub use table::quietly;

use lexicon::{Cwe, Language, Origin, Pair, jsonl};
use serde_json::{Map, Value};
use std::path::Path;

/// A training example.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(clippy::large_enum_variant, reason = "files hold one kind of row; a box each would cost more")]
pub enum Row {
    /// A secure and an insecure answer.
    Pair(Pair),
    /// Text without sides.
    Text {
        /// Name.
        id: String,
        /// Text.
        text: String,
        /// Provenance, where its maker states it.
        origin: Box<Origin>,
    },
}

/// Rows of a file and its bad lines.
#[derive(Debug, Default)]
pub struct Rows {
    /// Good rows, in file order.
    pub rows: Vec<Row>,
    /// Lines that are no rows.
    pub bad: Vec<jsonl::BadLine>,
}

impl Rows {
    /// Pairs alone.
    pub fn pairs(self) -> Vec<Pair> {
        self.rows
            .into_iter()
            .filter_map(|r| match r {
                Row::Pair(p) => Some(p),
                Row::Text { .. } => None,
            })
            .collect()
    }
}

/// Reads a `.jsonl`, `.parquet` or `.csv` file in any of the known forms.
///
/// # Errors
/// [`jsonl::Error::Io`] when the file cannot be read; bad lines are in the result.
pub fn read(path: &Path) -> Result<Rows, jsonl::Error> {
    if path.extension().is_some_and(|e| e.eq_ignore_ascii_case("csv")) {
        return read_csv(path);
    }
    if path.extension().is_some_and(|e| e.eq_ignore_ascii_case("parquet")) {
        return table::read(path);
    }
    let stem = path.file_stem().map_or_else(|| "row".into(), |s| s.to_string_lossy().into_owned());
    let mut number = 0;
    let lines = jsonl::read_with(path, |text| {
        number += 1;
        let value: Value = serde_json::from_str(text).map_err(|e| jsonl::explain(&e))?;
        let Value::Object(object) = value else { return Err("a row is a JSON object".into()) };
        row(object, &format!("{stem}-{number}"))
    })?;
    Ok(Rows { rows: lines.records.into_iter().map(|(_, r)| r).collect(), bad: lines.bad })
}

fn row(object: Map<String, Value>, fallback: &str) -> Result<Row, String> {
    let has = |key: &str| object.contains_key(key);
    if let Some(format) = object.get("format")
        && format.as_u64() != Some(u64::from(lexicon::FORMAT))
    {
        return Err(format!("format {format} is not known here: expected {}", lexicon::FORMAT));
    }
    if has("secure") || has("insecure") {
        let mut object = object;
        object.entry("id").or_insert_with(|| fallback.into());
        let pair: Pair = serde_json::from_value(Value::Object(object)).map_err(|e| e.to_string())?;
        return Ok(Row::Pair(pair));
    }
    let text = |key: &str| match object.get(key) {
        Some(Value::String(s)) => Ok(s.clone()),
        Some(other) => Err(format!("{key} is {other}, expected text")),
        None => Err(format!("missing field `{key}`")),
    };
    let optional = |key: &str| object.get(key).and_then(Value::as_str).unwrap_or_default().to_owned();
    let cwes = |key: &str| -> Result<Vec<Cwe>, String> {
        match object.get(key) {
            None | Some(Value::Null) => Ok(Vec::new()),
            Some(Value::String(s)) => Ok(vec![s.parse().map_err(|e| format!("{key}: {e}"))?]),
            Some(Value::Array(list)) => {
                list.iter().map(|v| v.as_str().unwrap_or_default().parse().map_err(|e| format!("{key}: {e}"))).collect()
            }
            Some(other) => Err(format!("{key} is {other}, expected a CWE identifier")),
        }
    };
    // Both spellings are met.
    let licence = ["licence", "license"].into_iter().map(optional).find(|l| !l.trim().is_empty()).unwrap_or_default();
    let id = if has("id") {
        object["id"].as_str().map_or_else(|| object["id"].to_string(), str::to_owned)
    } else {
        fallback.to_owned()
    };
    if has("chosen") || has("rejected") {
        return Ok(Row::Pair(Pair {
            format: lexicon::FORMAT,
            id,
            language: object
                .get("language")
                .and_then(Value::as_str)
                .map_or(Ok(Language::Python), str::parse)
                .map_err(|e| e.to_string())?,
            cwe: cwes("cwe")?,
            instruction: text("prompt")?,
            reasoning: optional("reasoning"),
            secure: text("chosen")?,
            insecure: text("rejected")?,
            origin: Origin { kind: "preference-row".into(), licence, ..Origin::default() },
        }));
    }
    if has("func_src_before") || has("func_src_after") {
        let file = optional("file_name");
        let extension = file.rsplit('.').next().unwrap_or_default();
        let language = Language::from_extension(extension).unwrap_or_default();
        let name = optional("func_name");
        let described = optional("description");
        let instruction =
            if described.is_empty() { format!("Write the {language} function `{name}`.") } else { described };
        return Ok(Row::Pair(Pair {
            format: lexicon::FORMAT,
            id: fallback.to_owned(),
            language,
            cwe: cwes("vul_type")?,
            instruction,
            reasoning: String::new(),
            secure: text("func_src_after")?,
            insecure: text("func_src_before")?,
            origin: Origin { kind: "mined".into(), source: optional("commit_link"), licence, ..Origin::default() },
        }));
    }
    if has("text") {
        let origin = match object.get("origin") {
            None | Some(Value::Null) => Origin { licence, ..Origin::default() },
            Some(origin) => serde_json::from_value(origin.clone()).map_err(|e| format!("origin: {e}"))?,
        };
        return Ok(Row::Text { id, text: text("text")?, origin: Box::new(origin) });
    }
    if let Some(row) = curated::row(&object, &id) {
        return row;
    }
    let keys: Vec<_> = object.keys().map(String::as_str).collect();
    Err(format!(
        "not a row of a known form (it has {}): expected secure and insecure, or prompt, chosen and rejected, or \
         func_src_before and func_src_after, or text, or a curated pattern's vulnerable_code and secure_code",
        if keys.is_empty() { "no field".into() } else { keys.join(", ") }
    ))
}

/// DiSCo's CSV: `idx, Secure Code, Vulnerable Code, Prompt, Reasoning`.
fn read_csv(path: &Path) -> Result<Rows, jsonl::Error> {
    let name = path.display().to_string();
    let io = |e: csv::Error| jsonl::Error::Io { path: name.clone(), source: std::io::Error::other(e) };
    let mut reader = csv::ReaderBuilder::new().flexible(true).from_path(path).map_err(io)?;
    let headers = reader.headers().map_err(io)?.clone();
    let column = |wanted: &[&str]| headers.iter().position(|h| wanted.iter().any(|w| h.trim().eq_ignore_ascii_case(w)));
    let mut rows = Rows::default();
    let columns = (
        column(&["secure code", "secure"]),
        column(&["vulnerable code", "insecure"]),
        column(&["prompt", "instruction"]),
    );
    let (Some(secure), Some(insecure), Some(prompt)) = columns else {
        rows.bad.push(jsonl::BadLine {
            path: name,
            line: 1,
            message: format!(
                "missing column: expected Secure Code, Vulnerable Code and Prompt, found {}",
                headers.iter().collect::<Vec<_>>().join(", ")
            ),
            text: String::new(),
        });
        return Ok(rows);
    };
    let reasoning = column(&["reasoning"]);
    for (i, record) in reader.records().enumerate() {
        let line =
            record.as_ref().ok().and_then(|r| r.position()).map_or(i + 2, |p| usize::try_from(p.line()).unwrap_or(0));
        let mut bad = |message: String| {
            rows.bad.push(jsonl::BadLine { path: name.clone(), line, message, text: String::new() });
        };
        let record = match record {
            Ok(r) => r,
            Err(e) => {
                bad(e.to_string());
                continue;
            }
        };
        let cell = |c: usize| record.get(c).map(str::to_owned);
        let (Some(secure), Some(insecure), Some(instruction)) = (cell(secure), cell(insecure), cell(prompt)) else {
            bad(format!("the row has {} cells, fewer than its header", record.len()));
            continue;
        };
        let reasoning = reasoning.and_then(cell).unwrap_or_default();
        let cwe = reasoning
            .find("CWE-")
            .and_then(|at| {
                let digits = reasoning[at + 4..].bytes().take_while(u8::is_ascii_digit).count();
                reasoning[at..at + 4 + digits].parse().ok()
            })
            .into_iter()
            .collect();
        rows.rows.push(Row::Pair(Pair {
            format: lexicon::FORMAT,
            id: format!("disco-{}", i + 1),
            language: Language::Python,
            cwe,
            instruction,
            reasoning,
            secure,
            insecure,
            origin: Origin { kind: "distilled".into(), ..Origin::default() },
        }));
    }
    Ok(rows)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(name: &str, text: &str, expect: &str) {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join(name);
        std::fs::write(&path, text).expect("a file");
        let rows = read(&path).expect("a readable file");
        let said = rows.bad.iter().map(ToString::to_string).collect::<String>();
        if expect.is_empty() {
            assert!(said.is_empty() && rows.rows.len() == 1, "{said} {rows:?}");
        } else {
            assert!(said.contains(expect), "{said:?} should contain {expect:?}");
        }
    }

    #[test]
    fn published_forms_and_broken_ones() {
        check(
            "a.jsonl",
            r#"{"format":1,"id":"a","language":"python","cwe":["CWE-89"],"instruction":"i","reasoning":"r","secure":"x","insecure":"y","origin":{"kind":"lesson"}}"#,
            "",
        );
        check("a.jsonl", r#"{"prompt":"p","chosen":"c","rejected":"r","reasoning":"why","cwe":"cwe-022"}"#, "");
        check(
            "a.jsonl",
            r#"{"func_name":"f","func_src_before":"a","func_src_after":"b","vul_type":"cwe-078","file_name":"x.py"}"#,
            "",
        );
        check("a.jsonl", r#"{"text":"x = 1"}"#, "");
        check("a.jsonl", r#"{"text":"x = 1","origin":{"kind":"k","licence":"MIT"}}"#, "");
        check("a.jsonl", r#"{"text":"x = 1","origin":1}"#, "a.jsonl:1: origin: invalid type");
        check("a.csv", "idx,Secure Code,Vulnerable Code,Prompt,Reasoning\n1,\"a\nb\",c,p,\"may have CWE-89: x\"\n", "");
        check(
            "a.jsonl",
            "{\"text\":\"ok\"}\n{\"prompt\":\"p\",\"chosen\":\"c\"}",
            "a.jsonl:2: missing field `rejected`",
        );
        check("a.jsonl", r#"{"secure":"x","insecure":"y"}"#, "a.jsonl:1: missing field `instruction`");
        check("a.jsonl", r#"{"chosen":1,"rejected":"r","prompt":"p"}"#, "chosen is 1, expected text");
        check("a.jsonl", "[1]", "a row is a JSON object");
        check("a.jsonl", r#"{"foo":1}"#, "not a row of a known form (it has foo)");
        check("a.jsonl", r#"{"format":9,"text":"x"}"#, "format 9 is not known");
        check("a.csv", "idx,Code\n1,a\n", "missing column");
    }
}
