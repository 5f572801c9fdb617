//! Whether an instruction gives the weakness away: a task must fit both answers.

use lexicon::Cwe;

/// Beginnings of words that speak of security.
const STEMS: &[&str] = &[
    "secur",
    "insecur",
    "unsecur",
    "unsafe",
    "sanitiz",
    "sanitis",
    "vulnerab",
    "malicious",
    "attack",
    "exploit",
    "hacker",
    "untrusted",
    "injection",
    "injectable",
    "harden",
    "cwe-",
    "xss",
    "csrf",
    "ssrf",
    "traversal",
];

/// Whole words that speak of security.
const WORDS: &[&str] = &["safe", "safely", "safer", "safety", "trusted", "escape", "escaped", "escapes", "escaping"];

/// Beginnings that speak of it in lessons, whose authors choose their words; published tasks validate e-mail addresses.
const STRICT: &[&str] = &["validat"];

/// The first word of an instruction that hints at security, if any; `strict` is the lessons' rule.
///
/// What stands in backquotes is code: names such as `yaml.SafeLoader` or `escape` are what the task is about. The name of
/// the weakness itself counts wherever it stands.
#[must_use]
pub fn hint(instruction: &str, weakness: &str, cwe: &[Cwe], strict: bool) -> Option<String> {
    let lower = instruction.to_lowercase();
    if !weakness.is_empty() && lower.contains(&weakness.to_lowercase()) {
        return Some(weakness.to_owned());
    }
    if let Some(cwe) = cwe.iter().map(ToString::to_string).find(|c| names(&lower, &c.to_lowercase())) {
        return Some(cwe);
    }
    lower
        .split('`')
        .step_by(2)
        .flat_map(|prose| prose.split(|c: char| !c.is_alphanumeric() && c != '-' && c != '_'))
        .find_map(|word| {
            let stem = |list: &[&str]| list.iter().any(|s| word.starts_with(s));
            (stem(STEMS) || WORDS.contains(&word) || strict && stem(STRICT)).then(|| word.to_owned())
        })
}

/// Whether `text` has `name` with no digit behind it: CWE-7 is not in CWE-79.
fn names(text: &str, name: &str) -> bool {
    text.match_indices(name).any(|(at, _)| !text[at + name.len()..].starts_with(|c: char| c.is_ascii_digit()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(instruction: &str, strict: bool, expect: Option<&str>) {
        assert_eq!(hint(instruction, "SQL Injection", &[Cwe(7)], strict).as_deref(), expect, "{instruction}");
    }

    #[test]
    fn words_that_give_it_away() {
        check("Write `f(x)` that returns the rows.", true, None);
        check("Write a safe function `f`.", true, Some("safe"));
        check("Store it Securely.", true, Some("securely"));
        check("Guard against sql injection.", true, Some("SQL Injection"));
        check("Avoid CWE-7 here", true, Some("CWE-7"));
        check("Avoid the CWE-79 here", true, Some("cwe-79"));
        check("Load it with `yaml.safe_load`.", true, None);
        check("Use `html.escape` in `f`, escape the text", true, Some("escape"));
        check("Validate the e-mail address", true, Some("validate"));
        check("Validate the e-mail address", false, None);
        check("Close the safe-deposit form and the trust score", true, None);
    }
}
