//! What a rule is, and what it is shown.

use super::{engine::Engine, value::Value};
use lexicon::{Confidence, Severity};
use ruff_python_ast::{CmpOp, ExceptHandlerExceptHandler, Expr, ExprCall, Operator, Stmt, StmtFunctionDef};
use ruff_text_size::TextRange;

/// One weakness the native analyzer knows.
pub struct Rule {
    /// Its name on disk and in suppressions: kebab-case.
    pub id: &'static str,
    /// Weaknesses it speaks of, the best fitting first.
    pub cwe: &'static [u32],
    /// How bad.
    pub severity: Severity,
    /// How sure.
    pub confidence: Confidence,
    /// What it looks for: a sentence.
    pub what: &'static str,
    /// Why that is bad: a sentence.
    pub why: &'static str,
    /// What to do: the finding's message.
    pub remedy: &'static str,
    /// What it wants to see.
    pub(crate) checks: &'static [Check],
}

/// A function that looks at one kind of event and reports what it finds.
#[derive(Clone, Copy)]
pub(crate) enum Check {
    /// Calls whose callee's last name is one of these.
    Call(&'static [&'static str], for<'e, 'a> fn(&'e mut Engine<'a>, &'e Call<'a>)),
    /// Every call.
    AnyCall(for<'e, 'a> fn(&'e mut Engine<'a>, &'e Call<'a>)),
    /// Assignments, augmented and annotated ones included.
    Assign(for<'e, 'a> fn(&'e mut Engine<'a>, &'e Assign<'a>)),
    /// `return`.
    Return(for<'e, 'a> fn(&'e mut Engine<'a>, &'e Value<'a>, TextRange)),
    /// A function, after its body.
    Function(for<'e, 'a> fn(&'e mut Engine<'a>, &'a StmtFunctionDef)),
    /// A comparison, operator by operator.
    Compare(for<'e, 'a> fn(&'e mut Engine<'a>, &'e Compare<'a>)),
    /// An `except` clause.
    Except(for<'e, 'a> fn(&'e mut Engine<'a>, &'a ExceptHandlerExceptHandler)),
    /// A binary operation.
    Binary(for<'e, 'a> fn(&'e mut Engine<'a>, &'e Binary<'a>)),
    /// Any statement, before it takes effect.
    Statement(for<'e, 'a> fn(&'e mut Engine<'a>, &'a Stmt)),
    /// A subscript that is read.
    Subscript(for<'e, 'a> fn(&'e mut Engine<'a>, &'e Subscript<'a>)),
    /// A string built from parts, once complete.
    Built(for<'e, 'a> fn(&'e mut Engine<'a>, &'e Value<'a>, TextRange)),
}

/// A call with its arguments evaluated.
pub(crate) struct Call<'a> {
    pub expr: &'a ExprCall,
    pub range: TextRange,
    /// Resolved dotted name of the callee: `flask.request.args.get`.
    pub path: &'a str,
    /// Its last part.
    pub name: &'a str,
    /// The object a method is called on.
    pub receiver: Option<Value<'a>>,
    /// Positional arguments; a starred one stands for itself.
    pub args: Vec<Value<'a>>,
    /// Keyword arguments; `**x` has no name.
    pub keywords: Vec<(Option<&'a str>, Value<'a>)>,
    /// Whether the call is a statement of its own, its result unused.
    pub discarded: bool,
}

impl<'a> Call<'a> {
    /// Argument by keyword.
    pub(crate) fn keyword(&self, name: &str) -> Option<&Value<'a>> {
        self.keywords.iter().find(|(n, _)| *n == Some(name)).map(|(_, v)| v)
    }

    /// Argument by position or keyword.
    pub(crate) fn arg(&self, position: usize, name: &str) -> Option<&Value<'a>> {
        self.args.get(position).or_else(|| self.keyword(name))
    }

    /// Whether a `**mapping` may hold keywords we do not see.
    pub(crate) fn open_ended(&self) -> bool {
        self.keywords.iter().any(|(n, _)| n.is_none())
    }

    /// All argument values.
    pub(crate) fn values(&self) -> impl Iterator<Item = &Value<'a>> {
        self.args.iter().chain(self.keywords.iter().map(|(_, v)| v))
    }

    /// Whether the callee is one of these dotted names.
    pub(crate) fn is(&self, names: &[&str]) -> bool {
        names.iter().any(|n| super::names::same(self.path, n))
    }

    /// Whether the callee's dotted name begins so.
    pub(crate) fn under(&self, prefixes: &[&str]) -> bool {
        prefixes.iter().any(|p| self.path.starts_with(p))
    }
}

/// An assignment of one value to one target.
pub(crate) struct Assign<'a> {
    pub target: &'a Expr,
    /// Last name of the target: `x` of `x`, `self.x` and `d["x"]`.
    pub name: &'a str,
    pub value: Value<'a>,
    pub range: TextRange,
    /// Whether it adds to what was there.
    pub augmented: bool,
}

/// One operator of a comparison.
pub(crate) struct Compare<'a> {
    pub left: Value<'a>,
    pub op: CmpOp,
    pub right: Value<'a>,
    pub left_expr: &'a Expr,
    pub right_expr: &'a Expr,
    pub range: TextRange,
}

/// A binary operation.
pub(crate) struct Binary<'a> {
    pub left: Value<'a>,
    pub op: Operator,
    pub right: Value<'a>,
    pub left_expr: &'a Expr,
    pub right_expr: &'a Expr,
    pub range: TextRange,
}

/// A subscript.
pub(crate) struct Subscript<'a> {
    pub slice: &'a Expr,
    pub range: TextRange,
}
