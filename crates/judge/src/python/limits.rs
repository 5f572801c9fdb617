//! CPython's fixed limits, checked on the tokens before any tree exists.
//!
//! CPython refuses more than 200 open brackets, more than 99 indentation levels and, with `RecursionError` or
//! `MemoryError`, syntax trees deeper than about 2,980 nodes (3.11 and 3.12; 3.13 doubles it). A tree is never deeper than
//! the brackets around a token plus the operators, dots and keywords that open a level on the way to it, so counting those
//! per bracket bounds the depth of what the parser builds, and with it the stack of everything that walks or drops it.

use super::SyntaxError;
use ruff_python_ast::token::{Token, TokenKind};
use ruff_python_parser::{Mode, lexer::lex};
use ruff_text_size::{Ranged, TextRange, TextSize};

/// Open brackets that CPython's tokenizer accepts (`MAXLEVEL`).
const MAX_BRACKETS: usize = 200;
/// Indentation levels that CPython's tokenizer accepts (`MAXINDENT` counts the margin too).
const MAX_INDENTS: usize = 99;
/// Depth of expression that `ast.parse` of CPython 3.11 and 3.12 accepts, less a margin for the statement around it.
const MAX_DEPTH: usize = 2_980;
/// Digits of a decimal literal (`sys.int_info.default_max_str_digits`).
const MAX_DIGITS: usize = 4_300;
/// A text of fewer bytes reaches only the two small limits.
const SHORT: usize = 2_000;

/// Refuses what CPython refuses before its grammar is asked, and what would exhaust its stack.
///
/// # Errors
/// [`SyntaxError`] at the first place beyond a limit.
pub(super) fn check(source: &str) -> Result<(), SyntaxError> {
    let fail = |at: usize, message: &str| {
        let at = TextSize::try_from(at).unwrap_or_default();
        Err(SyntaxError::new(source, TextRange::empty(at), message.to_owned()))
    };
    if u32::try_from(source.len()).is_err() {
        return fail(0, "source code of more than 4 GiB");
    }
    if source.as_bytes().contains(&0) {
        return fail(source.bytes().position(|b| b == 0).unwrap_or(0), "source code cannot contain null bytes");
    }
    if source.len() < SHORT && source.bytes().filter(|b| matches!(b, b'(' | b'[' | b'{')).count() <= MAX_BRACKETS {
        return Ok(());
    }
    if ordinary(source.as_bytes()) {
        return Ok(());
    }
    let Some(message) = exceeded(source) else { return Ok(()) };
    // The lexer does not say where it is. The shortest prefix that fails does, and only hostile texts pay for the search.
    let (mut good, mut bad) = (0, source.len());
    while good + 1 < bad {
        let middle = source.floor_char_boundary(usize::midpoint(good, bad));
        if middle <= good {
            break;
        }
        if exceeded(&source[..middle]).is_some() { bad = middle } else { good = middle }
    }
    fail(good, message)
}

/// Refuses decimal literals that CPython refuses to convert.
///
/// # Errors
/// [`SyntaxError`] at the first such literal.
pub(super) fn check_integers(source: &str, tokens: &[Token]) -> Result<(), SyntaxError> {
    if source.len() <= MAX_DIGITS {
        return Ok(());
    }
    for token in tokens.iter().filter(|t| t.kind() == TokenKind::Int && t.range().len().to_usize() > MAX_DIGITS) {
        let text = &source[token.range()];
        let decimal = !text.get(1..2).is_some_and(|c| c.bytes().all(|b| b.is_ascii_alphabetic()));
        if decimal && text.bytes().filter(u8::is_ascii_digit).count() > MAX_DIGITS {
            let message = format!("integer literal of more than {MAX_DIGITS} digits");
            return Err(SyntaxError::new(source, token.range(), message));
        }
    }
    Ok(())
}

/// Whether a text is so plain that no limit can be reached, by a look at its bytes that counts too much rather than too little.
/// Where it says no, the tokens decide ([`exceeded`]): an f-string with quotes inside, say, or a line of thousands of operators.
fn ordinary(source: &[u8]) -> bool {
    /// Brackets open at once; each stands for a level below the limits.
    const OPEN: usize = MAX_BRACKETS / 2;
    // What may deepen the tree since the last end of a logical line, and the brackets that are open.
    let (mut weight, mut open) = (0, 0usize);
    let (mut at, mut line) = (0, 0);
    while let Some(&byte) = source.get(at) {
        at += 1;
        match byte {
            b'\n' | b'\r' => {
                line = at;
                if open == 0 {
                    weight = 0;
                }
            }
            // Levels of indentation are at least a byte each.
            b' ' | b'\t' | b'\x0c'
                if at - line >= MAX_INDENTS && source[line..at].iter().all(u8::is_ascii_whitespace) =>
            {
                return false;
            }
            b'#' => at += source[at..].iter().position(|b| matches!(b, b'\n' | b'\r')).unwrap_or(source.len() - at),
            // The line goes on.
            b'\\' => {
                at += usize::from(source.get(at) == Some(&b'\r'));
                at += usize::from(source.get(at) == Some(&b'\n'));
                line = at;
            }
            b'\'' | b'"' => match string(source, at - 1, false) {
                Some((end, _)) => (at, line) = (end, end),
                None => return false,
            },
            b'(' | b'[' | b'{' => {
                open += 1;
                weight += 2;
            }
            b')' | b']' | b'}' => open = open.saturating_sub(1),
            b'a'..=b'z' | b'A'..=b'Z' | b'_' | b'0'..=b'9' | 0x80.. => {
                let start = at - 1;
                let word = |b: &u8| b.is_ascii_alphanumeric() || *b == b'_' || *b >= 0x80;
                at += source[at..].iter().position(|b| !word(b)).unwrap_or(source.len() - at);
                let run = &source[start..at];
                let quoted = matches!(source.get(at), Some(b'\'' | b'"'));
                if byte.is_ascii_digit() {
                    // `1if 2else 3` is a number, a keyword, and so on.
                    if quoted {
                        return false;
                    }
                    weight += run.len();
                } else if quoted && run.len() <= 2 {
                    // `if'x'` is a keyword and a string.
                    weight += 1;
                    let formatted = run.iter().any(|b| matches!(b, b'f' | b'F' | b't' | b'T'));
                    match string(source, at, formatted) {
                        Some((end, inside)) => {
                            weight += inside;
                            (at, line) = (end, end);
                        }
                        None => return false,
                    }
                } else if matches!(run, b"not" | b"await" | b"if" | b"else" | b"yield" | b"lambda") {
                    weight += 1;
                }
            }
            b'.' | b'+' | b'-' | b'*' | b'/' | b'%' | b'@' | b'|' | b'&' | b'^' | b'<' | b'>' | b'~' | b':' => {
                weight += 1
            }
            _ => {}
        }
        if open > OPEN || weight + OPEN > MAX_DEPTH {
            return false;
        }
    }
    true
}

/// End of the string whose first quote stands at `from`, and what a formatted one's expressions may add to a tree's depth.
/// Nothing where it does not end, or where an expression in it has quotes, backslashes or a comment of its own.
fn string(source: &[u8], from: usize, formatted: bool) -> Option<(usize, usize)> {
    let quote = source[from];
    let long = source[from..].starts_with(&[quote, quote, quote]);
    let first = from + if long { 3 } else { 1 };
    let (mut at, mut braces, mut brackets) = (first, 0, 0);
    loop {
        match *source.get(at)? {
            b'\\' if braces > 0 => return None,
            // Whatever it escapes is no end; a brace it does not escape.
            b'\\' => at += usize::from(!matches!(source.get(at + 1), Some(b'{' | b'}'))),
            b'\n' | b'\r' if !long => return None,
            b'\'' | b'"' | b'#' if braces > 0 => return None,
            b'(' | b'[' if formatted => brackets += 1,
            b'{' if formatted => (braces, brackets) = (braces + 1, brackets + 1),
            b'}' if formatted => braces -= usize::from(braces > 0),
            b if b == quote && (!long || source[at..].starts_with(&[quote, quote, quote])) => {
                let end = at + if long { 3 } else { 1 };
                return Some((end, if formatted { 2 + 2 * (at - first) } else { 0 }));
            }
            _ => {}
        }
        if brackets > MAX_BRACKETS / 4 {
            return None;
        }
        at += 1;
    }
}

/// What is open at one bracket level.
#[derive(Clone, Copy, Default)]
struct Level {
    /// Operators and the like since the last comma.
    chain: usize,
    /// Lambdas: their parameters contain commas, so they outlive one.
    lambdas: usize,
}

/// The limit that the tokens of a text exceed, if one.
fn exceeded(source: &str) -> Option<&'static str> {
    let mut lexer = lex(source, Mode::Module);
    let mut levels = vec![Level::default()];
    let (mut depth, mut indents) = (0usize, 0usize);
    loop {
        let kind = lexer.next_token();
        let top = levels.len() - 1;
        match kind {
            TokenKind::EndOfFile => return None,
            TokenKind::Newline => {
                levels.truncate(1);
                levels[0] = Level::default();
                depth = 0;
            }
            TokenKind::Indent => indents += 1,
            TokenKind::Dedent => indents = indents.saturating_sub(1),
            TokenKind::Lpar | TokenKind::Lsqb | TokenKind::Lbrace | TokenKind::FStringStart => {
                levels.push(Level::default());
            }
            TokenKind::Rpar | TokenKind::Rsqb | TokenKind::Rbrace | TokenKind::FStringEnd => {
                if top > 0 {
                    depth -= levels[top].chain + levels[top].lambdas;
                    levels.truncate(top);
                }
                // The bracket pair itself is a node: a call, a subscript, a list.
                levels[top.saturating_sub(1)].chain += 1;
                depth += 1;
            }
            TokenKind::Comma => {
                depth -= levels[top].chain;
                levels[top].chain = 0;
            }
            TokenKind::Lambda => {
                levels[top].lambdas += 1;
                depth += 1;
            }
            kind if deepens(kind) => {
                levels[top].chain += 1;
                depth += 1;
            }
            _ => {}
        }
        if levels.len() - 1 > MAX_BRACKETS {
            return Some("too many nested parentheses");
        }
        if indents > MAX_INDENTS {
            return Some("too many levels of indentation");
        }
        if depth + levels.len() > MAX_DEPTH {
            return Some("too deeply nested expression");
        }
    }
}

/// Whether a token puts what stands before or after it one node deeper. Chains of `and`, `or` and comparisons are flat.
const fn deepens(kind: TokenKind) -> bool {
    matches!(
        kind,
        TokenKind::Plus
            | TokenKind::Minus
            | TokenKind::Star
            | TokenKind::Slash
            | TokenKind::DoubleSlash
            | TokenKind::DoubleStar
            | TokenKind::Percent
            | TokenKind::At
            | TokenKind::Vbar
            | TokenKind::Amper
            | TokenKind::CircumFlex
            | TokenKind::LeftShift
            | TokenKind::RightShift
            | TokenKind::Tilde
            | TokenKind::Dot
            | TokenKind::Not
            | TokenKind::Await
            | TokenKind::If
            | TokenKind::Else
            | TokenKind::Yield
            | TokenKind::ColonEqual
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn consistent(source: &str) {
        if ordinary(source.as_bytes()) {
            assert_eq!(exceeded(source), None, "{:?}", &source[..source.floor_char_boundary(200)]);
        }
    }

    #[test]
    fn what_looks_plain_is_within_the_limits() {
        let many = |n: usize, piece: &str| piece.repeat(n);
        for (source, plain) in [
            ("x = 1\n".to_owned(), true),
            (many(5_000, "x = a + b.c(d)[e] if f else not g\n"), true),
            (format!("x = (\n{})\n", many(3_000, "a + b,\n")), false),
            (format!("'''{}'''\n", many(3_000, "a + b.c\n")), true),
            (format!("# {}\n", many(3_000, "a + b.c ")), true),
            (format!("x = {}1\n", many(3_000, "1 + ")), false),
            (format!("x = {}1\n", many(3_000, "1 + \\\n'''\ndef f():\n''' + ")), false),
            (format!("{}1\n", many(3_000, "1if 2else ")), false),
            (format!("{}'a'\n", many(3_000, "'a'if'b'else")), false),
            (format!("f'{{{}}}'\n", many(120, "[")), false),
            (format!("rf'\\{{{}1}}'\n", many(3_000, "1+")), false),
            (format!("f'{{x['a']}}' + {}1\n", many(10, "1+")), false),
            (many(300, "print(f'{name}: {value:>{width}} {{}}')\n"), true),
            (format!("if 1:\n{}pass\n", many(120, " ")), false),
            (format!("{}\n", many(150, "(")), false),
            ("x = 'a\n".to_owned(), false),
        ] {
            assert_eq!(ordinary(source.as_bytes()), plain, "{:?}", &source[..source.len().min(60)]);
            consistent(&source);
        }
    }

    const PIECES: &[&str] = &[
        "+", "-a", ".b", "(", ")", "[", "]", "{", "}", "'", "\"", "'''", "\"\"\"", "f'", "rf\"", "f'''", "b'", "\\",
        "\\\n", "\n", "\r", "#", " ", "\t", "if ", " else ", "not ", "1if", "lambda:", "yield ", "{{", "}}", ",", ":",
        "é", "0x1f", "\\N{",
    ];

    proptest! {
        /// Pieces of Python in any order, each many times: what tells strings, comments and lines apart, and what nests.
        #[test]
        fn counts_never_too_little(
            pieces in proptest::collection::vec((proptest::sample::select(PIECES), 1usize..1_200), 1..12)
        ) {
            consistent(&pieces.iter().map(|(piece, n)| piece.repeat(*n)).collect::<String>());
        }

        /// The same mixed finely.
        #[test]
        fn counts_never_too_little_however_mixed(
            line in proptest::collection::vec(proptest::sample::select(PIECES), 1..24),
            times in 1usize..1_500,
        ) {
            consistent(&line.concat().repeat(times));
        }
    }
}
