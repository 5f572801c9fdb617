//! Regular expressions that match too much, too long, or what somebody else wrote.

use crate::native::{
    engine::Engine,
    names,
    rule::{Call, Check},
    value::{clean, taint},
};

rule!(UNANCHORED, "unanchored-validation", [625, 777, 185, 20], Medium, Medium,
    what: "Looks for validation with `re.match` and an open end.",
    why: "The pattern matches a prefix, and anything may follow it.",
    remedy: "use `re.fullmatch`",
    [Check::Call(&["match", "search"], open_end)]);

rule!(BACKTRACKING, "catastrophic-backtracking", [1333, 400, 730], Medium, High,
    what: "Looks for repeated groups that themselves repeat.",
    why: "On a text that almost matches, the number of ways to split it grows exponentially.",
    remedy: "rewrite the pattern so that each character can be matched in one way",
    [Check::Call(FUNCTIONS, nested)]);

rule!(FOREIGN, "foreign-pattern", [1333, 730, 400, 625], Medium, Medium,
    what: "Looks for patterns that somebody else wrote.",
    why: "A pattern can be made to run for hours, or to match everything.",
    remedy: "use `re.escape` on the foreign part",
    [Check::Call(FUNCTIONS, pattern)]);

const FUNCTIONS: &[&str] = &["compile", "match", "search", "fullmatch", "findall", "finditer", "sub", "subn", "split"];

fn is_re(call: &Call<'_>) -> bool {
    call.receiver.as_ref().is_some_and(|r| matches!(r.path(), "re" | "regex"))
        || call.under(&["re."]) && !call.path.contains("()")
}

fn open_end<'a>(cx: &mut Engine<'a>, call: &Call<'a>) {
    if !is_re(call) || call.name == "search" && !call.args.first().is_some_and(|p| p.text().starts_with('^')) {
        return;
    }
    let Some(pattern) = call.args.first().and_then(|p| p.as_str()) else { return };
    // A validator answers yes or no: by its name, and by what it does with the match.
    let validates = names::words(cx.function_name()).any(|w| {
        matches!(
            w.as_str(),
            "is" | "valid"
                | "validate"
                | "check"
                | "allowed"
                | "accept"
                | "accepts"
                | "ok"
                | "verify"
                | "well"
                | "can"
                | "looks"
                | "acceptable"
        )
    });
    let after = &cx.source[usize::from(call.range.end())..];
    let asked = after.starts_with(" is not None")
        || after.starts_with(" is None")
        || cx.source[..usize::from(call.range.start())].ends_with("bool(");
    let returned = cx.source[..usize::from(call.range.start())].ends_with("return ");
    let closed =
        pattern.ends_with("\\Z") || pattern.ends_with('$') || pattern.ends_with(".*") || pattern.ends_with("\\b");
    if !closed && asked && (validates || returned) {
        cx.report(&UNANCHORED, call.range);
    }
}

fn nested<'a>(cx: &mut Engine<'a>, call: &Call<'a>) {
    if is_re(call) && call.args.first().and_then(|p| p.as_str()).is_some_and(explodes) {
        cx.report(&BACKTRACKING, call.range);
    }
}

/// Whether a group that is repeated without bound contains an unbounded repetition that can end anywhere: `(a+)+`,
/// `(\w+\s?)*`, `(a|aa)+`.
fn explodes(pattern: &str) -> bool {
    let bytes = pattern.as_bytes();
    let mut open: Vec<usize> = Vec::new();
    let mut i = 0;
    let mut class = false;
    while i < bytes.len() {
        match bytes[i] {
            b'\\' => i += 1,
            b'[' if !class => class = true,
            b']' if class => class = false,
            b'(' if !class => open.push(i),
            b')' if !class => {
                let start = open.pop().unwrap_or(0);
                let repeated = matches!(bytes.get(i + 1), Some(b'+' | b'*'))
                    || bytes[i + 1..].starts_with(b"{") && bytes[i + 1..].contains(&b',');
                if repeated && ambiguous(&pattern[start + 1..i]) {
                    return true;
                }
            }
            _ => {}
        }
        i += 1;
    }
    false
}

/// Whether a group's content can match the same text in several ways when repeated: it begins with an unbounded repetition and
/// everything after that repetition is optional, or its alternatives begin alike.
fn ambiguous(group: &str) -> bool {
    let inner = group.strip_prefix("?:").unwrap_or(group);
    if inner.starts_with('?') {
        return false;
    }
    let alternatives: Vec<&str> = split_alternatives(inner);
    if alternatives.len() > 1 {
        let heads: Vec<String> = alternatives.iter().map(|a| atom(a).0.to_owned()).collect();
        let alike = heads.iter().enumerate().any(|(i, h)| heads[..i].contains(h) && !h.is_empty());
        let overlapping = heads.iter().any(|h| h == "." || h == "\\w" || h.starts_with("["))
            && heads.iter().any(|h| h == "\\d" || h == "\\w" || h.len() == 1 && h.chars().all(char::is_alphanumeric))
            && heads.len() > 1;
        if alike || overlapping || alternatives.iter().any(|a| ambiguous_sequence(a)) {
            return true;
        }
        return false;
    }
    ambiguous_sequence(inner)
}

fn ambiguous_sequence(sequence: &str) -> bool {
    let mut rest = sequence;
    let mut unbounded = false;
    let mut required = 0;
    while !rest.is_empty() {
        let (head, tail) = atom(rest);
        if head.is_empty() {
            break;
        }
        let (quantifier, after) = quantifier(tail);
        match quantifier {
            "+" => unbounded = true,
            "*" => unbounded = true,
            "?" => {}
            _ => required += 1,
        }
        rest = after;
    }
    unbounded && required == 0
}

/// First atom of a pattern and what follows it.
fn atom(pattern: &str) -> (&str, &str) {
    let bytes = pattern.as_bytes();
    let end = match bytes.first() {
        None => 0,
        Some(b'\\') => 1 + pattern[1..].chars().next().map_or(0, char::len_utf8),
        Some(b'[') => pattern[1..].find(']').map_or(pattern.len(), |i| {
            let close = i + 2;
            if i == 0 { pattern[2..].find(']').map_or(pattern.len(), |j| j + 3) } else { close }
        }),
        Some(b'(') => {
            let mut depth = 0usize;
            let mut end = pattern.len();
            for (i, b) in bytes.iter().enumerate() {
                match b {
                    b'(' => depth += 1,
                    b')' => {
                        depth -= 1;
                        if depth == 0 {
                            end = i + 1;
                            break;
                        }
                    }
                    _ => {}
                }
            }
            end
        }
        Some(_) => pattern.chars().next().map_or(0, char::len_utf8),
    };
    pattern.split_at(end.min(pattern.len()))
}

fn quantifier(tail: &str) -> (&str, &str) {
    match tail.as_bytes().first() {
        Some(b'+' | b'*' | b'?') => {
            let lazy = usize::from(tail.as_bytes().get(1) == Some(&b'?'));
            (&tail[..1], &tail[1 + lazy..])
        }
        Some(b'{') => match tail.find('}') {
            Some(end) => (if tail[..end].ends_with(',') { "+" } else { "" }, &tail[end + 1..]),
            None => ("", tail),
        },
        _ => ("", tail),
    }
}

fn split_alternatives(pattern: &str) -> Vec<&str> {
    let (mut parts, mut depth, mut start, mut class, mut i) = (Vec::new(), 0usize, 0, false, 0);
    let bytes = pattern.as_bytes();
    while i < bytes.len() {
        match bytes[i] {
            b'\\' => i += 1,
            b'[' => class = true,
            b']' => class = false,
            b'(' if !class => depth += 1,
            b')' if !class => depth = depth.saturating_sub(1),
            b'|' if !class && depth == 0 => {
                parts.push(&pattern[start..i]);
                start = i + 1;
            }
            _ => {}
        }
        i += 1;
    }
    parts.push(&pattern[start..]);
    parts
}

fn pattern<'a>(cx: &mut Engine<'a>, call: &Call<'a>) {
    let Some(pattern) = call.args.first() else { return };
    if !is_re(call) {
        return;
    }
    let named = pattern
        .expr
        .is_some_and(|e| names::mentions(names::last(e), &["pattern", "regex", "regexp", "expression", "rx"]));
    let asked = cx.dirty(pattern, taint::REQUEST | taint::INPUT, clean::REGEX);
    // A parameter called `pattern` is meant to be one.
    if asked || !named && cx.dirty(pattern, taint::PARAM, clean::REGEX) && call.name != "split" {
        cx.report_from(&FOREIGN, call.range, Some(pattern));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exponential_patterns() {
        for pattern in [r"(a+)+$", r"(\w+\s?)+", r"^(\d*)*$", r"(a|a)+", r"([a-z]+)*x", r"(?:x+)+", r"(.*)*"] {
            assert!(explodes(pattern), "{pattern}");
        }
        for pattern in [
            r"\w+(\s\w+)*\s?",
            r"(ab)+",
            r"[a-z]+",
            r"(\d+,)+",
            r"(a|b)+",
            r"\(a+\)+",
            r"[(+)+]",
            "(",
            ")",
            "[",
            "\\",
            "(?=a+)+",
        ] {
            assert!(!explodes(pattern), "{pattern}");
        }
    }
}
