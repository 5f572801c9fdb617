//! A text as its grammar takes it apart: comes in with layout, comments and chosen names, goes out as leaves and trees
//! in which two texts can be compared without them.
//!
//! A name is the writer's own where the text itself binds it: a parameter, a variable, a function, a class, an alias. All
//! other names (what is imported, called, a member or a keyword) mean something outside and stay: `md5` and `sha256` must
//! not become one.

use super::{
    DEPTH,
    dialect::Dialect,
    roles::{self, Role},
};
use ast_grep_core::tree_sitter::StrDoc;
use rustc_hash::FxHashMap;
use std::{hash::Hasher, ops::Range};
use tree_sitter::Node;

/// What a leaf is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Leaf {
    /// A name that the text binds, by the order in which such names first appear.
    Own(u32),
    /// Any other name, keyword or sign.
    Word,
    /// A string, quotes included.
    Text,
    /// A number.
    Number,
}

/// A text without layout and comments.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Leaves {
    /// Leaves with the bytes they stand on, in order.
    pub leaves: Vec<(Range<usize>, Leaf)>,
    /// A number for every part of the tree that has leaves enough: the same for parts that differ in own names, strings
    /// and numbers alone.
    pub trees: Vec<u64>,
    /// Comments.
    pub comments: Vec<Range<usize>>,
}

/// Takes a text apart. Parts of the tree with fewer than `least` leaves have no number. Text that is not valid is taken apart
/// as far as the grammar recovers; `None` where it is nested too deep to be looked at.
#[must_use]
pub fn leaves(dialect: Dialect, source: &str, least: usize) -> Option<Leaves> {
    let document = StrDoc::try_new(source, dialect).ok()?;
    let events = walk(dialect, source, document.tree.root_node())?;
    let mut own: FxHashMap<&str, Option<u32>> = FxHashMap::default();
    for event in &events {
        if let Event::Leaf { range, bound: true, .. } = event {
            own.insert(&source[range.clone()], None);
        }
    }
    let mut out = Leaves::default();
    let mut named = 0;
    // Of every open part: its hash so far, and how many leaves it has.
    let mut open: Vec<(rustc_hash::FxHasher, usize)> = Vec::new();
    for event in events {
        match event {
            Event::Enter(kind) => {
                let mut hash = rustc_hash::FxHasher::default();
                hash.write_u16(kind);
                open.push((hash, 0));
            }
            Event::Exit => {
                let Some((hash, count)) = open.pop() else { continue };
                let number = hash.finish();
                if count >= least {
                    out.trees.push(number);
                }
                if let Some((parent, leaves)) = open.last_mut() {
                    parent.write_u64(number);
                    *leaves += count;
                }
            }
            Event::Comment(range) => out.comments.push(range),
            Event::Leaf { range, kind, member, .. } => {
                let text = &source[range.clone()];
                let leaf = match own.get_mut(text) {
                    Some(number) if kind == Leaf::Word && !member => Leaf::Own(*number.get_or_insert_with(|| {
                        named += 1;
                        named - 1
                    })),
                    _ => kind,
                };
                if let Some((hash, count)) = open.last_mut() {
                    match leaf {
                        Leaf::Own(_) => hash.write_u8(1),
                        Leaf::Text => hash.write_u8(2),
                        Leaf::Number => hash.write_u8(3),
                        Leaf::Word => hash.write(text.as_bytes()),
                    }
                    *count += 1;
                }
                out.leaves.push((range, leaf));
            }
        }
    }
    Some(out)
}

enum Event {
    Enter(u16),
    Leaf { range: Range<usize>, kind: Leaf, bound: bool, member: bool },
    Comment(Range<usize>),
    Exit,
}

fn walk(dialect: Dialect, source: &str, root: Node<'_>) -> Option<Vec<Event>> {
    let roles = roles::of(dialect);
    let mut events = Vec::with_capacity(source.len() / 3);
    // Every node above the current one, with the field by which its parent holds it.
    let mut above: Vec<(Node, &str)> = Vec::new();
    let mut cursor = root.walk();
    loop {
        let node = cursor.node();
        let field = cursor.field_name().unwrap_or_default();
        let here = role(roles, node);
        let range = node.byte_range();
        // A string with nothing inserted is one leaf, quotes and escapes included.
        let whole = matches!(here, Role::Text) && !inserts(node, roles);
        if here == Role::Comment {
            events.push(Event::Comment(range));
        } else if node.child_count() == 0 || whole {
            if !range.is_empty() && source.get(range.clone()).is_some() {
                let name = here == Role::Name || node.kind().ends_with("identifier");
                let first = source.as_bytes()[range.start];
                let kind = if whole || node.kind().contains("string_content") || node.kind() == "heredoc_body" {
                    Leaf::Text
                } else if first.is_ascii_digit() {
                    Leaf::Number
                } else {
                    Leaf::Word
                };
                let member = name && is_member(node, field);
                let bound = name && !member && kind == Leaf::Word && binds(&above, field, roles);
                events.push(Event::Leaf { range, kind, bound, member: member || !name });
            }
        } else if cursor.goto_first_child() {
            events.push(Event::Enter(node.kind_id()));
            above.push((node, field));
            if above.len() > DEPTH as usize {
                return None;
            }
            continue;
        }
        while !cursor.goto_next_sibling() {
            if !cursor.goto_parent() {
                return Some(events);
            }
            above.pop();
            events.push(Event::Exit);
        }
    }
}

fn role(roles: &[Role], node: Node<'_>) -> Role {
    roles.get(usize::from(node.kind_id())).copied().unwrap_or_default()
}

fn inserts(node: Node<'_>, roles: &[Role]) -> bool {
    // A string of many pieces is rare; its first hundred say what it is.
    (0..node.child_count().min(100))
        .filter_map(|i| node.child(i))
        .any(|child| matches!(role(roles, child), Role::Inserted | Role::Text))
}

/// Names that mean something in an object, whoever bound the same word elsewhere.
fn is_member(node: Node<'_>, field: &str) -> bool {
    matches!(node.kind(), "field_identifier" | "property_identifier" | "type_identifier")
        || matches!(field, "attribute" | "property" | "field" | "method")
}

/// Whether a name below these nodes is given its meaning there.
fn binds<'f>(above: &[(Node<'_>, &'f str)], field: &'f str, roles: &[Role]) -> bool {
    let mut field = field;
    for &(parent, next) in above.iter().rev().take(6) {
        let (here, kind) = (role(roles, parent), parent.kind());
        if matches!(
            field,
            "type"
                | "value"
                | "right"
                | "default_value"
                | "arguments"
                | "body"
                | "condition"
                | "return_type"
                | "superclass"
                | "function"
                | "object"
                | "index"
                | "subscript"
                | "size"
                | "receiver"
        ) || here == Role::Member
            || here == Role::Call
        {
            return false;
        }
        let declares = ["definition", "declaration", "declarator", "_spec", "parameter", "aliased_import", "_clause"]
            .iter()
            .any(|end| kind.ends_with(end));
        match field {
            "left" if here == Role::Assign || kind.starts_with("for") => return true,
            "name" if kind == "aliased_import" => return false,
            "name" if here == Role::Assign || here == Role::Function || declares => return true,
            "declarator" | "pattern" | "alias" if declares || here == Role::Assign => return true,
            "parameter" if here == Role::Function => return true,
            _ => {}
        }
        if here == Role::Parameters || kind == "as_pattern_target" {
            return true;
        }
        if kind.ends_with("statement") || kind.ends_with("block") || kind == "module" || kind == "program" {
            return false;
        }
        field = next;
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The text with its own names as `$0`, `$1`, .., a space between leaves.
    fn shown(dialect: Dialect, source: &str) -> String {
        let found = leaves(dialect, source, 1).unwrap_or_default();
        let one = |(range, leaf): (Range<usize>, Leaf)| match leaf {
            Leaf::Own(n) => format!("${n}"),
            _ => source[range].to_owned(),
        };
        found.leaves.into_iter().map(one).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn own_names_alone_are_renamed() {
        let cases = [
            (
                Dialect::Python,
                "import hashlib as h\ndef f(a, b=1):\n    x = h.md5(a)  # why\n    return g(x, key=b)\n",
                "import hashlib as $0 def $1 ( $2 , $3 = 1 ) : $4 = $0 . md5 ( $2 ) return g ( $4 , key = $3 )",
            ),
            (
                Dialect::Python,
                "for k in range(3):\n    with open(p) as h:\n        print(f'{k}', h)\n",
                "for $0 in range ( 3 ) : with open ( p ) as $1 : print ( f' { $0 } ' , $1 )",
            ),
            (
                Dialect::C,
                "int f(char *s, int n) { char b[8]; /* c */ strcpy(b, s); return n; }",
                "int $0 ( char * $1 , int $2 ) { char $3 [ 8 ] ; strcpy ( $3 , $1 ) ; return $2 ; }",
            ),
            (
                Dialect::Go,
                "package p\nfunc F(a string) error { x := h.Sum(a); return db.Do(x) }",
                "package p func $0 ( $1 string ) error { $2 := h . Sum ( $1 ) ; return db . Do ( $2 ) }",
            ),
            (
                Dialect::JavaScript,
                "function f(a) { const x = req.query.id; eval(x + \"s\"); }",
                "function $0 ( $1 ) { const $2 = req . query . id ; eval ( $2 + \"s\" ) ; }",
            ),
            (
                Dialect::Java,
                "class A { void f(String s) { int n = g(s); this.s = s; } }",
                "class $0 { void $1 ( String $2 ) { int $3 = g ( $2 ) ; this . s = $2 ; } }",
            ),
            (Dialect::Ruby, "def f(a)\n  x = a.b\n  puts x\nend\n", "def $0 ( $1 ) $2 = $1 . b puts $2 end"),
        ];
        for (dialect, source, expect) in cases {
            assert_eq!(shown(dialect, source), expect, "{dialect:?}");
        }
    }

    #[test]
    fn parts_agree_where_only_own_names_and_constants_differ() {
        let trees = |source: &str| leaves(Dialect::Python, source, 6).unwrap_or_default().trees;
        let (a, b) = ("def f(a):\n    return md5(a, 'x', 1)\n", "def g(zz):\n    # c\n    return md5(zz, 'y', 2)\n");
        assert_eq!(trees(a), trees(b));
        assert!(!trees(a).is_empty());
        assert_ne!(trees(a), trees(&a.replace("md5", "sha256")));
    }

    #[test]
    fn broken_and_deep_texts_end() {
        assert!(leaves(Dialect::Python, &"(".repeat(100_000), 1).is_none_or(|l| l.leaves.len() <= 100_000));
        for dialect in Dialect::ALL {
            for source in ["", "\0", "def f(:", "{{{", "\u{feff}é = '", "/* ", "<<<EOF\n"] {
                let _ = leaves(dialect, source, 1);
            }
        }
    }
}
