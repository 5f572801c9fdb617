//! Chromium without a window, spoken to over two pipes in the DevTools protocol.

use serde_json::{Value, json};
use std::{
    io::{BufRead, BufReader, Write},
    path::{Path, PathBuf},
    process::{Child, ChildStdin, Command, Stdio},
    sync::mpsc::{Receiver, channel},
    thread,
    time::{Duration, Instant},
};

type Outcome<T = ()> = Result<T, Box<dyn std::error::Error>>;

/// How long a page may take.
const PATIENCE: Duration = Duration::from_secs(40);

pub(crate) struct Browser {
    child: Child,
    to: ChildStdin,
    from: Receiver<Value>,
    number: u64,
    session: Option<String>,
    _folder: tempfile::TempDir,
}

impl Browser {
    /// A browser with an empty page; none where no Chromium is installed.
    pub(crate) fn open() -> Outcome<Option<Self>> {
        let path = std::env::var_os("PATH").unwrap_or_default();
        let names = ["chromium", "chromium-browser", "google-chrome", "google-chrome-stable"];
        let found = std::env::split_paths(&path).flat_map(|f| names.map(|n| f.join(n))).find(|p: &PathBuf| p.is_file());
        let Some(program) = found else { return Ok(None) };
        let folder = tempfile::tempdir()?;
        // It reads descriptor 3 and writes descriptor 4.
        let mut child = Command::new("sh")
            .args(["-c", "exec \"$0\" \"$@\" 3<&0 4>&1 </dev/null >/dev/null 2>/dev/null"])
            .arg(program)
            .args(["--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking", "--no-first-run"])
            .args(["--disable-dev-shm-usage", "--window-size=1280,1000", "--remote-debugging-pipe"])
            .arg(format!("--user-data-dir={}", folder.path().display()))
            .arg("about:blank")
            .env("HOME", folder.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let to = child.stdin.take().ok_or("stdin")?;
        let mut answers = BufReader::new(child.stdout.take().ok_or("stdout")?);
        let (send, from) = channel();
        thread::spawn(move || {
            let mut bytes = Vec::new();
            while answers.read_until(0, &mut bytes).is_ok_and(|n| n > 0) {
                bytes.pop();
                let Ok(value) = serde_json::from_slice(&bytes) else { break };
                if send.send(value).is_err() {
                    break;
                }
                bytes.clear();
            }
        });
        let mut browser = Self { child, to, from, number: 0, session: None, _folder: folder };
        let target = browser.call("Target.createTarget", &json!({ "url": "about:blank" }))?;
        let target = json!({ "targetId": target["targetId"], "flatten": true });
        let session = browser.call("Target.attachToTarget", &target)?;
        browser.session = session["sessionId"].as_str().map(str::to_owned);
        browser.call("Page.enable", &json!({}))?;
        Ok(Some(browser))
    }

    fn call(&mut self, method: &str, parameters: &Value) -> Outcome<Value> {
        self.number += 1;
        let mut message = json!({ "id": self.number, "method": method, "params": parameters });
        if let Some(session) = &self.session {
            message["sessionId"] = session.as_str().into();
        }
        self.to.write_all(message.to_string().as_bytes())?;
        self.to.write_all(&[0])?;
        self.to.flush()?;
        let end = Instant::now() + PATIENCE;
        loop {
            let mut answer = self.from.recv_timeout(end.saturating_duration_since(Instant::now()))?;
            if answer["id"] == self.number {
                let error = &answer["error"];
                return if error.is_null() {
                    Ok(answer["result"].take())
                } else {
                    Err(format!("{method}: {error}").into())
                };
            }
        }
    }

    pub(crate) fn go(&mut self, address: &str) -> Outcome {
        let done = self.call("Page.navigate", &json!({ "url": address }))?;
        assert!(done["errorText"].is_null(), "{address}: {done}");
        self.until("document.readyState === 'complete'")
    }

    /// The value of an expression in the page.
    pub(crate) fn value(&mut self, expression: &str) -> Outcome<Value> {
        let mut done = self.call("Runtime.evaluate", &json!({ "expression": expression, "returnByValue": true }))?;
        assert!(done["exceptionDetails"].is_null(), "{expression}: {done}");
        Ok(done["result"]["value"].take())
    }

    pub(crate) fn run(&mut self, statement: &str) -> Outcome {
        self.value(&format!("void ({statement})")).map(drop)
    }

    /// Waits until an expression is true. A page that is left in the meantime is asked again.
    pub(crate) fn until(&mut self, expression: &str) -> Outcome {
        let end = Instant::now() + PATIENCE;
        while Instant::now() < end {
            let whole = format!("document.readyState === 'complete' && ({expression})");
            let asked = self.call("Runtime.evaluate", &json!({ "expression": whole, "returnByValue": true }));
            if asked.is_ok_and(|a| a["result"]["value"] == true) {
                return Ok(());
            }
            thread::sleep(Duration::from_millis(20));
        }
        let page = self.value("location.href + ' ' + document.body.innerText")?;
        Err(format!("never came true: {expression}; the page: {page}").into())
    }

    /// Presses a key as a person does: `a`, `Enter`, `Control+Enter`.
    pub(crate) fn press(&mut self, name: &str) -> Outcome {
        let (modifiers, key) = name.strip_prefix("Control+").map_or((0, name), |key| (2, key));
        let (code, number, text) = match key {
            "Enter" => ("Enter".to_owned(), 13, "\r".to_owned()),
            "Escape" => ("Escape".to_owned(), 27, String::new()),
            letter => {
                let upper = letter.to_ascii_uppercase();
                (format!("Key{upper}"), u32::from(upper.as_bytes()[0]), letter.to_owned())
            }
        };
        for kind in ["keyDown", "keyUp"] {
            let mut event = json!({
                "type": kind, "key": key, "code": code, "windowsVirtualKeyCode": number, "modifiers": modifiers,
            });
            if kind == "keyDown" && !text.is_empty() && modifiers == 0 {
                event["text"] = text.as_str().into();
            }
            self.call("Input.dispatchKeyEvent", &event)?;
        }
        Ok(())
    }

    /// Writes a text where the cursor stands.
    pub(crate) fn write(&mut self, text: &str) -> Outcome {
        self.call("Input.insertText", &json!({ "text": text })).map(drop)
    }

    /// Keeps a picture of the page.
    pub(crate) fn picture(&mut self, file: &Path) -> Outcome {
        let shot = self.call("Page.captureScreenshot", &json!({ "format": "png" }))?;
        let text = shot["data"].as_str().ok_or("a picture")?;
        let (mut bytes, mut bits, mut held) = (Vec::with_capacity(text.len()), 0u32, 0);
        for c in text.bytes() {
            let six = match c {
                b'A'..=b'Z' => c - b'A',
                b'a'..=b'z' => c - b'a' + 26,
                b'0'..=b'9' => c - b'0' + 52,
                b'+' => 62,
                b'/' => 63,
                _ => continue,
            };
            (bits, held) = ((bits << 6) | u32::from(six), held + 6);
            if held >= 8 {
                held -= 8;
                bytes.push((bits >> held) as u8);
                bits &= (1 << held) - 1;
            }
        }
        Ok(std::fs::write(file, bytes)?)
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
