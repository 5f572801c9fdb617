#![cfg(feature = "web")]
//! `rampart data review` as a person meets it: in a real browser by keyboard, through the death of the program; and as a
//! hostile page in the same browser would meet it.
#![expect(clippy::disallowed_methods, reason = "these tests start the program that they test, and a browser")]

mod browser;

use browser::Browser;
use serde_json::Value;
use std::{
    fs,
    io::{BufRead, BufReader, Read, Write},
    net::TcpStream,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

type Outcome<T = ()> = Result<T, Box<dyn std::error::Error>>;

/// The program while it serves.
struct Served {
    child: Child,
    address: String,
}

impl Served {
    fn start(at: &Path, arguments: &[&str]) -> Outcome<Self> {
        let mut child = Command::new(env!("CARGO_BIN_EXE_rampart"))
            .current_dir(at)
            .args(["data", "review"])
            .args(arguments)
            .stdout(Stdio::piped())
            .spawn()?;
        let mut line = String::new();
        BufReader::new(child.stdout.take().ok_or("stdout")?).read_line(&mut line)?;
        let address = line.trim().strip_prefix("http://").ok_or("an address")?.trim_end_matches('/').to_owned();
        Ok(Self { child, address })
    }

    /// As `kill -9` does it.
    fn kill(mut self) -> Outcome {
        self.child.kill()?;
        self.child.wait()?;
        Ok(())
    }

    fn port(&self) -> &str {
        self.address.rsplit(':').next().unwrap_or_default()
    }

    /// The status and text of an answer to a request; `\n` ends lines of its head.
    fn ask(&self, head: &str, body: &str) -> Outcome<(u16, String)> {
        let mut stream = TcpStream::connect(&self.address)?;
        let length = if body.is_empty() { String::new() } else { format!("Content-Length: {}\r\n", body.len()) };
        let head = head.replace('\n', "\r\n");
        write!(stream, "{head}\r\n{length}Connection: close\r\n\r\n{body}")?;
        let mut text = String::new();
        stream.read_to_string(&mut text)?;
        let status = text.split(' ').nth(1).and_then(|s| s.parse().ok()).ok_or("a status")?;
        Ok((status, text))
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

const HOSTILE: &str = "</textarea></td><script>document.title='owned'</script>";

/// Pairs that wait for people: the rules agree with none.
fn pairs(at: &Path) -> Outcome<PathBuf> {
    let file = at.join("pairs.jsonl");
    let mut text = String::new();
    let sides = [
        (
            "def read(path):\n    return open(path).read()\n",
            "def read(path):\n    with open(path) as file:\n        return file.read()\n",
        ),
        ("def f(x):\n    return eval(x)\n", "def f(x):\n    return int(x)\n"),
        ("def g(a):\n    return a + 1\n", "def g(a):\n    return a + 2\n"),
        ("def h(a):\n    return a\n", "def h(a):\n    return b'' or a\n"),
    ];
    for (i, (insecure, secure)) in sides.iter().enumerate() {
        let row = serde_json::json!({
            "format": 1, "id": format!("row {i} {HOSTILE}"), "language": "python", "cwe": ["CWE-95"],
            "instruction": format!("Do it, {HOSTILE}"), "reasoning": HOSTILE,
            "secure": format!("{secure}# {HOSTILE}\n"), "insecure": format!("{insecure}# {HOSTILE}\n"),
            "origin": {"kind": HOSTILE, "source": "https://example.com/a.git", "licence": "MIT", "extra": {"<b>": HOSTILE}},
        });
        text += &format!("{row}\n");
    }
    fs::write(&file, text)?;
    Ok(file)
}

fn log(at: &Path) -> Outcome<Vec<Value>> {
    let text = fs::read_to_string(at.join("pairs.decisions.jsonl")).unwrap_or_default();
    Ok(text.lines().map(serde_json::from_str).collect::<Result<_, _>>()?)
}

#[test]
fn a_person_decides_by_keyboard_and_nothing_is_lost() -> Outcome {
    let Some(mut browser) = Browser::open()? else {
        eprintln!("skipped: no Chromium is here");
        return Ok(());
    };
    let folder = tempfile::tempdir()?;
    let at = folder.path();
    pairs(at)?;
    let served = Served::start(at, &["pairs.jsonl", "--port", "0"])?;
    let port = served.port().to_owned();
    browser.go(&format!("http://127.0.0.1:{port}/"))?;
    browser.until("document.querySelector('form.name') !== null")?;
    browser.write("Ada Ünal")?;
    browser.press("Enter")?;
    browser.until("location.pathname === '/item/1'")?;
    assert_eq!(browser.value("document.querySelector('.who').textContent")?, "Ada Ünal");
    // What stands in rows is text.
    assert_eq!(browser.value("document.title === 'owned' || document.querySelectorAll('script').length !== 1")?, false);
    assert_eq!(browser.value("document.querySelector('.instruction').textContent")?, format!("Do it, {HOSTILE}"));
    assert_eq!(
        browser.value("document.querySelector('textarea[name=secure]').value.endsWith('</script>\\n')")?,
        true,
        "a row's text is in its field whole"
    );
    browser.picture(&Path::new(env!("CARGO_TARGET_TMPDIR")).join("review.png"))?;

    browser.press("a")?;
    browser.until("location.pathname === '/item/2'")?;
    // A rejection asks for its reason.
    browser.press("r")?;
    browser.until("document.activeElement.name === 'reason'")?;
    browser.write("not what was asked")?;
    browser.press("Enter")?;
    browser.until("location.pathname === '/item/3'")?;
    let kept = log(at)?;
    let told: Vec<_> =
        kept.iter().map(|d| (d["verdict"].as_str(), d["reviewer"].as_str(), d["reason"].as_str())).collect();
    let ada = Some("Ada Ünal");
    assert_eq!(told, [(Some("accept"), ada, None), (Some("reject"), ada, Some("not what was asked"))]);

    // The program dies while something is typed. It stays in the page, and in the browser.
    browser.press("f")?;
    browser.until("document.activeElement.name === 'secure'")?;
    browser.run("document.activeElement.select()")?;
    browser.write("def g(a):\n    return a + 3\n")?;
    served.kill()?;
    let served = Served::start(at, &["pairs.jsonl", "--port", &port])?;
    browser.press("Control+Enter")?;
    browser.until("document.querySelector('.error')?.textContent.includes('started again')")?;
    assert_eq!(log(at)?.len(), 2, "a form of an earlier run is not taken unasked");
    assert_eq!(
        browser.value("document.querySelector('textarea[name=secure]').value")?,
        "def g(a):\n    return a + 3\n"
    );
    // Not even closing the page loses it.
    browser.go("about:blank")?;
    browser.go(&format!("http://127.0.0.1:{port}/item/3"))?;
    browser.until("document.querySelector('textarea[name=secure]')?.value.includes('a + 3')")?;
    browser.run("document.querySelector('textarea[name=secure]').focus()")?;
    browser.press("Control+Enter")?;
    browser.until("location.pathname === '/item/4'")?;
    assert_eq!(log(at)?[2]["fixed"]["secure"], "def g(a):\n    return a + 3\n");
    // A fix that does not parse is said, and kept in the page.
    browser.press("f")?;
    browser.run("document.activeElement.select()")?;
    browser.write("def h(:\n")?;
    browser.press("Control+Enter")?;
    browser.until("document.querySelector('.error')?.textContent.includes('does not parse')")?;
    assert_eq!(browser.value("document.querySelector('textarea[name=secure]').value")?, "def h(:\n");
    browser.press("Escape")?;
    browser.press("a")?;
    browser.until("location.pathname === '/done'")?;
    // A mind may be changed: back to the second row, which shows what was said.
    browser.go(&format!("http://127.0.0.1:{port}/item/1"))?;
    browser.until("document.querySelector('.decided.accept') !== null")?;
    browser.press("j")?;
    browser.until("location.pathname === '/item/2' && document.querySelector('.decided.reject') !== null")?;
    browser.press("a")?;
    browser.until("location.pathname === '/done'")?;
    drop(served);
    let done = Command::new(env!("CARGO_BIN_EXE_rampart"))
        .current_dir(at)
        .args(["data", "review", "pairs.jsonl", "--out", "taken.jsonl", "--output-format", "json"])
        .output()?;
    let answer: Value = serde_json::from_slice(&done.stdout)?;
    assert_eq!((&answer["taken"], &answer["rejected"], &answer["open"]), (&4.into(), &0.into(), &0.into()), "{answer}");
    let taken = fs::read_to_string(at.join("taken.jsonl"))?;
    assert!(taken.contains("a + 3") && taken.contains("review: Ada Ünal"), "{taken}");
    Ok(())
}

#[test]
fn others_are_refused_and_two_are_compared() -> Outcome {
    let folder = tempfile::tempdir()?;
    let at = folder.path();
    pairs(at)?;
    // Half a line of a process that died.
    fs::write(at.join("pairs.decisions.jsonl"), "{\"format\":1,\"time\":1,\"revi")?;
    let served = Served::start(at, &["pairs.jsonl", "--port", "0", "--reviewer", "Bo"])?;
    let host = served.address.clone();
    let get = |path: &str, host: &str| served.ask(&format!("GET {path} HTTP/1.1\nHost: {host}"), "");
    let (status, page) = get("/item/1", &host)?;
    assert_eq!(status, 200);
    for policy in ["default-src 'none'", "frame-ancestors 'none'", "nosniff", "no-store"] {
        assert!(page.contains(policy), "{page}");
    }
    let part = |name: &str| -> Outcome<String> {
        let from = page.split(&format!("name=\"{name}\" value=\"")).nth(1).ok_or("a field")?;
        Ok(from.split('"').next().unwrap_or_default().to_owned())
    };
    let (token, content) = (part("token")?, part("content")?);
    let post = |more: &str, token: &str, verdict: &str| {
        let body = format!("token={token}&content={content}&verdict={verdict}&reason=because");
        let head =
            format!("POST /item/1 HTTP/1.1\nHost: {host}\nContent-Type: application/x-www-form-urlencoded{more}");
        served.ask(&head, &body)
    };
    for (what, outcome, expect) in [
        ("another name", get("/item/1", "evil.example")?, 403),
        ("another name for a form", served.ask("POST /item/1 HTTP/1.1\nHost: evil.example", "token=x")?, 403),
        ("another origin", post("\nOrigin: http://evil.example", &token, "accept")?, 403),
        ("a sandboxed frame", post("\nOrigin: null", &token, "accept")?, 403),
        ("no token", post("", "", "accept")?, 422),
        ("a wrong token", post("", &"0".repeat(64), "accept")?, 422),
        ("no verdict", post("", &token, "perhaps")?, 422),
        ("no row", get("/item/5", &host)?, 404),
        ("no number", get("/item/..%2f", &host)?, 404),
        ("no page", get("/etc/passwd", &host)?, 404),
        ("a form as a page", served.ask(&format!("DELETE /item/1 HTTP/1.1\nHost: {host}"), "")?, 405),
    ] {
        assert_eq!(outcome.0, expect, "{what}: {}", outcome.1);
    }
    let lines = |n: usize| -> Outcome {
        let text = fs::read_to_string(at.join("pairs.decisions.jsonl"))?;
        assert_eq!(text.lines().count(), n + 1, "{text}");
        Ok(())
    };
    lines(0)?;
    assert_eq!(post(&format!("\nOrigin: http://{host}\nSec-Fetch-Site: same-origin"), &token, "accept")?.0, 303);
    // Sent twice it is one decision; another person's is another.
    assert_eq!(post("", &token, "accept")?.0, 303);
    lines(1)?;
    // Nobody sees what another has said before they have said something.
    let (_, seen) = served.ask(&format!("GET /item/1 HTTP/1.1\nHost: {host}\nCookie: rampart-reviewer=Cy"), "")?;
    assert!(!seen.contains("accepted it"), "{seen}");
    assert_eq!(post("\nCookie: a=b; rampart-reviewer=Cy", &token, "reject")?.0, 303);
    lines(2)?;
    let (_, figures) = served.ask(&format!("GET /done HTTP/1.1\nHost: {host}"), "")?;
    assert!(figures.contains("Bo and Cy: 0 of 1 alike, kappa 0.00"), "{figures}");
    // Only one process may write the log.
    let second = Command::new(env!("CARGO_BIN_EXE_rampart"))
        .current_dir(at)
        .args(["data", "review", "pairs.jsonl", "--port", "0"])
        .output()?;
    let said = String::from_utf8_lossy(&second.stderr);
    assert!(second.status.code() == Some(2) && said.contains("is in use"), "{said}");
    drop(served);
    for (arguments, expect) in [
        (["absent.jsonl", "--port", "0"], "cannot read absent.jsonl"),
        (["pairs.jsonl", "--reviewer", " "], "a name has one to sixty characters"),
        (["pairs.decisions.jsonl", "--port", "0"], "neither review rows nor pairs"),
    ] {
        let done = Command::new(env!("CARGO_BIN_EXE_rampart"))
            .current_dir(at)
            .args(["data", "review"])
            .args(arguments)
            .output()?;
        let said = String::from_utf8_lossy(&done.stderr);
        assert!(done.status.code() == Some(2) && said.contains(expect), "{arguments:?}: {said}");
    }
    Ok(())
}
