"""Source text in, the same statements in one uniform layout out.

A model of seven million parameters should not spend its capacity on a hundred house styles. Comments go, indentation
becomes four spaces, quotes become double where that changes nothing, and a statement that was wrapped is joined or
wrapped again as Black would. The caller compares the syntax trees before and after, so a slip here loses a sample and
never corrupts one.
"""

import re

WIDTH = 99
COMPOUND = frozenset("if elif else for while try except finally with def class async".split())

# One alternative a kind of token; `w` and `x` only carry text along.
_TOKEN = re.compile(
    r'''(?P<s>(?<![A-Za-z0-9_])[rRbBuUfF]{0,2}(?:"""(?:[^\\]|\\.)*?"""|\'\'\'(?:[^\\]|\\.)*?\'\'\''''
    r'''|"(?:[^"\\\n]|\\.)*"|'(?:[^'\\\n]|\\.)*'))'''
    r"""|(?P<c>\#[^\n]*)|(?P<o>[(\[{])|(?P<k>[)\]}])|(?P<b>\\\n)|(?P<n>\n)|(?P<w>[A-Za-z0-9_.]+)|(?P<g>[ \t]+)|(?P<x>.)""",
    re.DOTALL,
)
_STRING = re.compile(r"""([A-Za-z]*)("{3}|'{3}|"|')(.*)\2$""", re.DOTALL)


class Refused(Exception):
    """The text has a form this layout does not write."""


def double_quoted(literal):
    """Return the string literal with double quotes where its value stays the same."""
    prefix, quote, body = _STRING.match(literal).groups()
    prefix = prefix.lower().replace("u", "")
    if quote[0] == "'" and '"' not in body and "\\'" not in body:
        quote = '"' * len(quote)
    return prefix + quote + body + quote


def logical_lines(source):
    """Yield (indent width, tokens) of each logical line; a token is (kind, text)."""
    depth, indent, tokens, fresh = 0, 0, [], True
    for match in _TOKEN.finditer(source):
        kind, text = match.lastgroup, match.group()
        if kind == "g" and fresh:
            indent = len(text.expandtabs(8))
            continue
        if kind == "n" and depth == 0:
            if any(k not in "g" for k, _ in tokens):
                yield indent, tokens
            indent, tokens, fresh = 0, [], True
            continue
        fresh = False
        if kind == "c":
            continue
        if kind in "gnb":
            if not tokens or tokens[-1][0] != "g":
                tokens.append(("g", "\n" if kind == "n" else " "))
            elif kind == "n":
                tokens[-1] = ("g", "\n")
            continue
        depth += (kind == "o") - (kind == "k")
        tokens.append((kind, double_quoted(text) if kind == "s" else text))
    if any(k not in "g" for k, _ in tokens):
        yield indent, tokens


def joined(tokens):
    """Return the tokens on one line, without the gaps and trailing commas that wrapping left behind."""
    out = []
    for kind, text in tokens:
        if kind == "k" and out and out[-1][0] == "g":
            wrapped = out.pop()[1] == "\n"
            if wrapped and out[-1] == ("x", ","):
                out.pop()
        if kind == "g" and (not out or out[-1][0] == "o"):
            continue
        out.append((kind, text))
    while out and out[-1][0] == "g":
        out.pop()
    return [("g", " ") if kind == "g" else (kind, text) for kind, text in out]


def without_brackets(tokens):
    """Drop the bracket pair that only served to wrap: `if (a and b):`, `x = (a + b)`, `return (a)`."""
    end = len(tokens) - (tokens[-1] == ("x", ":"))
    start = 2 if tokens[0][1] in ("if", "elif", "while", "return", "assert") else next(
        (i + 2 for i in range(1, len(tokens) - 2) if tokens[i - 1 : i + 2] == [("g", " "), ("x", "="), ("g", " ")]), None
    )
    if start is None or start >= end or tokens[start][1] != "(" or tokens[end - 1][1] != ")":
        return tokens
    inner, depth = tokens[start + 1 : end - 1], 0
    for kind, text in inner:
        depth += (kind == "o") - (kind == "k")
        if depth < 0 or depth == 0 and (text in (",", "for", "yield") or text == ":"):
            return tokens
    return tokens[:start] + inner + tokens[end - 1 + 1 :] if inner and any(k == "g" for k, _ in inner) else tokens


def text_of(tokens):
    """Return the text of the tokens."""
    return "".join(text for _, text in tokens)


def split_commas(tokens):
    """Split the tokens at the commas outside any bracket."""
    parts, depth = [[]], 0
    for kind, text in tokens:
        depth += (kind == "o") - (kind == "k")
        if depth == 0 and (kind, text) == ("x", ","):
            parts.append([])
        elif not (kind == "g" and not parts[-1]):
            parts[-1].append((kind, text))
    return [part for part in parts if part]


def wrap(tokens, indent):
    """Return the lines of one statement, wrapped at its last bracket pair when it is too long."""
    pad, line = " " * indent, text_of(tokens)
    if len(pad) + len(line) <= WIDTH or ("\n" in line and max(map(len, line.split("\n"))) <= WIDTH):
        return [pad + line]
    close = next((i for i in range(len(tokens) - 1, -1, -1) if tokens[i][0] == "k"), None)
    if close is None:
        raise Refused("long line without brackets")
    depth, start = 0, close
    while start >= 0:
        depth += (tokens[start][0] == "k") - (tokens[start][0] == "o")
        if depth == 0:
            break
        start -= 1
    head, body, tail = tokens[: start + 1], tokens[start + 1 : close], tokens[close:]
    if not body or len(pad) + len(text_of(head)) > WIDTH or len(pad) + len(text_of(tail)) > WIDTH:
        raise Refused("no bracket to wrap at")
    inner, parts = " " * (indent + 4), split_commas(body)
    if len(inner) + len(text_of(body)) <= WIDTH:
        return [pad + text_of(head), inner + text_of(body), pad + text_of(tail)]
    lines = [pad + text_of(head)]
    for part in parts:
        wrapped = wrap(part, indent + 4)
        comma = "," if len(parts) > 1 and not text_of(part).startswith("**") else ""
        lines += wrapped[:-1] + [wrapped[-1] + comma]
    return lines + [pad + text_of(tail)]


def unfolded(tokens):
    """Split `if a: b` into its head and its body; a statement without a body on its line comes back alone."""
    if tokens[0][1] not in COMPOUND:
        return [tokens]
    depth = 0
    for i, (kind, text) in enumerate(tokens):
        depth += (kind == "o") - (kind == "k")
        if text == "lambda":
            break
        if depth == 0 and (kind, text) == ("x", ":") and tokens[i + 1 : i + 2] != [("x", "=")]:
            rest = tokens[i + 2 :] if tokens[i + 1 : i + 2] == [("g", " ")] else tokens[i + 1 :]
            return [tokens[: i + 1], rest] if rest else [tokens]
    return [tokens]


def uniform(source):
    """Return the statements of `source` in the uniform layout, starting in the first column.

    Raises Refused for a form this layout does not write.
    """
    lines, levels = [], []
    for indent, tokens in logical_lines(source):
        while levels and indent < levels[-1]:
            levels.pop()
        if not levels or indent > levels[-1]:
            levels.append(indent)
        if levels[-1] != indent:
            raise Refused("dedent to an unknown level")
        for extra, part in enumerate(unfolded(joined(tokens))):
            lines += wrap(without_brackets(part), 4 * (len(levels) - 1 + extra))
    return "\n".join(line.rstrip() for line in lines)
