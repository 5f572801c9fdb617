//! How often `bandit-compat` says what Bandit says: files come in, `docs/bandit-compat.md` goes out.
//!
//! `cargo run --release --package judge --example agreement [FOLDER..]` scans the labelled code in `../shared`, the packages in
//! `.venv` and the given folders with both, in one run, and compares which tests hit in which file.

#[expect(dead_code, reason = "the code alone is needed here, not its labels")]
#[path = "../tests/labelled/mod.rs"]
mod labelled;

use judge::analyzers::{Analyzer, Bandit, BanditCompat, File, Settings};
use lexicon::Severity;
use std::{
    collections::{BTreeMap, BTreeSet},
    error::Error,
    fmt::Write as _,
    fs,
    path::{Path, PathBuf},
};

type Outcome<T> = Result<T, Box<dyn Error>>;
/// Files and the tests that hit in them.
type Hits = BTreeSet<(String, String)>;

fn main() -> Outcome<()> {
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../..");
    let settings = Settings {
        bandit: Some(root.join(".venv/bin/bandit")),
        min_severity: Severity::Low,
        nosec: false,
        ..Settings::default()
    };
    let bandit = Bandit::find(&settings)?;
    let compat = BanditCompat::new(&settings);
    let mut sets: Vec<(&str, Vec<(String, String)>)> = Vec::new();
    let pairs = labelled::pairs().into_iter().flat_map(|(_, pairs)| pairs).flat_map(|p| [p.vulnerable, p.fixed]);
    sets.push(("labelled functions", pairs.enumerate().map(|(i, code)| (format!("pair-{i}"), code)).collect()));
    let puzzles = ["data/humaneval/HumanEval.jsonl.gz", "data/mbpp/mbpp_release_v1.jsonl"];
    let puzzles = puzzles.into_iter().flat_map(labelled::puzzles);
    sets.push(("puzzles", puzzles.enumerate().map(|(i, code)| (format!("puzzle-{i}"), code)).collect()));
    sets.push(("packages in .venv", modules(&root.join(".venv/lib"))));
    let given: Vec<_> = std::env::args().skip(1).flat_map(|folder| modules(Path::new(&folder))).collect();
    sets.push(("other folders", given));

    let mut table =
        String::from("| files | | hits of Bandit | of ours | in both | agreement |\n|---|---|---|---|---|---|\n");
    let (mut all, mut missing, mut extra) = ((0, 0), BTreeMap::new(), BTreeMap::new());
    for (name, files) in sets.iter().filter(|(_, files)| !files.is_empty()) {
        let (theirs, readable) = hits(&bandit, files, None)?;
        // What Bandit could not read is nobody's.
        let (ours, _) = hits(&compat, files, Some(&readable))?;
        let both = theirs.intersection(&ours).count();
        let either = theirs.union(&ours).count();
        writeln!(
            table,
            "| {name} | {} | {} | {} | {both} | {:.2} % |",
            readable.len(),
            theirs.len(),
            ours.len(),
            share(both, either)
        )?;
        all = (all.0 + both, all.1 + either);
        for (file, test) in theirs.difference(&ours) {
            missing.entry(test.clone()).or_insert_with(Vec::new).push(file.clone());
        }
        for (file, test) in ours.difference(&theirs) {
            extra.entry(test.clone()).or_insert_with(Vec::new).push(file.clone());
        }
    }
    writeln!(table, "| all | | | | {} | {:.2} % |", all.0, share(all.0, all.1))?;
    for (title, list) in [("Bandit alone", &missing), ("Ours alone", &extra)] {
        writeln!(table, "\n{title}:{}", if list.is_empty() { " nothing." } else { "\n" })?;
        for (test, files) in list {
            let first: Vec<&str> = files.iter().take(3).map(String::as_str).collect();
            writeln!(table, "- {test}: {} ({})", files.len(), first.join(", "))?;
        }
    }
    print!("{table}");
    let document = root.join("docs/bandit-compat.md");
    let text = fs::read_to_string(&document)?;
    let (head, _) = text.split_once(MARK).ok_or("docs/bandit-compat.md has lost the line where the table begins")?;
    lexicon::atomic::write(&document, format!("{head}{MARK}\n\n{table}").as_bytes())?;
    Ok(())
}

/// Everything after this line of the document is written here.
const MARK: &str = "<!-- written by `make accuracy` -->";

fn share(part: usize, whole: usize) -> f64 {
    let exact = |n: usize| f64::from(u32::try_from(n).unwrap_or(u32::MAX));
    if whole == 0 { 100.0 } else { 100.0 * exact(part) / exact(whole) }
}

/// Python files below a folder, by their path from there.
fn modules(folder: &Path) -> Vec<(String, String)> {
    let (mut found, mut folders) = (Vec::new(), vec![folder.to_owned()]);
    while let Some(next) = folders.pop() {
        for entry in fs::read_dir(&next).into_iter().flatten().flatten() {
            let path = entry.path();
            match entry.file_type() {
                Ok(kind) if kind.is_dir() => folders.push(path),
                Ok(kind) if kind.is_file() && path.extension().is_some_and(|e| e == "py") => {
                    let name = path.strip_prefix(folder).unwrap_or(&path).display().to_string();
                    found.extend(fs::read_to_string(&path).ok().map(|text| (name, text)));
                }
                _ => {}
            }
        }
    }
    found.sort();
    found
}

/// What an analyzer finds, and the files it could read; `only` these are looked at where given.
fn hits(
    analyzer: &dyn Analyzer,
    files: &[(String, String)],
    only: Option<&BTreeSet<String>>,
) -> Outcome<(Hits, BTreeSet<String>)> {
    let wanted = |name: &str| only.is_none_or(|o| o.contains(name));
    let files: Vec<File> =
        files.iter().filter(|(n, _)| wanted(n)).map(|(path, source)| File { path, source }).collect();
    let scanned = analyzer.scan(&files)?;
    let (mut hits, mut readable) = (Hits::new(), BTreeSet::new());
    for (file, scanned) in files.iter().zip(scanned) {
        if scanned.skipped.is_none() {
            readable.insert(file.path.to_owned());
        }
        hits.extend(scanned.findings.into_iter().map(|f| (file.path.to_owned(), f.rule)));
    }
    Ok((hits, readable))
}
