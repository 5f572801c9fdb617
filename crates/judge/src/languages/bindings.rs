//! What the names of a file are bound to: a tree comes in; assignments, parameters, declared sizes and conditions go out.

use super::{library, roles::Role};
use rustc_hash::{FxHashMap, FxHashSet};
use std::ops::Range;
use tree_sitter::Node;

/// A tree with the text it was parsed from and the roles of its kinds.
#[derive(Clone, Copy)]
pub(super) struct Tree<'t> {
    pub(super) source: &'t str,
    pub(super) roles: &'static [Role],
    pub(super) root: Node<'t>,
}

impl<'t> Tree<'t> {
    pub(super) fn role(&self, node: Node) -> Role {
        self.roles.get(usize::from(node.kind_id())).copied().unwrap_or_default()
    }

    pub(super) fn text(&self, node: Node) -> &'t str {
        self.source.get(node.byte_range()).unwrap_or_default()
    }

    /// The innermost function around a node, else the file. Ancestors are looked for from above: a node does not know its
    /// parent.
    pub(super) fn function_of(&self, node: Node<'t>) -> Node<'t> {
        let mut inner = self.root;
        let mut at = self.root;
        while let Some(child) = at.child_with_descendant(node) {
            if child.id() == node.id() {
                break;
            }
            if self.role(child) == Role::Function {
                inner = child;
            }
            at = child;
        }
        inner
    }
}

/// One assignment to a name.
pub(super) struct Binding<'t> {
    /// The function it is in, or the file.
    pub(super) scope: Range<usize>,
    /// The statements it is among: it happens whenever they do.
    pub(super) block: Range<usize>,
    /// Where it ends: it holds behind.
    pub(super) end: usize,
    pub(super) value: Node<'t>,
    pub(super) adds: Adds,
}

/// What becomes of the value that was there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Adds {
    /// It is gone.
    Nothing,
    /// It goes on with the new one.
    Text,
    /// The new one is one of its elements.
    Element,
}

/// A parameter.
pub(super) struct Parameter {
    pub(super) scope: Range<usize>,
    pub(super) at: Range<usize>,
    /// Whether its type is a number's: no syntax fits into one.
    pub(super) number: bool,
}

/// All of it.
#[derive(Default)]
pub(super) struct Bindings<'t> {
    pub(super) names: FxHashMap<&'t str, Vec<Binding<'t>>>,
    pub(super) parameters: FxHashMap<&'t str, Vec<Parameter>>,
    /// Arrays declared with a number: where they hold, and how many elements they have.
    pub(super) sizes: FxHashMap<&'t str, Vec<(Range<usize>, u64)>>,
    /// Conditions, and what an `if` of Go does right before its own.
    pub(super) conditions: Vec<Node<'t>>,
    /// Texts of heredocs, in order.
    pub(super) heredocs: Vec<Node<'t>>,
}

/// Longest text that counts as a name: `request.session.user`.
const NAME: usize = 80;

/// Methods that change what they are called on.
const ADDS: &[&str] = &["append", "push", "concat", "add", "insert", "WriteString", "unshift", "strcat", "prepend"];

/// Types whose values carry no syntax.
pub(super) fn is_number(kind: &str) -> bool {
    let plain = kind.trim_start_matches(": ").trim_start_matches(':').trim();
    let word = plain.split([' ', '<', '[']).next_back().unwrap_or(plain);
    const NUMBERS: &[&str] = &[
        "number",
        "boolean",
        "bool",
        "byte",
        "short",
        "int",
        "long",
        "float",
        "double",
        "char",
        "Integer",
        "Long",
        "Boolean",
        "Double",
        "Float",
        "Short",
        "BigInteger",
        "BigDecimal",
        "UUID",
        "size_t",
        "ssize_t",
        "unsigned",
        "uint",
        "int8",
        "int16",
        "int32",
        "int64",
        "uint8",
        "uint16",
        "uint32",
        "uint64",
        "float32",
        "float64",
        "bigint",
        "Date",
        "LocalDate",
        "Instant",
    ];
    !plain.contains(['*', '[', '&']) && (NUMBERS.contains(&word) || word.ends_with("int_t") || NUMBERS.contains(&plain))
}

struct Reader<'t> {
    tree: Tree<'t>,
    found: Bindings<'t>,
    /// Functions around, innermost last.
    functions: Vec<Range<usize>>,
    /// Parameters that are numbers because of whom the function is given to.
    numbers: FxHashSet<usize>,
}

/// Reads the bindings of a file.
pub(super) fn read(tree: Tree<'_>) -> Bindings<'_> {
    let mut reader = Reader {
        tree,
        found: Bindings::default(),
        functions: vec![tree.root.byte_range()],
        numbers: FxHashSet::default(),
    };
    let mut cursor = tree.root.walk();
    // Node, the range of its parent, and whether a function was entered: leaving must undo it.
    let mut parents: Vec<(Range<usize>, bool)> = Vec::new();
    loop {
        let node = cursor.node();
        let parent = parents.last().map_or_else(|| tree.root.byte_range(), |(range, _)| range.clone());
        let entered = reader.enter(node, &parent);
        if cursor.goto_first_child() {
            parents.push((node.byte_range(), entered));
            continue;
        }
        if entered {
            reader.functions.pop();
        }
        while !cursor.goto_next_sibling() {
            if !cursor.goto_parent() {
                // The condition of `do {..} while (..)` stands behind those of its body.
                reader.found.conditions.sort_by_key(Node::start_byte);
                return reader.found;
            }
            if parents.pop().is_some_and(|(_, entered)| entered) {
                reader.functions.pop();
            }
        }
    }
}

impl<'t> Reader<'t> {
    fn scope(&self) -> Range<usize> {
        self.functions.last().cloned().unwrap_or_default()
    }

    /// Notes what a node says; true where it is a function or a block.
    fn enter(&mut self, node: Node<'t>, parent: &Range<usize>) -> bool {
        match self.tree.role(node) {
            Role::Function => {
                self.functions.push(node.byte_range());
                // An arrow function's only parameter stands without brackets.
                if let Some(only) = node.child_by_field_name("parameter") {
                    self.parameter(only);
                }
                return true;
            }
            Role::Parameters => {
                let mut cursor = node.walk();
                let children: Vec<Node<'t>> = node.named_children(&mut cursor).collect();
                // A block's parameters hold inside it alone; a function's have been entered.
                let scope = if node.kind() == "block_parameters" { parent.clone() } else { self.scope() };
                self.functions.push(scope);
                children.into_iter().for_each(|child| self.parameter(child));
                self.functions.pop();
            }
            Role::Assign => self.assign(node, parent),
            Role::Call => self.call(node, parent),
            Role::Binary if node.kind() == "binary" && self.operator(node) == "<<" => {
                let sides = (node.child_by_field_name("left"), node.child_by_field_name("right"));
                if let (Some(left), Some(right)) = sides {
                    self.bind(left, right, Adds::Text, node, parent);
                }
            }
            Role::Condition => {
                let condition = node.child_by_field_name("condition").or_else(|| node.child_by_field_name("value"));
                self.found.conditions.extend(condition);
                if node.kind() == "if_statement" {
                    self.found.conditions.extend(node.child_by_field_name("initializer"));
                }
            }
            Role::Choice => self.found.conditions.extend(node.child_by_field_name("condition")),
            Role::Array => {
                let size = node.child_by_field_name("size").map(|s| self.tree.text(s));
                let name = node.child_by_field_name("declarator").map(|d| self.tree.text(d));
                if let (Some(name), Some(Ok(size))) = (name, size.map(str::parse)) {
                    let scope = self.scope();
                    self.found.sizes.entry(name).or_default().push((scope, size));
                }
            }
            Role::HeredocBody => self.found.heredocs.push(node),
            _ => {}
        }
        false
    }

    fn operator(&self, node: Node<'t>) -> &'t str {
        node.child_by_field_name("operator").map_or("", |o| self.tree.text(o))
    }

    fn assign(&mut self, node: Node<'t>, parent: &Range<usize>) {
        let field = |names: &[&str]| names.iter().find_map(|name| node.child_by_field_name(name));
        let left = field(&["left", "name", "declarator", "pattern"]);
        let Some((left, right)) = left.zip(field(&["right", "value"])) else { return };
        let operator = self.operator(node);
        let adds = node.kind().starts_with("augmented") || !matches!(operator, "" | "=" | ":=" | "in" | "of");
        let adds = if adds { Adds::Text } else { Adds::Nothing };
        // What a loop goes through holds inside it.
        let block = if node.kind().starts_with("for") || node.kind().starts_with("enhanced") {
            &node.byte_range()
        } else {
            parent
        };
        self.bind(left, right, adds, node, block);
    }

    /// `list.add(x)`, `strcat(list, x)`.
    fn call(&mut self, node: Node<'t>, parent: &Range<usize>) {
        let Some(name) = super::flow::callee(self.tree, node) else { return };
        if library::is_mapping(name) {
            self.index(node);
        }
        if library::puts(name) {
            let on = super::flow::receiver(node).filter(|on| self.tree.role(*on) == Role::Name);
            let mut cursor = node.walk();
            let arguments = node.child_by_field_name("arguments");
            let last = arguments.and_then(|a| a.named_children(&mut cursor).skip(1).last());
            if let (Some(on), Some(last)) = (on, last) {
                self.bind(on, last, Adds::Element, node, parent);
            }
            return;
        }
        if !ADDS.contains(&name) && !matches!(name, "sprintf" | "snprintf" | "strcpy" | "strncpy" | "memcpy") {
            return;
        }
        let Some(arguments) = node.child_by_field_name("arguments") else { return };
        let target = match super::flow::receiver(node) {
            Some(receiver) => Some(receiver),
            None => arguments.named_child(0),
        };
        // What is written by a format is what the whole call says.
        let value = if matches!(name, "sprintf" | "snprintf") { node } else { arguments };
        if let Some(target) = target {
            self.bind(target, value, Adds::Text, node, parent);
        }
    }

    /// The second parameter of what is done to each element is the element's number.
    fn index(&mut self, call: Node<'t>) {
        let mut cursor = call.walk();
        let arguments = call.child_by_field_name("arguments");
        let functions = arguments.into_iter().flat_map(|a| a.named_children(&mut cursor).collect::<Vec<_>>());
        let functions = functions.filter(|f| matches!(f.kind(), "arrow_function" | "function_expression"));
        let parameters = functions.filter_map(|f| f.child_by_field_name("parameters"));
        self.numbers.extend(parameters.filter_map(|p| p.named_child(1)).map(|second| second.id()));
    }

    /// Binds every name on the left to the right.
    fn bind(&mut self, left: Node<'t>, right: Node<'t>, adds: Adds, whole: Node<'t>, block: &Range<usize>) {
        let end = if whole.kind().starts_with("for") || whole.kind().starts_with("enhanced") {
            right.end_byte()
        } else {
            whole.end_byte()
        };
        for node in self.named(left) {
            let binding = |adds| Binding { scope: self.scope(), block: block.clone(), end, value: right, adds };
            let owner = node.named_child(0).filter(|_| super::flow::is_element(node));
            let (binding, element) =
                (binding(adds), owner.map(|owner| (self.tree.text(owner), binding(Adds::Element))));
            self.found.names.entry(self.tree.text(node)).or_default().push(binding);
            if let Some((owner, element)) = element.filter(|(owner, _)| owner.len() <= NAME) {
                self.found.names.entry(owner).or_default().push(element);
            }
        }
    }

    /// A name, or those inside a pattern.
    fn named(&self, node: Node<'t>) -> Vec<Node<'t>> {
        let (mut names, mut open, mut steps) = (Vec::new(), vec![node], 0);
        while let Some(node) = open.pop() {
            steps += 1;
            if steps > 200 {
                break;
            }
            match self.tree.role(node) {
                Role::Name | Role::Member => names.push(node),
                Role::Parameters | Role::Function => {}
                _ => {
                    let mut cursor = node.walk();
                    let aside = ["type", "value", "default_value", "size", "key"].map(|f| node.child_by_field_name(f));
                    open.extend(node.named_children(&mut cursor).filter(|c| !aside.contains(&Some(*c))));
                }
            }
        }
        names.retain(|n| self.tree.text(*n).len() <= NAME);
        names
    }

    fn parameter(&mut self, node: Node<'t>) {
        let kind = node.child_by_field_name("type").map_or("", |t| self.tree.text(t));
        let pointer = node.child_by_field_name("declarator").is_some_and(|d| self.tree.role(d) != Role::Name);
        let number = is_number(kind) && !pointer || self.numbers.contains(&node.id());
        for name in self.named(node) {
            let parameter = Parameter { scope: self.scope(), at: node.byte_range(), number };
            self.found.parameters.entry(self.tree.text(name)).or_default().push(parameter);
        }
    }
}
