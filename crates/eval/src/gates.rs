//! A comparison and conditions in TOML in; which conditions hold out.
//!
//! ```toml
//! format = 1
//! [[gate]]
//! metric = "high-critical"        # findings of high or critical severity, all suites together
//! reduction-at-least = 50.0       # percent of base
//! [[gate]]
//! suite = "humaneval"
//! metric = "pass-1"
//! kept-at-least = 90.0            # percent of base
//! [[gate]]
//! metric = "valid"
//! change-at-least = -2.0          # points
//! bound = "interval"              # the whole 95 % interval must hold it, not the estimate alone
//! ```

use crate::{
    Error, Result,
    compare::{Change, Comparison, Estimate, METRICS},
};
use serde::{Deserialize, Serialize};

/// Conditions on a comparison.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Gates {
    /// Format of the file.
    pub format: u32,
    /// The conditions.
    #[serde(rename = "gate", default)]
    pub gates: Vec<Gate>,
}

/// Which end of an estimate must hold a condition.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Bound {
    /// The estimate.
    #[default]
    Value,
    /// The whole interval.
    Interval,
}

/// One condition; exactly one of the numbers is given.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Gate {
    /// Suite; all together where absent.
    #[serde(default)]
    pub suite: Option<String>,
    /// Metric of [`METRICS`].
    pub metric: String,
    /// Least percent by which it must fall.
    #[serde(default)]
    pub reduction_at_least: Option<f64>,
    /// Least percent of base that must remain.
    #[serde(default)]
    pub kept_at_least: Option<f64>,
    /// Least difference in points.
    #[serde(default)]
    pub change_at_least: Option<f64>,
    /// Most difference in points.
    #[serde(default)]
    pub change_at_most: Option<f64>,
    /// Which end must hold it.
    #[serde(default)]
    pub bound: Bound,
}

/// A condition and how it stands.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Verdict {
    /// The condition in words.
    pub gate: String,
    /// What was found, in words.
    pub found: String,
    /// Whether it holds; none where it could not be measured.
    pub holds: Option<bool>,
}

impl Gates {
    /// Reads conditions.
    ///
    /// # Errors
    /// [`Error::Gate`] naming what is wrong, with a suggestion of metrics.
    pub fn parse(text: &str) -> Result<Self> {
        let gates: Self =
            toml::from_str(text).map_err(|e| Error::Gate(format!("file: {}", e.to_string().trim_end())))?;
        if gates.format != lexicon::FORMAT {
            return Err(Error::Gate(format!("file: format {} is not {}", gates.format, lexicon::FORMAT)));
        }
        if gates.gates.is_empty() {
            return Err(Error::Gate("file: no [[gate]] in it".into()));
        }
        for (number, gate) in gates.gates.iter().enumerate() {
            let fail = |what: String| Err(Error::Gate(format!("{}: {what}", number + 1)));
            if !METRICS.iter().any(|m| m.name == gate.metric) {
                let known: Vec<_> = METRICS.iter().map(|m| m.name).collect();
                return fail(format!("metric {:?} is not one of {}", gate.metric, known.join(", ")));
            }
            let given = gate.conditions();
            if given.len() != 1 {
                return fail(format!(
                    "exactly one of reduction-at-least, kept-at-least, change-at-least and change-at-most is needed, {} are given",
                    given.len()
                ));
            }
            if given.iter().any(|x| !x.is_finite()) {
                return fail("its number is not finite".into());
            }
        }
        Ok(gates)
    }

    /// The goals of the design document: severe findings more than halved, HumanEval kept to nine tenths.
    #[must_use]
    pub fn goals() -> Self {
        let goal = |suite: Option<&str>, metric: &str| Gate {
            suite: suite.map(str::to_owned),
            metric: metric.to_owned(),
            reduction_at_least: None,
            kept_at_least: None,
            change_at_least: None,
            change_at_most: None,
            bound: Bound::Value,
        };
        Self {
            format: lexicon::FORMAT,
            gates: vec![
                Gate { reduction_at_least: Some(50.0), ..goal(None, "high-critical") },
                Gate { kept_at_least: Some(90.0), ..goal(Some("humaneval"), "pass-1") },
            ],
        }
    }

    /// How every condition stands.
    #[must_use]
    pub fn check(&self, comparison: &Comparison) -> Vec<Verdict> {
        self.gates.iter().map(|gate| gate.check(comparison)).collect()
    }
}

impl Gate {
    fn conditions(&self) -> Vec<f64> {
        [self.reduction_at_least, self.kept_at_least, self.change_at_least, self.change_at_most]
            .into_iter()
            .flatten()
            .collect()
    }

    fn check(&self, comparison: &Comparison) -> Verdict {
        let place = self.suite.as_deref().unwrap_or("all suites");
        let (words, least, most): (String, Option<f64>, Option<f64>) =
            match (self.reduction_at_least, self.kept_at_least, self.change_at_least, self.change_at_most) {
                (Some(x), ..) => (format!("falls by at least {x} %"), Some(x), None),
                (_, Some(x), ..) => (format!("keeps at least {x} % of base"), Some(x), None),
                (_, _, Some(x), _) => (format!("changes by at least {x} points"), Some(x), None),
                (.., Some(x)) => (format!("changes by at most {x} points"), None, Some(x)),
                (..) => (String::new(), None, None),
            };
        let gate = format!("{} on {place} {words}", self.metric);
        let Some(change) = self.find(comparison) else {
            return Verdict { gate, found: "not measured by both runs".into(), holds: None };
        };
        let estimate = if self.reduction_at_least.is_some() {
            change.reduction
        } else if self.kept_at_least.is_some() {
            change.kept
        } else {
            Some(change.difference)
        };
        let Some(Estimate { value, interval }) = estimate else {
            // Nothing to reduce: a metric that is zero on both sides keeps all there was.
            let still = change.tuned.value == 0.0;
            let found = format!("base is 0, tuned {:.1}", change.tuned.value);
            return Verdict {
                gate,
                found,
                holds: Some(still && (self.reduction_at_least.is_some() || self.kept_at_least.is_some())),
            };
        };
        let ends = match (self.bound, interval) {
            (Bound::Value, _) => Some((value, value)),
            (Bound::Interval, ends) => ends,
        };
        let shown = interval.map_or_else(|| "no interval".into(), |(low, high)| format!("{low:.1} to {high:.1}"));
        let holds = ends.is_some_and(|(low, high)| least.is_none_or(|x| low >= x) && most.is_none_or(|x| high <= x));
        Verdict { gate, found: format!("{value:.1} ({shown})"), holds: Some(holds) }
    }

    fn find<'c>(&self, comparison: &'c Comparison) -> Option<&'c Change> {
        let of = |changes: &'c [Change]| changes.iter().find(|c| c.name == self.metric);
        match &self.suite {
            Some(suite) => of(&comparison.suites.iter().find(|s| s.name == *suite)?.metrics),
            None if comparison.suites.len() == 1 => of(&comparison.suites[0].metrics),
            None => of(&comparison.overall),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_wrong_is_said() {
        let cases = [
            ("format = 2", "gate file: format 2"),
            ("format = 1", "gate file: no [[gate]]"),
            (
                "format = 1\n[[gate]]\nmetric = \"inz\"\nkept-at-least = 1.0",
                "gate 1: metric \"inz\" is not one of high-critical",
            ),
            ("format = 1\n[[gate]]\nmetric = \"ins\"", "gate 1: exactly one of"),
            (
                "format = 1\n[[gate]]\nmetric = \"ins\"\nkept-at-least = 1.0\nchange-at-most = 2.0",
                "gate 1: exactly one of",
            ),
            ("format = 1\n[[gate]]\nmetric = \"ins\"\nkept = 1.0", "gate file: TOML parse error"),
            ("format = 1\n[[gate]]\nmetric = \"ins\"\nkept-at-least = nan", "gate 1: its number"),
        ];
        for (text, expect) in cases {
            let said = Gates::parse(text).err().map(|e| e.to_string()).unwrap_or_default();
            assert!(said.starts_with(expect), "{said:?} should start with {expect:?}");
        }
        assert!(Gates::parse("format = 1\n[[gate]]\nmetric = \"ins\"\nchange-at-most = 0").is_ok());
    }
}
