//! What the judge says of both sides of a commit: the weakness is there before and gone after it, and the functions that held it
//! become pairs.

use super::{
    Heuristics, Reject, instruction,
    screen::{Candidate, Changed},
};
use crate::masks::{char_diff, line_diff};
use judge::{
    Code, Judge, Judged,
    languages::{self, Function, functions, same_code},
};
use lexicon::{Cwe, FORMAT, Finding, Language, Origin, Pair};
use std::{
    collections::{BTreeMap, BTreeSet},
    ops::Range,
};

/// Lets the judge look at both sides of all candidates, as one batch: before and after of every file, in their order.
///
/// # Errors
/// What the judge says.
pub fn judged(judge: &Judge, candidates: &[Candidate]) -> Result<Vec<Vec<[Judged; 2]>>, judge::judge::Error> {
    let code = |path, source, language| Code { path, source, language, tests: None, exploit: None, packages: false };
    let files = candidates.iter().flat_map(|c| &c.sifted.files);
    let codes: Vec<Code> = files
        .flat_map(|f| {
            let language = f.dialect.language();
            [code(f.was.as_str(), f.before.as_str(), language), code(&f.path, &f.after, language)]
        })
        .collect();
    let mut verdicts = judge.judge(&codes, &|_| ())?.into_iter();
    let mut both = || Some([verdicts.next()?, verdicts.next()?]);
    Ok(candidates.iter().map(|c| c.sifted.files.iter().filter_map(|_| both()).collect()).collect())
}

/// The pairs of a candidate whose sides have been judged.
///
/// # Errors
/// Why there is none, with particulars.
pub fn pairs(
    candidate: &Candidate,
    judged: &[[Judged; 2]],
    heuristics: &Heuristics,
    analyzers: &[(String, String)],
) -> Result<Vec<Pair>, (Reject, String)> {
    for (file, sides) in candidate.sifted.files.iter().zip(judged) {
        for side in sides {
            if let Some(error) = &side.verdict.syntax_error {
                return Err((Reject::Syntax, format!("{}: {error}", file.path)));
            }
            if side.skipped.len() >= analyzers.len().max(1) {
                let why = side.skipped.first().map(|(_, why)| why.clone()).unwrap_or_default();
                return Err((Reject::NotAnalyzed, format!("{}: {why}", file.path)));
            }
        }
    }
    let findings = |side: usize| judged.iter().flat_map(move |s| s[side].verdict.findings.iter());
    let of = |cwe: Cwe| move |f: &&Finding| f.cwe.iter().any(|c| c.kin(cwe));
    let here: Vec<Cwe> =
        candidate.sifted.suspects.iter().map(|s| s.cwe).filter(|&c| findings(0).any(|f| of(c)(&f))).collect();
    // Families of weaknesses are wide: a list of arguments that replaces a shell may still smuggle an option. Such a lesser finding
    // does not undo the fix; the same rule, the same weakness or anything as bad does.
    let still = |cwe: Cwe| {
        let worst = findings(0).filter(of(cwe)).map(|f| f.severity).max();
        findings(1).filter(of(cwe)).find(|after| {
            let same = |b: &Finding| {
                (&b.analyzer, &b.rule) == (&after.analyzer, &after.rule) || b.cwe.first() == after.cwe.first()
            };
            Some(after.severity) >= worst || findings(0).filter(of(cwe)).any(same)
        })
    };
    let fixed: Vec<Cwe> = here.iter().copied().filter(|&c| still(c).is_none()).collect();
    let told = |f: &Finding| format!("{}:{} {}", f.path, f.start.line, f.rule);
    if fixed.is_empty() {
        if let Some(&cwe) = here.first() {
            return Err((Reject::StillFlagged, still(cwe).map(told).unwrap_or_default()));
        }
        let mut rules: BTreeMap<&str, usize> = BTreeMap::new();
        findings(1).for_each(|f| *rules.entry(&f.rule).or_default() += 1);
        let mut gone = findings(0).filter(|f| match rules.get_mut(f.rule.as_str()).filter(|n| **n > 0) {
            Some(n) => {
                *n -= 1;
                false
            }
            None => true,
        });
        return Err(gone.next().map_or((Reject::CleanBefore, String::new()), |f| (Reject::OtherType, told(f))));
    }
    let residual: BTreeSet<String> =
        fixed.iter().flat_map(|&c| findings(1).filter(of(c))).map(|f| format!("{}/{}", f.analyzer, f.rule)).collect();
    let mut out: Vec<Pair> = Vec::new();
    // The last reason is the one that most was tried for.
    let mut why = (Reject::NoFunction, String::new());
    for (file, sides) in candidate.sifted.files.iter().zip(judged) {
        let is_fixed = |f: &&Finding| fixed.iter().any(|&c| of(c)(f));
        let weak: Vec<&Finding> = sides[0].verdict.findings.iter().filter(is_fixed).collect();
        if weak.is_empty() {
            continue;
        }
        let matched = Matched::of(file);
        let mut by_function: BTreeMap<usize, Vec<&Finding>> = BTreeMap::new();
        for finding in weak {
            match matched.changed(finding.start.line) {
                Ok(at) => by_function.entry(at).or_default().push(finding),
                Err(reason) => why = (reason, told(finding)),
            }
        }
        for (at, weak) in by_function {
            let Some((before, after)) = matched.pair(at) else { continue };
            let n = out.len() + 1;
            match pair(candidate, file, before, after, &weak, n, heuristics, analyzers) {
                Some(pair) => out.push(pair),
                None => why = (Reject::Hint, before.name.clone()),
            }
        }
    }
    if !residual.is_empty() {
        let residual = residual.into_iter().collect::<Vec<_>>().join(", ");
        out.iter_mut().for_each(|p| drop(p.origin.extra.insert("residual".to_owned(), residual.clone())));
    }
    if out.is_empty() { Err(why) } else { Ok(out) }
}

/// The functions of a file before, each with the one of its name after.
struct Matched<'a> {
    file: &'a Changed,
    before: Vec<Function>,
    after: Vec<Function>,
    partner: Vec<Option<usize>>,
    /// Byte at which each line before begins.
    lines: Vec<usize>,
}

impl<'a> Matched<'a> {
    fn of(file: &'a Changed) -> Self {
        let (before, after) = (functions(file.dialect, &file.before), functions(file.dialect, &file.after));
        let named = |list: &[Function], name: &str| -> Vec<usize> {
            (0..list.len()).filter(|&i| list[i].name == name).collect()
        };
        let partner = (0..before.len())
            .map(|i| {
                let (ours, theirs) = (named(&before, &before[i].name), named(&after, &before[i].name));
                if ours.len() == theirs.len() {
                    return ours.iter().position(|&o| o == i).map(|at| theirs[at]);
                }
                // Overloads: of several the one with the same parameters.
                theirs.into_iter().find(|&t| after[t].signature == before[i].signature)
            })
            .collect();
        let begins = file.before.match_indices('\n').map(|(at, _)| at + 1);
        let lines = std::iter::once(0).chain(begins).collect();
        Self { file, before, after, partner, lines }
    }

    fn pair(&self, at: usize) -> Option<(&Function, &Function)> {
        Some((&self.before[at], &self.after[self.partner[at]?]))
    }

    /// The innermost function around a line (from 1) that changes.
    fn changed(&self, line: usize) -> Result<usize, Reject> {
        let start = self.lines.get(line.saturating_sub(1)).copied().unwrap_or_default();
        let end = self.lines.get(line).copied().unwrap_or(self.file.before.len());
        let around = |i: &usize| {
            let span = self.before[*i].span;
            span.start < end && start < span.end
        };
        let mut holders: Vec<usize> = (0..self.before.len()).filter(around).collect();
        if holders.is_empty() {
            return Err(Reject::NoFunction);
        }
        holders.sort_by_key(|&i| self.before[i].span.end - self.before[i].span.start);
        let differs = |i: &usize| {
            self.pair(*i).is_some_and(|(before, after)| {
                let (a, b) = (text(&self.file.before, before), text(&self.file.after, after));
                a != b && !same_code(self.file.dialect, &a, &b)
            })
        };
        holders.into_iter().find(differs).ok_or(Reject::FunctionUnchanged)
    }
}

/// A function's text without the indentation of its first line. Lines that begin otherwise, such as those of a long string, stay.
fn text(source: &str, function: &Function) -> String {
    let (start, end) = (function.span.start, function.span.end);
    let line = source[..start].rfind('\n').map_or(0, |n| n + 1);
    let indent = &source[line..start];
    let body = &source[start..end];
    if indent.is_empty() || !indent.chars().all(|c| c == ' ' || c == '\t') {
        return format!("{}\n", body.trim_end());
    }
    let lines = body.split('\n').map(|l| l.strip_prefix(indent).unwrap_or(l)).collect::<Vec<_>>();
    format!("{}\n", lines.join("\n").trim_end())
}

#[expect(clippy::too_many_arguments, reason = "what a pair is made of; it is called in one place")]
fn pair(
    candidate: &Candidate,
    file: &Changed,
    before: &Function,
    after: &Function,
    weak: &[&Finding],
    number: usize,
    heuristics: &Heuristics,
    judged_by: &[(String, String)],
) -> Option<Pair> {
    let language = file.dialect.language();
    let (insecure, secure) = (text(&file.before, before), text(&file.after, after));
    let mut cwe: Vec<Cwe> = Vec::new();
    // The label is what the judge says of a finding of the commit's type.
    let kin = |c: &Cwe| candidate.sifted.suspects.iter().any(|s| s.cwe.kin(*c));
    let labels = weak.iter().filter_map(|f| f.cwe.iter().find(|c| kin(c)));
    for &c in labels.chain(weak.iter().flat_map(|f| &f.cwe)) {
        if !cwe.contains(&c) {
            cwe.push(c);
        }
    }
    let label = *cwe.first()?;
    let weakness = heuristics.name(label).unwrap_or_default().to_owned();
    let instruction = instruction::of_function(language, before, after, &weakness, &cwe)?;
    let rules: BTreeSet<String> = weak.iter().map(|f| format!("{}/{}", f.analyzer, f.rule)).collect();
    let analyzers: Vec<String> = judged_by.iter().map(|(name, version)| format!("{name} {version}")).collect();
    let commit = candidate.id.clone();
    let (lines, chars) = (line_diff(&insecure, &secure), char_diff(&insecure, &secure));
    let mut extra: BTreeMap<String, String> = [
        ("repository", candidate.repository.clone()),
        ("commit", commit.clone()),
        ("path", file.path.clone()),
        ("function", before.name.clone()),
        ("subject", candidate.subject.clone()),
        ("analyzers", analyzers.join(", ")),
        ("rules", rules.into_iter().collect::<Vec<_>>().join(", ")),
        ("line-changes", sides(line_numbers(&insecure, &lines.deleted), line_numbers(&secure, &lines.added))),
        ("char-changes", sides(characters(&insecure, &chars.deleted), characters(&secure, &chars.added))),
        ("instruction-from", "signature".to_owned()),
    ]
    .map(|(key, value)| (key.to_owned(), value))
    .into();
    if file.was != file.path {
        extra.insert("path-before".to_owned(), file.was.clone());
    }
    extra.extend(candidate.notes.iter().map(|(key, value)| ((*key).to_owned(), value.clone())));
    let checked = !matches!(language, Language::C | Language::Cpp);
    let mut verified: Vec<String> = checked.then(|| "parse".to_owned()).into_iter().collect();
    verified.extend(judged_by.iter().map(|(name, _)| name.clone()));
    Some(Pair {
        format: FORMAT,
        id: format!("mined-{}-{number}", commit.chars().take(12).collect::<String>()),
        language,
        cwe,
        instruction,
        reasoning: reasoning(label, &weakness, weak),
        secure,
        insecure,
        origin: Origin {
            kind: "mined".into(),
            source: candidate.repository.clone(),
            variant: None,
            licence: super::licence::of_header(&file.after).unwrap_or_default(),
            verified,
            extra,
        },
    })
}

/// Security reasoning in the published form: the weakness, what the judge knows of it and what it advises.
fn reasoning(label: Cwe, weakness: &str, weak: &[&Finding]) -> String {
    let mut out = format!("The code may have the vulnerability {label}: '{weakness}'.");
    let mut said: Vec<&str> = Vec::new();
    for finding in weak {
        let rule = languages::rule(&finding.rule).filter(|_| finding.analyzer == judge::native::ANALYZER);
        for text in rule.map(|r| r.why).into_iter().chain([finding.message.as_str()]) {
            if !text.is_empty() && !said.contains(&text) {
                said.push(text);
                out.push(' ');
                out.push_str(text);
                if !text.ends_with(['.', '!', '?']) {
                    out.push('.');
                }
            }
        }
    }
    out
}

/// Both sides' spans as one text.
fn sides(insecure: Vec<[usize; 2]>, secure: Vec<[usize; 2]>) -> String {
    serde_json::json!({ "insecure": insecure, "secure": secure }).to_string()
}

/// First and last line (from 1) of each run of lines.
fn line_numbers(text: &str, spans: &[Range<usize>]) -> Vec<[usize; 2]> {
    let mut out: Vec<[usize; 2]> = Vec::new();
    for span in spans {
        let line = text[..span.start].matches('\n').count() + 1;
        match out.last_mut().filter(|last| last[1] + 1 == line) {
            Some(last) => last[1] = line,
            None => out.push([line, line]),
        }
    }
    out
}

/// Byte spans as spans of characters (from 0, the end left out).
fn characters(text: &str, spans: &[Range<usize>]) -> Vec<[usize; 2]> {
    spans.iter().map(|s| [text[..s.start].chars().count(), text[..s.end].chars().count()]).collect()
}
