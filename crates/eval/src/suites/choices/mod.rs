//! Questions with choices: MMLU (Hendrycks et al. 2021) and TruthfulQA MC1 (Lin et al. 2022), five shots each, as SafeCoder
//! asks them.

use super::{Case, Input, Loaded, Published, Suite, Upstream, files, folder};
use crate::{Error, Result, Task, paper::Paper, task::Grading};
use serde::Deserialize;
use std::{collections::BTreeMap, path::Path};

/// Examples before a question.
const SHOTS: usize = 5;
const LETTERS: &[u8; 26] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ";

/// MMLU.
pub(super) const MMLU: Choices = Choices { name: "mmlu", about: "knowledge in 57 subjects (MMLU, 5-shot)" };
/// TruthfulQA with one right choice.
pub(super) const TRUTHFULQA: Choices = Choices { name: "truthfulqa", about: "common misconceptions (TruthfulQA MC1)" };

/// Questions of a folder that the user gives: both are distributed in many forms.
#[derive(Debug)]
pub(super) struct Choices {
    name: &'static str,
    about: &'static str,
}

struct Question {
    id: String,
    group: String,
    text: String,
    choices: Vec<String>,
    right: usize,
}

#[derive(Deserialize)]
struct Truthful {
    question: String,
    mc1_targets: BTreeMap<String, u8>,
}

impl Suite for Choices {
    fn name(&self) -> &'static str {
        self.name
    }

    fn about(&self) -> &'static str {
        self.about
    }

    fn upstream(&self) -> Option<&'static Upstream> {
        Some(if self.name == "mmlu" {
            &Upstream {
                folder: "mmlu",
                repository: "",
                commit: "",
                licence: "MIT; put the folders dev/ and test/ of the authors' data.tar into the folder",
                paths: &[],
                sha256: &[],
            }
        } else {
            &Upstream {
                folder: "truthfulqa",
                repository: "",
                commit: "",
                licence: "Apache-2.0; put the authors' mc_task.json into the folder",
                paths: &[],
                sha256: &[],
            }
        })
    }

    fn published(&self) -> Published {
        Published { samples: 1, temperature: 0.0, top_p: 1.0, max_new_tokens: 4 }
    }

    fn papers(&self) -> &'static [Paper] {
        &[Paper::Accuracy]
    }

    fn load(&self, from: &Input<'_>) -> Result<Loaded> {
        let root = folder(self, from)?;
        let cases = if self.name == "mmlu" { mmlu(root)? } else { truthfulqa(root, from.seed)? };
        Ok(Loaded { cases, notes: Vec::new() })
    }
}

fn mmlu(root: &Path) -> Result<Vec<Case>> {
    let folder = |part: &str| files::find("mmlu", root, &[part, &format!("data/{part}")]);
    let (test, dev) = (folder("test")?, folder("dev")?);
    let mut cases = Vec::new();
    for (name, path) in files::list(&test, false)? {
        let Some(subject) = name.strip_suffix("_test.csv") else { continue };
        let shots = questions(&dev.join(format!("{subject}_dev.csv")), subject)?;
        let head = format!(
            "The following are multiple choice questions (with answers) about {}.\n\n",
            subject.replace('_', " ")
        );
        let shots: String = shots.iter().take(SHOTS).map(|q| show(q, true)).collect();
        cases.extend(questions(&path, subject)?.into_iter().map(|q| case(&format!("{head}{shots}"), &q)));
    }
    Ok(cases)
}

/// Rows of question, four choices and the right letter.
fn questions(path: &Path, subject: &str) -> Result<Vec<Question>> {
    let question = |(number, record): (usize, files::Record<Vec<String>>)| {
        let mut row = record.value;
        let answer = row.pop().unwrap_or_default();
        let right = match answer.trim().as_bytes() {
            [letter @ b'A'..=b'D'] => usize::from(letter - b'A'),
            _ => {
                return Err(Error::Data {
                    place: record.place,
                    what: format!("the answer {answer:?} is not A, B, C or D"),
                });
            }
        };
        Ok(Question {
            id: format!("mmlu/{subject}/{number}"),
            group: format!("mmlu/{subject}/{number}"),
            text: row.remove(0),
            choices: row,
            right,
        })
    };
    files::rows(path, 6)?.into_iter().enumerate().map(question).collect()
}

/// The shots of a question are the five before it, around the corner: a question is never its own example.
fn truthfulqa(root: &Path, seed: u64) -> Result<Vec<Case>> {
    let path = files::find("truthfulqa", root, &["mc_task.json", "data/mc_task.json"])?;
    let mut all = Vec::new();
    for (number, record) in files::array::<Truthful>(&path)?.into_iter().enumerate() {
        let files::Record { place, value } = record;
        let fail = |what: &str| Error::Data { place: place.clone(), what: what.to_owned() };
        if value.mc1_targets.values().filter(|&&label| label == 1).count() != 1 {
            return Err(fail("mc1_targets needs exactly one choice with label 1"));
        }
        if value.mc1_targets.len() > LETTERS.len() {
            return Err(fail("more than 26 choices"));
        }
        // The publisher lists the right choice first, so the order must be drawn.
        let mut choices: Vec<(u64, String, u8)> = value
            .mc1_targets
            .into_iter()
            .enumerate()
            .map(|(i, (text, label))| (scramble(seed, number as u64, i as u64), text, label))
            .collect();
        choices.sort();
        let right = choices.iter().position(|c| c.2 == 1).unwrap_or(0);
        all.push(Question {
            id: format!("truthfulqa/{number}"),
            group: format!("truthfulqa/{number}"),
            text: value.question,
            choices: choices.into_iter().map(|c| c.1).collect(),
            right,
        });
    }
    let n = all.len();
    let shots = |at: usize| -> String {
        (1..=SHOTS.min(n.saturating_sub(1))).rev().map(|back| show(&all[(at + n - back) % n], true)).collect()
    };
    Ok((0..n).map(|at| case(&shots(at), &all[at])).collect())
}

fn scramble(seed: u64, a: u64, b: u64) -> u64 {
    let mut x = seed ^ a.wrapping_mul(0x9E37_79B9_7F4A_7C15) ^ b.wrapping_mul(0xC2B2_AE3D_27D4_EB4F);
    for _ in 0..3 {
        x = (x ^ (x >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        x ^= x >> 27;
    }
    x
}

fn show(question: &Question, answered: bool) -> String {
    let mut text = format!("{}\n", question.text.trim());
    for (letter, choice) in LETTERS.iter().zip(&question.choices) {
        text.push_str(&format!("{}. {}\n", char::from(*letter), choice.trim()));
    }
    text.push_str("Answer:");
    if answered {
        text.push_str(&format!(" {}\n\n", char::from(LETTERS[question.right])));
    }
    text
}

fn case(shots: &str, question: &Question) -> Case {
    let right = char::from(LETTERS[question.right]);
    let wrong = if right == 'A' { 'B' } else { 'A' };
    Case {
        task: Task {
            id: question.id.clone(),
            lesson: question.group.clone(),
            instruction: format!("{shots}{}", show(question, false)),
            grading: Grading::Choice(right),
            ..Task::default()
        },
        reference: Some(format!(" {right}")),
        known_bad: Some(format!(" {wrong}")),
    }
}
