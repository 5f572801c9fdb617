//! An endpoint that misbehaves in every way that is met: a real HTTP server on loopback, scripted by the prompt.

use lexicon::{FinishReason, Language};
use std::{
    collections::BTreeMap,
    io::{BufRead, BufReader, Read, Write},
    net::{TcpListener, TcpStream},
    path::Path,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};
use writer::{
    Api, Ask, Budget, Cache, Endpoint, Error, Key, Message, Parameters, Prices, Question, Reply, Settings, Writer,
    code::{Expect, Unusable},
};

const SECRET: &str = "sk-very-secret";

/// What arrived: the head and the body of each request, and how many were on their way at once.
#[derive(Default)]
struct Seen {
    requests: Mutex<Vec<(String, String)>>,
    now: AtomicUsize,
    most: AtomicUsize,
    by_prompt: Mutex<BTreeMap<String, usize>>,
}

struct Server {
    url: String,
    seen: Arc<Seen>,
}

impl Server {
    fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let url = format!("http://{}/v1", listener.local_addr().expect("an address"));
        let seen = Arc::new(Seen::default());
        let shared = Arc::clone(&seen);
        // Ends with the test's process.
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let seen = Arc::clone(&shared);
                std::thread::spawn(move || serve(stream, &seen));
            }
        });
        Self { url, seen }
    }

    fn count(&self) -> usize {
        self.seen.requests.lock().expect("seen").len()
    }

    fn endpoint(&self, change: impl FnOnce(&mut Settings), budget: Budget, cache: Option<&Path>) -> Endpoint {
        let mut settings = Settings {
            url: self.url.clone(),
            model: "m".into(),
            api: Api::Chat,
            key: Some(Key::new(SECRET).expect("a key")),
            allow_plain_http: false,
            concurrency: 4,
            timeout: Duration::from_secs(2),
            attempts: 4,
            patience: Duration::from_millis(20),
            again: 0,
        };
        change(&mut settings);
        Endpoint::new(settings, budget, cache.map(Cache::new)).expect("an endpoint")
    }
}

fn free() -> Budget {
    Budget::new(Prices::default(), None, None).expect("no limit")
}

fn ok(text: &str) -> String {
    let json = serde_json::json!({
        "model": "m-2026",
        "choices": [{ "message": { "role": "assistant", "content": text }, "text": text, "finish_reason": "stop" }],
        "usage": { "prompt_tokens": 10, "completion_tokens": 5 },
    });
    http("200 OK", "", &json.to_string())
}

fn http(status: &str, headers: &str, body: &str) -> String {
    format!(
        "HTTP/1.1 {status}\r\ncontent-type: application/json\r\ncontent-length: {}\r\n{headers}\r\n{body}",
        body.len()
    )
}

fn serve(mut stream: TcpStream, seen: &Seen) {
    let mut reader = BufReader::new(stream.try_clone().expect("a stream"));
    loop {
        let (mut head, mut length) = (String::new(), 0);
        loop {
            let mut line = String::new();
            if reader.read_line(&mut line).unwrap_or(0) == 0 {
                return;
            }
            if let Some(n) = line.to_ascii_lowercase().strip_prefix("content-length:") {
                length = n.trim().parse().unwrap_or(0);
            }
            if line.trim().is_empty() {
                break;
            }
            head.push_str(&line);
        }
        let mut body = vec![0; length];
        reader.read_exact(&mut body).expect("a body");
        let body = String::from_utf8(body).expect("text");
        let json: serde_json::Value = serde_json::from_str(&body).expect("JSON");
        let prompt = json["messages"][0]["content"].as_str().or(json["prompt"].as_str()).unwrap_or("").to_owned();
        seen.requests.lock().expect("seen").push((head, body));
        let time = {
            let mut by_prompt = seen.by_prompt.lock().expect("seen");
            let time = by_prompt.entry(prompt.clone()).or_default();
            *time += 1;
            *time
        };
        seen.most.fetch_max(seen.now.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
        let first = time == 1;
        let (answer, close) = match prompt.as_str() {
            "busy" if first => (http("429 Too Many Requests", "retry-after: 1\r\n", "{}"), false),
            "broken" if time < 3 => (http("500 Oops", "", "<html>"), false),
            "slow" if first => {
                std::thread::park_timeout(Duration::from_secs(5));
                (ok("late"), true)
            }
            "cut" if first => (ok("whole")[..120].to_owned(), true),
            "hangs up" if first => (String::new(), true),
            "not json" if first => (http("200 OK", "", "{\"choices\": [{"), false),
            "no answer" if first => (http("200 OK", "", "{\"choices\": []}"), false),
            "never" => (http("503 Down", "", "{\"error\":\"down\"}"), false),
            "bad" => (http("400 Bad", "", "{\"error\":{\"message\":\"too long\"}}"), false),
            "wrong key" => {
                let echo = format!("{{\"error\":{{\"message\":\"wrong key {SECRET}\"}}}}");
                (http("401 No", "", &echo), false)
            }
            "no money" => {
                (http("429 X", "", "{\"error\":{\"message\":\"pay\",\"code\":\"insufficient_quota\"}}"), false)
            }
            "moved" => (http("307 There", "location: http://127.0.0.1:1/\r\n", ""), false),
            "parrot" => (ok(&format!("```python\nkey = '{SECRET}'\n```")), false),
            "no fence" if first => (ok("x = 1"), false),
            "empty fence" if first => (ok("```python\n```"), false),
            "javascript" if first => (ok("```javascript\nlet x\n```"), false),
            "prose" => (ok("I would rather talk."), false),
            _ => {
                std::thread::park_timeout(Duration::from_millis(20));
                (ok("```python\nx = 1\n```"), false)
            }
        };
        seen.now.fetch_sub(1, Ordering::SeqCst);
        if stream.write_all(answer.as_bytes()).is_err() || close {
            return;
        }
    }
}

fn ask(prompt: &str, expect: bool) -> Ask {
    Ask {
        question: Question::Text(prompt.into()),
        parameters: Parameters { max_tokens: 20, ..Parameters::default() },
        sample: 0,
        expect: expect.then_some(Expect { language: Language::Python }),
    }
}

fn write(endpoint: &Endpoint, asks: &[Ask]) -> Vec<Result<Reply, Error>> {
    let mut replies: Vec<_> = asks.iter().map(|_| None).collect();
    endpoint.write(asks, &AtomicBool::new(false), &mut |i, reply| {
        assert!(replies[i].replace(reply).is_none(), "question {i} was answered twice");
    });
    replies.into_iter().map(|r| r.expect("every question is answered")).collect()
}

#[test]
fn what_passes_is_tried_again() {
    let server = Server::start();
    let endpoint = server.endpoint(|s| s.concurrency = 8, free(), None);
    // (prompt, attempts until an answer)
    let cases = [
        ("fine", 1),
        ("busy", 2),
        ("broken", 3),
        ("slow", 2),
        ("cut", 2),
        ("hangs up", 2),
        ("not json", 2),
        ("no answer", 2),
    ];
    let asks: Vec<Ask> = cases.iter().map(|(prompt, _)| ask(prompt, true)).collect();
    let started = Instant::now();
    for ((prompt, attempts), reply) in cases.iter().zip(write(&endpoint, &asks)) {
        let reply = reply.unwrap_or_else(|e| panic!("{prompt}: {e}"));
        assert_eq!(reply.code.as_deref(), Some("x = 1\n"), "{prompt}");
        assert_eq!((reply.provenance.attempts, reply.finish), (*attempts, FinishReason::Stop), "{prompt}");
        assert_eq!(reply.provenance.answered_by.as_deref(), Some("m-2026"));
        assert!(reply.provenance.time > 1_700_000_000 && !reply.provenance.cached);
    }
    assert!(started.elapsed() >= Duration::from_secs(1), "the other side's wish to wait is granted");
    // What was sent and not answered may be billed: slow, cut, hangs up, not JSON, no answer.
    let spent = endpoint.spent();
    assert_eq!(spent.completion_tokens, 8 * 5 + 5 * 20, "{spent:?}");
}

#[test]
fn what_will_not_pass_is_not_tried_again() {
    let server = Server::start();
    let check = |prompt: &str, expect: &str, requests: usize| {
        let before = server.count();
        let endpoint = server.endpoint(|s| s.concurrency = 1, free(), None);
        let asks = [ask(prompt, false), ask("fine", false)];
        let replies = write(&endpoint, &asks);
        let said = replies[0].as_ref().expect_err("no answer").to_string();
        assert!(said.contains(expect) && !said.contains(SECRET), "{prompt}: {said}");
        assert_eq!(server.count() - before, requests, "{prompt}");
        replies[1].is_ok()
    };
    assert!(check("never", "no answer in 4 attempts, the last: 503 down", 5));
    assert!(check("bad", "400 too long", 2), "another question may be answered");
    assert!(!check("wrong key", "401 wrong key [key]: look at the key", 1), "no question will be answered");
    assert!(!check("no money", "429 pay", 1));
    assert!(!check("moved", "307 it sends elsewhere", 1));
}

#[test]
fn a_dead_endpoint_is_not_waited_for_a_thousand_times() {
    let server = Server::start();
    let folder = tempfile::tempdir().expect("a folder");
    let mut asks = vec![ask("fine", false)];
    asks.extend((0..200).map(|i| Ask { sample: i, ..ask("never", false) }));
    let endpoint = server.endpoint(|s| s.concurrency = 2, free(), Some(folder.path()));
    let replies = write(&endpoint, &asks);
    assert!(replies[0].is_ok(), "what came before stays");
    let said = replies[200].as_ref().expect_err("no answer").to_string();
    assert!(said.contains("no answer in 4 attempts, the last: 503 down"), "{said}");
    assert!(server.count() < 1 + 6 * 4, "{} requests", server.count());
}

#[test]
fn answers_without_code_are_asked_for_anew() {
    let server = Server::start();
    let folder = tempfile::tempdir().expect("a folder");
    let run = || {
        let endpoint = server.endpoint(|s| s.again = 2, free(), Some(folder.path()));
        let prompts = ["no fence", "empty fence", "javascript", "prose"];
        write(&endpoint, &prompts.map(|p| ask(p, true)))
    };
    let replies = run();
    for reply in &replies[..3] {
        let reply = reply.as_ref().expect("the second answer");
        assert_eq!((reply.code.as_deref(), reply.provenance.attempts), (Some("x = 1\n"), 2));
        assert!(reply.provenance.parameters["seed"].as_u64() > Some(1 << 39), "with another seed");
    }
    assert_eq!(replies[3], Err(Error::Unusable { answers: 3, why: Unusable::NoFence }));
    let asked = server.count();
    assert_eq!(asked, 3 * 2 + 3);
    // A restart finds every answer, the bad ones too.
    let replies = run();
    assert!(replies[..3].iter().all(|r| r.as_ref().is_ok_and(|r| r.provenance.cached)));
    assert_eq!((server.count(), replies[3].is_err()), (asked, true));
}

#[test]
fn nothing_is_paid_twice() {
    let server = Server::start();
    let folder = tempfile::tempdir().expect("a folder");
    let prices = || Budget::new(Prices { prompt: 1.0, completion: 2.0 }, None, None).expect("prices");
    let mut asks: Vec<Ask> = (0..10).map(|i| ask(&format!("question {i}"), false)).collect();
    asks.push(Ask { sample: 1, ..ask("question 0", false) });
    let endpoint = server.endpoint(|_| {}, prices(), Some(folder.path()));
    let estimate = endpoint.estimate(&asks);
    assert_eq!((estimate.questions, estimate.cached, estimate.most.completion_tokens), (11, 0, 220));
    assert!(estimate.most.cost > 0.0 && server.count() == 0, "an estimate asks nothing");

    // Stopped in the middle, as by Ctrl-C.
    let (stop, mut answered) = (AtomicBool::new(false), 0);
    let slow = server.endpoint(|s| s.concurrency = 1, prices(), Some(folder.path()));
    slow.write(&asks, &stop, &mut |_, reply| match reply {
        Ok(_) => {
            answered += 1;
            stop.store(answered >= 4, Ordering::SeqCst);
        }
        Err(error) => assert_eq!(error, Error::Stopped),
    });
    assert!((4..11).contains(&answered) && server.count() == answered, "{answered}");
    assert_eq!(endpoint.estimate(&asks).cached, answered);

    let replies = write(&endpoint, &asks);
    assert!(replies.iter().all(Result::is_ok));
    assert_eq!(server.count(), 11, "each question once");
    let spent = endpoint.spent();
    assert_eq!(spent.tokens(), 15 * (11 - answered as u64), "what was at hand is free");
    assert!(write(&endpoint, &asks).iter().all(|r| r.as_ref().is_ok_and(|r| r.provenance.cached)));
    assert_eq!((server.count(), endpoint.estimate(&asks).cached), (11, 11));
}

#[test]
fn budgets_hold() {
    let server = Server::start();
    let asks: Vec<Ask> = (0..30).map(|i| ask(&format!("q {i:02}"), false)).collect();
    // A question sets 18 + 20 tokens aside and uses 15.
    let endpoint = server.endpoint(|_| {}, Budget::new(Prices::default(), Some(200), None).expect("a budget"), None);
    let replies = write(&endpoint, &asks);
    let answered = replies.iter().filter(|r| r.is_ok()).count();
    assert!((5..=13).contains(&answered) && answered == server.count(), "{answered}");
    assert!(endpoint.spent().tokens() <= 200);
    let said = replies.iter().find_map(|r| r.as_ref().err()).expect("a refusal").to_string();
    assert!(said.contains("the budget is used up") && said.contains("of 200 tokens"), "{said}");
}

#[test]
fn few_at_once_and_the_key_in_the_header_alone() {
    let server = Server::start();
    let folder = tempfile::tempdir().expect("a folder");
    let endpoint = server.endpoint(|s| s.concurrency = 3, free(), Some(folder.path()));
    let mut asks: Vec<Ask> = (0..24).map(|i| ask(&format!("q {i}"), false)).collect();
    asks.push(ask("parrot", true));
    let replies = write(&endpoint, &asks);
    let most = server.seen.most.load(Ordering::SeqCst);
    assert!((2..=3).contains(&most), "{most} at once");
    assert_eq!(replies[24].as_ref().expect("an answer").code.as_deref(), Some("key = '[key]'\n"));
    for (head, body) in server.seen.requests.lock().expect("seen").iter() {
        assert!(head.contains(&format!("Bearer {SECRET}")), "{head}");
        assert!(!body.contains(SECRET));
    }
    let mut files = 0;
    for folder in std::fs::read_dir(folder.path()).expect("a cache").flatten() {
        for file in std::fs::read_dir(folder.path()).expect("a folder").flatten() {
            files += 1;
            assert!(!std::fs::read_to_string(file.path()).expect("a reply").contains(SECRET));
        }
    }
    assert_eq!(files, 25);
    assert!(!format!("{replies:?}").contains(SECRET));
}

#[test]
fn both_apis_and_their_settings() {
    let server = Server::start();
    let parameters =
        Parameters { max_tokens: 7, temperature: 0.5, top_p: 0.9, top_k: 5, stop: vec!["\n".into()], seed: 3 };
    let text = Ask { parameters, sample: 2, ..ask("x", false) };
    let talk = vec![
        Message { role: "system".into(), content: "s".into() },
        Message { role: "user".into(), content: "u".into() },
    ];
    let talk = Ask { question: Question::Talk(talk), ..ask("", false) };
    for api in [Api::Completions, Api::Chat] {
        let endpoint = server.endpoint(|s| s.api = api, free(), None);
        let replies = write(&endpoint, &[text.clone(), talk.clone()]);
        assert!(replies[0].is_ok());
        assert_eq!(replies[1].is_ok(), api == Api::Chat);
    }
    let requests = server.seen.requests.lock().expect("seen");
    let sent: Vec<serde_json::Value> = requests.iter().map(|(_, b)| serde_json::from_str(b).expect("JSON")).collect();
    assert!(requests[0].0.starts_with("POST /v1/completions ") && sent[0]["prompt"] == "x");
    let settings = serde_json::json!({ "max_tokens": 7, "temperature": 0.5, "top_p": 0.9, "top_k": 5, "stop": ["\n"], "seed": 5, "model": "m" });
    for (key, value) in settings.as_object().expect("settings") {
        assert_eq!(sent[0][key], *value, "{key}");
    }
    let chats: Vec<_> = sent.iter().filter(|s| s["messages"].is_array()).collect();
    assert_eq!(chats.len(), 2);
    assert!(chats.iter().any(|c| c["messages"][0]["role"] == "system" && c["messages"][1]["content"] == "u"));
}

#[test]
fn addresses_that_are_none_and_keys_in_the_open() {
    let settings = |url: &str| Settings {
        url: url.into(),
        model: "m".into(),
        api: Api::Chat,
        key: Some(Key::new(SECRET).expect("a key")),
        allow_plain_http: false,
        concurrency: 1,
        timeout: Duration::from_secs(1),
        attempts: 1,
        patience: Duration::ZERO,
        again: 0,
    };
    let cases = [
        ("https://api.example.com/v1", ""),
        ("http://localhost:8000/v1/", ""),
        ("http://api.example.com/v1", "everybody on the way could read the key"),
        ("https://me:pass@api.example.com/v1", "name or password"),
        ("api.example.com/v1", "is not an address"),
        ("ftp://api.example.com/v1", "is not an address"),
        ("http://", "is not an address"),
        ("", "is not an address"),
    ];
    for (url, expect) in cases {
        match Endpoint::new(settings(url), free(), None) {
            Ok(_) => assert_eq!(expect, "", "{url} was taken"),
            Err(error) => assert!(!expect.is_empty() && error.to_string().contains(expect), "{url}: {error}"),
        }
    }
    assert!(Endpoint::new(Settings { concurrency: 0, ..settings("http://localhost/v1") }, free(), None).is_err());
    // Nobody listens: an answer in time, not a hang.
    let nobody = Endpoint::new(settings("http://127.0.0.1:9/v1"), free(), None).expect("an endpoint");
    let said = write(&nobody, &[ask("x", false)]).remove(0).expect_err("nobody").to_string();
    assert!(said.contains("no answer in 1 attempts"), "{said}");
    assert_eq!(nobody.spent().tokens(), 0, "what was never sent costs nothing");
}
