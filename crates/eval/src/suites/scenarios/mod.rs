//! Scenarios of SafeCoder, SVEN and CodeGuard+: a file's head and a function's, to be gone on from.
//!
//! One form for three benchmarks: `<set>/cwe-NNN/<number>-<language>/` with `file_context.*`, `func_context.*` and
//! `info.json`. CodeGuard+ adds functional tests in a folder of their own.

mod functional;

use super::{Case, Input, Loaded, Published, Suite, Upstream, files, folder};
use crate::{Error, Result, Task, paper::Paper};
use lexicon::Language;
use serde::Deserialize;
use std::path::Path;

const SAFECODER_UPSTREAM: &Upstream = &Upstream {
    folder: "safecoder",
    repository: "https://github.com/eth-sri/SafeCoder",
    commit: "1bf9d57b42b785ca1bf5454c040cc9d2d27c4ab5",
    licence: "MIT",
    paths: &["data_eval/sec_eval", "LICENSE"],
    sha256: &[],
};

const SVEN_UPSTREAM: &Upstream = &Upstream {
    folder: "sven",
    repository: "https://github.com/eth-sri/sven",
    commit: "e8449a0d54a5ae0bbdc6bb236330b8c7ec71df57",
    licence: "MIT",
    paths: &["data_eval", "LICENSE"],
    sha256: &[],
};

const CODEGUARD_UPSTREAM: &Upstream = &Upstream {
    folder: "codeguard-plus",
    repository: "https://github.com/CodeGuardPlus/CodeGuardPlus",
    commit: "0528ee9e527fa57b9a1c82c564beb854f1881fd5",
    licence: "MIT",
    paths: &["data", "unit_test", "LICENSE"],
    sha256: &[],
};

/// The 60 scenarios of the SafeCoder paper's tables: trained without validation, and trained-new.
pub(super) const SAFECODER: Scenarios = Scenarios {
    about: "SafeCoder's 60 test scenarios, seven languages",
    sets: &["trained", "trained-new"],
    leave_out: VALIDATION,
    records: Some(60),
    ..safecoder("safecoder", "", &[])
};
/// CWEs that SafeCoder trains on.
pub(super) const SAFECODER_TRAINED: Scenarios = Scenarios {
    records: Some(24),
    ..safecoder("safecoder-trained", "SafeCoder's scenarios of trained weaknesses", &["trained"])
};
/// More of them.
pub(super) const SAFECODER_TRAINED_NEW: Scenarios = Scenarios {
    records: Some(42),
    ..safecoder("safecoder-trained-new", "SafeCoder's new scenarios of trained weaknesses", &["trained-new"])
};
/// CWEs that it does not train on.
pub(super) const SAFECODER_NOT_TRAINED: Scenarios = Scenarios {
    records: Some(15),
    ..safecoder("safecoder-not-trained", "SafeCoder's scenarios of weaknesses not trained on", &["not-trained"])
};
/// SVEN's main scenarios.
pub(super) const SVEN_TRAINED: Scenarios =
    Scenarios { records: Some(24), ..sven("sven-trained", "SVEN's scenarios of trained weaknesses", &["trained"]) };
/// Weaknesses that SVEN does not train on, first set.
pub(super) const SVEN_GEN_1: Scenarios = Scenarios {
    records: Some(12),
    ..sven("sven-gen-1", "SVEN's scenarios of other weaknesses, first set", &["gen_1"])
};
/// The second set.
pub(super) const SVEN_GEN_2: Scenarios = Scenarios {
    records: Some(17),
    ..sven("sven-gen-2", "SVEN's scenarios of other weaknesses, second set", &["gen_2"])
};
/// The same in other words.
pub(super) const SVEN_PROMPTS: Scenarios =
    Scenarios { records: Some(17), ..sven("sven-prompts", "SVEN's perturbed prompts", &["prompts"]) };
/// CodeGuard+.
pub(super) const CODEGUARD_PLUS: Scenarios = Scenarios {
    name: "codeguard-plus",
    about: "security and function together (CodeGuard+)",
    prefix: "codeguard-plus",
    upstream: CODEGUARD_UPSTREAM,
    roots: &["data", "."],
    sets: &["base"],
    leave_out: &[],
    records: None,
    tests: Some("unit_test"),
    published: Published { samples: 10, temperature: 0.4, top_p: 0.95, max_new_tokens: 300 },
    papers: &[Paper::CodeGuardPlus],
};

/// SafeCoder's validation scenarios, which its tables leave out.
const VALIDATION: &[&str] = &[
    "trained/cwe-022/2-py",
    "trained/cwe-078/2-py",
    "trained/cwe-089/2-py",
    "trained/cwe-125/2-c",
    "trained/cwe-190/2-c",
    "trained/cwe-787/2-c",
];

const fn safecoder(name: &'static str, about: &'static str, sets: &'static [&'static str]) -> Scenarios {
    Scenarios {
        name,
        about,
        prefix: "safecoder",
        upstream: SAFECODER_UPSTREAM,
        roots: &["data_eval/sec_eval", "scenarios", "."],
        sets,
        leave_out: &[],
        records: None,
        tests: None,
        published: Published { samples: 100, temperature: 0.4, top_p: 0.95, max_new_tokens: 256 },
        papers: &[Paper::SafeCoder],
    }
}

const fn sven(name: &'static str, about: &'static str, sets: &'static [&'static str]) -> Scenarios {
    Scenarios {
        name,
        about,
        prefix: "sven",
        upstream: SVEN_UPSTREAM,
        roots: &["data_eval", "."],
        sets,
        leave_out: &[],
        records: None,
        tests: None,
        published: Published { samples: 25, temperature: 0.4, top_p: 0.95, max_new_tokens: 300 },
        papers: &[Paper::Sven],
    }
}

/// Scenarios of one benchmark.
#[derive(Debug)]
pub(super) struct Scenarios {
    name: &'static str,
    about: &'static str,
    /// Ids begin with it, so that a scenario has one name in every suite that holds it.
    prefix: &'static str,
    upstream: &'static Upstream,
    /// Where the sets may lie.
    roots: &'static [&'static str],
    sets: &'static [&'static str],
    leave_out: &'static [&'static str],
    records: Option<usize>,
    /// Folder of functional tests.
    tests: Option<&'static str>,
    published: Published,
    papers: &'static [Paper],
}

#[derive(Deserialize)]
struct Info {
    language: String,
    cwe: Option<String>,
    #[serde(default)]
    description: String,
}

impl Suite for Scenarios {
    fn name(&self) -> &'static str {
        self.name
    }

    fn about(&self) -> &'static str {
        self.about
    }

    fn upstream(&self) -> Option<&'static Upstream> {
        Some(self.upstream)
    }

    fn published(&self) -> Published {
        self.published
    }

    fn papers(&self) -> &'static [Paper] {
        self.papers
    }

    fn records(&self) -> Option<usize> {
        self.records
    }

    fn load(&self, from: &Input<'_>) -> Result<Loaded> {
        let base = folder(self, from)?;
        let mut loaded = Loaded::default();
        for set in self.sets {
            let places: Vec<String> = self.roots.iter().map(|root| format!("{root}/{set}")).collect();
            let places: Vec<&str> = places.iter().map(|p| p.trim_start_matches("./")).collect();
            let root = files::find(self.name, base, &places)?;
            for (weakness, path) in files::list(&root, true)? {
                for (scenario, path) in files::list(&path, true)? {
                    let id = format!("{set}/{weakness}/{scenario}");
                    if !self.leave_out.contains(&id.as_str()) {
                        let mut case = self.scenario(&path, &weakness, format!("{}/{id}", self.prefix))?;
                        if let Some(tests) = self.tests {
                            functional::attach(&mut case.task, &base.join(tests), &weakness, &scenario)?;
                        }
                        loaded.cases.push(case);
                    }
                }
            }
        }
        if let Some(tests) = self.tests {
            let without = loaded.cases.iter().filter(|c| c.task.tests.is_none()).count();
            if without > 0 {
                loaded.notes.push(format!("{}: {without} scenarios have no {tests}/../functional.py", self.name));
            }
        }
        Ok(loaded)
    }
}

impl Scenarios {
    fn scenario(&self, path: &Path, weakness: &str, id: String) -> Result<Case> {
        let info_path = path.join("info.json");
        let place = info_path.display().to_string();
        let fail = |what: String| Error::Data { place: place.clone(), what };
        let info: Info =
            serde_json::from_str(&files::text(&info_path)?).map_err(|e| fail(format!("is no info: {e}")))?;
        let language: Language = match info.language.as_str() {
            "jsx" => Language::JavaScript,
            other => other.parse().map_err(|e: lexicon::language::UnknownLanguage| fail(e.to_string()))?,
        };
        let read = |name: &str| files::text(&path.join(format!("{name}.{}", info.language)));
        let context = format!("{}{}", read("file_context")?, read("func_context")?);
        // Both spell it `CWE-089`; SVEN's own has no member for it and its folder's name has.
        let cwe = files::cwe(&place, info.cwe.as_deref().unwrap_or(weakness))?;
        Ok(Case {
            task: Task {
                lesson: id.clone(),
                id,
                cwe: Some(cwe),
                language,
                instruction: format!(
                    "Create a {} function for this problem:\n{}",
                    language.title(),
                    if info.description.is_empty() { "complete the code" } else { &info.description }
                ),
                context,
                ..Task::default()
            },
            ..Case::default()
        })
    }
}
