//! Bandit's tests of calls.

use super::{tables, walk::Walk};
use lexicon::{Confidence, Severity};
use ruff_python_ast::{Expr, ExprCall, Number, Operator};
use ruff_text_size::Ranged;

/// What an argument says, as Bandit reads it: booleans and `None` are their names, an attribute is its last name.
#[derive(Clone, Debug, PartialEq)]
enum Said {
    /// Something it does not look into.
    Nothing,
    Text(String),
    Number(i64),
    List(Vec<Said>),
    Other,
}

fn said(expr: &Expr) -> Said {
    match expr {
        Expr::StringLiteral(s) => Said::Text(s.value.to_str().to_owned()),
        Expr::BooleanLiteral(b) => Said::Text(if b.value { "True" } else { "False" }.to_owned()),
        Expr::NoneLiteral(_) => Said::Text("None".to_owned()),
        Expr::NumberLiteral(n) => match &n.value {
            Number::Int(i) => i.as_i64().map_or(Said::Other, Said::Number),
            Number::Float(_) | Number::Complex { .. } => Said::Other,
        },
        Expr::List(l) => Said::List(l.elts.iter().map(element).collect()),
        Expr::Tuple(t) => Said::List(t.elts.iter().map(element).collect()),
        Expr::Set(s) => Said::List(s.elts.iter().map(element).collect()),
        Expr::Dict(_) | Expr::BytesLiteral(_) | Expr::EllipsisLiteral(_) => Said::Other,
        Expr::Name(name) => Said::Text(name.id.to_string()),
        Expr::Attribute(a) => Said::Text(a.attr.to_string()),
        _ => Said::Nothing,
    }
}

/// An element of a list; attributes are looked at only outside lists.
fn element(expr: &Expr) -> Said {
    // Lists in lists in lists say nothing that a test asks.
    if expr.is_attribute_expr() || expr.is_list_expr() || expr.is_tuple_expr() { Said::Nothing } else { said(expr) }
}

/// A call as the tests see it.
struct Call<'c> {
    node: &'c ExprCall,
    /// Full name of the callee.
    path: &'c str,
    /// Its last part.
    name: &'c str,
}

impl Call<'_> {
    fn arg(&self, position: usize) -> Option<Said> {
        self.node.arguments.args.get(position).map(said)
    }

    fn keyword_expr(&self, name: &str) -> Option<&Expr> {
        // The last of several keywords of one name counts, as in a dictionary.
        let mut found = self.node.arguments.keywords.iter().rev();
        found.find(|k| k.arg.as_ref().is_some_and(|a| a.as_str() == name)).map(|k| &k.value)
    }

    fn keyword(&self, name: &str) -> Option<Said> {
        self.keyword_expr(name).map(said)
    }

    /// Whether a keyword says this; nothing where it is missing or says nothing.
    fn says(&self, name: &str, text: &str) -> bool {
        self.keyword(name) == Some(Said::Text(text.to_owned()))
    }

    /// Whether a keyword is missing, or says nothing that Bandit reads.
    fn silent(&self, name: &str) -> bool {
        self.keyword(name).is_none_or(|s| s == Said::Nothing)
    }

    fn old_tls(&self, name: &str) -> bool {
        matches!(self.keyword(name), Some(Said::Text(t)) if tables::OLD_TLS.contains(&t.as_str()))
    }

    fn has(&self, part: &str) -> bool {
        self.path.split('.').any(|p| p == part)
    }
}

type Verdict = Option<(&'static str, Severity, Confidence)>;

/// Every test of a call.
const TESTS: &[fn(&Walk, &Call) -> Verdict] = &[
    listed,
    flask_debug,
    verify,
    django_extra,
    django_raw,
    mark_safe,
    executed,
    permissions,
    keyword_password,
    hashlib,
    hugging_face,
    paramiko,
    shell_true,
    without_shell,
    other_shell,
    starts_shell,
    starts_program,
    partial_path,
    wildcard,
    bad_tls,
    no_tls_version,
    jinja,
    logging_listen,
    mako,
    markup,
    torch,
    timeout,
    snmp_version,
    snmp_crypto,
    host_key,
    tarfile,
    key_size,
    yaml,
];

/// Runs them.
pub(super) fn call(walk: &mut Walk, node: &ExprCall) {
    let path = walk.callee(node);
    let name = path.rsplit('.').next().unwrap_or("");
    let call = Call { node, path: &path, name };
    for test in TESTS {
        if let Some((id, severity, confidence)) = test(walk, &call) {
            walk.hit(id, node.range(), severity, confidence);
        }
    }
}

use Confidence::{High as Sure, Low as Unsure, Medium as Likely};
use Severity::{High, Low, Medium};

fn listed(_: &Walk, call: &Call) -> Verdict {
    let args = &call.node.arguments.args;
    let bare = call.node.func.as_name_expr().is_some_and(|n| n.id.as_str() == "__import__");
    let name = if bare {
        match args.first() {
            Some(Expr::StringLiteral(s)) => s.value.to_str().to_owned(),
            Some(_) => "UNKNOWN".to_owned(),
            None => String::new(),
        }
    } else if matches!(call.path, "importlib.import_module" | "importlib.__import__") {
        match call.arg(0).or_else(|| call.keyword("name"))? {
            Said::Text(text) => text,
            _ => return None,
        }
    } else {
        call.path.to_owned()
    };
    let all = tables::CALLS.iter().chain(tables::IMPORTS);
    let found = all.into_iter().find(|l| l.names.contains(&name.as_str()))?;
    Some((found.test, found.severity, Sure))
}

fn flask_debug(walk: &Walk, call: &Call) -> Verdict {
    (call.path.ends_with(".run") && call.says("debug", "True") && walk.imported_like("flask"))
        .then_some(("B201", High, Likely))
}

const VERBS: &[&str] = &["get", "options", "head", "post", "put", "patch", "delete"];

/// A request by `requests`, or by `httpx`.
fn request(call: &Call) -> bool {
    let verb = VERBS.contains(&call.name);
    match call.path.split('.').next() {
        Some("requests") => verb,
        Some("httpx") => verb || matches!(call.name, "request" | "stream" | "Client" | "AsyncClient"),
        _ => false,
    }
}

fn verify(_: &Walk, call: &Call) -> Verdict {
    (request(call) && call.says("verify", "False")).then_some(("B501", High, Sure))
}

fn timeout(_: &Walk, call: &Call) -> Verdict {
    let requests = call.path.starts_with("requests.") || call.path == "requests";
    (request(call) && (requests && call.silent("timeout") || call.says("timeout", "None")))
        .then_some(("B113", Medium, Unsure))
}

fn is_string(expr: &Expr) -> bool {
    expr.is_string_literal_expr()
}

fn django_extra(_: &Walk, call: &Call) -> Verdict {
    if call.name != "extra" {
        return None;
    }
    let args = &call.node.arguments.args;
    let given = |position: usize, name: &str| args.get(position).or_else(|| call.keyword_expr(name));
    let strings = |e: &Expr| matches!(e, Expr::List(l) if l.elts.iter().all(is_string));
    let lists = [given(1, "where"), given(3, "tables")];
    let select = given(0, "select").is_some_and(|s| match s {
        Expr::Dict(d) => !d.items.iter().all(|i| i.key.as_ref().is_some_and(is_string) && is_string(&i.value)),
        _ => true,
    });
    (lists.into_iter().flatten().any(|l| !strings(l)) || select).then_some(("B610", Medium, Likely))
}

fn django_raw(walk: &Walk, call: &Call) -> Verdict {
    if call.name != "RawSQL" || !walk.imported_like("django.db.models") {
        return None;
    }
    let sql = call.node.arguments.args.first().or_else(|| call.keyword_expr("sql"))?;
    (!is_string(sql)).then_some(("B611", Medium, Likely))
}

fn mark_safe(walk: &Walk, call: &Call) -> Verdict {
    const MAKERS: &[&str] = &["mark_safe", "SafeText", "SafeUnicode", "SafeString", "SafeBytes"];
    if !MAKERS.contains(&call.name) || !walk.imported_like("django.utils.safestring") {
        return None;
    }
    let text = call.node.arguments.args.first()?;
    (!is_string(text) && !fixed(text)).then_some(("B703", Medium, Sure))
}

/// Whether a text is put together from constants alone, by `%` or `format`.
fn fixed(expr: &Expr) -> bool {
    match expr {
        Expr::BinOp(op) if op.op == Operator::Mod && is_string(&op.left) => match op.right.as_ref() {
            Expr::Tuple(t) => t.elts.iter().all(is_string),
            other => is_string(other),
        },
        Expr::Call(call) => match call.func.as_ref() {
            Expr::Attribute(a) => {
                a.attr.as_str() == "format"
                    && a.value.is_literal_expr()
                    && call.arguments.keywords.is_empty()
                    && call.arguments.args.iter().all(is_string)
            }
            _ => false,
        },
        _ => false,
    }
}

fn executed(_: &Walk, call: &Call) -> Verdict {
    (call.path == "exec").then_some(("B102", Medium, Sure))
}

fn permissions(_: &Walk, call: &Call) -> Verdict {
    if !call.name.contains("chmod") || call.node.arguments.args.len() != 2 {
        return None;
    }
    let Some(Said::Number(mode)) = call.arg(1) else { return None };
    (mode & 0o033 != 0).then_some(("B103", if mode & 0o002 != 0 { High } else { Medium }, Sure))
}

fn keyword_password(_: &Walk, call: &Call) -> Verdict {
    let mut keywords = call.node.arguments.keywords.iter();
    let named = |k: &&ruff_python_ast::Keyword| {
        is_string(&k.value) && k.arg.as_ref().is_some_and(|a| super::strings::password_name(a.as_str()))
    };
    keywords.find(named).map(|_| ("B106", Low, Likely))
}

fn hashlib(_: &Walk, call: &Call) -> Verdict {
    let weak = |name: &str| matches!(name, "md4" | "md5" | "sha" | "sha1");
    let security = call.keyword("usedforsecurity").is_none_or(|s| s == Said::Text("True".to_owned()));
    if call.has("hashlib") {
        let name = match call.name {
            "new" => match call.arg(0).or_else(|| call.keyword("name"))? {
                Said::Text(name) => name.to_lowercase(),
                _ => return None,
            },
            name => name.to_owned(),
        };
        return (weak(&name) && security).then_some(("B324", High, Sure));
    }
    let method = match call.name {
        "crypt" => call.arg(1).or_else(|| call.keyword("salt")),
        "mksalt" => call.arg(0).or_else(|| call.keyword("method")),
        _ => None,
    };
    let old = matches!(method, Some(Said::Text(m)) if matches!(m.as_str(), "METHOD_CRYPT" | "METHOD_MD5" | "METHOD_BLOWFISH"));
    (call.has("crypt") && old).then_some(("B324", Medium, Sure))
}

fn hugging_face(walk: &Walk, call: &Call) -> Verdict {
    let module = match call.name {
        "from_pretrained" => "transformers",
        "load_dataset" => "datasets",
        "hf_hub_download" | "snapshot_download" | "repository_id" => "huggingface_hub",
        _ => return None,
    };
    if !call.has(module) || !["transformers", "datasets", "huggingface_hub"].iter().any(|m| walk.imported_like(m)) {
        return None;
    }
    for name in ["revision", "commit_id"] {
        if call.keyword_expr(name).is_some_and(|e| !e.is_literal_expr()) {
            return None;
        }
    }
    if let Some(Said::Text(revision)) = call.keyword("revision").or_else(|| call.keyword("commit_id"))
        && revision.len() >= 7
        && revision.bytes().all(|b| b.is_ascii_hexdigit())
    {
        return None;
    }
    if let Some(Said::Text(first)) = call.arg(0)
        && ["./", "/", "../"].iter().any(|p| first.starts_with(p))
    {
        return None;
    }
    Some(("B615", Medium, Sure))
}

fn paramiko(walk: &Walk, call: &Call) -> Verdict {
    (call.name == "exec_command" && walk.imported_like("paramiko")).then_some(("B601", Medium, Likely))
}

/// Whether `shell` is given and true, or something that is not known.
fn has_shell(call: &Call) -> bool {
    call.keyword_expr("shell").is_some_and(|value| match value {
        Expr::BooleanLiteral(b) => b.value,
        Expr::NumberLiteral(n) => match &n.value {
            Number::Int(i) => i.as_i64() != Some(0),
            Number::Float(f) => *f != 0.0,
            Number::Complex { real, imag } => *real != 0.0 || *imag != 0.0,
        },
        Expr::List(l) => !l.elts.is_empty(),
        Expr::Dict(d) => !d.items.is_empty(),
        Expr::NoneLiteral(_) => false,
        Expr::StringLiteral(s) => !s.value.is_empty(),
        Expr::BytesLiteral(b) => !b.value.is_empty(),
        _ => true,
    })
}

fn subprocess(call: &Call) -> bool {
    tables::SUBPROCESS.contains(&call.path)
}

/// Low for a constant text, high for others.
fn by_text(call: &Call) -> Severity {
    if call.node.arguments.args.first().is_some_and(is_string) { Low } else { High }
}

fn shell_true(_: &Walk, call: &Call) -> Verdict {
    (subprocess(call) && has_shell(call) && !call.node.arguments.args.is_empty()).then(|| ("B602", by_text(call), Sure))
}

fn without_shell(_: &Walk, call: &Call) -> Verdict {
    (subprocess(call) && !has_shell(call)).then_some(("B603", Low, Sure))
}

fn other_shell(_: &Walk, call: &Call) -> Verdict {
    (!subprocess(call) && has_shell(call)).then_some(("B604", Medium, Unsure))
}

fn starts_shell(_: &Walk, call: &Call) -> Verdict {
    (tables::SHELL.contains(&call.path) && !call.node.arguments.args.is_empty()).then(|| ("B605", by_text(call), Sure))
}

fn starts_program(_: &Walk, call: &Call) -> Verdict {
    tables::NO_SHELL.contains(&call.path).then_some(("B606", Low, Likely))
}

fn partial_path(_: &Walk, call: &Call) -> Verdict {
    if !subprocess(call) && !tables::SHELL.contains(&call.path) && !tables::NO_SHELL.contains(&call.path) {
        return None;
    }
    let first = call.node.arguments.args.first()?;
    let first = first.as_list_expr().and_then(|l| l.elts.first()).unwrap_or(first);
    let text = first.as_string_literal_expr()?.value.to_str();
    let drive = text.starts_with(|c: char| c.is_ascii_alphabetic()) && text[1..].starts_with(':');
    (!drive && !text.starts_with(['\\', '/', '.'])).then_some(("B607", Low, Sure))
}

fn wildcard(_: &Walk, call: &Call) -> Verdict {
    let shell = tables::SHELL.contains(&call.path) || subprocess(call) && call.says("shell", "True");
    let text = match call.arg(0).filter(|_| shell)? {
        Said::Text(text) => text,
        Said::List(parts) => parts
            .iter()
            .map(|p| match p {
                Said::Text(text) => format!(" {text}"),
                _ => String::new(),
            })
            .collect(),
        _ => return None,
    };
    let program = ["chown", "chmod", "tar", "rsync"].iter().any(|p| text.contains(p));
    (program && text.contains('*')).then_some(("B609", High, Likely))
}

fn bad_tls(_: &Walk, call: &Call) -> Verdict {
    match call.path {
        "ssl.wrap_socket" => call.old_tls("ssl_version").then_some(("B502", High, Sure)),
        "pyOpenSSL.SSL.Context" => call.old_tls("method").then_some(("B502", High, Sure)),
        _ => (call.old_tls("method") || call.old_tls("ssl_version")).then_some(("B502", Medium, Likely)),
    }
}

fn no_tls_version(_: &Walk, call: &Call) -> Verdict {
    (call.path == "ssl.wrap_socket" && call.silent("ssl_version")).then_some(("B504", Low, Likely))
}

fn jinja(_: &Walk, call: &Call) -> Verdict {
    if call.name != "Environment" || !call.has("jinja2") {
        return None;
    }
    match call.keyword_expr("autoescape") {
        None => Some(("B701", High, Sure)),
        Some(Expr::BooleanLiteral(b)) => (!b.value).then_some(("B701", High, Sure)),
        Some(Expr::Call(c)) if crate::native::last_name(&c.func) == "select_autoescape" => None,
        Some(_) => Some(("B701", High, Likely)),
    }
}

fn logging_listen(_: &Walk, call: &Call) -> Verdict {
    (call.path == "logging.config.listen" && call.keyword_expr("verify").is_none()).then_some(("B612", Medium, Sure))
}

fn mako(_: &Walk, call: &Call) -> Verdict {
    (call.name == "Template" && call.has("mako")).then_some(("B702", Medium, Sure))
}

fn markup(_: &Walk, call: &Call) -> Verdict {
    let known = matches!(call.path, "markupsafe.Markup" | "flask.Markup");
    (known && call.node.arguments.args.first().is_some_and(|a| !a.is_literal_expr())).then_some(("B704", Medium, Sure))
}

fn torch(walk: &Walk, call: &Call) -> Verdict {
    let known = matches!(call.path, "torch.load" | "torch.serialization.load");
    (known && walk.imported("torch") && !call.says("weights_only", "True")).then_some(("B614", Medium, Sure))
}

fn snmp_version(_: &Walk, call: &Call) -> Verdict {
    let old = matches!(call.keyword("mpModel"), Some(Said::Number(0 | 1)));
    (call.path == "pysnmp.hlapi.CommunityData" && old).then_some(("B508", Medium, Sure))
}

fn snmp_crypto(_: &Walk, call: &Call) -> Verdict {
    (call.path == "pysnmp.hlapi.UsmUserData" && call.node.arguments.args.len() < 3).then_some(("B509", Medium, Sure))
}

fn host_key(walk: &Walk, call: &Call) -> Verdict {
    if call.name != "set_missing_host_key_policy" || !walk.imported_like("paramiko") {
        return None;
    }
    let policy = match call.node.arguments.args.first()? {
        Expr::Call(c) => c.func.as_ref(),
        other => other,
    };
    let name = match policy {
        Expr::Name(n) => n.id.as_str(),
        Expr::Attribute(a) => a.attr.as_str(),
        _ => "",
    };
    matches!(name, "AutoAddPolicy" | "WarningPolicy").then_some(("B507", High, Likely))
}

fn tarfile(walk: &Walk, call: &Call) -> Verdict {
    if !call.name.contains("extractall") || !walk.imported("tarfile") {
        return None;
    }
    let filtered = matches!(call.keyword_expr("filter"), Some(Expr::StringLiteral(s)) if s.value.to_str() == "data");
    match call.keyword_expr("members") {
        _ if filtered => None,
        None => Some(("B202", High, Sure)),
        // Bandit stumbles over a method here and says nothing.
        Some(Expr::Call(c)) => c.func.is_name_expr().then_some(("B202", Low, Unsure)),
        Some(_) => Some(("B202", Medium, Likely)),
    }
}

fn key_size(_: &Walk, call: &Call) -> Verdict {
    let by_size = |name: &str, position: usize| {
        // Zero and nothing count as not given.
        let given = [call.keyword(name), call.arg(position)];
        match given.into_iter().flatten().find(|s| !matches!(s, Said::Nothing | Said::Number(0))) {
            Some(Said::Number(size)) => size,
            _ => 2048,
        }
    };
    let size = match call.path {
        "cryptography.hazmat.primitives.asymmetric.dsa.generate_private_key" => by_size("key_size", 0),
        "cryptography.hazmat.primitives.asymmetric.rsa.generate_private_key" => by_size("key_size", 1),
        "Crypto.PublicKey.DSA.generate"
        | "Crypto.PublicKey.RSA.generate"
        | "Cryptodome.PublicKey.DSA.generate"
        | "Cryptodome.PublicKey.RSA.generate" => by_size("bits", 0),
        "cryptography.hazmat.primitives.asymmetric.ec.generate_private_key" => {
            let curve = call.keyword("curve").filter(|c| *c != Said::Nothing).or_else(|| call.arg(0));
            let Some(Said::Text(curve)) = curve else { return None };
            let bits = tables::SMALL_CURVES.iter().find(|(name, _)| *name == curve)?.1;
            return (bits < 224).then_some(("B505", Medium, Sure));
        }
        _ => return None,
    };
    match size {
        ..1024 => Some(("B505", High, Sure)),
        1024..2048 => Some(("B505", Medium, Sure)),
        _ => None,
    }
}

fn yaml(walk: &Walk, call: &Call) -> Verdict {
    let safe = |s: Option<Said>| matches!(s, Some(Said::Text(t)) if matches!(t.as_str(), "SafeLoader" | "CSafeLoader"));
    (call.name == "load"
        && call.has("yaml")
        && walk.imported("yaml")
        && !safe(call.keyword("Loader"))
        && !safe(call.arg(1)))
    .then_some(("B506", Medium, Sure))
}
