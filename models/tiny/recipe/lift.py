"""A method that only reads its object in, the plan to write it as a plain function out.

Most library code stands in classes, and the task is plain functions. `def read(self, n): return self._file.read(n)` says
the same as `def read(file, n): return file.read(n)`: what the method reads from the object becomes a parameter, what it
calls on the object becomes a helper of that name. A method that writes to its object stays what it is.
"""

import ast
import builtins
import keyword
import re

MOST_PARAMETERS, MOST_HELPERS = 4, 2


class Plan:
    """How one method becomes a function: `names` maps attributes to names, `parameters` are the new first ones."""

    def __init__(self, owner, names, parameters):
        self.owner, self.names, self.parameters = owner, names, parameters

    def edits(self, node, source, offset):
        """Yield (start, end, text) in character offsets for the method `node`."""
        first = node.args.args[0]
        start, end = offset((first.lineno, first.col_offset)), offset((first.end_lineno, first.end_col_offset))
        text = ", ".join(self.parameters)
        comma = re.match(r"\s*,\s*", source[end:])
        yield start, end + (comma.end() if comma else 0), text + (", " if comma and text else "")
        literals = [n for n in ast.walk(node) if isinstance(n, ast.JoinedStr)]
        inside = {id(inner) for n in literals for inner in ast.walk(n) if inner is not n}
        pattern = re.compile(rf"(?<![\w.]){self.owner}\.(\w+)")
        for n in literals:
            if id(n) not in inside:
                start, end = offset((n.lineno, n.col_offset)), offset((n.end_lineno, n.end_col_offset))
                new = pattern.sub(lambda m: self.names.get(m.group(1), m.group()), source[start:end])
                if new != source[start:end]:
                    yield start, end, new
        for n in ast.walk(node):
            if isinstance(n, ast.Attribute) and isinstance(n.value, ast.Name) and n.value.id == self.owner and id(n) not in inside:
                yield offset((n.lineno, n.col_offset)), offset((n.end_lineno, n.end_col_offset)), self.names[n.attr]

    def stands_for(self, attribute, name):
        """Say whether `name` is what this plan writes for the attribute node."""
        value = attribute.value
        return isinstance(value, ast.Name) and value.id == self.owner and self.names.get(attribute.attr) == name.id


def plan(node):
    """Return the plan for a method, or None where it does not only read its object."""
    if not node.args.args or node.args.posonlyargs:
        return None
    spec, owner = node.args, node.args.args[0].arg
    taken = {a.arg for a in spec.args + spec.kwonlyargs + [x for x in (spec.vararg, spec.kwarg) if x]}
    attributes, called, bare = {}, set(), 0
    for n in ast.walk(node):
        if isinstance(n, ast.Name):
            taken.add(n.id)
            bare += n.id == owner
            if n.id == "super":
                return None
        elif isinstance(n, ast.Attribute) and isinstance(n.value, ast.Name) and n.value.id == owner:
            if not isinstance(n.ctx, ast.Load):
                return None
            attributes[n.attr] = attributes.get(n.attr, 0) + 1
            bare -= 1
        elif isinstance(n, (ast.Lambda, ast.FunctionDef, ast.AsyncFunctionDef)):
            taken |= {a.arg for a in n.args.args}
        elif isinstance(n, (ast.ExceptHandler, ast.alias)):
            taken.add(n.name)
    if bare:
        return None
    calls = {}
    for n in ast.walk(node):
        if isinstance(n, ast.Call) and isinstance(n.func, ast.Attribute) and n.func.attr in attributes:
            if isinstance(n.func.value, ast.Name) and n.func.value.id == owner:
                calls[n.func.attr] = calls.get(n.func.attr, 0) + 1
    called = {name for name, count in calls.items() if attributes[name] == count}
    data = [name for name in attributes if name not in called]
    names = {name: name.strip("_") for name in attributes}
    values = list(names.values())
    if len(data) > MOST_PARAMETERS or len(called) > MOST_HELPERS or len(set(values)) < len(values):
        return None
    if any(not v or v in taken or v == node.name or keyword.iskeyword(v) or hasattr(builtins, v) for v in values):
        return None
    return Plan(owner, names, [names[name] for name in data])
