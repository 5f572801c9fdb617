//! Secrets in code, in command lines, in representations and in tables.

use crate::native::{
    engine::Engine,
    names,
    rule::{Assign, Call, Check, Compare},
    value::{Value, clean},
};
use ruff_python_ast::{Expr, Stmt};
use ruff_text_size::Ranged;

rule!(HARDCODED, "hardcoded-secret", [798, 259, 321, 547], High, Medium,
    what: "Looks for passwords, keys and tokens written into the code.",
    why: "Everybody who reads the code has the secret, and changing it means changing the program.",
    remedy: "read it from the environment or a secret store",
    [Check::Assign(assigned), Check::AnyCall(passed), Check::Compare(compared)]);

rule!(DEFAULT, "default-credential", [1391, 1392, 798, 259], High, High,
    what: "Looks for secrets that default to a constant.",
    why: "Where the setting is forgotten, everybody knows the secret.",
    remedy: "fail when the setting is missing",
    [Check::Call(&["get", "getenv", "config", "env", "setdefault"], defaulted)]);

rule!(COMMAND_LINE, "secret-on-command-line", [214, 522, 200], Medium, High,
    what: "Looks for secrets in the arguments of a program.",
    why: "Every user of the machine sees the arguments in the list of processes.",
    remedy: "pass the secret in the environment or on standard input",
    [Check::Call(&["run", "call", "check_call", "check_output", "Popen", "system"], command)]);

rule!(REPR, "secret-in-repr", [522, 532, 200], Low, Medium,
    what: "Looks for dataclasses whose representation shows a secret.",
    why: "Logs and error reports print representations.",
    remedy: "declare the field with `field(repr=False)`",
    [Check::Statement(dataclass)]);

rule!(ENVIRONMENT, "environment-shown", [497, 200, 526], Medium, Medium,
    what: "Looks for the whole environment put into a report or an answer.",
    why: "The environment holds passwords and keys.",
    remedy: "pick the variables that are needed",
    [Check::Assign(dumped), Check::Return(dumped_return)]);

rule!(TOKEN_STORED, "token-stored-clear", [312, 522, 256], Low, Low,
    what: "Looks for access tokens kept as they are.",
    why: "Whoever reads the table can use every token in it.",
    remedy: "store a SHA-256 digest of the token",
    [Check::Assign(kept)]);

/// Words of things that must not stand in code.
const KEPT: &[&str] = &[
    "password",
    "passwd",
    "pwd",
    "passphrase",
    "secret",
    "token",
    "apikey",
    "secretkey",
    "privatekey",
    "accesskey",
    "authkey",
    "credential",
    "signingkey",
    "encryptionkey",
    "jwtkey",
    "passcode",
    "hmackey",
    "cookiesecret",
    "masterkey",
    "aeskey",
    "fernetkey",
    "cookiekey",
    "sharedkey",
    "jwtsecret",
    "pin",
    "pw",
    "key",
];

/// Whether a constant reads like a secret and not like a placeholder, a name or a message.
fn secret_text(value: &Value<'_>) -> bool {
    let Some(text) = value.as_str() else { return false };
    let trimmed = text.trim();
    trimmed.len() >= 3
        && !trimmed.contains([' ', '<', '{', '\n', '$', '%'])
        && !trimmed.starts_with(['/', '.', '-'])
        && !trimmed.contains("://")
        && !trimmed.ends_with(':')
        && !matches!(
            trimmed.to_ascii_lowercase().as_str(),
            "none" | "null" | "true" | "false" | "str" | "string" | "text" | "bearer" | "basic"
        )
        && !trimmed.chars().all(|c| c == '*' || c == 'x' || c == '.')
}

/// Whether a constant is only the name of something: `password = "password"`.
fn names_itself(name: &str, text: &str) -> bool {
    let plain = |s: &str| names::words(s).collect::<String>();
    let (name, text) = (plain(name), plain(text));
    name == text || text.is_empty() || name.ends_with(&text) && text.len() > 3 || text.ends_with(&name)
}

fn secret_name(name: &str) -> bool {
    if !names::mentions(name, KEPT) || super::logs::about(name) {
        return false;
    }
    // `key` alone is an index; `SECRET_KEY` and `signing_key` are keys.
    let only_key = names::mentions(name, &["key"]) && !names::mentions(name, &KEPT[..KEPT.len() - 1]);
    !only_key
        || names::mentions(
            name,
            &[
                "secret",
                "signing",
                "encryption",
                "aes",
                "hmac",
                "jwt",
                "private",
                "api",
                "auth",
                "master",
                "fernet",
                "crypto",
                "cookie",
                "session",
                "app",
            ],
        )
}

fn assigned<'a>(cx: &mut Engine<'a>, assign: &Assign<'a>) {
    if assign.augmented || assign.value.dynamic() {
        return;
    }
    let Some(text) = assign.value.as_str() else { return };
    if !secret_name(assign.name) {
        return;
    }
    let flask = matches!(assign.target, Expr::Attribute(_)) && assign.name == "secret_key";
    let configured = assign.name == "SECRET_KEY" && assign.target.is_subscript_expr();
    let literal =
        assign.value.expr.is_some_and(|e| matches!(e, Expr::StringLiteral(_) | Expr::BytesLiteral(_) | Expr::Name(_)));
    if (flask || configured) && !text.is_empty() && !assign.value.dynamic()
        || literal && secret_text(&assign.value) && !names_itself(assign.name, text)
    {
        cx.report(&HARDCODED, assign.range);
    }
}

fn passed<'a>(cx: &mut Engine<'a>, call: &Call<'a>) {
    for (name, value) in &call.keywords {
        let Some(name) = name else { continue };
        let literal = value.expr.is_some_and(|e| matches!(e, Expr::StringLiteral(_) | Expr::BytesLiteral(_)));
        if literal
            && secret_name(name)
            && secret_text(value)
            && !names_itself(name, value.as_str().unwrap_or(""))
            && !matches!(*name, "key" | "sort_key")
        {
            cx.report(&HARDCODED, call.range);
            return;
        }
    }
    // Constant keys of signatures, ciphers and tokens, by position.
    let keyed = match call.path {
        "hmac.new" | "jwt.encode" | "jwt.decode" | "cryptography.fernet.Fernet" => {
            let position = usize::from(call.path.starts_with("jwt."));
            call.args.get(position)
        }
        path if path.ends_with("algorithms.AES") || path.ends_with("AES.new") || path.ends_with(".AESGCM") => {
            call.args.first()
        }
        _ => None,
    };
    if let Some(key) = keyed
        && key.expr.is_some_and(|e| matches!(e, Expr::StringLiteral(_) | Expr::BytesLiteral(_)))
        && key.as_str().is_some_and(|k| !k.is_empty())
        && !cx
            .findings
            .iter()
            .any(|f| std::ptr::eq(f.rule, &HARDCODED) && key.expr.is_some_and(|e| f.range.contains_range(e.range())))
    {
        cx.report(&HARDCODED, call.range);
    }
}

fn compared<'a>(cx: &mut Engine<'a>, compare: &Compare<'a>) {
    if !matches!(compare.op, ruff_python_ast::CmpOp::Eq | ruff_python_ast::CmpOp::NotEq) {
        return;
    }
    if !compare.right_expr.is_string_literal_expr() {
        return;
    }
    let name = names::last(compare.left_expr);
    let text = compare.right.as_str().unwrap_or("");
    if text.len() >= 4
        && secret_name(name)
        && secret_text(&compare.right)
        && !names_itself(name, text)
        && compare.left.dynamic()
    {
        cx.report(&HARDCODED, compare.range);
    }
}

fn defaulted<'a>(cx: &mut Engine<'a>, call: &Call<'a>) {
    let environment =
        call.is(&["os.environ.get", "os.getenv", "os.environ.setdefault"]) || matches!(call.path, "config" | "env");
    let Some(name) = call.args.first().and_then(|n| n.as_str()) else { return };
    let Some(default) = call.args.get(1).or_else(|| call.keyword("default")) else { return };
    let secret = names::mentions(name, KEPT) && secret_name(name);
    if environment && secret && default.as_str().is_some_and(|d| !d.is_empty()) {
        cx.report(&DEFAULT, call.range);
    }
}

fn command<'a>(cx: &mut Engine<'a>, call: &Call<'a>) {
    if !call.under(&["subprocess.", "os."]) {
        return;
    }
    let Some(first) = call.args.first() else { return };
    let parts: Vec<&'a Expr> = match first.expr {
        Some(Expr::List(list)) => list.elts.iter().skip(1).collect(),
        Some(other) => vec![other],
        None => return,
    };
    for part in parts {
        if super::logs::names_secret(cx, part).is_some() {
            cx.report(&COMMAND_LINE, part.range());
            return;
        }
    }
}

fn dataclass<'a>(cx: &mut Engine<'a>, stmt: &'a Stmt) {
    let Stmt::ClassDef(class) = stmt else { return };
    let decorated = class.decorator_list.iter().any(|d| {
        let text = cx.text(&d.expression);
        (text.starts_with("dataclass") || text.starts_with("dataclasses.dataclass")) && !text.contains("repr=False")
    });
    if !decorated || class.body.iter().any(|s| matches!(s, Stmt::FunctionDef(f) if f.name.as_str() == "__repr__")) {
        return;
    }
    for stmt in &class.body {
        let Stmt::AnnAssign(field) = stmt else { continue };
        let name = names::last(&field.target);
        let hidden = field.value.as_deref().is_some_and(|v| cx.text(v).contains("repr=False"))
            || cx.text(field.annotation.as_ref()).contains("SecretStr");
        if names::mentions(name, names::SECRET) && !super::logs::about(name) && !hidden {
            cx.report(&REPR, stmt.range());
        }
    }
}

/// `dict(os.environ)` and its kin.
fn whole_environment<'a>(cx: &Engine<'a>, expr: &'a Expr) -> bool {
    let text = cx.text(expr);
    matches!(
        text,
        "dict(os.environ)"
            | "os.environ.copy()"
            | "os.environ.items()"
            | "{**os.environ}"
            | "os.environ"
            | "dict(os.environ.items())"
            | "sorted(os.environ.items())"
    ) || text.starts_with("json.dumps(dict(os.environ)")
}

fn dumped<'a>(cx: &mut Engine<'a>, assign: &Assign<'a>) {
    let starts = cx.function_text();
    if assign.target.is_subscript_expr()
        && assign.value.expr.is_some_and(|e| whole_environment(cx, e))
        && !["subprocess", "env=", "Popen", "execve"].iter().any(|s| starts.contains(s))
    {
        cx.report(&ENVIRONMENT, assign.range);
    }
}

fn dumped_return<'a>(cx: &mut Engine<'a>, value: &Value<'a>, range: ruff_text_size::TextRange) {
    let Some(expr) = value.expr else { return };
    let inside = match expr {
        Expr::Dict(d) => d.items.iter().any(|i| whole_environment(cx, &i.value)),
        Expr::Call(c) => {
            matches!(names::last(&c.func), "jsonify" | "JSONResponse" | "JsonResponse" | "dumps")
                && (c.arguments.args.iter().any(|a| whole_environment(cx, a))
                    || c.arguments.keywords.iter().any(|k| whole_environment(cx, &k.value)))
        }
        _ => false,
    };
    if inside {
        cx.report(&ENVIRONMENT, range);
    }
}

fn kept<'a>(cx: &mut Engine<'a>, assign: &Assign<'a>) {
    // `tokens[token] = user`: the token itself is the key.
    let Expr::Subscript(target) = assign.target else { return };
    if !target.slice.is_name_expr() {
        return;
    }
    let container = names::last(&target.value);
    let key = cx.peek(&target.slice);
    let function = cx.function_name();
    let short_lived = ["reset", "forgot", "invite", "confirm", "csrf"];
    let short_lived = names::mentions(container, &short_lived) || names::mentions(function, &short_lived);
    let issues = names::mentions(function, &["token", "apikey", "accesskey"]);
    if issues
        && !short_lived
        && key.path().starts_with("secrets.token_")
        && !key.path().contains("hashlib")
        && key.clean & clean::OPAQUE != 0
    {
        cx.report(&TOKEN_STORED, assign.range);
    }
}
