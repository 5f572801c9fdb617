//! The functions of a file by name, and whether two texts say the same but for comments.
//!
//! Tree-sitter reads all languages here, Python too: half a file still has functions. Names are qualified by what encloses
//! them (`Class.method`), so that a function before a change is found again after it.

use super::{
    DEPTH, Dialect,
    roles::{self, Role},
};
use crate::python;
use ast_grep_core::tree_sitter::StrDoc;
use lexicon::Span;
use ruff_python_ast::token::TokenKind;
use tree_sitter::Node;

/// A named function of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Function {
    /// Its name, with the names of what encloses it before it and dots between.
    pub name: String,
    /// All of it, decorators included, in bytes of the file.
    pub span: Span,
    /// From its beginning to its body: name, parameters, types.
    pub signature: String,
    /// Its docstring, or the comment right above it, without markers; empty where there is none.
    pub doc: String,
}

/// The named functions of a text, in the order in which they begin; nothing where it cannot be read or is nested too deep.
///
/// A function without a name takes that of what it is assigned to or, in JavaScript, of the call it is handed to with the
/// call's first text: `app.get("/users")`.
#[must_use]
pub fn functions(dialect: Dialect, source: &str) -> Vec<Function> {
    let Ok(document) = StrDoc::try_new(source, dialect) else { return Vec::new() };
    let roles = roles::of(dialect);
    let mut found = Vec::new();
    let mut enclosing: Vec<(u32, String)> = Vec::new();
    let mut cursor = document.tree.root_node().walk();
    loop {
        let (node, depth) = (cursor.node(), cursor.depth());
        if roles.get(usize::from(node.kind_id())) == Some(&Role::Function)
            && let Some((name, whole)) = named(node, source)
            && let Some(body) = node.child_by_field_name("body")
        {
            let outer = enclosing.iter().map(|(_, n)| n.as_str());
            let name = outer.chain([name.as_str()]).collect::<Vec<_>>().join(".");
            let whole = outermost(whole);
            let start = if node.kind() == "arrow_function" { whole.start_byte() } else { node.start_byte() };
            let signature = source.get(start..body.start_byte()).unwrap_or_default();
            let signature: Vec<&str> = signature.split_whitespace().collect();
            let signature = signature.join(" ").trim_end_matches(['{', ':', ' ']).to_owned();
            let doc = docstring(body, source, dialect).unwrap_or_else(|| above(whole, source, roles));
            let range = whole.byte_range();
            found.push(Function { name, span: Span::new(range.start, range.end), signature, doc });
        }
        let scope = scope(node, source);
        if cursor.goto_first_child() {
            if cursor.depth() > DEPTH {
                return Vec::new();
            }
            enclosing.extend(scope.map(|name| (depth, name)));
            continue;
        }
        while !cursor.goto_next_sibling() {
            if !cursor.goto_parent() {
                return found;
            }
            if enclosing.last().is_some_and(|(at, _)| *at >= cursor.depth()) {
                enclosing.pop();
            }
        }
    }
}

/// Whether [`functions`] would find any, without a tree where that is plain.
#[must_use]
pub fn has_function(dialect: Dialect, source: &str) -> bool {
    if dialect == Dialect::Python
        && let Ok(parsed) = python::parse(source)
    {
        let any = |kind| parsed.tokens().iter().any(|t| t.kind() == kind);
        if any(TokenKind::Def) {
            return true;
        }
        // A function without a name may take that of a key.
        if !any(TokenKind::Lambda) {
            return false;
        }
    }
    !functions(dialect, source).is_empty()
}

/// The name of a class, module, type or function that encloses others.
fn scope(node: Node, source: &str) -> Option<String> {
    const SCOPES: &[&str] = &[
        "class_definition",
        "class_declaration",
        "class",
        "module",
        "interface_declaration",
        "enum_declaration",
        "record_declaration",
        "class_specifier",
        "struct_specifier",
        "namespace_definition",
        "function_definition",
        "function_declaration",
        "method_definition",
        "method_declaration",
        "method",
    ];
    if !node.is_named() || !SCOPES.contains(&node.kind()) {
        return None;
    }
    named(node, source).map(|(name, _)| name)
}

/// What a function is called, and the part of the tree that is all of it.
fn named<'t>(node: Node<'t>, source: &str) -> Option<(String, Node<'t>)> {
    let text = |n: Node| source.get(n.byte_range()).unwrap_or_default().to_owned();
    if let Some(name) = node.child_by_field_name("name") {
        // A Go method belongs to its receiver's type.
        let receiver = node.child_by_field_name("receiver").map(&text);
        let of = receiver.as_deref().and_then(|r| r.trim_matches(['(', ')']).split_whitespace().last());
        let of = of.map(|t| format!("{}.", t.trim_start_matches('*'))).unwrap_or_default();
        return Some((of + &text(name), node));
    }
    if let Some(mut declarator) = node.child_by_field_name("declarator") {
        // C wraps the name in what its type is made of.
        while let Some(inner) = declarator.child_by_field_name("declarator") {
            declarator = inner;
        }
        return Some((text(declarator), node));
    }
    let parent = node.parent()?;
    let field = |n: Node<'t>, name| n.child_by_field_name(name);
    let name = match parent.kind() {
        "variable_declarator" | "public_field_definition" => field(parent, "name"),
        "field_definition" => field(parent, "property"),
        "assignment_expression" => field(parent, "left"),
        "pair" => field(parent, "key"),
        "arguments" => {
            let call = parent.parent()?;
            let callee = text(field(call, "function")?);
            let first = parent.named_child(0).filter(|n| matches!(n.kind(), "string" | "template_string"))?;
            return (!callee.contains('\n')).then(|| (format!("{callee}({})", text(first)), call));
        }
        _ => None,
    }?;
    Some((text(name), parent))
}

/// With what belongs to it: decorators, `export`, `const x = ..;`.
fn outermost(mut node: Node) -> Node {
    const AROUND: &[&str] = &[
        "decorated_definition",
        "export_statement",
        "lexical_declaration",
        "variable_declaration",
        "expression_statement",
        "template_declaration",
    ];
    while let Some(parent) = node.parent().filter(|p| AROUND.contains(&p.kind()) && p.named_child_count() <= 4) {
        node = parent;
    }
    node
}

fn docstring(body: Node, source: &str, dialect: Dialect) -> Option<String> {
    if dialect != Dialect::Python {
        return None;
    }
    let text = documents(body.named_child(0)?)?;
    let text = source.get(text.byte_range())?;
    let open = text.find(['"', '\''])?;
    Some(plain(text[open..].trim_matches(['"', '\''])))
}

/// The text of a statement that is nothing but a text.
fn documents(statement: Node) -> Option<Node> {
    let text = statement.named_child(0).filter(|_| statement.kind() == "expression_statement")?;
    (text.kind() == "string" && statement.named_child_count() == 1).then_some(text)
}

/// Comments that end on the line above a node.
fn above(node: Node, source: &str, roles: &[Role]) -> String {
    let mut lines = Vec::new();
    let mut first = node.start_position().row;
    // In Ruby a class's first comment stands before the body that its first method is in.
    let body = node.parent().filter(|p| p.kind() == "body_statement" && node.prev_sibling().is_none());
    let mut at = body.unwrap_or(node);
    while let Some(before) = at.prev_named_sibling() {
        let comment = roles.get(usize::from(before.kind_id())) == Some(&Role::Comment);
        let alone = before.prev_sibling().is_none_or(|p| p.end_position().row < before.start_position().row);
        if !comment || !alone || before.end_position().row + 1 < first {
            break;
        }
        lines.push(source.get(before.byte_range()).unwrap_or_default());
        first = before.start_position().row;
        at = before;
    }
    lines.reverse();
    plain(&lines.join("\n"))
}

/// A comment's text without its markers; what stands behind the first empty line or tag (`@param`) is left out.
fn plain(comment: &str) -> String {
    let mut out: Vec<&str> = Vec::new();
    for line in comment.lines() {
        let line = line.trim().trim_start_matches(['/', '*', '#', '!']).trim_end_matches(['/', '*']).trim();
        let tag = line.starts_with(['@', ':', '<']) || line.starts_with("---");
        if line.is_empty() && out.is_empty() {
            continue;
        }
        if line.is_empty() || tag {
            break;
        }
        out.push(line);
    }
    out.join(" ")
}

/// Whether two texts are the same but for comments, white space and, in Python, docstrings. What cannot be read is not.
#[must_use]
pub fn same_code(dialect: Dialect, a: &str, b: &str) -> bool {
    if plainly_different(dialect, a, b) {
        return false;
    }
    let roles = roles::of(dialect);
    let read = |source: &str| StrDoc::try_new(source, dialect).ok();
    let (Some(one), Some(other)) = (read(a), read(b)) else { return false };
    let (mut one, mut other) = (Walk::new(&one, a, roles, dialect), Walk::new(&other, b, roles, dialect));
    loop {
        match (one.next(), other.next()) {
            (None, None) => return !(one.lost || other.lost),
            (x, y) if x == y => {}
            _ => return false,
        }
    }
}

/// Whether two texts differ in what can be nothing but code, seen line by line, which is little work beside two trees. Wrong on
/// the side of no, wherever a comment or a docstring may begin in the middle of a line or go on in the next.
fn plainly_different(dialect: Dialect, a: &str, b: &str) -> bool {
    let hash = matches!(dialect, Dialect::Python | Dialect::Ruby);
    let mark = if hash { "#" } else { "//" };
    let unclear = |text: &str| {
        let opens: &[&str] = match dialect {
            Dialect::Python => &["\"\"\"", "'''"],
            Dialect::Ruby => &["=begin", "__END__"],
            _ => &["/*", "<!--"],
        };
        opens.iter().any(|open| text.contains(open))
            || text.lines().map(str::trim).any(|line| {
                line.ends_with('\\')
                    || line.find(mark).is_some_and(|at| at > 0)
                    || dialect == Dialect::Python && may_document(line)
            })
    };
    if unclear(a) || unclear(b) {
        return false;
    }
    let code = |text: &'_ str| -> String {
        let lines = text.lines().map(str::trim).filter(|line| !line.starts_with(mark));
        lines.flat_map(str::chars).filter(|c| !c.is_whitespace()).collect()
    };
    code(a) != code(b)
}

/// Whether a line of Python may be or hold a text that is a statement.
fn may_document(line: &str) -> bool {
    let quotes = ['"', '\''];
    // Letters may stand before a text's quote, and other statements before it on its line.
    let alone = line.trim_start_matches(|c: char| c.is_ascii_alphabetic()).starts_with(quotes);
    let heads = ["def ", "class ", "async "];
    alone || line.contains(quotes) && (line.contains(';') || heads.iter().any(|head| line.starts_with(head)))
}

/// The nodes of a tree from its beginning: depth, kind and, where a node has no parts, its text.
struct Walk<'t> {
    cursor: tree_sitter::TreeCursor<'t>,
    source: &'t str,
    roles: &'static [Role],
    python: bool,
    begun: bool,
    /// Nested too deep, or broken.
    lost: bool,
}

impl<'t> Walk<'t> {
    fn new(document: &'t StrDoc<Dialect>, source: &'t str, roles: &'static [Role], dialect: Dialect) -> Self {
        let cursor = document.tree.root_node().walk();
        Self { cursor, source, roles, python: dialect == Dialect::Python, begun: false, lost: false }
    }

    fn skipped(&self, node: Node) -> bool {
        self.roles.get(usize::from(node.kind_id())) == Some(&Role::Comment) || self.python && documents(node).is_some()
    }

    fn step(&mut self) -> bool {
        let inside = self.begun && !self.skipped(self.cursor.node());
        if !self.begun {
            self.begun = true;
            return true;
        }
        if inside && self.cursor.goto_first_child() {
            self.lost |= self.cursor.depth() > DEPTH;
            return !self.lost;
        }
        while !self.cursor.goto_next_sibling() {
            if !self.cursor.goto_parent() {
                return false;
            }
        }
        true
    }
}

impl<'t> Iterator for Walk<'t> {
    type Item = (u32, u16, &'t str);

    fn next(&mut self) -> Option<Self::Item> {
        while self.step() {
            let node = self.cursor.node();
            if self.skipped(node) {
                continue;
            }
            let leaf = node.child_count() == 0;
            let text = if leaf { self.source.get(node.byte_range()).unwrap_or_default() } else { "" };
            return Some((self.cursor.depth(), node.kind_id(), text));
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(dialect: Dialect, source: &str, expect: &[(&str, &str, &str)]) {
        let found = functions(dialect, source);
        let told: Vec<_> = found.iter().map(|f| (f.name.as_str(), f.signature.as_str(), f.doc.as_str())).collect();
        assert_eq!(told, expect, "{source}");
        assert_eq!(has_function(dialect, source), !expect.is_empty(), "{source}");
    }

    #[test]
    fn functions_of_every_language() {
        use Dialect::*;
        check(
            Python,
            "class A:\n    @route('/x')\n    def f(self, x):\n        \"\"\"Finds x.\n\n        More.\"\"\"\n        def g(): pass\n        return x\n# Adds.\ndef h(a,\n      b):\n    return a\n",
            &[("A.f", "def f(self, x)", "Finds x."), ("A.f.g", "def g()", ""), ("h", "def h(a, b)", "Adds.")],
        );
        check(
            JavaScript,
            "/**\n * Says hello.\n * @param x who\n */\nfunction f(x) { return x; }\nconst g = async (y) => { f(y); };\nclass A { m(z) { return z; } }\napp.get('/u', function (req, res) { res.end(); });\nmodule.exports.k = function (q) { return q; };\n",
            &[
                ("f", "function f(x)", "Says hello."),
                ("g", "const g = async (y) =>", ""),
                ("A.m", "m(z)", ""),
                ("app.get('/u')", "function (req, res)", ""),
                ("module.exports.k", "function (q)", ""),
            ],
        );
        check(
            Go,
            "package p\n\n// Find looks.\n// It does.\nfunc (s *Store) Find(id string) error {\n\treturn nil\n}\n",
            &[("Store.Find", "func (s *Store) Find(id string) error", "Find looks. It does.")],
        );
        check(
            Java,
            "class A {\n  /** Runs it. */\n  void run(String a) { go(a); }\n  A() { }\n}\n",
            &[("A.run", "void run(String a)", "Runs it."), ("A.A", "A()", "")],
        );
        check(
            Ruby,
            "module M\n  class A\n    # Finds.\n    def find(id)\n      id\n    end\n    def self.all; end\n  end\nend\n",
            &[("M.A.find", "def find(id)", "Finds.")],
        );
        check(
            C,
            "/* Copies. */\nchar *copy(const char *from)\n{\n  return 0;\n}\n",
            &[("copy", "char *copy(const char *from)", "Copies.")],
        );
        check(Cpp, "void A::f(int x) { g(x); }\n", &[("A::f", "void A::f(int x)", "")]);
        check(
            TypeScript,
            "export const f = (x: string): string => { return x; };\n",
            &[("f", "export const f = (x: string): string =>", "")],
        );
    }

    #[test]
    fn functions_or_none() {
        for none in ["x = 1  # def f():\n", "x = '''\ndef f(): pass\n'''\n", "f(lambda a: a)\n", "", ")("] {
            check(Dialect::Python, none, &[]);
        }
        check(Dialect::Python, "x = {'a': lambda b: b}\n", &[("'a'", "lambda b", "")]);
        check(Dialect::Python, "def f(): pass\n)(\n", &[("f", "def f()", "")]);
        check(Dialect::C, "int a;\n", &[]);
    }

    #[test]
    fn spans_hold_all_of_a_function() {
        let source = "x = 1\n@d\ndef f():\n    return 1\n\ny = 2\n";
        let span = functions(Dialect::Python, source)[0].span;
        assert_eq!(&source[span.start..span.end], "@d\ndef f():\n    return 1");
    }

    #[test]
    fn comments_are_no_code() {
        let cases = [
            (Dialect::Python, "x = 1  # a\n", "x = 1\n", true),
            (Dialect::Python, "def f():\n    'doc'\n    return 1\n", "def f():\n    'other'\n    return  1\n", true),
            (Dialect::Python, "x = '#a'\n", "x = '#b'\n", false),
            (Dialect::Python, "if a:\n    b()\n    c()\n", "if a:\n    b()\nc()\n", false),
            (Dialect::Python, "def f(): 'doc'\n", "def f(): 'other'\n", true),
            (Dialect::Python, "a = 1\n# b\n", "a = 1\n# c\n\n", true),
            (Dialect::Python, "a = f(1)\n", "a = f(2)\n", false),
            (Dialect::C, "int a; /* b */\n", "int a;\n", true),
            (Dialect::C, "int a;\n// b\\\nc\n", "int a;\n// b\\\nd\n", true),
            (Dialect::Go, "package p // x\n", "package p\n", true),
            (Dialect::Ruby, "a = 1 # x\n", "a = 2 # x\n", false),
            (Dialect::JavaScript, "f(1, 2);", "f(1,\n  2); // two", true),
            (Dialect::Java, "class A { /** d */ int a; }", "class A { int b; }", false),
        ];
        for (dialect, a, b, expect) in cases {
            assert_eq!(same_code(dialect, a, b), expect, "{a:?} {b:?}");
            assert!(!expect || !plainly_different(dialect, a, b), "{a:?} {b:?}");
        }
    }
}
