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
    if built && starts_as_sql(text) && cx.open(statement, clean::SQL) || passed_on {
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
    if strongly_sql(text) && value_position(text) && cx.open(value, clean::SQL) {
        // The longest string counts: parts of it were shown before.
        cx.findings.retain(|f| !(std::ptr::eq(f.rule, &SQL_TEXT) && range.contains_range(f.range)));
        let executed = |f: &&crate::native::engine::Raw| std::ptr::eq(f.rule, &SQL) && f.range.contains_range(range);
        if cx.findings.iter().find(executed).is_none() {
            cx.report_from(&SQL_TEXT, range, Some(value));
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
    let lower = text.to_ascii_lowercase();
    let head = lower.trim_start();
    (head.starts_with("select ") && lower.contains(" from "))
        || head.starts_with("insert into ")
        || head.starts_with("delete from ")
        || (head.starts_with("update ") && lower.contains(" set "))
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
