//! A dataset's card: what is known of a set comes in, the README that Hugging Face shows goes out.
//!
//! The front matter names licences, sizes, files and columns as the Hub reads them; the text holds counts alone, each from the
//! rows themselves, so that a card cannot promise what its data does not keep.

mod words;

use crate::{
    audit, clean,
    clean::secrets,
    export::{self, Form},
    knowledge::catalogue::Catalogue,
    rows::Row,
    stats::{self, Lengths, Stats},
};
use lexicon::Pair;
use rayon::prelude::*;
use std::{collections::BTreeMap, fmt::Write as _};

/// A split and the files that hold it.
#[derive(Clone, Debug)]
pub struct Split {
    /// `train`, `validation`, `test`, or what a person calls it.
    pub name: String,
    /// Its files, as paths from the card.
    pub files: Vec<String>,
    /// Bytes of its files.
    pub bytes: u64,
    /// Its rows.
    pub rows: Vec<Row>,
}

/// What a person says of a set.
#[derive(Clone, Copy, Debug)]
pub struct About<'a> {
    /// Its title.
    pub title: &'a str,
    /// What it is for, in sentences; may be empty.
    pub summary: &'a str,
    /// Which columns its files have.
    pub form: Form,
    /// A picture of its lengths, as a path from the card.
    pub drawing: Option<&'a str>,
}

/// Weaknesses and sources named at most; the others are counted.
const MOST: usize = 40;

/// Writes the card.
#[must_use]
pub fn card(splits: &[Split], about: &About, catalogue: &Catalogue) -> String {
    let rows: Vec<Row> = splits.iter().flat_map(|s| s.rows.iter().cloned()).collect();
    let pairs: Vec<&Pair> = rows.iter().filter_map(|r| if let Row::Pair(p) = r { Some(p) } else { None }).collect();
    let stats = stats::stats(&rows, None);
    let licences = licences(&rows);
    let mut out = front(splits, about, rows.len(), &licences);
    let _ = writeln!(out, "\n# {}\n", words::plain(about.title));
    if !about.summary.trim().is_empty() {
        let _ = writeln!(out, "{}\n", about.summary.trim());
    }
    out += &match about.form {
        Form::Texts => format!("{} texts of code.\n", rows.len()),
        _ => format!(
            "{} pairs: a secure and an insecure answer to one instruction, in {} languages and over {} weaknesses. The insecure \
             side is insecure on purpose: it is there to be told apart, never to be run.\n",
            rows.len(),
            stats.languages.len(),
            stats.cwes.keys().filter(|c| *c != "none").count()
        ),
    };
    out += &loading(splits);
    out += &columns(about.form);
    out += &split_table(splits);
    if !pairs.is_empty() {
        out += &counts(&stats, catalogue);
        out += &lengths(&stats, about.drawing);
    }
    out += &provenance(&rows, &licences);
    if !pairs.is_empty() {
        out += &verified(&stats);
    }
    out += &limits(&rows, &pairs, &stats);
    out
}

/// YAML that the Hub reads. Texts are written as JSON strings, which are YAML.
fn front(splits: &[Split], about: &About, rows: usize, licences: &BTreeMap<String, usize>) -> String {
    let yaml = |text: &str| serde_json::to_string(text).unwrap_or_default();
    let mut out = format!("---\npretty_name: {}\nlanguage:\n- en\n- code\n", yaml(about.title));
    let ids = words::hub_licences(licences.keys().map(String::as_str));
    let _ = writeln!(out, "license:\n{}", ids.iter().map(|id| format!("- {id}")).collect::<Vec<_>>().join("\n"));
    let _ = writeln!(out, "task_categories:\n- text-generation\nsize_categories:\n- {}", words::size(rows));
    out += "tags:\n- code\n- security\n";
    if about.form != Form::Texts {
        out += "- preference\n- dpo\n- cwe\n";
    }
    out += "configs:\n- config_name: default\n  data_files:\n";
    for split in splits {
        let _ = writeln!(out, "  - split: {}\n    path:", split.name);
        split.files.iter().for_each(|f| out += &format!("    - {}\n", yaml(f)));
    }
    let _ = writeln!(out, "dataset_info:\n  features:\n{}  splits:", export::features(about.form));
    for split in splits {
        let _ = writeln!(
            out,
            "  - name: {}\n    num_examples: {}\n    num_bytes: {}",
            split.name,
            split.rows.len(),
            split.bytes
        );
    }
    out + "---\n"
}

fn loading(splits: &[Split]) -> String {
    let first = splits.first().map_or("train", |s| s.name.as_str());
    format!(
        "\n```python\nfrom datasets import load_dataset\n\nrows = load_dataset(\"path/or/name\", split=\"{first}\")\n```\n\n`rampart train` and \
         the `rampart data` commands read the files as they are.\n"
    )
}

fn columns(form: Form) -> String {
    let rows: &[(&str, &str)] = match form {
        Form::Pairs => words::PAIRS,
        Form::Preference => words::PREFERENCE,
        Form::Texts => words::TEXTS,
    };
    let mut out = "\n## Columns\n\n| column | what it holds |\n|---|---|\n".to_owned();
    rows.iter().for_each(|(name, what)| out += &format!("| `{name}` | {what} |\n"));
    out
}

fn split_table(splits: &[Split]) -> String {
    let mut out = "\n## Splits\n\n| split | rows | bytes | files |\n|---|---:|---:|---|\n".to_owned();
    for s in splits {
        let files: Vec<String> = s.files.iter().map(|f| format!("`{}`", words::plain(f))).collect();
        let _ = writeln!(out, "| {} | {} | {} | {} |", s.name, s.rows.len(), s.bytes, files.join(", "));
    }
    out
}

/// Weaknesses down, languages across; the most frequent first.
fn counts(stats: &Stats, catalogue: &Catalogue) -> String {
    let languages: Vec<&String> = ranked(&stats.languages).into_iter().map(|(l, _)| l).collect();
    let mut out = format!(
        "\n## Weaknesses and languages\n\nBy label, the first weakness of a pair.\n\n| weakness | all | {} |\n|---|---:|{}\n",
        languages.iter().map(|l| l.as_str()).collect::<Vec<_>>().join(" | "),
        "---:|".repeat(languages.len())
    );
    let ranked = ranked(&stats.cwes);
    for (cwe, all) in ranked.iter().take(MOST) {
        let name = cwe.parse().ok().and_then(|c| catalogue.weaknesses.get(&c)).map_or("", |w| w.name.as_str());
        let of = |language: &&String| match stats.classes.get(*language).and_then(|c| c.get(*cwe)) {
            Some(n) => n.to_string(),
            None => String::new(),
        };
        let cells: Vec<String> = languages.iter().map(of).collect();
        let what = if *cwe == "none" { "no label".to_owned() } else { format!("{cwe} {}", words::plain(name)) };
        let _ = writeln!(out, "| {} | {all} | {} |", what.trim(), cells.join(" | "));
    }
    let rest: usize = ranked.iter().skip(MOST).map(|(_, n)| **n).sum();
    if rest > 0 {
        let _ = writeln!(out, "| {} more | {rest} |{}", ranked.len() - MOST, " |".repeat(languages.len()));
    }
    let total: Vec<String> = languages.iter().map(|l| stats.languages[*l].to_string()).collect();
    let _ = writeln!(out, "| **all** | {} | {} |", stats.pairs, total.join(" | "));
    out
}

fn lengths(stats: &Stats, drawing: Option<&str>) -> String {
    let row = |name: &str, l: &Lengths| format!("| {name} | {:.1} | {} | {} | {} |\n", l.mean, l.median, l.p95, l.max);
    let mut out =
        "\n## Lengths\n\n| lines | mean | median | 95 % within | longest |\n|---|---:|---:|---:|---:|\n".to_owned();
    out += &row("insecure", &stats.insecure_lines);
    out += &row("secure", &stats.secure_lines);
    if let Some(file) = drawing {
        let _ = writeln!(out, "\n![How long the two sides are]({file})");
    }
    let _ = writeln!(out, "\n{} of {} pairs carry security reasoning.", stats.reasoned, stats.pairs);
    out
}

fn provenance(rows: &[Row], licences: &BTreeMap<String, usize>) -> String {
    let origin = |row: &Row| match row {
        Row::Pair(p) => p.origin.clone(),
        Row::Text { origin, .. } => (**origin).clone(),
    };
    let mut sources: BTreeMap<(String, String, String), usize> = BTreeMap::new();
    for row in rows {
        let o = origin(row);
        let kind = if o.kind.is_empty() { "not stated".to_owned() } else { o.kind };
        *sources.entry((kind, o.source, o.licence)).or_default() += 1;
    }
    let mut kinds: BTreeMap<&str, (usize, usize)> = BTreeMap::new();
    for ((kind, ..), n) in &sources {
        let entry = kinds.entry(kind).or_default();
        *entry = (entry.0 + n, entry.1 + 1);
    }
    let mut out = "\n## Provenance and licences\n\n| origin | rows | sources |\n|---|---:|---:|\n".to_owned();
    for (kind, (n, of)) in kinds {
        let _ = writeln!(out, "| {} | {n} | {of} |", words::plain(kind));
    }
    out += "\n| licence, as each row states it | rows |\n|---|---:|\n";
    for (licence, n) in ranked(licences) {
        let _ = writeln!(
            out,
            "| {} | {n} |",
            if licence.is_empty() { "none stated".into() } else { words::plain(licence) }
        );
    }
    let mut named: Vec<_> = sources.iter().filter(|((_, source, _), _)| !source.is_empty()).collect();
    named.sort_by(|a, b| b.1.cmp(a.1).then_with(|| a.0.cmp(b.0)));
    if !named.is_empty() {
        out += "\n| source | origin | licence | rows |\n|---|---|---|---:|\n";
        for ((kind, source, licence), n) in named.iter().take(MOST) {
            let [source, kind, licence] = [source, kind, licence].map(|t| words::plain(t));
            let _ = writeln!(out, "| {source} | {kind} | {licence} | {n} |");
        }
        let rest = named.len().saturating_sub(MOST);
        if rest > 0 {
            let rows: usize = named.iter().skip(MOST).map(|(_, n)| **n).sum();
            let _ = writeln!(out, "| {rest} more | | | {rows} |");
        }
    }
    out
}

fn verified(stats: &Stats) -> String {
    let mut out = "\n## How pairs were verified\n\n".to_owned();
    if stats.verified.is_empty() {
        return out + "No row says that anybody or anything verified it.\n";
    }
    out += "| by | pairs | what that says |\n|---|---:|---|\n";
    for (by, n) in ranked(&stats.verified) {
        let _ = writeln!(out, "| {} | {n} | {} |", words::plain(by), words::verifier(by));
    }
    out
}

/// What the rows themselves say against the set.
fn limits(rows: &[Row], pairs: &[&Pair], stats: &Stats) -> String {
    let mut all: Vec<String> = Vec::new();
    let mut add = |n: usize, what: &str| {
        if n > 0 {
            all.push(format!("{n} of {} rows {what}", rows.len()));
        }
    };
    let of = |test: &(dyn Fn(&Pair) -> bool + Sync)| pairs.par_iter().filter(|p| test(p)).count();
    let licence = |row: &&Row| match row {
        Row::Pair(p) => p.origin.licence.trim().is_empty(),
        Row::Text { origin, .. } => origin.licence.trim().is_empty(),
    };
    add(rows.iter().filter(licence).count(), "state no licence: ask their source before you publish or train on them.");
    add(of(&|p| p.origin.verified.is_empty()), "were verified by nobody.");
    add(of(&|p| p.cwe.is_empty()), "have no label.");
    add(stats.identical, "have the same code on both sides.");
    add(stats.duplicates.rows, "repeat an earlier row's code.");
    add(
        of(&|p| audit::still_flagged(p)),
        "have a secure side in which rampart's own rules still find the weakness of the label.",
    );
    let found: Vec<Vec<secrets::Kind>> = rows
        .par_iter()
        .map(|row| {
            let texts: Vec<&str> = match row {
                Row::Pair(p) => vec![&p.instruction, &p.reasoning, &p.secure, &p.insecure],
                Row::Text { text, .. } => vec![text],
            };
            texts.into_iter().flat_map(secrets::find).map(|f| f.kind).collect()
        })
        .collect();
    let mut kinds: Vec<String> = found.iter().flatten().map(|k| clean::name_of(*k)).collect();
    kinds.sort();
    kinds.dedup();
    let what = format!("hold what looks like a secret or personal data ({}).", kinds.join(", "));
    add(found.iter().filter(|f| !f.is_empty()).count(), &what);
    let small = stats.classes.values().flat_map(BTreeMap::values).filter(|n| **n < 20).count();
    if small > 0 {
        let classes: usize = stats.classes.values().map(BTreeMap::len).sum();
        all.push(format!("{small} of {classes} classes (a weakness in a language) have fewer than 20 pairs."));
    }
    if let Some((class, n)) = ranked(&stats.cwes).first()
        && stats.cwes.len() > 1
    {
        all.push(format!(
            "The largest label, {class}, has {:.0} % of the pairs.",
            100.0 * **n as f64 / stats.pairs.max(1) as f64
        ));
    }
    if !pairs.is_empty() {
        all.push(
            "A pair shows one weakness; its secure side may have others that no analyzer named here knows.".to_owned(),
        );
    }
    let mut out = "\n## Known limits\n\n".to_owned();
    all.iter().for_each(|line| out += &format!("- {line}\n"));
    out + "\nThis card was written from the rows by `rampart data card`.\n"
}

fn licences(rows: &[Row]) -> BTreeMap<String, usize> {
    let mut counts = BTreeMap::new();
    for row in rows {
        let licence = match row {
            Row::Pair(p) => &p.origin.licence,
            Row::Text { origin, .. } => &origin.licence,
        };
        *counts.entry(licence.trim().to_owned()).or_default() += 1;
    }
    counts
}

/// The most frequent first.
fn ranked(counts: &BTreeMap<String, usize>) -> Vec<(&String, &usize)> {
    let mut all: Vec<_> = counts.iter().collect();
    all.sort_by(|a, b| b.1.cmp(a.1).then(a.0.cmp(b.0)));
    all
}

#[cfg(test)]
mod tests {
    use super::*;
    use lexicon::{Cwe, Language, Origin};

    fn pair(i: usize, licence: &str, source: &str) -> Row {
        Row::Pair(Pair {
            format: lexicon::FORMAT,
            id: format!("p-{i}"),
            language: if i.is_multiple_of(3) { Language::Go } else { Language::Python },
            cwe: vec![Cwe(if i.is_multiple_of(2) { 89 } else { 95 })],
            instruction: "i".into(),
            reasoning: String::new(),
            secure: format!("x = int(a{i})\n"),
            insecure: format!("x = eval(a{i})\n"),
            origin: Origin {
                kind: "mined".into(),
                source: source.into(),
                licence: licence.into(),
                ..Origin::default()
            },
        })
    }

    #[test]
    fn a_card_says_what_its_rows_say() {
        let hostile = "a|b\n<script>`x`";
        let train: Vec<Row> = (0..6).map(|i| pair(i, if i == 0 { "" } else { "MIT OR Apache-2.0" }, hostile)).collect();
        let split = |name: &str, rows: Vec<Row>| Split {
            name: name.into(),
            files: vec![format!("data/{name}.parquet")],
            bytes: 10,
            rows,
        };
        let splits = [split("train", train), split("test", vec![pair(1, "GPL-3.0-only", "s")])];
        let about = About { title: "A \"set\": 1", summary: "", form: Form::Pairs, drawing: Some("lengths.svg") };
        let mut catalogue = Catalogue::default();
        catalogue
            .weaknesses
            .insert(Cwe(89), crate::knowledge::catalogue::Weakness { name: "SQL".into(), ..Default::default() });
        let text = card(&splits, &about, &catalogue);
        for expect in [
            "---\npretty_name: \"A \\\"set\\\": 1\"\n",
            "license:\n- apache-2.0\n- gpl-3.0\n- mit\n- unknown\n",
            "size_categories:\n- n<1K\n",
            "  - split: test\n    path:\n    - \"data/test.parquet\"\n",
            "  - name: train\n    num_examples: 6\n    num_bytes: 10\n",
            "| weakness | all | python | go |\n|---|---:|---:|---:|\n| CWE-95 | 4 | 3 | 1 |\n| CWE-89 SQL | 3 | 2 | 1 |\n| **all** | 7 | 5 | 2 |",
            "| MIT OR Apache-2.0 | 5 |",
            "| none stated | 1 |",
            "1 of 7 rows state no licence",
            "7 of 7 rows were verified by nobody",
            "1 of 7 rows repeat an earlier row's code",
            "![How long the two sides are](lengths.svg)",
        ] {
            assert!(text.contains(expect), "no {expect:?} in {text}");
        }
        assert!(!text.contains("<script>") && !text.contains("a|b\n"), "{text}");
    }
}
