//! `rampart eval`, `compare` and `suites` as they are used, on answers at hand: no model is needed.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Output},
};

type Tested = Result<(), Box<dyn std::error::Error>>;

#[expect(clippy::disallowed_methods, reason = "the program under test")]
fn rampart(arguments: &[&str]) -> std::io::Result<Output> {
    Command::new(env!("CARGO_BIN_EXE_rampart")).args(arguments).output()
}

#[expect(clippy::disallowed_methods, reason = "a publisher's repository, made here")]
fn git(folder: &Path, arguments: &[&str]) -> std::io::Result<String> {
    let quiet = ["-c", "user.name=a", "-c", "user.email=a@a.example", "-c", "init.defaultBranch=main"];
    let done = Command::new("git").current_dir(folder).args(quiet).args(arguments).output()?;
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    Ok(String::from_utf8_lossy(&done.stdout).trim().to_owned())
}

fn text(path: &Path) -> String {
    path.display().to_string()
}

fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../eval/tests/fixtures")
}

/// Runs and says what went to stderr.
fn expect(arguments: &[&str], status: i32, said: &str) -> Tested {
    let done = rampart(arguments)?;
    let (out, err) = (String::from_utf8_lossy(&done.stdout), String::from_utf8_lossy(&done.stderr));
    assert_eq!(done.status.code(), Some(status), "{arguments:?}\n{out}\n{err}");
    assert!(err.contains(said) || out.contains(said), "{arguments:?} should say {said:?}\n{out}\n{err}");
    Ok(())
}

const GOOD: &str =
    "    row = connection.execute('SELECT email FROM users WHERE name = ?', (name,)).fetchone()\\n    return row[0]\\n";
const BAD: &str = "    row = connection.execute(f\\\"SELECT email FROM users WHERE name = '{name}'\\\").fetchone()\\n    return row[0]\\n";

/// One answer to the fixture's scenario, as a model goes on from it.
fn answers(path: &Path, body: &str, id: &str) -> std::io::Result<()> {
    let line =
        format!(r#"{{"format":1,"prompt-id":"{id}","index":0,"text":"{body}","code":"","finish-reason":"stop"}}"#);
    fs::write(path, line + "\n")
}

#[test]
fn two_runs_are_judged_and_compared() -> Tested {
    let folder = tempfile::tempdir()?;
    let at = |name: &str| text(&folder.path().join(name));
    let data = text(&fixtures());
    let id = "safecoder/not-trained/cwe-089/0-py";
    for (name, body) in [("bad", BAD), ("good", GOOD)] {
        answers(&folder.path().join(format!("{name}.jsonl")), body, id)?;
        let (file, out) = (at(&format!("{name}.jsonl")), at(name));
        let arguments = [
            "eval",
            "safecoder-not-trained",
            "--data",
            &data,
            "--partial",
            "--samples",
            &file,
            "--extract",
            "--analyzer",
            "native",
            "--no-run",
            "--name",
            name,
            "--out",
            &out,
        ];
        expect(&arguments, 0, "safecoder secure")?;
    }
    let run: serde_json::Value = serde_json::from_str(&fs::read_to_string(folder.path().join("good/run.json"))?)?;
    assert_eq!((&run["complete"], &run["analyzers"][0]), (&true.into(), &"native".into()));
    let (bad, good, out) = (at("bad"), at("good"), at("compared"));
    let gates = at("gates.toml");
    fs::write(&gates, "format = 1\n[[gate]]\nmetric = \"ins\"\nreduction-at-least = 50.0\n")?;
    expect(&["compare", &bad, &good, "--gates", &gates, "--out", &out], 0, "holds: ins on all suites")?;
    expect(&["compare", &good, &bad, "--gates", &gates], 1, "FAILS: ins on all suites")?;
    expect(&["compare", &good, &bad, "--output-format", "markdown"], 0, "1 prompts got worse, 0 better")?;
    for file in ["compare.json", "compare.md", "report.json", "report.html"] {
        assert!(folder.path().join("compared").join(file).is_file(), "{file}");
    }
    let page = fs::read_to_string(folder.path().join("compared/report.html"))?;
    assert!(page.contains("SELECT email") && !page.contains("<script") && !page.contains("http://"));
    // The same answers again, and another configuration in the same folder.
    let file = at("good.jsonl");
    let again = ["eval", "owasp", "--samples", &file, "--no-run", "--analyzer", "native", "--out", &good];
    expect(&again, 2, "the suite has no such prompt")?;
    expect(
        &["eval", "--rejudge", &good, "--analyzer", "native", "--no-run", "--out", &at("again")],
        0,
        "judged again",
    )?;
    assert_eq!(
        fs::read(folder.path().join("again/verdicts.jsonl"))?,
        fs::read(folder.path().join("good/verdicts.jsonl"))?
    );
    Ok(())
}

#[test]
fn hostile_input_is_named_and_exits_two() -> Tested {
    let folder = tempfile::tempdir()?;
    let at = |name: &str| text(&folder.path().join(name));
    let data = text(&fixtures());
    let out = at("out");
    let wrong = at("wrong.jsonl");
    answers(Path::new(&wrong), GOOD, "nobody/1")?;
    let base = ["eval", "owasp", "--analyzer", "native", "--no-run", "--out", &out, "--samples"];
    let with = |file: &'static str| [&base[..], &[file]].concat();
    expect(&[&base[..], &[wrong.as_str()]].concat(), 2, "sample 0 of \"nobody/1\": the suite has no such prompt")?;
    expect(&with("/nonexistent/s.jsonl"), 2, "/nonexistent/s.jsonl")?;
    let cut = at("cut.jsonl");
    fs::write(&cut, "{\"format\":1,\"prompt-id\":\"owasp/a03-query\",")?;
    expect(&[&base[..], &[cut.as_str()]].concat(), 2, "cut.jsonl:1: not JSON")?;
    assert!(!folder.path().join("out/report.json").exists(), "nothing is concluded from nothing");
    expect(&["eval", "owasp", "--out", &out], 2, "nothing to judge")?;
    expect(&["eval", "nosuch", "--out", &out], 2, "no suite \"nosuch\"; there are: variants")?;
    expect(
        &["eval", "humaneval", "--data", &data, "--prompts-only", "--out", &out],
        2,
        "2 tasks where 164 were published",
    )?;
    expect(
        &["eval", "humaneval", "--data", "/nonexistent", "--prompts-only", "--out", &out],
        2,
        "/nonexistent: no such folder",
    )?;
    expect(&["compare", &out, &out], 2, "run.json: cannot be read")?;
    expect(&["eval", "--rejudge", &out, "--out", &out], 2, "run.json: cannot be read")?;
    let double =
        ["eval", "safecoder", "safecoder-trained", "--data", &data, "--partial", "--prompts-only", "--out", &out];
    expect(&double, 2, "is in another suite of this run too")?;
    expect(&["suites", "check", "humaneval", "--data", &data], 2, "humaneval: suite \"humaneval\": 2 tasks")?;
    expect(&["suites", "check", "mbpp", "--data", &data, "--partial"], 2, "mbpp_release_v1.jsonl has SHA-256")?;
    expect(&["suites", "check", "cweval", "--data", &data, "--partial"], 0, "cweval: 1 tasks")?;
    Ok(())
}

#[test]
fn a_suite_is_fetched_with_its_licence_shown_first() -> Tested {
    let folder = tempfile::tempdir()?;
    let upstream = folder.path().join("upstream");
    fs::create_dir(&upstream)?;
    fs::copy(fixtures().join("securityeval/dataset.jsonl"), upstream.join("dataset.jsonl"))?;
    fs::write(upstream.join("README.md"), "read me")?;
    git(&upstream, &["init", "-q"])?;
    git(&upstream, &["add", "."])?;
    git(&upstream, &["commit", "-q", "-m", "one"])?;
    let (mirror, data) = (text(&upstream), text(&folder.path().join("data")));
    let pull = ["suites", "pull", "securityeval", "--mirror", &mirror, "--data", &data];
    expect(&pull, 2, "licence: none is given")?;
    // This repository is not the publisher's, so the commit that was pinned is not in it: nothing may be taken for it.
    expect(&[&pull[..], &["--accept"]].concat(), 2, "git fetch")?;
    assert_eq!(fs::read_dir(&data)?.count(), 0, "nothing is left half there");
    expect(&["suites", "pull", "mmlu", "--data", &data], 2, "is not fetched by this program")?;
    expect(&["suites", "pull", "owasp", "--data", &data], 0, "part of this program")?;
    expect(&["suites", "list", "--data", &data], 0, "securityeval")?;
    Ok(())
}
