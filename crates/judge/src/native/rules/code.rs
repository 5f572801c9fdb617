//! Text that becomes code, names that become modules and attributes.

use crate::native::{
    engine::Engine,
    rule::{Call, Check},
    value::{clean, taint},
};

rule!(EVAL, "code-injection", [95, 94, 96, 74], Critical, High,
    what: "Looks for `eval`, `exec` and `compile` of text that is not constant.",
    why: "Whoever chooses the text runs Python with the rights of the program; emptied builtins do not prevent it.",
    remedy: "parse the text (`ast.literal_eval`, `json.loads`) or look the operation up in a table",
    [Check::Call(&["eval", "exec", "compile", "execfile", "runsource", "runcode"], evaluated)]);

rule!(NAMED_CODE, "foreign-module-name", [470, 829, 94], High, Medium,
    what: "Looks for modules imported by a name that somebody else chose.",
    why: "Importing runs a module's code, and many modules do harm by being imported.",
    remedy: "take the module from a table of the allowed ones",
    [Check::Call(&["import_module", "__import__", "run_module", "run_path"], imported)]);

rule!(ATTRIBUTE, "foreign-attribute-name", [470, 915], Medium, Low,
    what: "Looks for methods called by a name that somebody else chose.",
    why: "Every method of the object is within reach, not only those meant to be.",
    remedy: "map the accepted names to methods in a table",
    [Check::AnyCall(called_by_name)]);

rule!(MASS_ASSIGNMENT, "mass-assignment", [915, 269], Medium, Medium,
    what: "Looks for objects whose attributes are set by every key of foreign data.",
    why: "A key the form never showed, such as `is_admin`, is set as well.",
    remedy: "copy the fields that may be changed, one by one",
    [Check::Call(&["setattr", "update", "create", "__init__", "setattribute"], assigned)]);

fn evaluated<'a>(cx: &mut Engine<'a>, call: &Call<'a>) {
    let Some(code) = call.args.first() else { return };
    let builtin = call.path == call.name || call.under(&["builtins.", "code."]);
    // `model.eval()` and `re.compile` are something else.
    if !builtin || call.name == "compile" && call.args.len() < 2 {
        return;
    }
    if code.dynamic() && cx.open(code, clean::CODE) && code.path() != "compile()" {
        cx.report_from(&EVAL, call.range, Some(code));
    }
}

fn imported<'a>(cx: &mut Engine<'a>, call: &Call<'a>) {
    let Some(name) = call.args.first() else { return };
    let constant_prefix = name.text.is_some_and(|t| !t.starts_with('\0'));
    if cx.dirty(name, taint::PARAM | taint::OUTSIDE, clean::CODE) && !constant_prefix {
        cx.report_from(&NAMED_CODE, call.range, Some(name));
    }
}

fn called_by_name<'a>(cx: &mut Engine<'a>, call: &Call<'a>) {
    // `getattr(object, name)(..)`, directly or by a local name.
    let ruff_python_ast::Expr::Call(getter) = cx.resolve(&call.expr.func) else { return };
    if getter.func.as_name_expr().is_none_or(|n| n.id.as_str() != "getattr") || getter.arguments.args.len() < 2 {
        return;
    }
    let name = cx.peek(&getter.arguments.args[1]);
    let affixed = name.text.is_some_and(|t| t.trim_matches('\0').len() > 2);
    if cx.dirty(&name, taint::PARAM | taint::OUTSIDE, clean::CODE) && !affixed {
        cx.report_from(&ATTRIBUTE, call.range, Some(&name));
    }
}

fn assigned<'a>(cx: &mut Engine<'a>, call: &Call<'a>) {
    match call.name {
        "setattr" if call.path == "setattr" => {
            let Some(name) = call.args.get(1) else { return };
            if cx.dirty(name, taint::PARAM | taint::OUTSIDE, clean::CODE) && name.text.is_none() {
                cx.report_from(&MASS_ASSIGNMENT, call.range, Some(name));
            }
        }
        "update" if call.path.ends_with("__dict__.update") => {
            if let Some(data) = call.args.first()
                && cx.dirty(data, taint::PARAM | taint::OUTSIDE, clean::CODE)
            {
                cx.report_from(&MASS_ASSIGNMENT, call.range, Some(data));
            }
        }
        "create" if call.path.contains(".objects") => {
            if let Some((_, data)) = call.keywords.iter().find(|(n, _)| n.is_none())
                && cx.dirty(data, taint::REQUEST, clean::CODE)
            {
                cx.report_from(&MASS_ASSIGNMENT, call.range, Some(data));
            }
        }
        _ => {}
    }
}
