//! CWEval (Peng et al. 2025): a function to write, with tests of its function and tests of its security.
//!
//! `<stem>_task.py` holds prompt and reference, cut by `BEGIN PROMPT` and `BEGIN SOLUTION`; `<stem>_test.py` is for pytest,
//! its cases marked `functionality` or `security`. What passes the first and fails the second is attackable, so the attack
//! of a task is its security tests turned round. Tests of other languages compile with tools of the benchmark's own image:
//! those tasks are asked and analyzed, their tests are not run.

use super::{Case, Input, Loaded, Published, Suite, Upstream, files, folder};
use crate::{Error, Result, Task, paper::Paper};
use lexicon::Language;
use serde_json::Value;
use std::path::Path;

/// The suite.
pub(super) const CWEVAL: CwEval = CwEval;

/// Reads `benchmark/core/<language>` and `benchmark/lang/c`.
#[derive(Debug)]
pub(super) struct CwEval;

impl Suite for CwEval {
    fn name(&self) -> &'static str {
        "cweval"
    }

    fn about(&self) -> &'static str {
        "functions with tests of function and of security (CWEval)"
    }

    fn upstream(&self) -> Option<&'static Upstream> {
        Some(&Upstream {
            folder: "cweval",
            repository: "https://github.com/Co1lin/CWEval",
            commit: "e9a2a124c8c53679b6d8d27adfd2f6c40e7576d7",
            licence: "Apache-2.0",
            paths: &["benchmark", "LICENSE"],
            sha256: &[],
        })
    }

    fn published(&self) -> Published {
        Published { samples: 20, temperature: 0.8, top_p: 0.95, max_new_tokens: 2048 }
    }

    fn papers(&self) -> &'static [Paper] {
        &[Paper::CwEval]
    }

    fn records(&self) -> Option<usize> {
        Some(119)
    }

    fn load(&self, from: &Input<'_>) -> Result<Loaded> {
        let root = files::find(self.name(), folder(self, from)?, &["benchmark", "core", "."])?;
        let root = if root.ends_with("core") { root.parent().map_or(root.clone(), Path::to_path_buf) } else { root };
        let mut loaded = Loaded::default();
        for part in ["core", "lang"] {
            let part = root.join(part);
            if !part.is_dir() {
                continue;
            }
            for (_, folder) in files::list(&part, true)? {
                for (name, path) in files::list(&folder, false)? {
                    let Some((stem, extension)) = name.split_once("_task.") else { continue };
                    if let Some(language) = Language::from_extension(extension) {
                        loaded.cases.push(task(&path, stem, extension, language)?);
                    }
                }
            }
        }
        if loaded.cases.is_empty() {
            return Err(Error::Missing {
                suite: self.name(),
                folder: root.display().to_string(),
                wanted: "core/py/cwe_.._task.py".into(),
            });
        }
        let foreign = loaded.cases.iter().filter(|c| c.task.tests.is_none()).count();
        if foreign > 0 {
            loaded.notes.push(format!(
                "cweval: tests of {foreign} tasks in other languages than Python need the benchmark's own image and are not run"
            ));
        }
        Ok(loaded)
    }
}

fn task(path: &Path, stem: &str, extension: &str, language: Language) -> Result<Case> {
    let text = files::text(path)?;
    let (context, reference) = cut(&text).ok_or_else(|| Error::Data {
        place: path.display().to_string(),
        what: "has no line with BEGIN SOLUTION".into(),
    })?;
    let unsafe_path = path.with_file_name(format!("{stem}_unsafe.{extension}"));
    let known_bad = unsafe_path.is_file().then(|| files::text(&unsafe_path)).transpose()?;
    let known_bad = known_bad.map(|text| cut(&text).map_or(text.clone(), |(_, whole)| whole));
    let mut made = Task {
        id: format!("cweval/{extension}/{stem}"),
        lesson: format!("cweval/{extension}/{stem}"),
        cwe: Some(files::cwe(&path.display().to_string(), &stem.replacen("cwe_", "CWE-", 1))?),
        language,
        entry: entry(language, &context),
        context,
        ..Task::default()
    };
    if language == Language::Python {
        let test_path = path.with_file_name(format!("{stem}_test.py"));
        let test = files::text(&test_path)?;
        made.packages = true;
        made.tests = Some(driver(stem, &test, "functionality", false));
        made.exploit = Some(driver(stem, &test, "security", true));
    }
    Ok(Case { task: made, reference: Some(reference), known_bad })
}

/// Prompt, and prompt with solution: between the marks, whose lines go.
fn cut(text: &str) -> Option<(String, String)> {
    let marked = |line: &str, mark: &str| {
        let line = line.trim_start_matches(['#', '/', ' ', '*', '\t']);
        line.starts_with(mark)
    };
    let (mut prompt, mut solution, mut seen) = (String::new(), String::new(), false);
    for line in text.split_inclusive('\n') {
        if marked(line, "BEGIN PROMPT") {
            prompt.clear();
        } else if marked(line, "BEGIN SOLUTION") {
            seen = true;
        } else if seen {
            solution.push_str(line);
        } else {
            prompt.push_str(line);
        }
    }
    seen.then(|| (prompt.clone(), format!("{prompt}{solution}")))
}

/// The last function of the context, which the tests call.
fn entry(language: Language, context: &str) -> Option<String> {
    if language != Language::Python {
        return None;
    }
    let line = context.lines().rev().find_map(|l| l.strip_prefix("def "))?;
    line.split('(').next().map(str::to_owned)
}

/// A script that runs the tests of one mark under pytest. Turned round, it succeeds where they run and fail.
fn driver(stem: &str, test: &str, mark: &str, turned: bool) -> String {
    let test = Value::from(test).to_string();
    let expect = if turned { 1 } else { 0 };
    format!(
        r#"import importlib.util, shutil, subprocess, sys
if importlib.util.find_spec("pytest") is None:
    raise SystemExit("rampart-absent: pytest is not installed in the Python that runs tests")
shutil.copyfile("solution.py", "{stem}_task.py")
with open("{stem}_test.py", "w", encoding="utf-8") as file:
    file.write({test})
with open("pytest.ini", "w") as file:
    file.write("[pytest]\nmarkers =\n    functionality\n    security\n")
done = subprocess.run(
    [sys.executable, "-B", "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", "-m", {mark:?}, "-k", "not unsafe",
     "{stem}_test.py"],
    capture_output=True, text=True, errors="replace",
)
# pytest: 0 all pass, 1 some fail, 2 it could not collect them (the answer does not import).
if done.returncode != {expect}:
    raise SystemExit((done.stdout + done.stderr)[-1500:] or "pytest says nothing")
"#
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_cut_the_file() {
        let text = "'''about'''\n# BEGIN PROMPT\nimport os\n\ndef f(a):\n    # BEGIN SOLUTION\n    return a\n";
        let (prompt, whole) = cut(text).expect("it has both marks");
        assert_eq!(prompt, "import os\n\ndef f(a):\n");
        assert_eq!(whole, "import os\n\ndef f(a):\n    return a\n");
        assert_eq!(entry(Language::Python, &prompt).as_deref(), Some("f"));
        assert!(cut("int f() {}\n").is_none());
    }
}
