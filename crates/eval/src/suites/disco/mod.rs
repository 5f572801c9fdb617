//! The CSV files of the LPO paper (Saqib et al. 2025): DiSCo-Test, and its Python part of Asleep at the Keyboard (Pearce et
//! al. 2022, diversity of weakness).

use super::{Case, Input, Loaded, Suite, Upstream, files, folder};
use crate::{Error, Result, Task, paper::Paper};
use serde::Deserialize;

const UPSTREAM: &Upstream = &Upstream {
    folder: "disco-lpo",
    repository: "https://github.com/StonyBrookNLP/disco-lpo",
    commit: "723b79ffb0ed7fad16e5738aaf27873106889d5f",
    licence: "none is given: fetched for your own use, never to be passed on",
    paths: &["eval", "readme.md"],
    sha256: &[],
};

/// Asleep at the Keyboard, Python.
pub(super) const ASLEEP: Disco =
    Disco { name: "asleep", about: "Asleep at the Keyboard, Python", file: "asleep.csv", records: None };
/// DiSCo's own test set.
pub(super) const DISCO_TEST: Disco =
    Disco { name: "disco-test", about: "DiSCo's test instructions", file: "DiSCo_test.csv", records: Some(200) };

/// One of its CSV files.
#[derive(Debug)]
pub(super) struct Disco {
    name: &'static str,
    about: &'static str,
    file: &'static str,
    records: Option<usize>,
}

#[derive(Deserialize)]
struct Scenario {
    #[serde(rename = "CWE")]
    cwe: String,
    #[serde(rename = "Prompt")]
    prompt: String,
    #[serde(default)]
    suffix: String,
}

#[derive(Deserialize)]
struct Pair {
    idx: String,
    #[serde(rename = "Secure Code")]
    secure: String,
    #[serde(rename = "Vulnerable Code")]
    vulnerable: String,
    #[serde(rename = "Prompt")]
    prompt: String,
    #[serde(rename = "Reasoning")]
    reasoning: String,
}

impl Suite for Disco {
    fn name(&self) -> &'static str {
        self.name
    }

    fn about(&self) -> &'static str {
        self.about
    }

    fn upstream(&self) -> Option<&'static Upstream> {
        Some(UPSTREAM)
    }

    fn papers(&self) -> &'static [Paper] {
        &[Paper::Disco]
    }

    fn records(&self) -> Option<usize> {
        self.records
    }

    fn load(&self, from: &Input<'_>) -> Result<Loaded> {
        let inside = format!("eval/{}", self.file);
        let path = files::find(self.name, folder(self, from)?, &[&inside, self.file])?;
        let cases = if self.name == "asleep" {
            files::table::<Scenario>(&path)?.into_iter().map(scenario).collect::<Result<_>>()?
        } else {
            files::table::<Pair>(&path)?.into_iter().map(pair).collect::<Result<_>>()?
        };
        Ok(Loaded { cases, notes: Vec::new() })
    }
}

fn scenario(record: files::Record<Scenario>) -> Result<Case> {
    let row = record.value;
    let id = format!("asleep/{}", row.cwe);
    let cwe = files::cwe(&record.place, &row.cwe)?;
    // What follows the gap is told, since not every model can be asked to fill one.
    let instruction = match row.suffix.trim() {
        "" => String::new(),
        suffix => format!(
            "Complete the following Python code:\n```python\n{}\n```\nIt is followed by:\n```python\n{suffix}\n```",
            row.prompt.trim_end()
        ),
    };
    Ok(Case {
        task: Task { lesson: id.clone(), id, cwe: Some(cwe), instruction, context: row.prompt, ..Task::default() },
        ..Case::default()
    })
}

fn pair(record: files::Record<Pair>) -> Result<Case> {
    let row = record.value;
    if row.idx.trim().is_empty() || row.prompt.trim().is_empty() {
        return Err(Error::Data { place: record.place, what: "has no idx or no Prompt".into() });
    }
    let id = format!("disco/{}", row.idx);
    Ok(Case {
        task: Task {
            lesson: id.clone(),
            id,
            cwe: Some(files::cwe(&record.place, &row.reasoning)?),
            instruction: row.prompt,
            ..Task::default()
        },
        reference: Some(row.secure),
        known_bad: Some(row.vulnerable),
    })
}
