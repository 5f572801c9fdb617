//! The server as a process, and a client that speaks HTTP by hand: what a library would mend must be seen here.

use serde_json::Value;
use std::{
    io::{BufRead, BufReader, Read, Write},
    net::TcpStream,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::Duration,
};

pub(crate) type Outcome<T = ()> = Result<T, Box<dyn std::error::Error>>;

pub(crate) fn tiny() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../models/tiny")
}

/// A folder that is models/tiny with a chat template.
pub(crate) fn with_template(template: &str) -> Outcome<tempfile::TempDir> {
    let folder = tempfile::tempdir()?;
    for file in ["config.json", "model.safetensors", "tokenizer.json"] {
        std::os::unix::fs::symlink(tiny().canonicalize()?.join(file), folder.path().join(file))?;
    }
    let config = serde_json::json!({ "eos_token": "<|endoftext|>", "chat_template": template });
    std::fs::write(folder.path().join("tokenizer_config.json"), config.to_string())?;
    Ok(folder)
}

pub(crate) struct Server {
    child: Child,
    pub(crate) address: String,
}

impl Server {
    /// Starts `rampart serve` on a free port and waits until it listens.
    pub(crate) fn start(model: &Path, arguments: &[&str], environment: &[(&str, &str)]) -> Outcome<Self> {
        let mut child = Command::new(env!("CARGO_BIN_EXE_rampart"))
            .args(["serve", "--port", "0", "--dtype", "f32", "--model"])
            .arg(model)
            .args(arguments)
            .env_remove("RAMPART_API_KEY")
            .envs(environment.iter().copied())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()?;
        let mut line = String::new();
        BufReader::new(child.stdout.take().ok_or("stdout")?).read_line(&mut line)?;
        let address = line.trim().strip_prefix("http://").and_then(|a| a.strip_suffix("/v1")).map(str::to_owned);
        match address {
            Some(address) => Ok(Self { child, address }),
            None => {
                let out = child.wait_with_output()?;
                Err(format!("{}: {}", out.status, String::from_utf8_lossy(&out.stderr)).into())
            }
        }
    }

    /// Sends a signal by name.
    pub(crate) fn signal(&self, name: &str) -> Outcome {
        let sent = Command::new("kill").args([&format!("-{name}"), &self.child.id().to_string()]).status()?;
        if sent.success() { Ok(()) } else { Err("kill failed".into()) }
    }

    /// Waits for the end: the exit code and all it said.
    pub(crate) fn end(mut self) -> Outcome<(Option<i32>, String)> {
        let mut said = String::new();
        if let Some(mut stderr) = self.child.stderr.take() {
            stderr.read_to_string(&mut said)?;
        }
        Ok((self.child.wait()?.code(), said))
    }

    pub(crate) fn connect(&self) -> Outcome<TcpStream> {
        let stream = TcpStream::connect(&self.address)?;
        stream.set_read_timeout(Some(Duration::from_secs(120)))?;
        Ok(stream)
    }

    /// Sends a request and returns the connection.
    pub(crate) fn send(&self, method: &str, path: &str, headers: &[&str], body: &str) -> Outcome<TcpStream> {
        let mut stream = self.connect()?;
        let mut head = format!("{method} {path} HTTP/1.1\r\nconnection: close\r\ncontent-length: {}\r\n", body.len());
        if !headers.iter().any(|h| h.starts_with("host:")) {
            head += &format!("host: {}\r\n", self.address);
        }
        for header in headers {
            head += &format!("{header}\r\n");
        }
        stream.write_all(format!("{head}\r\n{body}").as_bytes())?;
        Ok(stream)
    }

    pub(crate) fn ask(&self, method: &str, path: &str, headers: &[&str], body: &str) -> Outcome<Reply> {
        Reply::read(self.send(method, path, headers, body)?)
    }

    pub(crate) fn post(&self, path: &str, json: &Value) -> Outcome<Reply> {
        self.ask("POST", path, &["content-type: application/json"], &json.to_string())
    }

    /// Sends a request whose answer nobody reads yet.
    pub(crate) fn begin(&self, path: &str, json: &Value) -> Outcome<TcpStream> {
        self.send("POST", path, &["content-type: application/json"], &json.to_string())
    }

    /// Waits until so many samples run and so many requests wait.
    pub(crate) fn until(&self, running: u64, waiting: u64) -> Outcome {
        let mut health = Value::Null;
        for _ in 0..600 {
            health = self.ask("GET", "/health", &[], "")?.json()?;
            if health["running"] == running && health["waiting"] == waiting {
                return Ok(());
            }
            std::thread::park_timeout(Duration::from_millis(50));
        }
        Err(format!("never {running} running and {waiting} waiting, but {health}").into())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) body: String,
}

impl Reply {
    pub(crate) fn read(mut stream: TcpStream) -> Outcome<Self> {
        let mut bytes = Vec::new();
        stream.read_to_end(&mut bytes)?;
        let text = String::from_utf8(bytes)?;
        let (head, body) = text.split_once("\r\n\r\n").ok_or_else(|| format!("no head in {text:?}"))?;
        let status = head.split(' ').nth(1).ok_or("no status")?.parse()?;
        let head = head.to_ascii_lowercase();
        let body = if head.contains("transfer-encoding: chunked") { unchunk(body)? } else { body.to_owned() };
        Ok(Self { status, head, body })
    }

    pub(crate) fn json(&self) -> Outcome<Value> {
        Ok(serde_json::from_str(&self.body).map_err(|e| format!("{e}: {:?}", self.body))?)
    }

    /// The pieces of a stream; an error unless it ends as it should.
    pub(crate) fn pieces(&self) -> Outcome<Vec<Value>> {
        let mut events: Vec<&str> = self.body.split_terminator("\n\n").filter(|e| !e.starts_with(':')).collect();
        if events.pop() != Some("data: [DONE]") {
            return Err(format!("the stream does not end with [DONE]: {:?}", self.body).into());
        }
        events.iter().map(|e| Ok(serde_json::from_str(e.strip_prefix("data: ").ok_or("no data")?)?)).collect()
    }
}

fn unchunk(body: &str) -> Outcome<String> {
    let (mut out, mut rest) = (String::new(), body);
    loop {
        let (size, after) = rest.split_once("\r\n").ok_or("a chunk without a size")?;
        let size = usize::from_str_radix(size, 16)?;
        if size == 0 {
            return Ok(out);
        }
        out.push_str(after.get(..size).ok_or("a chunk that is cut off")?);
        rest = after.get(size + 2..).ok_or("a chunk without an end")?;
    }
}
