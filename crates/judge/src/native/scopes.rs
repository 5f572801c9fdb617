//! What each name holds at one moment, scope by scope.
//!
//! A name is spelled out once a file: its first binding gives it a number ([`Slot`]), and everything after that is an index.
//! Bindings of one name lie on top of each other, the innermost scope's first, so that looking a name up asks one table
//! however many scopes are open.

use super::value::Value;
use ruff_python_ast::StmtFunctionDef;
use rustc_hash::{FxBuildHasher, FxHashMap};

/// Number of a name that was bound.
pub(crate) type Slot = u32;

/// Names of a usual file.
const NAMES: usize = 48;

/// Stands for no binding.
const NONE: u32 = u32::MAX;

/// What opens a scope.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Module,
    Class,
    Function,
    Comprehension,
}

struct Scope<'a> {
    kind: Kind,
    /// Names that were bound here, some twice.
    bound: Vec<Slot>,
    /// Former values, so that a branch can be undone.
    log: Vec<(Slot, Option<Value<'a>>)>,
    deferred: Vec<&'a StmtFunctionDef>,
}

/// A name's value in one scope.
struct Binding<'a> {
    value: Value<'a>,
    /// Index of the scope.
    scope: u32,
    /// The binding of the same name in the next scope outwards.
    below: u32,
}

/// A name, and its innermost binding.
struct Name<'a> {
    text: &'a str,
    top: u32,
    /// The last branch whose outcome has this name.
    seen: u32,
}

/// What a branch bound, a name once.
pub(super) type Outcome<'a> = Vec<(Slot, Value<'a>)>;

/// All open scopes.
#[derive(Default)]
pub(crate) struct Scopes<'a> {
    slots: FxHashMap<&'a str, Slot>,
    names: Vec<Name<'a>>,
    bindings: Vec<Binding<'a>>,
    /// Bindings that are no longer used.
    free: Vec<u32>,
    open: Vec<Scope<'a>>,
    /// Closed scopes, kept for their memory.
    spare: Vec<Scope<'a>>,
    /// How many branches have been undone.
    branches: u32,
    /// Whether an attribute, `self.x`, was ever bound: in most files it was not, and asking is common.
    attributes: bool,
}

impl<'a> Scopes<'a> {
    /// No scope yet, and room for the names of a usual file: tables that grow are filled again and again.
    pub(super) fn with_room() -> Self {
        Self {
            slots: FxHashMap::with_capacity_and_hasher(NAMES, FxBuildHasher),
            names: Vec::with_capacity(NAMES),
            bindings: Vec::with_capacity(NAMES),
            ..Self::default()
        }
    }

    pub(super) fn push(&mut self, kind: Kind) {
        let mut scope = self.spare.pop().unwrap_or_else(|| Scope {
            kind,
            bound: Vec::new(),
            log: Vec::new(),
            deferred: Vec::new(),
        });
        scope.kind = kind;
        self.open.push(scope);
    }

    /// Closes the innermost scope: its bindings end.
    pub(super) fn pop(&mut self) {
        let Some(mut scope) = self.open.pop() else { return };
        let depth = self.open.len();
        for slot in scope.bound.drain(..) {
            let top = self.names[slot as usize].top;
            if top != NONE && self.bindings[top as usize].scope as usize == depth {
                self.names[slot as usize].top = self.bindings[top as usize].below;
                self.free.push(top);
            }
        }
        scope.log.clear();
        scope.deferred.clear();
        self.spare.push(scope);
    }

    /// Whether the innermost scope is a class.
    pub(super) fn in_class(&self) -> bool {
        self.open.last().is_some_and(|s| s.kind == Kind::Class)
    }

    /// Puts a function off until the innermost scope is complete.
    pub(super) fn defer(&mut self, def: &'a StmtFunctionDef) {
        if let Some(scope) = self.open.last_mut() {
            scope.deferred.push(def);
        }
    }

    /// Functions that were put off.
    pub(super) fn deferred(&mut self) -> Vec<&'a StmtFunctionDef> {
        self.open.last_mut().map(|s| std::mem::take(&mut s.deferred)).unwrap_or_default()
    }

    /// Number of a name, a new one where it has none.
    pub(super) fn slot(&mut self, name: &'a str) -> Slot {
        *self.slots.entry(name).or_insert_with(|| {
            self.names.push(Name { text: name, top: NONE, seen: 0 });
            // A file of 4 GiB is refused, so there are fewer names than numbers.
            u32::try_from(self.names.len() - 1).unwrap_or(NONE)
        })
    }

    /// Number of a name that was bound.
    pub(crate) fn known(&self, name: &str) -> Option<Slot> {
        self.slots.get(name).copied()
    }

    /// The name of a number.
    pub(crate) fn text(&self, slot: Slot) -> &'a str {
        self.names.get(slot as usize).map_or("", |n| n.text)
    }

    /// What a name holds.
    pub(crate) fn get(&self, name: &str) -> Option<&Value<'a>> {
        self.at(self.known(name)?)
    }

    /// What an attribute of a name, `self.x`, holds.
    pub(super) fn attribute(&self, text: &str) -> Option<&Value<'a>> {
        if self.attributes { self.get(text) } else { None }
    }

    /// What the name of a number holds.
    pub(crate) fn at(&self, slot: Slot) -> Option<&Value<'a>> {
        let top = self.names.get(slot as usize)?.top;
        self.bindings.get(top as usize).map(|b| &b.value)
    }

    /// The same, to change.
    pub(super) fn at_mut(&mut self, slot: Slot) -> Option<&mut Value<'a>> {
        let top = self.names.get(slot as usize)?.top;
        self.bindings.get_mut(top as usize).map(|b| &mut b.value)
    }

    /// What a name holds in the body of the class around.
    pub(super) fn class_name(&self, name: &str) -> Option<&Value<'a>> {
        let class = self.open.iter().rposition(|s| s.kind == Kind::Class)?;
        let mut at = self.names.get(self.known(name)? as usize)?.top;
        while let Some(binding) = self.bindings.get(at as usize) {
            if binding.scope as usize <= class {
                return (binding.scope as usize == class).then_some(&binding.value);
            }
            at = binding.below;
        }
        None
    }

    /// Binds a name in the innermost scope; an attribute, whose name has a dot, in that of the class around.
    pub(super) fn bind(&mut self, slot: Slot, value: Value<'a>) {
        let attribute = self.text(slot).contains('.');
        let depth = if attribute {
            self.attributes = true;
            self.open.iter().rposition(|s| s.kind == Kind::Class)
        } else {
            self.open.len().checked_sub(1)
        };
        let Some(depth) = depth else { return };
        let former = self.set(slot, depth, value);
        let scope = &mut self.open[depth];
        if former.is_none() {
            scope.bound.push(slot);
        }
        if !attribute {
            scope.log.push((slot, former));
        }
    }

    /// Sets what a name holds in one scope, and returns what it held there.
    fn set(&mut self, slot: Slot, depth: usize, value: Value<'a>) -> Option<Value<'a>> {
        let (mut above, mut at) = (NONE, self.names[slot as usize].top);
        while let Some(binding) = self.bindings.get_mut(at as usize) {
            if binding.scope as usize == depth {
                return Some(std::mem::replace(&mut binding.value, value));
            }
            if (binding.scope as usize) < depth {
                break;
            }
            (above, at) = (at, binding.below);
        }
        let scope = u32::try_from(depth).unwrap_or(NONE);
        let new = Binding { value, scope, below: at };
        let place = match self.free.pop() {
            Some(place) => {
                self.bindings[place as usize] = new;
                place
            }
            None => {
                self.bindings.push(new);
                u32::try_from(self.bindings.len() - 1).unwrap_or(NONE)
            }
        };
        match self.bindings.get_mut(above as usize) {
            Some(binding) => binding.below = place,
            None => self.names[slot as usize].top = place,
        }
        None
    }

    /// Takes a name out of the innermost scope.
    fn remove(&mut self, slot: Slot) -> Option<Value<'a>> {
        let top = self.names[slot as usize].top;
        let binding = self.bindings.get(top as usize).filter(|b| b.scope as usize + 1 == self.open.len())?;
        self.names[slot as usize].top = binding.below;
        self.free.push(top);
        Some(binding.value.clone())
    }

    /// A moment to go back to.
    pub(super) fn mark(&self) -> usize {
        self.open.last().map_or(0, |s| s.log.len())
    }

    /// Undoes every binding of the innermost scope since `mark` and returns what had been bound.
    pub(super) fn undo(&mut self, mark: usize) -> Outcome<'a> {
        let mut outcome = Vec::new();
        self.branches += 1;
        let Some(depth) = self.open.len().checked_sub(1) else { return outcome };
        while self.open[depth].log.len() > mark {
            let Some((slot, former)) = self.open[depth].log.pop() else { break };
            let current = match former {
                Some(value) => self.set(slot, depth, value),
                None => self.remove(slot),
            };
            let name = &mut self.names[slot as usize];
            if let Some(current) = current
                && name.seen != self.branches
            {
                name.seen = self.branches;
                outcome.push((slot, current));
            }
        }
        outcome
    }

    /// What a name holds in the innermost scope alone.
    pub(super) fn innermost(&self, slot: Slot) -> Option<&Value<'a>> {
        let top = self.names.get(slot as usize)?.top;
        self.bindings.get(top as usize).filter(|b| b.scope as usize + 1 == self.open.len()).map(|b| &b.value)
    }
}
