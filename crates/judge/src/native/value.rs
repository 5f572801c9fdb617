//! What is known of a value at one moment: where it came from, what it says, and what has been done to make it harmless.
//!
//! A value is constant or *dynamic*. The dynamic parts of a string carry taint (who may have chosen them) and cleanliness
//! (the contexts in which they can no longer do harm). Combining values unites taint and intersects cleanliness, so a
//! string is as dirty as its dirtiest part.

use super::scopes::Slot;
use ruff_python_ast::Expr;
use ruff_text_size::TextRange;

/// Who may have chosen a value: a set of bits.
pub(crate) type Taint = u32;
/// Contexts in which a value is harmless: a set of bits.
pub(crate) type Clean = u32;

/// Sources of data.
#[rustfmt::skip]
pub(crate) mod taint {
    use super::Taint;
    /// A parameter of the function: whoever calls.
    pub(crate) const PARAM: Taint = 1;
    /// A web request.
    pub(crate) const REQUEST: Taint = 1 << 1;
    /// The terminal: `input()`, `sys.argv`.
    pub(crate) const INPUT: Taint = 1 << 2;
    /// The environment.
    pub(crate) const ENV: Taint = 1 << 3;
    /// A file's content.
    pub(crate) const FILE: Taint = 1 << 4;
    /// An answer from the network.
    pub(crate) const NET: Taint = 1 << 5;
    /// A caught exception.
    pub(crate) const ERROR: Taint = 1 << 6;
    /// A formatted stack trace.
    pub(crate) const TRACE: Taint = 1 << 7;
    /// The `random` module.
    pub(crate) const RANDOM: Taint = 1 << 8;
    /// A number read out of a binary message.
    pub(crate) const SIZE: Taint = 1 << 9;
    /// A name inside an archive.
    pub(crate) const ARCHIVE: Taint = 1 << 10;
    /// The clock.
    pub(crate) const CLOCK: Taint = 1 << 11;
    /// A path with a foreign part appended to a folder.
    pub(crate) const JOINED: Taint = 1 << 12;
    /// Data from outside the program.
    pub(crate) const OUTSIDE: Taint = REQUEST | INPUT | NET;
    /// Data that some caller or peer chose.
    pub(crate) const FOREIGN: Taint = PARAM | REQUEST | INPUT | NET | FILE | ENV | ARCHIVE;
}

/// Contexts of use.
#[rustfmt::skip]
pub(crate) mod clean {
    use super::Clean;
    pub(crate) const SQL: Clean = 1;
    pub(crate) const SHELL: Clean = 1 << 1;
    pub(crate) const HTML: Clean = 1 << 2;
    pub(crate) const PATH: Clean = 1 << 3;
    pub(crate) const URL: Clean = 1 << 4;
    pub(crate) const CRLF: Clean = 1 << 5;
    pub(crate) const LDAP: Clean = 1 << 6;
    pub(crate) const XPATH: Clean = 1 << 7;
    pub(crate) const REGEX: Clean = 1 << 8;
    /// Bounded in size or number.
    pub(crate) const LIMIT: Clean = 1 << 9;
    /// Cannot be taken for an option of a command.
    pub(crate) const ARG: Clean = 1 << 10;
    /// Cannot be taken for a spreadsheet formula.
    pub(crate) const FORMULA: Clean = 1 << 11;
    /// Folded to one case.
    pub(crate) const CASE: Clean = 1 << 12;
    pub(crate) const CODE: Clean = 1 << 13;
    /// Its digest or signature was compared.
    pub(crate) const VERIFIED: Clean = 1 << 14;
    /// Compared with zero or tested for emptiness.
    pub(crate) const NONZERO: Clean = 1 << 15;
    /// A plain string or number, not a document.
    pub(crate) const SCALAR: Clean = 1 << 16;
    /// Its extension was looked at.
    pub(crate) const EXTENSION: Clean = 1 << 17;
    /// Encrypted, hashed or masked.
    pub(crate) const OPAQUE: Clean = 1 << 18;
    /// Made a number on purpose, by `int(..)`, and not only pasted in as one.
    pub(crate) const CONVERTED: Clean = 1 << 19;
    pub(crate) const NOTHING: Clean = 0;
    pub(crate) const EVERYTHING: Clean = u32::MAX;
    /// What conversion to a number leaves open.
    pub(crate) const NUMBER: Clean = !(LIMIT | NONZERO | VERIFIED | CONVERTED);
    /// What membership in a fixed set, or a full match, settles.
    pub(crate) const LISTED: Clean = !(VERIFIED | OPAQUE);
}

/// A constant that is not text.
#[derive(Clone, Copy, Debug, PartialEq, Default)]
pub(crate) enum Literal {
    /// Not known to be one.
    #[default]
    Unknown,
    /// `None`.
    None,
    /// `True`, `False`.
    Bool(bool),
    /// A number; fractions are cut.
    Int(i64),
}

/// Marks a dynamic part inside [`Value::text`]; Python source cannot contain it.
pub(crate) const HOLE: char = '\0';

/// Most names that a value is said to come from.
const MAX_ROOTS: usize = 8;

/// Local names that a value was computed from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Roots {
    count: u8,
    slots: [Slot; MAX_ROOTS],
}

impl Roots {
    /// No name.
    pub(crate) const NONE: Self = Self { count: 0, slots: [0; MAX_ROOTS] };

    /// One name.
    pub(crate) const fn one(slot: Slot) -> Self {
        let mut slots = [0; MAX_ROOTS];
        slots[0] = slot;
        Self { count: 1, slots }
    }

    /// Adds a name, unless it is there or there are too many.
    pub(crate) fn add(&mut self, slot: Slot) {
        let count = usize::from(self.count);
        if count < MAX_ROOTS && !self.slots[..count].contains(&slot) {
            self.slots[count] = slot;
            self.count += 1;
        }
    }

    /// The names, in the order they came.
    pub(crate) fn iter(&self) -> impl Iterator<Item = Slot> {
        self.slots[..usize::from(self.count)].iter().copied()
    }

    pub(crate) const fn is_empty(&self) -> bool {
        self.count == 0
    }

    pub(crate) const fn len(&self) -> usize {
        self.count as usize
    }

    pub(crate) fn contains(&self, slot: Slot) -> bool {
        self.iter().any(|s| s == slot)
    }
}

/// A value at one moment.
#[derive(Clone, Debug)]
pub(crate) struct Value<'a> {
    /// Dotted name it was reached by, `()` for each call on the way: `sqlite3.connect().cursor`.
    pub path: Option<&'a str>,
    /// The expression that made it, for rules that look inside lists, dictionaries and calls.
    pub expr: Option<&'a Expr>,
    /// What a string says, [`HOLE`] for its dynamic parts.
    pub text: Option<&'a str>,
    /// Whether it is known to be bytes.
    pub bytes: bool,
    /// What a constant is.
    pub literal: Literal,
    /// Who chose its dynamic parts.
    pub taint: Taint,
    /// Where the tainted parts are harmless.
    pub clean: Clean,
    /// Where all dynamic parts are harmless, tainted or not.
    pub loose: Clean,
    /// Local names it was computed from.
    pub roots: Roots,
    /// Where its taint entered.
    pub origin: Option<TextRange>,
}

impl Default for Value<'_> {
    /// A dynamic value of unknown origin.
    fn default() -> Self {
        Self { loose: clean::NOTHING, ..Self::constant() }
    }
}

impl<'a> Value<'a> {
    /// A constant of unknown content: what combining starts from.
    pub(crate) const fn constant() -> Self {
        Self {
            path: None,
            expr: None,
            text: None,
            bytes: false,
            literal: Literal::Unknown,
            taint: 0,
            clean: clean::EVERYTHING,
            loose: clean::EVERYTHING,
            roots: Roots::NONE,
            origin: None,
        }
    }

    /// A constant string.
    pub(crate) const fn string(text: &'a str) -> Self {
        Self { text: Some(text), ..Self::constant() }
    }

    /// A dynamic value somebody chose.
    pub(crate) fn tainted(taint: Taint, origin: TextRange) -> Self {
        Self { taint, clean: clean::NOTHING, origin: Some(origin), ..Self::default() }
    }

    /// Whether any part is not constant.
    pub(crate) const fn dynamic(&self) -> bool {
        self.loose != clean::EVERYTHING
    }

    /// Whether somebody in `sources` chose a part of it.
    pub(crate) const fn from(&self, sources: Taint) -> bool {
        self.taint & sources != 0
    }

    /// Takes another value in as a part: flags only, not the text.
    pub(crate) fn absorb(&mut self, part: &Self) {
        self.taint |= part.taint;
        self.clean &= part.clean;
        self.loose &= part.loose;
        self.origin = self.origin.or(part.origin);
        for root in part.roots.iter() {
            self.roots.add(root);
        }
    }

    /// Marks it harmless in the given contexts.
    pub(crate) const fn cleanse(&mut self, bits: Clean) {
        self.clean |= bits;
        self.loose |= bits;
    }

    /// Whether it is a constant string, and which.
    pub(crate) fn as_str(&self) -> Option<&'a str> {
        if self.dynamic() { None } else { self.text.filter(|t| !has_hole(t)) }
    }

    /// Whether it is a known integer, and which.
    pub(crate) const fn as_int(&self) -> Option<i64> {
        if let Literal::Int(i) = self.literal { Some(i) } else { None }
    }

    /// Whether it is the given boolean.
    pub(crate) fn is_bool(&self, wanted: bool) -> bool {
        self.literal == Literal::Bool(wanted)
    }

    /// Dotted name, or nothing.
    pub(crate) fn path(&self) -> &'a str {
        self.path.unwrap_or("")
    }

    /// Its text with holes, or nothing.
    pub(crate) fn text(&self) -> &'a str {
        self.text.unwrap_or("")
    }

    /// What its text adds to a longer string.
    pub(crate) fn piece(&self) -> &'a str {
        self.text.unwrap_or("\0")
    }

    /// Whether it is a string with dynamic parts between constant ones.
    pub(crate) fn built(&self) -> bool {
        self.dynamic() && self.text.is_some_and(|t| t.len() > 1 && has_hole(t))
    }
}

/// Whether a text has a dynamic part: asked of every argument of every call.
fn has_hole(text: &str) -> bool {
    memchr::memchr(HOLE as u8, text.as_bytes()).is_some()
}

/// The value of a name that two branches may have set.
pub(crate) fn join<'a>(mut one: Value<'a>, other: &Value<'a>) -> Value<'a> {
    one.absorb(other);
    if one.path != other.path {
        one.path = one.path.filter(|_| other.path.is_none()).or(other.path);
    }
    if one.literal != other.literal {
        one.literal = Literal::Unknown;
    }
    if one.text != other.text {
        // Two constants stay constant without being known; otherwise the more telling text is kept.
        let longer = |v: &Value<'_>| v.text.map_or(0, str::len);
        if longer(other) > longer(&one) {
            one.text = other.text;
            one.expr = other.expr.or(one.expr);
        }
        if !one.dynamic() {
            one.text = None;
        }
    }
    one
}
