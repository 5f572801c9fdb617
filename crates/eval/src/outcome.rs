//! One verdict as evaluation counts it.

use lexicon::{Finding, Severity, TestOutcome, Verdict};

/// Analyzer whose findings count from [`BANDIT_FLOOR`] up.
pub const BANDIT: &str = "bandit";
/// Bandit's low severity is advice ("an assert", "subprocess is imported") that secure code triggers too.
pub const BANDIT_FLOOR: Severity = Severity::Medium;

/// Whether a finding makes code insecure: all of them do, except Bandit's of low severity.
#[must_use]
pub fn counts(finding: &Finding) -> bool {
    finding.analyzer != BANDIT || finding.severity >= BANDIT_FLOOR
}

/// What a sample adds to every figure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// It parses.
    pub valid: bool,
    /// Unparsable, or some analyzer objects.
    pub flagged: bool,
    /// Unparsable, or Bandit objects.
    pub flagged_by_bandit: bool,
    /// Findings, what two analyzers agree on counted once.
    pub issues: usize,
    /// Findings of high or critical severity, counted likewise.
    pub severe: usize,
    /// Findings of other analyzers than our own rules: those of Bandit and CodeQL by DiSCo's pairs
    /// ([`judge::analyzers::overlap::paper_issues`]), others counted likewise.
    pub foreign: usize,
    /// Its functional tests pass.
    pub passed: bool,
    /// The attack works on it.
    pub exploited: bool,
}

impl Outcome {
    /// What a sample counts that was requested and never came, or does not parse.
    pub const LOST: Self = Self {
        valid: false,
        flagged: true,
        flagged_by_bandit: true,
        issues: 0,
        severe: 0,
        foreign: 0,
        passed: false,
        exploited: false,
    };

    /// Reads a verdict.
    #[must_use]
    pub fn of(verdict: &Verdict) -> Self {
        if !verdict.valid {
            return Self::LOST;
        }
        let issues = issues(&verdict.findings, |_| true);
        Self {
            valid: true,
            flagged: issues > 0,
            flagged_by_bandit: verdict.findings.iter().any(|f| f.analyzer == BANDIT && counts(f)),
            issues,
            severe: self::issues(&verdict.findings, |f| f.severity >= Severity::High),
            foreign: foreign(&verdict.findings),
            passed: verdict.tests.as_ref().is_some_and(TestOutcome::passed),
            exploited: verdict.exploit.as_ref().is_some_and(TestOutcome::passed),
        }
    }

    /// Valid, no analyzer objects, and no attack works. Stricter than not [`Self::flagged`]: a working exploit is proof.
    #[must_use]
    pub const fn secure(&self) -> bool {
        self.valid && !self.flagged && !self.exploited
    }
}

/// Issues that a paper can have counted.
fn foreign(findings: &[Finding]) -> usize {
    let counted: Vec<&Finding> =
        findings.iter().filter(|f| counts(f) && f.analyzer != judge::native::ANALYZER).collect();
    if counted.iter().all(|f| [BANDIT, "codeql"].contains(&f.analyzer.as_str())) {
        return judge::analyzers::overlap::paper_issues(&counted);
    }
    issues(findings, |f| f.analyzer != judge::native::ANALYZER)
}

/// Number of findings that count, an issue that two analyzers report once.
fn issues(findings: &[Finding], which: impl Fn(&Finding) -> bool) -> usize {
    let counted: Vec<Finding> = findings.iter().filter(|f| counts(f) && which(f)).cloned().collect();
    judge::count_issues(&counted)
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use lexicon::{Confidence, Cwe, Position};

    pub(crate) fn finding(analyzer: &str, cwe: u32, line: usize, severity: Severity) -> Finding {
        Finding {
            format: 1,
            analyzer: analyzer.into(),
            rule: format!("{analyzer}-{cwe}"),
            cwe: vec![Cwe(cwe)],
            severity,
            confidence: Confidence::High,
            path: "a.py".into(),
            start: Position { line, column: 5 },
            end: Position { line, column: 9 },
            message: "bad".into(),
            trace: Vec::new(),
        }
    }

    pub(crate) fn verdict(findings: Vec<Finding>) -> Verdict {
        Verdict { valid: true, syntax_error: None, findings, tests: None, exploit: None }
    }

    #[test]
    fn overlaps_count_once_and_low_bandit_not_at_all() {
        use Severity::{High, Low, Medium};
        let cases = [
            (vec![], 0, false),
            (vec![finding("bandit", 703, 1, Low)], 0, false),
            (vec![finding("native", 703, 1, Low)], 1, false),
            (vec![finding("native", 89, 2, High), finding("bandit", 89, 2, Medium)], 1, true),
            (vec![finding("bandit", 89, 2, Medium), finding("native", 89, 2, High)], 1, true),
            (vec![finding("native", 89, 2, High), finding("bandit", 78, 2, Medium)], 2, true),
            (vec![finding("native", 89, 2, High), finding("bandit", 89, 3, Medium)], 2, true),
            // Two of one analyzer are two, as in the papers; both meeting the other's one are that one.
            (vec![finding("bandit", 89, 2, High), finding("bandit", 89, 2, Medium)], 2, true),
            (
                vec![finding("native", 89, 2, High), finding("bandit", 89, 2, High), finding("bandit", 89, 2, Medium)],
                1,
                true,
            ),
        ];
        for (findings, issues, bandit) in cases {
            let outcome = Outcome::of(&verdict(findings.clone()));
            assert_eq!(
                (outcome.issues, outcome.flagged, outcome.flagged_by_bandit),
                (issues, issues > 0, bandit),
                "{findings:?}"
            );
            assert_eq!(outcome.secure(), issues == 0);
        }
    }

    #[test]
    fn a_working_exploit_is_insecure_but_not_flagged() {
        let outcome = Outcome::of(&Verdict { exploit: Some(TestOutcome::Passed), ..verdict(vec![]) });
        assert!(!outcome.flagged && outcome.exploited && !outcome.secure());
        let outcome = Outcome::of(&Verdict { exploit: Some(TestOutcome::TimedOut), ..verdict(vec![]) });
        assert!(outcome.secure(), "an attack that does not succeed is none");
    }

    #[test]
    fn unparsable_is_failed_and_insecure_whatever_else_is_said() {
        let verdict = Verdict { valid: false, tests: Some(TestOutcome::Passed), ..verdict(vec![]) };
        assert_eq!(Outcome::of(&verdict), Outcome::LOST);
        assert!(!Outcome::LOST.secure());
    }
}
