//! The rules, one file per family of weaknesses, all listed in [`ALL`].
//!
//! A rule is a static with its documentation and the functions that look for it directly below. To add one, write it and put
//! it into `ALL`.

use super::rule::{Assign, Binary, Call, Check, Compare, Rule, Subscript};
use super::{engine::Engine, value::Value};
use ruff_python_ast::{ExceptHandlerExceptHandler, Stmt, StmtFunctionDef};
use ruff_text_size::TextRange;
use rustc_hash::FxHashMap;
use std::sync::LazyLock;

/// Declares a rule.
macro_rules! rule {
    ($name:ident, $id:literal, [$($cwe:literal),+], $severity:ident, $confidence:ident,
     what: $what:literal, why: $why:literal, remedy: $remedy:literal, [$($check:expr),* $(,)?]) => {
        #[doc = $what]
        pub(super) static $name: $crate::native::rule::Rule = $crate::native::rule::Rule {
            id: $id,
            cwe: &[$($cwe),+],
            severity: lexicon::Severity::$severity,
            confidence: lexicon::Confidence::$confidence,
            what: $what,
            why: $why,
            remedy: $remedy,
            checks: &[$($check),*],
        };
    };
}

mod access;
mod archive;
mod bypass;
mod code;
mod command;
mod crypto;
mod deserialize;
mod files;
mod html;
mod injection;
mod input;
mod limits;
mod logs;
mod passwords;
mod path;
mod random;
mod regex;
mod requests;
mod robustness;
mod secrets;
mod sql;
mod tls;
mod web;
mod xml;

/// Every rule.
pub const ALL: &[&Rule] = &[
    &sql::SQL,
    &sql::SQL_TEXT,
    &sql::SQL_NUMBER,
    &command::SHELL,
    &command::WRAPPER,
    &command::OPTION,
    &command::SEARCH_PATH,
    &command::UNCHECKED,
    &code::EVAL,
    &code::NAMED_CODE,
    &code::ATTRIBUTE,
    &code::MASS_ASSIGNMENT,
    &html::HTML,
    &html::MARKED_SAFE,
    &html::AUTOESCAPE,
    &html::TEMPLATE,
    &html::SAFE_FILTER,
    &html::SCRIPT,
    &html::MARKDOWN,
    &injection::LDAP,
    &injection::XPATH,
    &injection::NOSQL,
    &injection::HEADER,
    &injection::MAIL,
    &injection::CSV,
    &logs::LOG_INJECTION,
    &logs::SECRET_LOGGED,
    &path::TRAVERSAL,
    &path::UPLOAD,
    &path::SYMLINK,
    &path::DOTFILES,
    &archive::EXTRACT,
    &archive::BOMB,
    &requests::REDIRECT,
    &requests::SSRF,
    &requests::ADDRESS,
    &requests::TIMEOUT,
    &requests::CLEARTEXT,
    &requests::SECRET_IN_URL,
    &requests::DOWNLOAD,
    &web::DEBUG,
    &web::COOKIE,
    &web::CORS,
    &web::CSRF,
    &web::FIXATION,
    &web::ERROR_SHOWN,
    &web::FRAMING,
    &web::BODY_SIZE,
    &access::NO_LOGIN,
    &access::NO_OWNER,
    &access::UNUSED_IDENTITY,
    &access::ATTEMPTS,
    &access::EMPTY_PASSWORD,
    &access::UNKNOWN_USER,
    &access::NO_EXPIRY,
    &access::FAILS_OPEN,
    &bypass::BYPASS,
    &deserialize::OBJECTS,
    &deserialize::WRITTEN,
    &xml::EXTERNAL,
    &crypto::WEAK_HASH,
    &crypto::KEYED_HASH,
    &crypto::WEAK_CIPHER,
    &crypto::WEAK_KEY,
    &crypto::FIXED_IV,
    &crypto::PADDING,
    &crypto::JWT,
    &crypto::JWT_EXPIRY,
    &crypto::TIMING,
    &tls::CERTIFICATE,
    &tls::VERSION,
    &tls::STARTTLS,
    &tls::HOST_KEY,
    &tls::BIND_ALL,
    &random::WEAK_RANDOM,
    &random::SHORT_TOKEN,
    &random::PREDICTABLE,
    &passwords::FAST_HASH,
    &passwords::FIXED_SALT,
    &passwords::FEW_ROUNDS,
    &passwords::LENGTH,
    &passwords::STORED,
    &secrets::HARDCODED,
    &secrets::DEFAULT,
    &secrets::COMMAND_LINE,
    &secrets::REPR,
    &secrets::ENVIRONMENT,
    &secrets::TOKEN_STORED,
    &files::MODE,
    &files::UMASK,
    &files::TEMPORARY,
    &files::FIXED_TEMPORARY,
    &files::CHECK_THEN_USE,
    &files::LEFT_OPEN,
    &files::SECRET_FILE,
    &input::SUBSTRING,
    &input::CASE,
    &input::LENGTH_FIELD,
    &limits::COUNT,
    &limits::READ_ALL,
    &limits::ENDLESS,
    &regex::UNANCHORED,
    &regex::BACKTRACKING,
    &regex::FOREIGN,
    &robustness::SWALLOWED,
    &robustness::DIVISION,
    &robustness::SHARED_DEFAULT,
];

type OnCall = for<'e, 'a> fn(&'e mut Engine<'a>, &'e Call<'a>);

/// Checks by what they want to see.
#[derive(Default)]
pub(super) struct Dispatch {
    pub(super) call: FxHashMap<&'static str, Vec<OnCall>>,
    pub(super) any_call: Vec<OnCall>,
    pub(super) assign: Vec<for<'e, 'a> fn(&'e mut Engine<'a>, &'e Assign<'a>)>,
    pub(super) returns: Vec<for<'e, 'a> fn(&'e mut Engine<'a>, &'e Value<'a>, TextRange)>,
    pub(super) function: Vec<for<'e, 'a> fn(&'e mut Engine<'a>, &'a StmtFunctionDef)>,
    pub(super) compare: Vec<for<'e, 'a> fn(&'e mut Engine<'a>, &'e Compare<'a>)>,
    pub(super) except: Vec<for<'e, 'a> fn(&'e mut Engine<'a>, &'a ExceptHandlerExceptHandler)>,
    pub(super) binary: Vec<for<'e, 'a> fn(&'e mut Engine<'a>, &'e Binary<'a>)>,
    pub(super) statement: Vec<for<'e, 'a> fn(&'e mut Engine<'a>, &'a Stmt)>,
    pub(super) subscript: Vec<for<'e, 'a> fn(&'e mut Engine<'a>, &'e Subscript<'a>)>,
    pub(super) built: Vec<for<'e, 'a> fn(&'e mut Engine<'a>, &'e Value<'a>, TextRange)>,
}

/// The dispatch table of [`ALL`], made once.
pub(super) static DISPATCH: LazyLock<Dispatch> = LazyLock::new(|| {
    let mut table = Dispatch::default();
    for check in ALL.iter().flat_map(|rule| rule.checks) {
        match *check {
            Check::Call(names, f) => names.iter().for_each(|n| table.call.entry(n).or_default().push(f)),
            Check::AnyCall(f) => table.any_call.push(f),
            Check::Assign(f) => table.assign.push(f),
            Check::Return(f) => table.returns.push(f),
            Check::Function(f) => table.function.push(f),
            Check::Compare(f) => table.compare.push(f),
            Check::Except(f) => table.except.push(f),
            Check::Binary(f) => table.binary.push(f),
            Check::Statement(f) => table.statement.push(f),
            Check::Subscript(f) => table.subscript.push(f),
            Check::Built(f) => table.built.push(f),
        }
    }
    table
});
