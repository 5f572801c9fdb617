//! `rampart serve` as a process on loopback, asked by a client that speaks plain HTTP.
#![cfg(feature = "torch")]
#![expect(clippy::disallowed_methods, reason = "these tests start the program that they test")]

mod client;
mod evaluated;

use client::{Outcome, Reply, Server, tiny, with_template};
use serde_json::{Value, json};
use std::{io::Read, process::Command};

const COMPLETIONS: &str = "/v1/completions";
const CHAT: &str = "/v1/chat/completions";
const PROMPT: &str = "\"\"\"Read a file and return its lines.\"\"\"\n";

/// The texts of a stream's samples, and why each ended.
fn joined(pieces: &[Value]) -> Vec<(String, String)> {
    let mut samples: Vec<(String, String)> = Vec::new();
    for choice in pieces.iter().filter_map(|p| p["choices"].get(0)) {
        let index = choice["index"].as_u64().unwrap_or(0) as usize;
        samples.resize(samples.len().max(index + 1), Default::default());
        let text = choice["text"].as_str().or_else(|| choice["delta"]["content"].as_str()).unwrap_or("");
        samples[index].0.push_str(text);
        samples[index].1.push_str(choice["finish_reason"].as_str().unwrap_or(""));
    }
    samples
}

#[test]
fn answers_are_those_of_generate_whole_or_streamed() -> Outcome {
    let server = Server::start(&tiny(), &["--template", "docstring"], &[])?;
    let folder = tempfile::tempdir()?;
    let (prompts, out) = (folder.path().join("prompts.jsonl"), folder.path().join("out.jsonl"));
    std::fs::write(&prompts, json!({ "format": 1, "id": "a", "prompt": PROMPT }).to_string())?;
    let generated = Command::new(env!("CARGO_BIN_EXE_rampart"))
        .args([
            "generate",
            "--dtype",
            "f32",
            "--temperature",
            "0",
            "--max-new-tokens",
            "80",
            "--stop",
            "\n\"\"\"",
            "--model",
        ])
        .arg(tiny())
        .args([&"--prompts".into(), &prompts, &"--out".into(), &out])
        .output()?;
    assert!(generated.status.success(), "{}", String::from_utf8_lossy(&generated.stderr));
    let sample: Value = serde_json::from_str(std::fs::read_to_string(&out)?.trim())?;
    let expect = sample["text"].as_str().ok_or("no text")?;
    assert!(expect.len() > 20, "{expect:?}");

    let settings = json!({ "prompt": PROMPT, "max_tokens": 80, "temperature": 0, "stop": "\n\"\"\"", "model": "tiny" });
    let whole = server.post(COMPLETIONS, &settings)?.json()?;
    assert_eq!(whole["choices"][0]["text"], expect, "{whole}");
    assert_eq!(whole["object"], "text_completion");
    assert_eq!(whole["choices"][0]["finish_reason"], sample["finish-reason"]);
    let usage = &whole["usage"];
    assert!(usage["prompt_tokens"].as_u64() > Some(3) && usage["completion_tokens"].as_u64() > Some(5), "{usage}");

    // A chat in the model's template is the same prompt with the same stop.
    let messages = json!([{ "role": "user", "content": "Read a file and return its lines." }]);
    let chat = json!({ "messages": messages, "max_tokens": 80, "temperature": 0 });
    let answer = server.post(CHAT, &chat)?.json()?;
    assert_eq!(answer["choices"][0]["message"], json!({ "role": "assistant", "content": expect, "refusal": null }));
    assert_eq!(answer["object"], "chat.completion");

    for (path, mut settings) in [(COMPLETIONS, settings), (CHAT, chat)] {
        settings["stream"] = json!(true);
        settings["stream_options"] = json!({ "include_usage": true });
        settings["n"] = json!(3);
        let reply = server.post(path, &settings)?;
        assert!(reply.head.contains("content-type: text/event-stream"), "{}", reply.head);
        let pieces = reply.pieces()?;
        assert!(pieces.len() > 10, "not streamed: {} pieces", pieces.len());
        let finish = sample["finish-reason"].as_str().unwrap_or("");
        assert_eq!(joined(&pieces), vec![(expect.to_owned(), finish.to_owned()); 3], "{path}");
        let last = pieces.last().ok_or("no piece")?;
        assert_eq!(last["choices"], json!([]));
        let theirs = |key: &str| usage[key].as_u64().unwrap_or(0);
        assert_eq!(last["usage"]["prompt_tokens"], theirs("prompt_tokens"));
        assert_eq!(last["usage"]["completion_tokens"], 3 * theirs("completion_tokens"));
        if path == CHAT {
            assert_eq!(pieces[0]["choices"][0]["delta"]["role"], "assistant");
            assert_eq!(pieces[0]["object"], "chat.completion.chunk");
        }
    }
    Ok(())
}

#[test]
fn prompts_of_all_forms_and_seeds() -> Outcome {
    let server = Server::start(&tiny(), &["--seed", "7", "--name", "org/mine"], &[])?;
    let ask = |settings: Value| server.post(COMPLETIONS, &settings)?.json();
    let several = ask(json!({ "prompt": ["import ", "def f("], "n": 2, "max_tokens": 5, "echo": true }))?;
    let choices = several["choices"].as_array().ok_or("no choices")?;
    let begins: Vec<_> = choices.iter().map(|c| c["text"].as_str().unwrap_or("").get(..7).unwrap_or("")).collect();
    assert_eq!((begins[0], begins[1], choices.len()), ("import ", "import ", 4));
    assert!(choices[2]["text"].as_str().is_some_and(|t| t.starts_with("def f(")));
    assert_eq!(choices[3]["index"], 3);

    let seeded = json!({ "prompt": PROMPT, "max_tokens": 30, "temperature": 0.9, "seed": 5 });
    let texts = [ask(seeded.clone())?, ask(seeded.clone())?].map(|a| a["choices"][0]["text"].clone());
    assert_eq!(texts[0], texts[1], "the same seed gives the same answer");
    let mut unseeded = seeded;
    unseeded["seed"] = Value::Null;
    let texts = [ask(unseeded.clone())?, ask(unseeded)?].map(|a| a["choices"][0]["text"].clone());
    assert_ne!(texts[0], texts[1], "requests without a seed differ");

    let tokens = ask(json!({ "prompt": [[300, 301, 302]], "max_tokens": 3 }))?;
    assert_eq!(tokens["usage"]["prompt_tokens"], 3);
    assert_eq!(ask(json!({ "prompt": [99_999] }))?["error"]["param"], "prompt");

    let models = server.ask("GET", "/v1/models", &[], "")?.json()?;
    assert_eq!((&models["data"][0]["id"], &models["object"]), (&json!("org/mine"), &json!("list")));
    assert_eq!(server.ask("GET", "/v1/models/org/mine", &[], "")?.json()?["id"], "org/mine");
    assert_eq!(server.ask("GET", "/v1/models/other", &[], "")?.status, 404);
    Ok(())
}

#[test]
fn refusals_are_errors_in_openais_form() -> Outcome {
    let server = Server::start(&tiny(), &["--max-body", "2000"], &[])?;
    let json = "content-type: application/json";
    let long = format!("{{\"prompt\":\"{}\"}}", "x".repeat(3000));
    let chat = r#"{"messages":[{"role":"user","content":"x"}]}"#;
    // (method, path, headers, body, status, words of the message)
    type Case<'a> = (&'a str, &'a str, &'a [&'a str], &'a str, u16, &'a str);
    let cases: &[Case] = &[
        ("POST", COMPLETIONS, &[json], "{", 400, "the body is not JSON"),
        ("POST", COMPLETIONS, &[json], "{}", 400, "prompt is missing"),
        ("POST", COMPLETIONS, &[json], r#"{"prompt":"x","max_tokens":99999}"#, 400, "above this server's limit"),
        ("POST", COMPLETIONS, &[json], r#"{"prompt":"x","model":"gpt"}"#, 404, "\\\"gpt\\\" is not served here"),
        ("POST", COMPLETIONS, &[json], &long, 413, "larger than 2000 bytes"),
        ("POST", COMPLETIONS, &[], r#"{"prompt":"x"}"#, 415, "send content-type: application/json"),
        ("POST", COMPLETIONS, &["content-type: text/plain"], r#"{"prompt":"x"}"#, 415, "send content-type"),
        ("POST", CHAT, &[json], chat, 400, "this model has no chat template"),
        ("GET", COMPLETIONS, &[], "", 405, "another method"),
        ("GET", "/v2/x", &[], "", 404, "no such endpoint: /v2/x"),
        ("GET", "/v1/models", &["host: evil.example"], "", 403, "programs of its own machine"),
        ("POST", COMPLETIONS, &[json, "host: evil.example:8000"], r#"{"prompt":"x"}"#, 403, "programs of its own"),
    ];
    for &(method, path, headers, body, status, expect) in cases {
        let reply = server.ask(method, path, headers, body)?;
        assert_eq!(reply.status, status, "{method} {path} {body}: {}", reply.body);
        assert!(reply.head.contains("content-type: application/json"), "{}", reply.head);
        assert!(reply.body.contains(expect), "{method} {path}: {}", reply.body);
        let error = &reply.json()?["error"];
        assert!(error["message"].is_string() && error["type"].is_string() && error.get("code").is_some(), "{error}");
    }
    // More tokens than the context, and what is no HTTP at all.
    let wordy = server.post(COMPLETIONS, &json!({ "prompt": vec![300; 1024].into_iter().collect::<Value>() }));
    assert_eq!(wordy?.status, 413, "limits are looked at in order");
    let mut stream = server.connect()?;
    std::io::Write::write_all(&mut stream, b"\x16\x03\x01 not http\r\n\r\n")?;
    let mut said = Vec::new();
    stream.read_to_end(&mut said)?;
    assert!(said.starts_with(b"HTTP/1.1 400") || said.is_empty());
    server.until(0, 0)
}

#[test]
fn who_waits_is_bounded_and_who_leaves_frees_the_place() -> Outcome {
    let server = Server::start(&tiny(), &["--parallel", "1", "--queue", "1"], &[])?;
    let long = json!({ "prompt": "x", "max_tokens": 1000, "ignore_eos": true, "stream": true });
    let mut first = server.begin(COMPLETIONS, &long)?;
    server.until(1, 0)?;
    let mut whole = long.clone();
    whole["stream"] = json!(false);
    let second = server.begin(COMPLETIONS, &whole)?;
    server.until(1, 1)?;
    let third = server.post(COMPLETIONS, &long)?;
    assert_eq!(third.status, 429, "{}", third.body);
    assert!(third.head.contains("retry-after: "), "{}", third.head);
    assert_eq!(third.json()?["error"]["code"], "queue_full");
    // The one that waits leaves, so there is room to wait again; then the one that runs leaves.
    drop(second);
    let short = json!({ "prompt": "x", "max_tokens": 2 });
    let mut fourth = None;
    for _ in 0..100 {
        let stream = server.begin(COMPLETIONS, &short)?;
        if server.until(1, 1).is_ok() {
            fourth = Some(stream);
            break;
        }
    }
    let mut begun = [0; 64];
    first.read_exact(&mut begun)?;
    drop(first);
    let fourth = Reply::read(fourth.ok_or("no room to wait")?)?;
    assert_eq!(fourth.status, 200, "{}", fourth.body);
    server.until(0, 0)?;
    server.signal("INT")?;
    let (code, said) = server.end()?;
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("given up by its client"), "{said}");
    Ok(())
}

#[test]
fn keys_admit_and_are_never_said() -> Outcome {
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("keys");
    std::fs::write(&file, "from-the-file\n")?;
    let arguments = ["--api-key-file", file.to_str().ok_or("a path")?];
    let server = Server::start(&tiny(), &arguments, &[("RAMPART_API_KEY", "from-the-environment")])?;
    let cases = [
        ("", 401),
        ("authorization: Bearer wrong-key", 401),
        ("authorization: Bearer from-the-file", 200),
        ("authorization: Bearer from-the-environment", 200),
    ];
    let json = "content-type: application/json";
    for (header, status) in cases {
        let headers: Vec<&str> = [json, header].into_iter().filter(|h| !h.is_empty()).collect();
        let reply = server.ask("POST", COMPLETIONS, &headers, r#"{"prompt":"x","max_tokens":2}"#)?;
        assert_eq!(reply.status, status, "{header}: {}", reply.body);
        assert_eq!(server.ask("GET", "/v1/models", &headers, "")?.status, status, "{header}");
    }
    assert_eq!(server.ask("GET", "/health", &[], "")?.status, 200);
    server.signal("TERM")?;
    let (code, said) = server.end()?;
    assert_eq!(code, Some(0), "{said}");
    assert!(!said.contains("from-the") && !said.contains("wrong-key"), "{said}");
    Ok(())
}

#[test]
fn ctrl_c_lets_answers_end_and_lets_go_of_those_that_wait() -> Outcome {
    let server = Server::start(&tiny(), &["--parallel", "1"], &[])?;
    let settings = json!({ "prompt": "x", "max_tokens": 300, "ignore_eos": true, "temperature": 0, "stream": true });
    let running = server.begin(COMPLETIONS, &settings)?;
    server.until(1, 0)?;
    let waiting = server.begin(COMPLETIONS, &json!({ "prompt": "y" }))?;
    server.until(1, 1)?;
    server.signal("INT")?;
    let pieces = Reply::read(running)?.pieces()?;
    assert_eq!(joined(&pieces)[0].1, "length");
    let waited = Reply::read(waiting)?;
    assert_eq!((waited.status, waited.json()?["error"]["code"].clone()), (503, json!("shutting_down")));
    let (code, said) = server.end()?;
    assert_eq!(code, Some(0), "{said}");
    Ok(())
}

#[test]
fn no_answer_takes_for_ever() -> Outcome {
    let server = Server::start(&tiny(), &["--timeout", "1", "--grace", "0"], &[])?;
    let mut settings = json!({ "prompt": "x", "max_tokens": 1000, "ignore_eos": true, "n": 48 });
    let late = server.post(COMPLETIONS, &settings)?;
    assert_eq!((late.status, late.json()?["error"]["code"].clone()), (504, json!("timeout")), "{}", late.body);
    server.until(0, 0)?;
    settings["stream"] = json!(true);
    let late = server.post(COMPLETIONS, &settings)?;
    assert_eq!(late.status, 200);
    assert!(late.body.contains("\"code\":\"timeout\"") && !late.body.contains("[DONE]"), "an error ends the stream");
    server.until(0, 0)
}

#[test]
fn a_models_own_template_is_used_and_may_refuse() -> Outcome {
    let template = "{% for m in messages %}{% if m.role != 'user' %}{{ raise_exception('users only') }}{% endif %}\
                    {{ '\"\"\"' + m.content + '\"\"\"\\n' }}{% endfor %}";
    let folder = with_template(template)?;
    let server = Server::start(folder.path(), &["--name", "m"], &[])?;
    let user = json!({ "role": "user", "content": "Read a file and return its lines." });
    let chat = server.post(CHAT, &json!({ "messages": [user], "max_tokens": 20, "temperature": 0 }))?.json()?;
    let text = server.post(COMPLETIONS, &json!({ "prompt": PROMPT, "max_tokens": 20, "temperature": 0 }))?.json()?;
    assert_eq!(chat["choices"][0]["message"]["content"], text["choices"][0]["text"]);
    assert_eq!(chat["usage"], text["usage"]);
    let refused = server.post(CHAT, &json!({ "messages": [{ "role": "system", "content": "x" }, user] }))?;
    assert_eq!(refused.status, 400);
    let message = refused.json()?["error"]["message"].as_str().unwrap_or("").to_owned();
    assert_eq!(message, "its chat template refuses these messages: users only");
    Ok(())
}

#[test]
fn answers_end_where_the_folder_says_so() -> Outcome {
    let settings = json!({ "prompt": PROMPT, "max_tokens": 40, "temperature": 0 });
    let folder = with_template("{% for m in messages %}{{ m.content }}{% endfor %}")?;
    let server = Server::start(folder.path(), &["--name", "m"], &[])?;
    let long = server.post(COMPLETIONS, &settings)?.json()?["choices"][0]["text"].as_str().unwrap_or("").to_owned();
    drop(server);
    // A token of that answer becomes an end of generation, as chat models declare theirs.
    let ids = models::Tokenizer::load(&tiny())?.encode(&long)?;
    let end = *ids.get(6).ok_or("a short answer")?;
    let declared = json!({ "eos_token_id": [7, end] }).to_string();
    std::fs::write(folder.path().join("generation_config.json"), declared)?;
    let server = Server::start(folder.path(), &["--name", "m"], &[])?;
    let short = server.post(COMPLETIONS, &settings)?.json()?;
    let text = short["choices"][0]["text"].as_str().unwrap_or("");
    assert!(long.starts_with(text) && text.len() < long.len(), "{text:?} of {long:?}");
    assert_eq!(short["choices"][0]["finish_reason"], "stop");
    drop(server);
    Ok(())
}

#[test]
fn what_cannot_be_served_ends_in_one_message() -> Outcome {
    let empty = tempfile::NamedTempFile::new()?;
    let path = empty.path().to_str().ok_or("a path")?;
    let taken = std::net::TcpListener::bind("127.0.0.1:0")?;
    let port = taken.local_addr()?.port().to_string();
    let cases: &[(&[&str], &str)] = &[
        (&["--host", "0.0.0.0"], "can be reached from other machines"),
        (&["--api-key-file", path], "no API key in it"),
        (&["--api-key-file", "absent"], "cannot read absent"),
        (&["--template", "chat"], "has no chat template"),
        (&["--template", "odd"], "is not chat, docstring"),
        (&["--port", &port], "cannot listen on 127.0.0.1"),
        (&["--queue", "0"], "--queue 0 is not between 1"),
        (&["--model", "absent"], "cannot read absent"),
    ];
    for (arguments, expect) in cases {
        let mut command = Command::new(env!("CARGO_BIN_EXE_rampart"));
        command.arg("serve").env_remove("RAMPART_API_KEY");
        if !arguments.contains(&"--model") {
            command.arg("--model").arg(tiny());
        }
        let out = command.args(*arguments).output()?;
        let said = String::from_utf8_lossy(&out.stderr);
        assert_eq!(out.status.code(), Some(2), "{arguments:?}: {said}");
        let last = said.lines().last().unwrap_or("");
        assert!(last.starts_with("rampart: ") && last.contains(expect), "{arguments:?}: {said}");
    }
    Ok(())
}

/// Prompts in a file, and `rampart generate` over them from a server.
struct Generate {
    folder: tempfile::TempDir,
    url: String,
}

impl Generate {
    fn new(server: &Server, prompts: usize) -> Outcome<Self> {
        let folder = tempfile::tempdir()?;
        let lines: Vec<String> = (0..prompts)
            .map(|i| json!({ "format": 1, "id": format!("p{i}"), "prompt": format!("# {i}\n{PROMPT}") }).to_string())
            .collect();
        std::fs::write(folder.path().join("prompts.jsonl"), lines.join("\n"))?;
        Ok(Self { folder, url: format!("http://{}/v1", server.address) })
    }

    fn command(&self, more: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_rampart"));
        command.arg("generate").env_remove("RAMPART_ENDPOINT_KEY").current_dir(self.folder.path());
        command.args(["--prompts", "prompts.jsonl", "--temperature", "0", "--max-new-tokens", "24"]).args(more);
        command
    }

    fn run(&self, more: &[&str]) -> Outcome<(Option<i32>, String)> {
        let out = self.command(more).output()?;
        Ok((out.status.code(), String::from_utf8(out.stdout)? + &String::from_utf8(out.stderr)?))
    }

    fn asked<'a>(&'a self, out: &'a str) -> Vec<&'a str> {
        vec!["--endpoint", &self.url, "--model", "tiny", "--samples", "2", "--out", out]
    }

    fn samples(&self, file: &str) -> Outcome<Vec<Value>> {
        let text = std::fs::read_to_string(self.folder.path().join(file))?;
        text.lines().map(|l| Ok(serde_json::from_str(l)?)).collect()
    }
}

#[test]
fn generate_from_a_server_is_generate_and_pays_once() -> Outcome {
    let server = Server::start(&tiny(), &[], &[])?;
    let generate = Generate::new(&server, 3)?;
    let model = tiny();
    let local =
        ["--model", model.to_str().ok_or("a path")?, "--dtype", "f32", "--samples", "2", "--out", "local.jsonl"];
    assert_eq!(generate.run(&local)?.0, Some(0));

    let dry = generate.run(&[generate.asked("out.jsonl"), vec!["--dry-run", "--price-completion", "2"]].concat())?;
    assert!(dry.1.contains("{\"format\":1,\"questions\":6,\"cached\":0,\"most\":{"), "{}", dry.1);
    assert!(!generate.folder.path().join("out.jsonl").exists());
    let (code, said) = generate.run(&generate.asked("out.jsonl"))?;
    assert_eq!(code, Some(0), "{said}");
    let (ours, theirs) = (generate.samples("local.jsonl")?, generate.samples("out.jsonl")?);
    assert_eq!((ours.len(), theirs.len()), (6, 6));
    for (a, b) in ours.iter().zip(&theirs) {
        for key in ["format", "prompt-id", "index", "text", "code", "finish-reason"] {
            assert_eq!(a[key], b[key], "{key}");
        }
        let from = &b["provenance"];
        assert_eq!((&from["model"], &from["endpoint"]), (&json!("tiny"), &json!(generate.url)));
        assert_eq!(from["prompt-sha256"].as_str().map(str::len), Some(64));
        assert!(from["usage"]["completion"].as_u64() > Some(0) && from["time"].as_u64() > Some(1_700_000_000));
        assert_eq!(from["parameters"]["max_tokens"], 24);
    }
    // With the server gone, everything is at hand.
    server.signal("INT")?;
    assert_eq!(server.end()?.0, Some(0));
    std::fs::remove_file(generate.folder.path().join("out.jsonl"))?;
    let (code, said) = generate.run(&generate.asked("out.jsonl"))?;
    assert_eq!(code, Some(0), "{said}");
    let again = generate.samples("out.jsonl")?;
    assert!(again.iter().zip(&theirs).all(|(a, b)| a["text"] == b["text"] && a["provenance"]["cached"] == true));
    // Another question has no answer, in one message.
    let more = [generate.asked("other.jsonl"), vec!["--attempts", "1", "--seed", "9"]].concat();
    let (code, said) = generate.run(&more)?;
    assert_eq!(code, Some(2), "{said}");
    assert!(said.contains("6 of 6 have no answer") && said.contains("run it again"), "{said}");
    assert!(!generate.folder.path().join("other.jsonl").exists());
    Ok(())
}

#[test]
fn killed_and_started_again_it_asks_for_the_rest_alone() -> Outcome {
    let server = Server::start(&tiny(), &[], &[])?;
    let generate = Generate::new(&server, 20)?;
    let arguments = [generate.asked("out.jsonl"), vec!["--concurrency", "2"]].concat();
    let kept = || walk(&generate.folder.path().join("out.jsonl.replies"));
    let mut known = 0;
    for kill in 0..2 {
        let mut child = generate
            .command(&arguments)
            .stdout(std::process::Stdio::null())
            .stderr(std::process::Stdio::null())
            .spawn()?;
        while kept() < known + 5 && child.try_wait()?.is_none() {
            std::thread::park_timeout(std::time::Duration::from_millis(5));
        }
        child.kill()?;
        child.wait()?;
        assert!(kept() >= known + 5 && kept() < 40, "killed too late: {} of 40 are kept", kept());
        assert!(!generate.folder.path().join("out.jsonl").exists(), "half a file after kill {kill}");
        known = kept();
    }
    let (code, said) = generate.run(&generate.asked("out.jsonl"))?;
    assert_eq!(code, Some(0), "{said}");
    let samples = generate.samples("out.jsonl")?;
    let cached = samples.iter().filter(|s| s["provenance"]["cached"] == true).count();
    assert_eq!((samples.len(), cached), (40, known));
    server.signal("INT")?;
    let answered = server.end()?.1.matches(" answered: ").count();
    // What was on its way when the program died may have been answered to nobody: two at once, killed twice.
    assert!((40..=44).contains(&answered), "{answered} answers for 40 questions");
    Ok(())
}

/// Replies in a cache.
fn walk(folder: &std::path::Path) -> usize {
    let files = std::fs::read_dir(folder).into_iter().flatten().flatten();
    files
        .map(|f| {
            std::fs::read_dir(f.path()).map_or(0, |d| d.flatten().filter(|e| e.path().extension().is_some()).count())
        })
        .sum()
}
