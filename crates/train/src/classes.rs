//! Rows come in, how many examples there are of each class goes out: where a row comes from, its language, its weakness.

use corpus::rows::Row;
use serde::Serialize;
use std::collections::BTreeMap;

/// Weaknesses that a line names before it only counts the rest.
const NAMED: usize = 8;

/// What a row is.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Class {
    /// Where it comes from: `lesson`, `mined`, `distilled`, a curated form; `text` for a row without two sides.
    pub origin: String,
    /// Language, empty for text.
    pub language: String,
    /// Its first weakness, empty where none is named.
    pub cwe: String,
}

impl Class {
    /// The class of a row.
    #[must_use]
    pub fn of(row: &Row) -> Self {
        match row {
            Row::Text { .. } => Self { origin: "text".into(), language: String::new(), cwe: String::new() },
            Row::Pair(pair) => Self {
                origin: if pair.origin.kind.is_empty() { "unknown".into() } else { pair.origin.kind.clone() },
                language: pair.language.name().to_owned(),
                cwe: pair.cwe.first().map(ToString::to_string).unwrap_or_default(),
            },
        }
    }
}

/// Examples of a class.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Count {
    /// Made of rows.
    pub used: usize,
    /// Added by oversampling.
    pub repeated: usize,
}

/// Examples by class.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Classes(BTreeMap<Class, Count>);

/// A class as it is written.
#[derive(Serialize)]
struct Line<'a> {
    origin: &'a str,
    language: &'a str,
    cwe: &'a str,
    used: usize,
    repeated: usize,
}

impl Classes {
    /// Counts examples of a class.
    pub(crate) fn add(&mut self, class: &Class, used: usize, repeated: usize) {
        if used + repeated > 0 {
            let count = self.0.entry(class.clone()).or_default();
            count.used += used;
            count.repeated += repeated;
        }
    }

    /// The classes and their examples.
    pub fn iter(&self) -> impl Iterator<Item = (&Class, Count)> {
        self.0.iter().map(|(class, count)| (class, *count))
    }

    /// One line for each origin: its examples by language, and its commonest weaknesses.
    #[must_use]
    pub fn lines(&self) -> Vec<String> {
        let mut origins: BTreeMap<&str, Vec<(&Class, usize)>> = BTreeMap::new();
        for (class, count) in self.iter() {
            origins.entry(&class.origin).or_default().push((class, count.used + count.repeated));
        }
        origins.into_iter().map(|(origin, classes)| line(origin, &classes)).collect()
    }

    /// The counts for programs: a JSON list, a class a line.
    pub(crate) fn json(&self) -> String {
        let written = |(class, count): (&Class, Count)| {
            let line = Line {
                origin: &class.origin,
                language: &class.language,
                cwe: &class.cwe,
                used: count.used,
                repeated: count.repeated,
            };
            serde_json::to_string(&line).unwrap_or_default()
        };
        format!("[\n{}\n]\n", self.iter().map(written).collect::<Vec<_>>().join(",\n"))
    }
}

fn line(origin: &str, classes: &[(&Class, usize)]) -> String {
    let by = |of: fn(&Class) -> &str| {
        let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
        for (class, count) in classes.iter().filter(|(c, _)| !of(c).is_empty()) {
            *counts.entry(of(class)).or_default() += count;
        }
        let mut counts: Vec<_> = counts.into_iter().collect();
        // The commonest first; of equals in the order of their names.
        counts.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
        counts
    };
    let list = |counts: &[(&str, usize)]| {
        counts.iter().map(|(name, count)| format!("{name} {count}")).collect::<Vec<_>>().join(", ")
    };
    let (languages, weaknesses) = (by(|c| &c.language), by(|c| &c.cwe));
    let mut out = format!("  {origin}: {} examples", classes.iter().map(|(_, count)| count).sum::<usize>());
    if !languages.is_empty() {
        out += &format!("; {}", list(&languages));
    }
    if !weaknesses.is_empty() {
        let more = weaknesses.len().saturating_sub(NAMED);
        out += &format!("; {}", list(&weaknesses[..weaknesses.len() - more]));
        if more > 0 {
            out += &format!(" and {more} weaknesses more");
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_and_json() {
        let class = |origin: &str, language: &str, cwe: &str| Class {
            origin: origin.into(),
            language: language.into(),
            cwe: cwe.into(),
        };
        let mut classes = Classes::default();
        classes.add(&class("lesson", "python", "CWE-89"), 4, 0);
        classes.add(&class("lesson", "go", "CWE-89"), 1, 2);
        classes.add(&class("lesson", "go", "CWE-22"), 4, 0);
        classes.add(&class("lesson", "go", "CWE-1"), 0, 0);
        classes.add(&class("text", "", ""), 9, 0);
        assert_eq!(
            classes.lines(),
            ["  lesson: 11 examples; go 7, python 4; CWE-89 7, CWE-22 4", "  text: 9 examples"]
        );
        let json: serde_json::Value = serde_json::from_str(&classes.json()).unwrap_or_default();
        assert_eq!(json[1]["cwe"], "CWE-89");
        assert_eq!((&json[1]["used"], &json[1]["repeated"]), (&1.into(), &2.into()));
        let mut many = Classes::default();
        (0..10).for_each(|n| many.add(&class("mined", "c", &format!("CWE-{n}")), 1, 0));
        assert!(many.lines()[0].ends_with("CWE-7 1 and 2 weaknesses more"), "{:?}", many.lines());
        assert_eq!(serde_json::from_str::<Vec<()>>(&Classes::default().json()).ok(), Some(vec![]));
    }
}
