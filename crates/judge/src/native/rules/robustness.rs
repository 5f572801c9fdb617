//! Errors that are swallowed, divisions by nothing, defaults that are shared.

use crate::native::{
    engine::Engine,
    rule::{Binary, Check},
    value::{Roots, clean, taint},
};
use ruff_python_ast::{ExceptHandlerExceptHandler, Expr, Operator, Stmt, StmtFunctionDef};
use ruff_text_size::Ranged;

rule!(SWALLOWED, "swallowed-exception", [703, 390, 391, 755, 754], Low, Medium,
    what: "Looks for handlers of every exception that do nothing.",
    why: "Attacks and mistakes alike leave no trace, and the program goes on with half its state.",
    remedy: "catch the exception that is expected, and log the others",
    [Check::Except(swallowed)]);

rule!(DIVISION, "division-by-length", [369], Low, Low,
    what: "Looks for divisions by the length of something that may be empty.",
    why: "An empty input raises `ZeroDivisionError` and ends the request or the job.",
    remedy: "treat the empty case first",
    [Check::Binary(divided)]);

rule!(SHARED_DEFAULT, "shared-default-argument", [488, 665, 1188], Low, High,
    what: "Looks for lists and dictionaries as defaults that the function changes.",
    why: "The default is made once: what one call, or one user, puts in is there for the next.",
    remedy: "use `None` and make a new one in the function",
    [Check::Function(default)]);

fn swallowed<'a>(cx: &mut Engine<'a>, handler: &'a ExceptHandlerExceptHandler) {
    let broad = match handler.type_.as_deref() {
        None => true,
        Some(kind) => matches!(cx.text(kind), "Exception" | "BaseException"),
    };
    let nothing = handler.body.iter().all(|s| match s {
        Stmt::Pass(_) | Stmt::Continue(_) => true,
        Stmt::Expr(e) => e.value.is_ellipsis_literal_expr(),
        _ => false,
    });
    if broad && nothing {
        cx.report(&SWALLOWED, handler.range());
    }
}

fn divided<'a>(cx: &mut Engine<'a>, binary: &Binary<'a>) {
    if !matches!(binary.op, Operator::Div | Operator::FloorDiv | Operator::Mod) || binary.left.text.is_some() {
        return;
    }
    let Expr::Call(call) = cx.resolve(binary.right_expr) else { return };
    let Some(Expr::Name(subject)) = call.arguments.args.first() else { return };
    if call.func.as_name_expr().is_none_or(|f| f.id.as_str() != "len") {
        return;
    }
    let subject = subject.id.as_str();
    let average = binary.op == Operator::Div
        && binary.left_expr.is_name_expr()
        && cx.scopes.known(subject).is_some_and(|slot| binary.left.roots.contains(slot));
    let Some(value) = cx.lookup(subject).cloned() else { return };
    let parameter = value.from(taint::PARAM)
        && value.text.is_none()
        && cx.scopes.known(subject).is_some_and(|slot| value.roots == Roots::one(slot));
    if average && parameter && cx.dirty(&value, taint::PARAM, clean::NONZERO) {
        cx.report(&DIVISION, binary.range);
    }
}

fn default<'a>(cx: &mut Engine<'a>, def: &'a StmtFunctionDef) {
    let text = cx.text(def);
    for parameter in def.parameters.iter_non_variadic_params() {
        let Some(default) = parameter.default.as_deref() else { continue };
        let mutable = match default {
            Expr::List(l) => l.elts.is_empty(),
            Expr::Dict(d) => d.items.is_empty(),
            Expr::Call(c) => c.arguments.is_empty() && matches!(cx.text(c.func.as_ref()), "list" | "dict" | "set"),
            _ => false,
        };
        if !mutable {
            continue;
        }
        let name = parameter.parameter.name.as_str();
        let changed =
            [".append(", ".extend(", ".add(", ".update(", ".setdefault(", ".insert(", ".pop(", ".remove(", ".clear("]
                .iter()
                .any(|m| text.contains(&format!("{name}{m}")))
                || text.contains(&format!("\n    {name}[")) && text.contains("] =")
                || text.contains(&format!("{name} += "));
        if changed && !text.contains(&format!("{name} = ")) {
            cx.report(&SHARED_DEFAULT, default.range());
        }
    }
}
