"""The data recipe of models/tiny: pinned packages and the standard library in, `code.jsonl` and the tokenizer out.

    python3 corpus.py OUT [--lessons content/lessons/python] [--train-tokenizer] [--tokens N]

Writes OUT/code.jsonl (rows {"format":1,"id","text"}) and OUT/corpus.json (what was read, kept and dropped, and why).
The packages of packages.txt are fetched by pip, checked by sha256, into OUT/wheels. The same Python version, lists and
seed give the same bytes.
"""

import argparse
import collections
import hashlib
import json
import os
import pathlib
import re
import subprocess
import sys
import sysconfig
import warnings
import zipfile
import zlib

import extract

HERE = pathlib.Path(__file__).resolve().parent
SEED = 0
SHORTEST, LONGEST = 20, 400  # tokens of a sample
SKIP_PATH = re.compile(
    r"(^|/)(tests?|testing|_?vendor(ed)?|_vendored|migrations|locale|locales|idlelib|lib2to3|turtledemo|test_[^/]*|[^/]*_test\.py"
    r"|conftest\.py|encodings|pydoc_data|__pycache__|site-packages|ensurepip|config-[^/]*|db/migration|alembic/versions"
    r"|[^/]*_pb2(_grpc)?\.py|distutils|tkinter|msilib|examples?|benchmarks?)(/|$)"
)
# The least nearness at which a kind of sample is kept: what has no docstring or drags a class along has to earn it.
MINIMUM_NEARNESS = {"function": 0, "lifted": 1, "named": 1, "method": 2, "class": 1, "module": 0}


def packages():
    """Yield (name, version, sha256 of the wheel, licence) for each pinned package, in the order of the list."""
    for line in (HERE / "packages.txt").read_text().splitlines():
        found = re.match(r"([\w.-]+)==(\S+) --hash=sha256:([0-9a-f]{64})  # (.+)", line)
        if found:
            yield found.groups()


def fetch(folder):
    """Download the pinned wheels that are not there yet; pip checks their hashes, and so does this."""
    folder.mkdir(parents=True, exist_ok=True)
    have = {hashlib.sha256(wheel.read_bytes()).hexdigest() for wheel in folder.glob("*.whl")}
    missing = [f"{n}=={v} --hash=sha256:{h}\n" for n, v, h, _ in packages() if h not in have]
    if not missing:
        return
    print(f"fetching {len(missing)} packages from PyPI", file=sys.stderr)
    listing = folder / "missing.txt"
    listing.write_text("".join(missing))
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary=:all:", "--require-hashes"]
    command += ["--platform", "any", "--implementation", "py", "--abi", "none", "--python-version", "3.11"]
    subprocess.run(command + ["--dest", str(folder), "--requirement", str(listing)], check=True)
    listing.unlink()


def canonical(name):
    """Return a distribution name as PyPI compares it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def files(wheels):
    """Yield (source name, top package, path, text) for every Python file, packages in list order, then the standard library."""
    by_name = {canonical(w.name.split("-")[0]): w for w in sorted(wheels.glob("*.whl"))}
    for name, *_ in packages():
        with zipfile.ZipFile(by_name[canonical(name)]) as archive:
            for path in sorted(archive.namelist()):
                if path.endswith(".py") and not SKIP_PATH.search(path):
                    yield name, path.split("/")[0], path, archive.read(path)
    root = pathlib.Path(sysconfig.get_paths()["stdlib"])
    for path in sorted(root.rglob("*.py")):
        inner = path.relative_to(root).as_posix()
        if not SKIP_PATH.search(inner):
            yield "python", "", inner, path.read_bytes()


class Seen:
    """Refuses code that was seen before: the same text, the same words under another name, or nearly the same words."""

    def __init__(self):
        self.keys = set()

    def fresh(self, code):
        """Say whether `code` is new, and remember it."""
        words = re.findall(r"[A-Za-z_]\w*|[^\s\w]", re.sub(r"\"[^\"\n]*\"|\b\d+\b", "0", code))
        body = words[words.index(":") :] if ":" in words else words
        shingles = sorted({zlib.crc32(" ".join(words[i : i + 5]).encode()) for i in range(max(1, len(words) - 4))})
        keys = {
            ("text", hashlib.sha256("".join(code.split()).encode()).digest()[:12]),
            ("body", hashlib.sha256(" ".join(body).encode()).digest()[:12]),
        }
        if len(shingles) > 12:
            keys |= {("low", *shingles[:6]), ("high", *shingles[-6:])}
        new = not keys & self.keys
        self.keys |= keys
        return new


def judge(kind, text, code, near, seen):
    """Return why a sample is dropped, or None."""
    if near < MINIMUM_NEARNESS[kind]:
        return "far from the task"
    if not text.isascii() or not 60 <= len(text) <= 2400 or re.search(r"[^\s\w]{30}|\w{45}|(\d+, ){12}", text):
        return "form"
    return None if seen.fresh(code) else "duplicate"


def collect(wheels):
    """Return the samples in reading order and the account of what was dropped."""
    seen, kept, account = Seen(), [], collections.Counter()
    for name, package, path, raw in files(wheels):
        account["files"] += 1
        if len(raw) > 500_000:
            account["file too large"] += 1
            continue
        try:
            text = raw.decode("utf-8").replace("\r\n", "\n")
            found = list(extract.samples(f"{name}/{path}", text, package))
        except (SyntaxError, ValueError, RecursionError, UnicodeDecodeError):
            account["file not parsed"] += 1
            continue
        for kind, where, text, code, near in found:
            account["found " + kind] += 1
            reason = judge(kind, text, code, near, seen)
            if reason:
                account[reason] += 1
            else:
                kept.append({"kind": kind, "source": name, "id": f"{kind}/{near}/{where}", "text": text, "near": near})
    return kept, account


def order(sample):
    """Return the place of a sample in the shuffled corpus: a hash of the seed and its id."""
    return hashlib.sha256(f"{SEED}:{sample['id']}".encode()).digest()


def choose(samples, tokenizer, limit):
    """Return the samples of fitting length, the nearest ones first up to `limit` tokens, then shuffled."""
    for sample, encoding in zip(samples, tokenizer.encode_batch([s["text"] for s in samples])):
        sample["tokens"] = len(encoding.ids)
    fitting = [s for s in samples if SHORTEST <= s["tokens"] <= LONGEST]
    chosen, total = [], 0
    for sample in sorted(fitting, key=lambda s: (-min(s["near"], 6), order(s))):
        if total + sample["tokens"] > limit:
            break
        chosen.append(sample)
        total += sample["tokens"]
    return sorted(chosen, key=order)


def write_rows(path, rows):
    """Write JSON rows through a temporary file, so that a reader never sees half a corpus."""
    half = path.with_name(path.name + ".part")
    with half.open("w", encoding="ascii") as out:
        for row in rows:
            out.write(json.dumps(row) + "\n")
        out.flush()
        os.fsync(out.fileno())
    os.replace(half, path)


def main():
    parser = argparse.ArgumentParser(description="Build the training text of models/tiny.")
    parser.add_argument("out", type=pathlib.Path, help="folder for code.jsonl, corpus.json and the wheels")
    parser.add_argument("--lessons", type=pathlib.Path, default=HERE.parents[2] / "content" / "lessons" / "python")
    parser.add_argument("--train-tokenizer", action="store_true", help="train models/tiny/tokenizer.json anew")
    parser.add_argument("--tokens", type=int, default=20_000_000, help="the most tokens to keep")
    options = parser.parse_args()
    import bpe  # needs the `tokenizers` package of requirements.txt

    warnings.simplefilter("ignore", SyntaxWarning)
    warnings.simplefilter("ignore", DeprecationWarning)
    fetch(options.out / "wheels")
    samples, account = collect(options.out / "wheels")
    print(f"{len(samples)} samples, {sum(len(s['text']) for s in samples)} characters", dict(account), file=sys.stderr)
    if options.train_tokenizer:
        bpe.train(samples, options.lessons, HERE.parent)
    chosen = choose(samples, bpe.load(HERE.parent), options.tokens)
    write_rows(options.out / "code.jsonl", ({"format": 1, "id": s["id"], "text": s["text"]} for s in chosen))
    tokens, rows = collections.Counter(), collections.Counter()
    for sample in chosen:
        for key in (sample["source"], "kind " + sample["kind"], "all"):
            tokens[key] += sample["tokens"]
            rows[key] += 1
    report = {
        "format": 1,
        "seed": SEED,
        "python": sys.version.split()[0],
        "account": dict(sorted(account.items())),
        "kept": {key: {"rows": rows[key], "tokens": tokens[key]} for key in sorted(tokens)},
    }
    (options.out / "corpus.json").write_text(json.dumps(report, indent=2) + "\n")
    print(json.dumps(report["kept"]["all"]), file=sys.stderr)


if __name__ == "__main__":
    main()
