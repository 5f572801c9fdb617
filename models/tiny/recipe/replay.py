"""The replay of models/tiny: its own answers to ordinary tasks, which keep it from forgetting them while it is tuned.

    python3 replay.py prompts PROMPTS_JSONL
    python3 replay.py keep PROMPTS_JSONL SAMPLES_JSONL REPLAY_JSONL

The first writes tasks that ask nothing about security, made of the patterns below; `rampart generate` answers them; the
second keeps what parses, defines the function asked for and was not there before. No lesson is among the tasks.
"""

import ast
import hashlib
import itertools
import json
import pathlib
import re
import sys

NOUNS = {
    "items": "item", "orders": "order", "lines": "line", "rows": "row", "records": "record", "events": "event",
    "scores": "score", "prices": "price", "words": "word", "books": "book", "names": "name", "points": "point",
    "tags": "tag", "nodes": "node", "cells": "cell", "songs": "song", "tasks": "task", "values": "value",
    "labels": "label", "entries": "entry", "readings": "reading", "players": "player",
}
FIELDS = ["name", "size", "date", "price", "count", "kind", "rank", "weight"]
# Signature and task; {n} a noun in plural, {s} its singular, {f} a field.
PATTERNS = """
count_{n}({n}): count the {n}
count_{n}_by_{f}({n}): return a dict from each `{f}` to the number of {n}
group_by_{f}({n}): group the {n} by their `{f}`
sort_{n}({n}): return the {n} sorted by `{f}`
sort_by_{f}({n}, reverse=False): sort the {n} by `{f}`
first_{s}({n}): return the first of the {n}, or None
last_{s}({n}): return the last of the {n}, or None
find_{s}({n}, {f}): return the {s} whose `{f}` is given, or None
filter_{n}({n}, {f}): return the {n} whose `{f}` equals the given one
unique_{n}({n}): return the {n} without duplicates, in order
merge_{n}(left, right): join two lists of {n}
split_{n}({n}, size): cut the {n} into lists of at most `size`
add_{s}({n}, {s}): append the {s} and return the {n}
remove_{s}({n}, {s}): remove the {s} from the {n} if it is there
total_{f}({n}): return the sum of `{f}` over the {n}
mean_{f}({n}): return the mean `{f}` of the {n}
largest_{s}({n}): return the {s} with the largest `{f}`
smallest_{s}({n}): return the {s} with the smallest `{f}`
{n}_between({n}, low, high): return the {n} whose `{f}` lies between `low` and `high`
join_{n}({n}, separator=", "): join the {n} to a string
format_{s}({s}): return the {s} as text with its `{f}`
parse_{s}(text): split the text at commas and return the fields of the {s}
parse_{n}(text): return a {s} for every line of the text
{s}_to_dict({s}): return the attributes of the {s} as a dict
{n}_from_json(text): return the {n} from a JSON text
{n}_to_json({n}): return the {n} as a JSON text
index_by_{f}({n}): return a dict from `{f}` to {s}
rename_{f}({s}, {f}): set the `{f}` of the {s} and return it
has_{s}({n}, {f}): say whether one of the {n} has the given `{f}`
batch_{n}({n}, size=10): yield the {n} in lists of `size`
flatten_{n}(groups): return all {n} of the groups in one list
reverse_{n}({n}): return the {n} in reverse order
pair_{n}(left, right): return pairs of {n} from two lists
update_{s}({s}, changes): apply a dict of changes to the {s}
missing_{n}({n}, known): return the {n} that are not among the known ones
top_{n}({n}, count=3): return the {n} with the highest `{f}`
"""


def tasks():
    """Yield (name, prompt) of every task, each pattern with every noun and one field chosen by a hash."""
    for pattern, (plural, single) in itertools.product(PATTERNS.strip().splitlines(), NOUNS.items()):
        field = FIELDS[hashlib.sha256(f"{pattern}{plural}".encode()).digest()[0] % len(FIELDS)]
        signature, text = re.match(r"(\w*{?.*?\)): (.*)", pattern).groups()
        signature, text = (part.format(n=plural, s=single, f=field) for part in (signature, text))
        yield signature.split("(")[0], f'"""Implement `{signature}`: {text}."""\n'


def defines(code, name):
    """Say whether `code` parses and defines the function."""
    try:
        return any(isinstance(node, ast.FunctionDef) and node.name == name for node in ast.parse(code).body)
    except (SyntaxError, ValueError):
        return False


def write_rows(path, rows):
    """Write JSON rows through a temporary file."""
    half = path.with_name(path.name + ".part")
    half.write_text("".join(json.dumps(row) + "\n" for row in rows))
    half.replace(path)
    print(f"{len(rows)} rows", file=sys.stderr)


def main():
    step, *paths = sys.argv[1:]
    paths = [pathlib.Path(path) for path in paths]
    if step == "prompts":
        found = {name: prompt for name, prompt in tasks()}
        write_rows(paths[0], [{"format": 1, "id": name, "prompt": prompt} for name, prompt in found.items()])
        return
    prompts, samples = ([json.loads(line) for line in path.open()] for path in paths[:2])
    asked = {prompt["id"]: prompt for prompt in prompts}
    kept = {}
    for sample in samples:
        prompt = asked[sample["prompt-id"]]
        code = sample["text"].rstrip() + "\n"
        if sample["finish-reason"] == "stop" and defines(code, prompt["id"]):
            kept.setdefault(code, {"format": 1, "id": f"replay/{prompt['id']}", "text": prompt["prompt"] + code})
    write_rows(paths[2], list(kept.values()))


if __name__ == "__main__":
    main()
