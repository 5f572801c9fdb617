//! What analyzers look for: identifiers, titles, weaknesses.

use super::Error;
use judge::{analyzers, languages, native};
use lexicon::{Cwe, Language};
use serde::Serialize;
use serde_json::Value;
use std::{collections::BTreeMap, fs, path::Path};

/// Largest report that is read.
const LARGEST: u64 = 256 << 20;

/// A rule of an analyzer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Rule {
    /// Whose.
    pub analyzer: String,
    /// Its name there.
    pub id: String,
    /// What it looks for.
    pub title: String,
    /// Weaknesses, the best fitting first.
    pub cwe: Vec<Cwe>,
    /// Languages it reads; none where its report does not say.
    pub languages: Vec<Language>,
}

/// The rules that are inside the binary: ours for every language, and Bandit's.
#[must_use]
pub fn built_in() -> Vec<Rule> {
    let mut rules: BTreeMap<&str, Rule> = BTreeMap::new();
    let mut add = |rule: &'static native::Rule, languages: &mut dyn Iterator<Item = Language>| {
        let entry = rules.entry(rule.id).or_insert_with(|| Rule {
            analyzer: native::ANALYZER.to_owned(),
            id: rule.id.to_owned(),
            title: rule.what.to_owned(),
            cwe: rule.cwe.iter().copied().map(Cwe).collect(),
            languages: Vec::new(),
        });
        entry.languages.extend(languages);
    };
    for rule in native::rules::ALL {
        add(rule, &mut std::iter::once(Language::Python));
    }
    for described in languages::described() {
        add(described.rule, &mut described.languages.iter().map(|(language, _)| *language));
    }
    let mut all: Vec<Rule> = rules.into_values().collect();
    for rule in &mut all {
        rule.languages.sort_unstable();
        rule.languages.dedup();
    }
    all.extend(analyzers::bandit_tests().map(|(id, cwe, about)| Rule {
        analyzer: "bandit".to_owned(),
        id: id.to_owned(),
        title: about.to_owned(),
        cwe: vec![Cwe(cwe)],
        languages: vec![Language::Python],
    }));
    all
}

/// The rules that a SARIF report lists: CodeQL, Semgrep, Ruff, ESLint and others write all or most of theirs into each.
///
/// # Errors
/// [`Error`] where it is no SARIF.
pub fn of_report(path: &Path) -> Result<Vec<Rule>, Error> {
    let name = path.display().to_string();
    let failed = |e: std::io::Error| Error::Read { path: name.clone(), why: e.to_string() };
    let length = fs::metadata(path).map_err(failed)?.len();
    let form = |why: &str| Error::Form { path: name.clone(), at: 0, why: why.to_owned() };
    if length > LARGEST {
        return Err(form("larger than any report of rules"));
    }
    let text = fs::read(path).map_err(failed)?;
    let value: Value = serde_json::from_slice(&text).map_err(|e| form(&format!("not SARIF: {e}")))?;
    let Some(runs) = value["runs"].as_array() else { return Err(form("not SARIF: it has no runs")) };
    let mut rules = Vec::new();
    for tool in runs.iter().map(|run| &run["tool"]) {
        let extensions = tool["extensions"].as_array().into_iter().flatten();
        let analyzer = tool["driver"]["name"].as_str().unwrap_or("unknown").to_lowercase();
        for rule in
            std::iter::once(&tool["driver"]).chain(extensions).filter_map(|part| part["rules"].as_array()).flatten()
        {
            let Some(id) = rule["id"].as_str() else { continue };
            let text = |key: &str| rule[key]["text"].as_str().map(str::to_owned);
            let title = text("shortDescription").or_else(|| rule["name"].as_str().map(str::to_owned));
            let tags = rule["properties"]["tags"].as_array().into_iter().flatten().filter_map(Value::as_str);
            let cwe = tags.filter_map(cwe_of_tag).collect();
            let languages = language_of(id).into_iter().collect();
            let title = title.or_else(|| text("fullDescription")).unwrap_or_default();
            rules.push(Rule { analyzer: analyzer.clone(), id: id.to_owned(), title, cwe, languages });
        }
    }
    if rules.is_empty() {
        return Err(form("a SARIF report that lists no rule"));
    }
    Ok(rules)
}

/// `external/cwe/cwe-089`, or `CWE-89: ..`.
fn cwe_of_tag(tag: &str) -> Option<Cwe> {
    let lower = tag.to_ascii_lowercase();
    let at = lower.rfind("cwe-")?;
    let digits: String = lower[at + 4..].chars().take_while(char::is_ascii_digit).collect();
    digits.parse().ok().map(Cwe)
}

/// The language that a rule's name begins with: `py/sql-injection`, `python.lang.x`.
fn language_of(id: &str) -> Option<Language> {
    let first = id.split(['/', '.']).next().filter(|first| first.len() < id.len())?;
    first.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_of_every_language_and_of_reports() {
        let rules = built_in();
        for &language in Language::ALL {
            assert!(rules.iter().any(|r| r.languages.contains(&language)), "{language}");
        }
        assert!(rules.iter().filter(|r| r.analyzer == "bandit").count() >= 60);
        assert!(rules.iter().all(|r| !r.title.is_empty() && !r.cwe.is_empty() && !r.languages.is_empty()));

        let folder = tempfile::tempdir().expect("a folder");
        let check = |text: &str| {
            let file = folder.path().join("r.sarif");
            std::fs::write(&file, text).expect("a file");
            of_report(&file).map_err(|e| e.to_string())
        };
        let report = r#"{"runs":[{"tool":{"driver":{"name":"CodeQL","rules":[{"id":"py/x","shortDescription":{"text":"X"},
            "properties":{"tags":["security","external/cwe/cwe-089"]}}]},"extensions":[{"rules":[{"id":"y","name":"Y"}]}]}}]}"#;
        let rules = check(report).expect("rules");
        assert_eq!(
            (rules.len(), rules[0].cwe.as_slice(), rules[0].languages.as_slice()),
            (2, &[Cwe(89)][..], &[Language::Python][..])
        );
        assert_eq!(rules[1].title, "Y");
        for (text, expect) in [("", "not SARIF"), ("{}", "no runs"), (r#"{"runs":[]}"#, "lists no rule")] {
            assert!(check(text).is_err_and(|e| e.contains(expect)));
        }
    }
}
