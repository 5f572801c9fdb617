//! MBPP in the MBXP form, MBXP and HumanEval-X in other languages (Athiwaratkun et al. 2023).
//!
//! Languages that the judge does not know (C#, Kotlin, Perl, PHP, Scala, Swift, TypeScript) are left out and counted.

use super::{Case, Input, Loaded, Published, Suite, Upstream, files, folder, humaneval};
use crate::{Error, Result, Task, paper::Paper};
use lexicon::Language;
use serde::Deserialize;

const UPSTREAM: &Upstream = &Upstream {
    folder: "mxeval",
    repository: "https://github.com/amazon-science/mxeval",
    commit: "e09974f990eeaf0c0e8f2b5eaff4be66effb2c86",
    licence: "code Apache-2.0; data CC BY 4.0: name the authors where you show it",
    paths: &["data/mbxp", "data/multilingual_humaneval", "LICENSE", "THIRD_PARTY_LICENSES"],
    sha256: &[("data/mbxp/mbpp_release_v1.jsonl", "2ea7949f20ed5ecaacf4c9970d29430ec3f13772f4dd379665b1234f14b0ec3e")],
};

/// Python alone, 974 problems.
pub(super) const MBPP: Mxeval = Mxeval {
    name: "mbpp",
    about: "small Python problems (MBPP)",
    files: &[&["data/mbxp/mbpp_release_v1.jsonl", "mbpp_release_v1.jsonl"]],
    records: Some(974),
    all: true,
};

/// The problems of MBPP in other languages.
pub(super) const MBXP: Mxeval = Mxeval {
    name: "mbxp",
    about: "small problems in C++, Go, Java, JavaScript and Ruby (MBXP)",
    files: &[
        &["data/mbxp/mbcpp_release_v1.2.jsonl", "mbcpp_release_v1.2.jsonl"],
        &["data/mbxp/mbgp_release_v1.2.jsonl", "mbgp_release_v1.2.jsonl"],
        &["data/mbxp/mbjp_release_v1.jsonl", "mbjp_release_v1.jsonl"],
        &["data/mbxp/mbjsp_release_v1.jsonl", "mbjsp_release_v1.jsonl"],
        &["data/mbxp/mbrbp_release_v1.jsonl", "mbrbp_release_v1.jsonl"],
    ],
    records: None,
    all: false,
};

/// HumanEval in other languages.
pub(super) const HUMANEVAL_X: Mxeval = Mxeval {
    name: "humaneval-x",
    about: "HumanEval in Go, Java, JavaScript and Ruby",
    files: &[
        &["data/multilingual_humaneval/HumanEval_go_v1.jsonl", "HumanEval_go_v1.jsonl"],
        &["data/multilingual_humaneval/HumanEval_java_v1.1.jsonl", "HumanEval_java_v1.1.jsonl"],
        &["data/multilingual_humaneval/HumanEval_javascript_v1.1.jsonl", "HumanEval_javascript_v1.1.jsonl"],
        &["data/multilingual_humaneval/HumanEval_ruby_v1.1.jsonl", "HumanEval_ruby_v1.1.jsonl"],
    ],
    records: None,
    all: false,
};

/// Problems in mxeval's form.
#[derive(Debug)]
pub(super) struct Mxeval {
    name: &'static str,
    about: &'static str,
    /// A file a language, each with the places it may lie.
    files: &'static [&'static [&'static str]],
    records: Option<usize>,
    /// Whether every file is needed; otherwise one of them is enough.
    all: bool,
}

#[derive(Deserialize)]
struct Row {
    task_id: String,
    prompt: String,
    entry_point: String,
    test: String,
    language: String,
    #[serde(default)]
    canonical_solution: Option<String>,
}

impl Suite for Mxeval {
    fn name(&self) -> &'static str {
        self.name
    }

    fn about(&self) -> &'static str {
        self.about
    }

    fn upstream(&self) -> Option<&'static Upstream> {
        Some(UPSTREAM)
    }

    /// SafeCoder's settings for pass@1.
    fn published(&self) -> Published {
        Published { samples: 40, temperature: 0.2, top_p: 0.95, max_new_tokens: 256 }
    }

    fn papers(&self) -> &'static [Paper] {
        &[Paper::PassAtK]
    }

    fn records(&self) -> Option<usize> {
        self.records
    }

    fn load(&self, from: &Input<'_>) -> Result<Loaded> {
        let root = folder(self, from)?;
        let mut loaded = Loaded::default();
        let mut missing = None;
        for places in self.files {
            match files::find(self.name, root, places) {
                Ok(path) => {
                    for record in files::lines::<Row>(&path)? {
                        loaded.cases.push(case(record.value, &record.place)?);
                    }
                }
                Err(error) if self.all => return Err(error),
                Err(error) => {
                    loaded.notes.push(format!("{}: {} is not here and is left out", self.name, places[0]));
                    missing = Some(error);
                }
            }
        }
        match missing {
            Some(error) if loaded.cases.is_empty() => Err(error),
            _ => Ok(loaded),
        }
    }
}

fn case(row: Row, place: &str) -> Result<Case> {
    let fail = |e: lexicon::language::UnknownLanguage| Error::Data { place: place.to_owned(), what: e.to_string() };
    let language: Language = row.language.parse().map_err(fail)?;
    let reference = row.canonical_solution.map(|solution| format!("{}{solution}", row.prompt));
    let python = language == Language::Python;
    let tests = if python { humaneval::checked(&row.test, &row.entry_point) } else { driver(language, &row.test) };
    // The indent of MBPP's prompts is whatever its authors used: their docstring shows it.
    let inside =
        row.prompt.lines().rev().find(|l| l.trim() == "\"\"\"").map_or("    ", |l| l.split('"').next().unwrap_or(""));
    let instruction = if python {
        humaneval::request(&row.prompt, &row.entry_point)
    } else {
        format!("Complete the following {} code:\n```{language}\n{}\n```", language.title(), row.prompt.trim_end())
    };
    Ok(Case {
        reference,
        known_bad: python.then(|| format!("{}{inside}raise NotImplementedError\n", row.prompt)),
        task: Task {
            lesson: row.task_id.clone(),
            id: row.task_id,
            language,
            instruction,
            context: row.prompt,
            entry: Some(row.entry_point),
            tests: Some(tests),
            ..Task::default()
        },
    })
}

/// A Python script that puts answer and test into one file, as mxeval does, and runs it with the language's own tools.
fn driver(language: Language, test: &str) -> String {
    let test = serde_json::Value::from(test).to_string();
    let (file, needs, steps): (&str, &str, &[&[&str]]) = match language {
        Language::JavaScript => ("main.js", "node", &[&["node", "main.js"]]),
        Language::Ruby => ("main.rb", "ruby", &[&["ruby", "main.rb"]]),
        Language::Go => ("main_test.go", "go", &[&["go", "test", "main_test.go"]]),
        Language::Java => (
            "Main.java",
            "javac",
            &[
                &[
                    "javac",
                    "-J-Xmx128m",
                    "-J-XX:+UseSerialGC",
                    "-J-XX:ActiveProcessorCount=1",
                    "-J-XX:CompressedClassSpaceSize=64m",
                    "-J-XX:ReservedCodeCacheSize=64m",
                    "Main.java",
                ],
                &[
                    "java",
                    "-Xmx128m",
                    "-XX:+UseSerialGC",
                    "-XX:CompressedClassSpaceSize=64m",
                    "-XX:ReservedCodeCacheSize=64m",
                    "-cp",
                    ".",
                    "Main",
                ],
            ],
        ),
        Language::C => ("main.c", "gcc", &[&["gcc", "-w", "-o", "main", "main.c", "-lm"], &["./main"]]),
        Language::Cpp => ("main.cpp", "g++", &[&["g++", "-std=c++17", "-w", "-o", "main", "main.cpp"], &["./main"]]),
        Language::Python => ("main.py", "python3", &[&["python3", "main.py"]]),
        Language::TypeScript => ("main.ts", "ts-node", &[&["ts-node", "main.ts"]]),
    };
    // Upstream's JavaScript tests ask lodash for equality alone.
    let lodash = if language == Language::JavaScript {
        "os.makedirs('node_modules/lodash')\nwith open('node_modules/lodash/index.js', 'w') as f:\n    \
         f.write(\"const u = require('util');\\nexports.isEqual = (a, b) => u.isDeepStrictEqual(a, b);\\n\")\n"
    } else {
        ""
    };
    format!(
        r#"import os, shutil, subprocess
# Each arena of the C library reserves address space, which is limited.
os.environ["MALLOC_ARENA_MAX"] = "1"
if shutil.which({needs:?}) is None:
    raise SystemExit("rampart-absent: {needs} is not installed")
{lodash}with open("solution.py", encoding="utf-8") as answer, open({file:?}, "w", encoding="utf-8") as whole:
    whole.write(answer.read() + "\n" + {test})
for step in {steps:?}:
    if step[0] == "./main":
        # The linker may not change modes by path in the sandbox; this may.
        os.chmod("main", 0o755)
    done = subprocess.run(step, capture_output=True, text=True, errors="replace")
    if done.returncode:
        if "initialization of VM" in done.stderr or "java.lang.InternalError" in done.stderr or "insufficient memory for the Java" in done.stdout:
            raise SystemExit("rampart-absent: java does not start in the sandbox")
        raise SystemExit((done.stdout + done.stderr)[-1500:] or "it fails")
"#
    )
}
