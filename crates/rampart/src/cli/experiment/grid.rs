//! What each experiment trains and asks.

use std::{fmt, path::Path, str::FromStr};

/// A table of the papers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Experiment {
    /// Methods (LPO paper, table 1).
    Table1,
    /// Parts of LPO (its ablation).
    Ablation,
    /// Weaknesses of the test set left out of training (its section on unseen CWEs).
    Ood,
    /// What prompts say of security (SafeCoder's prompt variants).
    Prompts,
}

const EXPERIMENTS: &[(&str, Experiment)] = &[
    ("table1", Experiment::Table1),
    ("ablation", Experiment::Ablation),
    ("ood", Experiment::Ood),
    ("prompts", Experiment::Prompts),
];

impl FromStr for Experiment {
    type Err = String;

    fn from_str(s: &str) -> Result<Self, String> {
        let known = EXPERIMENTS.iter().find(|(name, _)| *name == s);
        known.map(|(_, e)| *e).ok_or_else(|| format!("{s:?} is not table1, ablation, ood or prompts"))
    }
}

impl fmt::Display for Experiment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(EXPERIMENTS.iter().find(|(_, e)| e == self).map_or("?", |(name, _)| name))
    }
}

/// Settings of training.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Recipe {
    /// Those of the demo: full SFT, LoRA for preferences, high learning rates.
    Tiny,
    /// The LPO paper's (section 6; methods.md, sections 2 and 5).
    Paper,
}

impl FromStr for Recipe {
    type Err = String;

    fn from_str(s: &str) -> Result<Self, String> {
        match s {
            "tiny" => Ok(Self::Tiny),
            "paper" => Ok(Self::Paper),
            other => Err(format!("{other:?} is not tiny or paper")),
        }
    }
}

/// Which pairs a stage trains on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Data {
    /// All.
    Whole,
    /// All, without their security thoughts.
    Silent,
    /// Those whose weakness no suite asks for.
    Unseen,
}

/// A training run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Stage {
    /// Its name in its folder.
    name: &'static str,
    /// The `[objective]` table.
    objective: &'static str,
    /// Pairs.
    pub(crate) data: Data,
    /// Whether likelihood alone is trained.
    likelihood: bool,
}

impl Stage {
    /// Name of its folder.
    pub(crate) const fn name(&self) -> &'static str {
        self.name
    }
}

/// A row of a table.
#[derive(Clone, Debug)]
pub(crate) struct Cell {
    /// Its name.
    pub(crate) name: &'static str,
    /// Trained one after the other.
    pub(crate) stages: Vec<Stage>,
    /// How large models are asked; small ones go on from a docstring.
    pub(crate) template: &'static str,
    /// What prompts say of security.
    pub(crate) prompt: &'static str,
}

const fn likelihood(name: &'static str, data: Data) -> Stage {
    Stage { name, objective: "kind = \"sft\"", data, likelihood: true }
}

const fn preference(name: &'static str, objective: &'static str, data: Data) -> Stage {
    Stage { name, objective, data, likelihood: false }
}

/// The LPO paper's settings for LPO; alpha 0.5 is what moves models/tiny (`rampart demo`), 0.05 the paper's.
const LPO: &str = "kind = \"lpo\"\ncompat = \"paper\"\nbeta = 10.0\ngamma = 5.4\nalpha = @ALPHA@";
const LPO_WHOLE: &str =
    "kind = \"lpo\"\ncompat = \"paper\"\nbeta = 10.0\ngamma = 5.4\nalpha = @ALPHA@\nlocalise = false";
const LPO_FREE: &str = "kind = \"lpo\"\ncompat = \"paper\"\nbeta = 10.0\ngamma = 5.4\nalpha = 0.0";

/// Rows of an experiment, base first.
pub(crate) fn cells(experiment: Experiment) -> Vec<Cell> {
    let cell = |name, stages| Cell { name, stages, template: "disco", prompt: "plain" };
    let sft = || likelihood("sft", Data::Whole);
    let base = || Cell { template: "completion", ..cell("base", vec![]) };
    let lpo = || cell("lpo", vec![sft(), preference("lpo", LPO, Data::Whole)]);
    match experiment {
        Experiment::Table1 => vec![
            base(),
            Cell {
                template: "safecoder",
                ..cell("safecoder", vec![preference("safecoder", "kind = \"safecoder\"", Data::Silent)])
            },
            cell("sft", vec![sft()]),
            cell("dpo", vec![sft(), preference("dpo", "kind = \"dpo\"\nbeta = 0.1", Data::Whole)]),
            cell("simpo", vec![sft(), preference("simpo", "kind = \"simpo\"\nbeta = 10.0\ngamma = 5.4", Data::Whole)]),
            cell("margin", vec![sft(), preference("margin", "kind = \"margin\"", Data::Whole)]),
            lpo(),
        ],
        Experiment::Ablation => vec![
            base(),
            cell("sft", vec![sft()]),
            lpo(),
            cell("no-localisation", vec![sft(), preference("no-localisation", LPO_WHOLE, Data::Whole)]),
            cell("no-regulariser", vec![sft(), preference("no-regulariser", LPO_FREE, Data::Whole)]),
            cell(
                "no-reasoning",
                vec![likelihood("sft-no-reasoning", Data::Silent), preference("no-reasoning", LPO, Data::Silent)],
            ),
            cell("no-sft", vec![preference("no-sft", LPO, Data::Whole)]),
        ],
        Experiment::Ood => vec![
            base(),
            cell("sft", vec![sft()]),
            lpo(),
            cell("sft-unseen", vec![likelihood("sft-unseen", Data::Unseen)]),
            cell(
                "lpo-unseen",
                vec![likelihood("sft-unseen", Data::Unseen), preference("lpo-unseen", LPO, Data::Unseen)],
            ),
        ],
        Experiment::Prompts => vec![
            base(),
            Cell { prompt: "sec-generic", ..Cell { name: "base sec-generic", ..base() } },
            Cell { prompt: "sec-specific", ..Cell { name: "base sec-specific", ..base() } },
            lpo(),
            Cell { prompt: "sec-generic", ..Cell { name: "lpo sec-generic", ..lpo() } },
            Cell { prompt: "sec-specific", ..Cell { name: "lpo sec-specific", ..lpo() } },
        ],
    }
}

/// The configuration of a stage, as `rampart train` reads it.
pub(crate) fn config(
    stage: &Stage,
    recipe: Recipe,
    steps: Option<(usize, usize)>,
    seed: u64,
    model: &Path,
    data: &Path,
) -> String {
    let quoted = |p: &Path| toml::Value::from(p.display().to_string()).to_string();
    let lora = "{ kind = \"lora\", r = 16, alpha = 32, dropout = 0.0, targets = \"all-linear\" }";
    let (adapter, rate, length, template) = match (recipe, stage.likelihood) {
        (Recipe::Tiny, true) => ("{ kind = \"none\" }", "3e-4", "steps = 60".to_owned(), "comment"),
        (Recipe::Tiny, false) => (lora, "2e-4", "steps = 30".to_owned(), "comment"),
        (Recipe::Paper, true) => (lora, "1e-4", "epochs = 2.0".to_owned(), "disco"),
        (Recipe::Paper, false) => (lora, "1e-5", "epochs = 1.0".to_owned(), "disco"),
    };
    let length = match steps {
        Some((sft, preference)) => format!("steps = {}", if stage.likelihood { sft } else { preference }),
        None => length,
    };
    // A thought that is not trained is not to be asked for either: SafeCoder's form has none.
    let template = match (stage.data, recipe) {
        (Data::Silent, Recipe::Tiny) => "docstring",
        (Data::Silent, Recipe::Paper) => "safecoder",
        _ => template,
    };
    // The tiny model keeps ordinary coding by its own answers to ordinary tasks, as in the demo.
    let replay = if recipe == Recipe::Tiny && stage.likelihood {
        data.parent().map(|p| format!(", {}", quoted(&p.join("replay.jsonl")))).unwrap_or_default()
    } else {
        String::new()
    };
    let (tokens, batch, alpha) = if recipe == Recipe::Tiny { (512, 16, "0.5") } else { (1024, 32, "0.05") };
    let objective = stage.objective.replace("@ALPHA@", alpha);
    let data = quoted(data);
    let model = quoted(model);
    format!(
        "format = 1\noutput = \"{name}\"\nseed = {seed}\n[model]\npath = {model}\nadapter = {adapter}\n[data]\n\
         train = [{data}{replay}]\ntemplate = \"{template}\"\nmax-tokens = {tokens}\n[objective]\n{objective}\n[optim]\n\
         learning-rate = {rate}\nschedule = \"cosine\"\nwarmup-ratio = 0.05\nclip-norm = 1.0\nbatch = {batch}\n{length}\n",
        name = stage.name
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_stage_is_a_configuration() -> Result<(), Box<dyn std::error::Error>> {
        let folder = tempfile::tempdir()?;
        for (_, experiment) in EXPERIMENTS {
            for cell in cells(*experiment) {
                for stage in &cell.stages {
                    for recipe in [Recipe::Tiny, Recipe::Paper] {
                        let text = config(stage, recipe, None, 3, folder.path(), &folder.path().join("p.jsonl"));
                        let path = folder.path().join("c.toml");
                        std::fs::write(&path, &text)?;
                        let read =
                            train::Config::read(&path, &[]).map_err(|e| format!("{}: {e}\n{text}", stage.name))?;
                        assert_eq!(read.seed, 3);
                    }
                }
            }
        }
        Ok(())
    }

    #[test]
    fn a_stage_of_one_name_is_one_stage() {
        for (_, experiment) in EXPERIMENTS {
            let mut seen: Vec<Stage> = Vec::new();
            for stage in cells(*experiment).into_iter().flat_map(|c| c.stages) {
                if let Some(same) = seen.iter().find(|s| s.name == stage.name) {
                    assert_eq!(same, &stage, "shared stages are trained once");
                }
                seen.push(stage);
            }
        }
    }
}
