//! What library calls, attributes and subscripts do to a value: sources, sanitizers, and what passes taint on.

use super::{
    engine::Engine,
    library::{Library, library, opaque_method, sanitizer},
    names,
    rule::Call,
    value::{Literal, Roots, Taint, Value, clean, taint},
};
use ruff_python_ast::Expr;
use ruff_text_size::TextRange;

/// Words in the name of a function of the project's own that say what it does to its argument.
const CLEANING: &names::Words = &names::Words::of(&[
    "escape",
    "escaped",
    "sanitize",
    "sanitized",
    "sanitise",
    "clean",
    "cleaned",
    "quote",
    "quoted",
    "validate",
    "valid",
    "validated",
    "safe",
    "normalize",
    "whitelist",
    "encode",
    "strip",
    "filter",
    "check",
    "parameterize",
    "redact",
    "mask",
]);

/// Words in the name of a function of the project's own that say that its result holds what it was given.
const PASSING: &names::Words =
    &names::Words::of(&["decode", "parse", "loads", "load", "deserialize", "unpack", "extract", "unquote", "read"]);

impl<'a> Engine<'a> {
    /// Value of a call's result.
    pub(super) fn call_value(&mut self, call: &Call<'a>) -> Value<'a> {
        self.result(call)
    }

    fn result(&mut self, call: &Call<'a>) -> Value<'a> {
        let mut all = Value::constant();
        call.values().for_each(|v| all.absorb(v));
        let path = call.path;
        let name = call.name;
        let tainted = |source: Taint| Value::tainted(source, call.range);

        let module = path.bytes().position(|b| b == b'.').map_or("", |dot| &path[..dot]);
        // Fresh, harmless and unpredictable, or bounded by construction.
        if matches!(module, "secrets" | "tempfile") {
            return Value { loose: clean::LISTED, ..Value::default() };
        }
        match library(path) {
            Some(Library::Fresh) => return Value { loose: clean::LISTED, ..Value::default() },
            Some(Library::Input) => return tainted(taint::INPUT),
            Some(Library::Environment) => return tainted(taint::ENV),
            Some(Library::Trace) => {
                self.errors = true;
                return tainted(taint::TRACE);
            }
            Some(Library::Error) => {
                self.errors = true;
                return tainted(taint::ERROR);
            }
            Some(Library::Clock) => {
                return Value { loose: clean::LISTED, clean: clean::LISTED, ..tainted(taint::CLOCK) };
            }
            Some(Library::Number) => {
                all.cleanse(clean::NUMBER | clean::CONVERTED);
                return all;
            }
            // Translation leaves the text what it is.
            Some(Library::Translation) if call.args.len() == 1 => {
                return call.args.first().cloned().unwrap_or_default();
            }
            Some(Library::Replacement) => return replaced(call.args.first(), call.args.get(2)),
            Some(Library::Length) => {
                return Value {
                    roots: all.roots,
                    loose: clean::LISTED & !clean::NONZERO & !clean::LIMIT,
                    ..Value::default()
                };
            }
            Some(Library::Least) => {
                all.cleanse(clean::LIMIT);
                return all;
            }
            Some(Library::Text) => {
                let mut value = call.args.first().cloned().unwrap_or_else(Value::constant);
                value.cleanse(clean::SCALAR);
                value.path = None;
                if let Literal::Int(i) = value.literal {
                    value.text = Some(self.texts.concat(&[&i.to_string()]));
                }
                value.literal = Literal::Unknown;
                return value;
            }
            Some(Library::Shown) => {
                all.cleanse(clean::CRLF | clean::SCALAR);
                return all;
            }
            Some(Library::Bytes) => {
                all.bytes = true;
                if let [one] = call.args.as_slice() {
                    all.text = one.text;
                }
                return all;
            }
            Some(Library::Container) => {
                return all;
            }
            Some(Library::File) => {
                return Value { roots: all.roots, ..Value::default() };
            }
            Some(Library::JoinedPath) => return self.path_join(call, all),
            Some(Library::PathPart) => {
                if name == "abspath" || name == "realpath" {
                    all.cleanse(clean::ARG);
                }
                all.text = call.args.first().and_then(|a| a.text);
                return all;
            }
            Some(Library::Path) => {
                if call.args.len() > 1 {
                    return Value { path: Some("pathlib.Path()"), ..self.path_join(call, all) };
                }
                all.text = call.args.first().and_then(|a| a.text);
                return all;
            }
            Some(Library::Escape) => {
                all.cleanse(clean::HTML);
                return all;
            }
            // Takes back what escaping did.
            Some(Library::Unescape) => {
                all.clean &= !clean::HTML;
                all.loose &= !clean::HTML;
                return all;
            }
            Some(Library::RegexEscape) => {
                all.cleanse(clean::REGEX);
                return all;
            }
            Some(Library::ShellQuote) => {
                all.cleanse(clean::SHELL);
                return all;
            }
            Some(Library::UrlQuote) => {
                all.cleanse(clean::URL | clean::HTML | clean::CRLF | clean::ARG);
                return all;
            }
            Some(Library::Json) => {
                // Newlines are escaped; what closes a script element is not.
                all.cleanse(clean::CRLF | clean::SCALAR | clean::SQL);
                return all;
            }
            Some(Library::Decoder) => {
                if path == "ast.literal_eval" {
                    all.cleanse(clean::CODE);
                }
                return all;
            }
            Some(Library::Encoder) => {
                all.cleanse(
                    clean::HTML | clean::SQL | clean::SHELL | clean::CRLF | clean::PATH | clean::LDAP | clean::XPATH,
                );
                return all;
            }
            Some(Library::Unpacker) => {
                return Value { roots: all.roots, ..tainted(taint::SIZE) };
            }
            _ => {}
        }
        if module == "random" || module == "numpy" && path.starts_with("numpy.random.") {
            let seeded = path.contains("SystemRandom");
            return if seeded { Value { loose: clean::LISTED, ..Value::default() } } else { tainted(taint::RANDOM) };
        }
        if matches!(module, "hashlib" | "hmac" | "bcrypt") {
            return Value {
                loose: clean::EVERYTHING & !clean::VERIFIED & !clean::ARG,
                roots: all.roots,
                ..Value::default()
            };
        }
        if is_fetch(path) {
            return Value { roots: all.roots, ..tainted(taint::NET) };
        }
        if matches!(name, "relative_to" | "verify" | "compare_digest" | "check_password" | "full_clean")
            && let Expr::Attribute(attribute) = call.expr.func.as_ref()
        {
            let bits = if name == "relative_to" { clean::PATH } else { clean::VERIFIED };
            self.restrict_names(&attribute.value, bits);
            for argument in &call.expr.arguments.args {
                self.restrict_names(argument, bits);
            }
        }
        // `validate(name)` as a statement raises when it does not like the name.
        if call.discarded
            && call.receiver.as_ref().is_none_or(|r| r.taint == 0)
            && names::has_word(
                name,
                const { &names::Words::of(&["validate", "check", "ensure", "assert", "require", "verify", "guard"]) },
            )
        {
            for argument in &call.expr.arguments.args {
                self.restrict_names(argument, clean::LISTED);
            }
        }
        if let Some(bits) = sanitizer(name) {
            let mut value = call.receiver.clone().unwrap_or_else(Value::constant);
            let method = call.receiver.as_ref().is_some_and(|r| r.from(taint::FOREIGN | taint::RANDOM | taint::CLOCK));
            if !method {
                value = all;
            } else if matches!(name, "lower" | "upper" | "casefold") {
                // The same text in another case.
            } else {
                value.absorb(&all);
            }
            value.path = None;
            value.literal = Literal::Unknown;
            if value.loose == clean::EVERYTHING && bits == clean::EVERYTHING & !clean::VERIFIED {
                value.loose = clean::LISTED;
            }
            value.cleanse(bits);
            return value;
        }
        match &call.receiver {
            Some(receiver) => self.method(call, receiver, all),
            None => self.function_result(call, all),
        }
    }

    /// Result of a function nobody described.
    fn function_result(&self, call: &Call<'a>, all: Value<'a>) -> Value<'a> {
        let mut value = Value { roots: all.roots, ..Value::default() };
        // What is read out of a request is as foreign as the request.
        if all.from(taint::REQUEST) && names::has_word(call.name, PASSING) {
            value = Value { taint: taint::REQUEST, clean: all.clean, origin: all.origin, ..value };
        }
        if names::has_word(call.name, CLEANING) {
            value.loose = clean::LISTED;
        }
        value
    }

    fn method(&mut self, call: &Call<'a>, receiver: &Value<'a>, all: Value<'a>) -> Value<'a> {
        let name = call.name;
        let path = call.path;
        let tainted = |source: Taint| Value::tainted(source, call.range);
        // A compiled pattern: `FORBIDDEN.sub("", text)`.
        if name == "sub"
            && call.args.len() == 2
            && let Some(Expr::Call(compiled)) = receiver.expr
            && names::last(&compiled.func) == "compile"
        {
            let pattern = compiled.arguments.args.first().map(|p| self.peek(p));
            return replaced(pattern.as_ref(), call.args.get(1));
        }
        match name {
            "join" if !receiver.path().starts_with("os") => {
                let parts = call.args.first().cloned().unwrap_or_default();
                return self.join_strings(receiver, &parts);
            }
            "format" if receiver.text.is_some() => return self.format(receiver, call),
            "format" | "format_map" => {
                let mut value = receiver.clone();
                value.absorb(&all);
                value.path = None;
                return value;
            }
            "replace" => {
                let mut value = receiver.clone();
                value.path = None;
                let from = call.args.first().map_or("", |a| a.text());
                if from.contains(['\n', '\r']) {
                    value.cleanse(clean::CRLF);
                }
                if from == "<" {
                    value.cleanse(clean::HTML);
                }
                if from == "/" || from == "\\" {
                    value.cleanse(clean::PATH);
                }
                if from == "'" || from == "\"" {
                    value.cleanse(clean::XPATH);
                }
                value.text = None;
                return value;
            }
            "namelist" | "getnames" | "infolist" | "getmembers" | "getinfo" | "getmember" | "next"
                if is_archive(receiver.path()) =>
            {
                return tainted(taint::ARCHIVE);
            }
            "read" | "readline" | "readlines" | "read_text" | "read_bytes" => {
                let mut value = receiver.clone();
                value.path = None;
                value.text = None;
                if receiver.path().ends_with("open()") || matches!(name, "read_text" | "read_bytes") {
                    value = tainted(taint::FILE);
                    value.roots = receiver.roots;
                }
                if all.loose == clean::EVERYTHING && !call.args.is_empty() {
                    value.cleanse(clean::LIMIT);
                }
                return value;
            }
            "recv" | "recvfrom" => return tainted(taint::NET),
            "get_argument" | "get_arguments" | "get_query_argument" | "get_body_argument" | "getvalue"
                if name != "getvalue" || receiver.path().contains("FieldStorage") =>
            {
                return tainted(taint::REQUEST);
            }
            "encode" | "decode" | "strip" | "lstrip" | "rstrip" | "title" | "capitalize" | "split" | "rsplit"
            | "partition" | "rpartition" | "removeprefix" | "removesuffix" | "zfill" | "ljust" | "rjust" | "center"
            | "swapcase" | "items" | "values" | "keys" | "copy" | "pop" | "popitem" | "group" | "groups"
            | "setdefault" | "get" | "getlist" | "get_json" | "json" | "resolve" | "absolute" | "expanduser"
            | "as_posix" | "tobytes" | "to_dict" | "dict" | "with_suffix" | "getvalue" | "model_dump"
            | "expandtabs" => {
                let mut value = receiver.clone();
                value.path = None;
                value.literal = Literal::Unknown;
                match name {
                    "encode" | "decode" => value.bytes = name == "encode",
                    "strip" | "lstrip" | "rstrip" | "title" | "capitalize" | "swapcase" => {}
                    "resolve" | "absolute" | "expanduser" | "as_posix" => value.path = receiver.path,
                    _ => value.text = None,
                }
                if name == "get" {
                    self.get_result(call, receiver, &mut value);
                }
                if name == "resolve" {
                    value.cleanse(clean::ARG);
                }
                return value;
            }
            "joinpath" => {
                let mut value = receiver.clone();
                let foreign = self.dirty(&all, taint::FOREIGN, clean::PATH);
                value.absorb(&all);
                value.path = Some("pathlib.Path()");
                value.text = None;
                if foreign {
                    value.taint |= taint::JOINED;
                }
                return value;
            }
            _ => {}
        }
        if opaque_method(name) || name.starts_with("is") || name.starts_with("has_") {
            return Value { roots: all.roots, ..Value::default() };
        }
        // A method of a module or class is a function.
        if receiver.taint == 0 {
            let mut value = Value { roots: all.roots, ..Value::default() };
            if names::has_word(name, CLEANING) {
                value.loose = clean::LISTED;
            }
            if let "flask.request.get_json" | "flask.request.get_data" = path {
                return tainted(taint::REQUEST);
            }
            return value;
        }
        let mut value = Value { path: None, text: None, literal: Literal::Unknown, ..receiver.clone() };
        value.absorb(&Value { taint: 0, ..Value::default() });
        if value.taint == 0 {
            all.roots.iter().for_each(|root| value.roots.add(root));
        }
        value
    }

    /// `mapping.get(key, default)`: a web form with `type=int` holds numbers.
    fn get_result(&self, call: &Call<'a>, receiver: &Value<'a>, value: &mut Value<'a>) {
        if let Some(kind) = call.keyword("type")
            && matches!(kind.path(), "int" | "float" | "bool")
        {
            value.cleanse(clean::NUMBER);
        }
        // A constant table with a constant default has constant entries.
        if !receiver.dynamic() && receiver.taint == 0 {
            let default = call.args.get(1).cloned().unwrap_or_else(Value::constant);
            *value = Value { roots: Roots::NONE, ..default };
            value.text = None;
        }
    }

    fn path_join(&mut self, call: &Call<'a>, mut all: Value<'a>) -> Value<'a> {
        all.text = Some(self.texts.keep(&call.args.iter().map(Value::piece).collect::<Vec<_>>().join("/")));
        let foreign = call.args.iter().skip(1).any(|a| self.dirty(a, taint::FOREIGN, clean::PATH));
        if foreign {
            all.taint |= taint::JOINED;
        }
        // An absolute or folder-relative path is no option.
        if call.args.first().is_some_and(|a| !a.dynamic()) {
            all.cleanse(clean::ARG);
        }
        all
    }

    /// What reading an attribute adds.
    pub(super) fn read_attribute(&self, value: &mut Value<'a>, attr: &str, range: TextRange) {
        let path = value.path();
        if path == "sys.argv" {
            *value = Value { path: value.path, ..Value::tainted(taint::INPUT, range) };
            return;
        }
        if let Some(part) = path.strip_prefix("flask.request.").or_else(|| path.strip_prefix("request.")) {
            let head = part.split(['.', '(', '[']).next().unwrap_or("");
            match head {
                "method" | "endpoint" | "remote_addr" | "user" | "session" | "app" | "state" | "scheme"
                | "is_secure" | "resolver_match" | "blueprint" | "environ_base" | "site" | "url_rule" | "dbsession"
                | "registry" | "config" | "db" | "loop" => {
                    value.taint = 0;
                    value.loose = clean::NOTHING;
                    value.roots = Roots::NONE;
                }
                _ if value.taint == 0 || !value.from(taint::REQUEST) => {
                    *value = Value { path: value.path, ..Value::tainted(taint::REQUEST, range) };
                }
                _ => {}
            }
            return;
        }
        match attr {
            // `Path(x).name` drops the folders.
            "name" | "stem" if path.contains("pathlib.Path()") => value.cleanse(clean::PATH),
            "filename" if value.from(taint::ARCHIVE) => {}
            "hexdigest" | "digest" => value.cleanse(clean::LISTED),
            _ => {}
        }
    }

    /// What reading an element adds.
    pub(super) fn read_subscript(&self, value: &mut Value<'a>, range: TextRange) {
        match value.path() {
            "os.environ[]" => *value = Value { path: value.path, ..Value::tainted(taint::ENV, range) },
            "sys.argv[]" => *value = Value { path: value.path, ..Value::tainted(taint::INPUT, range) },
            _ => {}
        }
    }
}

/// Result of replacing what a pattern matches: what is left is harmless where all but listed characters are removed.
fn replaced<'a>(pattern: Option<&Value<'a>>, text: Option<&Value<'a>>) -> Value<'a> {
    let mut value = text.cloned().unwrap_or_default();
    value.path = None;
    value.text = None;
    value.literal = Literal::Unknown;
    let pattern = pattern.and_then(|p| p.as_str()).unwrap_or("");
    if let Some(kept) = pattern.strip_prefix("[^").and_then(|p| p.trim_end_matches(['+', '*']).strip_suffix(']')) {
        let mut bits = clean::LISTED;
        for (characters, context) in [
            (&['/', '.'][..], clean::PATH),
            (&['\'', '"'], clean::SQL | clean::XPATH | clean::HTML),
            (&['<', '>'], clean::HTML),
            (&['(', ')', '*'], clean::LDAP | clean::REGEX),
            (&[';', '|', '&', '$', '`', ' '], clean::SHELL),
        ] {
            if kept.contains(characters) {
                bits &= !context;
            }
        }
        // `\\s` and `\\n` keep line breaks and blanks.
        if kept.contains("\\s") || kept.contains("\\n") {
            bits &= !(clean::CRLF | clean::SHELL);
        }
        value.cleanse(bits);
    }
    value
}

/// Whether a path is that of an HTTP client's request.
pub(super) fn is_fetch(path: &str) -> bool {
    const VERBS: &[&str] = &["get", "post", "put", "delete", "patch", "head", "options", "request", "stream"];
    // Most calls are of other modules.
    if !(matches!(path.as_bytes().first(), Some(b'a' | b'h' | b'r' | b'u')) || path.starts_with("six.")) {
        return false;
    }
    let Some((object, verb)) = path.rsplit_once('.') else { return path == "urlopen" };
    if matches!(verb, "urlopen" | "urlretrieve") {
        return object.starts_with("urllib") || object.starts_with("six.moves");
    }
    VERBS.contains(&verb)
        && matches!(
            object,
            "requests"
                | "httpx"
                | "requests.Session()"
                | "requests.session()"
                | "httpx.Client()"
                | "httpx.AsyncClient()"
                | "aiohttp.ClientSession()"
                | "urllib3.PoolManager()"
                | "requests.sessions.Session()"
        )
}

/// Whether a path is that of an open archive.
pub(super) fn is_archive(path: &str) -> bool {
    ["zipfile.ZipFile()", "tarfile.open()", "tarfile.TarFile()", "ZipFile()", "tarfile.TarFile.open()"]
        .iter()
        .any(|a| path.ends_with(a))
}
