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
    /// Pairs turned against the learner, and what an audit leaves of them.
    Poison,
}

const EXPERIMENTS: &[(&str, Experiment)] = &[
    ("table1", Experiment::Table1),
    ("ablation", Experiment::Ablation),
    ("ood", Experiment::Ood),
    ("prompts", Experiment::Prompts),
    ("poison", Experiment::Poison),
];

impl FromStr for Experiment {
    type Err = String;

    fn from_str(s: &str) -> Result<Self, String> {
        let known = EXPERIMENTS.iter().find(|(name, _)| *name == s);
        known.map(|(_, e)| *e).ok_or_else(|| format!("{s:?} is not table1, ablation, ood, prompts or poison"))
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
    /// All, a share of one weakness poisoned.
    Poisoned,
    /// What an audit of the poisoned ones does not suspect.
    Audited,
}

impl Data {
    /// Its file under `data/`.
    pub(crate) const fn file(self) -> &'static str {
        match self {
            Self::Whole => "pairs.jsonl",
            Self::Silent => "without-reasoning.jsonl",
            Self::Unseen => "unseen.jsonl",
            Self::Poisoned => "poisoned.jsonl",
            Self::Audited => "audited.jsonl",
        }
    }
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
    training: Training,
}

/// What a stage moves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Training {
    /// Likelihood, of all weights of a small model and of an adapter of a large one.
    Likelihood,
    /// What is preferred, by an adapter.
    Preference,
    /// Prefixes of two controls.
    Prefixes,
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
    Stage { name, objective: "kind = \"sft\"", data, training: Training::Likelihood }
}

const fn preference(name: &'static str, objective: &'static str, data: Data) -> Stage {
    Stage { name, objective, data, training: Training::Preference }
}

/// SVEN's prefixes on the base model, which goes on being asked as one.
const fn prefixes() -> Stage {
    Stage { name: "sven", objective: "kind = \"sven\"", data: Data::Silent, training: Training::Prefixes }
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
            Cell { template: "completion", ..cell("sven", vec![prefixes()]) },
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
        Experiment::Poison => vec![
            base(),
            cell("clean", vec![sft()]),
            cell("poisoned", vec![likelihood("sft-poisoned", Data::Poisoned)]),
            cell("audited", vec![likelihood("sft-audited", Data::Audited)]),
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
    // SVEN's prefixes as published for a model of 2B: five epochs of two at a time.
    let prefix = "{ kind = \"prefix\", tokens = 8, dropout = 0.1 }";
    let (adapter, rate, length, template) = match (recipe, stage.training) {
        (Recipe::Tiny, Training::Likelihood) => ("{ kind = \"none\" }", "3e-4", "steps = 180".to_owned(), "comment"),
        (Recipe::Tiny, Training::Preference) => (lora, "2e-4", "steps = 80".to_owned(), "comment"),
        (Recipe::Tiny, Training::Prefixes) => (prefix, "1e-2", "steps = 180".to_owned(), "docstring"),
        (Recipe::Paper, Training::Likelihood) => (lora, "1e-4", "epochs = 2.0".to_owned(), "disco"),
        (Recipe::Paper, Training::Preference) => (lora, "1e-5", "epochs = 1.0".to_owned(), "disco"),
        (Recipe::Paper, Training::Prefixes) => (prefix, "1e-2", "epochs = 5.0".to_owned(), "code"),
    };
    let length = match steps {
        Some((_, preference)) if stage.training == Training::Preference => format!("steps = {preference}"),
        Some((sft, _)) => format!("steps = {sft}"),
        None => length,
    };
    // A thought that is not trained is not to be asked for either: SafeCoder's form has none.
    let template = match (stage.data, recipe, stage.training) {
        (Data::Silent, Recipe::Tiny, _) => "docstring",
        (Data::Silent, Recipe::Paper, Training::Likelihood | Training::Preference) => "safecoder",
        _ => template,
    };
    // The tiny model keeps ordinary coding by its own answers to ordinary tasks, as in the demo.
    let replay = if recipe == Recipe::Tiny && stage.training == Training::Likelihood {
        data.parent().map(|p| format!(", {}", quoted(&p.join("replay.jsonl")))).unwrap_or_default()
    } else {
        String::new()
    };
    let (tokens, batch, alpha) = match (recipe, stage.training) {
        (Recipe::Tiny, _) => (512, 16, "0.5"),
        (Recipe::Paper, Training::Prefixes) => (1024, 2, "0.05"),
        (Recipe::Paper, _) => (1024, 32, "0.05"),
    };
    let decay = if stage.training == Training::Prefixes { "weight-decay = 0.01\n" } else { "" };
    let objective = stage.objective.replace("@ALPHA@", alpha);
    let data = quoted(data);
    let model = quoted(model);
    format!(
        "format = 1\noutput = \"{name}\"\nseed = {seed}\n[model]\npath = {model}\nadapter = {adapter}\n[data]\n\
         train = [{data}{replay}]\ntemplate = \"{template}\"\nmax-tokens = {tokens}\n[objective]\n{objective}\n[optim]\n\
         learning-rate = {rate}\nschedule = \"cosine\"\nwarmup-ratio = 0.05\nclip-norm = 1.0\n{decay}batch = {batch}\n{length}\n",
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
