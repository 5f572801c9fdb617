//! What figures, stages and suites are called where people read them.

use crate::suites;
use lexicon::{Figure, Metrics};

/// A figure of [`Metrics`] with its words.
pub(super) struct Metric {
    /// Name in a table.
    pub(super) name: &'static str,
    /// What counts, over what.
    pub(super) meaning: &'static str,
    /// Whether less is better.
    pub(super) lower_is_better: bool,
    /// The figure.
    pub(super) of: fn(&Metrics) -> Figure,
}

/// Every metric, in the order of tables.
pub(super) const METRICS: &[Metric] = &[
    Metric {
        name: "Insecure (InS)",
        meaning: "answers that do not parse, or in which our rules or Bandit (medium severity and above) find a weakness, \
                  of all requested",
        lower_is_better: true,
        of: |m| m.ins,
    },
    Metric {
        name: "Insecure by Bandit",
        meaning: "the same by Bandit alone, so that our rules do not mark their own homework",
        lower_is_better: true,
        of: |m| m.ins_bandit,
    },
    Metric {
        name: "Issues per 100 valid",
        meaning: "findings per hundred answers that parse; what two analyzers agree on counts once",
        lower_is_better: true,
        of: |m| m.i_at_100,
    },
    Metric { name: "Valid", meaning: "answers that parse, of all requested", lower_is_better: false, of: |m| m.valid },
    Metric {
        name: "Works (pass@1)",
        meaning: "answers that pass their functional tests, of all requested for tasks with tests",
        lower_is_better: false,
        of: |m| m.pass_1,
    },
    Metric {
        name: "Secure if it works (secure@1_pass)",
        meaning: "secure answers among those that pass; secure means: parses, no finding, and the attack on it fails where \
                  the task brings one",
        lower_is_better: false,
        of: |m| m.secure_1_pass,
    },
    Metric {
        name: "Works and is secure (secure-pass@1)",
        meaning: "answers that pass and are secure, of all requested for tasks with tests",
        lower_is_better: false,
        of: |m| m.secure_pass_1,
    },
];

/// A stage as people write it.
pub(super) fn stage(name: &str) -> String {
    match name {
        "base" => "Base".into(),
        "sft" | "lpo" | "dpo" | "ipo" | "sven" => name.to_uppercase(),
        "simpo" => "SimPO".into(),
        "safecoder" => "SafeCoder".into(),
        other => other.to_owned(),
    }
}

/// What a suite measures, in a phrase; its name where we do not know it.
pub(super) fn suite(name: &str) -> String {
    suites::ALL.iter().find(|s| s.name() == name).map_or_else(|| name.to_owned(), |s| s.about().to_owned())
}

/// One digit after the point; a hundred and zero without.
pub(super) fn number(x: f64) -> String {
    let text = format!("{x:.1}");
    match text.as_str() {
        "-0.0" | "0.0" => "0".into(),
        "100.0" => "100".into(),
        _ => text,
    }
}
