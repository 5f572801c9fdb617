//! Programs of others: what they report becomes findings, and what they fail to do is said, never passed off as clean.

use judge::analyzers::{self, File, Scanned, Settings, reports};
use lexicon::{Confidence, Cwe, Severity};
use std::{
    error::Error,
    fs::OpenOptions,
    io::Write,
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
    time::Duration,
};

type Result<T = ()> = std::result::Result<T, Box<dyn Error>>;

const PYTHON: (&str, &str, &str) = (
    "a.py",
    "import subprocess\n\ndef run(name):\n    subprocess.call('ping ' + name, shell=True)\n",
    "def f(x):\n    return x\n",
);
const C: (&str, &str, &str) = (
    "a.c",
    "#include <stdio.h>\n#include <string.h>\nint f(const char *s) {\n    char b[4];\n    gets(b);\n    strcpy(b, \"too long\");\n    return b[9];\n}\n",
    "int f(int a) {\n    return a + 1;\n}\n",
);
const JAVASCRIPT: (&str, &str, &str) = (
    "a.js",
    "const { exec } = require('child_process');\nfunction run(name) {\n  exec('ping ' + name);\n  eval(name);\n}\n",
    "function add(a, b) {\n  return a + b;\n}\n",
);

/// Analyzers that start a program in a batch, a bad and a good sample, and a weakness of the bad one.
const TOOLS: &[(&str, (&str, &str, &str), u32)] = &[
    ("bandit", PYTHON, 78),
    ("ruff", PYTHON, 78),
    ("semgrep", PYTHON, 78),
    ("codeql", PYTHON, 78),
    ("cppcheck", C, 788),
    ("flawfinder", C, 120),
    ("eslint", JAVASCRIPT, 95),
];

/// A folder with a program of this name that does what the script says.
fn fake(name: &str, script: &str) -> Result<tempfile::TempDir> {
    let folder = tempfile::tempdir()?;
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o755).open(folder.path().join(name))?;
    write!(file, "#!/bin/sh\n{script}\n")?;
    // ESLint's plugin lies beside it.
    let plugin = folder.path().join("eslint-plugin-security");
    std::fs::create_dir(&plugin)?;
    std::fs::write(plugin.join("index.js"), "")?;
    std::fs::write(folder.path().join("rules.yaml"), RULES)?;
    Ok(folder)
}

/// A rule of ours for Semgrep.
const RULES: &str = "rules:\n  - id: shell\n    languages: [python]\n    severity: ERROR\n    message: a shell reads the text\n    \
                     metadata: {cwe: ['CWE-78: OS command injection'], confidence: HIGH}\n    \
                     pattern: subprocess.call(..., shell=True)\n";

fn settings(folder: &Path) -> Settings {
    Settings {
        folders: vec![folder.to_owned()],
        min_severity: Severity::Low,
        semgrep_rules: Some(folder.join("rules.yaml")),
        patience: Duration::from_secs(20),
        ..Settings::default()
    }
}

fn scan(name: &str, settings: &Settings, files: &[(&str, &str)]) -> Result<Vec<Scanned>> {
    let files: Vec<File> = files.iter().map(|(path, source)| File { path, source }).collect();
    Ok(analyzers::open(&[name], settings)?.remove(0).scan(&files)?)
}

#[test]
fn an_absent_tool_says_how_to_get_it() {
    for (name, ..) in TOOLS {
        let error = analyzers::open(&[name], &Settings::default()).map(|_| ()).map_err(|e| e.to_string());
        let error = error.err().unwrap_or_default();
        assert!(error.starts_with(&format!("{name} is not installed: ")) && error.contains("--analyzer"), "{error}");
    }
}

#[test]
fn a_broken_tool_is_no_clean_verdict() -> Result {
    for (name, (path, bad, good), _) in TOOLS {
        // It crashes; it leaves rubbish; it says nothing and succeeds.
        for script in [
            "echo out of luck >&2; exit 3",
            "for a in \"$@\"; do echo rubbish > \"${a#--output=}\" 2>/dev/null; done; echo rubbish; exit 3",
            "kill -SEGV $$",
        ] {
            let folder = fake(name, script)?;
            let scanned = scan(name, &settings(folder.path()), &[(path, bad), (path, good), (path, good)])?;
            assert_eq!(scanned.len(), 3, "{name}");
            assert!(
                scanned.iter().all(|s| s.findings.is_empty() && s.skipped.is_some()),
                "{name} {script}: {scanned:?}"
            );
        }
        let folder = fake(name, "echo out of luck >&2; exit 3")?;
        let scanned = scan(name, &settings(folder.path()), &[(path, bad)])?;
        let why = scanned[0].skipped.clone().unwrap_or_default();
        assert!(why.contains("out of luck"), "{name}: {why}");
    }
    Ok(())
}

#[test]
fn a_hanging_tool_is_stopped() -> Result {
    for (name, (path, bad, _), _) in TOOLS {
        // Those that compile or start slowly are given minutes, which no test waits for.
        if matches!(*name, "semgrep" | "codeql") {
            continue;
        }
        let folder = fake(name, "sleep 100 & sleep 100")?;
        let settings = Settings { patience: Duration::from_millis(300), ..settings(folder.path()) };
        let scanned = scan(name, &settings, &[(path, bad)])?;
        assert!(scanned[0].skipped.as_deref().is_some_and(|why| why.starts_with("no answer")), "{name}: {scanned:?}");
    }
    Ok(())
}

#[test]
fn files_of_another_language_are_not_called_clean() -> Result {
    let folder = fake("cppcheck", "exit 0")?;
    let scanned = scan("cppcheck", &settings(folder.path()), &[("a.py", "x = 1\n"), ("b.c", "int a;\n")])?;
    assert_eq!(scanned[0].skipped.as_deref(), Some("cppcheck does not read python"));
    assert_eq!(scanned[1], Scanned::default());
    Ok(())
}

/// A rule that ran out of time, and a file that no rule was tried on, are only said in passing by Semgrep.
#[test]
fn what_semgrep_gave_up_is_not_called_clean() -> Result {
    let report = r#"{"results": [], "paths": {"scanned": ["0.py", "1.py", "2.py"]}, "errors": [
        {"type": "Timeout", "level": "warn", "message": "Timeout when running shell on 1.py:\n ", "path": "1.py"},
        {"type": ["PartialParsing", []], "level": "warn", "message": "Syntax error", "path": "2.py"}]}"#;
    let folder = fake("semgrep", &format!("cat > report.json <<'END'\n{report}\nEND"))?;
    let names = ["a.py", "b.py", "c.py", "d.py"].map(|name| (name, "x = 1\n"));
    let scanned = scan("semgrep", &settings(folder.path()), &names)?;
    let why: Vec<Option<&str>> = scanned.iter().map(|s| s.skipped.as_deref()).collect();
    let timeout = Some("Timeout when running shell on 1.py:");
    assert_eq!(why, [None, timeout, None, Some("none of its rules was tried on this file")]);
    Ok(())
}

/// The tools that are installed here, each on its own samples.
#[test]
fn installed_tools_conform() -> Result {
    let rules = tempfile::tempdir()?;
    std::fs::write(rules.path().join("rules.yaml"), RULES)?;
    let mut folders = vec![PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../.venv/bin")];
    #[expect(clippy::disallowed_methods, reason = "a test looks for programs as the binary does")]
    folders.extend(std::env::var_os("PATH").iter().flat_map(std::env::split_paths));
    let settings = Settings {
        folders,
        min_severity: Severity::Low,
        semgrep_rules: Some(rules.path().join("rules.yaml")),
        ..Settings::default()
    };
    for (name, (path, bad, good), cwe) in TOOLS {
        let analyzer = match analyzers::open(&[name], &settings) {
            Ok(mut analyzers) => analyzers.remove(0),
            Err(error) => {
                eprintln!("skipped: {error}");
                continue;
            }
        };
        let files = [bad, good].map(|source| File { path, source });
        let scanned = analyzer.scan(&files)?;
        assert!(scanned.iter().all(|s| s.skipped.is_none()), "{name}: {scanned:?}");
        assert!(scanned[1].findings.is_empty(), "{name}: {:?}", scanned[1]);
        let found = &scanned[0].findings;
        assert!(found.iter().any(|f| f.cwe.contains(&Cwe(*cwe))), "{name}: {found:?}");
        let lines: Vec<&str> = bad.lines().collect();
        for finding in found {
            assert_eq!((finding.analyzer.as_str(), finding.path.as_str()), (*name, *path));
            for at in [finding.start, finding.end] {
                assert!(at.line <= lines.len() && at.column <= lines[at.line - 1].chars().count() + 1, "{finding:?}");
            }
            assert!(finding.start <= finding.end, "{finding:?}");
        }
    }
    Ok(())
}

/// A log as CodeQL writes it: the rule in an extension, columns in UTF-16.
const LOG: &str = r#"{"version": "2.1.0", "runs": [{"tool": {"driver": {"name": "CodeQL"}, "extensions": [{"rules": [
    {"id": "py/command-line-injection", "properties": {"tags": ["security", "external/cwe/cwe-078", "external/cwe/cwe-088"],
     "security-severity": "9.8", "precision": "high"}}]}]},
    "results": [
    {"ruleId": "py/command-line-injection", "level": "error", "message": {"text": "This command depends\non [a](1)."},
     "locations": [{"physicalLocation": {"artifactLocation": {"uri": "NAME"},
        "region": {"startLine": 2, "startColumn": 12, "endColumn": 16}}}],
     "codeFlows": [{"threadFlows": [{"locations": [{"location": {"message": {"text": "input"},
        "physicalLocation": {"artifactLocation": {"uri": "NAME"}, "region": {"startLine": 1}}}}]}]}]},
    {"ruleId": "py/command-line-injection", "message": {"text": "seen"}, "suppressions": [{"kind": "inSource"}],
     "locations": [{"physicalLocation": {"artifactLocation": {"uri": "NAME"}}}]}]}]}"#;

#[test]
fn codeql_is_driven_and_read() -> Result {
    let log = LOG.replace("NAME", "0.py");
    let folder = fake(
        "codeql",
        &format!(
            "case \"$2\" in create) mkdir \"$3\";; analyze) test -d \"$3\" || exit 2;; esac\n\
             for a in \"$@\"; do case \"$a\" in --output=*) cat > \"${{a#--output=}}\" <<'END'\n{log}\nEND\n;; esac; done"
        ),
    )?;
    let source = "x = input()\n'𝒳𝒳', f(call)\n";
    let scanned = scan("codeql", &settings(folder.path()), &[("dir/a.py", source)])?;
    let [finding] = scanned[0].findings.as_slice() else { return Err(format!("{scanned:?}").into()) };
    assert_eq!((finding.analyzer.as_str(), finding.rule.as_str()), ("codeql", "py/command-line-injection"));
    assert_eq!((finding.cwe.as_slice(), finding.path.as_str()), ([Cwe(78), Cwe(88)].as_slice(), "dir/a.py"));
    assert_eq!((finding.severity, finding.confidence), (Severity::Critical, Confidence::High));
    assert_eq!(
        (finding.start.line, finding.start.column, finding.end.column),
        (2, 10, 14),
        "two letters are two units each"
    );
    assert_eq!(finding.message, "This command depends on [a](1).");
    assert_eq!((finding.trace.len(), finding.trace[0].at.line), (1, 1));
    Ok(())
}

#[test]
fn given_reports_are_read() -> Result {
    let found = reports::read(&LOG.replace("NAME", "src/a%20b.py"), "codeql")?;
    assert_eq!((found.len(), found[0].path.as_str(), found[0].start.column), (1, "src/a b.py", 12));

    let table = "\"SQL query built from user-controlled sources\",\"d\",\"error\",\"depends on\n[[\"\"a\"\"|\"\"relative:///a.py\"\"]].\",\"/a.py\",\"3\",\"5\",\"3\",\"20\"\n\
                 \"Something new\",\"d\",\"recommendation\",\"m\",\"/b.py\",\"1\",\"1\",\"1\",\"1\"\n";
    let found = reports::read(table, "codeql")?;
    assert_eq!(found.len(), 2, "a message of two lines is one row");
    assert_eq!((found[0].cwe.as_slice(), found[0].severity), ([Cwe(89)].as_slice(), Severity::High));
    assert_eq!((found[0].path.as_str(), found[0].start.line, found[0].end.column), ("a.py", 3, 21));
    assert!(found[1].cwe.is_empty());

    for (text, expect) in [
        ("{\"a\": 1}", "no runs"),
        ("{", "no JSON"),
        ("a,b\n", "nine"),
        ("a,b,c,d,e,x,1,1,1\n", "no number"),
        ("{\"runs\": [{\"invocations\": [{\"executionSuccessful\": false}]}]}", "failed"),
    ] {
        let error = reports::read(text, "x").err().unwrap_or_default();
        assert!(error.contains(expect), "{text}: {error}");
    }
    assert!(reports::read("", "x")?.is_empty());
    Ok(())
}
