//! An experiment's table in Markdown, beside the paper's, and the page that holds several of them.

use super::{Args, Row, grid::Experiment, grid::Recipe};
use anyhow::{Context, Result};
use clap::ValueEnum;
use lexicon::{Figure, SuiteResult, atomic};
use std::{fs, path::Path};

const HEAD: &str = "# Results of the papers' experiments

`rampart experiment` writes this file; nobody edits it. Each table says what made it. Shares are in percent with 95 %
intervals (tasks drawn anew); every requested answer counts.

A model of seven million parameters that has seen nothing but short Python shows that every method runs, that a grid is
reproducible from its seed, and in which direction a method moves a model. It cannot show how large an effect is on a model
that people use, whether it lasts on code longer than a function, or what it costs in ability beyond our lessons. Rows whose
intervals overlap are not told apart by these samples.
";

type Of<'a> = &'a dyn Fn(&SuiteResult) -> Figure;

const COLUMNS: &[(&str, Of)] = &[
    ("InS \u{2193}", &|r| r.metrics.ins),
    ("by Bandit \u{2193}", &|r| r.metrics.ins_bandit),
    ("valid \u{2191}", &|r| r.metrics.valid),
    ("pass@1 \u{2191}", &|r| r.metrics.pass_1),
    ("secure-pass@1 \u{2191}", &|r| r.metrics.secure_pass_1),
];

/// What the LPO paper prints for StarCoder2-7B: SecurityEval InS / HumanEval-X pass@1, by our row.
const ABLATION: &[(&str, &str)] = &[
    ("base", "56.3 / 33.2"),
    ("sft", "31.6 / 38.2"),
    ("lpo", "11.4 / 38.9"),
    ("no-localisation", "32.0 / 38.3"),
    ("no-regulariser", "8.0 / 27.4"),
    ("no-reasoning", "12.2 / 18.8"),
    ("no-sft", "12.1 / 35.5"),
];
const TABLE1: &[(&str, &str)] = &[
    ("base", "56.3 / 33.2"),
    ("safecoder", "49.8 / 42.1"),
    ("sft", "31.6 / 38.2"),
    ("dpo", "31.8 / 38.4"),
    ("simpo", "32.0 / 38.3"),
    ("lpo", "11.4 / 38.9"),
];
const OOD: &[(&str, &str)] = &[("base", "56.3 / 33.2"), ("lpo", "11.4 / 38.9"), ("lpo-unseen", "16.6 / -")];

fn published(experiment: Experiment) -> &'static [(&'static str, &'static str)] {
    match experiment {
        Experiment::Table1 => TABLE1,
        Experiment::Ablation => ABLATION,
        Experiment::Ood => OOD,
        Experiment::Prompts | Experiment::Poison => &[],
    }
}

fn title(experiment: Experiment) -> &'static str {
    match experiment {
        Experiment::Table1 => "Methods",
        Experiment::Ablation => "Parts of LPO",
        Experiment::Ood => "Weaknesses left out of training",
        Experiment::Prompts => "What prompts say of security",
        Experiment::Poison => "Poisoned pairs, and what an audit leaves of them",
    }
}

/// A figure with its interval; of several seeds the means, and between which values the seeds lie.
fn cell(figures: &[Figure]) -> String {
    let figures: Vec<&Figure> = figures.iter().filter(|f| f.n > 0).collect();
    if figures.is_empty() {
        return "-".into();
    }
    let mean = |of: fn(&Figure) -> f64| figures.iter().map(|f| of(f)).sum::<f64>() / figures.len() as f64;
    let words = format!("{:.1} [{:.1}, {:.1}]", mean(|f| f.value), mean(|f| f.low), mean(|f| f.high));
    if figures.len() == 1 {
        return words;
    }
    let least = figures.iter().map(|f| f.value).fold(f64::INFINITY, f64::min);
    let most = figures.iter().map(|f| f.value).fold(f64::NEG_INFINITY, f64::max);
    format!("{words} {least:.1}..{most:.1}")
}

fn seeds(args: &Args) -> String {
    let all: Vec<String> = args.seeds.iter().map(u64::to_string).collect();
    match all.as_slice() {
        [one] => format!("seed {one}"),
        several => {
            format!("means of seeds {} with the least and the greatest behind each interval", several.join(" and "))
        }
    }
}

/// An experiment's part of the page.
pub(super) fn table(args: &Args, rows: &[Row]) -> String {
    let mut out = format!("## {} (`rampart experiment {}`)\n\n", title(args.experiment), args.experiment);
    let model = args.model.as_ref().map_or("models/tiny".into(), |m| m.display().to_string());
    let pairs = if args.pairs.is_empty() {
        format!("pairs of lessons, at most {} a lesson", args.pairs_per_lesson)
    } else {
        "pairs given".into()
    };
    let steps = args.steps.as_ref().map_or("the recipe's steps".into(), |s| format!("{} and {} steps", s[0], s[1]));
    let recipe = if args.recipe == Recipe::Tiny { "tiny" } else { "paper" };
    out.push_str(&format!(
        "{model}, recipe {recipe}, {steps}, {pairs}, {}, {} samples a prompt.\n\n",
        seeds(args),
        args.samples_per_prompt
    ));
    if args.experiment == Experiment::Poison {
        let kind = args.kind.to_possible_value().map_or_else(String::new, |v| v.get_name().to_owned());
        out.push_str(&format!(
            "SFT on all pairs; on the same with {:.0} % of all turned ({kind}), every one of {}; and on what `rampart data audit` \
             does not suspect of those.\n\n",
            100.0 * args.share,
            args.cwe
        ));
    }
    let known = published(args.experiment);
    let poisoned = |r: &SuiteResult| {
        let of = r.by_cwe.iter().find(|f| f.cwe == args.cwe.to_string());
        of.map_or(Figure { value: 0.0, low: 0.0, high: 0.0, n: 0 }, |f| f.ins)
    };
    let name = format!("InS of {} \u{2193}", args.cwe);
    let mut columns: Vec<(&str, Of)> = COLUMNS.to_vec();
    if args.experiment == Experiment::Poison {
        columns.insert(1, (&name, &poisoned));
    }
    for (at, suite) in rows.first().and_then(|r| r.seeds.first()).map_or(&[][..], Vec::as_slice).iter().enumerate() {
        out.push_str(&format!("### {} ({} prompts)\n\n| |", suite.name, suite.prompts));
        let used: Vec<&(&str, Of)> = columns
            .iter()
            .filter(|(_, of)| rows.iter().flat_map(|r| &r.seeds).any(|s| s.get(at).is_some_and(|s| of(s).n > 0)))
            .collect();
        for (name, _) in &used {
            out.push_str(&format!(" {name} |"));
        }
        if !known.is_empty() {
            out.push_str(" paper: InS / pass@1 |");
        }
        out.push_str(&format!("\n|{}\n", " --- |".repeat(1 + used.len() + usize::from(!known.is_empty()))));
        for row in rows {
            let results: Vec<&SuiteResult> = row.seeds.iter().filter_map(|s| s.get(at)).collect();
            out.push_str(&format!("| {} |", row.name));
            for (_, of) in &used {
                out.push_str(&format!(" {} |", cell(&results.iter().map(|r| of(r)).collect::<Vec<_>>())));
            }
            if !known.is_empty() {
                let said = known.iter().find(|(name, _)| *name == row.name).map_or("-", |(_, said)| said);
                out.push_str(&format!(" {said} |"));
            }
            out.push('\n');
        }
        out.push('\n');
    }
    if !known.is_empty() {
        out.push_str(
            "The paper's column is StarCoder2-7B on SecurityEval and HumanEval-X (Saqib et al. 2025): another model on other \
             prompts, to be read down the column, not across.\n",
        );
    }
    if args.recipe == Recipe::Tiny {
        out.push_str(
            "\nEvery row is asked in one form, a docstring. Rows with reasoning were trained to write the security thought as a \
             comment first, which costs a small model steps that rows without it spend on the code.\n",
        );
    }
    if args.experiment == Experiment::Table1 {
        out.push_str("\nSVEN's row is the base model behind the secure prefix, asked as the base is.\n");
    }
    out
}

/// The same for programs.
pub(super) fn json(args: &Args, rows: &[Row]) -> serde_json::Value {
    serde_json::json!({
        "format": lexicon::FORMAT,
        "experiment": args.experiment.to_string(),
        "seeds": args.seeds,
        "rows": rows.iter().map(|r| serde_json::json!({"name": r.name, "suites": r.seeds})).collect::<Vec<_>>(),
    })
}

/// Writes an experiment's part into a page, in place of its last one.
pub(super) fn replace(path: &Path, experiment: Experiment, table: &str) -> Result<()> {
    let text = if path.exists() {
        fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?
    } else {
        HEAD.to_owned()
    };
    Ok(atomic::write(path, placed(&text, experiment, table).as_bytes())?)
}

fn placed(text: &str, experiment: Experiment, table: &str) -> String {
    let (open, close) = (format!("<!-- experiment {experiment} -->\n"), format!("<!-- end of {experiment} -->\n"));
    let part = format!("{open}{table}{close}");
    match (text.find(&open), text.find(&close)) {
        (Some(from), Some(to)) if from < to => format!("{}{part}{}", &text[..from], &text[to + close.len()..]),
        _ => format!("{}\n\n{part}", text.trim_end()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_takes_the_place_of_its_last() {
        let one = placed(HEAD, Experiment::Ablation, "a\n");
        let two = placed(&one, Experiment::Prompts, "p\n");
        let three = placed(&two, Experiment::Ablation, "b\n");
        assert!(
            three.starts_with("# Results") && three.contains("ablation -->\nb\n<!-- end of ablation -->"),
            "{three}"
        );
        assert!(!three.contains("\na\n") && three.contains("prompts -->\np\n"), "{three}");
        assert_eq!(placed(&three, Experiment::Ablation, "b\n"), three);
    }

    #[test]
    fn seeds_stand_beside_their_mean() {
        let figure = |value: f64, n| Figure { value, low: value - 10.0, high: value + 10.0, n };
        for (figures, expect) in [
            (vec![], "-"),
            (vec![figure(50.0, 0)], "-"),
            (vec![figure(50.0, 9)], "50.0 [40.0, 60.0]"),
            (vec![figure(50.0, 9), figure(53.0, 9)], "51.5 [41.5, 61.5] 50.0..53.0"),
        ] {
            assert_eq!(cell(&figures), expect);
        }
    }
}
