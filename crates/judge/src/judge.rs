//! The judge: code comes in, one verdict each goes out.
//!
//! Syntax first; code that does not parse is neither analyzed nor run. Analyzers see all valid code as one batch. Tests and
//! exploits run in the sandbox, in parallel, and the same program only once.

use crate::{
    analyzers::{self, Analyzer, File, sort},
    languages, parallel,
    sandbox::{self, Program, Sandbox},
};
use lexicon::{Finding, Language, TestOutcome, Verdict};
use std::{collections::HashMap, path::Path, time::Duration};

/// Wall-clock limit of a test or exploit. Lessons' own take less than two seconds; a busy machine takes longer.
pub const WALL: Duration = Duration::from_secs(10);

/// Code to judge.
#[derive(Clone, Copy, Debug)]
pub struct Code<'a> {
    /// Name in findings.
    pub path: &'a str,
    /// The code, a whole module.
    pub source: &'a str,
    /// What it is written in.
    pub language: Language,
    /// Functional tests, a script that imports `solution` (or reads `solution.py`, where the code is no Python).
    pub tests: Option<&'a str>,
    /// Attack, a script that ends well where it works.
    pub exploit: Option<&'a str>,
    /// Whether the scripts need installed packages.
    pub packages: bool,
}

/// The judge cannot work; never because of the code.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// An analyzer failed.
    #[error(transparent)]
    Analyzer(#[from] analyzers::Error),
    /// A program could not be run.
    #[error(transparent)]
    Sandbox(#[from] sandbox::Error),
}

/// A verdict, and what it leaves out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Judged {
    /// What holds of the code.
    pub verdict: Verdict,
    /// Analyzers that did not look at it although it is valid, with the reason.
    pub skipped: Vec<(&'static str, String)>,
}

/// Judges code with a set of analyzers and, where it has one, a sandbox.
#[derive(Debug)]
pub struct Judge {
    analyzers: Vec<Box<dyn Analyzer>>,
    sandbox: Option<Sandbox>,
    wall: Duration,
}

impl Judge {
    /// A judge. Without a sandbox nothing is run: tests and exploits stay absent from verdicts.
    #[must_use]
    pub fn new(analyzers: Vec<Box<dyn Analyzer>>, sandbox: Option<Sandbox>) -> Self {
        Self { analyzers, sandbox, wall: WALL }
    }

    /// Sets the wall-clock limit of each test and exploit.
    #[must_use]
    pub const fn with_wall(mut self, wall: Duration) -> Self {
        self.wall = wall;
        self
    }

    /// Languages that at least one of its analyzers reads.
    #[must_use]
    pub fn languages(&self) -> Vec<Language> {
        let reads = |l: &Language| self.analyzers.iter().any(|a| a.languages().contains(l));
        Language::ALL.iter().copied().filter(reads).collect()
    }

    /// The sandbox, where it has one.
    #[must_use]
    pub const fn sandbox(&self) -> Option<&Sandbox> {
        self.sandbox.as_ref()
    }

    /// One verdict for each code, in their order. `progress` hears how many programs have been run, on the calling thread.
    ///
    /// # Errors
    /// [`Error`].
    pub fn verdicts(&self, codes: &[Code], progress: &dyn Fn(usize)) -> Result<Vec<Verdict>, Error> {
        Ok(self.judge(codes, progress)?.into_iter().map(|j| j.verdict).collect())
    }

    /// Like [`Self::verdicts`], and says which analyzers left out which code.
    ///
    /// # Errors
    /// [`Error`].
    pub fn judge(&self, codes: &[Code], progress: &dyn Fn(usize)) -> Result<Vec<Judged>, Error> {
        // Parsers and tools tell languages apart by the names of files.
        let names: Vec<String> = codes.iter().map(named).collect();
        let files: Vec<File> = names.iter().zip(codes).map(|(path, c)| File { path, source: c.source }).collect();
        let check = |f: &File| begun(languages::check_file(f.path, f.source).err().map(|e| e.to_string()));
        let mut judged: Vec<Judged> = parallel::map(&files, check, || ());
        let valid: Vec<usize> = (0..codes.len()).filter(|&i| judged[i].verdict.valid).collect();
        for analyzer in &self.analyzers {
            let (read, foreign): (Vec<usize>, Vec<usize>) =
                valid.iter().partition(|&&i| analyzer.languages().contains(&codes[i].language));
            for i in foreign {
                judged[i].skipped.push((analyzer.name(), format!("it does not read {}", codes[i].language)));
            }
            let files: Vec<File> = read.iter().map(|&i| files[i]).collect();
            for (i, scanned) in read.into_iter().zip(analyzer.scan(&files)?) {
                judged[i].verdict.findings.extend(scanned.findings);
                judged[i].skipped.extend(scanned.skipped.map(|why| (analyzer.name(), why)));
            }
        }
        for one in &mut judged {
            sort(&mut one.verdict.findings);
        }
        if let Some(sandbox) = &self.sandbox {
            self.run(sandbox, codes, &valid, &mut judged, progress)?;
        }
        Ok(judged)
    }

    fn run(
        &self,
        sandbox: &Sandbox,
        codes: &[Code],
        valid: &[usize],
        judged: &mut [Judged],
        progress: &dyn Fn(usize),
    ) -> Result<(), Error> {
        // Samples repeat themselves: greedy ones always, others often.
        let mut programs: Vec<Program> = Vec::new();
        let mut known: HashMap<Program, usize> = HashMap::new();
        let mut wanted: Vec<(usize, bool, usize)> = Vec::new();
        for &i in valid {
            let code = codes[i];
            for (script, attack) in [(code.tests, false), (code.exploit, true)] {
                let Some(script) = script else { continue };
                let program = Program { solution: code.source, script, packages: code.packages, wall: self.wall };
                let at = *known.entry(program).or_insert_with(|| {
                    programs.push(program);
                    programs.len() - 1
                });
                wanted.push((i, attack, at));
            }
        }
        let mut done = 0;
        let outcomes: Vec<TestOutcome> = parallel::map(
            &programs,
            |program| sandbox.run(program),
            || {
                done += 1;
                progress(done);
            },
        )
        .into_iter()
        .collect::<Result<_, _>>()?;
        for (i, attack, at) in wanted {
            let verdict = &mut judged[i].verdict;
            let place = if attack { &mut verdict.exploit } else { &mut verdict.tests };
            *place = Some(outcomes[at].clone());
        }
        Ok(())
    }
}

/// A verdict of syntax alone.
const fn begun(syntax_error: Option<String>) -> Judged {
    let valid = syntax_error.is_none();
    let verdict = Verdict { valid, syntax_error, findings: Vec::new(), tests: None, exploit: None };
    Judged { verdict, skipped: Vec::new() }
}

/// The name of a piece of code in findings; code of other languages than Python gets an extension where it has none.
fn named(code: &Code) -> String {
    let known = Path::new(code.path).extension().and_then(|e| e.to_str()).and_then(Language::from_extension);
    match code.language {
        Language::Python if known.is_none() => code.path.to_owned(),
        language if known == Some(language) => code.path.to_owned(),
        language => format!("{}.{}", code.path, language.extension()),
    }
}

/// Number of weaknesses in findings, counting once what two analyzers say about the same place ([`Finding::overlaps`]).
/// Two findings of one analyzer are two.
#[must_use]
pub fn count_issues(findings: &[Finding]) -> usize {
    let repeats = |i: usize| {
        findings[..i].iter().any(|earlier| earlier.analyzer != findings[i].analyzer && earlier.overlaps(&findings[i]))
    };
    (0..findings.len()).filter(|&i| !repeats(i)).count()
}

#[cfg(test)]
mod tests {
    use super::*;
    use lexicon::{Confidence, Cwe, Position, Severity};

    fn finding(analyzer: &str, line: usize, cwe: u32) -> Finding {
        Finding {
            format: 1,
            analyzer: analyzer.to_owned(),
            rule: "r".to_owned(),
            cwe: vec![Cwe(cwe)],
            severity: Severity::High,
            confidence: Confidence::High,
            path: "a.py".to_owned(),
            start: Position { line, column: 1 },
            end: Position { line, column: 5 },
            message: String::new(),
            trace: Vec::new(),
        }
    }

    #[test]
    fn counts_agreement_once() {
        let check = |findings: &[(&str, usize, u32)], expect: usize| {
            let findings: Vec<Finding> = findings.iter().map(|&(a, l, c)| finding(a, l, c)).collect();
            assert_eq!(count_issues(&findings), expect, "{findings:?}");
        };
        check(&[], 0);
        check(&[("native", 3, 89), ("bandit", 3, 89)], 1);
        check(&[("native", 3, 89), ("bandit", 3, 78)], 2);
        check(&[("native", 3, 89), ("bandit", 4, 89)], 2);
        check(&[("native", 3, 89), ("native", 3, 89)], 2);
        check(&[("bandit", 3, 89), ("native", 3, 89), ("native", 3, 89)], 1);
    }
}
