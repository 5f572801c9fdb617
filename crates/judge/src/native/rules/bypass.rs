//! Ways in that the program leaves open for somebody: a name or a switch that is believed without proof.

use crate::native::{engine::Engine, names, rule::Check, value::taint};
use ruff_python_ast::{BoolOp, CmpOp, Expr, ExprCompare, Stmt};
use ruff_text_size::Ranged;

rule!(BYPASS, "authentication-bypass", [287, 798, 290, 489], High, Medium,
    what: "Looks for logins that let a fixed name, or a switch in the request, in without proof.",
    why: "Whoever sends the name or the switch is let in; it is in the code, so it becomes known.",
    remedy: "let everybody through the same check, administrators too",
    [Check::Statement(believed)]);

/// Words of functions that decide who somebody is.
const DECIDING: &[&str] = &[
    "login",
    "signin",
    "auth",
    "authenticate",
    "authenticated",
    "authentication",
    "authorize",
    "authorized",
    "credential",
    "verify",
    "access",
    "admin",
    "permission",
    "allowed",
    "logged",
];

/// Accounts that every list of passwords begins with.
const ACCOUNTS: &[&str] = &[
    "admin",
    "administrator",
    "root",
    "superuser",
    "super",
    "sysadmin",
    "master",
    "test",
    "debug",
    "guest",
    "support",
];

fn believed<'a>(cx: &mut Engine<'a>, stmt: &'a Stmt) {
    let Stmt::If(s) = stmt else { return };
    let with_text = |c: &ExprCompare| matches!(c.comparators.as_ref(), [Expr::StringLiteral(_)]);
    let asks = match s.test.as_ref() {
        Expr::Compare(compare) => with_text(compare),
        Expr::BoolOp(op) => op.values.iter().any(|v| v.as_compare_expr().is_some_and(with_text)),
        _ => false,
    };
    if !asks {
        return;
    }
    if !names::mentions(cx.function_name(), DECIDING) || !s.body.iter().any(|b| lets_in(cx, b)) {
        return;
    }
    let found = match s.test.as_ref() {
        Expr::Compare(compare) => claimed(cx, compare),
        Expr::BoolOp(op) if op.op == BoolOp::Or => {
            op.values.iter().any(|v| v.as_compare_expr().is_some_and(|c| claimed(cx, c)))
        }
        _ => false,
    };
    if found {
        cx.report(&BYPASS, s.test.range());
    }
}

/// `username == "admin"`, or `request.args.get("debug") == "1"`.
fn claimed<'a>(cx: &mut Engine<'a>, compare: &'a ExprCompare) -> bool {
    let ([CmpOp::Eq], [Expr::StringLiteral(text)]) = (compare.ops.as_ref(), compare.comparators.as_ref()) else {
        return false;
    };
    let value = cx.peek(&compare.left);
    let user = names::mentions(names::last(&compare.left), &["user", "username", "login", "name", "account", "email"]);
    let account = ACCOUNTS.iter().any(|a| text.value.to_str().eq_ignore_ascii_case(a));
    let switch = value.from(taint::REQUEST) && value.path().contains("request.") && !value.path().contains("method");
    user && account && compare.left.is_name_expr() && value.from(taint::PARAM | taint::REQUEST | taint::INPUT)
        || switch && !user
}

/// `return True`, or the user put into the session.
fn lets_in<'a>(cx: &Engine<'a>, stmt: &'a Stmt) -> bool {
    match stmt {
        Stmt::Return(r) => r.value.as_deref().is_some_and(|v| v.as_boolean_literal_expr().is_some_and(|b| b.value)),
        Stmt::Assign(a) => {
            let admitted = a.value.as_boolean_literal_expr().is_some_and(|b| b.value);
            a.targets.iter().any(|t| {
                cx.text(t).starts_with("session[")
                    || admitted
                        && names::mentions(
                            names::last(t),
                            &["admin", "authenticated", "authorized", "loggedin", "allowed"],
                        )
            })
        }
        Stmt::Expr(e) => e.value.as_call_expr().is_some_and(|c| names::last(&c.func) == "login_user"),
        _ => false,
    }
}
