//! Verdicts on small programs, all parts of the judge together.

use judge::{
    Code, Judge,
    analyzers::{self, Settings},
    sandbox::Sandbox,
};
use lexicon::{Language, Severity, TestOutcome};
use std::{
    cell::Cell,
    path::{Path, PathBuf},
};

type Result<T = ()> = std::result::Result<T, Box<dyn std::error::Error>>;

fn code<'a>(path: &'a str, source: &'a str) -> Code<'a> {
    Code { path, source, language: Language::Python, tests: None, exploit: None, packages: false }
}

/// Bandit of the project's `.venv`, where `make setup` has been run.
fn settings() -> Option<Settings> {
    let bin = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../.venv/bin");
    if !bin.join("bandit").is_file() {
        eprintln!("skipped: no .venv/bin/bandit (make setup)");
        return None;
    }
    Some(Settings { folders: vec![PathBuf::from("/nonexistent"), bin], ..Settings::default() })
}

#[test]
fn native_and_syntax() -> Result {
    let judge = Judge::new(analyzers::open(&["native"], &Settings::default())?, None);
    let codes = [
        code("a.py", "def f(x):\n    return eval(x)\n"),
        code("b.py", "def f(x)\n    return x\n"),
        code("c.py", "def f(x):\n    return x\n"),
    ];
    let verdicts = judge.verdicts(&codes, &|_| ())?;
    assert!(verdicts[0].valid && !verdicts[0].secure());
    assert_eq!(verdicts[0].findings[0].path, "a.py");
    assert!(!verdicts[1].valid && verdicts[1].findings.is_empty());
    assert!(verdicts[1].syntax_error.as_deref().is_some_and(|e| e.starts_with("line 1")), "{verdicts:?}");
    assert!(verdicts[2].secure());
    assert!(judge.verdicts(&[], &|_| ())?.is_empty());
    Ok(())
}

#[test]
fn tests_and_exploits_run_once_each() -> Result {
    let sandbox = match Sandbox::detect(Path::new("python3")) {
        Ok(sandbox) => sandbox,
        Err(error) => {
            eprintln!("skipped: {error}");
            return Ok(());
        }
    };
    let judge = Judge::new(Vec::new(), Some(sandbox));
    let tests = Some("from solution import f\nassert f('1') == 1\n");
    let exploit = Some("from solution import f\nassert f('2 + 2') == 4\n");
    let insecure = Code { tests, exploit, ..code("a.py", "def f(x):\n    return eval(x)\n") };
    let secure = Code { tests, exploit, ..code("b.py", "def f(x):\n    return int(x)\n") };
    let invalid = Code { tests, exploit, ..code("c.py", "def f(x:\n") };
    let heard = Cell::new(0);
    let verdicts = judge.verdicts(&[insecure, secure, invalid, insecure], &|n| heard.set(n))?;
    assert_eq!(heard.get(), 4, "two programs of two codes; the repeated code is not run again");
    assert_eq!((&verdicts[0].tests, &verdicts[0].exploit), (&Some(TestOutcome::Passed), &Some(TestOutcome::Passed)));
    assert_eq!(verdicts[1].tests, Some(TestOutcome::Passed));
    assert!(
        matches!(&verdicts[1].exploit, Some(TestOutcome::Failed(text)) if text.contains("ValueError")),
        "{verdicts:?}"
    );
    assert_eq!((&verdicts[2].tests, &verdicts[2].exploit), (&None, &None));
    assert_eq!(verdicts[3], verdicts[0]);
    Ok(())
}

#[test]
fn bandit_reads_a_batch() -> Result {
    let Some(settings) = settings() else { return Ok(()) };
    let bandit = analyzers::open(&["bandit"], &settings)?.remove(0);
    let mut sources = vec![
        "import subprocess\n\ndef f(x):\n    é = 'é'; subprocess.call('ls ' + x, shell=True)\n".to_owned(),
        "def f(\n".to_owned(),
        "def f(c, x):\n    c.execute(\n        'SELECT ' + x +\n        ' FROM t')\n".to_owned(),
        "import subprocess\nsubprocess.call('ls ' + x, shell=True)  # nosec\n".to_owned(),
        "x = '\u{0}'".to_owned(),
        String::new(),
    ];
    sources.extend((0..200).map(|i| format!("x{i} = {i}\n")));
    let files: Vec<_> = sources.iter().map(|source| analyzers::File { path: "dir/file.py", source }).collect();
    let scanned = bandit.scan(&files)?;
    assert_eq!(scanned.len(), files.len());
    let shell = &scanned[0].findings;
    assert_eq!(shell.len(), 1, "B404 on the import is below medium: {shell:?}");
    assert_eq!((shell[0].rule.as_str(), shell[0].cwe.as_slice()), ("B602", [lexicon::Cwe(78)].as_slice()));
    assert_eq!((shell[0].path.as_str(), shell[0].severity), ("dir/file.py", Severity::High));
    // Characters, although Bandit counts bytes.
    assert_eq!((shell[0].start.line, shell[0].start.column), (4, 14));
    assert_eq!((shell[0].end.line, shell[0].end.column), (4, 52));
    assert!(scanned[1].skipped.is_some() && scanned[1].findings.is_empty());
    assert_eq!(scanned[2].findings.len(), 1);
    assert!(scanned[2].findings[0].end.line <= 5);
    assert!(scanned[3].findings.is_empty(), "its comment silences it");
    assert!(scanned[5..].iter().all(|s| s.findings.is_empty() && s.skipped.is_none()));

    let strict =
        analyzers::open(&["bandit"], &Settings { nosec: false, min_severity: Severity::Low, ..settings })?.remove(0);
    let scanned = strict.scan(&files[..4])?;
    assert_eq!(scanned[0].findings.len(), 2);
    assert_eq!(scanned[3].findings.len(), 2, "a comment of the code's writer does not count: {:?}", scanned[3]);
    Ok(())
}

#[test]
fn a_missing_analyzer_says_what_to_do() {
    let absent =
        analyzers::open(&["bandit"], &Settings::default()).map(|_| ()).err().map(|e| e.to_string()).unwrap_or_default();
    assert!(absent.contains("make setup"), "{absent}");
    let unknown =
        analyzers::open(&["bandti"], &Settings::default()).map(|_| ()).err().map(|e| e.to_string()).unwrap_or_default();
    assert!(unknown.contains("native, bandit-compat, bandit"), "{unknown}");
}

/// Each analyzer's own sample: it fires on the bad one, is silent on the good one, and stays inside the file.
#[test]
fn every_analyzer_conforms() -> Result {
    let bad = "import subprocess\n\ndef run(name):\n    subprocess.call('ping ' + name, shell=True)\n";
    let good = "import json\n\ndef read(text):\n    return json.loads(text)\n";
    let settings = settings();
    for known in analyzers::ALL {
        let analyzer = match (known.open)(&settings.clone().unwrap_or_default()) {
            Ok(analyzer) => analyzer,
            Err(error @ analyzers::Error::Absent { .. }) => {
                assert!(!matches!(known.name, "native" | "bandit-compat"), "{error}");
                eprintln!("skipped: {error}");
                continue;
            }
            Err(error) => return Err(error.into()),
        };
        assert_eq!(analyzer.name(), known.name);
        let files = [bad, good].map(|source| analyzers::File { path: "a.py", source });
        let scanned = analyzer.scan(&files)?;
        assert!(!scanned[0].findings.is_empty(), "{}", known.name);
        assert!(scanned[1].findings.is_empty(), "{}: {:?}", known.name, scanned[1]);
        assert!(scanned[0].findings.iter().any(|f| f.cwe.contains(&lexicon::Cwe(78))), "{}", known.name);
        for finding in &scanned[0].findings {
            assert_eq!(finding.analyzer, known.name);
            assert!(!finding.cwe.is_empty(), "{finding:?}");
            let lines: Vec<&str> = bad.lines().collect();
            for at in [finding.start, finding.end] {
                assert!(at.line <= lines.len() && at.column <= lines[at.line - 1].chars().count() + 1, "{finding:?}");
            }
            assert!(finding.start <= finding.end);
        }
    }
    Ok(())
}
