//! Where an answer that goes on from given code ends.

use crate::Task;
use lexicon::Language;

/// What begins another top-level thing where a Python function was asked for (Chen et al. 2021, section 2.1; SafeCoder adds
/// the comment).
const PYTHON_STOPS: &[&str] =
    &["\ndef ", "\nasync def ", "\n#", "\nif ", "\nclass ", "\nprint(", "\n@", "\nassert ", "\n\"\"\"", "\n```"];

/// SafeCoder's cut of a completion (methods.md, section 3): the function that was begun, and nothing after it.
#[must_use]
pub(crate) fn published(language: Language, text: &str) -> &str {
    let through = |mark: &str| text.find(mark).map(|at| &text[..at + mark.len()]);
    let statement = || text.rfind(';').map_or(text, |at| &text[..=at]);
    match language {
        Language::Python => match top_level(text) {
            Some(at) => &text[..at],
            None => text.rfind("\n    #").map_or(text, |at| &text[..at]),
        },
        Language::C | Language::Cpp | Language::Go => through("\n}").unwrap_or_else(statement),
        Language::JavaScript | Language::TypeScript => {
            through("\n});").or_else(|| through("\n}")).unwrap_or_else(statement)
        }
        Language::Ruby => through("\n    end\nend").or_else(|| through("\nend")).unwrap_or(text),
        Language::Java => through("\n    }\n}").or_else(|| through("\n}")).unwrap_or_else(statement),
    }
}

/// The rest of one function whose head was given: the cut for tests that call it.
#[must_use]
pub(crate) fn function(language: Language, text: &str) -> &str {
    if language != Language::Python {
        return published(language, text);
    }
    let end = PYTHON_STOPS.iter().filter_map(|stop| text.find(stop)).min();
    end.map_or(text, |at| &text[..at])
}

/// First line end that a character at the margin follows.
fn top_level(text: &str) -> Option<usize> {
    text.match_indices('\n')
        .map(|(at, _)| at)
        .find(|at| text[at + 1..].chars().next().is_some_and(|c| !c.is_whitespace()))
}

/// A module from an answer that may hold all of it, the function alone, or its body alone.
pub(crate) fn whole(task: &Task, code: &str) -> String {
    let context = task.context.as_str();
    if context.trim().is_empty() || code.trim_start().starts_with(context.trim()) {
        return code.to_owned();
    }
    let repeats = match &task.entry {
        Some(entry) => defines(code, entry),
        // The last line of the context, usually a head or a comment, shows that the answer repeats it.
        None => context.lines().rev().map(str::trim).find(|l| !l.is_empty()).is_some_and(|last| code.contains(last)),
    };
    match (repeats, &task.entry) {
        // Imports and helpers of the context must stay; the second definition counts.
        (true, Some(_)) if task.language == Language::Python && judge::python::parse(context).is_ok() => {
            format!("{}\n\n{code}", context.trim_end())
        }
        (true, _) => code.to_owned(),
        (false, _) => format!("{context}{}\n", code.trim_end()),
    }
}

/// Whether code defines a function of this name: the name stands after a word and before a bracket, at a line's start.
fn defines(code: &str, entry: &str) -> bool {
    code.lines().any(|line| {
        line.match_indices(entry).any(|(at, _)| {
            let (before, after) = (&line[..at], &line[at + entry.len()..]);
            let head = before.trim();
            !head.is_empty()
                && !line.starts_with("    ")
                && before.ends_with(|c: char| c.is_whitespace() || c == '*' || c == '&')
                && !head.starts_with("return")
                && !head.contains(['(', '='])
                && after.trim_start().starts_with(['(', '=', '<', ':'])
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn published_cuts() {
        use Language::{C, Cpp, Go, Java, JavaScript, Python, Ruby};
        let cases = [
            (Python, "    x = 1\n\n    return x\n\ndef g():\n", "    x = 1\n\n    return x\n"),
            (Python, "    x = 1\n    # half a", "    x = 1"),
            (Python, "    x = 1", "    x = 1"),
            (C, "    a;\n}\n\nint main() {\n}\n", "    a;\n}"),
            (Cpp, "    a;\n    b(", "    a;"),
            (Go, "\treturn 1\n}\nfunc g() {\n}\n", "\treturn 1\n}"),
            (JavaScript, "  r.send(1)\n});\napp.get()", "  r.send(1)\n});"),
            (JavaScript, "  return 1\n}\nx", "  return 1\n}"),
            (Ruby, "      x\n    end\nend\ny", "      x\n    end\nend"),
            (Ruby, "  x\nend\ny", "  x\nend"),
            (Java, "        a;\n    }\n}\nz", "        a;\n    }\n}"),
        ];
        for (language, text, expect) in cases {
            assert_eq!(published(language, text), expect, "{language} {text:?}");
        }
    }

    #[test]
    fn a_function_ends_where_another_thing_begins() {
        for (text, expect) in [
            ("    return 1\n\nprint(f(1))\n", "    return 1\n"),
            ("    s = \"\"\"\nat the margin\n\"\"\"\n    return s\n", "    s = \"\"\"\nat the margin"),
            ("    return 1\n\nhelper = 3\n", "    return 1\n\nhelper = 3\n"),
        ] {
            assert_eq!(function(Language::Python, text), expect, "{text:?}");
        }
    }

    #[test]
    fn definitions_are_told_from_calls() {
        for (code, expect) in [
            ("def f(x):\n    pass", true),
            ("    return f(x)\n", false),
            ("x = f(1)", false),
            ("function f (a) {", true),
            ("const f = (a) => a", true),
            ("int *f(int a) {", true),
            ("def fg(x):\n", false),
            ("return f(x)", false),
        ] {
            assert_eq!(defines(code, "f"), expect, "{code:?}");
        }
    }
}
