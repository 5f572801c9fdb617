//! `rampart data distill` against a server on loopback that answers from a script and is partly faulty; killed twice.
#![expect(clippy::disallowed_methods, reason = "these tests start the program that they test")]

use serde_json::{Value, json};
use std::{
    collections::BTreeMap,
    fs,
    io::{BufRead, BufReader, Read, Write},
    net::{TcpListener, TcpStream},
    path::Path,
    process::{Command, Stdio},
    sync::{Arc, Mutex},
    time::Duration,
};

type Outcome<T = ()> = Result<T, Box<dyn std::error::Error>>;

/// How often each prompt was asked, and how often it was answered whole.
type Asked = Arc<Mutex<BTreeMap<String, [usize; 2]>>>;

fn start() -> Outcome<(String, Asked)> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let url = format!("http://{}/v1", listener.local_addr()?);
    let asked = Asked::default();
    let shared = Arc::clone(&asked);
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let asked = Arc::clone(&shared);
            std::thread::spawn(move || serve(stream, &asked).ok());
        }
    });
    Ok((url, asked))
}

fn serve(mut stream: TcpStream, asked: &Asked) -> Outcome {
    let mut reader = BufReader::new(stream.try_clone()?);
    loop {
        let mut length = 0;
        loop {
            let mut line = String::new();
            if reader.read_line(&mut line)? == 0 {
                return Ok(());
            }
            if let Some(n) = line.to_ascii_lowercase().strip_prefix("content-length:") {
                length = n.trim().parse()?;
            }
            if line.trim().is_empty() {
                break;
            }
        }
        let mut body = vec![0; length];
        reader.read_exact(&mut body)?;
        let body: Value = serde_json::from_slice(&body)?;
        let prompt = body["messages"][0]["content"].as_str().ok_or("no prompt")?.to_owned();
        let number = prompt.bytes().fold(7u64, |h, b| h.wrapping_mul(31).wrapping_add(u64::from(b)));
        let first = {
            let mut asked = asked.lock().map_err(|_| "poisoned")?;
            let times = asked.entry(prompt.clone()).or_default();
            times[0] += 1;
            times[0] == 1
        };
        // A few milliseconds, so that there is something to kill.
        std::thread::park_timeout(Duration::from_millis(4));
        let json = json!({
            "model": "scripted-1",
            "choices": [{ "message": { "content": answer(&prompt, number) }, "finish_reason": "stop" }],
            "usage": { "prompt_tokens": 300, "completion_tokens": 200 },
        });
        let whole = json.to_string();
        let http = |status: &str, more: &str, body: &str| {
            let length = body.len();
            format!(
                "HTTP/1.1 {status}\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n{more}\r\n{body}"
            )
        };
        let (text, close) = match number % 10 {
            0 if first => (http("429 Later", "retry-after: 0\r\n", "{}"), false),
            1 if first => (http("500 Oops", "", "oops"), false),
            2 if first => (http("200 OK", "", &whole)[..200].to_owned(), true),
            3 if first => (http("200 OK", "", &whole[..whole.len() / 2]), false),
            _ => {
                asked.lock().map_err(|_| "poisoned")?.entry(prompt).or_default()[1] += 1;
                (http("200 OK", "", &whole), false)
            }
        };
        stream.write_all(text.as_bytes())?;
        if close {
            return Ok(());
        }
    }
}

/// What the scripted model says: good pairs mostly, and every fault that models have.
fn answer(prompt: &str, number: u64) -> String {
    let name = format!("job_{:x}", number % 0xffff_ffff);
    let head = "import subprocess\n\n\n";
    let insecure = format!(
        "{head}def {name}(path):\n    # quick\n    subprocess.run(f\"ls -l {{path}} # all\", shell=True, check=True)\n"
    );
    let secure = format!("{head}def {name}(path):\n    subprocess.run([\"ls\", \"-l\", \"--\", path], check=True)\n");
    if prompt.starts_with("A reviewer's tools") {
        // One refinement in four does not help.
        let name = prompt.split("def ").nth(1).and_then(|p| p.split('(').next()).unwrap_or("job");
        let fixed = secure.replace(&secure[head.len() + 4..secure.find("(path)").unwrap_or(0)], name);
        return if (number / 1009).is_multiple_of(4) {
            "I see nothing wrong.".into()
        } else {
            format!("```python\n{fixed}```\n")
        };
    }
    let instruction = format!("Write `{name}(path)` that lists a folder in long form.");
    let of = |instruction: &str, insecure: &str, secure: &str| {
        format!(
            "Here you are.\n\n## INSTRUCTION\n{instruction}\n## INSECURE\n```python\n{insecure}```\n## RISK\nThe shell reads the \
             path.\n## SECURE\n```python\n{secure}```\n## REMEDY\nNo shell is started.\n"
        )
    };
    match number / 10 % 20 {
        0 => of(&instruction, &insecure, &secure).replace("## RISK", "Risk -"),
        1 => of(&instruction, &insecure, ""),
        2 => of(&instruction, &insecure, &secure).replace("```python", "```javascript"),
        3 => of(&instruction, &insecure, "def f(:\n"),
        4 => of("Write it safely, against injection.", &insecure, &secure),
        5 => of(&instruction, &secure, &secure),
        6 => {
            of(&instruction, &insecure, &secure).split("## SECURE").next().unwrap_or("").to_owned()
                + "## SECURE\n```python\nimport"
        }
        7..=10 => of(&instruction, &insecure, &insecure.replace("ls -l", "ls -la")),
        _ => of(&instruction, &insecure, &secure),
    }
}

fn configuration(folder: &Path, url: &str, pairs: usize) -> Outcome<std::path::PathBuf> {
    let path = folder.join("distill.toml");
    let text = format!(
        "format = 1\noutput = \"out\"\nseed = 3\npairs = {pairs}\nsplit = [80, 10, 10]\n\
         [endpoint]\nurl = \"{url}\"\nmodel = \"scripted\"\npatience = 0.01\nconcurrency = 3\nmax-tokens = 900\n"
    );
    fs::write(&path, text)?;
    Ok(path)
}

fn distill(config: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_rampart"));
    command.args(["data", "distill"]).arg(config).env_remove("RAMPART_ENDPOINT_KEY");
    command
}

fn finished(config: &Path) -> Outcome<String> {
    let out = distill(config).output()?;
    let said = String::from_utf8_lossy(&out.stderr).into_owned();
    assert_eq!(out.status.code(), Some(0), "{said}");
    Ok(String::from_utf8(out.stdout)?)
}

/// Replies that are kept.
fn kept(out: &Path) -> usize {
    let folders = fs::read_dir(out.join("replies")).into_iter().flatten().flatten();
    folders
        .map(|f| fs::read_dir(f.path()).map_or(0, |d| d.flatten().filter(|e| e.path().extension().is_some()).count()))
        .sum()
}

/// Every file of a run but the replies, with what is not the same twice taken out: when each answer came.
fn files(out: &Path) -> Outcome<BTreeMap<String, String>> {
    fn timeless(value: &mut Value) {
        match value {
            Value::Object(map) => {
                map.remove("time");
                map.values_mut().for_each(timeless);
            }
            Value::Array(list) => list.iter_mut().for_each(timeless),
            _ => {}
        }
    }
    let mut files = BTreeMap::new();
    for folder in fs::read_dir(out)?.flatten().filter(|f| f.file_name() != "replies") {
        let inside: Vec<_> =
            if folder.path().is_dir() { fs::read_dir(folder.path())?.flatten().collect() } else { vec![folder] };
        for file in inside {
            let mut text = fs::read_to_string(file.path())?;
            if file.path().extension().is_some_and(|e| e == "jsonl") {
                let lines = text.lines().map(|l| {
                    let mut row: Value = serde_json::from_str(l)?;
                    timeless(&mut row);
                    Ok(row.to_string())
                });
                text = lines.collect::<Outcome<Vec<_>>>()?.join("\n");
            }
            files.insert(file.path().strip_prefix(out)?.display().to_string(), text);
        }
    }
    Ok(files)
}

#[test]
fn two_hundred_pairs_killed_twice_are_those_of_an_undisturbed_run() -> Outcome {
    const PAIRS: usize = 200;
    let (calm, disturbed) = (tempfile::tempdir()?, tempfile::tempdir()?);
    let (url, asked) = start()?;
    let table = finished(&configuration(calm.path(), &url, PAIRS)?)?;
    assert!(table.contains("of 200 planned"), "{table}");
    let expect = files(&calm.path().join("out"))?;
    let names: Vec<&str> = expect.keys().map(String::as_str).collect();
    for name in
        ["1-plan/rows.jsonl", "2-generate/rows.jsonl", "5-refine/rows.jsonl", "7-split/train.jsonl", "report.json"]
    {
        assert!(names.contains(&name), "{name} is not in {names:?}");
    }
    let report: Value = serde_json::from_str(&expect["report.json"])?;
    let rejects = &report["rejects"];
    let sum: u64 = rejects.as_object().into_iter().flatten().filter_map(|(_, n)| n.as_u64()).sum();
    assert_eq!(report["instances"].as_u64().unwrap_or(0) + sum, PAIRS as u64, "nothing is lost uncounted: {report}");
    for reason in
        ["marker-missing", "empty", "wrong-language", "syntax", "hint", "identical", "cut-off", "secure-flagged"]
    {
        assert!(rejects[reason].as_u64() > Some(0), "no reject for {reason}: {rejects}");
    }
    assert!(report["instances"].as_u64() > Some(100), "{report}");
    assert!(report["residual-before"].as_f64() > report["residual-after"].as_f64(), "{report}");
    let questions = asked.lock().map_err(|_| "poisoned")?.len();
    assert!(questions > PAIRS, "refinement asks, too");

    // The same against a server that knows nothing of the first run, killed once while it asks and once after.
    let (url, asked) = start()?;
    let (config, out) = (configuration(disturbed.path(), &url, PAIRS)?, disturbed.path().join("out"));
    for least in [40, 150] {
        let mut child = distill(&config).stdout(Stdio::null()).stderr(Stdio::null()).spawn()?;
        while kept(&out) < least && child.try_wait()?.is_none() {
            std::thread::park_timeout(Duration::from_millis(2));
        }
        child.kill()?;
        child.wait()?;
        assert!((least..questions).contains(&kept(&out)), "killed too late: {} replies are kept", kept(&out));
        assert!(!out.join("report.json").exists());
    }
    let before = kept(&out);
    assert_eq!(finished(&config)?.lines().count(), table.lines().count());
    assert_eq!(files(&out)?.len(), expect.len());
    let mut ours = files(&out)?;
    for (name, text) in &expect {
        let found = ours.remove(name).ok_or_else(|| format!("{name} is missing"))?;
        // The two servers listen on different ports.
        let neutral = |t: &str| t.lines().map(port).collect::<Vec<_>>().join("\n");
        assert_eq!(neutral(&found), neutral(text), "{name}");
    }
    let asked = asked.lock().map_err(|_| "poisoned")?;
    let answered: usize = asked.values().map(|times| times[1]).sum();
    assert_eq!(asked.len(), questions, "the same questions");
    assert_eq!(kept(&out), questions);
    // What was on its way when the program died was answered to nobody: three at once, killed twice.
    assert!(
        (questions..=questions + 6).contains(&answered),
        "{answered} answers to {questions} questions, {before} kept"
    );

    // All is there: nothing is asked any more, even by another run.
    drop(asked);
    fs::remove_file(out.join("report.json"))?;
    finished(&config)?;
    assert_eq!(files(&out)?.len(), expect.len());
    // Another plan in the same folder is refused.
    let text = fs::read_to_string(&config)?.replace("seed = 3", "seed = 4");
    fs::write(&config, text)?;
    let refused = distill(&config).output()?;
    assert_eq!(refused.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&refused.stderr).contains("choose another output"));
    Ok(())
}

/// A line without the port of its server.
fn port(line: &str) -> String {
    let mut out = String::new();
    let mut rest = line;
    while let Some(at) = rest.find("http://127.0.0.1:") {
        let (before, after) = rest.split_at(at + "http://127.0.0.1:".len());
        out.push_str(before);
        rest = after.trim_start_matches(|c: char| c.is_ascii_digit());
    }
    out + rest
}

#[test]
fn mistakes_are_named_and_nothing_is_asked() -> Outcome {
    let (url, asked) = start()?;
    let folder = tempfile::tempdir()?;
    let config = configuration(folder.path(), &url, 20)?;
    let good = fs::read_to_string(&config)?;
    let dry = distill(&config).arg("--dry-run").output()?;
    let said = String::from_utf8(dry.stdout)?;
    let estimate: Value = serde_json::from_str(&said)?;
    assert_eq!((&estimate["questions"], &estimate["cached"]), (&json!(20), &json!(0)), "{said}");
    assert!(!folder.path().join("out").exists());
    let cases = [
        ("pairs = 20", "pairs = 0", "pairs is 0"),
        ("pairs = 20", "pars = 20", "unknown field `pars`"),
        ("seed = 3", "seed = 3\ncwe = [\"CWE-9999\"]", "no lesson explains CWE-9999"),
        ("seed = 3", "seed = 3\nanalyzers = [\"nativ\"]", "nativ"),
        ("seed = 3", "seed = 3\ntemplates = \"absent\"", "generate.jinja"),
        ("format = 1", "format = 2", "format is 2"),
        (&url, "http://example.com:1/a b", "is not an address"),
        ("model = \"scripted\"", "model = \"scripted\"\nmoney-budget = 1.0", "needs the prices"),
        ("model = \"scripted\"", "model = \"scripted\"\ntoken-budget = 10", "the budget is used up"),
    ];
    for (from, to, expect) in cases {
        fs::write(&config, good.replace(from, to))?;
        let out = distill(&config).output()?;
        let said = String::from_utf8_lossy(&out.stderr);
        assert_eq!(out.status.code(), Some(2), "{to}: {said}");
        assert!(said.contains(expect), "{to}: {said}");
        let _ = fs::remove_dir_all(folder.path().join("out"));
    }
    assert!(asked.lock().map_err(|_| "poisoned")?.is_empty(), "something was asked");
    let prompts = folder.path().join("prompts");
    let wrote = Command::new(env!("CARGO_BIN_EXE_rampart"))
        .args(["data", "distill", "--write-templates"])
        .arg(&prompts)
        .output()?;
    assert_eq!(wrote.status.code(), Some(0));
    // An edited template is what is asked.
    fs::write(prompts.join("generate.jinja"), "EDITED {{ cwe }} {{ module }} {{ variant }}")?;
    fs::write(&config, good.replace("seed = 3", "seed = 3\ntemplates = \"prompts\""))?;
    let _ = distill(&config).output()?;
    assert!(asked.lock().map_err(|_| "poisoned")?.keys().any(|p| p.starts_with("EDITED CWE-")));
    Ok(())
}

/// A history with one fix, in Go.
fn mined(folder: &Path) -> Outcome {
    let git = |arguments: &[&str]| -> Outcome {
        let settings = ["-c", "user.name=A", "-c", "user.email=a@example.com", "-c", "commit.gpgsign=false"];
        let done = Command::new("git").current_dir(folder.join("project")).args(settings).args(arguments).output()?;
        if done.status.success() { Ok(()) } else { Err(String::from_utf8_lossy(&done.stderr).into_owned().into()) }
    };
    fs::create_dir(folder.join("project"))?;
    git(&["init", "-q"])?;
    for (said, call) in [
        ("Begin", "exec.Command(\"sh\", \"-c\", \"cat \"+name)"),
        ("Fix command injection", "exec.Command(\"cat\", \"--\", name)"),
    ] {
        let head = "package main\n\nimport \"os/exec\"\n\n// show prints a file.\nfunc show(name string) error {\n";
        fs::write(folder.join("project/run.go"), format!("{head}\treturn {call}.Run()\n}}\n"))?;
        git(&["add", "."])?;
        git(&["commit", "-q", "-m", said])?;
    }
    Ok(())
}

/// What each route makes, distilled, mined and expanded from lessons, is one training set, and its classes are told.
#[test]
#[cfg(feature = "torch")]
fn pairs_of_all_routes_train_together() -> Outcome {
    let folder = tempfile::tempdir()?;
    let at = folder.path();
    let rampart = |arguments: &[&str]| -> Outcome<String> {
        let done = Command::new(env!("CARGO_BIN_EXE_rampart")).current_dir(at).args(arguments).output()?;
        let said = String::from_utf8_lossy(&done.stderr).into_owned();
        assert_eq!(done.status.code(), Some(0), "{arguments:?}: {said}");
        Ok(said)
    };
    let (url, _) = start()?;
    finished(&configuration(at, &url, 40)?)?;
    mined(at)?;
    rampart(&["data", "mine", "project", "--out", "mined"])?;
    rampart(&["data", "expand", "--language", "python,java", "--per-lesson", "1", "--out", "lessons.jsonl"])?;

    let model = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../models/tiny");
    fs::write(
        at.join("train.toml"),
        format!(
            "format = 1\noutput = \"run\"\n[model]\npath = {:?}\nadapter = {{ kind = \"lora\", r = 4 }}\n[data]\n\
             train = [\"out/7-split/train.jsonl\", \"mined/rows.jsonl\", \"lessons.jsonl\"]\nmax-tokens = 256\n\
             oversample = {{ by = [\"language\"], minimum = 5 }}\n[objective]\nkind = \"lpo\"\n[optim]\nlearning-rate = 1e-4\nbatch = 2\nsteps = 2\n",
            model.canonicalize()?
        ),
    )?;
    let said = rampart(&["train", "train.toml"])?;
    let of =
        |origin: &str| said.lines().find(|l| l.trim_start().starts_with(&format!("{origin}: "))).unwrap_or_default();
    assert!(
        of("lesson").contains("python ") && of("lesson").contains("java ") && of("lesson").contains("CWE-89 "),
        "{said}"
    );
    assert!(of("mined").contains("5 examples; go 5; CWE-78 5"), "{said}");
    assert!(of("distilled").contains("; python ") && of("distilled").contains("; CWE-"), "{said}");
    let classes: Vec<Value> = serde_json::from_str(&fs::read_to_string(at.join("run/classes.json"))?)?;
    let mined = classes.iter().find(|c| c["origin"] == "mined").ok_or("no mined class")?;
    assert_eq!((&mined["used"], &mined["repeated"]), (&json!(1), &json!(4)), "one is repeated until there are five");
    assert_eq!(fs::read_to_string(at.join("run/metrics.jsonl"))?.lines().count(), 2);
    Ok(())
}
