//! `rampart eval` against an endpoint on loopback that answers, refuses, breaks off and dies as it is told.
#![expect(clippy::disallowed_methods, reason = "these tests start the program that they test")]

use serde_json::{Value, json};
use std::{
    fs,
    io::{BufRead, BufReader, Read, Write},
    net::{TcpListener, TcpStream},
    path::Path,
    process::{Command, Output},
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
};

type Outcome<T = ()> = Result<T, Box<dyn std::error::Error>>;

/// Answers before the endpoint dies, and what it was asked.
struct Endpoint {
    url: String,
    left: AtomicUsize,
    asked: Mutex<Vec<(String, Value)>>,
}

impl Endpoint {
    fn start(left: usize) -> Outcome<Arc<Self>> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let url = format!("http://{}/v1", listener.local_addr()?);
        let endpoint = Arc::new(Self { url, left: left.into(), asked: Mutex::default() });
        let shared = Arc::clone(&endpoint);
        // Ends with the test's process.
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let endpoint = Arc::clone(&shared);
                std::thread::spawn(move || endpoint.serve(stream));
            }
        });
        Ok(endpoint)
    }

    fn count(&self) -> usize {
        self.asked.lock().map_or(0, |a| a.len())
    }

    fn serve(&self, mut stream: TcpStream) -> Option<()> {
        let mut reader = BufReader::new(stream.try_clone().ok()?);
        loop {
            let (mut path, mut length) = (String::new(), 0);
            loop {
                let mut line = String::new();
                if reader.read_line(&mut line).ok()? == 0 {
                    return None;
                }
                if path.is_empty() {
                    path = line.split(' ').nth(1)?.to_owned();
                }
                if let Some(n) = line.to_ascii_lowercase().strip_prefix("content-length:") {
                    length = n.trim().parse().ok()?;
                }
                if line.trim().is_empty() {
                    break;
                }
            }
            let mut body = vec![0; length];
            reader.read_exact(&mut body).ok()?;
            let body: Value = serde_json::from_slice(&body).ok()?;
            // A dead endpoint takes the question and hangs up.
            let alive = self.left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |n| n.checked_sub(1)).is_ok();
            if !alive {
                return None;
            }
            self.asked.lock().ok()?.push((path, body.clone()));
            let prompt = body["messages"][0]["content"].as_str().or(body["prompt"].as_str())?;
            let (status, answer) = if prompt.contains("XML") && body["model"] == "strict" {
                ("400 Bad", json!({ "error": { "message": "not that one" } }))
            } else if body["model"] == "shy" {
                let choice = json!({ "message": { "content": null, "refusal": "I would rather not." } });
                ("200 OK", json!({ "choices": [choice], "model": "shy-1" }))
            } else {
                let text = match body["model"].as_str() {
                    Some("debated") => debated(prompt),
                    _ => format!("```python\n# {}\nx = 1\n```", prompt.len()),
                };
                let choice = json!({ "message": { "content": text }, "text": text, "finish_reason": "stop" });
                let usage = json!({ "prompt_tokens": 20, "completion_tokens": 9 });
                ("200 OK", json!({ "choices": [choice], "model": "scripted-1", "usage": usage }))
            };
            let answer = answer.to_string();
            let length = answer.len();
            let head =
                format!("HTTP/1.1 {status}\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n\r\n");
            stream.write_all((head + &answer).as_bytes()).ok()?;
        }
    }
}

/// A model whose drafts lack something that its safety critic, having looked things up, asks for.
fn debated(prompt: &str) -> String {
    let draft = "```python\n# v1\nx = eval(input())\n```";
    if prompt.starts_with("You review python code for security") {
        let said = match (prompt.contains("# v1"), prompt.contains("- review:"), prompt.contains("- search eval:")) {
            (true, false, _) => "TOOL: review",
            (true, true, false) => "TOOL: search eval",
            (true, true, true) => "VERDICT: CHANGE\nDo not evaluate what is read.",
            (false, ..) => "VERDICT: CONTENT",
        };
        return said.into();
    }
    if prompt.starts_with("You review whether") {
        return "VERDICT: CONTENT".into();
    }
    if prompt.starts_with("Two reviewers") {
        assert!(prompt.contains("Do not evaluate"));
        return "1. No eval.".into();
    }
    if prompt.contains("Reviewers ask for these changes:\n1. No eval.") {
        return draft.replace("v1", "v2").replace("eval(input())", "int(input())");
    }
    draft.into()
}

fn eval(out: &Path, arguments: &[&str]) -> std::io::Result<Output> {
    let usual = ["eval", "owasp", "--analyzer", "native", "--no-run", "--samples-per-prompt", "2", "--attempts", "1"];
    let mut command = Command::new(env!("CARGO_BIN_EXE_rampart"));
    command.args(usual).args(arguments).arg("--out").arg(out).env_remove("RAMPART_ENDPOINT_KEY");
    command.output()
}

fn expect(done: &Output, status: i32, said: &str) -> Outcome<String> {
    let (out, err) = (String::from_utf8_lossy(&done.stdout), String::from_utf8_lossy(&done.stderr));
    assert_eq!(done.status.code(), Some(status), "{out}\n{err}");
    assert!(err.contains(said) || out.contains(said), "should say {said:?}\n{out}\n{err}");
    Ok(err.into_owned())
}

fn lines(path: &Path) -> usize {
    fs::read_to_string(path).map_or(0, |t| t.lines().count())
}

#[test]
fn an_endpoint_that_dies_halfway_costs_nothing_twice() -> Outcome {
    let folder = tempfile::tempdir()?;
    let out = folder.path().join("out");
    let endpoint = Endpoint::start(7)?;
    let arguments = ["--endpoint", &endpoint.url, "--model", "m", "--template", "chat", "--concurrency", "1"];
    // 10 prompts, 2 answers each; the endpoint dies after 7.
    let err = expect(&eval(&out, &arguments)?, 2, "13 answers are missing, sample 1 of \"owasp/")?;
    assert!(err.contains("7 answers are kept in") && err.contains("no answer in 1 attempts"), "{err}");
    assert_eq!(lines(&out.join("samples.partial.jsonl")), 7);
    assert!(!out.join("samples.jsonl").exists() && !out.join("report.json").exists());

    endpoint.left.store(1_000, Ordering::SeqCst);
    expect(&eval(&out, &arguments)?, 0, "report.html")?;
    assert_eq!(endpoint.count(), 20, "each question once");
    assert_eq!((lines(&out.join("samples.jsonl")), lines(&out.join("verdicts.jsonl"))), (20, 20));
    let record: Value = serde_json::from_str(&fs::read_to_string(out.join("run.json"))?)?;
    assert_eq!((&record["complete"], &record["api"]), (&json!(true), &json!("chat")));
    assert_eq!(record["versions"]["answered-by"], "scripted-1");
    assert_eq!(record["writer"], format!("{}#m", endpoint.url));

    // Elsewhere with the same cache: the same answers, and nobody is asked.
    let cache = out.join("samples.jsonl.replies");
    let again = folder.path().join("again");
    let cached = [&arguments[..], &["--cache", cache.to_str().ok_or("a path")?]].concat();
    expect(&eval(&again, &cached)?, 0, "report.html")?;
    assert_eq!(endpoint.count(), 20);
    assert_eq!(fs::read(again.join("samples.jsonl"))?, fs::read(out.join("samples.jsonl"))?);
    // The folder holds this run and no other.
    let other = [&arguments[..], &["--temperature", "0"]].concat();
    expect(&eval(&out, &other)?, 2, "holds another run (sampling differ)")?;
    Ok(())
}

#[test]
fn both_kinds_of_endpoint_estimates_budgets_and_refusals() -> Outcome {
    let folder = tempfile::tempdir()?;
    let at = |name: &str| folder.path().join(name);
    let endpoint = Endpoint::start(1_000)?;
    let url = endpoint.url.as_str();
    let with = |more: &[&'static str]| [&["--endpoint", url, "--model"], more].concat();

    let done = eval(&at("dry"), &with(&["m", "--dry-run", "--price-prompt", "1", "--price-completion", "2"]))?;
    expect(&done, 0, "20 questions")?;
    let estimate: Value = serde_json::from_slice(&done.stdout)?;
    assert_eq!(estimate["most"]["completion-tokens"], 20 * 288);
    let critics = ["m", "--dry-run", "--critics", "--critic-rounds", "2", "--critic-tool-calls", "1"];
    // Of each of 20 drafts two rounds of two debates: twice three judgements, a summary and a revision.
    expect(&eval(&at("dry"), &with(&critics))?, 0, "at most 640 questions more, with 166400 tokens")?;
    assert!(endpoint.count() == 0 && !at("dry").exists(), "nothing is asked, and nothing written");

    let err = expect(&eval(&at("poor"), &with(&["m", "--token-budget", "1000"]))?, 2, "the budget is used up")?;
    assert!(err.contains("answers are missing, sample"), "{err}");
    assert!((1..20).contains(&lines(&at("poor").join("samples.partial.jsonl"))));

    // The prompt's form decides: a docstring is continued, plain words are answered.
    let before = endpoint.count();
    expect(&eval(&at("text"), &with(&["m", "--stop-at-nothing"]))?, 2, "unexpected argument")?;
    expect(&eval(&at("text"), &with(&["m", "--temperature", "0"]))?, 0, "report.html")?;
    let sent = endpoint.asked.lock().map_err(|_| "poisoned")?[before].clone();
    assert_eq!((sent.0.as_str(), sent.1["stop"][0].as_str()), ("/v1/completions", Some("\n\"\"\"")));
    assert!(sent.1["top_k"].is_null(), "an endpoint is told only what was asked for");

    let err = expect(&eval(&at("strict"), &with(&["strict", "--template", "chat"]))?, 2, "400 not that one")?;
    assert!(err.contains("of \"owasp/a06-") && err.contains("answers are kept"), "{err}");

    // A model that declines has answered: failed and insecure, and the run is whole.
    expect(&eval(&at("shy"), &with(&["shy", "--template", "chat"]))?, 0, "report.html")?;
    let report: Value = serde_json::from_str(&fs::read_to_string(at("shy").join("report.json"))?)?;
    let metrics = &report["stages"][0]["suites"][0]["metrics"];
    assert_eq!((&metrics["valid"]["value"], &metrics["ins"]["value"]), (&json!(0.0), &json!(100.0)), "{metrics}");
    Ok(())
}

#[test]
fn several_endpoints_in_one_matrix_and_whose_the_key_is() -> Outcome {
    let folder = tempfile::tempdir()?;
    let out = folder.path().join("out");
    let (one, two) = (Endpoint::start(1_000)?, Endpoint::start(1_000)?);
    let (a, b) = (format!("a={}#m", one.url), format!("b={}#shy", two.url));
    let models = ["--model", &a, "--model", &b, "--template", "chat", "--temperature", "0"];
    expect(&eval(&out, &models)?, 0, "report.html")?;
    for (name, endpoint) in [("a", &one), ("b", &two)] {
        assert_eq!(lines(&out.join(name).join("samples.jsonl")), 20);
        assert_eq!(endpoint.count(), 20);
    }
    let report: Value = serde_json::from_str(&fs::read_to_string(out.join("report.json"))?)?;
    assert_eq!(report["stages"].as_array().map(Vec::len), Some(2));
    let keyed = |more: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_rampart"));
        command.args(["eval", "owasp", "--analyzer", "native", "--no-run"]).args(models).args(more);
        command.env("RAMPART_ENDPOINT_KEY", "k").arg("--out").arg(folder.path().join("keyed")).output()
    };
    expect(&keyed(&[])?, 2, "one key would go to 2 endpoints")?;
    expect(&keyed(&["--key-env", "a=RAMPART_ENDPOINT_KEY"])?, 0, "report.html")?;
    let cases: [(&[&str], &str); 5] = [
        (&["--endpoint", "http://127.0.0.1:9/v1"], "say which of its models"),
        (&["--model", "x=http://127.0.0.1:9/v1"], "NAME=URL#MODEL"),
        (&["--endpoint", "ftp://x", "--model", "m"], "is not an address"),
        (&["--endpoint", "http://127.0.0.1:9/v1", "--model", "m", "--adapter", "p"], "one model of this machine"),
        (&["--model", "models/none", "--money-budget", "3"], "--money-budget is for an endpoint"),
    ];
    for (arguments, said) in cases {
        let mut command = Command::new(env!("CARGO_BIN_EXE_rampart"));
        command.args(["eval", "owasp", "--analyzer", "native", "--no-run"]).args(arguments);
        expect(&command.arg("--out").arg(folder.path().join("none")).output()?, 2, said)?;
    }
    Ok(())
}

#[test]
fn critics_debate_what_an_endpoint_answers() -> Outcome {
    let folder = tempfile::tempdir()?;
    let at = |name: &str| folder.path().join(name);
    let endpoint = Endpoint::start(90)?;
    let templates = at("templates").display().to_string();
    let arguments = [
        "--endpoint",
        &endpoint.url,
        "--model",
        "debated",
        "--template",
        "chat",
        "--critics",
        "--critic-tools",
        "review,search",
        "--critic-prompts",
        &templates,
    ];
    // A debate asks nine times: draft, three times safety, helpfulness, summary, revision, and both critics of the next round.
    let err = expect(&eval(&at("out"), &arguments)?, 2, "answers are missing, sample")?;
    assert!(err.contains("of \"owasp/") && err.contains("no answer in 1 attempts"), "{err}");
    assert!(at("templates/safety.jinja").is_file() && !at("out/report.json").exists());
    endpoint.left.store(10_000, Ordering::SeqCst);
    expect(&eval(&at("out"), &arguments)?, 0, "critics: 20 answers, 20 of them written again; 20 content")?;
    let asked = endpoint.count();
    assert_eq!(asked, 20 * 9, "each question once");
    let rows = fs::read_to_string(at("out/critics.jsonl"))?;
    let first: Value = serde_json::from_str(rows.lines().next().ok_or("no row")?)?;
    let turns = first["transcript"]["turns"].as_array().ok_or("no turns")?;
    let who: Vec<&str> = turns.iter().filter_map(|t| t["who"].as_str()).collect();
    let expected = "actor safety tool safety tool safety helpfulness summary actor safety helpfulness";
    assert_eq!(who.join(" "), expected, "{first}");
    assert!(turns[2]["text"].as_str().is_some_and(|t| t.contains("CWE-9")), "a finding: {}", turns[2]);
    assert_eq!((&first["transcript"]["end"], rows.lines().count()), (&json!("content"), 20));
    let samples = fs::read_to_string(at("out/samples.jsonl"))?;
    assert!(samples.lines().all(|l| l.contains("# v2") && l.contains("int(input())")), "{samples}");
    assert!(!at("out/critics.partial.jsonl").exists());
    let other = [&arguments[..], &["--critic-rounds", "1"]].concat();
    expect(&eval(&at("out"), &other)?, 2, "holds another run (critics differ)")?;
    let held = [&arguments[..], &["--forbid", "eval("]].concat();
    expect(&eval(&at("held"), &held)?, 2, "not an endpoint, nor one that critics have")?;
    fs::write(at("templates/revise.jinja"), "{{ nothing }}")?;
    expect(&eval(&at("broken"), &arguments)?, 2, "template revise")?;

    // The same debate over prompts of one's own.
    let (prompts, out) = (at("prompts.jsonl"), at("samples.jsonl"));
    fs::write(&prompts, json!({ "format": 1, "id": "a", "prompt": "Read a number." }).to_string())?;
    let generate = |more: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_rampart"));
        command.args(["generate", "--endpoint", &endpoint.url, "--model", "debated", "--api", "chat", "--prompts"]);
        command.arg(&prompts).arg("--out").arg(&out).args(more).env_remove("RAMPART_ENDPOINT_KEY").output()
    };
    let tools = ["--critics", "--critic-tools", "review,search"];
    expect(&generate(&tools)?, 0, "critics: 1 answers, 1 of them written again; 1 content")?;
    assert!(fs::read_to_string(&out)?.contains("int(input())") && lines(&at("samples.jsonl.critics.jsonl")) == 1);
    expect(&generate(&["--critic-rounds", "2"])?, 2, "--critics")?;
    Ok(())
}
