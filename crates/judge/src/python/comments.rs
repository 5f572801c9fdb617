//! Code without its comments, by the tokenizer: a `#` in a string is no comment.

use super::{SyntaxError, parse, span};
use ruff_python_ast::token::TokenKind;
use ruff_text_size::Ranged;

/// The module without comments. A line that held nothing else goes; docstrings stay.
///
/// # Errors
/// [`SyntaxError`] where the text is not Python.
pub fn without_comments(source: &str) -> Result<String, SyntaxError> {
    let parsed = parse(source)?;
    let mut out = String::with_capacity(source.len());
    let mut at = 0;
    for token in parsed.tokens().iter().filter(|t| t.kind() == TokenKind::Comment) {
        let comment = span(token.range());
        out.push_str(&source[at..comment.start]);
        at = comment.end;
        let line = out.rfind('\n').map_or(0, |n| n + 1);
        out.truncate(line + out[line..].trim_end_matches([' ', '\t']).len());
        if out.len() == line {
            // Nothing else stood there: its line end goes with it.
            at += source[at..].chars().next().filter(|c| *c == '\n' || *c == '\r').map_or(0, char::len_utf8);
            at += usize::from(source[..at].ends_with('\r') && source[at..].starts_with('\n'));
        }
    }
    out.push_str(&source[at..]);
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comments_go_and_strings_stay() {
        let cases = [
            ("x = 1  # one\n", "x = 1\n"),
            ("# all\nx = '#' # b\n", "x = '#'\n"),
            ("def f():\n    # why\n    return 1\n", "def f():\n    return 1\n"),
            ("s = '''\n# not one\n'''  # one\n", "s = '''\n# not one\n'''\n"),
            ("f'{x:#x}' # c", "f'{x:#x}'"),
            ("(1, # a\n 2)\n", "(1,\n 2)\n"),
            ("#!/bin/sh\r\nx = 1\r\n", "x = 1\r\n"),
            ("# only", ""),
            ("x = 1\n", "x = 1\n"),
        ];
        for (source, expect) in cases {
            let stripped = without_comments(source).expect("Python");
            assert_eq!(stripped, expect, "{source:?}");
            assert!(parse(&stripped).is_ok(), "{stripped:?}");
        }
        assert!(without_comments("x = (").is_err());
    }
}
