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
/// Bytes that are counted at once: their sum fits into a byte, and whole vectors are added.
const CHUNK: usize = 64;

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
    if let Some(at) = memchr::memchr(0, source.as_bytes()) {
        return fail(at, "source code cannot contain null bytes");
    }
    if !may_exceed(source.as_bytes()) {
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

/// Whether a text has enough bytes of the kinds that a limit counts to exceed one: wrong on the side of yes, and a tenth of the
/// work that its tokens are. Files that people write have not.
fn may_exceed(text: &[u8]) -> bool {
    // A brace may stand in a format string, which is a level of its own.
    let opens = |b: u8| u8::from(b == b'(') + u8::from(b == b'[') + 2 * u8::from(b == b'{');
    if summed(text, opens) >= MAX_BRACKETS {
        return true;
    }
    // No level of an expression without a byte, and a hundred levels of indentation need 5,050.
    if text.len() < MAX_DEPTH - MAX_BRACKETS {
        return false;
    }
    // Operators, closing brackets and quotes; and the letters that `if`, `else`, `not`, `lambda`, `await` and `yield` cannot
    // be written without.
    let deepens = |b: u8| {
        u8::from(b.is_ascii_punctuation() && !matches!(b, b'_' | b',' | b';' | b'#' | b'(' | b'[' | b'{'))
            + u8::from(matches!(b, b'f' | b's' | b'o' | b'b' | b'w' | b'y'))
    };
    if summed(text, deepens) >= MAX_DEPTH - MAX_BRACKETS {
        return true;
    }
    // A line may go on in the next before anything stands in it.
    let goes_on = |at: usize| {
        let line = &text[..at];
        let before = line.iter().rev().find(|b| !blank(**b));
        before.is_none_or(|b| matches!(b, b'\n' | b'\r'))
    };
    blanks(text) || memchr::memchr_iter(b'\\', text).any(goes_on)
}

/// White space that indents.
const fn blank(b: u8) -> bool {
    matches!(b, b' ' | b'\t' | b'\x0c')
}

/// Whether so many blanks stand in a row as a line beyond the limit begins with: one of them is at a multiple of their number.
fn blanks(text: &[u8]) -> bool {
    const RUN: usize = MAX_INDENTS + 1;
    let count = |bytes: &mut dyn Iterator<Item = &u8>| bytes.take(RUN).take_while(|b| blank(**b)).count();
    (RUN - 1..text.len()).step_by(RUN).any(|at| {
        let (before, after) = text.split_at(at);
        blank(text[at]) && count(&mut before.iter().rev()) + count(&mut after.iter()) >= RUN
    })
}

/// Sum of what each byte counts for, at most two.
fn summed(text: &[u8], of: impl Fn(u8) -> u8) -> usize {
    let (chunks, rest) = text.as_chunks::<CHUNK>();
    let sum = |bytes: &[u8]| usize::from(bytes.iter().fold(0u8, |sum, &b| sum.wrapping_add(of(b))));
    chunks.iter().map(|chunk| sum(chunk)).sum::<usize>() + sum(rest)
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
