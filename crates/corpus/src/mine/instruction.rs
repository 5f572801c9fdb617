//! What was asked: from a function's docstring and signature, or by a writer that reads both versions.

use crate::validate::wording;
use judge::languages::Function;
use lexicon::{Cwe, Language, Pair};
use minijinja::{Environment, context};

/// The built-in template of the question to a writer.
pub const TEMPLATE: &str = include_str!("../../templates/instruct.jinja");
/// Longest instruction of a writer that is taken, in characters.
const LONGEST: usize = 500;
/// Longest docstring that is quoted, in characters.
const LONGEST_DOC: usize = 240;

/// An instruction that both versions of a function answer: its language, name and signature, and what its docstring before the
/// change says of it. Nothing where these alone name the weakness.
#[must_use]
pub fn of_function(
    language: Language,
    before: &Function,
    after: &Function,
    weakness: &str,
    cwe: &[Cwe],
) -> Option<String> {
    let hints = |text: &str| wording::hint(text, weakness, cwe, false).is_some();
    let language = language.title();
    let code = |text: &str| text.replace('`', "'");
    let same = before.signature == after.signature && before.signature.len() <= 300;
    let (name, signature) = (code(&before.name), code(&before.signature));
    let task = match (before.name.contains('('), same) {
        (true, true) => format!("Write the {language} call `{name}` with the handler `{signature}`."),
        (true, false) => format!("Write the {language} call `{name}` with its handler."),
        (false, true) => format!("Write the {language} function `{name}` with the signature `{signature}`."),
        (false, false) => format!("Write the {language} function `{name}`."),
    };
    if hints(&task) {
        return None;
    }
    // What the docstring says after the change may be about the change.
    let doc = sentence(&before.doc);
    Some(if doc.is_empty() || hints(&doc) { task } else { format!("{task} {doc}") })
}

/// The first sentence of a text; nothing where it is long or a single word.
fn sentence(text: &str) -> String {
    let end = text.match_indices(['.', '!', '?']).map(|(at, _)| at + 1).find(|&end| {
        let rest = &text[end..];
        // After an abbreviation the sentence goes on in small letters.
        let next = rest.trim_start().chars().next();
        rest.is_empty() || rest.starts_with(char::is_whitespace) && next.is_none_or(|c| !c.is_lowercase())
    });
    let first = text[..end.unwrap_or(text.len())].trim();
    let words = first.split_whitespace().count();
    if words < 2 || first.chars().count() > LONGEST_DOC {
        return String::new();
    }
    if first.ends_with(['.', '!', '?']) { first.to_owned() } else { format!("{first}.") }
}

/// The question to a writer.
///
/// # Errors
/// A message naming the template and, where it is wrong, its line.
pub fn question(template: &str, pair: &Pair) -> Result<String, String> {
    let mut environment = Environment::new();
    environment.set_auto_escape_callback(|_| minijinja::AutoEscape::None);
    environment.set_undefined_behavior(minijinja::UndefinedBehavior::Strict);
    environment.set_fuel(Some(1_000_000));
    let values = context! {
        language => pair.language.title(), insecure => pair.insecure, secure => pair.secure,
        function => pair.origin.extra.get("function"),
    };
    environment.render_named_str("instruct", template, values).map_err(|e| format!("template instruct: {e:#}"))
}

/// A writer's answer as an instruction; nothing where it is none, or gives the weakness away.
#[must_use]
pub fn of_reply(reply: &str, weakness: &str, cwe: &[Cwe]) -> Option<String> {
    let text = reply.trim().trim_matches(['"', '\'']).trim();
    let text = text.strip_prefix("Instruction:").unwrap_or(text);
    let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
    let sound = text.split(' ').count() >= 3 && text.chars().count() <= LONGEST && !text.contains("```");
    (sound && wording::hint(&text, weakness, cwe, false).is_none()).then_some(text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use lexicon::Span;

    fn check(name: &str, signature: &str, doc: &str, expect: Option<&str>) {
        let of = |signature: &str| Function {
            name: name.to_owned(),
            span: Span::new(0, 0),
            signature: signature.to_owned(),
            doc: doc.to_owned(),
        };
        let found = of_function(Language::Python, &of(signature), &of(signature), "SQL Injection", &[Cwe(89)]);
        assert_eq!(found.as_deref(), expect);
    }

    #[test]
    fn signatures_and_docstrings() {
        check("f", "def f(x)", "", Some("Write the Python function `f` with the signature `def f(x)`."));
        check(
            "f",
            "def f(x)",
            "Finds x, e.g. rows. More.",
            Some("Write the Python function `f` with the signature `def f(x)`. Finds x, e.g. rows."),
        );
        check(
            "f",
            "def f(x)",
            "Finds x securely.",
            Some("Write the Python function `f` with the signature `def f(x)`."),
        );
        check("f", "def f(x)", "Todo", Some("Write the Python function `f` with the signature `def f(x)`."));
        check("sql injection", "def f(x)", "", None);
    }

    #[test]
    fn replies() {
        let cases = [
            ("\"Write a Python function that finds a user.\"", Some("Write a Python function that finds a user.")),
            ("Instruction: Write  a function\nfor rows.", Some("Write a function for rows.")),
            ("Write a safe function.", None),
            ("Avoid SQL injection in Python.", None),
            ("```python\nx = 1\n```", None),
            ("No.", None),
            ("", None),
        ];
        for (reply, expect) in cases {
            assert_eq!(of_reply(reply, "SQL Injection", &[Cwe(89)]).as_deref(), expect, "{reply}");
        }
        assert_eq!(of_reply(&"long ".repeat(200), "", &[]), None);
    }
}
