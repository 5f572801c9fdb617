//! `rampart lsp`: an editor's messages come in on stdin, diagnostics, hovers and fixes go out on stdout.
//!
//! Findings are those of our own rules, which need milliseconds, so every message is answered before the next is read. A client
//! that asks for diagnostics is not sent any; one that does not is sent them after every change, and those of a suggestion of
//! several lines before the rest of the file is looked at.
//!
//! Invariants: nothing is run, no file is opened: what the client says is all there is. A message that is not understood is
//! answered with an error, never with the end of the server.

mod answers;
mod document;

use crate::cli::{exit, terminal};
use anyhow::{Context, Result};
use corpus::Lesson;
use document::{Document, Encoding};
use judge::languages::Dialect;
use lexicon::Finding;
use lsp_server::{Connection, ErrorCode, Message, Notification, Request, Response};
use serde_json::{Value, json};
use std::collections::HashMap;

/// Serves one client until it says goodbye.
pub(crate) fn run() -> Result<u8> {
    let (connection, threads) = Connection::stdio();
    let (id, parameters) = connection.initialize_start().context("the client did not introduce itself")?;
    let mut server = Server::new(&parameters)?;
    let capabilities = server.capabilities();
    let info = json!({ "name": "rampart", "version": env!("CARGO_PKG_VERSION") });
    connection.initialize_finish(id, json!({ "capabilities": capabilities, "serverInfo": info }))?;
    for message in &connection.receiver {
        match message {
            Message::Request(request) => {
                if connection.handle_shutdown(&request)? {
                    break;
                }
                connection.sender.send(Message::Response(server.answer(request)))?;
            }
            Message::Notification(notification) => server.hear(&notification, &mut |method, parameters| {
                let sent =
                    connection.sender.send(Message::Notification(Notification::new(method.to_owned(), parameters)));
                sent.context("the client is gone")
            })?,
            Message::Response(_) => {}
        }
    }
    drop(connection);
    threads.join().context("the connection broke")?;
    Ok(exit::CLEAN)
}

/// What is known of the client and its files.
struct Server {
    encoding: Encoding,
    /// Whether the client asks for diagnostics by itself.
    pulls: bool,
    documents: HashMap<String, Document>,
    lessons: Vec<Lesson>,
}

/// Sends a notification.
type Send<'s> = &'s mut dyn FnMut(&str, Value) -> Result<()>;

impl Server {
    fn new(parameters: &Value) -> Result<Self> {
        let offered = parameters["capabilities"]["general"]["positionEncodings"].as_array();
        let utf8 = offered.is_some_and(|names| names.iter().any(|n| n == Encoding::Utf8.name()));
        Ok(Self {
            encoding: if utf8 { Encoding::Utf8 } else { Encoding::Utf16 },
            pulls: parameters["capabilities"]["textDocument"]["diagnostic"].is_object(),
            documents: HashMap::new(),
            lessons: corpus::library::embedded()?,
        })
    }

    fn capabilities(&self) -> Value {
        json!({
            "positionEncoding": self.encoding.name(),
            "textDocumentSync": { "openClose": true, "change": 2 },
            "diagnosticProvider": { "identifier": "rampart", "interFileDependencies": false, "workspaceDiagnostics": false },
            "hoverProvider": true,
            "codeActionProvider": { "codeActionKinds": ["quickfix"] },
        })
    }

    /// Answers a request.
    fn answer(&self, request: Request) -> Response {
        let Request { id, method, params } = request;
        let uri = params["textDocument"]["uri"].as_str().unwrap_or_default();
        let document = self.documents.get(uri);
        let result = match (method.as_str(), document) {
            ("textDocument/diagnostic", Some(document)) => {
                let items = answers::diagnostics(document, &answers::findings(document));
                json!({ "kind": "full", "items": items })
            }
            ("textDocument/hover", Some(document)) => {
                let offset = document.offset(&params["position"]);
                answers::hover(document, &answers::findings(document), &self.lessons, offset)
            }
            ("textDocument/codeAction", Some(document)) => {
                let (start, end) =
                    (document.offset(&params["range"]["start"]), document.offset(&params["range"]["end"]));
                answers::actions(uri, document, &answers::findings(document), start, end).into()
            }
            ("textDocument/diagnostic", None) => json!({ "kind": "full", "items": [] }),
            ("textDocument/hover" | "textDocument/codeAction", None) => Value::Null,
            _ => return Response::new_err(id, ErrorCode::MethodNotFound as i32, format!("{method} is not served")),
        };
        Response::new_ok(id, result)
    }

    /// Takes note of what the client did.
    fn hear(&mut self, notification: &Notification, send: Send) -> Result<()> {
        let parameters = &notification.params;
        let file = &parameters["textDocument"];
        let uri = file["uri"].as_str().unwrap_or_default().to_owned();
        match notification.method.as_str() {
            "textDocument/didOpen" => {
                let text = file["text"].as_str().unwrap_or_default().to_owned();
                let version = file["version"].as_i64().unwrap_or(0);
                let name = named(&uri, file["languageId"].as_str().unwrap_or_default());
                self.documents.insert(uri.clone(), Document { name, text, version, encoding: self.encoding });
                self.publish(&uri, None, send)
            }
            "textDocument/didChange" => {
                let Some(document) = self.documents.get_mut(&uri) else {
                    terminal::say(&format!("a change of {uri}, which is not open"));
                    return Ok(());
                };
                document.version = file["version"].as_i64().unwrap_or(document.version + 1);
                let changes = parameters["contentChanges"].as_array().map(Vec::as_slice).unwrap_or_default();
                let put = changes.iter().map(|change| document.change(change)).last().flatten();
                // Only the last change's place is still where it was.
                if let Some(put) = put {
                    let findings = answers::findings_of(document, &put);
                    if !findings.is_empty() {
                        self.publish(&uri, Some(findings), send)?;
                    }
                }
                self.publish(&uri, None, send)
            }
            "textDocument/didClose" => {
                self.documents.remove(&uri);
                if self.pulls {
                    return Ok(());
                }
                send("textDocument/publishDiagnostics", json!({ "uri": uri, "diagnostics": [] }))
            }
            // The others, `$/setTrace` and its kin, change nothing here.
            _ => Ok(()),
        }
    }

    /// Sends the diagnostics of a file, or those given, to a client that does not ask.
    fn publish(&self, uri: &str, findings: Option<Vec<Finding>>, send: Send) -> Result<()> {
        let Some(document) = self.documents.get(uri).filter(|_| !self.pulls) else { return Ok(()) };
        let findings = findings.unwrap_or_else(|| answers::findings(document));
        let diagnostics = answers::diagnostics(document, &findings);
        let parameters = json!({ "uri": uri, "version": document.version, "diagnostics": diagnostics });
        send("textDocument/publishDiagnostics", parameters)
    }
}

/// A name whose ending says the language: a file's own, else what the client says it is.
fn named(uri: &str, language: &str) -> String {
    let ending = match language {
        _ if Dialect::of(uri).is_some() => return uri.to_owned(),
        "typescriptreact" => "tsx",
        "javascriptreact" | "javascript" => "js",
        "typescript" => "ts",
        "ruby" => "rb",
        "go" | "java" | "c" | "cpp" => language,
        _ => "py",
    };
    format!("{uri}.{ending}")
}
