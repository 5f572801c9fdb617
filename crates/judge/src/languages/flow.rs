//! What an expression may hold: its constant text, who chose the rest, and what it went through.
//!
//! Inside one file; inside one function but for constants of the file and what an inner function sees of its outer ones.
//! An assignment counts from its end on, the last one that surely happened hides those before it. Calls are taken to return
//! what they were given. So the answer may say too much, and rules ask for more than one sign.

use super::{
    bindings::{self, Adds, Bindings, Tree, is_number},
    library,
    roles::Role,
};
use regex::Regex;
use std::{cell::OnceCell, ops::Range};
use tree_sitter::Node;

/// Who chose a value, the least foreign first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Default)]
pub(super) enum Level {
    /// It stands in the code, or is a number.
    #[default]
    Constant,
    /// Nobody knows.
    Unknown,
    /// A caller.
    Parameter,
    /// Whoever sent the request or typed the input.
    Request,
}

/// Stands in a text for what is not known.
pub(super) const OPEN: char = '\u{1}';

/// Longest text that is kept.
const TEXT: usize = 4_096;

/// Most nodes that one question may visit, and how deep.
const STEPS: u32 = 3_000;
const DEPTH: u32 = 48;

/// What an expression may hold.
#[derive(Clone, Debug, Default)]
pub(super) struct Value<'t> {
    /// Constant pieces in order, [`OPEN`] between them.
    pub(super) text: String,
    pub(super) level: Level,
    /// Whether constant text and open values were put together.
    pub(super) built: bool,
    /// Names it came through.
    pub(super) names: Vec<&'t str>,
    /// Functions it came through.
    pub(super) calls: Vec<&'t str>,
    /// Where what is foreign enters.
    pub(super) origin: Option<Range<usize>>,
}

impl<'t> Value<'t> {
    fn constant(text: &str) -> Self {
        let mut value = Self::default();
        value.push(text);
        value
    }

    fn open(level: Level) -> Self {
        Self { text: OPEN.to_string(), level, ..Self::default() }
    }

    fn push(&mut self, text: &str) {
        let room = TEXT.saturating_sub(self.text.len());
        let cut = (0..=room.min(text.len())).rev().find(|&i| text.is_char_boundary(i)).unwrap_or(0);
        self.text.push_str(&text[..cut]);
    }

    fn has_text(&self) -> bool {
        self.text.chars().any(|c| c != OPEN && !c.is_whitespace())
    }

    /// This and another, one after the other in a text.
    fn then(mut self, other: Self) -> Self {
        let mixed =
            (self.has_text() && other.level > Level::Constant) || (other.has_text() && self.level > Level::Constant);
        self.built |= other.built || mixed;
        self.push(&other.text);
        self.take(other);
        self
    }

    /// This or another.
    fn or(mut self, other: Self) -> Self {
        self.built |= other.built;
        if !other.text.is_empty() && !self.text.contains(other.text.as_str()) {
            if self.text.is_empty() {
                self.push(&other.text);
            } else {
                self.push("\n");
                self.push(&other.text);
            }
        }
        self.take(other);
        self
    }

    fn take(&mut self, other: Self) {
        if other.level > self.level {
            (self.level, self.origin) = (other.level, other.origin);
        }
        self.names.extend(other.names);
        self.calls.extend(other.calls);
    }

    /// The same, harmless.
    fn cleaned(self) -> Self {
        Self { level: Level::Constant, built: false, text: String::new(), origin: None, ..self }
    }
}

/// The last name of what is called.
pub(super) fn callee<'t>(tree: Tree<'t>, node: Node<'t>) -> Option<&'t str> {
    let fields = ["method", "name", "function", "constructor", "type"];
    let function = fields.iter().find_map(|f| node.child_by_field_name(f))?;
    let text = tree.text(function);
    let text = if function.kind() == "generic_type" { text.split('<').next()? } else { text };
    let text = if text.len() > 400 { &text[text.char_indices().rev().nth(60).map_or(0, |(i, _)| i)..] } else { text };
    let last = text.rsplit(['.', ':', '>', ' ']).next()?;
    Some(last.split('<').next().unwrap_or(last))
}

/// What a method is called on.
pub(super) fn receiver(node: Node<'_>) -> Option<Node<'_>> {
    let direct = ["receiver", "object"].iter().find_map(|f| node.child_by_field_name(f));
    direct.or_else(|| {
        let function = node.child_by_field_name("function")?;
        ["object", "operand", "argument", "value"].iter().find_map(|f| function.child_by_field_name(f))
    })
}

/// Operators whose answer carries no text.
fn is_number_operator(operator: &str) -> bool {
    matches!(
        operator,
        "-" | "*"
            | "/"
            | "**"
            | "=="
            | "!="
            | "==="
            | "!=="
            | "<"
            | ">"
            | "<="
            | ">="
            | "&"
            | "|"
            | "^"
            | ">>"
            | "=~"
            | "!~"
            | "instanceof"
            | "in"
            | "<=>"
            | "is"
            | "not in"
            | ">>>"
            | "//"
            | "=== "
    )
}

/// Conditions around a place that are looked at: no function has so many, and a crafted one asks again for each of its lines.
const NEAR: usize = 256;

/// A file whose expressions are asked about.
pub(super) struct Flow<'t> {
    pub(super) tree: Tree<'t>,
    /// What request data looks like there.
    sources: &'static Regex,
    /// Whether a name that nobody has bound is a call: Ruby needs no brackets.
    bare_calls: bool,
    bindings: OnceCell<Bindings<'t>>,
}

/// One question.
struct Question<'f, 't> {
    flow: &'f Flow<'t>,
    clean: Option<&'f Regex>,
    steps: u32,
}

impl<'t> Flow<'t> {
    pub(super) fn new(tree: Tree<'t>, sources: &'static Regex, bare_calls: bool) -> Self {
        Self { tree, sources, bare_calls, bindings: OnceCell::new() }
    }

    pub(super) fn bindings(&self) -> &Bindings<'t> {
        self.bindings.get_or_init(|| bindings::read(self.tree))
    }

    /// What a node holds, where calls of names that `clean` matches make harmless.
    pub(super) fn value(&self, node: Node<'t>, clean: Option<&Regex>) -> Value<'t> {
        Question { flow: self, clean, steps: 0 }.of(node, 0)
    }

    /// Whether a condition before a node speaks of one of the names and matches, or a constant that it names does.
    pub(super) fn guarded(&self, node: Node<'t>, names: &[&str], guard: &Regex) -> bool {
        let function = self.tree.function_of(node).byte_range();
        // All conditions are one question: its limit holds for them together.
        let mut question = Question { flow: self, clean: None, steps: 0 };
        let before = self.conditions(function.start, node.start_byte() + 1).iter().rev();
        before.take(NEAR).any(|condition| {
            let text = self.tree.text(*condition);
            names.iter().any(|name| speaks_of(text, name))
                && (guard.is_match(text) || question.names_constant(*condition, guard))
        })
    }

    /// Whether no condition behind a node, in its function, speaks of its text.
    pub(super) fn unchecked(&self, node: Node<'t>) -> bool {
        let function = self.tree.function_of(node).byte_range();
        let name = self.tree.text(node);
        // One that the node stands in begins before it.
        let behind = self.conditions(function.start, function.end).iter().filter(|c| c.end_byte() > node.start_byte());
        !behind.take(NEAR).any(|condition| speaks_of(self.tree.text(*condition), name))
    }

    /// The conditions that begin in a range, by position.
    fn conditions(&self, from: usize, to: usize) -> &[Node<'t>] {
        let all = &self.bindings().conditions;
        let at = |offset: usize| all.partition_point(|c| c.start_byte() < offset);
        &all[at(from)..at(to).max(at(from))]
    }

    /// Whether a node is a parameter's name.
    pub(super) fn is_parameter(&self, node: Node<'t>) -> bool {
        let all = self.bindings().parameters.get(self.tree.text(node));
        all.is_some_and(|all| all.iter().any(|p| p.scope.contains(&node.start_byte())))
    }

    /// Number of elements an array was declared with.
    pub(super) fn size(&self, node: Node<'t>) -> Option<u64> {
        let sizes = self.bindings().sizes.get(self.tree.text(node))?;
        let holds = |scope: &Range<usize>| scope.contains(&node.start_byte());
        sizes.iter().filter(|(scope, _)| holds(scope)).min_by_key(|(scope, _)| scope.len()).map(|(_, size)| *size)
    }
}

/// Whether a text has a name as a word.
fn speaks_of(text: &str, name: &str) -> bool {
    let word = |c: char| c.is_alphanumeric() || c == '_';
    text.match_indices(name).any(|(at, _)| {
        !text[..at].chars().next_back().is_some_and(word) && !text[at + name.len()..].chars().next().is_some_and(word)
    })
}

impl<'t> Question<'_, 't> {
    fn tree(&self) -> Tree<'t> {
        self.flow.tree
    }

    fn of(&mut self, node: Node<'t>, depth: u32) -> Value<'t> {
        self.steps += 1;
        if depth > DEPTH || self.steps > STEPS {
            return Value::open(Level::Unknown);
        }
        let deeper = depth + 1;
        match self.tree().role(node) {
            Role::Constant | Role::Function | Role::Block | Role::Comment | Role::Throw => Value::default(),
            Role::Text => self.string(node, deeper),
            Role::Heredoc => {
                let bodies = &self.flow.bindings().heredocs;
                let body = bodies.iter().copied().find(|b| b.start_byte() >= node.end_byte());
                body.map_or_else(Value::default, |body| self.string(body, deeper))
            }
            Role::Binary => self.binary(node, deeper),
            Role::Call => self.call(node, deeper),
            Role::Name => self.name(node, deeper),
            Role::Member => self.member(node, deeper),
            Role::Cast => {
                let kind = node.child_by_field_name("type").map_or("", |t| self.tree().text(t));
                let inner = node.child_by_field_name("value").or_else(|| node.child_by_field_name("operand"));
                let value = inner.map(|inner| self.of(inner, deeper)).unwrap_or_default();
                if is_number(kind) { value.cleaned() } else { value }
            }
            Role::Choice => {
                let sides = ["consequence", "alternative"].map(|f| node.child_by_field_name(f));
                let sides: Vec<Value> = sides.into_iter().flatten().map(|side| self.of(side, deeper)).collect();
                sides.into_iter().reduce(Value::or).unwrap_or_default()
            }
            _ => self.children(node, deeper),
        }
    }

    /// Whether a name in a condition stands for a constant that matches: `BLOCKED.has(key)`.
    fn names_constant(&mut self, condition: Node<'t>, wanted: &Regex) -> bool {
        let mut open = vec![condition];
        while let Some(node) = open.pop() {
            self.steps += 1;
            if self.steps > STEPS {
                break;
            }
            if self.tree().role(node) != Role::Name {
                let mut cursor = node.walk();
                open.extend(node.named_children(&mut cursor));
            } else if self.flow.bindings().names.contains_key(self.tree().text(node)) {
                let value = self.of(node, 0);
                if value.level == Level::Constant && value.has_text() && wanted.is_match(&value.text) {
                    return true;
                }
            }
        }
        false
    }

    /// Any of what is inside; what is asked for to choose among it is no part of it.
    fn children(&mut self, node: Node<'t>, depth: u32) -> Value<'t> {
        let mut cursor = node.walk();
        let asked = ["condition", "value"].map(|f| node.child_by_field_name(f));
        let asked = if self.tree().role(node) == Role::Condition { asked } else { [None; 2] };
        let children = node.named_children(&mut cursor).filter(|child| !asked.contains(&Some(*child)));
        let children: Vec<Node<'t>> = children.take(64).collect();
        if children.is_empty() {
            // Words of the language and names of fields.
            return Value::default();
        }
        let values: Vec<Value> = children.into_iter().map(|child| self.of(child, depth)).collect();
        values.into_iter().reduce(Value::or).unwrap_or_default()
    }

    /// The text of a string; what is put into it is open.
    fn string(&mut self, node: Node<'t>, depth: u32) -> Value<'t> {
        let source = self.tree().source;
        let mut value = Value::default();
        let mut from = node.start_byte();
        let mut cursor = node.walk();
        for child in node.named_children(&mut cursor).collect::<Vec<_>>() {
            match self.tree().role(child) {
                Role::Inserted => {
                    value.push(source.get(from..child.start_byte()).unwrap_or_default());
                    let inside = self.children(child, depth);
                    value = value.then(inside);
                    from = child.end_byte();
                }
                // Strings beside one another.
                Role::Text => {
                    let piece = self.string(child, depth);
                    value = value.then(piece);
                    from = child.end_byte();
                }
                _ => {}
            }
        }
        value.push(source.get(from..node.end_byte()).unwrap_or_default());
        let plain = value.text.trim_matches(['"', '\'', '`']);
        value.text = plain.to_owned();
        // What was put between the quotes alone is not built of anything.
        value.built = value.has_text() && value.level > Level::Constant;
        value
    }

    fn binary(&mut self, node: Node<'t>, depth: u32) -> Value<'t> {
        // A long sum leans to the left, deeper than recursion may go: its operands are collected first.
        let (mut operands, mut at) = (Vec::new(), node);
        let operator = loop {
            let operator = self.operator(at);
            let sides = (at.child_by_field_name("left"), at.child_by_field_name("right"));
            let (Some(left), Some(right)) = sides else { return self.children(node, depth) };
            operands.push(right);
            if self.tree().role(left) != Role::Binary || self.operator(left) != operator || operands.len() > 400 {
                operands.push(left);
                break operator;
            }
            at = left;
        };
        operands.reverse();
        let values: Vec<Value> = operands.into_iter().map(|operand| self.of(operand, depth)).collect();
        if is_number_operator(operator) {
            return values.into_iter().reduce(Value::or).unwrap_or_default().cleaned();
        }
        match operator {
            "+" | "." | "<<" => values.into_iter().reduce(Value::then).unwrap_or_default(),
            // Formatting where a text stands before it, else a remainder.
            "%" if values.first().is_some_and(Value::has_text) => {
                values.into_iter().reduce(Value::then).unwrap_or_default()
            }
            "%" => Value::default(),
            _ => values.into_iter().reduce(Value::or).unwrap_or_default(),
        }
    }

    fn operator(&self, node: Node<'t>) -> &'t str {
        let operator = node.child_by_field_name("operator").or_else(|| node.child(1));
        operator.map_or("", |o| self.tree().text(o))
    }

    fn call(&mut self, node: Node<'t>, depth: u32) -> Value<'t> {
        let tree = self.tree();
        let name = callee(tree, node).unwrap_or_default();
        let clean = self.is_clean(name);
        if let Some(source) = self.source(node).filter(|_| !clean) {
            return source;
        }
        let list = node.child_by_field_name("arguments");
        let on = receiver(node);
        if list.is_none() && on.is_some() && node.child_by_field_name("block").is_none() {
            // Ruby reads a field by a call; one that was assigned is a name.
            let key = tree.text(node);
            if self.flow.bindings().names.contains_key(key) {
                return self.name(node, depth);
            }
        }
        let arguments: Vec<Node<'t>> = list.map_or_else(Vec::new, |list| {
            let mut cursor = list.walk();
            list.named_children(&mut cursor).take(32).collect()
        });
        let mut value = self.answer(name, node, on, &arguments, depth);
        value.calls.push(name);
        if clean { value.cleaned() } else { value }
    }

    /// What a call returns: what is known of it by its name, else what it was given and something that nobody knows.
    fn answer(
        &mut self,
        name: &'t str,
        node: Node<'t>,
        on: Option<Node<'t>>,
        arguments: &[Node<'t>],
        depth: u32,
    ) -> Value<'t> {
        let constant = |value: &Value| value.level == Level::Constant;
        // What is said a number of times is what is said once.
        let repeated = match (name, arguments) {
            ("repeat", [_]) => on,
            ("Repeat" | "repeat", [text, _]) | ("nCopies", [_, text]) | ("fill", [text]) => Some(*text),
            _ => None,
        };
        if let Some(repeated) = repeated {
            return self.of(repeated, depth);
        }
        let block = node.child_by_field_name("block");
        if library::is_mapping(name) {
            let function = arguments.iter().copied().find(|a| self.tree().role(*a) == Role::Function);
            // What is the same for every element tells nothing of them, nor does what is made harmless.
            let made = block.or(function).and_then(|function| self.result(function, depth));
            if let Some(made) = made.filter(constant) {
                return made;
            }
            let named = arguments.iter().filter(|a| self.tree().role(**a) != Role::Function);
            if named.into_iter().any(|named| self.is_clean(last_word(self.tree().text(*named)))) {
                return Value::default();
            }
        }
        let made_of_input = library::is_made_of_input(name) && block.is_none();
        let formatted = library::is_format(name);
        // A class or a package is no input.
        let class = on.is_some_and(|on| (made_of_input || formatted) && self.is_namespace(on, name));
        let on = on.filter(|_| !class);
        let mut inputs: Vec<Value> = on.iter().chain(arguments).map(|input| self.of(*input, depth)).collect();
        if library::is_lookup(name) && on.is_some() && inputs.len() > 1 && constant(&inputs[0]) && inputs[0].has_text()
        {
            // Of a constant table, whatever the key.
            inputs.remove(1);
            return inputs.into_iter().reduce(Value::or).unwrap_or_default();
        }
        if formatted {
            let template = inputs.iter().map(|v| v.text.as_str()).find(|t| t.contains('%') || t.contains('{'));
            // Numbers alone fit into these places.
            let numbers = template.is_some_and(|t| {
                !t.contains('{')
                    && !["%s", "%v", "%q", "%+v", "%x", "%-", "%1", "%*"].iter().any(|verb| t.contains(verb))
            });
            let whole = inputs.into_iter().reduce(Value::then).unwrap_or_default();
            return if numbers && name != "Sprint" && name != "concat" { whole.cleaned() } else { whole };
        }
        let nothing = inputs.is_empty();
        // A builder of texts: `builder.append(a).append(b)`.
        let builder = |value: &Value| value.calls.iter().any(|call| library::is_builder(call));
        let behind = name == "append" && inputs.first().is_some_and(builder);
        let mut whole = inputs.into_iter().reduce(if behind { Value::then } else { Value::or }).unwrap_or_default();
        if name == "join" {
            whole.built |= whole.has_text() && whole.level > Level::Constant;
        }
        // Go's `make([]string, n)` is empty, too.
        let made = name == "make" && arguments.first().is_some_and(|kind| kind.kind().ends_with("_type"));
        let settled = if nothing { library::is_container(name) } else { made_of_input || made };
        if constant(&whole) && !settled {
            if arguments.is_empty() {
                // Nobody knows what it returns.
                whole = whole.or(Value::open(Level::Unknown));
            } else {
                whole.level = Level::Unknown;
                whole.push(OPEN.encode_utf8(&mut [0; 4]));
            }
        }
        whole
    }

    /// Whether what a function of this name returns is harmless.
    fn is_clean(&self, name: &str) -> bool {
        library::is_number(name) || self.clean.is_some_and(|clean| clean.is_match(name))
    }

    /// Whether a node names a class or a package, which are not handed to what is called on them.
    fn is_namespace(&self, node: Node<'t>, called: &str) -> bool {
        let name = self.tree().text(node);
        let bindings = self.flow.bindings();
        let great = |text: &str| text.starts_with(|c: char| c.is_ascii_uppercase());
        // Go's functions that others may call have a great letter, its packages have none.
        self.tree().role(node) == Role::Name
            && (great(name) && !is_constant(name) || great(called))
            && !bindings.names.contains_key(name)
            && !bindings.parameters.contains_key(name)
    }

    /// What a function gives back, where that can be seen.
    fn result(&mut self, function: Node<'t>, depth: u32) -> Option<Value<'t>> {
        let body = function.child_by_field_name("body")?;
        match body.kind() {
            // Ruby's blocks give back what they end with.
            "block_body" | "body_statement" => {
                let last = u32::try_from(body.named_child_count().checked_sub(1)?).ok()?;
                body.named_child(last).map(|last| self.of(last, depth))
            }
            "statement_block" | "block" => {
                let (mut open, mut steps) = (vec![body], 0);
                let mut values: Vec<Value> = Vec::new();
                while let Some(node) = open.pop() {
                    steps += 1;
                    if steps > 200 {
                        return None;
                    }
                    if node.kind() == "return_statement" {
                        values.extend(node.named_child(0).map(|value| self.of(value, depth)));
                    } else if self.tree().role(node) != Role::Function {
                        let mut cursor = node.walk();
                        open.extend(node.named_children(&mut cursor));
                    }
                }
                values.into_iter().reduce(Value::or)
            }
            _ => Some(self.of(body, depth)),
        }
    }

    /// Whether a node is where request data comes in.
    fn source(&self, node: Node<'t>) -> Option<Value<'t>> {
        let text = self.tree().text(node);
        let head = &text[..(0..=text.len().min(120)).rev().find(|&i| text.is_char_boundary(i)).unwrap_or(0)];
        self.flow.sources.is_match(head).then(|| Value {
            origin: Some(node.byte_range()),
            names: vec![text],
            ..Value::open(Level::Request)
        })
    }

    fn member(&mut self, node: Node<'t>, depth: u32) -> Value<'t> {
        if let Some(source) = self.source(node) {
            return source;
        }
        let text = self.tree().text(node);
        if text.ends_with(".length") || text.ends_with(".size") {
            return Value::default();
        }
        if self.flow.bindings().names.contains_key(text) {
            return self.name(node, depth);
        }
        let object =
            ["object", "operand", "argument", "value", "scope"].iter().find_map(|f| node.child_by_field_name(f));
        let object = object.or_else(|| node.named_child(0));
        let mut value = object.map_or_else(Value::default, |object| self.of(object, depth));
        // A constant's field is a constant; anybody else's is what its owner is, or unknown.
        let last = text.rsplit(['.', ':']).next().unwrap_or_default();
        if is_constant(last) {
            return Value::default();
        }
        // An element of a constant table is one of its constants.
        if is_element(node) && value.level == Level::Constant && value.has_text() {
            value.names.push(text);
            return value;
        }
        if value.level == Level::Constant {
            value = Value::open(Level::Unknown);
        }
        value.text = OPEN.to_string();
        value.built = false;
        value.names.push(text);
        value
    }

    fn name(&mut self, node: Node<'t>, depth: u32) -> Value<'t> {
        let name = self.tree().text(node);
        let here = node.start_byte();
        let bindings = self.flow.bindings();
        let all = bindings.names.get(name).map_or(&[][..], Vec::as_slice);
        let mut before: Vec<_> =
            all.iter().filter(|b| b.end <= here && (b.scope.contains(&here) || b.scope.is_empty())).collect();
        // What was put into something counts where that thing is known.
        if before.iter().all(|b| b.adds == Adds::Element) {
            before.clear();
        }
        // A file's only value of a name holds for functions above it, too.
        if let ([only], true) = (all, before.is_empty()) {
            let file = self.tree().root.byte_range();
            before
                .extend(Some(only).filter(|b| b.scope == file && b.adds == Adds::Nothing && !b.block.contains(&here)));
        }
        // The last that surely happened hides those before it.
        let sure = before.iter().rposition(|b| b.adds == Adds::Nothing && b.block.contains(&here)).unwrap_or(0);
        let known = &before[sure.min(before.len())..];
        let settled = known.first().is_some_and(|b| b.adds == Adds::Nothing && b.block.contains(&here));
        let mut value: Option<Value> = None;
        if !settled {
            value = self.parameter(name, here);
        }
        for binding in known {
            let next = self.of(binding.value, depth);
            value = Some(match value {
                Some(value) if binding.adds == Adds::Text => value.then(next),
                Some(value) => value.or(next),
                None => next,
            });
        }
        let unbound = value.is_none();
        let mut value = value.unwrap_or_else(|| {
            if is_constant(name) || matches!(name, "this" | "self" | "__dirname" | "__FILE__" | "undefined") {
                Value::default()
            } else {
                self.source(node).unwrap_or_else(|| Value::open(Level::Unknown))
            }
        });
        value.names.push(name);
        if self.flow.bare_calls && unbound && self.is_clean(name) {
            value.calls.push(name);
            return value.cleaned();
        }
        value
    }

    fn parameter(&self, name: &'t str, here: usize) -> Option<Value<'t>> {
        let all = self.flow.bindings().parameters.get(name)?;
        let inner = all.iter().filter(|p| p.scope.contains(&here)).min_by_key(|p| p.scope.len())?;
        if inner.number {
            return Some(Value::constant(""));
        }
        Some(Value { origin: Some(inner.at.clone()), ..Value::open(Level::Parameter) })
    }
}

/// `escape` of `html.escape`, `Html::escape` and `&:escape`.
fn last_word(text: &str) -> &str {
    text.rsplit(['.', ':', '&']).next().unwrap_or(text)
}

/// Whether a node is an element of what stands in it first: `table[key]`.
pub(super) fn is_element(node: Node<'_>) -> bool {
    matches!(
        node.kind(),
        "subscript_expression" | "element_reference" | "index_expression" | "array_access" | "subscript"
    )
}

/// `LIKE_THIS`: a constant by custom.
fn is_constant(name: &str) -> bool {
    name.len() > 1
        && name.chars().all(|c| c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_')
        && name.contains(|c: char| c.is_ascii_uppercase())
}
