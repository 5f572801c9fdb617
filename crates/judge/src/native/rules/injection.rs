//! Foreign text in directory filters, XPath, document queries, headers, mail and spreadsheets.

use crate::native::{
    engine::Engine,
    names,
    rule::{Assign, Call, Check},
    value::{HOLE, clean, taint},
};
use ruff_python_ast::Expr;

rule!(LDAP, "ldap-injection", [90, 943, 74], High, High,
    what: "Looks for LDAP filters and names with foreign parts.",
    why: "`*`, `(` and `)` in the value change the filter: other entries match, or all.",
    remedy: "escape the value with `ldap.filter.escape_filter_chars` or `ldap3.utils.conv.escape_filter_chars`",
    [Check::Call(LDAP_CALLS, ldap)]);

rule!(XPATH, "xpath-injection", [643, 91, 74], High, High,
    what: "Looks for XPath expressions with foreign parts.",
    why: "A quote in the value ends the literal and the rest selects other nodes.",
    remedy: "pass the value as an XPath variable (`$name`)",
    [Check::Call(&["xpath", "findall", "find", "findtext", "iterfind", "XPath", "ETXPath", "select"], xpath)]);

rule!(NOSQL, "nosql-injection", [943, 89, 74], High, Medium,
    what: "Looks for document queries with code in them, or with values that may be operators.",
    why: "A value such as `{\"$ne\": null}` matches everything, and `$where` runs JavaScript.",
    remedy: "convert the value to a string, or compare with `{\"$eq\": value}`",
    [Check::Call(MONGO_CALLS, mongo)]);

rule!(HEADER, "header-injection", [113, 93, 644], Medium, Medium,
    what: "Looks for foreign text in response headers.",
    why: "A line break in the value ends the header: more headers, or another response, follow.",
    remedy: "remove `\\r` and `\\n` from the value, or refuse it",
    [Check::Call(&["send_header", "start_response", "add_header", "putheader"], header), Check::Assign(header_set)]);

rule!(MAIL, "mail-header-injection", [93, 113], Medium, Medium,
    what: "Looks for mails whose header lines contain foreign text.",
    why: "A line break in the value adds recipients, or replaces the text.",
    remedy: "build the mail with `email.message.EmailMessage`",
    [Check::Call(&["sendmail", "send_message", "message_from_string", "putcmd"], mail)]);

rule!(CSV, "formula-injection", [1236, 74], Medium, Low,
    what: "Looks for foreign values written to spreadsheets as they are.",
    why: "A cell that begins with `=`, `+`, `-` or `@` is a formula to the program that opens the file.",
    remedy: "put an apostrophe before values that begin with one of those characters",
    [Check::Call(&["writerow", "writerows"], csv)]);

const LDAP_CALLS: &[&str] = &[
    "search",
    "search_s",
    "search_st",
    "search_ext",
    "search_ext_s",
    "searchAsync",
    "bind",
    "simple_bind_s",
    "simple_bind",
    "bind_s",
    "modify_s",
    "delete_s",
    "paged_search",
    "add_s",
];

/// `(name=value)` or `ou=people,dc=..`
fn is_filter(text: &str) -> bool {
    let filter = text.contains('=')
        && (text.contains("(\0") || text.contains("=\0") || text.contains("=*\0"))
        && text.contains('(');
    let name =
        ["uid=", "cn=", "ou=", "dc="].iter().any(|p| text.to_ascii_lowercase().contains(p)) && text.contains("=\0");
    filter || name
}

fn ldap<'a>(cx: &mut Engine<'a>, call: &Call<'a>) {
    for value in call.values() {
        if value.built()
            && is_filter(value.text())
            && !super::sql::starts_as_sql(value.text())
            && cx.open(value, clean::LDAP)
        {
            cx.report_from(&LDAP, call.range, Some(value));
            return;
        }
    }
}

fn xpath<'a>(cx: &mut Engine<'a>, call: &Call<'a>) {
    let Some(expression) = call.args.first() else { return };
    let text = expression.text();
    let path = text.contains('/') || text.contains('[') || text.contains('@');
    let certain = matches!(call.name, "xpath" | "XPath" | "ETXPath");
    if expression.built() && path && (certain || text.contains('[')) && cx.open(expression, clean::XPATH)
        || call.name == "xpath"
            && expression.text.is_none()
            && cx.dirty(expression, taint::REQUEST | taint::INPUT, clean::XPATH)
    {
        cx.report_from(&XPATH, call.range, Some(expression));
    }
}

const MONGO_CALLS: &[&str] = &[
    "find",
    "find_one",
    "find_one_and_update",
    "find_one_and_delete",
    "delete_one",
    "delete_many",
    "update_one",
    "update_many",
    "count_documents",
    "aggregate",
    "replace_one",
];

fn mongo<'a>(cx: &mut Engine<'a>, call: &Call<'a>) {
    let Some(query) = call.args.first() else { return };
    let Some(Expr::Dict(dict)) = query.expr else {
        // The whole query comes from the request. Strings have a `find` as well.
        let documents =
            call.name != "find" || cx.imports.package("pymongo") || call.path.to_lowercase().contains("mongo");
        if documents && cx.dirty(query, taint::REQUEST, clean::SCALAR) {
            cx.report_from(&NOSQL, call.range, Some(query));
        }
        return;
    };
    for item in &dict.items {
        let key = item.key.as_ref().map(|k| cx.peek(k)).unwrap_or_default();
        let value = cx.peek(&item.value);
        let script = matches!(key.as_str(), Some("$where" | "$function" | "$accumulator"));
        if script && value.dynamic() && cx.open(&value, clean::NUMBER & clean::SQL) {
            cx.report_from(&NOSQL, call.range, Some(&value));
            return;
        }
        // A part of parsed JSON may be an object: a plain parameter is taken to be what its name says.
        let part = item.value.is_subscript_expr()
            || item.value.as_call_expr().is_some_and(|c| names::last(&c.func) == "get")
            || value.from(taint::REQUEST) && value.path().contains("json");
        let operator = key.as_str().is_some_and(|k| k.starts_with('$'));
        let form = value.path().contains(".args") || value.path().contains(".form");
        if part && !operator && !form && cx.dirty(&value, taint::PARAM | taint::REQUEST, clean::SCALAR) {
            cx.report_from(&NOSQL, call.range, Some(&value));
            return;
        }
    }
}

fn header<'a>(cx: &mut Engine<'a>, call: &Call<'a>) {
    let sources = taint::PARAM | taint::REQUEST;
    let mut found = None;
    if call.name == "start_response" {
        if let Some(Expr::List(list)) = call.args.get(1).and_then(|v| v.expr) {
            for element in &list.elts {
                let value = cx.peek(element);
                if cx.dirty(&value, sources, clean::CRLF) {
                    found = Some(value);
                }
            }
        }
    } else if let Some(value) = call.args.get(1)
        && cx.dirty(value, sources, clean::CRLF)
    {
        found = Some(value.clone());
    }
    if let Some(value) = found {
        cx.report_from(&HEADER, call.range, Some(&value));
    }
}

/// `response.headers["X-Name"] = value`
fn header_set<'a>(cx: &mut Engine<'a>, assign: &Assign<'a>) {
    let Expr::Subscript(target) = assign.target else { return };
    let of_response = match target.value.as_ref() {
        Expr::Attribute(a) => a.attr.as_str() == "headers" && !names::last(&a.value).contains("request"),
        other => cx.peek(other).path().ends_with("HttpResponse()"),
    };
    // Where a browser is sent is the business of another rule, and origins of a third.
    let other_rule = ["location", "access-control-allow-origin", "content-security-policy"];
    if of_response
        && !other_rule.iter().any(|n| assign.name.eq_ignore_ascii_case(n))
        && cx.dirty(&assign.value, taint::REQUEST, clean::CRLF)
    {
        cx.report_from(&HEADER, assign.range, Some(&assign.value));
    }
}

fn mail<'a>(cx: &mut Engine<'a>, call: &Call<'a>) {
    for value in call.values() {
        let text = value.text();
        let head = text.split("\n\n").next().unwrap_or("").split("\r\n\r\n").next().unwrap_or("");
        let headers = ["Subject:", "To:", "From:", "Cc:", "Reply-To:"].iter().any(|h| head.contains(h));
        if headers && head.contains(HOLE) && cx.dirty(value, taint::PARAM | taint::OUTSIDE, clean::CRLF) {
            cx.report_from(&MAIL, call.range, Some(value));
            return;
        }
    }
}

fn csv<'a>(cx: &mut Engine<'a>, call: &Call<'a>) {
    let writer =
        call.path.contains("csv.writer()") || call.path.contains("csv.DictWriter()") || call.path.contains("writer");
    let Some(row) = call.args.first() else { return };
    if writer && cx.dirty(row, taint::PARAM | taint::REQUEST | taint::NET, clean::FORMULA) {
        cx.report_from(&CSV, call.range, Some(row));
    }
}
