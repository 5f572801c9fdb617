//! Whether a text is Python, as CPython's `ast.parse` decides it.
//!
//! The grammar is ruff's hand-written parser, which agrees with CPython file by file. Three things are added here, because
//! CPython refuses them outside its grammar: null bytes, decimal literals of more than 4,300 digits, and nesting beyond
//! its fixed limits ([`limits`]). The last also bounds the depth of every tree this crate walks.
//!
//! What only the compiler refuses (`return` outside a function, two parameters of one name, `break` outside a loop) is
//! valid here, as it is for `ast.parse`.

mod comments;
mod limits;

pub use comments::without_comments;

use lexicon::{LineIndex, Position, Span};
use ruff_python_ast::{ExceptHandler, ModModule, PythonVersion, Stmt};
use ruff_python_parser::{Mode, ParseOptions, parse_unchecked};
use ruff_text_size::{Ranged, TextRange};

/// The version whose grammar [`parse`] follows: the newest whose syntax still tells Python 2's `except A, b:` apart.
pub const DEFAULT_VERSION: Version = Version { major: 3, minor: 13 };

/// A version of the language, such as 3.13.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Version {
    /// First number.
    pub major: u8,
    /// Second number.
    pub minor: u8,
}

/// A valid module.
#[derive(Debug)]
pub struct Parsed {
    inner: ruff_python_parser::Parsed<ModModule>,
}

impl Parsed {
    /// The syntax tree.
    #[must_use]
    pub fn module(&self) -> &ModModule {
        self.inner.syntax()
    }

    /// The tokens, comments included.
    #[must_use]
    pub fn tokens(&self) -> &[ruff_python_ast::token::Token] {
        self.inner.tokens()
    }
}

/// Why a text is not Python: the first reason, by position.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {}, column {}: {message}", at.line, at.column)]
pub struct SyntaxError {
    /// What is wrong, as a fragment without position.
    pub message: String,
    /// Where, in bytes.
    pub span: Span,
    /// Where, for a person.
    pub at: Position,
}

impl SyntaxError {
    fn new(source: &str, range: TextRange, message: String) -> Self {
        let span = span(range);
        Self { message, span, at: LineIndex::new(source).position(source, span.start) }
    }
}

/// Byte span of a syntax node.
#[must_use]
pub fn span(range: TextRange) -> Span {
    Span::new(range.start().to_usize(), range.end().to_usize())
}

/// Parses a module by the grammar of [`DEFAULT_VERSION`].
///
/// # Errors
/// [`SyntaxError`] exactly where that version's `ast.parse` raises (`SyntaxError`, `ValueError`, `RecursionError` or
/// `MemoryError`), up to the depth at which the last two set in.
pub fn parse(source: &str) -> Result<Parsed, SyntaxError> {
    parse_as(source, DEFAULT_VERSION)
}

/// Parses a module by the grammar of one version; those before 3.7 are read as 3.7.
///
/// # Errors
/// See [`parse`].
pub fn parse_as(source: &str, version: Version) -> Result<Parsed, SyntaxError> {
    limits::check(source)?;
    let target = PythonVersion { major: version.major, minor: version.minor };
    let parsed = parse_unchecked(source, ParseOptions::from(Mode::Module).with_target_version(target));
    if let Some(error) = parsed.errors().iter().min_by_key(|e| e.location.start()) {
        return Err(SyntaxError::new(source, error.location, lowercase(error.error.to_string())));
    }
    if let Some(error) = parsed.unsupported_syntax_errors().iter().min_by_key(|e| e.range().start()) {
        return Err(SyntaxError::new(source, error.range(), lowercase(error.to_string())));
    }
    match parsed.try_into_module() {
        Some(inner) => {
            limits::check_integers(source, inner.tokens())?;
            check_try(source, &inner.syntax().body)?;
            Ok(Parsed { inner })
        }
        None => Err(SyntaxError::new(source, TextRange::default(), "not a module".to_owned())),
    }
}

/// The tree of a text that is not valid, as far as the grammar recovers: Python 2, or a buffer somebody is typing in. Nothing
/// where the text is nested deeper than CPython allows, so that the depth of the tree stays bounded.
#[must_use]
pub fn recover(source: &str) -> Option<Parsed> {
    limits::check(source).ok()?;
    let target = PythonVersion { major: DEFAULT_VERSION.major, minor: DEFAULT_VERSION.minor };
    let parsed = parse_unchecked(source, ParseOptions::from(Mode::Module).with_target_version(target));
    Some(Parsed { inner: parsed.try_into_module()? })
}

/// Refuses `else` after a `try` without `except`, which ruff's grammar lets through.
fn check_try(source: &str, body: &[Stmt]) -> Result<(), SyntaxError> {
    // Statements nest at most as deep as the indentation may, so recursion is bounded.
    for stmt in body {
        match stmt {
            Stmt::Try(s) => {
                if let (true, Some(first)) = (s.handlers.is_empty(), s.orelse.first()) {
                    return Err(SyntaxError::new(source, first.range(), "expected `except` before `else`".to_owned()));
                }
                check_try(source, &s.body)?;
                for ExceptHandler::ExceptHandler(handler) in &s.handlers {
                    check_try(source, &handler.body)?;
                }
                check_try(source, &s.orelse)?;
                check_try(source, &s.finalbody)?;
            }
            Stmt::If(s) => {
                check_try(source, &s.body)?;
                s.elif_else_clauses.iter().try_for_each(|c| check_try(source, &c.body))?;
            }
            Stmt::For(s) => {
                check_try(source, &s.body)?;
                check_try(source, &s.orelse)?;
            }
            Stmt::While(s) => {
                check_try(source, &s.body)?;
                check_try(source, &s.orelse)?;
            }
            Stmt::With(s) => check_try(source, &s.body)?,
            Stmt::FunctionDef(s) => check_try(source, &s.body)?,
            Stmt::ClassDef(s) => check_try(source, &s.body)?,
            Stmt::Match(s) => s.cases.iter().try_for_each(|c| check_try(source, &c.body))?,
            _ => {}
        }
    }
    Ok(())
}

/// Our messages are fragments that start small.
fn lowercase(message: String) -> String {
    let mut chars = message.chars();
    match (chars.next(), chars.clone().next()) {
        (Some(first), second) if !second.is_some_and(char::is_uppercase) => first.to_lowercase().chain(chars).collect(),
        _ => message,
    }
}

#[cfg(test)]
mod tests;
