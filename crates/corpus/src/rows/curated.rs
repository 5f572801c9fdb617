//! Patterns that people write down: four forms of JSON Lines, read into pairs, or into text where there is one side.
//!
//! | `type` | what it holds |
//! |---|---|
//! | `secure-pattern` | code that does it right; with the wrong way beside it, a pair |
//! | `vulnerable-pattern` | code with a weakness, and its alternative |
//! | `cve` | the code of a known vulnerability, before and after |
//! | `framework-pattern` | how a framework does it right; with the wrong way beside it, a pair |
//!
//! Teams name fields as they like, so each is known by several names ([`FIELDS`]), in any case and with `-` for `_`. Without
//! `type` the form is told by the fields: `cve`, `framework`, a vulnerable side, or neither.

use super::Row;
use crate::{Template, mine::instruction, validate::hint};
use judge::languages::{self, Dialect, Function};
use lexicon::{Cwe, FORMAT, Language, Origin, Pair};
use serde_json::{Map, Value};
use std::collections::BTreeMap;

/// What a field is about, and the names it is known by.
pub const FIELDS: &[(&str, &[&str])] = &[
    ("type", &["type", "kind", "form", "pattern_type", "category", "record_type"]),
    ("language", &["language", "lang", "programming_language"]),
    ("cwe", &["cwe", "cwe_id", "cwes", "cwe_ids", "weakness", "weaknesses", "vul_type"]),
    ("cve", &["cve", "cve_id"]),
    ("framework", &["framework", "library"]),
    (
        "secure",
        &[
            "secure",
            "secure_code",
            "secure_alternative",
            "secure_example",
            "secure_pattern",
            "secure_version",
            "fixed",
            "fixed_code",
            "fix",
            "patched_code",
            "patch",
            "alternative",
            "safe_code",
            "good",
            "good_code",
            "code_after",
            "after",
        ],
    ),
    (
        "insecure",
        &[
            "insecure",
            "vulnerable",
            "vulnerable_code",
            "vulnerable_example",
            "vulnerable_pattern",
            "vulnerable_version",
            "insecure_code",
            "insecure_example",
            "insecure_pattern",
            "bad",
            "bad_code",
            "anti_pattern",
            "antipattern",
            "code_before",
            "before",
        ],
    ),
    ("code", &["code", "example", "snippet", "pattern", "implementation"]),
    ("instruction", &["instruction", "prompt", "task", "use_case"]),
    ("title", &["title", "name", "pattern_name", "summary"]),
    (
        "reasoning",
        &["reasoning", "explanation", "rationale", "why", "description", "security_notes", "notes", "mitigation"],
    ),
    ("licence", &["licence", "license", "spdx"]),
    ("source", &["source", "url", "reference", "references", "link", "repository", "repo", "commit", "commit_link"]),
    ("id", &["id", "pattern_id"]),
];

/// A pattern as a row; nothing where the object has no field of one.
pub(super) fn row(object: &Map<String, Value>, fallback: &str) -> Option<Result<Row, String>> {
    let pattern = Pattern::of(object);
    let has = |field| pattern.0.contains_key(field);
    // Code and nothing said of it is anybody's row: whether it is a secure example nobody knows.
    let said = || ["type", "cwe", "cve", "framework", "instruction", "title", "reasoning"].into_iter().any(has);
    (has("secure") || has("insecure") || has("code") && said()).then(|| pattern.row(fallback))
}

/// Fields by what they are about, with the name they came under.
struct Pattern<'o>(BTreeMap<&'static str, (&'o str, &'o Value)>);

impl<'o> Pattern<'o> {
    fn of(object: &'o Map<String, Value>) -> Self {
        let plain: BTreeMap<String, (&str, &Value)> = object
            .iter()
            .filter(|(_, v)| !v.is_null())
            .map(|(name, value)| (name.to_ascii_lowercase().replace(['-', ' '], "_"), (name.as_str(), value)))
            .collect();
        let find = |names: &&[&str]| names.iter().find_map(|n| plain.get(*n).copied());
        Self(FIELDS.iter().filter_map(|(about, names)| Some((*about, find(names)?))).collect())
    }

    /// A text, or several as lines; empty where there is none.
    fn text(&self, about: &str) -> Result<String, String> {
        match self.0.get(about) {
            None => Ok(String::new()),
            Some((_, Value::String(text))) => Ok(text.clone()),
            Some((name, Value::Array(list))) => {
                let lines: Option<Vec<&str>> = list.iter().map(Value::as_str).collect();
                lines.map(|l| l.join("\n")).ok_or_else(|| format!("{name} is a list of other things than texts"))
            }
            Some((name, other)) => Err(format!("{name} is {other}, expected text")),
        }
    }

    fn row(&self, fallback: &str) -> Result<Row, String> {
        let stated = self.text("type")?.to_ascii_lowercase().replace(['_', ' '], "-");
        let (cve, framework) = (self.text("cve")?, self.text("framework")?);
        let mut secure = self.text("secure")?;
        let mut insecure = self.text("insecure")?;
        let code = self.text("code")?;
        let kind = match stated.as_str() {
            "secure" | "secure-pattern" => "secure-pattern",
            "vulnerable" | "insecure" | "vulnerable-pattern" | "insecure-pattern" | "anti-pattern" => {
                "vulnerable-pattern"
            }
            "cve" | "cve-fix" | "cve-example" | "cve-pattern" => "cve",
            "framework" | "framework-pattern" => "framework-pattern",
            _ if !cve.is_empty() => "cve",
            _ if !framework.is_empty() => "framework-pattern",
            _ if !insecure.is_empty() => "vulnerable-pattern",
            _ => "secure-pattern",
        };
        // What is called the code alone is the side that the form is about.
        let side = if kind == "vulnerable-pattern" { &mut insecure } else { &mut secure };
        if side.is_empty() {
            *side = code;
        }
        let wants_both = matches!(kind, "cve" | "vulnerable-pattern");
        if secure.trim().is_empty() {
            return Err(format!("a {kind} without secure code: give it as secure_code"));
        }
        if wants_both && insecure.trim().is_empty() {
            return Err(format!("a {kind} without the vulnerable code: give it as vulnerable_code"));
        }
        let language = match self.text("language")? {
            name if name.is_empty() => Language::Python,
            name => name.parse().map_err(|e: lexicon::language::UnknownLanguage| e.to_string())?,
        };
        let cwe = self.cwes()?;
        let title = self.text("title")?;
        let given = self.text("instruction")?;
        let instruction = [given.as_str(), &signature(language, &insecure, &secure, &cwe), &title]
            .into_iter()
            .find(|text| !text.trim().is_empty())
            .map_or_else(|| format!("Write {} code.", language.title()), str::to_owned);
        let mut extra = BTreeMap::new();
        for (key, value) in [("cve", cve), ("framework", framework), ("title", title)] {
            if !value.is_empty() {
                extra.insert(key.to_owned(), value);
            }
        }
        let origin = Origin {
            kind: kind.to_owned(),
            source: self.text("source")?,
            licence: self.text("licence")?,
            extra,
            ..Origin::default()
        };
        let id = match self.text("id")? {
            id if id.is_empty() => fallback.to_owned(),
            id => id,
        };
        if insecure.trim().is_empty() {
            let mut origin = origin;
            origin.extra.insert("language".to_owned(), language.name().to_owned());
            if let Some(label) = cwe.first() {
                origin.extra.insert("cwe".to_owned(), label.to_string());
            }
            let text = headed(language, &instruction) + &secure;
            return Ok(Row::Text { id, text, origin: Box::new(origin) });
        }
        let reasoning = self.text("reasoning")?;
        Ok(Row::Pair(Pair { format: FORMAT, id, language, cwe, instruction, reasoning, secure, insecure, origin }))
    }

    /// `"CWE-89"`, `89`, `["CWE-89", ..]`, or a text that begins with one (`CWE-89: SQL injection`).
    fn cwes(&self) -> Result<Vec<Cwe>, String> {
        let Some((name, value)) = self.0.get("cwe") else { return Ok(Vec::new()) };
        let one = |value: &Value| {
            let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
            let head = text.split([':', ',', ';', '(']).next().unwrap_or_default().trim();
            head.parse().map_err(|e| format!("{name}: {e}"))
        };
        match value {
            Value::Array(list) => list.iter().map(one).collect(),
            value => Ok(vec![one(value)?]),
        }
    }
}

/// What was asked, as code of the language says it above what follows.
fn headed(language: Language, instruction: &str) -> String {
    let mark = match language {
        Language::Python => return Template::Docstring.prompt(instruction),
        Language::Ruby => "#",
        _ => "//",
    };
    instruction.lines().map(|line| format!("{mark} {line}\n")).collect()
}

/// What both sides answer, from the first function that both have; nothing where there is none.
fn signature(language: Language, insecure: &str, secure: &str, cwe: &[Cwe]) -> String {
    let Some(dialect) = Dialect::ALL.into_iter().find(|d| d.language() == language) else { return String::new() };
    let of = |code: &str| -> Vec<Function> { languages::functions(dialect, code) };
    let after = of(secure);
    let before = if insecure.is_empty() { of(secure) } else { of(insecure) };
    before
        .iter()
        .find_map(|b| {
            let a = after.iter().find(|a| a.name == b.name)?;
            instruction::of_function(language, b, a, "", cwe)
        })
        .filter(|text| hint(text, "", cwe, false).is_none())
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    const BAD: &str = "def find(db, name):\n    db.execute('select ' + name)\n";
    const GOOD: &str = "def find(db, name):\n    db.execute('select ?', (name,))\n";

    /// `expect` is `pair kind`, `text kind`, or a part of the message.
    fn check(fields: Value, expect: &str) -> Option<Pair> {
        let Value::Object(object) = fields else { return None };
        match super::super::row(object, "f-1") {
            Ok(Row::Pair(pair)) => {
                assert_eq!(format!("pair {}", pair.origin.kind), expect);
                Some(pair)
            }
            Ok(Row::Text { text, origin, .. }) => {
                assert_eq!(format!("text {}", origin.kind), expect);
                assert!(text.contains("def find"), "{text}");
                None
            }
            Err(said) => {
                assert!(said.contains(expect), "{said:?} should contain {expect:?}");
                None
            }
        }
    }

    #[test]
    fn four_forms_and_broken_ones() {
        use serde_json::json;
        check(
            json!({"type": "secure_pattern", "language": "python", "cwe": "CWE-89", "code": GOOD}),
            "text secure-pattern",
        );
        let pair = check(
            json!({"type": "vulnerable_pattern", "cwe_id": "CWE-89: SQL injection", "vulnerable_code": BAD,
                   "secure_alternative": GOOD, "explanation": "why", "license": "MIT", "url": "https://example.com/1"}),
            "pair vulnerable-pattern",
        );
        let pair = pair.expect("a pair");
        assert_eq!((pair.cwe.as_slice(), pair.reasoning.as_str()), (&[Cwe(89)][..], "why"));
        assert_eq!((pair.origin.licence.as_str(), pair.origin.source.as_str()), ("MIT", "https://example.com/1"));
        assert_eq!(pair.instruction, "Write the Python function `find` with the signature `def find(db, name)`.");
        let cve = check(
            json!({"CVE-ID": "CVE-2020-1234", "cwe": ["CWE-89"], "vulnerable_code": BAD, "fixed_code": GOOD, "language": "py"}),
            "pair cve",
        );
        assert_eq!(cve.expect("a pair").origin.extra["cve"], "CVE-2020-1234");
        let framework = json!({"framework": "django", "pattern": GOOD, "anti_pattern": BAD, "task": "Find by name."});
        let framework = check(framework, "pair framework-pattern").expect("a pair");
        assert_eq!(
            (framework.origin.extra["framework"].as_str(), framework.instruction.as_str()),
            ("django", "Find by name.")
        );
        check(json!({"framework": "flask", "secure_code": GOOD.lines().collect::<Vec<_>>()}), "text framework-pattern");
        check(json!({"type": "cve", "cve": "CVE-1", "fixed_code": GOOD}), "a cve without the vulnerable code");
        check(json!({"type": "vulnerable", "code": BAD}), "a vulnerable-pattern without secure code");
        check(json!({"code": 1, "title": "t"}), "code is 1, expected text");
        check(json!({"code": GOOD}), "not a row of a known form");
        check(json!({"vulnerable_code": BAD, "fixed_code": GOOD, "cwe": "SQLi"}), "is not a CWE identifier");
        check(json!({"vulnerable_code": BAD, "fixed_code": GOOD, "language": "cobol"}), "unknown language");
        check(json!({"framework": "flask"}), "not a row of a known form");
    }
}
