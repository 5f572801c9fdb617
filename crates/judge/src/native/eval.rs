//! Expressions: what they evaluate to, as far as one can tell without running them.

use super::{
    engine::Engine,
    names,
    rule::{Binary, Call, Compare, Subscript},
    scopes::Kind,
    value::{Literal, Value, clean, join, taint},
};
use ruff_python_ast::{
    Comprehension, Expr, ExprAttribute, ExprBinOp, ExprCall, ExprCompare, ExprFString, ExprSubscript, FStringPart,
    InterpolatedStringElement, Number, Operator, UnaryOp,
};
use ruff_text_size::{Ranged, TextRange};
use std::borrow::Cow;

/// Longest dotted name kept; what is longer matches no rule.
const MAX_PATH: usize = 160;

impl<'a> Engine<'a> {
    /// Evaluates an expression, showing what happens inside to the rules.
    pub(super) fn eval(&mut self, expr: &'a Expr) -> Value<'a> {
        if self.quiet > 0 {
            if self.fuel == 0 {
                return Value::default();
            }
            self.fuel -= 1;
        }
        self.deeper(|e| e.evaluate(expr))
    }

    fn evaluate(&mut self, expr: &'a Expr) -> Value<'a> {
        let mut value = match expr {
            Expr::StringLiteral(s) => Value::string(s.value.to_str()),
            Expr::BytesLiteral(s) => {
                let text = match s.value.as_slice() {
                    [one] => String::from_utf8_lossy(&one.value),
                    _ => String::from_utf8_lossy(&s.value.bytes().collect::<Vec<u8>>()).into_owned().into(),
                };
                let text = match text {
                    Cow::Borrowed(text) => text,
                    Cow::Owned(text) => self.texts.concat(&[&text]),
                };
                Value { bytes: true, ..Value::string(text) }
            }
            Expr::NumberLiteral(n) => {
                #[expect(clippy::cast_possible_truncation, reason = "rules compare magnitudes, not fractions")]
                let literal = match &n.value {
                    Number::Int(i) => i.as_i64().map_or(Literal::Unknown, Literal::Int),
                    Number::Float(f) => Literal::Int(*f as i64),
                    Number::Complex { .. } => Literal::Unknown,
                };
                Value { literal, ..Value::constant() }
            }
            Expr::BooleanLiteral(b) => Value { literal: Literal::Bool(b.value), ..Value::constant() },
            Expr::NoneLiteral(_) => Value { literal: Literal::None, ..Value::constant() },
            Expr::EllipsisLiteral(_) => Value::constant(),
            Expr::Name(name) => return self.name(name.id.as_str(), expr),
            Expr::Attribute(attribute) => self.attribute(attribute, expr),
            Expr::Subscript(subscript) => self.subscript(subscript),
            Expr::Call(call) => self.call(call, false),
            Expr::FString(f) => self.fstring(f),
            Expr::TString(_) => Value::default(),
            Expr::BinOp(op) => self.binop(op),
            Expr::BoolOp(op) => {
                self.guard_quietly(expr);
                let mut values = op.values.iter();
                let first = values.next().map(|v| self.eval(v)).unwrap_or_default();
                values.fold(first, |a, v| join(a, &self.eval(v)))
            }
            Expr::UnaryOp(op) => {
                let value = self.eval(&op.operand);
                let literal = match (op.op, value.literal) {
                    (UnaryOp::USub, Literal::Int(i)) => Literal::Int(i.saturating_neg()),
                    (UnaryOp::Not, Literal::Bool(b)) => Literal::Bool(!b),
                    _ => Literal::Unknown,
                };
                Value { literal, text: None, path: None, ..value }
            }
            Expr::If(e) => {
                self.eval(&e.test);
                self.guard(&e.test);
                let body = self.eval(&e.body);
                let orelse = self.eval(&e.orelse);
                join(body, &orelse)
            }
            Expr::Compare(c) => self.compare(c),
            Expr::List(l) => self.elements(&l.elts),
            Expr::Tuple(t) => self.elements(&t.elts),
            Expr::Set(s) => self.elements(&s.elts),
            Expr::Dict(d) => {
                let mut all = Value::constant();
                for item in &d.items {
                    if let Some(key) = &item.key {
                        let key = self.eval(key);
                        all.absorb(&key);
                    }
                    let value = self.eval(&item.value);
                    all.absorb(&value);
                }
                all
            }
            Expr::ListComp(c) => self.comprehension(&c.generators, &[&c.elt]),
            Expr::SetComp(c) => self.comprehension(&c.generators, &[&c.elt]),
            Expr::Generator(c) => self.comprehension(&c.generators, &[&c.elt]),
            Expr::DictComp(c) => match &c.key {
                Some(key) => self.comprehension(&c.generators, &[key, &c.value]),
                None => self.comprehension(&c.generators, &[&c.value]),
            },
            Expr::Lambda(l) => {
                self.lambda(l.parameters.as_deref(), &l.body);
                Value::default()
            }
            Expr::Named(n) => {
                let value = self.eval(&n.value);
                self.assign_to(&n.target, value.clone(), n.range(), false);
                value
            }
            Expr::Await(e) => return self.eval(&e.value),
            Expr::Starred(e) => self.eval(&e.value),
            Expr::Yield(e) => {
                if let Some(value) = &e.value {
                    self.eval(value);
                }
                Value::default()
            }
            Expr::YieldFrom(e) => {
                self.eval(&e.value);
                Value::default()
            }
            Expr::Slice(s) => {
                let mut all = Value::constant();
                for part in [&s.lower, &s.upper, &s.step].into_iter().flatten() {
                    let part = self.eval(part);
                    all.absorb(&part);
                }
                all
            }
            Expr::IpyEscapeCommand(_) => Value::default(),
        };
        value.expr = if expr.is_call_expr() { Some(expr) } else { value.expr.or(Some(expr)) };
        value
    }

    fn elements(&mut self, elements: &'a [Expr]) -> Value<'a> {
        let mut all = Value::constant();
        for element in elements {
            let element = self.eval(element);
            all.absorb(&element);
        }
        all
    }

    fn name(&mut self, name: &'a str, expr: &'a Expr) -> Value<'a> {
        if let Some(value) = self.lookup(name) {
            let mut value = value.clone();
            if value.path.is_none() && value.dynamic() {
                value.path = Some(name);
            }
            value.expr = value.expr.or(Some(expr));
            return value;
        }
        let path = Some(self.imports.resolve(name));
        if constant_name(name) {
            return Value { path, expr: Some(expr), ..Value::constant() };
        }
        let mut value = Value { path, expr: Some(expr), ..Value::default() };
        if name == "request" && !self.imports.binds(name) {
            value = Value { path: value.path, expr: value.expr, ..Value::tainted(taint::REQUEST, expr.range()) };
        }
        value
    }

    fn attribute(&mut self, attribute: &'a ExprAttribute, expr: &'a Expr) -> Value<'a> {
        let base = self.eval(&attribute.value);
        if attribute.value.is_name_expr()
            && let Some(value) = self.scopes.attribute(self.text(expr))
        {
            return value.clone();
        }
        let attr = attribute.attr.as_str();
        if matches!(base.path(), "self" | "cls")
            && let Some(value) = self.scopes.class_name(attr)
        {
            return value.clone();
        }
        let path = self.join_path(&base, attr);
        if constant_name(attr) && !base.from(taint::REQUEST | taint::PARAM) {
            return Value { path: Some(path), ..Value::constant() };
        }
        let mut value = Value { path: Some(path), expr: None, text: None, bytes: false, ..base };
        value.loose &= value.clean & if value.taint == 0 { clean::NOTHING } else { clean::EVERYTHING };
        value.literal = Literal::Unknown;
        self.read_attribute(&mut value, attr, expr.range());
        value
    }

    fn subscript(&mut self, subscript: &'a ExprSubscript) -> Value<'a> {
        let base = self.eval(&subscript.value);
        let index = self.eval(&subscript.slice);
        if self.quiet == 0 && !self.dispatch.subscript.is_empty() {
            let event = Subscript { slice: &subscript.slice, range: subscript.range() };
            for check in &self.dispatch.subscript {
                check(self, &event);
            }
        }
        let path = base.path.map(|p| if p.len() < MAX_PATH { self.texts.concat(&[p, "[]"]) } else { p });
        let mut value = Value { path, expr: None, text: None, literal: Literal::Unknown, ..base };
        if subscript.slice.is_slice_expr() {
            // A slice of a string is a shorter string; how much shorter is what size rules ask.
            value.cleanse(if index.dynamic() { clean::NOTHING } else { clean::LIMIT });
        }
        self.read_subscript(&mut value, subscript.range());
        value
    }

    fn comprehension(&mut self, generators: &'a [Comprehension], results: &[&'a Expr]) -> Value<'a> {
        self.scopes.push(Kind::Comprehension);
        for generator in generators {
            let iter = self.eval(&generator.iter);
            self.assign_to(&generator.target, Self::element(&iter), generator.target.range(), false);
            for test in &generator.ifs {
                self.eval(test);
                self.guard(test);
            }
        }
        let mut all = Value::constant();
        let mut text = None;
        for result in results {
            let result = self.eval(result);
            text = result.text;
            all.absorb(&result);
            // Guards inside the comprehension speak of names that end here.
            let clean = self.clean(&result);
            all.clean &= clean | !result.clean;
            if result.from(taint::FOREIGN) {
                all.clean |= clean;
            }
        }
        self.scopes.pop();
        // Joining the results repeats their text.
        all.text = text.filter(|_| results.len() == 1);
        all
    }

    fn compare(&mut self, c: &'a ExprCompare) -> Value<'a> {
        let mut left_expr: &'a Expr = &c.left;
        let mut left = self.eval(left_expr);
        let mut roots = left.roots;
        for (op, right_expr) in c.ops.iter().zip(&c.comparators) {
            let right = self.eval(right_expr);
            right.roots.iter().for_each(|root| roots.add(root));
            let event = Compare { left, op: *op, right, left_expr, right_expr, range: c.range() };
            if self.quiet == 0 {
                for check in &self.dispatch.compare {
                    check(self, &event);
                }
            }
            left = event.right;
            left_expr = right_expr;
        }
        Value { roots, ..Value::default() }
    }

    // --- strings ----------------------------------------------------------------------------------------------------

    fn binop(&mut self, op: &'a ExprBinOp) -> Value<'a> {
        // `a + b + c + ..` leans to the left as deep as it is long: it is taken apart without recursion.
        let mut chain = vec![op];
        while let Expr::BinOp(inner) = chain[chain.len() - 1].left.as_ref() {
            chain.push(inner);
        }
        let mut left = chain.last().map(|o| self.eval(&o.left)).unwrap_or_default();
        while let Some(o) = chain.pop() {
            let right = self.eval(&o.right);
            left = self.binary(o.op, left, right, &o.left, &o.right, o.range());
        }
        if left.built() {
            self.show_built(&left, op.range());
        }
        left
    }

    pub(super) fn binary(
        &mut self,
        op: Operator,
        left: Value<'a>,
        right: Value<'a>,
        left_expr: &'a Expr,
        right_expr: &'a Expr,
        range: TextRange,
    ) -> Value<'a> {
        let event = Binary { left, op, right, left_expr, right_expr, range };
        if self.quiet == 0 {
            for check in &self.dispatch.binary {
                check(self, &event);
            }
        }
        let Binary { left, right, .. } = event;
        let mut value = Value { bytes: left.bytes || right.bytes, ..Value::constant() };
        match op {
            Operator::Add => {
                value.absorb(&left);
                value.absorb(&right);
                if left.text.is_some() || right.text.is_some() {
                    value.text = Some(self.texts.join(&[left.piece(), right.piece()]));
                }
                if let (Some(a), Some(b)) = (left.as_int(), right.as_int()) {
                    value.literal = Literal::Int(a.saturating_add(b));
                }
            }
            Operator::Mod if left.text.is_some() => self.percent(&mut value, &left, &right, right_expr),
            Operator::Mult if !left.dynamic() && left.text.is_some() => {
                // A constant repeated some number of times consists of constants.
                value.text = left.text;
                if right.dynamic() {
                    value.expr = None;
                }
            }
            Operator::Div if left.path().starts_with("pathlib.Path") || right.text.is_some() || left.text.is_some() => {
                value.absorb(&left);
                value.absorb(&right);
                value.path = Some("pathlib.Path()");
                value.text = Some(self.texts.join(&[left.piece(), "/", right.piece()]));
                if self.dirty(&right, taint::FOREIGN, clean::PATH) {
                    value.taint |= taint::JOINED;
                }
            }
            _ => {
                value.absorb(&left);
                value.absorb(&right);
                // Path objects need not be called so: `root / name`.
                if op == Operator::Div && self.dirty(&right, taint::FOREIGN, clean::PATH) {
                    value.taint |= taint::JOINED;
                }
                if let (Some(a), Some(b)) = (left.as_int(), right.as_int()) {
                    value.literal = match op {
                        Operator::Mult => a.checked_mul(b).map_or(Literal::Unknown, Literal::Int),
                        Operator::Pow => {
                            u32::try_from(b).ok().and_then(|b| a.checked_pow(b)).map_or(Literal::Unknown, Literal::Int)
                        }
                        Operator::LShift if (0..62).contains(&b) => {
                            a.checked_shl(u32::try_from(b).unwrap_or(0)).map_or(Literal::Unknown, Literal::Int)
                        }
                        Operator::BitOr => Literal::Int(a | b),
                        Operator::Sub => Literal::Int(a.saturating_sub(b)),
                        _ => Literal::Unknown,
                    };
                }
            }
        }
        value
    }

    /// `"..." % values`
    fn percent(&mut self, value: &mut Value<'a>, left: &Value<'a>, right: &Value<'a>, right_expr: &'a Expr) {
        value.absorb(left);
        let parts: Vec<Value<'a>> = match right_expr {
            Expr::Tuple(tuple) => tuple.elts.iter().map(|e| self.peek(e)).collect(),
            Expr::Dict(dict) => dict.items.iter().map(|i| self.peek(&i.value)).collect(),
            _ => vec![right.clone()],
        };
        let mut text = String::new();
        let mut parts = parts.into_iter();
        let mut last = right.clone();
        let mut rest = left.text();
        while let Some(at) = rest.find('%') {
            text.push_str(&rest[..at]);
            rest = &rest[at + 1..];
            if let Some(tail) = rest.strip_prefix('%') {
                text.push('%');
                rest = tail;
                continue;
            }
            if rest.starts_with('(') {
                rest = rest.find(')').map_or("", |i| &rest[i + 1..]);
            }
            let flags = rest.find(|c: char| c.is_ascii_alphabetic()).unwrap_or(rest.len());
            let kind = rest[flags..].chars().next();
            rest = rest.get(flags + 1..).unwrap_or("");
            if let Some(part) = parts.next() {
                last = part;
            }
            let mut part = last.clone();
            match kind {
                Some('d' | 'i' | 'f' | 'x' | 'X' | 'o' | 'e' | 'g') => part.cleanse(clean::NUMBER),
                Some('r' | 'a') => part.cleanse(clean::CRLF),
                _ => {}
            }
            text.push_str(if kind == Some('s') { part.piece() } else { "\0" });
            value.absorb(&part);
        }
        text.push_str(rest);
        value.text = Some(self.texts.keep(&text));
    }

    fn fstring(&mut self, f: &'a ExprFString) -> Value<'a> {
        let mut value = Value::constant();
        let mut text = String::new();
        for part in &f.value {
            match part {
                FStringPart::Literal(literal) => text.push_str(literal.as_str()),
                FStringPart::FString(f) => {
                    for element in &f.elements {
                        match element {
                            InterpolatedStringElement::Literal(literal) => text.push_str(literal),
                            InterpolatedStringElement::Interpolation(hole) => {
                                let mut part = self.eval(&hole.expression);
                                let format = hole.format_spec.as_ref().map(|s| self.text(s.as_ref()));
                                if format.is_some_and(|f| f.ends_with(['d', 'f', 'x', 'X', 'b', 'o', 'e', 'g', '%'])) {
                                    part.cleanse(clean::NUMBER);
                                    part.text = None;
                                }
                                if matches!(
                                    hole.conversion,
                                    ruff_python_ast::ConversionFlag::Repr | ruff_python_ast::ConversionFlag::Ascii
                                ) {
                                    part.cleanse(clean::CRLF);
                                    part.text = None;
                                }
                                value.absorb(&part);
                                text.push_str(part.piece());
                            }
                        }
                    }
                }
            }
        }
        value.text = Some(self.texts.keep(&text));
        if value.built() {
            self.show_built(&value, f.range());
        }
        value
    }

    fn show_built(&mut self, value: &Value<'a>, range: TextRange) {
        if self.quiet == 0 {
            for check in &self.dispatch.built {
                check(self, value, range);
            }
        }
    }

    /// `template.format(..)`
    pub(super) fn format(&self, template: &Value<'a>, call: &Call<'a>) -> Value<'a> {
        let mut value = Value::constant();
        value.absorb(template);
        call.values().for_each(|v| value.absorb(v));
        let mut text = String::new();
        let mut rest = template.text();
        let mut next = 0usize;
        while let Some(at) = rest.find(['{', '}']) {
            text.push_str(&rest[..at]);
            let double = rest.get(at..at + 2).is_some_and(|b| b == "{{" || b == "}}");
            if double {
                text.push_str(&rest[at..=at]);
                rest = &rest[at + 2..];
                continue;
            }
            let Some(end) = rest[at..].find('}') else { break };
            let field = rest.get(at + 1..at + end).unwrap_or("");
            let name = field.split([':', '!', '.', '[']).next().unwrap_or("");
            let argument = match name.parse::<usize>() {
                Ok(i) => call.args.get(i),
                Err(_) if name.is_empty() => {
                    next += 1;
                    call.args.get(next - 1)
                }
                Err(_) => call.keyword(name),
            };
            text.push_str(argument.map_or("\0", |a| if a.dynamic() { a.piece() } else { a.as_str().unwrap_or("\0") }));
            rest = &rest[at + end + 1..];
        }
        text.push_str(rest);
        value.text = Some(self.texts.keep(&text));
        value
    }

    /// `separator.join(parts)`
    pub(super) fn join_strings(&mut self, separator: &Value<'a>, parts: &Value<'a>) -> Value<'a> {
        let mut value = Value::constant();
        value.absorb(separator);
        value.absorb(parts);
        let mut text = String::new();
        match parts.expr {
            Some(Expr::List(list)) if parts.text.is_none() => {
                for (i, element) in list.elts.iter().enumerate() {
                    if i > 0 {
                        text.push_str(separator.piece());
                    }
                    let element = self.peek(element);
                    text.push_str(element.piece());
                }
            }
            _ => {
                text.push_str(parts.piece());
                text.push_str(separator.piece());
                text.push_str(parts.piece());
            }
        }
        value.text = Some(self.texts.keep(&text));
        value
    }

    // --- calls ------------------------------------------------------------------------------------------------------

    /// Evaluates a call; `discarded` tells that nothing uses its result.
    pub(super) fn call(&mut self, call: &'a ExprCall, discarded: bool) -> Value<'a> {
        self.deeper(|e| Some(e.call_inner(call, discarded))).unwrap_or_default()
    }

    fn call_inner(&mut self, expr: &'a ExprCall, discarded: bool) -> Value<'a> {
        let ((path, called), receiver) = match expr.func.as_ref() {
            Expr::Attribute(attribute) => {
                let base = self.eval(&attribute.value);
                (self.join_call(&base, attribute.attr.as_str()), Some(base))
            }
            other => {
                let path = self.eval(other).path.unwrap_or("?");
                ((path, None), None)
            }
        };
        let mut args = self.spare.pop().unwrap_or_default();
        for argument in &expr.arguments.args {
            let value = self.eval(argument);
            args.push(value);
        }
        let keywords =
            expr.arguments.keywords.iter().map(|k| (k.arg.as_ref().map(|n| n.as_str()), self.eval(&k.value))).collect();
        let name = self.canonical_name(path, names::last(&expr.func));
        let event = Call { expr, range: expr.range(), path, name, receiver, args, keywords, discarded };
        self.show_call(&event);
        self.grow(&event);
        let mut value = self.call_value(&event);
        if value.path.is_none() {
            let path = event.path;
            let long = || if path.len() < MAX_PATH { self.texts.concat(&[path, "()"]) } else { path };
            value.path = Some(called.unwrap_or_else(long));
        }
        if value.built() {
            self.show_built(&value, event.range);
        }
        let mut args = event.args;
        args.clear();
        self.spare.push(args);
        value
    }

    /// `parts.append(x)`: a local list is as dirty as what is put into it, and its join says what the part says.
    fn grow(&mut self, call: &Call<'a>) {
        if !matches!(call.name, "append" | "extend" | "insert" | "add" | "appendleft") || call.args.is_empty() {
            return;
        }
        let Expr::Attribute(attribute) = call.expr.func.as_ref() else { return };
        let Expr::Name(name) = attribute.value.as_ref() else { return };
        let Some(mut container) = self.lookup(name.id.as_str()).cloned() else { return };
        let made = match container.expr {
            Some(Expr::List(_) | Expr::Set(_) | Expr::ListComp(_)) => true,
            Some(Expr::Call(made)) => matches!(names::last(&made.func), "list" | "set" | "deque"),
            _ => false,
        };
        let Some(part) = call.args.last() else { return };
        if made && part.dynamic() {
            container.absorb(part);
            if part.text.is_some() {
                container.text = part.text;
            }
            self.bind(name.id.as_str(), container);
        }
    }

    /// Path of an attribute.
    fn join_path(&self, base: &Value<'a>, attr: &str) -> &'a str {
        match base.path {
            Some(path) if path.len() + attr.len() < MAX_PATH => self.texts.concat(&[path, ".", attr]),
            _ => self.texts.concat(&["?.", attr]),
        }
    }

    /// Path of an attribute that is called, and of what the call returns where it is not too long: both in one text.
    fn join_call(&self, base: &Value<'a>, attr: &str) -> (&'a str, Option<&'a str>) {
        let called = match base.path {
            Some(path) if path.len() + attr.len() < MAX_PATH => self.texts.concat(&[path, ".", attr, "()"]),
            _ => self.texts.concat(&["?.", attr, "()"]),
        };
        let path = called.strip_suffix("()").unwrap_or_default();
        (path, (path.len() < MAX_PATH && !called.is_empty()).then_some(called))
    }

    /// Names a call by what was imported, not by how the file abbreviates it: `from os import system as s; s(x)`.
    fn canonical_name(&self, path: &str, name: &'a str) -> &'a str {
        let head = path.strip_suffix(name);
        if head.is_some_and(|h| h.is_empty() || h.ends_with('.')) {
            return name;
        }
        let last = path.rsplit('.').next().unwrap_or("");
        self.dispatch.call.get_key_value(last).map_or(name, |(&known, _)| known)
    }
}

/// Whether a name is written as constants are: `TABLE`, `MAX_SIZE`.
pub(super) fn constant_name(name: &str) -> bool {
    name.len() > 1
        && name.bytes().any(|b| b.is_ascii_uppercase())
        && name.bytes().all(|b| b.is_ascii_uppercase() || b.is_ascii_digit() || b == b'_')
}
