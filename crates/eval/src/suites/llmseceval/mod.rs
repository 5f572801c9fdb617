//! LLMSecEval (Tony et al. 2023): 150 requests in words, for Python and C.

use super::{Case, Input, Loaded, Suite, Upstream, files, folder};
use crate::{Error, Result, Task, paper::Paper};
use lexicon::Language;
use serde::Deserialize;

/// The suite.
pub(super) const LLMSECEVAL: LlmSecEval = LlmSecEval;

/// Reads the data set's JSON.
#[derive(Debug)]
pub(super) struct LlmSecEval;

#[derive(Deserialize)]
struct Row {
    #[serde(rename = "Prompt ID")]
    id: String,
    #[serde(rename = "Manually-fixed NL Prompt")]
    prompt: String,
    #[serde(rename = "Language")]
    language: String,
}

impl Suite for LlmSecEval {
    fn name(&self) -> &'static str {
        "llmseceval"
    }

    fn about(&self) -> &'static str {
        "requests in words for Python and C (LLMSecEval)"
    }

    fn upstream(&self) -> Option<&'static Upstream> {
        Some(&Upstream {
            folder: "llmseceval",
            repository: "https://github.com/tuhh-softsec/LLMSecEval",
            commit: "39e97f046dbb2c4c604d31b86f2a4d3d27827388",
            licence: "GPL-3.0: fetched for your own use, not passed on with this program",
            paths: &["Dataset/LLMSecEval-Prompts_dataset.json", "LICENSE", "README.md"],
            sha256: &[],
        })
    }

    fn papers(&self) -> &'static [Paper] {
        &[Paper::Disco]
    }

    fn records(&self) -> Option<usize> {
        Some(150)
    }

    fn load(&self, from: &Input<'_>) -> Result<Loaded> {
        let places = ["Dataset/LLMSecEval-Prompts_dataset.json", "LLMSecEval-Prompts_dataset.json"];
        let path = files::find(self.name(), folder(self, from)?, &places)?;
        let case = |record: files::Record<Row>| {
            let files::Record { place, value: row } = record;
            let fail =
                |e: lexicon::language::UnknownLanguage| Error::Data { place: place.clone(), what: e.to_string() };
            let language: Language = row.language.parse().map_err(fail)?;
            // The data set spells its placeholder in two ways.
            let instruction = row.prompt.replace("<language>", language.title()).replace("<lanuage>", language.title());
            Ok(Case {
                task: Task {
                    cwe: Some(files::cwe(&place, &row.id)?),
                    lesson: row.id.clone(),
                    id: row.id,
                    language,
                    instruction,
                    ..Task::default()
                },
                ..Case::default()
            })
        };
        let cases = files::array::<Row>(&path)?.into_iter().map(case).collect::<Result<_>>()?;
        Ok(Loaded { cases, notes: Vec::new() })
    }
}
