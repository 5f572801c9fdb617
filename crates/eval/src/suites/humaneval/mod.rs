//! HumanEval (Chen et al. 2021), and EvalPlus's wider tests of it and of MBPP (Liu et al. 2023).

use super::{Case, Input, Loaded, Published, Suite, Upstream, files, folder};
use crate::{Result, Task, paper::Paper};
use serde::Deserialize;
use serde_json::Value;

/// The 164 problems with their own tests.
pub(super) const HUMANEVAL: HumanEval = HumanEval {
    name: "humaneval",
    about: "Python functions by docstring (HumanEval)",
    upstream: &Upstream {
        folder: "human-eval",
        repository: "https://github.com/openai/human-eval",
        commit: "6d43fb980f9fee3c892a914eda09951f772ad10d",
        licence: "MIT",
        paths: &["data", "LICENSE"],
        sha256: &[("data/HumanEval.jsonl.gz", "b796127e635a67f93fb35c04f4cb03cf06f38c8072ee7cee8833d7bee06979ef")],
    },
    places: &["data/HumanEval.jsonl.gz", "HumanEval.jsonl.gz", "HumanEval.jsonl"],
    records: 164,
    prefix: "",
};

const EVALPLUS: &Upstream = &Upstream {
    folder: "evalplus",
    repository: "",
    commit: "",
    licence: "Apache-2.0; the data are no part of the repository: put HumanEvalPlus.jsonl.gz and MbppPlus.jsonl.gz from the \
              releases of github.com/evalplus/humanevalplus_release and mbppplus_release into the folder",
    paths: &[],
    sha256: &[],
};

/// HumanEval with EvalPlus's inputs.
pub(super) const HUMANEVAL_PLUS: HumanEval = HumanEval {
    name: "humaneval-plus",
    about: "HumanEval with EvalPlus's wider tests",
    upstream: EVALPLUS,
    places: &["HumanEvalPlus.jsonl.gz", "HumanEvalPlus.jsonl"],
    records: 164,
    prefix: "plus/",
};

/// MBPP with EvalPlus's inputs.
pub(super) const MBPP_PLUS: HumanEval = HumanEval {
    name: "mbpp-plus",
    about: "MBPP with EvalPlus's wider tests",
    upstream: EVALPLUS,
    places: &["MbppPlus.jsonl.gz", "MbppPlus.jsonl"],
    records: 378,
    prefix: "plus/",
};

/// A file of problems in HumanEval's form.
#[derive(Debug)]
pub(super) struct HumanEval {
    name: &'static str,
    about: &'static str,
    upstream: &'static Upstream,
    places: &'static [&'static str],
    records: usize,
    prefix: &'static str,
}

#[derive(Deserialize)]
struct Row {
    task_id: String,
    prompt: String,
    entry_point: String,
    canonical_solution: String,
    #[serde(default)]
    test: String,
    /// EvalPlus: code that refuses arguments outside the contract; read by nobody here.
    #[serde(default)]
    base_input: Value,
    #[serde(default)]
    plus_input: Value,
    #[serde(default)]
    atol: f64,
}

impl Suite for HumanEval {
    fn name(&self) -> &'static str {
        self.name
    }

    fn about(&self) -> &'static str {
        self.about
    }

    fn upstream(&self) -> Option<&'static Upstream> {
        Some(self.upstream)
    }

    /// SafeCoder's settings for pass@1.
    fn published(&self) -> Published {
        Published { samples: 40, temperature: 0.2, top_p: 0.95, max_new_tokens: 256 }
    }

    fn papers(&self) -> &'static [Paper] {
        &[Paper::PassAtK]
    }

    fn records(&self) -> Option<usize> {
        Some(self.records)
    }

    fn load(&self, from: &Input<'_>) -> Result<Loaded> {
        let path = files::find(self.name, folder(self, from)?, self.places)?;
        let rows = files::lines::<Row>(&path)?;
        let cases = rows.into_iter().map(|record| self.case(record.value)).collect();
        Ok(Loaded { cases, notes: Vec::new() })
    }
}

impl HumanEval {
    fn case(&self, row: Row) -> Case {
        let reference = format!("{}{}", row.prompt, row.canonical_solution);
        let tests = if row.test.trim().is_empty() || self.prefix == "plus/" {
            differential(&row, &reference)
        } else {
            checked(&row.test, &row.entry_point)
        };
        Case {
            known_bad: Some(format!("{}    raise NotImplementedError\n", row.prompt)),
            reference: Some(reference),
            task: Task {
                id: format!("{}{}", self.prefix, row.task_id),
                lesson: row.task_id,
                instruction: request(&row.prompt, &row.entry_point),
                context: row.prompt,
                entry: Some(row.entry_point),
                tests: Some(tests),
                ..Task::default()
            },
        }
    }
}

/// The LPO paper's request for a function by its declaration and docstring (its appendix).
pub(super) fn request(prompt: &str, entry: &str) -> String {
    let at = prompt.rfind(&format!("def {entry}")).unwrap_or(0);
    let head = prompt[at..].lines().next().unwrap_or_default().trim().trim_end_matches(':');
    let quoted = |quote: &str| {
        let from = prompt[at..].find(quote)? + at + quote.len();
        let length = prompt[from..].find(quote)?;
        Some(&prompt[from..from + length])
    };
    let doc = quoted("\"\"\"").or_else(|| quoted("'''")).unwrap_or_default();
    let doc = doc.lines().map(str::trim).collect::<Vec<_>>().join("\n");
    format!("Write a Python function with declaration `{head}` to {}", doc.trim())
}

/// Tests in HumanEval's form: `check(candidate)`, in one name space with the answer.
pub(super) fn checked(test: &str, entry: &str) -> String {
    // One name space, as upstream: a function may be called `solution` (HumanEval/121), and one called `check` fails there
    // too (MBPP/56).
    format!(
        "import solution as __answer\nglobals().update({{k: v for k, v in vars(__answer).items() if k[:2] != '__'}})\n\
         {test}\ncheck({entry})\n"
    )
}

/// EvalPlus's comparison with its reference on every input (evalplus/evaluate.py): equal, or near for floats.
fn differential(row: &Row, reference: &str) -> String {
    let inputs = serde_json::json!([row.base_input, row.plus_input]).to_string();
    // JSON strings are Python strings but for surrogates, which JSON of valid UTF-8 does not hold.
    let quoted = |text: &str| serde_json::Value::from(text).to_string();
    format!(
        r"import copy, json, math
import solution

space = {{}}
exec(compile({}, 'reference.py', 'exec'), space)
expected, found, atol = space[{entry}], getattr(solution, {entry}), {:?}


def equal(a, b):
    if isinstance(a, float) or isinstance(b, float):
        if not isinstance(a, (int, float)) or not isinstance(b, (int, float)):
            return False
        return a == b or math.isclose(a, b, rel_tol=1e-7, abs_tol=atol or 1e-6) or a != a and b != b
    if isinstance(a, (list, tuple)) and isinstance(b, (list, tuple)):
        return len(a) == len(b) and all(map(equal, a, b))
    return a == b


for inputs in json.loads({}):
    for arguments in inputs or []:
        want = expected(*copy.deepcopy(arguments))
        have = found(*copy.deepcopy(arguments))
        assert equal(want, have), (arguments, want, have)
",
        quoted(reference),
        row.atol,
        quoted(&inputs),
        entry = quoted(&row.entry_point),
    )
}
