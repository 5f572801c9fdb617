//! Languages other than Python: a file's text comes in, findings go out.
//!
//! 1. [`dialect`]: tree-sitter's grammars read the text; a tree with an error in it is not valid.
//! 2. [`rules`]: what to look for, in YAML: a pattern as in ast-grep, and what the pattern's variables must hold.
//! 3. [`flow`]: what an expression holds, from [`bindings`] of names; [`roles`] says what kinds of nodes are to
//!    it, [`library`] what known functions give back.
//! 4. [`functions()`]: a file's functions by name, and whether two files differ in more than comments.
//! 5. [`leaves()`]: a text without layout, comments and chosen names, so that two can be compared.
//!
//! Invariants: a rule is data, and what users write has the power of our own; the time grows with the rules whose words are
//! in the file, not with all of them; the depth of recursion is bounded whatever the text. Tree-sitter lets through some of
//! what compilers refuse, and C is read without its preprocessor: what stands here as valid need not compile.

mod bindings;
mod dialect;
mod flow;
mod functions;
mod leaves;
mod library;
mod roles;
mod rules;
#[cfg(test)]
mod tests;

pub use dialect::Dialect;
pub use functions::{Function, functions, has_function, same_code};
pub use leaves::{Leaf, Leaves, leaves};
pub use rules::{Described, RuleError, Rules, described, own};

use crate::{
    native::{self, Scan},
    python::SyntaxError,
};
use ast_grep_core::{AstGrep, matcher::MatcherExt, tree_sitter::StrDoc};
use bindings::Tree;
use flow::Flow;
use lexicon::{Cwe, Finding, LineIndex, Span, finding::TraceStep};
use regex::Regex;
use roles::Role;
use std::sync::LazyLock;
use tree_sitter::Node;

/// Deepest tree that is looked at: comparing two parts of a tree recurses as deep as they are.
const DEPTH: u32 = 4_000;
const TOO_DEEP: &str = "nested deeper than";

/// Whether a text is valid in its grammar.
///
/// # Errors
/// [`SyntaxError`] at the first place where the grammar has no rule.
pub fn check(dialect: Dialect, source: &str) -> Result<(), SyntaxError> {
    let Ok(document) = StrDoc::try_new(source, dialect) else { return Err(unreadable(source)) };
    first_error(source, document.tree.root_node()).map_or(Ok(()), Err)
}

/// Looks for weaknesses in a file of any language, by its name; without a known extension it is taken for Python. Our own
/// rules look first, then those that are given.
#[must_use]
pub fn scan_file(path: &str, source: &str, given: Option<&Rules>) -> Scan {
    let dialect = Dialect::of(path).unwrap_or(Dialect::Python);
    if dialect == Dialect::Python {
        let mut scan = native::scan(path, source);
        if let Some(given) = given.filter(|g| g.speak_of(dialect)) {
            scan.findings.extend(self::scan(dialect, path, source, &[given]).findings);
            scan.findings.sort_by(|a, b| (a.start, a.end, &a.rule).cmp(&(b.start, b.end, &b.rule)));
        }
        return scan;
    }
    let rules: Vec<&Rules> = std::iter::once(own()).chain(given).collect();
    let scan = self::scan(dialect, path, source, &rules);
    if !matches!(dialect, Dialect::C | Dialect::Cpp) || scan.syntax_error.is_none() || scan.too_deep() {
        return scan;
    }
    // A header may be either's; what a macro hides is no error.
    let other = (dialect == Dialect::C && path.ends_with(".h"))
        .then(|| self::scan(Dialect::Cpp, path, source, &rules))
        .filter(|other| other.syntax_error.is_none());
    Scan { syntax_error: None, ..other.unwrap_or(scan) }
}

impl Scan {
    /// Whether nothing was looked at.
    fn too_deep(&self) -> bool {
        self.syntax_error.as_ref().is_some_and(|e| e.message.starts_with(TOO_DEEP))
    }
}

/// The rule of a name, whatever its languages.
#[must_use]
pub fn rule(id: &str) -> Option<&'static native::Rule> {
    let python = native::rules::ALL.iter().copied().find(|r| r.id == id);
    python.or_else(|| described().iter().find(|d| d.rule.id == id).map(|d| d.rule))
}

/// Whether a file of any language is valid, by its name. C and C++ are read without their preprocessor, so a macro may stand
/// where the grammar knows none: what it cannot read there is no error.
///
/// # Errors
/// [`SyntaxError`] at the first place that is not valid.
pub fn check_file(path: &str, source: &str) -> Result<(), SyntaxError> {
    match Dialect::of(path).unwrap_or(Dialect::Python) {
        Dialect::Python => crate::python::parse(source).map(|_| ()),
        Dialect::C | Dialect::Cpp => Ok(()),
        dialect => check(dialect, source),
    }
}

/// Looks for weaknesses in a file with some rules, our own ones first. `path` only names the file in findings.
#[must_use]
pub fn scan(dialect: Dialect, path: &str, source: &str, rules: &[&Rules]) -> Scan {
    let Ok(document) = StrDoc::try_new(source, dialect) else {
        return Scan { findings: Vec::new(), syntax_error: Some(unreadable(source)) };
    };
    let grep = AstGrep::doc(document);
    let root = grep.root();
    let tree = Tree { source, roles: roles::of(dialect), root: root.get_inner_node() };
    let syntax_error = first_error(source, tree.root);
    let sets: Vec<_> = rules.iter().map(|r| r.set(dialect)).map(|set| (set, set.awake(source))).collect();
    let Some((candidates, comments)) = candidates(tree, &sets) else {
        let deep = SyntaxError {
            message: format!("{TOO_DEEP} {DEPTH} levels"),
            span: Span::new(0, 0),
            at: LineIndex::new(source).position(source, 0),
        };
        return Scan { findings: Vec::new(), syntax_error: Some(deep) };
    };
    if candidates.is_empty() {
        return Scan { findings: Vec::new(), syntax_error };
    }
    let flow = Flow::new(tree, sources(dialect), dialect == Dialect::Ruby);
    let lines = LineIndex::new(source);
    let at = |offset: usize| lines.position(source, offset);
    let mut findings = Vec::new();
    for (node, set, rule) in candidates {
        let rule = &sets[set].0.rules[rule];
        let Some(found) = rule.config.matcher.match_node(grep.adopt(node)) else { continue };
        let env = found.get_env();
        let captured = |name: &str| -> Vec<Node> {
            let one = env.get_match(name).map(|n| n.get_inner_node());
            let many = env.get_multiple_matches(name).into_iter().map(|n| n.get_inner_node());
            one.into_iter().chain(many).filter(|n| n.is_named()).collect()
        };
        let Some(origin) = rule.holds(node, &flow, &captured) else { continue };
        let place = rule.at.as_deref().and_then(|name| captured(name).first().copied()).unwrap_or(node).byte_range();
        let trace = origin
            .filter(|o| at(o.start).line != at(place.start).line)
            .map(|o| TraceStep { at: at(o.start), message: "data enters here".to_owned() });
        let finding = Finding {
            format: lexicon::FORMAT,
            analyzer: native::ANALYZER.to_owned(),
            rule: rule.id.clone(),
            cwe: rule.cwe.iter().map(|&n| Cwe(n)).collect(),
            severity: rule.severity,
            confidence: rule.confidence,
            path: path.to_owned(),
            start: at(place.start),
            end: at(place.end),
            message: filled(&rule.message, &|name| captured(name).first().map(|n| tree.text(*n))),
            trace: trace.into_iter().collect(),
        };
        findings.push(finding);
    }
    let comments: Vec<_> = comments
        .into_iter()
        .filter_map(|comment| native::suppression(tree.text(comment), at(comment.start_byte()).line))
        .collect();
    findings.retain(|finding| !native::silenced(finding, &comments));
    findings.sort_by(|a, b| (a.start, a.end, &a.rule).cmp(&(b.start, b.end, &b.rule)));
    // Several patterns of one name may see the same place, and a part of it.
    findings.dedup_by(|b, a| a.rule == b.rule && a.start == b.start);
    Scan { findings, syntax_error }
}

/// A message with the text of what it names: `$NAME`.
fn filled<'t>(message: &str, captured: &dyn Fn(&str) -> Option<&'t str>) -> String {
    let mut out = String::with_capacity(message.len());
    let mut rest = message;
    while let Some(at) = rest.find('$') {
        out.push_str(&rest[..at]);
        rest = &rest[at + 1..];
        let end =
            rest.find(|c: char| !(c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_')).unwrap_or(rest.len());
        match captured(&rest[..end]).filter(|_| end > 0) {
            Some(text) => out.extend(text.chars().take(80)),
            None => {
                out.push('$');
                out.push_str(&rest[..end]);
            }
        }
        rest = &rest[end..];
    }
    out + rest
}

type Sets<'r> = Vec<(&'r rules::Set, Vec<bool>)>;

/// Nodes that some rule may match, with the set and the rule, and comments; nothing where the tree is too deep.
type Candidates<'t> = (Vec<(Node<'t>, usize, usize)>, Vec<Node<'t>>);

fn candidates<'t>(tree: Tree<'t>, sets: &Sets) -> Option<Candidates<'t>> {
    let silence = tree.source.contains("nosec") || tree.source.contains("rampart:");
    let (mut found, mut comments) = (Vec::new(), Vec::new());
    let mut cursor = tree.root.walk();
    loop {
        let node = cursor.node();
        for (number, (set, awake)) in sets.iter().enumerate() {
            let rules = set.by_kind.get(usize::from(node.kind_id())).into_iter().flatten();
            found.extend(rules.filter(|r| awake[**r]).map(|r| (node, number, *r)));
        }
        if silence && tree.role(node) == Role::Comment {
            comments.push(node);
        }
        if cursor.goto_first_child() {
            if cursor.depth() > DEPTH {
                return None;
            }
            continue;
        }
        while !cursor.goto_next_sibling() {
            if !cursor.goto_parent() {
                return Some((found, comments));
            }
        }
    }
}

fn unreadable(source: &str) -> SyntaxError {
    let at = LineIndex::new(source).position(source, 0);
    SyntaxError { message: "the grammar cannot read this".to_owned(), span: Span::new(0, 0), at }
}

/// The first place where a tree has an error.
fn first_error(source: &str, root: Node) -> Option<SyntaxError> {
    if !root.has_error() {
        return None;
    }
    let mut cursor = root.walk();
    loop {
        let node = cursor.node();
        if node.is_error() || node.is_missing() {
            let range = node.byte_range();
            let message = if node.is_missing() {
                format!("`{}` is missing", node.kind())
            } else {
                let text = source.get(range.clone()).unwrap_or_default().trim_start();
                let word: String = text.chars().take_while(|c| !c.is_whitespace()).take(20).collect();
                format!("unexpected `{word}`")
            };
            let at = LineIndex::new(source).position(source, range.start);
            return Some(SyntaxError { message, span: Span::new(range.start, range.end), at });
        }
        // Below a node without errors there is none.
        if node.has_error() && cursor.goto_first_child() {
            continue;
        }
        while !cursor.goto_next_sibling() {
            if !cursor.goto_parent() {
                return Some(unreadable(source));
            }
        }
    }
}

/// What request data looks like in a language, at the beginning of an expression's text.
fn sources(dialect: Dialect) -> &'static Regex {
    fn make(pattern: &str) -> Regex {
        // A pattern that does not compile would match nothing: the tests would fail.
        Regex::new(pattern).unwrap_or_else(|_| Regex::new("$^").unwrap_or_else(|_| unreachable!("a constant")))
    }
    static WEB: LazyLock<Regex> = LazyLock::new(|| {
        make(
            r"(?x)^(this\.)?(req|request|ctx|context|event|_req)(\.request)?\.
               (query|body|params|headers|cookies|url|originalUrl|path|files|file|get|header|param|rawBody|pathParameters
               |queryStringParameters|hostname)\b
            | ^(window\.|document\.|self\.)*location\b | ^document\.(URL|documentURI|referrer|cookie)\b | ^window\.name\b
            | ^process\.argv\b | \bsearchParams\.get\(",
        )
    });
    static JAVA: LazyLock<Regex> = LazyLock::new(|| {
        make(
            r"^\s*\w*(\(\))?\.?(getParameter|getParameterValues|getParameterMap|getHeader|getHeaders|getQueryString|getCookies|getRequestURI|getRequestURL|getPathInfo|getServletPath)\s*\(",
        )
    });
    static GO: LazyLock<Regex> = LazyLock::new(|| {
        make(
            r"^(r|req|request|c|ctx)(\.Request|\.Req)?\.(FormValue|PostFormValue|PathValue|URL\.(Query|Path|RawQuery|RequestURI)|Header\.Get|Cookie|QueryParam|Param|Query|DefaultQuery|PostForm|GetHeader|Form\b|RequestURI|Host\b|UserAgent|Referer)|^mux\.Vars\(|^chi\.URLParam\(|^os\.Args\b",
        )
    });
    static RUBY: LazyLock<Regex> = LazyLock::new(|| {
        make(r"^@?(params|cookies|request\.(params|env|headers|body|path|fullpath|url|referer))\b|^ARGV\b")
    });
    static C: LazyLock<Regex> = LazyLock::new(|| make(r"^(getenv|secure_getenv)\s*\(|^argv\s*\[|^optarg\b"));
    static PYTHON: LazyLock<Regex> = LazyLock::new(|| make(r"^(flask\.|self\.)?request\.|^sys\.argv\b|^input\("));
    match dialect {
        Dialect::JavaScript | Dialect::TypeScript | Dialect::Tsx => &WEB,
        Dialect::Java => &JAVA,
        Dialect::Go => &GO,
        Dialect::Ruby => &RUBY,
        Dialect::C | Dialect::Cpp => &C,
        Dialect::Python => &PYTHON,
    }
}
