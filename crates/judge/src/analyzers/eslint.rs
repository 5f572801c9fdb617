//! ESLint with `eslint-plugin-security`, which must be installed beside it, and a configuration of ours: the project's own is
//! not run, because it is a program.

use super::{
    Analyzer, Error, Scanned, Settings,
    program::{self, Batch, External, Tool, words},
};
use crate::sandbox::process::Ended;
use lexicon::{Confidence, Cwe, Finding, Language, Severity};
use serde::Deserialize;
use std::{
    ffi::OsString,
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

/// Its name in findings.
pub(super) const NAME: &str = "eslint";

/// Rules, their weakness, and how bad it is.
#[rustfmt::skip]
const RULES: &[(&str, u32, Severity)] = &[
    ("no-eval", 95, Severity::High),
    ("no-implied-eval", 95, Severity::High),
    ("no-new-func", 95, Severity::High),
    ("no-script-url", 79, Severity::Medium),
    ("security/detect-bidi-characters", 838, Severity::Medium),
    ("security/detect-buffer-noassert", 119, Severity::Medium),
    ("security/detect-child-process", 78, Severity::High),
    ("security/detect-disable-mustache-escape", 79, Severity::High),
    ("security/detect-eval-with-expression", 95, Severity::High),
    ("security/detect-new-buffer", 770, Severity::Medium),
    ("security/detect-no-csrf-before-method-override", 352, Severity::Medium),
    ("security/detect-non-literal-fs-filename", 22, Severity::Medium),
    ("security/detect-non-literal-regexp", 1333, Severity::Medium),
    ("security/detect-non-literal-require", 829, Severity::Medium),
    ("security/detect-object-injection", 915, Severity::Low),
    ("security/detect-possible-timing-attacks", 208, Severity::Medium),
    ("security/detect-pseudoRandomBytes", 338, Severity::Medium),
    ("security/detect-unsafe-regex", 1333, Severity::Medium),
];

#[derive(Debug)]
struct Eslint {
    program: PathBuf,
    /// The configuration, in a folder that lives as long as this.
    config: PathBuf,
    _folder: Option<tempfile::TempDir>,
    min_severity: Severity,
    nosec: bool,
    patience: Duration,
}

pub(super) fn open(settings: &Settings) -> Result<Box<dyn Analyzer>, Error> {
    let program = program::find(NAME, settings, "`npm install eslint eslint-plugin-security`")?;
    // `.bin/eslint` points at `eslint/bin/eslint.js`; plugins are its neighbours.
    let real = fs::canonicalize(&program).unwrap_or_else(|_| program.clone());
    let plugin = real.ancestors().map(|folder| folder.join("eslint-plugin-security/index.js")).find(|p| p.is_file());
    let plugin = plugin.ok_or_else(|| Error::Unready {
        analyzer: NAME,
        remedy: "it needs its plugin: `npm install eslint-plugin-security` beside it, or leave it out of --analyzer"
            .to_owned(),
    })?;
    let io = |step: &'static str| move |source| Error::Io { analyzer: NAME, step, source };
    let folder = tempfile::Builder::new().prefix("rampart-").tempdir().map_err(io("make a folder"))?;
    let config = folder.path().join("eslint.config.mjs");
    let rules: Vec<String> = RULES.iter().map(|(id, ..)| format!("{id:?}: \"warn\"")).collect();
    let text = format!(
        "import {{ createRequire }} from \"node:module\";\n\
         const security = createRequire(import.meta.url)({:?});\n\
         export default [{{ files: [\"**/*.{{js,jsx,mjs,cjs}}\"], plugins: {{ security }}, rules: {{ {} }},\n\
         languageOptions: {{ ecmaVersion: \"latest\", parserOptions: {{ ecmaFeatures: {{ jsx: true }} }} }} }}];\n",
        plugin.display().to_string(),
        rules.join(", ")
    );
    // tidy-expect(atomic-writes): a temporary folder of our own
    fs::write(&config, text).map_err(io("write a file"))?;
    let Settings { min_severity, nosec, patience, .. } = *settings;
    Ok(Box::new(External(Eslint { program, config, _folder: Some(folder), min_severity, nosec, patience })))
}

/// What ESLint writes for one file; members we do not need are left out.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Looked {
    file_path: String,
    messages: Vec<Message>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Message {
    rule_id: Option<String>,
    #[serde(default)]
    fatal: bool,
    message: String,
    #[serde(default)]
    line: usize,
    #[serde(default)]
    column: usize,
    #[serde(default)]
    end_line: Option<usize>,
    #[serde(default)]
    end_column: Option<usize>,
}

/// Reads reports alone: no program is started.
pub(super) fn reader() -> Box<dyn Tool> {
    Box::new(Eslint {
        program: PathBuf::new(),
        config: PathBuf::new(),
        _folder: None,
        min_severity: Severity::Low,
        nosec: true,
        patience: Duration::ZERO,
    })
}

impl Tool for Eslint {
    fn name(&self) -> &'static str {
        NAME
    }

    fn languages(&self) -> &'static [Language] {
        &[Language::JavaScript]
    }

    fn program(&self) -> &Path {
        &self.program
    }

    fn steps(&self, names: &[String]) -> Result<Vec<Vec<OsString>>, String> {
        let mut arguments = words(&["--format", "json", "--output-file", "report.json", "--config"]);
        arguments.push(self.config.clone().into());
        if !self.nosec {
            arguments.push("--no-inline-config".into());
        }
        arguments.extend(names.iter().map(OsString::from));
        Ok(vec![arguments])
    }

    fn read(&self, batch: &Batch, _: &Ended) -> Result<Vec<Scanned>, String> {
        let text = batch.report("report.json")?;
        let looked: Vec<Looked> = serde_json::from_str(&text).map_err(|e| format!("its report cannot be read: {e}"))?;
        let (mut findings, mut skipped, mut seen) = (Vec::new(), Vec::new(), vec![false; batch.files.len()]);
        for file in looked {
            let Some(i) = batch.number(&file.file_path) else { continue };
            seen[i] = true;
            for message in file.messages {
                let rule = message.rule_id.as_deref().and_then(|id| RULES.iter().find(|(known, ..)| *known == id));
                let Some(&(id, cwe, severity)) = rule else {
                    // Without a rule it is an error of syntax, or a file that the configuration leaves out.
                    if message.fatal || message.rule_id.is_none() {
                        skipped.push((i, message.message));
                    }
                    continue;
                };
                if severity < self.min_severity {
                    continue;
                }
                let start = batch.at(i, message.line, message.column);
                let end_line = message.end_line.unwrap_or(message.line);
                findings.push((
                    i,
                    Finding {
                        format: lexicon::FORMAT,
                        analyzer: NAME.to_owned(),
                        rule: id.to_owned(),
                        cwe: vec![Cwe(cwe)],
                        severity,
                        confidence: Confidence::Medium,
                        path: batch.files[i].path.to_owned(),
                        start,
                        end: batch.at(i, end_line, message.end_column.unwrap_or(message.column)).max(start),
                        message: message.message,
                        trace: Vec::new(),
                    },
                ));
            }
        }
        let unseen = seen.iter().enumerate().filter(|(_, seen)| !**seen);
        skipped.extend(unseen.map(|(i, _)| (i, "its report leaves the file out".to_owned())));
        Ok(batch.sorted(findings, skipped))
    }

    fn patience(&self, files: usize) -> Duration {
        self.patience + Duration::from_secs(1) * u32::try_from(files).unwrap_or(u32::MAX)
    }
}
