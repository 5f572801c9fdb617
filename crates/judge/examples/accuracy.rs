//! How well analyzers tell vulnerable code from its fix: labelled pairs come in, `docs/accuracy.md` goes out.
//!
//! `cargo run --release --package judge --example accuracy` measures every analyzer that is installed, in one run, on the
//! pairs in `../shared/data`; Semgrep with `--semgrep-rules PATH`, because it has no rules of its own offline. With `--list NAME` it prints instead which pairs of a set our own rules miss or flag wrongly.

#[path = "../tests/labelled/mod.rs"]
mod labelled;

use judge::analyzers::{self, Analyzer, File, Scanned, Settings};
use labelled::{Families, Pair};
use lexicon::{Language, Severity};
use std::{
    error::Error,
    fmt::Write as _,
    fs, iter,
    path::{Path, PathBuf},
};

/// What a whole file usually begins with; functions are cut out of theirs.
const HEADER: &str = "import os\nimport re\nimport sys\nimport ssl\nimport json\nimport random\nimport pickle\nimport shutil\n\
                      import hashlib\nimport logging\nimport sqlite3\nimport tempfile\nimport subprocess\n\
                      import xml.etree.ElementTree as ET\nimport yaml\nimport requests\nimport paramiko\n\
                      from lxml import etree\nfrom flask import Flask, request, redirect, send_file, make_response\n\n";

type Outcome<T> = Result<T, Box<dyn Error>>;

/// Shares of one analyzer on one set, in percent.
struct Rates {
    found: f64,
    false_alarms: f64,
    told_apart: f64,
    /// Fixed functions with any finding.
    any: f64,
}

fn main() -> Outcome<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let Some(families) = labelled::families() else {
        return Err("the labelled data is not here: it belongs in ../shared, see docs/accuracy.md".into());
    };
    let sets = labelled::pairs();
    if let [flag, name] = arguments.as_slice()
        && flag == "--list"
    {
        let foreign = labelled::foreign_pairs();
        if let Some(set) = foreign.iter().find(|set| set.name == name) {
            return list(&families, set.pairs.iter(), set.extension);
        }
        return list(&families, sets.iter().filter(|(set, _)| set == name).flat_map(|(_, pairs)| pairs), "py");
    }
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../..");
    let folders = folders(&root);
    let semgrep_rules = match arguments.as_slice() {
        [flag, path] if flag == "--semgrep-rules" => Some(PathBuf::from(path)),
        _ => None,
    };
    let settings =
        Settings { folders, semgrep_rules, min_severity: Severity::Low, nosec: false, ..Settings::default() };
    let humaneval = labelled::puzzles("data/humaneval/HumanEval.jsonl.gz");
    let mbpp = labelled::puzzles("data/mbpp/mbpp_release_v1.jsonl");

    let mut table = String::from("| analyzer | imports |");
    sets.iter().for_each(|(name, pairs)| write!(table, " {name} ({} pairs) |", pairs.len()).unwrap_or_default());
    write!(table, " HumanEval ({}) | MBPP ({}) |\n|---|---|", humaneval.len(), mbpp.len())?;
    sets.iter().for_each(|_| table.push_str("---|"));
    table.push_str("---|---|\n");
    let mut absent = Vec::new();
    for known in analyzers::ALL {
        let analyzer = match (known.open)(&settings) {
            Ok(analyzer) => analyzer,
            Err(error) => {
                absent.push(format!("- {error}"));
                continue;
            }
        };
        if !analyzer.languages().contains(&Language::Python) {
            continue;
        }
        for (header, how) in [("", "none"), (HEADER, "usual")] {
            write!(table, "| {} | {how} |", analyzer.name())?;
            for (_, pairs) in &sets {
                let r = rates(analyzer.as_ref(), &families, pairs, header, "py")?;
                write!(table, " {:.1} / {:.1} / {:.1} |", r.found, r.false_alarms, r.told_apart)?;
            }
            for puzzles in [&humaneval, &mbpp] {
                let code: Vec<String> = puzzles.iter().map(|p| format!("{header}{p}")).collect();
                let body = |f: &lexicon::Finding| f.start.line > header.lines().count();
                let flagged = scan(analyzer.as_ref(), &code, "py")?;
                let flagged = flagged.iter().filter(|s| s.findings.iter().any(body)).count();
                write!(table, " {:.1} |", share(flagged, code.len()))?;
            }
            table.push('\n');
        }
    }
    print!("{table}");
    absent.iter().for_each(|line| println!("{line}"));
    let document = root.join("docs/accuracy.md");
    let text = fs::read_to_string(&document)?;
    let (head, _) = text.split_once(MARK).ok_or("docs/accuracy.md has lost the line where the table begins")?;
    let other = other_languages(&settings, &families)?;
    print!("\n{other}");
    let absent = if absent.is_empty() { String::new() } else { format!("\nNot measured:\n{}\n", absent.join("\n")) };
    lexicon::atomic::write(&document, format!("{head}{MARK}\n\n{table}{absent}\n{other}").as_bytes())?;
    Ok(())
}

/// The table of the other languages: every analyzer on the pairs in what it reads.
fn other_languages(settings: &Settings, families: &Families) -> Outcome<String> {
    let mut table = String::from(
        "| analyzer | pairs | found / false alarms / told apart | any finding in the fixed |\n|---|---|---|---|\n",
    );
    for set in labelled::foreign_pairs() {
        for analyzer in analyzers::ALL.iter().filter_map(|known| (known.open)(settings).ok()) {
            let language = Language::from_extension(set.extension).ok_or("an extension of no language")?;
            if !analyzer.languages().contains(&language) {
                continue;
            }
            let r = rates(analyzer.as_ref(), families, &set.pairs, "", set.extension)?;
            writeln!(
                table,
                "| {} | {} ({}) | {:.1} / {:.1} / {:.1} | {:.1} |",
                analyzer.name(),
                set.name,
                set.pairs.len(),
                r.found,
                r.false_alarms,
                r.told_apart,
                r.any
            )?;
        }
    }
    Ok(table)
}

/// Where analyzers are looked for: the project's own tools, then `PATH`.
#[expect(clippy::disallowed_methods, reason = "a program of its own: nobody hands it the environment")]
fn folders(root: &Path) -> Vec<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    iter::once(root.join(".venv/bin")).chain(std::env::split_paths(&path)).collect()
}

/// Everything after this line of the document is written here.
const MARK: &str = "<!-- written by `make accuracy` -->";

fn scan(analyzer: &dyn Analyzer, code: &[String], extension: &str) -> Outcome<Vec<Scanned>> {
    let names: Vec<String> = (0..code.len()).map(|i| format!("{i}.{extension}")).collect();
    let files: Vec<File> = names.iter().zip(code).map(|(path, source)| File { path, source }).collect();
    Ok(analyzer.scan(&files)?)
}

fn share(part: usize, whole: usize) -> f64 {
    let exact = |n: usize| f64::from(u32::try_from(n).unwrap_or(u32::MAX));
    100.0 * exact(part) / exact(whole).max(1.0)
}

/// Findings in the imports put before the code do not count: they are the measurement's own.
fn rates(
    analyzer: &dyn Analyzer,
    families: &Families,
    pairs: &[Pair],
    header: &str,
    extension: &str,
) -> Outcome<Rates> {
    let side = |of: fn(&Pair) -> &String| -> Outcome<(Vec<bool>, usize)> {
        let code: Vec<String> = pairs.iter().map(|p| format!("{header}{}", of(p))).collect();
        let body = |f: &&lexicon::Finding| f.start.line > header.lines().count();
        let scanned = scan(analyzer, &code, extension)?;
        let hit = |(p, s): (&Pair, &Scanned)| s.findings.iter().filter(body).any(|f| families.matches(p.label, f));
        let any = scanned.iter().filter(|s| s.findings.iter().any(|f| body(&f))).count();
        Ok((pairs.iter().zip(&scanned).map(hit).collect(), any))
    };
    let ((vulnerable, _), (fixed, any)) = (side(|p| &p.vulnerable)?, side(|p| &p.fixed)?);
    let count = |flags: &[bool]| flags.iter().filter(|f| **f).count();
    let apart = vulnerable.iter().zip(&fixed).filter(|(v, f)| **v && !**f).count();
    Ok(Rates {
        found: share(count(&vulnerable), pairs.len()),
        false_alarms: share(count(&fixed), pairs.len()),
        told_apart: share(apart, pairs.len()),
        any: share(any, pairs.len()),
    })
}

/// Prints the pairs that our own rules get wrong, with the lines that changed.
fn list<'p>(families: &Families, pairs: impl Iterator<Item = &'p Pair>, extension: &str) -> Outcome<()> {
    let name = format!("f.{extension}");
    for (number, pair) in pairs.enumerate() {
        let judged = [&pair.vulnerable, &pair.fixed].map(|code| {
            let found = judge::languages::scan_file(&name, code, None).findings;
            let hits: Vec<_> = found.iter().filter(|f| families.matches(pair.label, f)).cloned().collect();
            (hits, found)
        });
        let kind = match (judged[0].0.is_empty(), judged[1].0.is_empty()) {
            (false, true) => continue,
            (true, true) => "MISSED",
            (false, false) => "FALSE",
            (true, false) => "INVERTED",
        };
        println!("==== {kind} {number} CWE-{}", pair.label);
        for (hits, all) in &judged {
            let show = |f: &lexicon::Finding| format!("{}:{}", f.start.line, f.rule);
            println!(
                "  {:?} of {:?}",
                hits.iter().map(show).collect::<Vec<_>>(),
                all.iter().map(show).collect::<Vec<_>>()
            );
        }
        println!("{}---- fixed", pair.vulnerable);
        let old: Vec<&str> = pair.vulnerable.lines().collect();
        pair.fixed.lines().filter(|l| !old.contains(l)).for_each(|l| println!("{l}"));
    }
    Ok(())
}
