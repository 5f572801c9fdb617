//! Modules whose common use goes wrong, by language: data in `content/modules`.

use lexicon::{Cwe, FORMAT, Language};
use serde::{Deserialize, Serialize};
use std::sync::LazyLock;

/// A module, package, header or library.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Module {
    /// Language.
    pub language: Language,
    /// Name, as a program imports or includes it.
    pub name: String,
    /// What is risky in it.
    pub risk: String,
    /// Weaknesses that its use leads to, the most common first.
    pub cwe: Vec<Cwe>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    format: u32,
    language: Language,
    modules: Vec<Entry>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    name: String,
    risk: String,
    cwe: Vec<u32>,
}

const FILES: [&str; 6] = [
    include_str!("../../../../content/modules/python.toml"),
    include_str!("../../../../content/modules/c.toml"),
    include_str!("../../../../content/modules/go.toml"),
    include_str!("../../../../content/modules/java.toml"),
    include_str!("../../../../content/modules/javascript.toml"),
    include_str!("../../../../content/modules/ruby.toml"),
];

/// Every module inside the binary, by language and in the files' order.
#[must_use]
pub fn all() -> &'static [Module] {
    static ALL: LazyLock<Vec<Module>> =
        LazyLock::new(|| FILES.iter().flat_map(|f| parse(f).unwrap_or_default()).collect());
    &ALL
}

/// Modules of a language; C++ has those of C, TypeScript those of JavaScript.
pub fn of(language: Language) -> impl Iterator<Item = &'static Module> {
    let language = match language {
        Language::Cpp => Language::C,
        Language::TypeScript => Language::JavaScript,
        other => other,
    };
    all().iter().filter(move |m| m.language == language)
}

fn parse(text: &str) -> Result<Vec<Module>, String> {
    let file: File = toml::from_str(text).map_err(|e| e.to_string())?;
    if file.format != FORMAT {
        return Err(format!("format is {}", file.format));
    }
    let module = |e: Entry| {
        let cwe = e.cwe.into_iter().map(Cwe).collect();
        Module { language: file.language, name: e.name, risk: e.risk, cwe }
    };
    Ok(file.modules.into_iter().map(module).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn every_language_has_its_modules() {
        for file in FILES {
            let modules = parse(file).expect("a file of modules");
            let names: BTreeSet<_> = modules.iter().map(|m| &m.name).collect();
            assert!(names.len() >= 75 && names.len() == modules.len(), "{:?}: {}", modules[0].language, names.len());
            for m in &modules {
                let sound = m.risk.chars().count() > 5 && m.risk.len() < 120 && !m.cwe.is_empty();
                assert!(sound && m.cwe.iter().collect::<BTreeSet<_>>().len() == m.cwe.len(), "{m:?}");
            }
        }
        let languages: BTreeSet<_> = all().iter().map(|m| m.language).collect();
        assert_eq!(languages.len(), 6);
        assert!(of(Language::TypeScript).any(|m| m.name == "child_process"));
    }
}
