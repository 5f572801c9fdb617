//! Who may do what: logins, owners, attempts, expiry.

use crate::native::{
    engine::{Engine, leaves},
    names,
    rule::{Call, Check},
    value::{Value, clean, taint},
};
use ruff_python_ast::{ExceptHandlerExceptHandler, Expr, Stmt, StmtFunctionDef};
use ruff_text_size::{Ranged, TextRange};

rule!(NO_LOGIN, "missing-authentication", [306, 862, 285], High, Low,
    what: "Looks for routes that delete without asking who asks.",
    why: "Anybody who can reach the server can send the request.",
    remedy: "require a login before the change",
    [Check::Function(open_route)]);

rule!(NO_OWNER, "missing-owner-check", [639, 862, 285, 284], High, Low,
    what: "Looks for views that answer with a record by its number, whoever asks.",
    why: "Counting the number up shows everybody's records.",
    remedy: "compare the record's owner with the user of the session",
    [Check::Return(record)]);

rule!(UNUSED_IDENTITY, "identity-not-used", [639, 862, 285, 284], High, Medium,
    what: "Looks for functions that are given the user and look a record up without them.",
    why: "The record is found by its number alone, so every user gets every record.",
    remedy: "add the owner to the query, or compare it afterwards",
    [Check::Function(identity)]);

rule!(ATTEMPTS, "unlimited-attempts", [307, 799], Medium, Medium,
    what: "Looks for failed logins that are counted and never limited.",
    why: "A short PIN or a common password falls to a program that tries them all.",
    remedy: "refuse, or wait, after a few failures",
    [Check::Function(attempts)]);

rule!(EMPTY_PASSWORD, "empty-bind-password", [287, 521, 258], High, Medium,
    what: "Looks for directory logins with a password that may be empty.",
    why: "A bind with an empty password is anonymous and succeeds, so everybody is logged in.",
    remedy: "refuse an empty password before the bind",
    [Check::Call(&["simple_bind_s", "simple_bind", "bind_s", "bind", "Connection"], bound)]);

rule!(UNKNOWN_USER, "default-for-unknown-user", [287, 1390], High, Medium,
    what: "Looks for stored secrets that default to an empty text for users that do not exist.",
    why: "Who names an unknown user and sends an empty secret is let in.",
    remedy: "refuse when nothing is stored",
    [Check::Call(&["compare_digest", "check_password_hash", "checkpw"], compared)]);

rule!(NO_EXPIRY, "unused-timestamp", [640, 613, 324], Medium, Low,
    what: "Looks for tokens whose time of issue is stored and never looked at.",
    why: "An old token, from a mailbox or a log, works for ever.",
    remedy: "refuse tokens that are older than some minutes",
    [Check::Function(expiry)]);

rule!(FAILS_OPEN, "fails-open", [636, 280, 755, 703], High, High,
    what: "Looks for permission checks that say yes when they fail.",
    why: "Whoever can make the check fail is let in.",
    remedy: "answer no when the check raises",
    [Check::Except(fails_open)]);

const IDENTITY: &[&str] = &[
    "session",
    "login",
    "auth",
    "current_user",
    "g.user",
    "owner",
    "request.user",
    "permission",
    "require",
    "token",
    "user_id",
    "abort(401)",
    "abort(403)",
    "Depends(",
    "principal",
    "identity",
    "role",
];

fn open_route<'a>(cx: &mut Engine<'a>, def: &'a StmtFunctionDef) {
    let Some(function) = cx.function() else { return };
    let deletes = function.decorators.iter().any(|(path, d)| {
        let text = &cx.source[d.range()];
        path.ends_with(".delete") && path.contains('.')
            || path.ends_with(".route") && text.contains("\"DELETE\"")
            || text.contains("'DELETE'")
    });
    if !deletes {
        return;
    }
    let text = cx.text(def);
    let guarded = IDENTITY.iter().any(|w| text.contains(w))
        || cx.source.contains("before_request")
        || cx.source.contains("dependencies=");
    if !guarded {
        cx.report(&NO_LOGIN, def.name.range());
    }
}

fn record<'a>(cx: &mut Engine<'a>, value: &Value<'a>, range: TextRange) {
    let Some(Expr::Call(call)) = value.expr else { return };
    if !matches!(names::last(&call.func), "jsonify" | "JsonResponse" | "JSONResponse" | "render" | "render_template") {
        return;
    }
    let Some(function) = cx.function() else { return };
    let numbered = function
        .def
        .parameters
        .iter_non_variadic_params()
        .map(|p| p.parameter.name.as_str())
        .find(|n| n.ends_with("_id") && !n.starts_with("user"));
    let Some(number) = numbered else { return };
    let text = cx.function_text();
    let asks = [
        "session",
        "login",
        "auth",
        "current_user",
        "g.user",
        "owner",
        "request.user",
        "permission",
        "token",
        "user_id",
        "Depends(",
    ];
    if asks.iter().any(|w| text.contains(w)) {
        return;
    }
    // The whole record is shown, and it was found by the number.
    let shown = call.arguments.args.first().is_some_and(Expr::is_name_expr);
    let found = text.contains(&format!(".get({number})")) || text.contains(&format!("[{number}]"));
    if shown && found {
        cx.report(&NO_OWNER, range);
    }
}

fn identity<'a>(cx: &mut Engine<'a>, def: &'a StmtFunctionDef) {
    let parameters: Vec<&str> = def.parameters.iter_non_variadic_params().map(|p| p.parameter.name.as_str()).collect();
    let user = parameters.iter().find(|p| {
        matches!(**p, "current_user" | "user" | "owner" | "uid" | "viewer")
            || p.ends_with("_id")
                && names::mentions(
                    p,
                    &["user", "owner", "account", "viewer", "customer", "tenant", "member", "author", "current"],
                )
    });
    let other = parameters.iter().find(|p| p.ends_with("_id") && Some(*p) != user);
    let (Some(user), Some(_)) = (user, other) else { return };
    let Some(first) = def.body.first() else { return };
    let body = &cx.source[TextRange::new(first.start(), def.end())];
    let queries =
        body.contains(".execute(") || body.contains(".get(") || body.contains("SELECT ") || body.contains(".filter");
    if queries && !mentions_word(body, user) {
        cx.report(&UNUSED_IDENTITY, def.name.range());
    }
}

/// Whether an identifier occurs in a text as a word of its own.
pub(super) fn mentions_word(text: &str, word: &str) -> bool {
    text.match_indices(word).any(|(at, _)| {
        let part = |c: char| c.is_alphanumeric() || c == '_';
        !text[..at].ends_with(part) && !text[at + word.len()..].starts_with(part)
    })
}

fn attempts<'a>(cx: &mut Engine<'a>, def: &'a StmtFunctionDef) {
    let text = cx.text(def);
    let subscripted = |s: &Stmt| match s {
        Stmt::Assign(s) => matches!(s.targets.as_slice(), [Expr::Subscript(_)]),
        Stmt::AugAssign(s) => s.target.is_subscript_expr(),
        _ => false,
    };
    if !def.body.iter().any(subscripted)
        || !["compare_digest", "check_password", "checkpw", "== ", "verify"].iter().any(|c| text.contains(c))
    {
        return;
    }
    for stmt in &def.body {
        let (target, line) = match stmt {
            Stmt::Assign(s) if s.targets.len() == 1 => (&s.targets[0], cx.text(s)),
            Stmt::AugAssign(s) => (s.target.as_ref(), cx.text(s)),
            _ => continue,
        };
        let Expr::Subscript(counter) = target else { continue };
        let name = names::last(&counter.value);
        let counts = line.contains("+ 1") || line.contains("+= 1");
        let failures = names::mentions(
            name,
            &[
                "fail", "failure", "failed", "attempt", "tries", "trie", "try", "error", "count", "counter", "miss",
                "misse", "bad", "wrong",
            ],
        );
        // Compared anywhere, as a number or with a limit, it is limited.
        let limited = text.contains(">=") || text.contains("> ") || text.contains("< ") || text.contains("<=");
        if counts && failures && !limited {
            cx.report(&ATTEMPTS, stmt.range());
        }
    }
}

fn bound<'a>(cx: &mut Engine<'a>, call: &Call<'a>) {
    let password = if call.name == "Connection" {
        if !call.under(&["ldap3."]) {
            return;
        }
        call.arg(2, "password")
    } else {
        if !call.path.contains("ldap") {
            return;
        }
        call.args.get(1)
    };
    if let Some(password) = password
        && cx.dirty(password, taint::PARAM | taint::REQUEST, clean::NONZERO)
    {
        cx.report_from(&EMPTY_PASSWORD, call.range, Some(password));
    }
}

fn compared<'a>(cx: &mut Engine<'a>, call: &Call<'a>) {
    for argument in &call.expr.arguments.args {
        let Expr::Call(getter) = cx.resolve(argument) else { continue };
        if names::last(&getter.func) != "get" || !getter.func.is_attribute_expr() {
            continue;
        }
        let Some(default) = getter.arguments.args.get(1) else { continue };
        let default = cx.peek(default);
        let object = getter.func.as_attribute_expr().map(|a| cx.peek(&a.value)).unwrap_or_default();
        let headers = object.path().contains("request") || object.path().contains("environ");
        if default.text == Some("") && !default.dynamic() && !headers {
            cx.report(&UNKNOWN_USER, call.range);
        }
    }
}

fn expiry<'a>(cx: &mut Engine<'a>, def: &'a StmtFunctionDef) {
    let text = cx.text(def);
    for stmt in &def.body {
        let Stmt::Assign(s) = stmt else { continue };
        let [Expr::Tuple(targets)] = s.targets.as_slice() else { continue };
        let token = names::mentions(
            cx.text(s.value.as_ref()),
            &["token", "reset", "code", "link", "invite", "pending", "request"],
        );
        for target in &targets.elts {
            let name = names::last(target);
            let time = names::mentions(
                name,
                &[
                    "created",
                    "issued",
                    "time",
                    "timestamp",
                    "expires",
                    "expiry",
                    "when",
                    "since",
                    "stamp",
                    "at",
                    "date",
                    "deadline",
                ],
            );
            if time && token && text.matches(name).count() == 1 {
                cx.report(&NO_EXPIRY, stmt.range());
            }
        }
    }
}

fn fails_open<'a>(cx: &mut Engine<'a>, handler: &'a ExceptHandlerExceptHandler) {
    let permits = names::words(cx.function_name()).any(|w| {
        matches!(
            w.as_str(),
            "can"
                | "may"
                | "allowed"
                | "allow"
                | "access"
                | "authorized"
                | "authorize"
                | "permitted"
                | "permission"
                | "valid"
                | "verify"
                | "verified"
                | "authenticate"
                | "authenticated"
                | "check"
                | "admin"
                | "has"
                | "login"
                | "trusted"
        )
    });
    if !permits || !leaves(&handler.body) {
        return;
    }
    if let Some(Stmt::Return(s)) = handler.body.last()
        && s.value.as_deref().is_some_and(|v| v.as_boolean_literal_expr().is_some_and(|b| b.value))
    {
        cx.report(&FAILS_OPEN, s.range());
    }
}
