//! Bandit's tests of string constants.

use super::walk::{Parent, Walk};
use lexicon::{Confidence, Severity};
use ruff_python_ast::Expr;
use ruff_text_size::{Ranged, TextRange, TextSize};

/// Characters that turn the direction of the text after them.
const DIRECTIONS: &[char] = &[
    '\u{202a}', '\u{202b}', '\u{202c}', '\u{202d}', '\u{202e}', '\u{2066}', '\u{2067}', '\u{2068}', '\u{2069}',
    '\u{200f}',
];

/// Whether a name has a word of passwords between underscores: `pas+wo?r?d`, `pass`, `passphrase`, `pwd`, `token`, `secret`.
pub(super) fn password_name(name: &str) -> bool {
    let lower = name.to_ascii_lowercase();
    // The word stands alone, or an underscore parts it from the rest on one side at an end of the name, or on both sides.
    lower.split('_').any(password_word)
}

fn password_word(word: &str) -> bool {
    if matches!(word, "pass" | "passphrase" | "pwd" | "token" | "secret" | "secrete") {
        return true;
    }
    // p a s+ w o? r? d
    let Some(rest) = word.strip_prefix("pas") else { return false };
    let rest = rest.trim_start_matches('s');
    matches!(rest, "wd" | "wod" | "wrd" | "word")
}

/// A plain string constant.
pub(super) fn string<'a>(walk: &mut Walk<'a>, expr: &'a Expr, text: &str) {
    let parent = walk.parents.last().copied().unwrap_or(Parent::Other);
    // A string alone in its statement is documentation.
    if matches!(parent, Parent::Stmt(s) if s.is_expr_stmt()) {
        return;
    }
    value(walk, text, expr.range());
    password(walk, expr, text, parent);
    let range = expr.range();
    let statement = match parent {
        Parent::Expr(Expr::BinOp(_)) => Some(around(walk, expr, text)),
        Parent::Expr(Expr::Attribute(a)) if matches!(a.attr.as_str(), "format" | "replace") => Some(text.to_owned()),
        _ => None,
    };
    if statement.is_some_and(|s| is_sql(&s)) {
        let executed = executes(walk);
        walk.hit("B608", range, Severity::Medium, if executed { Confidence::Medium } else { Confidence::Low });
    }
}

/// The constant parts of an f-string.
pub(super) fn joined(walk: &mut Walk, range: TextRange, parts: &[String]) {
    for part in parts {
        value(walk, part, range);
    }
    if is_sql(&parts.concat()) {
        walk.hit("B608", range, Severity::Medium, Confidence::Low);
    }
}

fn value(walk: &mut Walk, text: &str, range: TextRange) {
    if text == "0.0.0.0" {
        walk.hit("B104", range, Severity::Medium, Confidence::Medium);
    }
    if ["/tmp", "/var/tmp", "/dev/shm"].iter().any(|p| text.starts_with(p)) {
        walk.hit("B108", range, Severity::Medium, Confidence::Medium);
    }
}

/// Name that an assignment or comparison gives to its other side.
fn target_name(expr: &Expr) -> Option<&str> {
    match expr {
        Expr::Name(name) => Some(name.id.as_str()),
        Expr::Attribute(attribute) => Some(attribute.attr.as_str()),
        _ => None,
    }
}

fn password<'a>(walk: &mut Walk<'a>, expr: &'a Expr, text: &str, parent: Parent<'a>) {
    let above = walk.parents.len().checked_sub(2).and_then(|i| walk.parents.get(i)).copied();
    let found = match parent {
        Parent::Stmt(ruff_python_ast::Stmt::Assign(s)) => s.targets.iter().filter_map(target_name).any(password_name),
        Parent::Expr(Expr::Dict(dict)) => dict.items.iter().any(|i| {
            i.key.as_ref().is_some_and(|k| std::ptr::eq(k, expr)) && password_name(text) && i.value.is_literal_expr()
        }),
        Parent::Expr(Expr::Subscript(_)) => match above {
            Some(Parent::Stmt(ruff_python_ast::Stmt::Assign(s))) => {
                password_name(text) && s.value.is_string_literal_expr()
            }
            _ => false,
        },
        Parent::Expr(Expr::Compare(compare)) => {
            target_name(&compare.left).is_some_and(password_name)
                && compare.comparators.first().is_some_and(Expr::is_string_literal_expr)
        }
        _ => false,
    };
    if found {
        walk.hit("B105", expr.range(), Severity::Low, Confidence::Medium);
    }
}

/// The string, and the constants of the operations around it except those of the innermost.
fn around<'a>(walk: &Walk<'a>, expr: &'a Expr, text: &str) -> String {
    let operations = walk.parents.iter().rev().map_while(|p| match p {
        Parent::Expr(e) if e.is_bin_op_expr() => Some(*e),
        _ => None,
    });
    let operations: Vec<&Expr> = operations.collect();
    let mut statement = text.to_owned();
    let (Some(innermost), Some(outermost)) = (operations.first(), operations.last()) else { return statement };
    // Depth first, left before right, without recursion.
    let mut stack: Vec<&Expr> = vec![outermost];
    while let Some(next) = stack.pop() {
        if std::ptr::eq(next, *innermost) || std::ptr::eq(next, expr) {
            continue;
        }
        match next {
            Expr::BinOp(op) => stack.extend([op.right.as_ref(), op.left.as_ref()]),
            Expr::StringLiteral(s) => {
                statement.push(' ');
                statement.push_str(s.value.to_str());
            }
            _ => {}
        }
    }
    statement
}

/// Whether the whole expression is an argument of `execute`.
fn executes(walk: &Walk) -> bool {
    let mut rest = walk.parents.iter().rev().skip_while(|p| match p {
        Parent::Expr(e) => e.is_bin_op_expr() || e.is_attribute_expr(),
        _ => false,
    });
    let called = |p: Option<&Parent>| match p {
        Some(Parent::Expr(Expr::Call(call))) => Some(crate::native::last_name(&call.func).to_owned()),
        _ => None,
    };
    match called(rest.next()) {
        // `"..".format(x)` is a call as well; what it is given to comes next.
        Some(name) if name == "format" => called(rest.next()).is_some_and(|n| n.starts_with("execute")),
        Some(name) => matches!(name.as_str(), "execute" | "executemany"),
        None => false,
    }
}

/// Whether a text reads like SQL: `select .. from `, `insert into .. values(`, `delete from `, `update .. set `.
fn is_sql(text: &str) -> bool {
    let lower = text.to_lowercase();
    let blank = |c: char| c.is_whitespace();
    // The word, then at least one blank, then the rest.
    let after = |from: &str, word: &str| -> Vec<usize> {
        from.match_indices(word).map(|(at, _)| at + word.len()).filter(|&end| from[end..].starts_with(blank)).collect()
    };
    let follows = |from: &str, words: [&str; 2]| {
        after(from, words[0]).iter().any(|&end| {
            let rest = from[end..].trim_start();
            rest.strip_prefix(words[1]).is_some_and(|r| r.starts_with(blank))
        })
    };
    if after(&lower, "select").first().is_some_and(|&end| !after(&lower[end + 1..], "from").is_empty()) {
        return true;
    }
    if follows(&lower, ["delete", "from"]) {
        return true;
    }
    if after(&lower, "update").first().is_some_and(|&end| !after(&lower[end + 1..], "set").is_empty()) {
        return true;
    }
    after(&lower, "insert").iter().any(|&end| {
        lower[end..].trim_start().strip_prefix("into").filter(|r| r.starts_with(blank)).is_some_and(|rest| {
            rest.match_indices("values")
                .any(|(at, word)| rest[at + word.len()..].starts_with(|c: char| c.is_whitespace() || c == '('))
        })
    })
}

/// Text whose direction turns: B613, once a file.
pub(super) fn directions(walk: &mut Walk) {
    if let Some(at) = walk.source.find(DIRECTIONS) {
        let at = TextSize::try_from(at).unwrap_or_default();
        walk.hit("B613", TextRange::empty(at), Severity::High, Confidence::Medium);
    }
}
