//! Critics over a real HTTP server on loopback, scripted by the case: every step of a debate, and every way it can fail.

use lexicon::Language;
use std::{
    cell::RefCell,
    collections::BTreeMap,
    io::{BufRead, BufReader, Read, Write},
    net::{TcpListener, TcpStream},
    path::Path,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};
use writer::{
    Api, Ask, Budget, Cache, Endpoint, Error, Parameters, Prices, Question, Settings as Asked,
    code::fenced,
    critics::{Call, Case, Debated, End, Prompts, Settings, Tool, Tools, Who, debate},
};

/// Prompts by arrival, and how often each role was heard for a case.
#[derive(Default)]
struct Seen {
    prompts: Mutex<Vec<String>>,
    times: Mutex<BTreeMap<(String, &'static str), usize>>,
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

    fn prompts(&self) -> Vec<String> {
        self.seen.prompts.lock().expect("seen").clone()
    }

    fn endpoint(&self, budget: Budget, cache: Option<&Path>) -> Endpoint {
        let settings = Asked {
            url: self.url.clone(),
            model: "m".into(),
            api: Api::Chat,
            key: None,
            allow_plain_http: false,
            concurrency: 4,
            timeout: Duration::from_secs(10),
            attempts: 2,
            patience: Duration::from_millis(5),
            again: 0,
        };
        Endpoint::new(settings, budget, cache.map(Cache::new)).expect("an endpoint")
    }
}

fn serve(mut stream: TcpStream, seen: &Seen) -> Option<()> {
    let mut reader = BufReader::new(stream.try_clone().ok()?);
    loop {
        let mut length = 0;
        loop {
            let mut line = String::new();
            if reader.read_line(&mut line).ok()? == 0 {
                return None;
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
        let json: serde_json::Value = serde_json::from_slice(&body).ok()?;
        let prompt = json["messages"][0]["content"].as_str()?.to_owned();
        let role = role(&prompt);
        // Drafts are asked for by the case's name; code carries it with the version, and a summary has the task alone.
        let line_after = |mark: &str| prompt.split(mark).nth(1).and_then(|p| p.lines().next());
        let marked = line_after("# case ").or_else(|| line_after("\nthe task ")).unwrap_or(&prompt).to_owned();
        let (case, version) = marked.split_once(" v").unwrap_or((&marked, "1"));
        let time = {
            let mut times = seen.times.lock().ok()?;
            let time = times.entry((case.to_owned(), role)).or_default();
            *time += 1;
            *time
        };
        seen.prompts.lock().ok()?.push(prompt.clone());
        let said = script(case, role, version.parse().unwrap_or(1), time, &prompt);
        let http = |status: &str, body: &str| {
            format!(
                "HTTP/1.1 {status}\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
                body.len()
            )
        };
        let answer = match said {
            None => return None,
            Some("400") => http("400 Bad", "{\"error\":{\"message\":\"too long\"}}"),
            Some(text) => {
                let text = text.replace("CASE", case);
                let choice = serde_json::json!({ "message": { "content": text }, "finish_reason": "stop" });
                http("200 OK", &serde_json::json!({ "choices": [choice] }).to_string())
            }
        };
        stream.write_all(answer.as_bytes()).ok()?;
    }
}

fn role(prompt: &str) -> &'static str {
    let marks = [
        ("You review python code for security", "safety"),
        ("You review whether python code", "helpfulness"),
        ("Two reviewers looked", "summary"),
        ("Reviewers ask for these changes", "revise"),
    ];
    marks.iter().find(|(mark, _)| prompt.starts_with(mark) || prompt.contains(mark)).map_or("draft", |(_, role)| role)
}

const CONTENT: Option<&str> = Some("VERDICT: CONTENT");
const CHANGE: Option<&str> = Some("VERDICT: CHANGE\n1. Mend CASE.");

/// What the scripted model says; none is a connection that breaks.
fn script(case: &str, role: &str, version: u32, time: usize, prompt: &str) -> Option<&'static str> {
    match (case, role) {
        ("no code", "draft") => Some("I would rather talk."),
        (_, "draft") => Some("```python\n# case CASE v1\nx = 1\n```"),
        ("bad revision", "revise") => Some("I have changed it."),
        (_, "revise") => Some("Here:\n```python\n# case CASE v2\nx = 2\n```"),
        ("empty summary", "summary") => Some(""),
        (_, "summary") => Some("1. Summed up."),
        ("mend", "safety") if version == 1 && !prompt.contains("- review:") => Some("TOOL: review"),
        ("looks up", "helpfulness") if !prompt.contains("- search SQL:") => Some("TOOL: search SQL"),
        ("mend" | "empty summary" | "bad revision", "safety") if version == 1 => CHANGE,
        ("never", "safety" | "helpfulness") => CHANGE,
        ("silent", "safety") => Some("  \n"),
        ("silent once", "safety") if time == 1 => Some(""),
        ("prose", "safety") if version == 1 => Some("I do not like it at all."),
        ("asks forever", "safety") => Some("TOOL: run"),
        ("unknown tool", "safety") if !prompt.contains("no such tool") => Some("TOOL: delete all"),
        ("refused", "safety") => Some("400"),
        ("dies", "safety") => None,
        ("breaks once", "safety") if time == 1 => None,
        _ => CONTENT,
    }
}

/// Tools that say what they were asked about.
struct Scripted {
    run: bool,
    calls: RefCell<Vec<String>>,
}

impl Tools for Scripted {
    fn offered(&self, _: Language) -> Vec<&'static str> {
        if self.run { vec!["review", "search WHAT", "run"] } else { vec!["review"] }
    }

    fn answer(&self, calls: &[Call<'_>]) -> Vec<String> {
        let answer = |c: &Call<'_>| {
            self.calls.borrow_mut().push(c.tool.to_string());
            match c.tool {
                Tool::Review => "native/sql on line 1".to_owned(),
                Tool::Search(what) => format!("a lesson about {what}"),
                Tool::Run => "it runs".to_owned(),
            }
        };
        calls.iter().map(answer).collect()
    }
}

fn case(name: &str) -> Case {
    let parameters = Parameters { max_tokens: 50, ..Parameters::default() };
    let draft = Ask { question: Question::Text(name.to_owned()), parameters, sample: 0, expect: None };
    Case { name: name.into(), task: format!("the task {name}"), language: Language::Python, draft }
}

fn settings() -> Settings {
    let parameters = Parameters { max_tokens: 50, ..Parameters::default() };
    Settings { rounds: 2, tool_calls: 2, critic: parameters.clone(), actor: parameters }
}

fn run(endpoint: &Endpoint, names: &[&str], tools: &Scripted, stop: &AtomicBool) -> Vec<Result<Debated, Error>> {
    let cases: Vec<Case> = names.iter().map(|n| case(n)).collect();
    let prompts = Prompts::load(None).expect("the built-in ones");
    let mut debated: Vec<_> = names.iter().map(|_| None).collect();
    let code = |_: usize, text: &str, _: bool| fenced(text, Language::Python).ok();
    debate(&cases, endpoint, endpoint, tools, &prompts, &settings(), &code, stop, &mut |i, outcome| {
        assert!(debated[i].replace(outcome).is_none(), "case {i} ended twice");
    });
    debated.into_iter().map(|d| d.expect("every case ends")).collect()
}

fn free() -> Budget {
    Budget::new(Prices::default(), None, None).expect("no limit")
}

fn tools(run: bool) -> Scripted {
    Scripted { run, calls: RefCell::default() }
}

/// Who spoke and how it was taken, a letter each: D/R draft or revision, s/h a critic, t tool, o observation, m summary.
fn course(debated: &Debated) -> String {
    let letter = |who: Who| match who {
        Who::Actor => 'a',
        Who::Safety => 's',
        Who::Helpfulness => 'h',
        Who::Tool => 't',
        Who::Observation => 'o',
        Who::Summary => 'm',
    };
    debated.transcript.turns.iter().map(|t| letter(t.who)).collect()
}

#[test]
fn every_step_and_every_way_it_goes() {
    let server = Server::start();
    let folder = tempfile::tempdir().expect("a folder");
    let scripted = tools(true);
    // (case, turns, rounds, revisions, end)
    let cases: &[(&str, &str, u32, u32, End)] = &[
        ("agree", "ashosh", 1, 0, End::Content),
        ("mend", "astshmaosh", 1, 1, End::Content),
        ("looks up", "ashthoshth", 1, 0, End::Content),
        ("never", "ashmaoshmashmaoshma", 2, 4, End::Rounds),
        ("silent", "assh", 1, 0, End::Silent),
        ("silent once", "asshosh", 1, 0, End::Content),
        ("prose", "ashmaosh", 1, 1, End::Content),
        ("asks forever", "aststssh", 1, 0, End::Silent),
        ("unknown tool", "asshossh", 1, 0, End::Content),
        ("no code", "a", 0, 0, End::NoCode),
        ("bad revision", "ashmaoshmashmaoshma", 2, 0, End::Rounds),
        ("empty summary", "ashmaosh", 1, 1, End::Content),
        ("refused", "as", 1, 0, End::Refused),
        ("breaks once", "ashosh", 1, 0, End::Content),
    ];
    let names: Vec<&str> = cases.iter().map(|c| c.0).collect();
    let go = AtomicBool::new(false);
    let debated = run(&server.endpoint(free(), Some(folder.path())), &names, &scripted, &go);
    for ((name, turns, rounds, revisions, end), outcome) in cases.iter().zip(&debated) {
        let one = outcome.as_ref().unwrap_or_else(|e| panic!("{name}: {e}"));
        let t = &one.transcript;
        assert_eq!(
            (course(one).as_str(), t.rounds, t.revisions, t.end),
            (*turns, *rounds, *revisions, *end),
            "{name}: {t:?}"
        );
        let version = if *revisions > 0 { "v2" } else { "v1" };
        assert!(*name == "no code" || one.text.contains(&format!("# case {name} {version}")), "{name}: {}", one.text);
    }
    let calls = scripted.calls.borrow().clone();
    assert!(calls.contains(&"review".into()) && calls.contains(&"search SQL".into()), "{calls:?}");
    let taken = |case: usize, turn: usize| debated[case].as_ref().map(|d| d.transcript.turns[turn].taken.clone());
    assert_eq!(taken(1, 1), Ok("tool: review".into()));
    assert_eq!(taken(6, 1), Ok("no verdict".into()), "prose is no consent");

    // What the prompts hold: the finding, the run, the earlier round, and a critique where the summary was empty.
    let prompts = server.prompts();
    let holds = |role_of: &str, words: &[&str]| {
        prompts.iter().any(|p| role(p) == role_of && words.iter().all(|w| p.contains(w)))
    };
    assert!(holds("safety", &["- review: native/sql on line 1", "TOOL: review"]));
    assert!(holds("safety", &["When it was run: it runs", "case agree"]));
    assert!(holds("safety", &["- helpfulness, round 1: 1. Mend never."]));
    assert!(holds("helpfulness", &["The reviewer for security said:", "1. Mend mend."]));
    assert!(holds("revise", &["1. Summed up.", "case mend"]) && holds("revise", &["1. Mend empty summary."]));
    let last_call = prompts.iter().rfind(|p| p.contains("case asks forever") && role(p) == "safety").expect("asked");
    assert!(!last_call.contains("TOOL:"), "who has consulted enough is offered nothing more: {last_call}");

    // Again: the same debates, word for word, and nobody is asked.
    let before = server.prompts().len();
    let again = run(&server.endpoint(free(), Some(folder.path())), &names[..12], &tools(true), &go);
    assert_eq!((again.as_slice(), server.prompts().len()), (&debated[..12], before));

    // Where nothing can be run, content is content.
    let still = run(&server.endpoint(free(), None), &["agree"], &tools(false), &go);
    assert_eq!(still[0].as_ref().map(course), Ok("ash".into()));
}

#[test]
fn critics_that_die_cost_their_case_and_no_other() {
    let server = Server::start();
    let folder = tempfile::tempdir().expect("a folder");
    let go = AtomicBool::new(false);
    let debated = run(&server.endpoint(free(), Some(folder.path())), &["agree", "dies", "mend"], &tools(true), &go);
    assert!(debated[0].is_ok() && debated[2].is_ok());
    let said = debated[1].as_ref().expect_err("no debate").to_string();
    assert!(said.contains("no answer in 2 attempts"), "{said}");

    // A budget for some: what was finished stays, the rest says why.
    let names: Vec<String> = (0..12).map(|i| format!("case {i}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let cache = tempfile::tempdir().expect("a folder");
    let tight = Budget::new(Prices::default(), Some(4_000), None).expect("a budget");
    let debated = run(&server.endpoint(tight, Some(cache.path())), &names, &tools(false), &go);
    let errors: Vec<String> = debated.iter().filter_map(|d| d.as_ref().err().map(ToString::to_string)).collect();
    assert!(!errors.is_empty() && errors.iter().all(|e| e.contains("the budget is used up")), "{errors:?}");
    let (before, rest) =
        (server.prompts().len(), run(&server.endpoint(free(), Some(cache.path())), &names, &tools(false), &go));
    assert!(rest.iter().all(Result::is_ok));
    let asked = server.prompts().len();
    assert_eq!(
        asked,
        before + 12 * 3 - (before - count_before(&server, &names, before)),
        "what is paid is not asked again"
    );

    go.store(true, Ordering::Relaxed);
    let stopped = run(&server.endpoint(free(), None), &["agree"], &tools(true), &go);
    assert_eq!(stopped[0], Err(Error::Stopped));
    assert_eq!(server.prompts().len(), asked);
}

/// Questions of other cases among the first ones.
fn count_before(server: &Server, names: &[&str], first: usize) -> usize {
    let of = |p: &String| names.iter().any(|n| p == n || p.contains(&format!("# case {n} v")));
    server.prompts()[..first].iter().filter(|p| !of(p)).count()
}
