//! Labelled code that lies beside the repository, in `../shared`: it is not ours to ship.
//!
//! Pairs of functions before and after a fix, the weakness of each, and which CWEs count as one.

use serde_json::Value;
use std::{collections::BTreeSet, fs, io::Read as _, path::PathBuf};

/// A function before and after its fix.
pub(crate) struct Pair {
    pub(crate) label: u64,
    pub(crate) vulnerable: String,
    pub(crate) fixed: String,
}

/// Weaknesses that count as one another, and what Bandit's tests are about beyond the one CWE they carry.
pub(crate) struct Families {
    sets: Vec<BTreeSet<u64>>,
    tests: Vec<(String, Vec<u64>)>,
}

fn path(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../../shared").join(name)
}

/// A file of the shared folder, unpacked where its name ends in `.gz`; says so where it is not there.
pub(crate) fn shared(name: &str) -> Option<String> {
    let bytes = fs::read(path(name)).ok();
    let text = bytes.and_then(|bytes| {
        if !name.ends_with(".gz") {
            return String::from_utf8(bytes).ok();
        }
        let mut text = String::new();
        flate2::read::GzDecoder::new(bytes.as_slice()).read_to_string(&mut text).ok()?;
        Some(text)
    });
    if text.is_none() {
        eprintln!("skipped: {name} is not here");
    }
    text
}

/// The rows of a JSONL text.
pub(crate) fn rows(text: &str) -> Vec<Value> {
    text.lines().filter_map(|l| serde_json::from_str(l).ok()).collect()
}

/// A function cut out of a class keeps its indentation; the first line's is taken from all.
fn flush_left(code: &str) -> String {
    let margin = code.len() - code.trim_start_matches([' ', '\t']).len();
    let cut =
        |line: &str| line.get(..margin).filter(|m| m.trim().is_empty()).map_or(line, |_| &line[margin..]).to_owned();
    code.lines().map(cut).collect::<Vec<_>>().join("\n") + "\n"
}

fn python_pairs(text: &str) -> Vec<Pair> {
    pairs_in(text, &["py"])
}

/// The pairs whose file has one of the extensions.
fn pairs_in(text: &str, extensions: &[&str]) -> Vec<Pair> {
    let pair = |row: &Value| {
        let text = |key: &str| row.get(key).and_then(Value::as_str).unwrap_or_default();
        let extension = text("file_name").rsplit('.').next().unwrap_or_default();
        extensions.contains(&extension).then(|| Pair {
            label: text("vul_type").trim_start_matches("cwe-").parse().unwrap_or(0),
            vulnerable: flush_left(text("func_src_before")),
            fixed: flush_left(text("func_src_after")),
        })
    };
    rows(text).iter().filter_map(pair).collect()
}

/// The Python pairs of SVEN's and SafeCoder's training sets, as far as they are here.
pub(crate) fn pairs() -> Vec<(&'static str, Vec<Pair>)> {
    let sven = ["022", "078", "079", "089"].iter().filter_map(|n| shared(&format!("data/sven/train/cwe-{n}.jsonl")));
    let sven: String = sven.collect::<Vec<_>>().join("\n");
    let safecoder = shared("data/safecoder/sec-new-desc.train.jsonl").unwrap_or_default();
    let sets = vec![("SVEN", python_pairs(&sven)), ("SafeCoder", python_pairs(&safecoder))];
    sets.into_iter().filter(|(_, pairs)| !pairs.is_empty()).collect()
}

/// A set of pairs in a language other than Python.
pub(crate) struct Foreign {
    pub(crate) name: &'static str,
    /// Of the files they are scanned as.
    pub(crate) extension: &'static str,
    pub(crate) pairs: Vec<Pair>,
}

/// The pairs in other languages of the same sets, as far as they are here.
pub(crate) fn foreign_pairs() -> Vec<Foreign> {
    let numbers = ["125", "190", "416", "476", "787", "022", "078", "079", "089"];
    let sven = numbers.iter().filter_map(|n| shared(&format!("data/sven/train/cwe-{n}.jsonl")));
    let sven: String = sven.collect::<Vec<_>>().join("\n");
    let safecoder = shared("data/safecoder/sec-new-desc.train.jsonl").unwrap_or_default();
    let set = |name, extension, text: &str, extensions: &[&str]| Foreign {
        name,
        extension,
        pairs: pairs_in(text, extensions),
    };
    let c = &["c", "cc", "cpp", "cxx", "h"];
    let sets = vec![
        set("JavaScript, SafeCoder", "jsx", &safecoder, &["js", "jsx", "ts", "tsx"]),
        set("Ruby, SafeCoder", "rb", &safecoder, &["rb"]),
        set("Go, SafeCoder", "go", &safecoder, &["go"]),
        set("Java, SafeCoder", "java", &safecoder, &["java"]),
        set("C and C++, SafeCoder", "cpp", &safecoder, c),
        set("C and C++, SVEN", "cpp", &sven, c),
    ];
    sets.into_iter().filter(|set| !set.pairs.is_empty()).collect()
}

/// Prompt and solution of every row of a collection of puzzles.
pub(crate) fn puzzles(name: &str) -> Vec<String> {
    let text = shared(name).unwrap_or_default();
    let whole = |row: &Value| Some(format!("{}{}", row["prompt"].as_str()?, row["canonical_solution"].as_str()?));
    rows(&text).iter().filter_map(whole).collect()
}

/// The table of families.
pub(crate) fn families() -> Option<Families> {
    let json: Value = serde_json::from_str(&shared("reference/cwe-families.json")?).ok()?;
    let numbers = |v: &Value| v.as_array().into_iter().flatten().filter_map(Value::as_u64).collect::<Vec<u64>>();
    let sets = json["families"].as_array()?.iter().map(|f| numbers(f).into_iter().collect()).collect();
    let tests = json["bandit-extra"].as_object()?.iter().map(|(id, cwes)| (id.clone(), numbers(cwes))).collect();
    Some(Families { sets, tests })
}

impl Families {
    /// Whether a CWE means the label: equal, or of one family; 74 and 20 are too broad to match through one unless they are
    /// the label.
    pub(crate) fn same(&self, label: u64, found: u64) -> bool {
        label == found
            || !matches!(found, 20 | 74) && self.sets.iter().any(|f| f.contains(&label) && f.contains(&found))
    }

    /// Whether a finding means the label.
    pub(crate) fn matches(&self, label: u64, finding: &lexicon::Finding) -> bool {
        let number = |rule: &str| rule.trim_start_matches(['S', 'B']).to_owned();
        let foreign = finding.analyzer != judge::native::ANALYZER;
        let extra = self.tests.iter().filter(|(id, _)| foreign && number(id) == number(&finding.rule));
        let extra = extra.flat_map(|(_, cwes)| cwes.iter().copied());
        finding.cwe.iter().map(|c| u64::from(c.0)).chain(extra).any(|c| self.same(label, c))
    }
}
