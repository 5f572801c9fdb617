//! Findings that are known: a file with their fingerprints, so that a scan speaks of new ones alone.

use anyhow::{Context, Result, bail};
use judge::output::{Sources, fingerprints};
use lexicon::Finding;
use serde::{Deserialize, Serialize};
use std::{collections::HashSet, fs, path::Path};

/// The file; what a finding says stands there for people who read the file.
#[derive(Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct Baseline {
    format: u32,
    findings: Vec<Known>,
}

#[derive(Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct Known {
    fingerprint: String,
    analyzer: String,
    rule: String,
    path: String,
}

/// Writes all findings as known.
pub(super) fn write(file: &Path, findings: &[Finding], sources: &Sources) -> Result<()> {
    let known = fingerprints(findings, sources).into_iter().zip(findings).map(|(fingerprint, finding)| Known {
        fingerprint,
        analyzer: finding.analyzer.clone(),
        rule: finding.rule.clone(),
        path: finding.path.clone(),
    });
    let baseline = Baseline { format: lexicon::FORMAT, findings: known.collect() };
    let text = serde_json::to_string_pretty(&baseline)? + "\n";
    lexicon::atomic::write(file, text.as_bytes()).with_context(|| format!("cannot write {}", file.display()))
}

/// Drops the findings that the file knows, and says how many.
pub(super) fn drop_known(file: &Path, findings: &mut Vec<Finding>, sources: &Sources) -> Result<usize> {
    let text = fs::read_to_string(file).with_context(|| format!("cannot read the baseline {}", file.display()))?;
    let baseline: Baseline =
        serde_json::from_str(&text).with_context(|| format!("{} is no baseline", file.display()))?;
    if baseline.format != lexicon::FORMAT {
        bail!("{} has format {}; this program reads {}", file.display(), baseline.format, lexicon::FORMAT);
    }
    let known: HashSet<&str> = baseline.findings.iter().map(|k| k.fingerprint.as_str()).collect();
    let before = findings.len();
    let mut fingerprints = fingerprints(findings, sources).into_iter();
    findings.retain(|_| fingerprints.next().is_none_or(|f| !known.contains(f.as_str())));
    Ok(before - findings.len())
}
