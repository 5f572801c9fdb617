//! `rampart lsp` with a client over stdin and stdout, as an editor starts it.
#![expect(clippy::disallowed_methods, reason = "these tests start the program that they test")]

use serde_json::{Value, json};
use std::{
    io::{BufRead, BufReader, Read, Write},
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
};

type Outcome<T = ()> = Result<T, Box<dyn std::error::Error>>;

const URI: &str = "file:///a.py";
const WEAK: &str = "import os\n\n\ndef ping(höst):\n    '𝒳'; os.system('ping ' + höst)\n";

struct Client {
    child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
    next: u64,
}

impl Client {
    /// Starts the server and introduces a client with these capabilities.
    fn start(capabilities: &Value) -> Outcome<(Self, Value)> {
        let mut child = Command::new(env!("CARGO_BIN_EXE_rampart"))
            .arg("lsp")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let input = child.stdin.take().ok_or("stdin")?;
        let output = BufReader::new(child.stdout.take().ok_or("stdout")?);
        let mut client = Self { child, input, output, next: 0 };
        let answer =
            client.ask("initialize", &json!({ "processId": null, "rootUri": null, "capabilities": capabilities }))?;
        client.tell("initialized", &json!({}))?;
        Ok((client, answer["result"].clone()))
    }

    fn send(&mut self, message: &Value) -> Outcome {
        let text = message.to_string();
        write!(self.input, "Content-Length: {}\r\n\r\n{text}", text.len())?;
        Ok(self.input.flush()?)
    }

    fn receive(&mut self) -> Outcome<Value> {
        let mut length = 0;
        loop {
            let mut line = String::new();
            if self.output.read_line(&mut line)? == 0 {
                return Err("the server is gone".into());
            }
            match line.trim_end().split_once(": ") {
                Some(("Content-Length", n)) => length = n.parse()?,
                Some(_) => {}
                None => break,
            }
        }
        let mut body = vec![0; length];
        self.output.read_exact(&mut body)?;
        Ok(serde_json::from_slice(&body)?)
    }

    /// Asks and waits for the answer.
    fn ask(&mut self, method: &str, parameters: &Value) -> Outcome<Value> {
        self.next += 1;
        let id = self.next;
        self.send(&json!({ "jsonrpc": "2.0", "id": id, "method": method, "params": parameters }))?;
        loop {
            let message = self.receive()?;
            if message["id"] == id {
                return Ok(message);
            }
        }
    }

    fn tell(&mut self, method: &str, parameters: &Value) -> Outcome {
        self.send(&json!({ "jsonrpc": "2.0", "method": method, "params": parameters }))
    }

    fn open(&mut self, text: &str) -> Outcome {
        self.open_as(URI, "python", text)
    }

    fn open_as(&mut self, uri: &str, language: &str, text: &str) -> Outcome {
        let file = json!({ "uri": uri, "languageId": language, "version": 1, "text": text });
        self.tell("textDocument/didOpen", &json!({ "textDocument": file }))
    }

    fn change(&mut self, version: u64, changes: &Value) -> Outcome {
        self.change_as(URI, version, changes)
    }

    fn change_as(&mut self, uri: &str, version: u64, changes: &Value) -> Outcome {
        let file = json!({ "uri": uri, "version": version });
        self.tell("textDocument/didChange", &json!({ "textDocument": file, "contentChanges": changes }))
    }

    /// Rules and lines of the next diagnostics that are sent.
    fn published(&mut self) -> Outcome<Vec<String>> {
        let message = self.receive()?;
        assert_eq!(message["method"], "textDocument/publishDiagnostics", "{message}");
        let diagnostics = message["params"]["diagnostics"].as_array().ok_or("diagnostics")?;
        let show = |d: &Value| format!("{}:{}", d["range"]["start"]["line"], d["code"].as_str().unwrap_or(""));
        Ok(diagnostics.iter().map(show).collect())
    }

    /// Says goodbye; the server must end well.
    fn end(mut self) -> Outcome {
        self.ask("shutdown", &Value::Null)?;
        self.tell("exit", &Value::Null)?;
        assert!(self.child.wait()?.success());
        Ok(())
    }
}

fn at(line: u64, character: u64) -> Value {
    json!({ "line": line, "character": character })
}

#[test]
fn a_session_from_beginning_to_end() -> Outcome {
    let (mut client, hello) = Client::start(&json!({}))?;
    assert_eq!(hello["capabilities"]["positionEncoding"], "utf-16");
    client.open(WEAK)?;
    let message = client.receive()?;
    let first = &message["params"]["diagnostics"][0];
    assert_eq!((&first["code"], &first["source"]), (&"command-injection".into(), &"rampart".into()));
    // A letter outside the first plane counts two.
    assert_eq!(first["range"], json!({ "start": at(4, 10), "end": at(4, 35) }));
    assert!(first["message"].as_str().is_some_and(|m| m.contains("CWE-78") && m.contains("shell")), "{first}");

    let hover = client.ask("textDocument/hover", &json!({ "textDocument": { "uri": URI }, "position": at(4, 15) }))?;
    let text = hover["result"]["contents"]["value"].as_str().unwrap_or_default().to_owned();
    for part in ["command-injection", "CWE-78", "How models get it wrong", "Instead:", "```python", "rampart explain"] {
        assert!(text.contains(part), "{part} is missing: {text}");
    }
    let nothing = client.ask("textDocument/hover", &json!({ "textDocument": { "uri": URI }, "position": at(0, 1) }))?;
    assert!(nothing["result"].is_null());

    let actions = client.ask(
        "textDocument/codeAction",
        &json!({ "textDocument": { "uri": URI }, "range": { "start": at(4, 12), "end": at(4, 12) }, "context": { "diagnostics": [] } }),
    )?;
    let ignore = actions["result"].as_array().and_then(|a| a.first()).ok_or("no action")?;
    assert_eq!(ignore["title"], "Ignore command-injection on this line");
    let edit = &ignore["edit"]["changes"][URI][0];
    assert_eq!(
        (&edit["range"]["start"], &edit["newText"]),
        (&at(4, 35), &"  # rampart: ignore[command-injection]".into())
    );
    // What the editor does with it.
    client.change(2, &json!([{ "range": edit["range"], "text": edit["newText"] }]))?;
    assert_eq!(client.published()?, ["4:unchecked-return-code"]);

    client.tell("textDocument/didClose", &json!({ "textDocument": { "uri": URI } }))?;
    assert!(client.published()?.is_empty());
    let unknown = client.ask("textDocument/rename", &json!({}))?;
    assert_eq!(unknown["error"]["code"], -32601, "{unknown}");
    client.end()
}

#[test]
fn a_suggestion_is_judged_first_and_alone() -> Outcome {
    let (mut client, _) = Client::start(&json!({}))?;
    client.open("def run(text):\n    \n    return eval(text)\n")?;
    assert_eq!(client.published()?, ["2:code-injection"]);
    let suggestion = "import pickle\n    data = pickle.loads(text)\n    print(data)";
    client.change(2, &json!([{ "range": { "start": at(1, 4), "end": at(1, 4) }, "text": suggestion }]))?;
    assert_eq!(client.published()?, ["2:unsafe-deserialization"]);
    assert_eq!(client.published()?, ["2:unsafe-deserialization", "4:code-injection"]);
    // A buffer in the middle of a word still has findings.
    client.change(3, &json!([{ "range": { "start": at(0, 0), "end": at(0, 0) }, "text": "import os, (\n" }]))?;
    assert_eq!(client.published()?.len(), 2);
    client.end()
}

#[test]
fn a_client_that_asks_is_not_told() -> Outcome {
    let capabilities = json!({
        "general": { "positionEncodings": ["utf-8", "utf-16"] },
        "textDocument": { "diagnostic": {} },
    });
    let (mut client, hello) = Client::start(&capabilities)?;
    assert_eq!(hello["capabilities"]["positionEncoding"], "utf-8");
    client.open("import yaml\n'é'; yaml.load(open('x'))\n")?;
    let answer = client.ask("textDocument/diagnostic", &json!({ "textDocument": { "uri": URI } }))?;
    let items = answer["result"]["items"].as_array().ok_or("items")?;
    assert_eq!(items.len(), 1, "{items:?}");
    assert_eq!(items[0]["range"]["start"], at(1, 6), "bytes");
    let actions = client.ask(
        "textDocument/codeAction",
        &json!({ "textDocument": { "uri": URI }, "range": { "start": at(1, 0), "end": at(1, 9) }, "context": { "diagnostics": [] } }),
    )?;
    let fix = &actions["result"][0];
    assert_eq!(fix["title"], "Replace `yaml.load` by `yaml.safe_load`");
    client.change(2, &json!([{ "range": fix["edit"]["changes"][URI][0]["range"], "text": fix["edit"]["changes"][URI][0]["newText"] }]))?;
    let answer = client.ask("textDocument/diagnostic", &json!({ "textDocument": { "uri": URI } }))?;
    assert_eq!(answer["result"]["items"], json!([]));
    let absent = client.ask("textDocument/diagnostic", &json!({ "textDocument": { "uri": "file:///b.py" } }))?;
    assert_eq!(absent["result"]["items"], json!([]));
    client.end()
}

/// A file of a language: its address, what the client calls the language, its text, and where the first finding is.
struct Case {
    uri: &'static str,
    language: &'static str,
    text: &'static str,
    rule: &'static str,
    line: u64,
    columns: (u64, u64),
}

/// Each weak on one line, with letters before it that count two units or more.
const OTHERS: &[Case] = &[
    Case {
        uri: "file:///a.js",
        language: "javascript",
        text: "const { exec } = require('child_process');\n\nfunction ping(host) {\n  /* é𝒳 */ exec('ping ' + host);\n}\n",
        rule: "command-injection",
        line: 3,
        columns: (12, 32),
    },
    Case {
        uri: "file:///a.tsx",
        language: "typescriptreact",
        text: "export const Page = (props: { html: string }) => {\n  return <div dangerouslySetInnerHTML={{ __html: props.html }} />;\n};\n",
        rule: "marked-safe",
        line: 1,
        columns: (14, 62),
    },
    Case {
        uri: "file:///a.go",
        language: "go",
        text: "package main\n\nimport \"crypto/tls\"\n\nvar settings = tls.Config{InsecureSkipVerify: true}\n",
        rule: "certificate-unchecked",
        line: 4,
        columns: (26, 50),
    },
    Case {
        uri: "file:///A.java",
        language: "java",
        text: "import java.sql.*;\n\nclass A {\n  ResultSet find(Statement s, String name) throws SQLException {\n    return s.executeQuery(\"SELECT a FROM t WHERE n = '\" + name + \"'\");\n  }\n}\n",
        rule: "sql-string-building",
        line: 4,
        columns: (11, 69),
    },
    Case {
        uri: "file:///a.rb",
        language: "ruby",
        text: "def ping(host)\n  system(\"ping #{host}\")\nend\n",
        rule: "command-injection",
        line: 1,
        columns: (2, 24),
    },
    Case {
        uri: "file:///a.c",
        language: "c",
        text: "#include <stdio.h>\n\nint read_name(char *name) {\n  return gets(name) != NULL;\n}\n",
        rule: "dangerous-function",
        line: 3,
        columns: (9, 19),
    },
    // A buffer that has no file yet has the language that the client says.
    Case {
        uri: "untitled:Untitled-1",
        language: "cpp",
        text: "#include <cstring>\n\nvoid copy(const char *name) {\n  char room[8];\n  strcpy(room, name);\n}\n",
        rule: "unbounded-copy",
        line: 4,
        columns: (2, 20),
    },
];

#[test]
fn other_languages_have_sessions_as_python_has() -> Outcome {
    let (mut client, _) = Client::start(&json!({}))?;
    for Case { uri, language, text, rule, line, columns } in OTHERS {
        client.open_as(uri, language, text)?;
        let message = client.receive()?;
        let found = message["params"]["diagnostics"].as_array().ok_or("diagnostics")?;
        let first = found.iter().find(|d| d["code"] == *rule).ok_or_else(|| format!("{uri}: {message}"))?;
        let range = json!({ "start": at(*line, columns.0), "end": at(*line, columns.1) });
        assert_eq!(first["range"], range, "{uri}: {message}");

        let place = at(*line, columns.0 + 1);
        let hover = client.ask("textDocument/hover", &json!({ "textDocument": { "uri": uri }, "position": place }))?;
        let shown = hover["result"]["contents"]["value"].as_str().unwrap_or_default().to_owned();
        for part in [rule, "CWE-", "Instead:", "rampart explain"] {
            assert!(shown.contains(part), "{uri}: {part} is missing: {shown}");
        }
        // A lesson's code is Python: it is not offered for another language.
        assert!(!shown.contains("```python"), "{uri}: {shown}");

        let context = json!({ "diagnostics": [] });
        let asked =
            json!({ "textDocument": { "uri": uri }, "range": { "start": place, "end": place }, "context": context });
        let actions = client.ask("textDocument/codeAction", &asked)?;
        let title = format!("Ignore {rule} on this line");
        let actions = actions["result"].as_array().ok_or("actions")?;
        let ignore = actions.iter().find(|a| a["title"] == title).ok_or_else(|| format!("{uri}: {actions:?}"))?;
        let edit = &ignore["edit"]["changes"][*uri][0];
        let sign = if *language == "ruby" { "#" } else { "//" };
        assert_eq!(edit["newText"], format!("  {sign} rampart: ignore[{rule}]"), "{uri}");
        client.change_as(uri, 2, &json!([{ "range": edit["range"], "text": edit["newText"] }]))?;
        let left = client.published()?;
        assert!(!left.contains(&format!("{line}:{rule}")), "{uri}: {left:?}");

        // A half-written buffer is not the end of the session.
        client.change_as(uri, 3, &json!([{ "range": edit["range"], "text": " (" }]))?;
        client.published()?;
        client.change_as(uri, 4, &json!([{ "text": text }]))?;
        assert!(client.published()?.contains(&format!("{line}:{rule}")), "{uri}");
        client.tell("textDocument/didClose", &json!({ "textDocument": { "uri": uri } }))?;
        assert!(client.published()?.is_empty());
    }
    client.end()
}

/// An assistant's suggestion is judged alone in other languages too.
#[test]
fn a_suggestion_in_another_language_is_judged_first() -> Outcome {
    let (mut client, _) = Client::start(&json!({}))?;
    let uri = "file:///b.js";
    client.open_as(uri, "javascript", "function run(text) {\n  \n  return eval(text);\n}\n")?;
    let whole = client.published()?;
    assert_eq!(whole.len(), 1, "{whole:?}");
    let suggestion = "const hash = crypto.createHash('md5');\n  hash.update(password);\n  log(hash);";
    client.change_as(uri, 2, &json!([{ "range": { "start": at(1, 2), "end": at(1, 2) }, "text": suggestion }]))?;
    let alone = client.published()?;
    assert!(!alone.is_empty() && alone.iter().all(|f| !f.contains("code-injection")), "{alone:?}");
    let both = client.published()?;
    assert!(both.len() > alone.len() && both.iter().any(|f| f == "4:code-injection"), "{both:?}");
    client.end()
}
