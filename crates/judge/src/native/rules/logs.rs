//! What reaches a log, and in what form.

use crate::native::{
    engine::Engine,
    names,
    rule::{Call, Check},
    value::{Value, clean, taint},
};
use ruff_python_ast::Expr;

rule!(LOG_INJECTION, "log-injection", [117, 93], Medium, Low,
    what: "Looks for foreign text in log lines.",
    why: "A line break in the value begins a line of its own, so whoever chose it writes entries that never happened.",
    remedy: "remove `\\r` and `\\n` from the value, or log its `repr` (`%r`)",
    [Check::Call(METHODS, logged), Check::Call(&["write", "print"], written)]);

rule!(SECRET_LOGGED, "secret-logged", [532, 312, 200, 209], Medium, High,
    what: "Looks for passwords, tokens and keys in log lines.",
    why: "Logs are read by more people, and kept longer, than the secret was meant for.",
    remedy: "leave the secret out of the message",
    [Check::Call(METHODS, secret), Check::Call(&["print"], secret)]);

const METHODS: &[&str] = &["debug", "info", "warning", "warn", "error", "critical", "exception", "log", "msg"];

/// Whether a call writes to a log.
fn is_log(call: &Call<'_>) -> bool {
    let object = call.path.rsplit_once('.').map_or("", |(o, _)| o).to_ascii_lowercase();
    call.name != "msg" && (object.contains("log") || object.ends_with("_logger")) || call.path == "syslog.syslog"
}

fn logged<'a>(cx: &mut Engine<'a>, call: &Call<'a>) {
    if !is_log(call) {
        return;
    }
    let format = call.args.first().map_or("", |f| f.text());
    for (i, value) in call.args.iter().enumerate() {
        let spelled = format.contains("%r") && i > 0;
        // A parameter is a foreign text where the code pastes it into the line by hand; a lazy argument mostly is the program's.
        let sources = if value.built() { taint::PARAM | taint::OUTSIDE } else { taint::OUTSIDE };
        if !spelled && cx.dirty(value, sources, clean::CRLF) && named(value) {
            cx.report_from(&LOG_INJECTION, call.range, Some(value));
            return;
        }
    }
}

/// An exception's or object's own text is the program's.
fn named(value: &Value<'_>) -> bool {
    !value.from(taint::ERROR)
}

fn written<'a>(cx: &mut Engine<'a>, call: &Call<'a>) {
    // A line appended to a text file is a log line, whatever the file is called.
    let Some(receiver) = &call.receiver else { return };
    let Some(Expr::Call(opened)) = receiver.expr else { return };
    if call.name != "write" || names::last(&opened.func) != "open" {
        return;
    }
    let mode = opened.arguments.find_argument_value("mode", if opened.func.is_attribute_expr() { 0 } else { 1 });
    let mode = mode.map(|m| cx.peek(m)).unwrap_or_default();
    let Some(line) = call.args.first() else { return };
    if mode.as_str().is_some_and(|m| m.starts_with('a'))
        && line.built()
        && line.text().ends_with('\n')
        && cx.dirty(line, taint::PARAM | taint::OUTSIDE, clean::CRLF)
    {
        cx.report_from(&LOG_INJECTION, call.range, Some(line));
    }
}

fn secret<'a>(cx: &mut Engine<'a>, call: &Call<'a>) {
    if call.name != "print" && !is_log(call) {
        return;
    }
    for argument in &call.expr.arguments.args {
        if let Some(value) = names_secret(cx, argument) {
            cx.report_from(&SECRET_LOGGED, call.range, Some(&value));
            return;
        }
    }
}

/// The value of a secret that an expression shows, found by the names it reads.
pub(super) fn names_secret<'a>(cx: &mut Engine<'a>, expr: &'a Expr) -> Option<Value<'a>> {
    secret_within(cx, expr, 12)
}

/// [`names_secret`] down to a depth: a name may have been made from itself.
fn secret_within<'a>(cx: &mut Engine<'a>, expr: &'a Expr, depth: usize) -> Option<Value<'a>> {
    let depth = depth.checked_sub(1)?;
    match expr {
        Expr::Name(_) | Expr::Attribute(_) | Expr::Subscript(_) => {
            let name = names::last(expr);
            let value = cx.peek(expr);
            let shown = names::mentions(name, names::SECRET) && !about(name);
            let open = value.dynamic() && cx.clean(&value) & clean::OPAQUE == 0 && value.loose & clean::OPAQUE == 0;
            if shown && open {
                return Some(value);
            }
            // A string put together from a secret, or a mapping that holds one.
            match cx.resolve(expr) {
                inner @ (Expr::FString(_) | Expr::BinOp(_) | Expr::Dict(_)) => secret_within(cx, inner, depth.min(4)),
                _ => None,
            }
        }
        Expr::FString(f) => {
            for element in f.value.elements() {
                if let ruff_python_ast::InterpolatedStringElement::Interpolation(hole) = element
                    && let Some(found) = secret_within(cx, &hole.expression, depth)
                {
                    return Some(found);
                }
            }
            None
        }
        Expr::BinOp(op) => secret_within(cx, &op.left, depth).or_else(|| secret_within(cx, &op.right, depth)),
        Expr::Tuple(t) => t.elts.iter().find_map(|e| secret_within(cx, e, depth)),
        Expr::Dict(d) => d.items.iter().find_map(|i| secret_within(cx, &i.value, depth)),
        Expr::Call(call)
            if matches!(names::last(&call.func), "format" | "str" | "repr" | "decode" | "encode" | "dict") =>
        {
            call.arguments
                .args
                .iter()
                .chain(call.arguments.keywords.iter().map(|k| &k.value))
                .find_map(|a| secret_within(cx, a, depth))
                .or_else(|| match call.func.as_ref() {
                    Expr::Attribute(a) => secret_within(cx, &a.value, depth),
                    _ => None,
                })
        }
        _ => None,
    }
}

/// Names that speak about a secret without being one: `token_type`, `password_length`.
pub(super) fn about(name: &str) -> bool {
    names::mentions(
        name,
        &[
            "id", "type", "name", "length", "len", "count", "hash", "hashed", "digest", "url", "uri", "path", "file",
            "field", "expiry", "expire", "expires", "ttl", "policy", "rule", "min", "max", "public", "salt", "label",
            "prompt", "size", "form", "template", "reset", "status", "number", "index", "limit", "usage", "pattern",
            "regex", "env", "var", "error", "message", "kind", "class", "header", "param", "prefix", "endpoint",
            "column", "tokens", "at", "sha256",
        ],
    ) || name.ends_with("tokens")
}
