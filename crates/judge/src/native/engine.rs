//! One pass over a module: scopes, what each name holds at each moment, and the events that rules see.
//!
//! Statements are visited in order. Function bodies wait until the scope around them is complete, so that they see every
//! constant. Branches are visited one after the other and their outcomes joined; a branch that leaves the function takes its
//! changes with it. Loop bodies are visited once. Nothing here knows a weakness.

use super::{
    names::{self, Imports},
    rule::{Assign, Call, Rule},
    rules::{DISPATCH, Dispatch},
    scopes::{Kind, Outcome, Scopes, Slot},
    texts::Texts,
    value::{Clean, Literal, Roots, Taint, Value, clean, join, taint},
};
use bumpalo::Bump;
use ruff_python_ast::{
    ExceptHandler, Expr, Parameters, Stmt, StmtClassDef, StmtFor, StmtFunctionDef, StmtIf, StmtTry, StmtWith,
};
use ruff_text_size::{Ranged, TextRange, TextSize};

/// Syntax nested deeper than this is not looked into: no program is, and the stack is finite.
const MAX_NESTING: usize = 60;

/// Bytes before and after a statement that count as around it.
const MAX_AROUND: usize = 8_192;

/// What answers web requests in a function.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Handler {
    /// Not a view.
    None,
    /// Flask and its kin: a returned string is a page.
    Flask,
    /// FastAPI: a returned string is JSON unless the route says otherwise.
    FastApi,
    /// Django: the first parameter is the request.
    Django,
}

/// The function being visited.
pub(crate) struct Function<'a> {
    pub def: &'a StmtFunctionDef,
    /// Resolved dotted names of its decorators and the decorators themselves.
    pub decorators: Vec<(&'a str, &'a Expr)>,
    pub handler: Handler,
}

/// A finding before it is put into words.
pub(crate) struct Raw {
    pub rule: &'static Rule,
    pub range: TextRange,
    /// Where the data entered, where that is known.
    pub origin: Option<TextRange>,
}

/// State of the pass.
pub(crate) struct Engine<'a> {
    pub source: &'a str,
    pub imports: Imports<'a>,
    pub findings: Vec<Raw>,
    pub(super) texts: Texts<'a>,
    pub(crate) scopes: Scopes<'a>,
    functions: Vec<Function<'a>>,
    pub(super) dispatch: &'static Dispatch,
    pub(super) nesting: usize,
    /// Lists of arguments of calls that are done, kept for their memory.
    pub(super) spare: Vec<Vec<Value<'a>>>,
    /// Where the statement being visited begins.
    at: TextSize,
    /// Whether any value so far is an exception or a trace: most files have none, and asking is dear.
    pub(crate) errors: bool,
    /// Above zero, expressions are evaluated without showing them to rules.
    pub(super) quiet: usize,
    /// Expressions that may still be evaluated quietly: what rules ask twice costs twice, and hostile nesting asks often.
    pub(super) fuel: usize,
}

impl<'a> Engine<'a> {
    /// Visits a whole module.
    pub(crate) fn run(source: &'a str, body: &'a [Stmt], memory: &'a Bump) -> Vec<Raw> {
        let mut engine = Self {
            source,
            imports: Imports::default(),
            findings: Vec::new(),
            texts: Texts::new(memory, source),
            scopes: Scopes::with_room(),
            functions: Vec::new(),
            dispatch: &DISPATCH,
            nesting: 0,
            spare: Vec::new(),
            at: TextSize::default(),
            errors: false,
            quiet: 0,
            fuel: 20_000 + 20 * source.len(),
        };
        engine.scopes.push(Kind::Module);
        engine.body(body);
        engine.finish_scope();
        engine.findings
    }

    // --- what rules ask ---------------------------------------------------------------------------------------------

    /// Reports a weakness at a place.
    pub(crate) fn report(&mut self, rule: &'static Rule, range: TextRange) {
        self.report_from(rule, range, None);
    }

    /// Reports a weakness, and where its data came from.
    pub(crate) fn report_from(&mut self, rule: &'static Rule, range: TextRange, value: Option<&Value<'a>>) {
        if self.quiet == 0 && !self.findings.iter().any(|f| std::ptr::eq(f.rule, rule) && f.range == range) {
            self.findings.push(Raw { rule, range, origin: value.and_then(|v| v.origin) });
        }
    }

    /// Contexts in which the tainted parts of a value are harmless, guards on its sources included.
    pub(crate) fn clean(&self, value: &Value<'a>) -> Clean {
        value.clean | self.roots(value, |root| root.clean)
    }

    /// What all sources of a value have in common; nothing where they are unknown.
    fn roots(&self, value: &Value<'a>, of: impl Fn(&Value<'a>) -> Clean) -> Clean {
        if value.roots.is_empty() {
            return clean::NOTHING;
        }
        value
            .roots
            .iter()
            .map(|root| self.scopes.at(root).map_or(clean::NOTHING, &of))
            .fold(clean::EVERYTHING, |a, b| a & b)
    }

    /// Whether somebody in `sources` chose a part of it that can still do harm in this context.
    pub(crate) fn dirty(&self, value: &Value<'a>, sources: Taint, context: Clean) -> bool {
        value.from(sources) && self.clean(value) & context == 0
    }

    /// Whether any dynamic part, tainted or not, can still do harm in this context.
    pub(crate) fn open(&self, value: &Value<'a>, context: Clean) -> bool {
        (value.loose | self.roots(value, |root| root.loose)) & context == 0
    }

    /// The function being visited, if any.
    pub(crate) fn function(&self) -> Option<&Function<'a>> {
        self.functions.last()
    }

    /// Name of the function being visited, or nothing.
    pub(crate) fn function_name(&self) -> &'a str {
        self.functions.last().map_or("", |f| f.def.name.as_str())
    }

    /// Source of the function being visited, or of the module outside one; of long ones the part around the statement being
    /// visited, so that many questions about a long text stay cheap.
    pub(crate) fn function_text(&self) -> &'a str {
        let whole = match self.functions.last() {
            Some(function) => &self.source[function.def.range()],
            None => self.source,
        };
        if whole.len() <= 2 * MAX_AROUND {
            return whole;
        }
        let first = self.functions.last().map_or(0, |f| f.def.start().to_usize());
        let at = self.at.to_usize().saturating_sub(first).min(whole.len());
        let from = whole.floor_char_boundary(at.saturating_sub(MAX_AROUND));
        &whole[from..whole.floor_char_boundary((at + MAX_AROUND).min(whole.len()))]
    }

    /// Source of a piece of syntax.
    pub(crate) fn text(&self, ranged: impl Ranged) -> &'a str {
        &self.source[ranged.range()]
    }

    /// Value of an expression, without showing it to rules.
    pub(crate) fn peek(&mut self, expr: &'a Expr) -> Value<'a> {
        self.quiet += 1;
        let value = self.eval(expr);
        self.quiet -= 1;
        value
    }

    /// The expression behind a name, as far as assignments tell.
    pub(crate) fn resolve(&self, expr: &'a Expr) -> &'a Expr {
        match expr {
            Expr::Name(name) => self.lookup(name.id.as_str()).and_then(|v| v.expr).unwrap_or(expr),
            _ => expr,
        }
    }

    // --- names ------------------------------------------------------------------------------------------------------

    /// Visits the functions that waited for this scope, then leaves it.
    fn finish_scope(&mut self) {
        let mut waiting = self.scopes.deferred();
        // What a constructor stores, the other methods read.
        waiting.sort_by_key(|def| !matches!(def.name.as_str(), "__init__" | "setUp" | "initialize"));
        for def in waiting {
            self.function_body(def);
        }
        self.scopes.pop();
    }

    /// What a name holds.
    pub(crate) fn lookup(&self, name: &str) -> Option<&Value<'a>> {
        self.scopes.get(name)
    }

    /// Binds a name in the innermost scope; attributes of `self` belong to the class.
    pub(super) fn bind(&mut self, name: &'a str, value: Value<'a>) {
        let slot = self.scopes.slot(name);
        self.bind_slot(slot, value);
    }

    fn bind_slot(&mut self, slot: Slot, mut value: Value<'a>) {
        if value.roots.is_empty() && value.dynamic() {
            value.roots = Roots::one(slot);
        }
        self.scopes.bind(slot, value);
    }

    /// Notes that a test restricted some names: they, and what they were computed from, are harmless in these contexts.
    pub(super) fn restrict(&mut self, name: &str, bits: Clean) {
        let Some(value) = self.scopes.known(name).and_then(|slot| self.scopes.at_mut(slot)) else { return };
        value.cleanse(bits);
        let roots = value.roots;
        for root in roots.iter() {
            if let Some(value) = self.scopes.at_mut(root) {
                value.cleanse(bits);
            }
        }
    }

    /// Joins the outcome of a branch into the present state.
    fn merge(&mut self, outcome: Outcome<'a>) {
        for (slot, value) in outcome {
            let merged = match self.scopes.innermost(slot) {
                Some(present) => join(value, present),
                None => value,
            };
            self.bind_slot(slot, merged);
        }
    }

    // --- statements -------------------------------------------------------------------------------------------------

    pub(super) fn deeper<T: Default>(&mut self, visit: impl FnOnce(&mut Self) -> T) -> T {
        if self.nesting >= MAX_NESTING {
            return T::default();
        }
        self.nesting += 1;
        let result = visit(self);
        self.nesting -= 1;
        result
    }

    fn body(&mut self, body: &'a [Stmt]) {
        for stmt in body {
            self.deeper(|e| e.stmt(stmt));
        }
    }

    fn stmt(&mut self, stmt: &'a Stmt) {
        self.at = stmt.start();
        for check in &self.dispatch.statement {
            check(self, stmt);
        }
        match stmt {
            Stmt::Import(s) => self.imports.import(s),
            Stmt::ImportFrom(s) => self.imports.import_from(s, &self.texts),
            Stmt::FunctionDef(def) => self.function_head(def),
            Stmt::ClassDef(def) => self.class(def),
            Stmt::Return(s) => {
                let value = s.value.as_deref().map(|v| self.eval(v)).unwrap_or_default();
                for check in &self.dispatch.returns {
                    check(self, &value, s.range());
                }
            }
            Stmt::Assign(s) => self.assign(&s.targets, &s.value, s.range()),
            Stmt::AnnAssign(s) => {
                if let Some(value) = &s.value {
                    self.assign(std::slice::from_ref(&s.target), value, s.range());
                }
            }
            Stmt::AugAssign(s) => {
                let left = self.peek(&s.target);
                let right = self.eval(&s.value);
                let value = self.binary(s.op, left, right, &s.target, &s.value, s.range());
                self.assign_to(&s.target, value, s.range(), true);
            }
            Stmt::For(s) => self.for_loop(s),
            Stmt::While(s) => {
                self.eval(&s.test);
                self.guard(&s.test);
                let mark = self.scopes.mark();
                self.body(&s.body);
                let outcome = self.scopes.undo(mark);
                self.merge(outcome);
                self.body(&s.orelse);
            }
            Stmt::If(s) => self.if_statement(s),
            Stmt::With(s) => self.with(s),
            Stmt::Try(s) => self.try_statement(s),
            Stmt::Match(s) => {
                self.eval(&s.subject);
                for case in &s.cases {
                    if let Some(guard) = &case.guard {
                        self.eval(guard);
                        self.guard(guard);
                    }
                    let mark = self.scopes.mark();
                    self.body(&case.body);
                    let outcome = self.scopes.undo(mark);
                    self.merge(outcome);
                }
            }
            Stmt::Expr(s) => match s.value.as_ref() {
                Expr::Call(call) => {
                    self.call(call, true);
                }
                other => {
                    self.eval(other);
                }
            },
            Stmt::Assert(s) => {
                self.eval(&s.test);
                self.guard(&s.test);
                if let Some(msg) = &s.msg {
                    self.eval(msg);
                }
            }
            Stmt::Raise(s) => {
                for expr in s.exc.iter().chain(&s.cause) {
                    self.eval(expr);
                }
            }
            Stmt::Delete(s) => {
                for target in &s.targets {
                    self.eval(target);
                }
            }
            Stmt::Global(_)
            | Stmt::Nonlocal(_)
            | Stmt::TypeAlias(_)
            | Stmt::Pass(_)
            | Stmt::Break(_)
            | Stmt::Continue(_)
            | Stmt::IpyEscapeCommand(_) => {}
        }
    }

    fn assign(&mut self, targets: &'a [Expr], value: &'a Expr, range: TextRange) {
        // `a, b = x, y` binds pairwise.
        if let ([Expr::Tuple(left)], Expr::Tuple(right)) = (targets, value)
            && left.elts.len() == right.elts.len()
            && !left.elts.iter().any(Expr::is_starred_expr)
        {
            let values: Vec<_> = right.elts.iter().map(|v| self.eval(v)).collect();
            for (target, value) in left.elts.iter().zip(values) {
                self.assign_to(target, value, range, false);
            }
            return;
        }
        let value = self.eval(value);
        for target in targets {
            self.assign_to(target, value.clone(), range, false);
        }
    }

    pub(super) fn assign_to(&mut self, target: &'a Expr, value: Value<'a>, range: TextRange, augmented: bool) {
        match target {
            Expr::Tuple(tuple) => self.unpack(&tuple.elts, &value, range),
            Expr::List(list) => self.unpack(&list.elts, &value, range),
            Expr::Starred(starred) => self.assign_to(&starred.value, value, range, augmented),
            _ => {
                if let Expr::Subscript(subscript) = target {
                    self.eval(&subscript.value);
                    self.eval(&subscript.slice);
                }
                let event = Assign { target, name: names::last(target), value, range, augmented };
                if self.quiet == 0 {
                    for check in &self.dispatch.assign {
                        check(self, &event);
                    }
                }
                match target {
                    Expr::Name(name) => self.bind(name.id.as_str(), event.value),
                    Expr::Attribute(attribute) if attribute.value.is_name_expr() => {
                        self.bind(self.text(target), event.value);
                    }
                    Expr::Subscript(subscript) => {
                        // A container is as dirty as what is put into it.
                        if let Expr::Name(name) = subscript.value.as_ref()
                            && let Some(mut container) = self.lookup(name.id.as_str()).cloned()
                        {
                            container.absorb(&event.value);
                            self.bind(name.id.as_str(), container);
                        }
                    }
                    _ => {}
                }
            }
        }
    }

    fn unpack(&mut self, targets: &'a [Expr], value: &Value<'a>, range: TextRange) {
        let element = Self::element(value);
        for target in targets {
            self.assign_to(target, element.clone(), range, false);
        }
    }

    /// One element of a container or iterable.
    pub(super) fn element(container: &Value<'a>) -> Value<'a> {
        Value { path: None, expr: None, text: None, ..container.clone() }
    }

    fn for_loop(&mut self, s: &'a StmtFor) {
        let iter = self.eval(&s.iter);
        let mark = self.scopes.mark();
        self.assign_to(&s.target, Self::element(&iter), s.target.range(), false);
        self.body(&s.body);
        let outcome = self.scopes.undo(mark);
        self.merge(outcome);
        self.body(&s.orelse);
    }

    fn if_statement(&mut self, s: &'a StmtIf) {
        self.eval(&s.test);
        self.guard_branch(&s.test, leaves(&s.body));
        let mark = self.scopes.mark();
        let mut outcomes = Vec::new();
        let mut exhaustive = false;
        self.body(&s.body);
        let outcome = self.scopes.undo(mark);
        if !leaves(&s.body) {
            outcomes.push(outcome);
        }
        for clause in &s.elif_else_clauses {
            match &clause.test {
                Some(test) => {
                    self.eval(test);
                    self.guard(test);
                }
                None => exhaustive = true,
            }
            self.body(&clause.body);
            let outcome = self.scopes.undo(mark);
            if !leaves(&clause.body) {
                outcomes.push(outcome);
            }
        }
        if exhaustive {
            // One of the branches ran: what the first one that falls through bound replaces the former state.
            let mut outcomes = outcomes.into_iter();
            for (slot, value) in outcomes.next().unwrap_or_default() {
                self.bind_slot(slot, value);
            }
            outcomes.for_each(|o| self.merge(o));
        } else {
            outcomes.into_iter().for_each(|o| self.merge(o));
        }
    }

    fn with(&mut self, s: &'a StmtWith) {
        for item in &s.items {
            let value = self.eval(&item.context_expr);
            if let Some(target) = &item.optional_vars {
                self.assign_to(target, value, item.context_expr.range(), false);
            }
        }
        self.body(&s.body);
    }

    fn try_statement(&mut self, s: &'a StmtTry) {
        self.body(&s.body);
        for handler in &s.handlers {
            let ExceptHandler::ExceptHandler(handler) = handler;
            for check in &self.dispatch.except {
                check(self, handler);
            }
            if let Some(name) = &handler.name {
                self.errors = true;
                let mut error = Value::tainted(taint::ERROR, name.range());
                let slot = self.scopes.slot(name.as_str());
                error.roots = Roots::one(slot);
                self.bind_slot(slot, error);
            }
            let mark = self.scopes.mark();
            self.body(&handler.body);
            let outcome = self.scopes.undo(mark);
            if !leaves(&handler.body) {
                self.merge(outcome);
            }
        }
        self.body(&s.orelse);
        self.body(&s.finalbody);
    }

    fn class(&mut self, def: &'a StmtClassDef) {
        for decorator in &def.decorator_list {
            self.eval(&decorator.expression);
        }
        if let Some(arguments) = &def.arguments {
            for argument in arguments.args.iter().chain(arguments.keywords.iter().map(|k| &k.value)) {
                self.eval(argument);
            }
        }
        self.scopes.push(Kind::Class);
        self.body(&def.body);
        self.finish_scope();
    }

    // --- functions --------------------------------------------------------------------------------------------------

    fn function_head(&mut self, def: &'a StmtFunctionDef) {
        for decorator in &def.decorator_list {
            self.eval(&decorator.expression);
        }
        for default in def.parameters.iter_non_variadic_params().filter_map(|p| p.default.as_deref()) {
            self.eval(default);
        }
        self.scopes.defer(def);
    }

    fn function_body(&mut self, def: &'a StmtFunctionDef) {
        let decorators: Vec<_> = def
            .decorator_list
            .iter()
            .map(|d| {
                let callee = if let Expr::Call(call) = &d.expression { call.func.as_ref() } else { &d.expression };
                (self.peek(callee).path(), &d.expression)
            })
            .collect();
        let method = self.scopes.in_class();
        let handler = self.handler(&decorators, &def.parameters, method);
        self.scopes.push(Kind::Function);
        self.parameters(&def.parameters, method, handler);
        self.route_converters(&decorators);
        self.functions.push(Function { def, decorators, handler });
        self.deeper(|e| {
            e.body(&def.body);
            for check in &e.dispatch.function {
                check(e, def);
            }
        });
        self.finish_scope();
        self.functions.pop();
    }

    fn handler(&self, decorators: &[(&'a str, &'a Expr)], parameters: &'a Parameters, method: bool) -> Handler {
        for (path, _) in decorators {
            let (object, verb) = path.rsplit_once('.').unwrap_or(("", path));
            match verb {
                "route" | "errorhandler" => return Handler::Flask,
                // A Flask-Admin or Flask-AppBuilder view.
                "expose" => return Handler::Flask,
                "get" | "post" | "put" | "delete" | "patch" | "websocket" | "api_route" if !object.is_empty() => {
                    let fast = object.starts_with("fastapi") || self.imports.package("fastapi");
                    return if fast { Handler::FastApi } else { Handler::Flask };
                }
                _ => {}
            }
        }
        let first = parameters.iter_non_variadic_params().nth(usize::from(method)).map(|p| p.parameter.name.as_str());
        if matches!(first, Some("request" | "req")) { Handler::Django } else { Handler::None }
    }

    fn parameters(&mut self, parameters: &'a Parameters, method: bool, handler: Handler) {
        for (i, parameter) in parameters.iter().enumerate() {
            let default = parameter.default();
            let parameter = parameter.as_parameter();
            let name = parameter.name.as_str();
            if method && i == 0 || matches!(name, "self" | "cls") {
                self.bind(name, Value { path: Some(name), ..Value::default() });
                continue;
            }
            let source = match handler {
                Handler::Flask | Handler::FastApi => taint::REQUEST | taint::PARAM,
                Handler::Django => taint::REQUEST | if name == "request" { 0 } else { taint::PARAM },
                Handler::None => taint::PARAM,
            };
            let slot = self.scopes.slot(name);
            let mut value = Value::tainted(source, parameter.name.range());
            if handler == Handler::Django && matches!(name, "request" | "req") {
                value.path = Some("request");
            } else {
                value.path = Some(name);
                value.roots = Roots::one(slot);
            }
            // What callers leave out has its default: `def sign(key_size=1024)`.
            if let Some(default) = default {
                let default = self.peek(default);
                if matches!(default.literal, Literal::Bool(_) | Literal::Int(_)) {
                    value.literal = default.literal;
                }
            }
            if let Some(annotation) = parameter.annotation() {
                match self.text(annotation) {
                    "int" | "float" | "bool" | "UUID" | "uuid.UUID" | "date" | "datetime" => {
                        value.cleanse(clean::NUMBER)
                    }
                    "str" | "Optional[str]" | "str | None" => value.cleanse(clean::SCALAR),
                    _ => {}
                }
            }
            self.bind(name, value);
        }
    }

    /// `<int:number>` in a route makes the parameter a number.
    fn route_converters(&mut self, decorators: &[(&'a str, &'a Expr)]) {
        for (_, decorator) in decorators {
            let Expr::Call(call) = decorator else { continue };
            let Some(Expr::StringLiteral(route)) = call.arguments.args.first() else { continue };
            for part in route.value.to_str().split('<').skip(1) {
                let Some((kind, name)) = part.split('>').next().and_then(|p| p.split_once(':')) else { continue };
                if matches!(kind, "int" | "float" | "uuid") {
                    self.restrict(name, clean::NUMBER);
                }
            }
        }
    }

    /// Binds the parameters of a lambda and evaluates its body.
    pub(super) fn lambda(&mut self, parameters: Option<&'a Parameters>, body: &'a Expr) {
        self.scopes.push(Kind::Comprehension);
        if let Some(parameters) = parameters {
            self.parameters(parameters, false, Handler::None);
        }
        self.eval(body);
        self.scopes.pop();
    }

    /// Shows a call to the rules that asked for it.
    pub(super) fn show_call(&mut self, call: &Call<'a>) {
        if self.quiet > 0 {
            return;
        }
        if let Some(checks) = self.dispatch.call.get(call.name) {
            for check in checks {
                check(self, call);
            }
        }
        for check in &self.dispatch.any_call {
            check(self, call);
        }
    }
}

/// Whether a body always leaves the code after it: by `return`, `raise`, a jump, or a call that raises.
pub(crate) fn leaves(body: &[Stmt]) -> bool {
    match body.last() {
        Some(Stmt::Return(_) | Stmt::Raise(_) | Stmt::Continue(_) | Stmt::Break(_)) => true,
        Some(Stmt::Expr(s)) => match s.value.as_ref() {
            Expr::Call(call) => matches!(names::last(&call.func), "abort" | "exit" | "_exit" | "fail"),
            _ => false,
        },
        Some(Stmt::If(s)) => {
            leaves(&s.body)
                && s.elif_else_clauses.last().is_some_and(|c| c.test.is_none())
                && s.elif_else_clauses.iter().all(|c| leaves(&c.body))
        }
        _ => false,
    }
}
