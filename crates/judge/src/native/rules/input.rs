//! Input that is checked in the wrong way.

use crate::native::{
    engine::Engine,
    names,
    rule::{Call, Check, Compare, Subscript},
    value::{clean, taint},
};
use ruff_python_ast::{CmpOp, Expr};
use ruff_text_size::Ranged;

rule!(SUBSTRING, "url-substring-check", [20, 183, 346, 601], Medium, High,
    what: "Looks for hosts that are searched for anywhere in an address.",
    why: "`https://evil.test/?example.com` and `https://example.com.evil.test` contain the host too.",
    remedy: "compare the `hostname` of `urlsplit(url)`",
    [Check::Compare(contains), Check::Call(&["startswith", "endswith", "find"], prefix)]);

rule!(CASE, "case-sensitive-list", [178, 1289, 184], Medium, Medium,
    what: "Looks for names checked against a list of forbidden ones without folding their case.",
    why: "`Admin` and `shell.PHP` are not in a list of lower-case names.",
    remedy: "compare `name.casefold()`",
    [Check::Compare(listed)]);

rule!(LENGTH_FIELD, "unchecked-length-field", [1284, 130, 789, 770], Medium, Medium,
    what: "Looks for lengths read from a message and used before they are compared with anything.",
    why: "The sender can promise more than there is, or more than the memory holds.",
    remedy: "compare the length with the data at hand and with a limit",
    [Check::Subscript(sliced), Check::Call(&["bytearray", "bytes", "read", "recv", "range"], allocated)]);

/// Whether a constant looks like a host: `example.com`.
fn is_host(text: &str) -> bool {
    let text = text.trim_start_matches("https://").trim_start_matches("http://");
    text.contains('.')
        && !text.starts_with('.')
        && !text.contains(['/', ' ', '@', '\0'])
        && text
            .rsplit('.')
            .next()
            .is_some_and(|tld| (2..=6).contains(&tld.len()) && tld.bytes().all(|b| b.is_ascii_lowercase()))
        && !matches!(
            text.rsplit('.').next(),
            Some(
                "py" | "txt"
                    | "html"
                    | "json"
                    | "csv"
                    | "xml"
                    | "jpg"
                    | "png"
                    | "gz"
                    | "zip"
                    | "exe"
                    | "php"
                    | "log"
                    | "sh"
                    | "ini"
                    | "yml"
                    | "yaml"
                    | "md"
                    | "pdf"
                    | "js"
                    | "css"
                    | "conf"
                    | "cfg"
            )
        )
}

fn contains<'a>(cx: &mut Engine<'a>, compare: &Compare<'a>) {
    let host = compare.left.as_str().is_some_and(is_host);
    let container = compare.right.dynamic() && !compare.right_expr.is_list_expr();
    if !matches!(compare.op, CmpOp::In | CmpOp::NotIn) || !host || !container {
        return;
    }
    let address = names::mentions(
        names::last(compare.right_expr),
        &[
            "url", "link", "uri", "address", "href", "host", "origin", "referer", "referrer", "domain", "netloc",
            "target", "location", "redirect",
        ],
    ) || names::mentions(
        cx.function_name(),
        &["url", "link", "site", "host", "domain", "origin", "us", "internal"],
    );
    if address && compare.right.from(taint::FOREIGN) || compare.right.from(taint::REQUEST) {
        cx.report(&SUBSTRING, compare.range);
    }
}

fn prefix<'a>(cx: &mut Engine<'a>, call: &Call<'a>) {
    let Some(prefix) = call.args.first().and_then(|p| p.as_str()) else { return };
    let Some(receiver) = &call.receiver else { return };
    let weak = match call.name {
        "startswith" => prefix.contains("://") && is_host(prefix),
        "endswith" => is_host(prefix) && !receiver.path().contains("mail"),
        _ => is_host(prefix),
    };
    let named = match call.expr.func.as_ref() {
        Expr::Attribute(a) => names::last(&a.value),
        _ => "",
    };
    let address = names::mentions(
        named,
        &[
            "url", "link", "uri", "address", "href", "host", "origin", "referer", "target", "location", "netloc",
            "hostname", "domain", "redirect",
        ],
    );
    if weak && address && receiver.from(taint::FOREIGN) && !named.contains("mail") {
        cx.report(&SUBSTRING, call.range);
    }
}

fn listed<'a>(cx: &mut Engine<'a>, compare: &Compare<'a>) {
    if !matches!(compare.op, CmpOp::In | CmpOp::NotIn) || compare.right.dynamic() {
        return;
    }
    let entries: Vec<&'a Expr> = match compare.right.expr {
        Some(Expr::Set(s)) => s.elts.iter().collect(),
        Some(Expr::List(l)) => l.elts.iter().collect(),
        Some(Expr::Tuple(t)) => t.elts.iter().collect(),
        _ => return,
    };
    let lower = !entries.is_empty()
        && entries.iter().all(|e| {
            e.as_string_literal_expr().is_some_and(|s| {
                let text = s.value.to_str();
                text.chars().any(char::is_alphabetic) && text == text.to_lowercase()
            })
        });
    let list = names::last(compare.right_expr);
    let function = cx.function_name();
    let forbids = names::mentions(
        list,
        &[
            "blocked",
            "forbidden",
            "denied",
            "reserved",
            "banned",
            "blacklist",
            "protected",
            "disallowed",
            "bad",
            "script",
            "system",
            "staff",
            "blocklist",
            "denylist",
            "dangerous",
        ],
    ) && names::mentions(
        function,
        &[
            "blocked",
            "forbidden",
            "reserved",
            "protected",
            "reject",
            "script",
            "executable",
            "denied",
            "banned",
            "system",
            "taken",
            "allowed",
            "not",
            "bad",
            "is",
        ],
    );
    if lower && forbids && cx.dirty(&compare.left, taint::PARAM | taint::REQUEST, clean::CASE) {
        cx.report(&CASE, compare.range);
    }
}

fn sliced<'a>(cx: &mut Engine<'a>, subscript: &Subscript<'a>) {
    let Expr::Slice(slice) = subscript.slice else { return };
    for part in [&slice.lower, &slice.upper].into_iter().flatten() {
        let value = cx.peek(part);
        if cx.dirty(&value, taint::SIZE, clean::LIMIT) {
            cx.report_from(&LENGTH_FIELD, subscript.range, Some(&value));
            return;
        }
    }
}

fn allocated<'a>(cx: &mut Engine<'a>, call: &Call<'a>) {
    let Some(size) = call.args.first() else { return };
    if cx.dirty(size, taint::SIZE, clean::LIMIT) && size.text.is_none() {
        cx.report_from(&LENGTH_FIELD, call.expr.range(), Some(size));
    }
}
