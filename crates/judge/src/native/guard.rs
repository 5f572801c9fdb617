//! Tests: what an `if` tells about the names it looks at.
//!
//! A test restricts names whichever way it goes: `if name not in ALLOWED: raise` and `if name in ALLOWED: use(name)` both
//! count, from the test to the end of the function. That is generous, and on purpose: code that looks at a value before using
//! it is rarely what a reader wants to be warned of.

use super::{
    engine::Engine,
    eval::constant_name,
    names,
    value::{Clean, Literal, clean, taint},
};
use ruff_python_ast::{CmpOp, Expr, UnaryOp};

/// Words in the names of functions that decide whether a value may be used.
const DECIDES: &names::Words = &names::Words::of(&[
    "valid",
    "validate",
    "validated",
    "allow",
    "allowed",
    "safe",
    "check",
    "permitted",
    "verify",
    "verified",
    "trusted",
    "whitelist",
    "whitelisted",
    "legal",
    "authorize",
    "authorized",
    "accept",
    "accepted",
    "can",
    "may",
    "approved",
    "known",
    "supported",
    "within",
    "inside",
    "contains",
    "private",
    "global",
    "public",
    "local",
    "internal",
]);

impl<'a> Engine<'a> {
    /// Notes what a test restricts.
    pub(super) fn guard(&mut self, test: &'a Expr) {
        self.deeper(|e| e.guard_inside(test));
    }

    /// Notes what the test of an `if` restricts. `if name == "x": continue` settles nothing about the names that go on.
    pub(super) fn guard_branch(&mut self, test: &'a Expr, leaves: bool) {
        match test {
            Expr::BoolOp(op) if leaves => op.values.iter().for_each(|v| self.guard_branch(v, leaves)),
            Expr::Compare(compare)
                if leaves
                    && matches!(compare.ops.as_ref(), [CmpOp::Eq])
                    && compare.comparators.first().is_some_and(|c| c.is_literal_expr()) =>
            {
                self.restrict_names(&compare.left, clean::NONZERO);
            }
            _ => self.guard(test),
        }
    }

    fn guard_inside(&mut self, test: &'a Expr) {
        match test {
            Expr::BoolOp(op) => op.values.iter().for_each(|v| self.guard(v)),
            Expr::UnaryOp(op) if op.op == UnaryOp::Not => self.guard(&op.operand),
            Expr::Named(named) => self.guard(&named.value),
            Expr::Compare(compare) => {
                self.guard_calls(&compare.left);
                compare.comparators.iter().for_each(|c| self.guard_calls(c));
                let mut left: &'a Expr = &compare.left;
                for (op, right) in compare.ops.iter().zip(&compare.comparators) {
                    self.guard_comparison(left, *op, right);
                    left = right;
                }
            }
            Expr::Name(_) => self.restrict_names(test, clean::NONZERO),
            Expr::Attribute(attribute) => {
                if matches!(
                    attribute.attr.as_str(),
                    "is_global" | "is_private" | "is_loopback" | "is_reserved" | "is_link_local" | "is_multicast"
                ) {
                    self.restrict_names(&attribute.value, clean::URL);
                }
                if matches!(attribute.attr.as_str(), "file_size" | "size" | "content_length") {
                    self.restrict_names(&attribute.value, clean::LIMIT | clean::NONZERO);
                }
                self.guard_calls(test);
            }
            Expr::Call(_) => self.guard_calls(test),
            _ => {}
        }
    }

    /// A `and b`, `a or b` outside a test: the first part guards the others.
    pub(super) fn guard_quietly(&mut self, expr: &'a Expr) {
        if let Expr::BoolOp(op) = expr {
            for value in &op.values {
                if value.is_compare_expr() || value.is_call_expr() || value.is_unary_op_expr() {
                    self.guard(value);
                }
            }
        }
    }

    fn guard_comparison(&mut self, left: &'a Expr, op: CmpOp, right: &'a Expr) {
        let (a, b) = (self.peek(left), self.peek(right));
        match op {
            CmpOp::In | CmpOp::NotIn => {
                if a.as_str().is_some() && b.dynamic() {
                    // A constant looked for in the value: what it stands for decides.
                    let bits = match a.text() {
                        "\n" | "\r" | "\r\n" => clean::CRLF,
                        ".." | "/" | "\\" | "../" => clean::PATH,
                        "<" | ">" | "<script" => clean::HTML,
                        _ => clean::NOTHING,
                    };
                    self.restrict_names(right, bits);
                } else if constant_name(names::last(left)) && b.dynamic() {
                    // `HOST in url` proves nothing.
                } else {
                    self.restrict_names(left, subject_bits(self.text(left)));
                }
            }
            CmpOp::Eq | CmpOp::NotEq => {
                let settles =
                    |v: &super::value::Value<'a>| !v.dynamic() && v.literal == Literal::Unknown && v.text != Some("");
                let number = |v: &super::value::Value<'a>| matches!(v.literal, Literal::Int(_));
                if settles(&b) {
                    self.restrict_names(left, subject_bits(self.text(left)));
                } else if settles(&a) {
                    self.restrict_names(right, subject_bits(self.text(right)));
                }
                if number(&b) {
                    self.restrict_names(left, clean::NONZERO);
                }
                if number(&a) {
                    self.restrict_names(right, clean::NONZERO);
                }
                if b.text == Some("") || a.text == Some("") {
                    self.restrict_names(left, clean::NONZERO);
                }
                // Two computed values: a digest, a canonical path.
                if a.dynamic() && b.dynamic() {
                    let text = self.text(left).len() + self.text(right).len();
                    let digest = |e: &'a Expr| {
                        let name = names::last(e);
                        names::mentions(
                            name,
                            &["digest", "hexdigest", "checksum", "sha256", "hash", "signature", "sum"],
                        )
                    };
                    if text > 0 && (digest(left) || digest(right)) {
                        self.restrict_names(left, clean::VERIFIED);
                        self.restrict_names(right, clean::VERIFIED);
                    }
                }
            }
            CmpOp::Lt | CmpOp::LtE | CmpOp::Gt | CmpOp::GtE => {
                self.restrict_names(left, clean::LIMIT | clean::NONZERO);
                self.restrict_names(right, clean::LIMIT | clean::NONZERO);
            }
            CmpOp::Is | CmpOp::IsNot => {}
        }
    }

    /// What the calls inside a test restrict.
    fn guard_calls(&mut self, expr: &'a Expr) {
        self.deeper(|e| e.guard_calls_inside(expr));
    }

    fn guard_calls_inside(&mut self, expr: &'a Expr) {
        let call = match expr {
            Expr::Call(call) => call,
            Expr::Attribute(attribute) => return self.guard_calls(&attribute.value),
            Expr::Subscript(subscript) => return self.guard_calls(&subscript.value),
            Expr::UnaryOp(op) => return self.guard_calls(&op.operand),
            Expr::Generator(generator) => {
                // `any(part.startswith(".") for part in name.split("/"))`: what holds for the parts holds for the whole.
                let bits = self.bits_inside(&generator.elt);
                for comprehension in &generator.generators {
                    self.restrict_names(&comprehension.iter, bits);
                    for test in &comprehension.ifs {
                        let bits = self.bits_inside(test);
                        self.restrict_names(&comprehension.iter, bits);
                    }
                }
                return;
            }
            _ => return,
        };
        call.arguments.args.iter().for_each(|a| self.guard_calls(a));
        let bits = self.call_bits(expr);
        if bits == clean::NOTHING {
            if let Expr::Attribute(attribute) = call.func.as_ref() {
                self.guard_calls(&attribute.value);
            }
            return;
        }
        if let Expr::Attribute(attribute) = call.func.as_ref() {
            self.restrict_names(&attribute.value, bits);
        }
        for argument in &call.arguments.args {
            self.restrict_names(argument, bits);
        }
    }

    /// What a test inside a comprehension says about each element.
    fn bits_inside(&mut self, test: &'a Expr) -> Clean {
        self.deeper(|e| e.bits_of(test))
    }

    fn bits_of(&mut self, test: &'a Expr) -> Clean {
        match test {
            Expr::Call(_) => self.call_bits(test),
            Expr::UnaryOp(op) => self.bits_inside(&op.operand),
            Expr::BoolOp(op) => op.values.iter().map(|v| self.bits_inside(v)).fold(0, |a, b| a | b),
            Expr::Compare(compare) => match compare.ops.first() {
                Some(CmpOp::In | CmpOp::NotIn) => clean::LISTED,
                Some(CmpOp::Eq | CmpOp::NotEq) => clean::PATH,
                _ => clean::NOTHING,
            },
            Expr::Attribute(attribute)
                if attribute.attr.starts_with("is_") && attribute.attr.as_str() != "is_authenticated" =>
            {
                clean::URL
            }
            _ => clean::NOTHING,
        }
    }

    fn call_bits(&mut self, expr: &'a Expr) -> Clean {
        let Expr::Call(call) = expr else { return clean::NOTHING };
        let name = names::last(&call.func);
        match name {
            "isalnum" | "isdigit" | "isdecimal" | "isnumeric" | "isidentifier" | "isalpha" | "fullmatch" => {
                clean::LISTED
            }
            "match" | "search" => {
                let pattern = match call.arguments.args.first() {
                    Some(first) if call.arguments.args.len() > 1 => self.peek(first),
                    _ => match call.func.as_ref() {
                        Expr::Attribute(a) => {
                            let compiled = self.resolve(&a.value);
                            match compiled {
                                Expr::Call(c) => c.arguments.args.first().map(|p| self.peek(p)).unwrap_or_default(),
                                _ => return clean::NOTHING,
                            }
                        }
                        _ => return clean::NOTHING,
                    },
                };
                let text = pattern.text();
                let closed = text.ends_with('$') || text.ends_with("\\Z");
                if closed && (name == "match" || text.starts_with('^') || text.starts_with("\\A")) {
                    clean::LISTED
                } else {
                    clean::NOTHING
                }
            }
            "startswith" => {
                let prefix = call.arguments.args.first().map(|p| self.peek(p)).unwrap_or_default();
                let text = prefix.text();
                if text.starts_with("http") && text.len() <= 8 {
                    clean::NOTHING
                } else if text == "-" {
                    clean::ARG
                } else if prefix.as_str().is_some_and(|t| !t.contains(['/', '\\', '.', ':'])) {
                    // `name.startswith("stream_")` says nothing of what follows.
                    clean::FORMULA | clean::ARG
                } else {
                    clean::PATH | clean::URL | clean::FORMULA | clean::ARG
                }
            }
            "endswith" => clean::EXTENSION | clean::URL,
            "is_relative_to" | "commonpath" | "commonprefix" | "relative_to" => clean::PATH,
            "compare_digest" | "verify" => clean::VERIFIED | clean::LISTED,
            "isinstance" => match call.arguments.args.get(1).map(|t| self.text(t)) {
                Some("int" | "float" | "bool" | "(int, float)") => clean::NUMBER,
                _ => clean::SCALAR,
            },
            "len" | "sum" => clean::LIMIT | clean::NONZERO,
            // A form that is complete still holds any text.
            "validate_on_submit" | "is_valid" | "validate" if call.arguments.is_empty() => clean::NOTHING,
            "any" | "all" | "set" | "lower" | "strip" | "exists" | "isfile" | "isdir" | "hasattr" | "get" => {
                clean::NOTHING
            }
            _ if names::has_word(name, DECIDES) => clean::LISTED,
            _ => clean::NOTHING,
        }
    }

    /// Restricts every local name that an expression reads.
    pub(super) fn restrict_names(&mut self, expr: &'a Expr, bits: Clean) {
        if bits != clean::NOTHING {
            self.deeper(|e| e.restrict_inside(expr, bits));
        }
    }

    fn restrict_inside(&mut self, expr: &'a Expr, bits: Clean) {
        match expr {
            Expr::Name(name) => {
                let name = name.id.as_str();
                // A request, or the object itself, is too much to be settled by one look at a part of it.
                if self.lookup(name).is_some_and(|v| v.path() != "request" && name != "self" || !v.from(taint::REQUEST))
                {
                    self.restrict(name, bits);
                }
            }
            Expr::Attribute(attribute) => {
                if attribute.value.is_name_expr() && self.scopes.attribute(self.text(expr)).is_some() {
                    let text = self.text(expr);
                    self.restrict(text, bits);
                }
                self.restrict_names(&attribute.value, bits);
            }
            Expr::Subscript(subscript) => self.restrict_names(&subscript.value, bits),
            Expr::Call(call) => {
                if let Expr::Attribute(attribute) = call.func.as_ref() {
                    self.restrict_names(&attribute.value, bits);
                }
                call.arguments.args.iter().for_each(|a| self.restrict_names(a, bits));
            }
            Expr::BinOp(op) => {
                self.restrict_names(&op.left, bits);
                self.restrict_names(&op.right, bits);
            }
            Expr::List(list) => list.elts.iter().for_each(|e| self.restrict_names(e, bits)),
            Expr::Tuple(tuple) => tuple.elts.iter().for_each(|e| self.restrict_names(e, bits)),
            Expr::Starred(starred) => self.restrict_names(&starred.value, bits),
            Expr::UnaryOp(op) => self.restrict_names(&op.operand, bits),
            _ => {}
        }
    }
}

/// What comparing a part of a value settles about the whole, by the part.
fn subject_bits(text: &str) -> Clean {
    let has = |parts: &[&str]| parts.iter().any(|p| text.contains(p));
    if has(&[".scheme", ".method", ".content_type", ".mimetype", ".user", ".status"]) {
        clean::NOTHING
    } else if has(&["splitext", ".suffix", "rsplit", ".endswith", "guess_type"]) {
        clean::EXTENSION
    } else if has(&[".netloc", ".hostname", ".host", ".domain"]) {
        clean::URL
    } else if has(&["len("]) {
        clean::LIMIT | clean::NONZERO
    } else {
        clean::LISTED
    }
}
