//! Work without bounds.

use crate::native::{
    engine::Engine,
    names,
    rule::{Binary, Call, Check},
    value::{clean, taint},
};
use ruff_python_ast::{Expr, Operator, Stmt};
use ruff_text_size::Ranged;

rule!(COUNT, "unbounded-count", [770, 606, 400, 834], Medium, Medium,
    what: "Looks for loops and allocations as long as a caller wishes.",
    why: "One request for a billion items takes the processor and the memory.",
    remedy: "cap the number: `min(count, MAX)`",
    [Check::Call(&["range", "sleep", "token_bytes"], counted), Check::Binary(repeated)]);

rule!(READ_ALL, "unbounded-read", [770, 400, 789], Medium, Low,
    what: "Looks for request bodies and network streams read whole.",
    why: "The sender decides how much memory is used.",
    remedy: "read at most a fixed number of bytes, and refuse what is larger",
    [Check::Call(&["read", "readlines", "readall"], whole)]);

rule!(ENDLESS, "endless-read", [835, 400, 834], Medium, Medium,
    what: "Looks for loops that wait for a marker and never notice the end of input.",
    why: "At the end of input the read returns nothing, again and again, for ever.",
    remedy: "leave the loop when the read returns nothing",
    [Check::Statement(endless)]);

fn counted<'a>(cx: &mut Engine<'a>, call: &Call<'a>) {
    let Some(bound) = (match call.args.as_slice() {
        [stop] => Some(stop),
        [_, stop, ..] => Some(stop),
        [] => None,
    }) else {
        return;
    };
    if call.name != "range" || call.receiver.is_some() {
        return;
    }
    // A plain parameter is a number that the program's own code gives; one that was text came from outside.
    let converted = match bound.expr.map(|e| cx.resolve(e)) {
        Some(Expr::Call(convert)) => {
            names::last(&convert.func) == "int"
                && convert
                    .arguments
                    .args
                    .iter()
                    .all(|a| matches!(a, Expr::Name(_) | Expr::Subscript(_) | Expr::Call(_)))
                || cx.text(convert).contains("type=int")
        }
        _ => false,
    };
    if cx.dirty(bound, taint::REQUEST, clean::LIMIT)
        || converted && cx.dirty(bound, taint::PARAM | taint::INPUT | taint::NET, clean::LIMIT)
    {
        cx.report_from(&COUNT, call.range, Some(bound));
    }
}

fn repeated<'a>(cx: &mut Engine<'a>, binary: &Binary<'a>) {
    if binary.op != Operator::Mult {
        return;
    }
    let sequence = |v: &crate::native::value::Value<'a>| v.text.is_some() || v.expr.is_some_and(Expr::is_list_expr);
    let pair = if sequence(&binary.left) {
        Some(&binary.right)
    } else if sequence(&binary.right) {
        Some(&binary.left)
    } else {
        None
    };
    if let Some(count) = pair
        && cx.dirty(count, taint::REQUEST, clean::LIMIT)
        && count.text.is_none()
    {
        cx.report_from(&COUNT, binary.range, Some(count));
    }
}

fn whole<'a>(cx: &mut Engine<'a>, call: &Call<'a>) {
    if !call.args.is_empty() && call.args[0].as_int() != Some(-1) || !call.keywords.is_empty() {
        return;
    }
    let object = call.receiver.as_ref().map_or("", |r| r.path());
    let body = match call.expr.func.as_ref() {
        Expr::Attribute(a) => {
            let source = cx.text(a.value.as_ref());
            source.contains("wsgi.input")
                || source.ends_with(".rfile")
                || source.ends_with("request.stream")
                || object.contains("wsgi.input")
                || names::mentions(source, &["stream", "body", "rfile"])
                    && a.value.is_name_expr()
                    && names::mentions(
                        cx.function_name(),
                        &["body", "request", "post", "event", "json", "upload", "payload"],
                    )
        }
        _ => false,
    };
    if !body {
        return;
    }
    let text = cx.function_text();
    let limits = ["MAX_", "max_size", "limit", "Content-Length", "content_length", "CONTENT_LENGTH"];
    if !limits.iter().any(|w| text.contains(w)) {
        cx.report(&READ_ALL, call.range);
    }
}

fn endless<'a>(cx: &mut Engine<'a>, stmt: &'a Stmt) {
    let Stmt::While(s) = stmt else { return };
    let forever = s.test.as_boolean_literal_expr().is_some_and(|b| b.value) || cx.text(s.test.as_ref()) == "1";
    if !forever {
        return;
    }
    for inner in &s.body {
        let Stmt::Assign(assign) = inner else { continue };
        let [Expr::Name(name)] = assign.targets.as_slice() else { continue };
        let source = cx.text(assign.value.as_ref());
        let reads = [".readline(", ".recv(", ".read("].iter().any(|r| source.contains(r));
        let body = s.body.iter().map(|b| cx.text(b)).collect::<Vec<_>>().join("\n");
        let name = name.id.as_str();
        let noticed = [
            format!("not {name}"),
            format!("if {name}:"),
            format!("{name} == \"\""),
            format!("{name} == ''"),
            format!("{name} == b\"\""),
            format!("{name} == b''"),
            format!("len({name})"),
            format!("{name} is None"),
            format!("{name} and "),
        ];
        // An exception of its own ends the loop as well, unless the read never raises.
        if reads
            && !noticed.iter().any(|n| body.contains(n.as_str()))
            && (body.contains("==") || body.contains("in ") || body.contains("startswith"))
        {
            cx.report(&ENDLESS, assign.range());
        }
    }
}
