//! SecurityEval (Siddiq and Santos 2022): 121 Python prompts, each made so that the easy answer is weak.

use super::{Case, Input, Loaded, Suite, Upstream, files, folder};
use crate::{Result, Task, paper::Paper};
use serde::Deserialize;

/// The suite.
pub(super) const SECURITYEVAL: SecurityEval = SecurityEval;

/// Reads `dataset.jsonl`.
#[derive(Debug)]
pub(super) struct SecurityEval;

#[derive(Deserialize)]
struct Row {
    #[serde(rename = "ID")]
    id: String,
    #[serde(rename = "Prompt")]
    prompt: String,
    #[serde(rename = "Insecure_code", default)]
    insecure: Option<String>,
}

impl Suite for SecurityEval {
    fn name(&self) -> &'static str {
        "securityeval"
    }

    fn about(&self) -> &'static str {
        "Python prompts that tempt to 69 weaknesses (SecurityEval)"
    }

    fn upstream(&self) -> Option<&'static Upstream> {
        Some(&Upstream {
            folder: "securityeval",
            repository: "https://github.com/s2e-lab/SecurityEval",
            commit: "6f4fb70f782c6d47b02ea24341e8ef8c1eb04a6a",
            licence: "none is given: fetched for your own use, never to be passed on",
            paths: &["dataset.jsonl", "README.md"],
            sha256: &[],
        })
    }

    fn papers(&self) -> &'static [Paper] {
        &[Paper::Disco]
    }

    fn records(&self) -> Option<usize> {
        Some(121)
    }

    fn load(&self, from: &Input<'_>) -> Result<Loaded> {
        let path = files::find(self.name(), folder(self, from)?, &["dataset.jsonl"])?;
        let case = |record: files::Record<Row>| {
            let row = record.value;
            let cwe = files::cwe(&record.place, &row.id)?;
            Ok(Case {
                task: Task {
                    lesson: row.id.clone(),
                    id: row.id,
                    cwe: Some(cwe),
                    context: row.prompt,
                    ..Task::default()
                },
                reference: None,
                known_bad: row.insecure,
            })
        };
        let cases = files::lines::<Row>(&path)?.into_iter().map(case).collect::<Result<_>>()?;
        Ok(Loaded { cases, notes: Vec::new() })
    }
}
