//! Visits a module as Bandit does: parents before children, fields in the order of CPython's tree, names by the imports seen
//! so far wherever they stand.

use super::{Hit, calls, strings, tables};
use lexicon::{Confidence, Severity};
use ruff_python_ast::{
    Arguments, Comprehension, ExceptHandler, Expr, ExprCall, ExprFString, FStringPart, InterpolatedStringElement,
    InterpolatedStringElements, Parameters, Pattern, Stmt, StmtFunctionDef, StmtImportFrom,
};
use ruff_text_size::{Ranged, TextRange};
use rustc_hash::FxHashMap;

/// What stands around a node, where that matters to a test.
#[derive(Clone, Copy)]
pub(super) enum Parent<'a> {
    Stmt(&'a Stmt),
    Expr(&'a Expr),
    /// A keyword, a `with` item, an annotation: something that no test asks about.
    Other,
}

pub(super) struct Walk<'a> {
    pub(super) source: &'a str,
    /// Full names of everything imported so far.
    pub(super) imports: Vec<String>,
    pub(super) aliases: FxHashMap<&'a str, String>,
    /// From the module down to the parent of the node being visited.
    pub(super) parents: Vec<Parent<'a>>,
    pub(super) hits: Vec<Hit>,
}

/// Runs all tests on a module.
pub(super) fn run(source: &str, body: &[Stmt]) -> Vec<Hit> {
    let mut walk =
        Walk { source, imports: Vec::new(), aliases: FxHashMap::default(), parents: Vec::new(), hits: Vec::new() };
    walk.body(body, Parent::Other);
    strings::directions(&mut walk);
    walk.hits
}

impl<'a> Walk<'a> {
    pub(super) fn hit(&mut self, test: &'static str, range: TextRange, severity: Severity, confidence: Confidence) {
        self.hits.push(Hit { test, range, severity, confidence });
    }

    /// Whether any import so far has this in its name.
    pub(super) fn imported_like(&self, module: &str) -> bool {
        self.imports.iter().any(|i| i.contains(module))
    }

    /// Whether exactly this was imported so far.
    pub(super) fn imported(&self, module: &str) -> bool {
        self.imports.iter().any(|i| i == module)
    }

    fn body(&mut self, body: &'a [Stmt], parent: Parent<'a>) {
        self.parents.push(parent);
        body.iter().for_each(|s| self.stmt(s));
        self.parents.pop();
    }

    /// Visits expressions below a parent.
    fn below(&mut self, parent: Parent<'a>, exprs: impl IntoIterator<Item = &'a Expr>) {
        self.parents.push(parent);
        exprs.into_iter().for_each(|e| self.expr(e));
        self.parents.pop();
    }

    fn stmt(&mut self, stmt: &'a Stmt) {
        let here = Parent::Stmt(stmt);
        match stmt {
            Stmt::FunctionDef(def) => {
                if !def.is_async {
                    function(self, def);
                }
                self.parameters(&def.parameters);
                self.body(&def.body, here);
                self.below(here, def.decorator_list.iter().map(|d| &d.expression));
                self.below(here, def.returns.as_deref());
            }
            Stmt::ClassDef(def) => {
                if let Some(arguments) = &def.arguments {
                    self.arguments(here, arguments);
                }
                self.body(&def.body, here);
                self.below(here, def.decorator_list.iter().map(|d| &d.expression));
            }
            Stmt::Return(s) => self.below(here, s.value.as_deref()),
            Stmt::Delete(s) => self.below(here, &s.targets),
            Stmt::Assign(s) => {
                self.below(here, &s.targets);
                self.below(here, [s.value.as_ref()]);
            }
            Stmt::AugAssign(s) => self.below(here, [s.target.as_ref(), s.value.as_ref()]),
            Stmt::AnnAssign(s) => {
                self.below(here, [s.target.as_ref(), s.annotation.as_ref()]);
                self.below(here, s.value.as_deref());
            }
            Stmt::TypeAlias(s) => self.below(here, [s.value.as_ref()]),
            Stmt::For(s) => {
                self.below(here, [s.target.as_ref(), s.iter.as_ref()]);
                self.body(&s.body, here);
                self.body(&s.orelse, here);
            }
            Stmt::While(s) => {
                self.below(here, [s.test.as_ref()]);
                self.body(&s.body, here);
                self.body(&s.orelse, here);
            }
            Stmt::If(s) => {
                self.below(here, [s.test.as_ref()]);
                self.body(&s.body, here);
                for clause in &s.elif_else_clauses {
                    self.below(here, &clause.test);
                    self.body(&clause.body, here);
                }
            }
            Stmt::With(s) => {
                for item in &s.items {
                    self.below(Parent::Other, [&item.context_expr]);
                    self.below(Parent::Other, item.optional_vars.as_deref());
                }
                self.body(&s.body, here);
            }
            Stmt::Match(s) => {
                self.below(here, [s.subject.as_ref()]);
                for case in &s.cases {
                    self.pattern(&case.pattern);
                    self.below(Parent::Other, case.guard.as_deref());
                    self.body(&case.body, Parent::Other);
                }
            }
            Stmt::Raise(s) => self.below(here, s.exc.as_deref().into_iter().chain(s.cause.as_deref())),
            Stmt::Try(s) => {
                self.body(&s.body, here);
                for ExceptHandler::ExceptHandler(handler) in &s.handlers {
                    let broad = handler
                        .type_
                        .as_deref()
                        .is_none_or(|t| t.as_name_expr().is_some_and(|n| n.id.as_str() == "Exception"));
                    let test = match handler.body.as_slice() {
                        [Stmt::Pass(_)] => Some("B110"),
                        [Stmt::Continue(_)] => Some("B112"),
                        _ => None,
                    };
                    if let (true, Some(test)) = (broad, test) {
                        self.hit(test, handler.range(), Severity::Low, Confidence::High);
                    }
                    self.below(Parent::Other, handler.type_.as_deref());
                    self.body(&handler.body, Parent::Other);
                }
                self.body(&s.orelse, here);
                self.body(&s.finalbody, here);
            }
            Stmt::Assert(s) => {
                self.hit("B101", s.range(), Severity::Low, Confidence::High);
                self.below(here, [s.test.as_ref()]);
                self.below(here, s.msg.as_deref());
            }
            Stmt::Import(s) => {
                for alias in &s.names {
                    if let Some(short) = &alias.asname {
                        self.aliases.insert(short.as_str(), alias.name.to_string());
                    }
                    self.imports.push(alias.name.to_string());
                }
                listed_import(self, "", s.names.iter().map(|n| n.name.as_str()), s.range());
            }
            Stmt::ImportFrom(s) => self.import_from(s),
            Stmt::Expr(s) => self.below(here, [s.value.as_ref()]),
            Stmt::Global(_)
            | Stmt::Nonlocal(_)
            | Stmt::Pass(_)
            | Stmt::Break(_)
            | Stmt::Continue(_)
            | Stmt::IpyEscapeCommand(_) => {}
        }
    }

    fn import_from(&mut self, s: &'a StmtImportFrom) {
        let module = s.module.as_ref().map(|m| m.as_str());
        for alias in &s.names {
            let short = alias.asname.as_ref();
            // `from . import x` counts as `import x`; the dots before a module's name are not looked at.
            let full = module.map_or_else(|| alias.name.to_string(), |m| format!("{m}.{}", alias.name));
            if module.is_some() || short.is_some() {
                self.aliases.insert(short.unwrap_or(&alias.name).as_str(), full.clone());
            }
            self.imports.push(full);
        }
        let prefix = module.map(|m| format!("{m}.")).unwrap_or_default();
        listed_import(self, &prefix, s.names.iter().map(|n| n.name.as_str()), s.range());
    }

    fn parameters(&mut self, parameters: &'a Parameters) {
        for parameter in parameters {
            self.below(Parent::Other, parameter.as_parameter().annotation());
        }
        self.below(Parent::Other, parameters.iter_non_variadic_params().filter_map(|p| p.default.as_deref()));
    }

    fn arguments(&mut self, parent: Parent<'a>, arguments: &'a Arguments) {
        self.below(parent, &arguments.args);
        self.below(Parent::Other, arguments.keywords.iter().map(|k| &k.value));
    }

    fn pattern(&mut self, pattern: &'a Pattern) {
        match pattern {
            Pattern::MatchValue(p) => self.below(Parent::Other, [p.value.as_ref()]),
            Pattern::MatchSequence(p) => p.patterns.iter().for_each(|p| self.pattern(p)),
            Pattern::MatchMapping(p) => {
                self.below(Parent::Other, &p.keys);
                p.patterns.iter().for_each(|p| self.pattern(p));
            }
            Pattern::MatchClass(p) => {
                p.arguments.patterns.iter().for_each(|p| self.pattern(p));
                p.arguments.keywords.iter().for_each(|k| self.pattern(&k.pattern));
            }
            Pattern::MatchAs(p) => p.pattern.iter().for_each(|p| self.pattern(p)),
            Pattern::MatchOr(p) => p.patterns.iter().for_each(|p| self.pattern(p)),
            Pattern::MatchSingleton(_) | Pattern::MatchStar(_) => {}
        }
    }

    fn expr(&mut self, expr: &'a Expr) {
        let here = Parent::Expr(expr);
        match expr {
            Expr::StringLiteral(s) => strings::string(self, expr, s.value.to_str()),
            Expr::Call(call) => {
                calls::call(self, call);
                self.below(here, [call.func.as_ref()]);
                self.arguments(here, &call.arguments);
            }
            Expr::FString(f) => self.fstring(f),
            Expr::BoolOp(e) => self.below(here, &e.values),
            Expr::Named(e) => self.below(here, [e.target.as_ref(), e.value.as_ref()]),
            Expr::BinOp(e) => self.below(here, [e.left.as_ref(), e.right.as_ref()]),
            Expr::UnaryOp(e) => self.below(here, [e.operand.as_ref()]),
            Expr::Lambda(e) => {
                if let Some(parameters) = e.parameters.as_deref() {
                    self.parameters(parameters);
                }
                self.below(here, [e.body.as_ref()]);
            }
            Expr::If(e) => self.below(here, [e.test.as_ref(), e.body.as_ref(), e.orelse.as_ref()]),
            Expr::Dict(e) => {
                self.below(here, e.items.iter().filter_map(|i| i.key.as_ref()));
                self.below(here, e.items.iter().map(|i| &i.value));
            }
            Expr::Set(e) => self.below(here, &e.elts),
            Expr::List(e) => self.below(here, &e.elts),
            Expr::Tuple(e) => self.below(here, &e.elts),
            Expr::ListComp(e) => self.comprehension(here, [e.elt.as_ref()], &e.generators),
            Expr::SetComp(e) => self.comprehension(here, [e.elt.as_ref()], &e.generators),
            Expr::Generator(e) => self.comprehension(here, [e.elt.as_ref()], &e.generators),
            Expr::DictComp(e) => {
                self.comprehension(here, e.key.as_deref().into_iter().chain([e.value.as_ref()]), &e.generators);
            }
            Expr::Await(e) => self.below(here, [e.value.as_ref()]),
            Expr::Yield(e) => self.below(here, e.value.as_deref()),
            Expr::YieldFrom(e) => self.below(here, [e.value.as_ref()]),
            Expr::Compare(e) => {
                self.below(here, [e.left.as_ref()]);
                self.below(here, &e.comparators);
            }
            Expr::Attribute(e) => self.below(here, [e.value.as_ref()]),
            Expr::Subscript(e) => self.below(here, [e.value.as_ref(), e.slice.as_ref()]),
            Expr::Starred(e) => self.below(here, [e.value.as_ref()]),
            Expr::Slice(e) => {
                self.below(here, [&e.lower, &e.upper, &e.step].into_iter().filter_map(|p| p.as_deref()));
            }
            Expr::TString(_)
            | Expr::BytesLiteral(_)
            | Expr::NumberLiteral(_)
            | Expr::BooleanLiteral(_)
            | Expr::NoneLiteral(_)
            | Expr::EllipsisLiteral(_)
            | Expr::Name(_)
            | Expr::IpyEscapeCommand(_) => {}
        }
    }

    fn comprehension(
        &mut self,
        parent: Parent<'a>,
        results: impl IntoIterator<Item = &'a Expr>,
        generators: &'a [Comprehension],
    ) {
        self.below(parent, results);
        for generator in generators {
            self.below(Parent::Other, [&generator.target, &generator.iter]);
            self.below(Parent::Other, &generator.ifs);
        }
    }

    /// CPython joins neighbouring constant parts into one, across the pieces of an implicit concatenation.
    fn fstring(&mut self, f: &'a ExprFString) {
        let mut parts: Vec<String> = Vec::new();
        let mut joined = false;
        let mut add = |text: &str, joined: &mut bool| {
            if text.is_empty() {
                return;
            }
            match parts.last_mut() {
                Some(last) if *joined => last.push_str(text),
                _ => parts.push(text.to_owned()),
            }
            *joined = true;
        };
        for part in &f.value {
            match part {
                FStringPart::Literal(literal) => add(literal.as_str(), &mut joined),
                FStringPart::FString(f) => {
                    for element in &f.elements {
                        match element {
                            InterpolatedStringElement::Literal(literal) => add(literal, &mut joined),
                            InterpolatedStringElement::Interpolation(_) => joined = false,
                        }
                    }
                }
            }
        }
        strings::joined(self, f.range(), &parts);
        for element in f.value.elements() {
            self.hole(element, f.range());
        }
    }

    fn hole(&mut self, element: &'a InterpolatedStringElement, whole: TextRange) {
        let InterpolatedStringElement::Interpolation(hole) = element else { return };
        self.below(Parent::Other, [hole.expression.as_ref()]);
        if let Some(spec) = &hole.format_spec {
            self.spec(&spec.elements, whole);
        }
    }

    /// A format specification is a joined string of its own.
    fn spec(&mut self, elements: &'a InterpolatedStringElements, whole: TextRange) {
        let literal = |e: &'a InterpolatedStringElement| match e {
            InterpolatedStringElement::Literal(literal) => Some(literal.to_string()),
            InterpolatedStringElement::Interpolation(_) => None,
        };
        let parts: Vec<String> = elements.iter().filter_map(literal).collect();
        strings::joined(self, whole, &parts);
        elements.iter().for_each(|e| self.hole(e, whole));
    }

    /// Full name of a reference as Bandit resolves it; what hangs on something else than a name begins with a dot.
    pub(super) fn qualified(&self, expr: &Expr) -> String {
        match expr {
            Expr::Name(name) => self.aliases.get(name.id.as_str()).cloned().unwrap_or_else(|| name.id.to_string()),
            Expr::Attribute(attribute) => {
                // A long chain is taken apart without recursion; aliases of dotted names do not exist.
                let mut names = vec![attribute.attr.as_str()];
                let mut inner = attribute.value.as_ref();
                while let Expr::Attribute(next) = inner {
                    names.push(next.attr.as_str());
                    inner = &next.value;
                }
                let mut full = match inner {
                    Expr::Name(_) => self.qualified(inner),
                    _ => String::new(),
                };
                for name in names.iter().rev() {
                    full.push('.');
                    full.push_str(name);
                }
                full
            }
            _ => String::new(),
        }
    }

    /// Full name of what a call calls; nothing where it is no reference.
    pub(super) fn callee(&self, call: &ExprCall) -> String {
        self.qualified(&call.func)
    }
}

/// One finding an import statement: that of the first list with one of the names.
fn listed_import<'n>(walk: &mut Walk, prefix: &str, names: impl Iterator<Item = &'n str>, range: TextRange) {
    let names: Vec<String> = names.map(|n| format!("{prefix}{n}")).collect();
    let found =
        tables::IMPORTS.iter().find(|l| names.iter().any(|n| l.names.iter().any(|listed| n.starts_with(listed))));
    if let Some(listed) = found {
        walk.hit(listed.test, range, listed.severity, Confidence::High);
    }
}

/// Defaults of a function: B107 and B503.
fn function(walk: &mut Walk, def: &StmtFunctionDef) {
    let positional = &def.parameters.args;
    let defaults: Vec<&Expr> =
        def.parameters.posonlyargs.iter().chain(positional).filter_map(|p| p.default.as_deref()).collect();
    // Defaults are matched with the parameters that may be named, from the right, or from the left where there are more.
    let skip = positional.len().saturating_sub(defaults.len());
    let named = positional.iter().skip(skip).zip(&defaults);
    let password = named
        .filter(|(_, default)| default.is_string_literal_expr())
        .find(|(p, _)| strings::password_name(p.parameter.name.as_str()));
    if password.is_some() {
        walk.hit("B107", def.range(), Severity::Low, Confidence::Medium);
    }
    let old = defaults.iter().filter_map(|d| d.as_attribute_expr()).any(|a| tables::OLD_TLS.contains(&a.attr.as_str()));
    if old {
        walk.hit("B503", def.range(), Severity::Medium, Confidence::Medium);
    }
}
