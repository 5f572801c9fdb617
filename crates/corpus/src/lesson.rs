//! One lesson, read from its Markdown file (`content/lessons/FORMAT.md` describes the form).

use lexicon::{Cwe, Language, Severity};
use serde::Deserialize;
use std::collections::BTreeMap;

/// What a lesson teaches.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// An insecure and a secure form.
    Weakness,
    /// Code that looks insecure and is right: analyzers must stay silent on it.
    Context,
}

/// A value of a slot: plain text, or a record of named texts that vary together.
///
/// Not an untagged enum: the reader turns both forms into a map, plain text under the empty name.
pub type SlotValue = BTreeMap<String, String>;

/// A weakness pattern with everything the project needs of it.
#[derive(Clone, Debug, PartialEq)]
pub struct Lesson {
    /// Name; the file's stem.
    pub id: String,
    /// Title for a person.
    pub title: String,
    /// Language of the code.
    pub language: Language,
    /// Weakness or context.
    pub kind: Kind,
    /// Weaknesses, the label first.
    pub cwe: Vec<Cwe>,
    /// Short name of the label.
    pub weakness: String,
    /// OWASP Top 10 category, empty where none fits.
    pub owasp: String,
    /// How bad the insecure form is.
    pub severity: Severity,
    /// Libraries the code imports.
    pub libraries: Vec<String>,
    /// Packages the tests need beyond the standard library.
    pub packages: Vec<String>,
    /// Placeholders and their values.
    pub slots: BTreeMap<String, Vec<SlotValue>>,
    /// Phrasings of the task.
    pub instructions: Vec<String>,
    /// What goes wrong.
    pub why: String,
    /// The habit that produces it.
    pub habit: String,
    /// Insecure form; absent in a context lesson.
    pub insecure: Option<String>,
    /// Secure form.
    pub secure: String,
    /// One sentence: how it is attacked.
    pub risk: String,
    /// One sentence: what the secure form does.
    pub remedy: String,
    /// Functional tests.
    pub tests: Option<String>,
    /// Program that succeeds where the attack works.
    pub exploit: Option<String>,
    /// Links.
    pub references: Vec<String>,
}

/// A lesson file cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{path}:{line}: {message}")]
pub struct Error {
    /// File.
    pub path: String,
    /// Line, from 1.
    pub line: usize,
    /// What is wrong, and what to do.
    pub message: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Front {
    format: u32,
    id: String,
    title: String,
    language: Language,
    kind: Kind,
    cwe: Vec<Cwe>,
    weakness: String,
    owasp: String,
    severity: Severity,
    libraries: Vec<String>,
    packages: Vec<String>,
    slots: BTreeMap<String, Vec<toml::Value>>,
}

const SECTIONS: &[&str] = &[
    "Instruction",
    "Why",
    "How models get it wrong",
    "Insecure",
    "Secure",
    "Reasoning",
    "Tests",
    "Exploit",
    "References",
];

/// A section's text and the line its heading stands on.
struct Section {
    line: usize,
    text: String,
}

impl Lesson {
    /// Reads a lesson; `path` names it in errors and its stem must be the lesson's id.
    ///
    /// # Errors
    /// [`Error`] with the line of the first thing that is wrong.
    pub fn parse(path: &str, text: &str) -> Result<Self, Error> {
        let fail = |line: usize, message: String| Error { path: path.to_owned(), line, message };
        let text = text.replace("\r\n", "\n");
        let body = text
            .strip_prefix("+++\n")
            .ok_or_else(|| fail(1, "a lesson begins with a +++ line and its TOML front matter".into()))?;
        let end = body.find("\n+++\n").ok_or_else(|| fail(1, "the front matter has no closing +++ line".into()))?;
        let front: Front = toml::from_str(&body[..=end]).map_err(|e| {
            let line = e.span().map_or(0, |s| body[..s.start.min(body.len())].matches('\n').count());
            fail(line + 2, e.message().to_owned())
        })?;
        if front.format != lexicon::FORMAT {
            return Err(fail(2, format!("format {} is not {}", front.format, lexicon::FORMAT)));
        }
        let stem = path.rsplit('/').next().unwrap_or(path).trim_end_matches(".md");
        if front.id != stem {
            return Err(fail(2, format!("id {:?} differs from the file's name {stem:?}", front.id)));
        }
        if front.cwe.is_empty() {
            return Err(fail(2, "cwe is empty".into()));
        }
        let first_line = body[..end].matches('\n').count() + 4;
        let sections = sections(&body[end + 5..], first_line).map_err(|(line, m)| fail(line, m))?;
        let slots = slots(front.slots).map_err(|m| fail(2, m))?;

        let text_of = |name: &str| sections.get(name).map(|s| s.text.trim().to_owned());
        let need = |name: &str| text_of(name).ok_or_else(|| fail(first_line, format!("section \"{name}\" is missing")));
        let code = |name: &str| match sections.get(name) {
            None => Ok(None),
            Some(s) => fenced(&s.text)
                .map(Some)
                .ok_or_else(|| fail(s.line, format!("section \"{name}\" has no fenced code block"))),
        };
        let bullets = |text: &str| -> Vec<String> {
            text.lines().filter_map(|l| l.strip_prefix("- ")).map(|l| l.trim().to_owned()).collect()
        };
        let reasoning = need("Reasoning")?;
        let sentence = |label: &str| {
            reasoning
                .lines()
                .find_map(|l| l.strip_prefix(label))
                .map(|l| l.trim().to_owned())
                .ok_or_else(|| fail(sections["Reasoning"].line, format!("reasoning needs a line {label:?}")))
        };
        let insecure = code("Insecure")?;
        if (front.kind == Kind::Weakness) != insecure.is_some() {
            return Err(fail(first_line, "a weakness has an insecure form, a context lesson has none".into()));
        }
        let lesson = Self {
            instructions: bullets(&need("Instruction")?),
            why: need("Why")?,
            habit: need("How models get it wrong")?,
            insecure,
            secure: code("Secure")?.ok_or_else(|| fail(first_line, "section \"Secure\" is missing".into()))?,
            risk: sentence("- Risk:")?,
            remedy: sentence("- Remedy:")?,
            tests: code("Tests")?,
            exploit: code("Exploit")?,
            references: bullets(&need("References")?),
            id: front.id,
            title: front.title,
            language: front.language,
            kind: front.kind,
            cwe: front.cwe,
            weakness: front.weakness,
            owasp: front.owasp,
            severity: front.severity,
            libraries: front.libraries,
            packages: front.packages,
            slots,
        };
        if lesson.instructions.is_empty() {
            return Err(fail(sections["Instruction"].line, "no instruction: write at least one \"- \" line".into()));
        }
        lesson.check_placeholders().map_err(|m| fail(first_line, m))?;
        Ok(lesson)
    }

    /// Security reasoning R of a pair (methods.md, section 1).
    #[must_use]
    pub fn reasoning(&self) -> String {
        format!(
            "The code may have the vulnerability {}: '{}'. {} {}",
            self.cwe[0], self.weakness, self.risk, self.remedy
        )
    }

    /// Every text that may hold placeholders.
    fn texts(&self) -> impl Iterator<Item = &str> {
        self.instructions
            .iter()
            .chain(self.insecure.iter())
            .chain([&self.secure])
            .chain(self.tests.iter())
            .chain(self.exploit.iter())
            .map(String::as_str)
    }

    fn check_placeholders(&self) -> Result<(), String> {
        for text in self.texts() {
            for (_, name, field) in crate::expand::placeholders(text) {
                let known = self.slots.get(name).is_some_and(|values| values.iter().all(|v| v.contains_key(field)));
                if !known {
                    let dotted = if field.is_empty() { name.to_owned() } else { format!("{name}.{field}") };
                    return Err(format!("<<{dotted}>> has no slot: declare it under [slots]"));
                }
            }
        }
        Ok(())
    }
}

fn slots(raw: BTreeMap<String, Vec<toml::Value>>) -> Result<BTreeMap<String, Vec<SlotValue>>, String> {
    let mut out = BTreeMap::new();
    for (name, values) in raw {
        if values.is_empty() {
            return Err(format!("slot {name} has no value"));
        }
        let mut list = Vec::with_capacity(values.len());
        for value in values {
            list.push(match value {
                toml::Value::String(text) => BTreeMap::from([(String::new(), text)]),
                toml::Value::Table(table) => table
                    .into_iter()
                    .map(|(field, v)| match v {
                        toml::Value::String(text) => Ok((field, text)),
                        other => Err(format!("slot {name}.{field} is {}, expected text", other.type_str())),
                    })
                    .collect::<Result<_, _>>()?,
                other => return Err(format!("slot {name} holds {}, expected text or a table", other.type_str())),
            });
        }
        if list.iter().any(|v: &SlotValue| !v.keys().eq(list[0].keys())) {
            return Err(format!("the values of slot {name} do not have the same fields"));
        }
        out.insert(name, list);
    }
    Ok(out)
}

fn sections(body: &str, first_line: usize) -> Result<BTreeMap<&str, Section>, (usize, String)> {
    let mut out: BTreeMap<&str, Section> = BTreeMap::new();
    let mut current = None;
    let mut fenced = false;
    for (i, line) in body.lines().enumerate() {
        let number = first_line + i;
        if line.starts_with("```") {
            fenced = !fenced;
        }
        if !fenced && let Some(name) = line.strip_prefix("## ") {
            let name = name.trim();
            if !SECTIONS.contains(&name) {
                return Err((number, format!("unknown section {name:?}: expected one of {}", SECTIONS.join(", "))));
            }
            if out.insert(name, Section { line: number, text: String::new() }).is_some() {
                return Err((number, format!("section {name:?} stands twice")));
            }
            current = Some(name);
            continue;
        }
        if let Some(section) = current.and_then(|name| out.get_mut(name)) {
            section.text.push_str(line);
            section.text.push('\n');
        }
    }
    if fenced {
        return Err((first_line, "a code fence is not closed".into()));
    }
    Ok(out)
}

/// Contents of the first fence, its last newline included.
fn fenced(text: &str) -> Option<String> {
    let open = text.find("```")?;
    let start = open + text[open..].find('\n')? + 1;
    let end = start + text[start..].find("```")?;
    Some(text[start..end].to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = include_str!("../tests/lesson.md");

    #[test]
    fn reads_every_part() -> Result<(), Error> {
        let lesson = Lesson::parse("x/lesson.md", GOOD)?;
        assert_eq!(lesson.instructions.len(), 2);
        assert_eq!(lesson.slots["entity"][1]["table"], "orders");
        assert_eq!(lesson.insecure.as_deref(), Some("def <<func>>(x):\n    return eval(x)\n"));
        assert!(lesson.reasoning().starts_with("The code may have the vulnerability CWE-95: 'Eval Injection'. "));
        Ok(())
    }

    #[test]
    fn errors_name_the_line() {
        let cases = [
            (GOOD.replace("+++\nformat", "format"), "lesson.md:1: a lesson begins"),
            (GOOD.replace("id = \"lesson\"", "id = \"other\""), "lesson.md:2: id \"other\" differs"),
            (GOOD.replace("kind = \"weakness\"", "kind = \"odd\""), "lesson.md:6: unknown variant"),
            (GOOD.replace("owasp", "owsap"), "unknown field `owsap`"),
            (GOOD.replace("## Why\n", "## Wy\n"), "unknown section \"Wy\""),
            (GOOD.replace("- Remedy:", "- Cure:"), "reasoning needs a line"),
            (GOOD.replace("eval(x)", "eval(<<nope>>)"), "<<nope>> has no slot"),
            (GOOD.replace("## Insecure", "## Exploit"), "a weakness has an insecure form"),
        ];
        for (text, expect) in cases {
            let error = Lesson::parse("x/lesson.md", &text).err().map(|e| e.to_string()).unwrap_or_default();
            assert!(error.contains(expect), "{error:?} should contain {expect:?}");
        }
    }
}
