"""One Python file in, candidate samples out: functions, methods, classes and small modules under a docstring.

A sample has the form in which the model is asked later: the task as a docstring, the imports that the code uses, then
the code without docstrings, comments and annotations. Every sample parses to the same tree as its source.
"""

import ast
import copy
import keyword
import re
import zlib

from layout import Refused, uniform
from lift import plan

# Top-level modules that the lessons teach; a sample that uses one of them is near the task.
NEAR = frozenset(
    """os pathlib subprocess sqlite3 json re hashlib hmac secrets random urllib socket ssl tempfile zipfile tarfile
    logging yaml xml flask django jinja2 requests csv email struct string shutil base64 pickle marshal shelve glob
    shlex html http uuid time datetime stat getpass smtplib ftplib telnetlib imaplib configparser io gzip binascii
    cryptography jwt ldap ldap3 lxml markupsafe werkzeug fastapi starlette sqlalchemy psycopg2 pymysql MySQLdb redis
    urllib3 httpx aiohttp paramiko Crypto OpenSSL bs4 boto3 ipaddress tokenize ast toml tomllib pwd fcntl signal
    contextlib functools itertools collections operator math textwrap bcrypt passlib itsdangerous defusedxml""".split()
)
# Method names of file, database, text, request and container work.
NEAR_CALLS = frozenset(
    """open read write readline readlines writelines close execute executemany fetchone fetchall cursor commit connect
    split rsplit strip lstrip rstrip join replace startswith endswith encode decode lower upper format partition
    rpartition splitlines get items keys values append extend update pop setdefault sort insert remove find index count
    hexdigest digest dumps loads dump load match search sub findall compile render_template redirect send recv""".split()
)
# Names whose import from their own package is part of the public interface that lessons use.
PUBLIC = frozenset("flask django jinja2 requests werkzeug sqlalchemy fastapi starlette urllib3 bs4 markupsafe".split())
# Stands for every character outside ASCII, so that columns are characters; a sample that holds it is refused.
FOREIGN = "\x7f"
GENERATED = re.compile(r"(?i)(auto-?generated|machine.generated|do not edit|file (is|was) generated)")
ROUTE = re.compile(r"\.(route|get|post|put|delete|patch|api_route)\(")
VERBS = frozenset(
    """return get set add create make build parse check load save read write find compute convert remove delete update
    print send fetch open close run execute generate render format split join list yield raise validate verify decode
    encode extract call start stop register handle process log show display store copy move rename apply filter
    iterate initialize construct determine test ensure wrap replace calculate count sort merge normalize strip escape
    retrieve resolve configure install clean clear collect prepare look turn transform translate dump serialize
    deserialize map match search produce give try perform attempt configure connect disconnect wait expand unpack pack
    compress decompress hash sign encrypt decrypt quote unquote validate draw insert append push pop lookup use
    """.split()
)


def third_person(verb):
    """Return the third person of an English verb given in the imperative."""
    if verb.endswith("y") and verb[-2:-1] not in "aeiou":
        return verb[:-1] + "ies"
    return verb + ("es" if verb.endswith(("s", "sh", "ch", "x", "z", "o")) else "s")


def sentence(docstring):
    """Return the first sentence of a docstring as one plain line, or None where it says nothing usable."""
    paragraph = re.split(r"\n\s*\n|\n\s*(?::param|:return|@param|>>>|\.\. )", docstring.strip())[0]
    text = " ".join(paragraph.split())
    text = re.sub(r":[a-z:]+:`~?([^`<]*)(?:<[^`]*>)?`", r"`\1`", text).replace("``", "`").replace("::", ":")
    text = re.sub(r"^[\w.]+\([^)]*\) *(?:->[^-]*)?--? *", "", text)
    cut = re.match(r"(.{20,}?[.!?])(?: [A-Z`].*)?$", text)
    text = cut.group(1) if cut else text
    if not 12 <= len(text) <= 220 or not text.isascii() or '"""' in text or "\\" in text or text.count(" ") < 2:
        return None
    if re.search(r"(?i)\b(todo|fixme|xxx|deprecated|internal use|see :|versionadded)", text) or not text[0].isalpha() and text[0] != "`":
        return None
    text = text[0].upper() + text[1:]
    return text if text[-1] in ".!?" else text.rstrip(":;,") + "."


def from_name(name):
    """Return a task made from a function's name, or None where the name is no phrase."""
    words = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).lower().strip("_").split("_")
    if len(words) < 2 or words[0] not in VERBS or not all(w.isalpha() and len(w) > 1 for w in words):
        return None
    return " ".join(words).capitalize() + "."


def ask(task, node, salt):
    """Return the task in one of the phrasings in which people ask for a function; the choice is a hash of `salt`."""
    spec = node.args
    names = [a.arg for a in spec.posonlyargs + spec.args + spec.kwonlyargs]
    names += ["*" + a.arg for a in [spec.vararg] if a] + ["**" + a.arg for a in [spec.kwarg] if a]
    call = f"`{node.name}({', '.join(names)})`"
    if task is None:
        return (f"Write {call}.", f"Write a function {call}.", f"Implement {call}.")[salt % 3]
    first, _, rest = task.partition(" ")
    lowered = first[0].lower() + first[1:]
    stem = lowered[:-1] if lowered.endswith("s") and lowered[:-1] in VERBS else lowered
    if stem not in VERBS or not rest:
        return task if salt % 2 else f"Write {call}. {task}"
    return (
        task,
        f"Write a function {call} that {third_person(stem)} {rest}",
        f"Write a function {call} that {third_person(stem)} {rest}",
        f"Implement {call}: {stem} {rest}",
        f"Create a Python function {call} that {third_person(stem)} {rest}",
        task,
        f"Write {call} to {stem} {rest}",
        f"Define `{node.name}` which {third_person(stem)} {rest}",
    )[salt % 8]


BLOCKS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.Module)
# Fields in which a sample may differ from its source without another meaning.
UNSEEN = frozenset(("kind", "type_comment", "type_ignores", "ctx", "lineno"))


def documented(node):
    """Say whether the node's first statement is a docstring."""
    first = node.body[0] if node.body else None
    return isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant) and isinstance(first.value.value, str)


def same(a, b, annotations, lifted=None):
    """Say whether `b` is `a` without its docstrings and, unless `annotations`, without its annotations.

    With `lifted`, the attributes that this plan names are plain names in `b`.
    """
    if isinstance(a, ast.AnnAssign) and isinstance(b, ast.Assign) and not annotations:
        return same(a.target, b.targets[0], annotations, lifted) and same(a.value, b.value, annotations, lifted)
    if lifted and isinstance(a, ast.Attribute) and isinstance(b, ast.Name):
        return lifted.stands_for(a, b)
    if type(a) is not type(b):
        return False
    if isinstance(a, list):
        return len(a) == len(b) and all(same(x, y, annotations, lifted) for x, y in zip(a, b))
    if not isinstance(a, ast.AST):
        return a == b
    for field in a._fields:
        if field in UNSEEN or not annotations and field in ("annotation", "returns"):
            continue
        x, y = getattr(a, field, None), getattr(b, field, None)
        if field == "body" and isinstance(a, BLOCKS) and documented(a):
            x = x[1:]
        if not same(x, y, annotations, lifted):
            return False
    return True


def edits(node, annotations):
    """Yield (start, end, replacement) in (line, column) pairs: what to change in the source to make `node` bare."""
    for item in ast.walk(node):
        if isinstance(item, BLOCKS) and documented(item):
            first = item.body[0]
            yield (first.lineno, first.col_offset), (first.end_lineno, first.end_col_offset), ""
        if annotations:
            continue
        if isinstance(item, ast.arguments):
            both = item.posonlyargs + item.args
            pairs = list(zip(both[len(both) - len(item.defaults) :], item.defaults))
            pairs += [(a, d) for a, d in zip(item.kwonlyargs, item.kw_defaults) if d]
            defaulted = {id(a): d for a, d in pairs}
            for a in both + item.kwonlyargs + [item.vararg] * bool(item.vararg) + [item.kwarg] * bool(item.kwarg):
                start = (a.lineno, a.col_offset + len(a.arg))
                if a.annotation and id(a) in defaulted:
                    d = defaulted[id(a)]
                    yield start, (d.lineno, d.col_offset), "="
                elif a.annotation:
                    yield start, (a.end_lineno, a.end_col_offset), ""
        elif isinstance(item, (ast.FunctionDef, ast.AsyncFunctionDef)) and item.returns:
            yield None, (item.returns.end_lineno, item.returns.end_col_offset), (item.returns.lineno, item.returns.col_offset)
        elif isinstance(item, ast.AnnAssign) and item.value is not None:
            t = item.target
            yield (t.end_lineno, t.end_col_offset), (item.value.lineno, item.value.col_offset), " = "


class File:
    """A parsed file and the pieces of it that its samples share."""

    def __init__(self, path, source, package):
        self.path, self.package = path, package
        source = re.sub(r"[^\n\x20-\x7e]", lambda m: "    " if m.group() == "\t" else FOREIGN, source)
        self.lines = source.split("\n")
        self.starts = [0]
        for line in self.lines:
            self.starts.append(self.starts[-1] + len(line) + 1)
        self.source = source
        self.tree = ast.parse(source)
        self.imports, self.constants = {}, {}
        for node in self.tree.body:
            if isinstance(node, ast.Import):
                for a in node.names:
                    if a.name.split(".")[0] != package or package in PUBLIC:
                        self.imports[a.asname or a.name.split(".")[0]] = ("import " + a.name + (f" as {a.asname}" if a.asname else ""), a.name)
            elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module != "__future__":
                if node.module.split(".")[0] != package or package in PUBLIC:
                    for a in node.names:
                        self.imports[a.asname or a.name] = ((node.module, a.name + (f" as {a.asname}" if a.asname else "")), node.module)
            elif isinstance(node, ast.Assign) and len(node.targets) == 1 and isinstance(node.targets[0], ast.Name):
                if node.lineno == node.end_lineno and len(self.lines[node.lineno - 1]) <= 90:
                    self.constants[node.targets[0].id] = node

    def offset(self, place):
        """Return the character offset of a (line, column) pair; the text is ASCII, so columns are characters."""
        return self.starts[place[0] - 1] + place[1]

    def bare(self, node, annotations, lifted=None):
        """Return the bare source of `node` in the uniform layout (no docstring, annotation or comment), and its tree.

        With `lifted`, a method is written as the plain function of that plan, without its decorators.
        """
        if isinstance(node, ast.Module):
            begin, end = 0, len(self.source)
        else:
            decorators = [] if lifted else getattr(node, "decorator_list", [])
            begin = self.starts[min(n.lineno for n in [node, *decorators]) - 1]
            end = self.offset((node.end_lineno, node.end_col_offset))
        if end - begin > 6000:
            raise Refused("long")
        changes = list(lifted.edits(node, self.source, self.offset)) if lifted else []
        for start, stop, text in edits(node, annotations):
            if start is None:
                start, text = self.source.rfind("->", 0, self.offset(text)), ""
                start = len(self.source[:start].rstrip())
            else:
                start = self.offset(start)
            changes.append((start, self.offset(stop), text))
        piece, at = "", begin
        for start, stop, text in sorted(changes):
            if start < at:
                raise Refused("edits overlap")
            piece, at = piece + self.source[at:start] + text, stop
        code = uniform(piece + self.source[at:end])
        if FOREIGN in code:
            raise Refused("not ASCII")
        tree = ast.parse(code)
        wanted, got = node, tree.body[0]
        if lifted:
            wanted, arguments = copy.copy(node), copy.copy(node.args)
            arguments.args, wanted.args, wanted.decorator_list = node.args.args[1:], arguments, []
            got = copy.copy(got)
            got.args = copy.copy(got.args)
            got.args.args = got.args.args[len(lifted.parameters) :]
        elif isinstance(node, ast.Module):
            got = tree
        if len(tree.body) != 1 and got is not tree or not same(wanted, got, annotations, lifted):
            raise Refused("the layout changed the tree")
        return code, tree

    def preamble(self, tree, own):
        """Return the imports and constants that `tree` uses, and the modules it touches."""
        used = {n.id for n in ast.walk(tree) if isinstance(n, ast.Name)}
        constants = []
        for name in sorted(used & self.constants.keys() - {own}):
            node = self.constants[name]
            line, _ = self.bare(node, False)
            needed = {n.id for n in ast.walk(node.value) if isinstance(n, ast.Name)}
            if needed <= self.imports.keys():
                constants.append((node.lineno, line))
                used |= needed
        plain, grouped, touched = set(), {}, set()
        for name in used & self.imports.keys():
            form, module = self.imports[name]
            touched.add(module.split(".")[0])
            if isinstance(form, str):
                plain.add(form)
            else:
                grouped.setdefault(form[0], set()).add(form[1])
        lines = sorted(plain) + [f"from {m} import {', '.join(sorted(names))}" for m, names in sorted(grouped.items())]
        if any(len(line) > 99 for line in lines) or len(lines) > 6 or len(constants) > 3:
            raise Refused("too many imports")
        blocks = ["\n".join(lines)] * bool(lines) + ["\n".join(line for _, line in sorted(constants))] * bool(constants)
        return "\n\n".join(blocks), touched


def nearness(code, touched):
    """Return how near the task a sample is: modules of the lessons count most, then file, text and container calls."""
    return 2 * len(touched & NEAR) + near_calls(code)


def near_calls(code):
    """Return how many different file, text and container calls the code makes."""
    return len(NEAR_CALLS.intersection(re.findall(r"\b([a-z_]+)\(", code)))


def assemble(task, preamble, code):
    """Return the text of a sample."""
    return f'"""{task}"""\n' + (preamble + "\n\n\n" if preamble else "\n\n") + code + "\n"


def samples(path, source, package):
    """Yield (kind, name, text, code, nearness) for each sample that the file gives."""
    if GENERATED.search(source[:600]):
        return
    file = File(path, source, package)
    jobs = [(node, None) for node in file.tree.body]
    for node in file.tree.body:
        if isinstance(node, (ast.If, ast.Try)):
            jobs += [(inner, None) for inner in node.body]
        if isinstance(node, ast.ClassDef):
            jobs += [(inner, node) for inner in node.body]
    for node, owner in jobs:
        try:
            found = None
            if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
                found = function(file, node, owner)
            elif isinstance(node, ast.ClassDef) and 3 <= node.end_lineno - node.lineno < 60:
                found = klass(file, node)
            if found:
                yield found
        except (Refused, SyntaxError, ValueError, RecursionError):
            continue
    try:
        if 6 <= len(file.lines) <= 80 and (task := sentence(ast.get_docstring(file.tree) or "")):
            code = module(file)
            yield "module", f"{path}:0:module", f'"""{task}"""\n{code}\n', code, nearness(code, {m.split(".")[0] for _, m in file.imports.values()})
    except (Refused, SyntaxError, ValueError, RecursionError):
        return


def task_of(node, name):
    """Return the task of a function or class: its docstring's first sentence, or one made from its name, or None."""
    return sentence(ast.get_docstring(node) or "") or from_name(name)


def function(file, node, owner):
    """Return the sample of a function or a method, or None."""
    if node.name.startswith(("__", "test")) or not 1 <= node.end_lineno - node.lineno <= 90:
        return None
    task = task_of(node, node.name)
    if task is None and node.name.strip("_").count("_") == 0:
        return None
    decorators = [ast.unparse(d) for d in node.decorator_list]
    if any(d.startswith(("overload", "typing.", "pytest", "classmethod", "abstractmethod", "abc.")) or ".setter" in d for d in decorators):
        return None
    kind, lifted, annotations, salt = "function" if sentence(ast.get_docstring(node) or "") else "named", None, False, 0
    if owner is None:
        annotations = any(ROUTE.search("." + d.split(".", 1)[-1]) for d in decorators)
        if len(decorators) > 2:
            return None
    elif "staticmethod" not in decorators:
        lifted = plan(node)
        kind = "lifted" if lifted else "method"
        if not lifted and (task is None or near_calls("\n".join(file.lines[node.lineno : node.end_lineno])) < 2):
            return None
    code, tree = file.bare(node, annotations, lifted)
    if owner is not None and not lifted and "staticmethod" in decorators:
        code, tree.body[0].decorator_list = code.replace("@staticmethod\n", "", 1), []
    lines = code.count("\n") + 1
    if not 2 <= lines <= 40 or lines <= 3 and re.search(r"\n    (pass|\.\.\.|return|return None|raise NotImplementedError.*)$", code):
        return None
    public = node.name.lstrip("_")
    if kind != "method" and public != node.name and public.isidentifier() and not keyword.iskeyword(public):
        if not re.search(rf"\b{public}\b", code):
            code = re.sub(rf"(?<![\w.]){node.name}\b", public, code)
            tree.body[0].name = public
    salt = zlib.crc32(f"{file.path}:{node.name}".encode())
    preamble, touched = file.preamble(tree, node.name)
    near = nearness(code, touched)
    if kind == "method":
        bases = [ast.unparse(b) for b in owner.bases if isinstance(b, ast.Name) and b.id != "object"]
        head = f"class {owner.name}({', '.join(bases)}):" if bases else f"class {owner.name}:"
        code = head + "\n" + "\n".join("    " + line for line in code.split("\n"))
        if '"""' in code or max(map(len, code.split("\n"))) > 99:
            return None
    else:
        task = ask(task, tree.body[0], salt)
    return kind, f"{file.path}:{node.lineno}:{node.name}", assemble(task, preamble, code), code, near


def klass(file, node):
    """Return the sample of a small class, or None."""
    task = task_of(node, "")  # a class name alone says too little
    if task is None or node.name.startswith("Test"):
        return None
    code, tree = file.bare(node, False)
    if not 4 <= code.count("\n") + 1 <= 40:
        return None
    code = re.sub(r"\n(    (?:@|(?:async )?def ))", spaced, code)
    preamble, touched = file.preamble(tree, node.name)
    return "class", f"{file.path}:{node.lineno}:{node.name}", assemble(task, preamble, code), code, nearness(code, touched)


def spaced(match):
    """Put a blank line before a method, except after a decorator or the class line."""
    before = match.string[: match.start()].rsplit("\n", 1)[-1]
    glued = before.lstrip().startswith(("@", "class "))
    return ("\n" if glued else "\n\n") + match.group(1)


def module(file):
    """Return a small module, with two blank lines around its functions and classes."""
    if any(isinstance(n, ast.ImportFrom) and n.level for n in ast.walk(file.tree)):
        raise Refused("relative imports")
    if sum(isinstance(n, (ast.FunctionDef, ast.ClassDef)) for n in file.tree.body) == 0:
        raise Refused("no definition")
    code, _ = file.bare(file.tree, False)
    if code.count("\n") > 60:
        raise Refused("long module")
    tree, lines, out, last = ast.parse(code), code.split("\n"), [], None
    for node in tree.body:
        first = min([node.lineno] + [d.lineno for d in getattr(node, "decorator_list", [])])
        big = isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef))
        imports = isinstance(node, (ast.Import, ast.ImportFrom))
        gap = 0 if last is None else 2 if big or last[0] else 1 if last[1] and not imports else 0
        out += [""] * gap + lines[first - 1 : node.end_lineno]
        last = (big, imports)
    return "\n".join(out)
