"""Token-diff masks by Python's own difflib: the reference that masks_python.rs compares with.

Reads pairs of lists of token ids, `[before, after]`, one JSON value a line, on standard input.
Prints `[mask before, mask after, seconds]` for each; the time is that of the masks alone.
"""
import difflib
import json
import sys
import time


def fill(changed):
    """Sets a token that stands alone between two changed ones."""
    mask = [0] * changed[0]
    last = -100
    for at in changed[1]:
        mask[at] = 1
        if at - last == 2:
            mask[at - 1] = 1
        last = at
    return mask


def masks(before, after):
    deleted, added = [], []
    i = j = 0
    for line in difflib.ndiff([str(t) for t in before], [str(t) for t in after], linejunk=None, charjunk=None):
        tag = line[:2]
        if tag == "- ":
            deleted.append(i)
            i += 1
        elif tag == "+ ":
            added.append(j)
            j += 1
        elif tag == "  ":
            i += 1
            j += 1
    return fill((len(before), deleted)), fill((len(after), added))


if __name__ == "__main__":
    sys.setrecursionlimit(100_000)
    for row in sys.stdin:
        pair = json.loads(row)
        start = time.process_time()
        result = masks(*pair)
        print(json.dumps([*result, time.process_time() - start]))
