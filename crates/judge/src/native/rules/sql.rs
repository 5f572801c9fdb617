//! SQL built from strings.

use crate::native::{
    engine::Engine,
    rule::{Call, Check},
    value::{HOLE, Value, clean, taint},
};
use ruff_text_size::{Ranged, TextRange};

rule!(SQL, "sql-injection", [89, 564, 74, 943], Critical, High,
    what: "Looks for statements that are put together from strings and handed to a database.",
    why: "Whoever chooses a part of the text chooses the statement: they read, change or delete what they like.",
    remedy: "pass the values as parameters of the query (`?`, `%s`, `:name`), and take names of tables and columns from a fixed list",
    [Check::Call(EXECUTORS, executed)]);

rule!(SQL_TEXT, "sql-string-building", [89, 564, 74, 943], High, Medium,
    what: "Looks for SQL text with values pasted in, wherever it is executed.",
    why: "The text is a statement with foreign values inside, so one quote in a value ends the literal and begins SQL.",
    remedy: "keep placeholders in the text and pass the values as parameters of the query",
    [Check::Built(built)]);

rule!(SQL_NUMBER, "sql-number-building", [89, 564, 74], Low, Medium,
    what: "Looks for statements with numbers pasted in where a parameter would do.",
    why: "Only the conversion in the text, or a type hint, keeps it from being an injection, and every value makes another statement.",
    remedy: "pass the number as a parameter of the query",
    [Check::Built(number_built), Check::Call(EXECUTORS, number_executed)]);

const EXECUTORS: &[&str] = &[
    "execute",
    "executemany",
    "executescript",
    "raw",
    "extra",
    "text",
    "read_sql",
    "read_sql_query",
    "RawSQL",
    "mogrify",
    "query",
    "execute_sql",
    "run_query",
    "exec_driver_sql",
    "select",
    "fetch",
    "fetchrow",
    "fetchval",
    "callproc",
    "sql",
    "prepare",
    "copy_expert",
    "filter",
    "where",
    "having",
    "order_by",
    "from_statement",
    "fetch_all",
    "fetch_one",
    "execute_query",
    "query_db",
    "executeQuery",
    "run_sql",
    "exec_query",
];

fn executed<'a>(cx: &mut Engine<'a>, call: &Call<'a>) {
    let Some(statement) = call.args.first().or_else(|| call.keyword("sql")).or_else(|| call.keyword("query")) else {
        return;
    };
    let direct = matches!(
        call.name,
        "execute"
            | "executemany"
            | "executescript"
            | "raw"
            | "RawSQL"
            | "execute_sql"
            | "exec_driver_sql"
            | "read_sql"
            | "read_sql_query"
            | "mogrify"
    );
    let text = statement.text();
    let built = statement.built() && (starts_as_sql(text) || direct && !text.contains("://"));
    let passed_on = direct
        && statement.text.is_none()
        && cx.dirty(statement, taint::REQUEST | taint::INPUT, clean::SQL)
        && call.path.contains("cur");
    if built && starts_as_sql(text) && cx.open(statement, clean::SQL) && placed(cx, statement) || passed_on {
        if let Some(expr) = statement.expr {
            let inner = expr.range();
            cx.findings.retain(|f| {
                !(std::ptr::eq(f.rule, &SQL_TEXT) && (f.range == inner || call.range.contains_range(f.range)))
            });
        }
        cx.report_from(&SQL, call.range, Some(statement));
    }
}

fn built<'a>(cx: &mut Engine<'a>, value: &Value<'a>, range: TextRange) {
    let text = value.text();
    if cx.open(value, clean::SQL) && strongly_sql(text) && value_position(text) {
        // The longest string counts: parts of it were shown before.
        cx.findings.retain(|f| !(std::ptr::eq(f.rule, &SQL_TEXT) && range.contains_range(f.range)));
        let executed = |f: &&crate::native::engine::Raw| std::ptr::eq(f.rule, &SQL) && f.range.contains_range(range);
        if cx.findings.iter().find(executed).is_none() {
            cx.report_from(&SQL_TEXT, range, Some(value));
        }
    }
}

/// Whether the dynamic parts stand for values, or somebody chose them. Names of tables and columns cannot be parameters, and
/// those that a program keeps in its settings are its own.
fn placed<'a>(cx: &Engine<'a>, statement: &Value<'a>) -> bool {
    let text = statement.text();
    if value_position(text) {
        return true;
    }
    let head: String = text.trim_start().chars().take_while(char::is_ascii_alphabetic).collect();
    let defines = ["create", "drop", "alter", "grant", "revoke", "truncate", "use", "pragma", "vacuum", "analyze"]
        .iter()
        .any(|v| head.eq_ignore_ascii_case(v));
    let chosen = taint::OUTSIDE | if defines { 0 } else { taint::PARAM };
    cx.dirty(statement, chosen, clean::SQL) || !names_only(text)
}

/// Whether every dynamic part follows a keyword that names of tables, columns and the like follow.
fn names_only(text: &str) -> bool {
    const BEFORE: &[&str] =
        &["from", "into", "update", "table", "join", "database", "schema", "index", "view", "exists", "set", "by"];
    text.match_indices(HOLE).all(|(at, _)| {
        let before = text[..at].trim_end_matches([' ', '`', '"', '[', '\n', '.', HOLE]).to_ascii_lowercase();
        let word = before.rsplit(|c: char| !c.is_ascii_alphabetic()).next().unwrap_or("");
        BEFORE.contains(&word)
    })
}

/// Whether the dynamic parts are numbers that nobody converted on purpose.
fn numeric(value: &Value<'_>) -> bool {
    let open_to_numbers = clean::NUMBER;
    value.loose & open_to_numbers == open_to_numbers
        && value.loose & (clean::CONVERTED | clean::LIMIT | clean::NONZERO) == 0
}

/// Whether a dynamic part is compared or inserted.
fn compared(text: &str) -> bool {
    text.match_indices(HOLE).any(|(at, _)| {
        let before = text[..at].trim_end_matches([' ', '\'', '"']);
        before.ends_with(['=', '<', '>'])
            || before.to_ascii_lowercase().contains("values") && before.ends_with(['(', ','])
    })
}

fn number_built<'a>(cx: &mut Engine<'a>, value: &Value<'a>, range: TextRange) {
    if numeric(value) && strongly_sql(value.text()) && compared(value.text()) {
        cx.findings.retain(|f| !(std::ptr::eq(f.rule, &SQL_NUMBER) && range.contains_range(f.range)));
        cx.report_from(&SQL_NUMBER, range, Some(value));
    }
}

fn number_executed<'a>(cx: &mut Engine<'a>, call: &Call<'a>) {
    let Some(statement) = call.args.first() else { return };
    let text = statement.text();
    if call.name != "filter" && statement.built() && numeric(statement) && starts_as_sql(text) && compared(text) {
        let reported = |f: &&crate::native::engine::Raw| {
            std::ptr::eq(f.rule, &SQL_NUMBER)
                && (call.range.contains_range(f.range) || statement.expr.is_some_and(|e| e.range() == f.range))
        };
        if cx.findings.iter().find(reported).is_none() {
            cx.report_from(&SQL_NUMBER, call.range, Some(statement));
        }
    }
}

/// Whether a text begins like a statement, or holds a clause of one.
pub(super) fn starts_as_sql(text: &str) -> bool {
    const VERBS: &[&str] = &[
        "select", "insert", "update", "delete", "create", "drop", "alter", "replace", "with", "pragma", "call", "exec",
        "grant", "revoke", "truncate", "merge", "show", "use", "begin", "declare", "set", "copy", "attach", "explain",
    ];
    let head = text.trim_start().trim_start_matches('(');
    let first: String = head.chars().take_while(char::is_ascii_alphabetic).collect();
    VERBS.iter().any(|v| first.eq_ignore_ascii_case(v)) || strongly_sql(text) || {
        let lower = text.to_ascii_lowercase();
        [" where ", " order by ", " from ", "values (", "values("].iter().any(|c| lower.contains(c))
    }
}

/// Whether a text is SQL beyond doubt, as upper-case keywords or a full statement.
fn strongly_sql(text: &str) -> bool {
    let head = text.trim_start();
    let begins = |words: &str| head.get(..words.len()).is_some_and(|h| h.eq_ignore_ascii_case(words));
    let says = |words: &str| text.to_ascii_lowercase().contains(words);
    (begins("select ") && says(" from "))
        || begins("insert into ")
        || begins("delete from ")
        || (begins("update ") && says(" set "))
        || (text.contains("SELECT ") && text.contains(" FROM "))
        || text.contains("INSERT INTO ")
        || text.contains(" WHERE ") && text.contains('=')
}

/// Whether a dynamic part stands where a value stands: after `=`, a quote, `(`, `,` or a comparing keyword.
fn value_position(text: &str) -> bool {
    let mut from = 0;
    while let Some(at) = text[from..].find(HOLE) {
        let before = text[..from + at].trim_end_matches([' ', '%', '\n']);
        let lower = before.to_ascii_lowercase();
        let insert_columns = lower.contains("insert into") && !lower.contains("values");
        if !insert_columns
            && (before.ends_with(['=', '\'', '"', '<', '>'])
                || lower.ends_with(" like")
                || lower.ends_with(" where")
                || lower.ends_with(" and")
                || lower.contains("values") && before.ends_with(['(', ','])
                || lower.ends_with(" in (")
                || lower.ends_with(" limit"))
        {
            return true;
        }
        from += at + 1;
    }
    false
}
