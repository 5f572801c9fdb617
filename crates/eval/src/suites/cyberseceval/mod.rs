//! CyberSecEval (Bhatt et al. 2023): requests and beginnings taken from weak code, and harmless requests that sound harmful.
//!
//! Languages that the judge does not know (C#, PHP, Rust) are left out and counted.

use super::{Case, Input, Loaded, Published, Suite, Upstream, files, folder};
use crate::{Result, Task, paper::Paper, task::Grading};
use lexicon::Language;
use serde::Deserialize;
use std::collections::BTreeMap;

const UPSTREAM: &Upstream = &Upstream {
    folder: "purplellama",
    repository: "https://github.com/meta-llama/PurpleLlama",
    commit: "4be64c3a24442b51c76175e6ec67722cc3f5fe38",
    licence: "MIT for the folder; records hold code of third parties: fetched for your own use, not passed on",
    paths: &[
        "CybersecurityBenchmarks/datasets/instruct",
        "CybersecurityBenchmarks/datasets/autocomplete",
        "CybersecurityBenchmarks/datasets/frr",
        "LICENSE",
    ],
    sha256: &[],
};

/// Requests in words.
pub(super) const INSTRUCT: CyberSecEval = CyberSecEval {
    name: "cyberseceval-instruct",
    about: "requests derived from weak code (CyberSecEval instruct)",
    file: "instruct",
    kind: Kind::Request,
};
/// Beginnings of files.
pub(super) const AUTOCOMPLETE: CyberSecEval = CyberSecEval {
    name: "cyberseceval-autocomplete",
    about: "beginnings of weak code (CyberSecEval autocomplete)",
    file: "autocomplete",
    kind: Kind::Beginning,
};
/// Harmless requests.
pub(super) const FALSE_REFUSALS: CyberSecEval = CyberSecEval {
    name: "false-refusals",
    about: "harmless requests that sound harmful (CyberSecEval FRR)",
    file: "frr",
    kind: Kind::Harmless,
};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Request,
    Beginning,
    Harmless,
}

/// One of its data sets.
#[derive(Debug)]
pub(super) struct CyberSecEval {
    name: &'static str,
    about: &'static str,
    file: &'static str,
    kind: Kind,
}

#[derive(Deserialize)]
struct Row {
    test_case_prompt: String,
    cwe_identifier: String,
    language: String,
}

#[derive(Deserialize)]
struct Harmless {
    mutated_prompt: String,
}

impl Suite for CyberSecEval {
    fn name(&self) -> &'static str {
        self.name
    }

    fn about(&self) -> &'static str {
        self.about
    }

    fn upstream(&self) -> Option<&'static Upstream> {
        Some(UPSTREAM)
    }

    /// One greedy answer each.
    fn published(&self) -> Published {
        Published { samples: 1, temperature: 0.0, top_p: 1.0, max_new_tokens: 512 }
    }

    fn papers(&self) -> &'static [Paper] {
        if self.kind == Kind::Harmless { &[Paper::Accuracy] } else { &[Paper::Disco] }
    }

    fn records(&self) -> Option<usize> {
        (self.kind == Kind::Harmless).then_some(750)
    }

    fn load(&self, from: &Input<'_>) -> Result<Loaded> {
        let file = format!("{0}/{0}.json", self.file);
        let inside = format!("CybersecurityBenchmarks/datasets/{file}");
        let alone = format!("{}.json", self.file);
        let path = files::find(self.name, folder(self, from)?, &[&inside, &file, &alone])?;
        if self.kind == Kind::Harmless {
            let rows = files::array::<Harmless>(&path)?;
            let cases = rows.into_iter().enumerate().map(|(n, r)| harmless(n, r.value)).collect();
            return Ok(Loaded { cases, notes: Vec::new() });
        }
        let mut loaded = Loaded::default();
        let mut foreign: BTreeMap<String, usize> = BTreeMap::new();
        for (number, record) in files::array::<Row>(&path)?.into_iter().enumerate() {
            let files::Record { place, value: row } = record;
            let Ok(language) = row.language.parse::<Language>() else {
                *foreign.entry(row.language).or_default() += 1;
                continue;
            };
            let id = format!("{}/{number}", self.name);
            let mut task = Task {
                lesson: id.clone(),
                id,
                cwe: Some(files::cwe(&place, &row.cwe_identifier)?),
                language,
                ..Task::default()
            };
            match self.kind {
                Kind::Beginning => task.context = row.test_case_prompt,
                _ => task.instruction = row.test_case_prompt,
            }
            loaded.cases.push(Case { task, ..Case::default() });
        }
        for (language, n) in foreign {
            loaded.notes.push(format!("{}: {n} records in {language} are left out: no judge here reads it", self.name));
        }
        Ok(loaded)
    }
}

fn harmless(number: usize, row: Harmless) -> Case {
    let id = format!("false-refusals/{number}");
    Case {
        task: Task {
            lesson: id.clone(),
            id,
            instruction: row.mutated_prompt,
            grading: Grading::Help,
            ..Task::default()
        },
        ..Case::default()
    }
}
