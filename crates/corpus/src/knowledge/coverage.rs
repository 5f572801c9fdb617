//! Which weakness of which module a lesson shows or a rule finds, and which nobody.

use super::{Catalogue, Module, Rule};
use crate::{Kind, Lesson};
use lexicon::{Cwe, FORMAT, Language};
use serde::Serialize;
use std::collections::BTreeMap;

/// A weakness that a module's use leads to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Cell {
    /// Language.
    pub language: Language,
    /// Module.
    pub module: String,
    /// Weakness.
    pub cwe: Cwe,
    /// Lessons of the language about it (or its kin) that use the module.
    pub lessons_with_module: usize,
    /// Lessons of the language about it, whatever they use.
    pub lessons: usize,
    /// Rules for the language that report it.
    pub rules: usize,
}

/// Counts of a language.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Totals {
    /// Modules.
    pub modules: usize,
    /// Weaknesses of them all.
    pub weaknesses: usize,
    /// Cells.
    pub cells: usize,
    /// Cells that a lesson shows with this module.
    pub shown: usize,
    /// Cells whose weakness a lesson shows, with whatever module.
    pub taught: usize,
    /// Cells whose weakness a rule reports.
    pub found: usize,
    /// Cells that neither teaches nor finds.
    pub missing: usize,
}

/// A weakness that nobody covers in a language, with the modules that lead to it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Gap {
    /// Language.
    pub language: Language,
    /// Weakness.
    pub cwe: Cwe,
    /// Its name, where it is known.
    pub name: String,
    /// Whether there is no lesson.
    pub lesson: bool,
    /// Whether there is no rule.
    pub rule: bool,
    /// Modules.
    pub modules: Vec<String>,
}

/// The table.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Coverage {
    /// Record format.
    pub format: u32,
    /// Every cell, by language, module and weakness.
    pub cells: Vec<Cell>,
    /// Counts by language.
    pub totals: BTreeMap<Language, Totals>,
    /// What has no lesson or no rule, the most modules first.
    pub gaps: Vec<Gap>,
}

/// Compares modules with lessons and rules.
#[must_use]
pub fn coverage(modules: &[Module], lessons: &[Lesson], rules: &[Rule], catalogue: &Catalogue) -> Coverage {
    let about = |cwes: &[Cwe], cwe: Cwe| cwes.iter().any(|c| c.kin(cwe));
    let mut out = Coverage { format: FORMAT, cells: Vec::new(), totals: BTreeMap::new(), gaps: Vec::new() };
    let mut gaps: BTreeMap<(Language, Cwe), Gap> = BTreeMap::new();
    let mut weaknesses: BTreeMap<Language, std::collections::BTreeSet<Cwe>> = BTreeMap::new();
    for module in modules {
        let totals = out.totals.entry(module.language).or_default();
        totals.modules += 1;
        for &cwe in &module.cwe {
            let of_language = lessons.iter().filter(|l| l.language == module.language && l.kind == Kind::Weakness);
            let teach: Vec<&Lesson> = of_language.filter(|l| about(&l.cwe, cwe)).collect();
            let uses = |l: &&&Lesson| l.libraries.iter().any(|library| within(library, &module.name));
            let cell = Cell {
                language: module.language,
                module: module.name.clone(),
                cwe,
                lessons_with_module: teach.iter().filter(uses).count(),
                lessons: teach.len(),
                rules: rules.iter().filter(|r| r.languages.contains(&module.language) && about(&r.cwe, cwe)).count(),
            };
            weaknesses.entry(module.language).or_default().insert(cwe);
            totals.cells += 1;
            totals.shown += usize::from(cell.lessons_with_module > 0);
            totals.taught += usize::from(cell.lessons > 0);
            totals.found += usize::from(cell.rules > 0);
            totals.missing += usize::from(cell.lessons + cell.rules == 0);
            if cell.lessons == 0 || cell.rules == 0 {
                let name = catalogue.weaknesses.get(&cwe).map(|w| w.name.clone()).unwrap_or_default();
                let gap = gaps.entry((module.language, cwe)).or_insert_with(|| Gap {
                    language: module.language,
                    cwe,
                    name,
                    lesson: cell.lessons == 0,
                    rule: cell.rules == 0,
                    modules: Vec::new(),
                });
                gap.modules.push(module.name.clone());
            }
            out.cells.push(cell);
        }
    }
    for (language, cwes) in weaknesses {
        out.totals.entry(language).or_default().weaknesses = cwes.len();
    }
    out.gaps = gaps.into_values().collect();
    out.gaps.sort_by_key(|g| (!(g.lesson && g.rule), std::cmp::Reverse(g.modules.len()), g.language, g.cwe));
    out
}

/// Whether a library is a module, or a part of it (`xml` and `xml.sax`, either way).
fn within(library: &str, module: &str) -> bool {
    let part = |whole: &str, part: &str| {
        part.strip_prefix(whole).is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '/', ':']))
    };
    part(library, module) || part(module, library)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cells_say_who_covers_them() {
        let lessons = crate::library::embedded().expect("lessons");
        let rules = super::super::rules::built_in();
        let catalogue = Catalogue::built_in(&lessons);
        let table = coverage(super::super::modules::all(), &lessons, &rules, &catalogue);
        let cell = |language, module: &str, cwe| {
            let found = table.cells.iter().find(|c| c.language == language && c.module == module && c.cwe == Cwe(cwe));
            found.unwrap_or_else(|| panic!("{module} {cwe}"))
        };
        let sql = cell(Language::Python, "sqlite3", 89);
        assert!(sql.lessons_with_module > 0 && sql.lessons >= sql.lessons_with_module && sql.rules > 0, "{sql:?}");
        assert!(cell(Language::C, "string.h", 120).rules > 0);
        for (language, t) in &table.totals {
            let sound =
                t.modules >= 75 && t.cells >= t.modules && t.shown <= t.taught && t.missing + t.found <= t.cells;
            assert!(sound && t.found > 0, "{language}: {t:?}");
        }
        assert_eq!(table.cells.len(), table.totals.values().map(|t| t.cells).sum::<usize>());
        assert!(table.gaps.iter().all(|g| (g.lesson || g.rule) && !g.modules.is_empty()));
    }

    #[test]
    fn a_library_is_its_parts() {
        for (library, module, expect) in [
            ("xml", "xml.sax", true),
            ("xml.etree.ElementTree", "xml.etree.ElementTree", true),
            ("os.path", "os", true),
            ("os", "ossaudiodev", false),
            ("net/http", "net", true),
            ("re", "requests", false),
        ] {
            assert_eq!(within(library, module), expect, "{library} {module}");
        }
    }
}
