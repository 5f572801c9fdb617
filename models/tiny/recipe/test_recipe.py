"""Checks of the recipe: `python3 -m unittest discover models/tiny/recipe` (the tokenizer's need the `tokenizers` package)."""

import ast
import pathlib
import random
import unittest
import warnings

import corpus
import extract
import layout

try:
    import bpe
except ModuleNotFoundError:
    bpe = None

HERE = pathlib.Path(__file__).resolve().parent
LESSONS = HERE.parents[2] / "content" / "lessons" / "python"


def sample(source, name=None):
    """Return the text of the only sample, or of the one with that name."""
    found = [s for s in extract.samples("m.py", source, "m") if name is None or s[1].endswith(":" + name)]
    assert len(found) == 1, found
    return found[0][2]


class Layout(unittest.TestCase):
    def check(self, source, expect):
        self.assertEqual(layout.uniform(source), expect)
        self.assertEqual(ast.dump(ast.parse(source)), ast.dump(ast.parse(expect)))

    def test_forms(self):
        for source, expect in [
            ("x = 'a'  # why\n", 'x = "a"'),
            ("x = f'{a}\\n'\n", 'x = f"{a}\\n"'),
            ("x = 'a\\'b'\n", "x = 'a\\'b'"),
            ("x = 'a\"b'\n", "x = 'a\"b'"),
            ("if a:\n  b\n  if c:\n      d\n", "if a:\n    b\n    if c:\n        d"),
            ("if a:\n\tb\n", "if a:\n    b"),
            ("if (a and\n    b):\n    c\n", "if a and b:\n    c"),
            ("x = (1,\n     2)\n", "x = (1, 2)"),
            ("f(\n    1,\n    2,\n)\n", "f(1, 2)"),
            ("x = 1 + \\\n    2\n", "x = 1 + 2"),
            ("if a: b\nelse: c\n", "if a:\n    b\nelse:\n    c"),
            ("class X: pass\n", "class X:\n    pass"),
            ("x = a[1:2]\n", "x = a[1:2]"),
            ("if (n := f()): g()\n", "if (n := f()):\n    g()"),
            ("x = (i for i in y)\n", "x = (i for i in y)"),
            ("s = '# no'  # yes\n", 's = "# no"'),
        ]:
            with self.subTest(source):
                self.check(source, expect)

    def test_long_lines_wrap(self):
        arguments = ", ".join(f"argument_number_{i}={i}" for i in range(7))
        self.check(f"call({arguments})\n", "call(\n" + "".join(f"    argument_number_{i}={i},\n" for i in range(7)) + ")")
        with self.assertRaises(layout.Refused):
            layout.uniform("x = " + " + ".join(["number"] * 20) + "\n")


class Extract(unittest.TestCase):
    def test_function(self):
        source = (
            "import os\nimport sys\nfrom typing import Any\n\nROOT = '/srv'\n\n"
            "def size(name: str, default: int = 0) -> Any:\n"
            '    """Return the size of a file.\n\n    More words.\n    """\n'
            "    # a comment\n    if not name:\n        return default\n    return os.path.getsize(os.path.join(ROOT, name))\n"
        )
        text = sample(source)
        head, _, code = text.partition("\n")
        self.assertIn("file", head)
        self.assertEqual(
            code,
            'import os\n\nROOT = "/srv"\n\n\ndef size(name, default=0):\n    if not name:\n        return default\n'
            "    return os.path.getsize(os.path.join(ROOT, name))\n",
        )

    def test_lifted_method(self):
        source = (
            "class Store:\n    def load(self, key):\n        \"\"\"Load the value of a key.\"\"\"\n"
            "        with self._reader(key) as f:\n            return f'{self._prefix}' + f.read()\n"
        )
        code = "def load(prefix, key):\n    with reader(key) as f:\n        return f\"{prefix}\" + f.read()\n"
        self.assertIn(code, sample(source, "load"))

    def test_method_that_writes_stays(self):
        source = (
            "class Store:\n    def load(self, key):\n        \"\"\"Load the value of a key.\"\"\"\n"
            "        self.value = open(key).read()\n        return self.value.strip().split(',')\n"
        )
        self.assertIn("class Store:\n    def load(self, key):\n        self.value", sample(source, "load"))

    def test_sentence(self):
        for doc, expect in [
            ("Return the name of :func:`~a.b`. And more.", "Return the name of `a.b`."),
            ("open(path) -> file\n\nnothing", None),
            ("Parse ``line``\n    to parts:\n\n    detail", "Parse `line` to parts."),
            ("Hi.", None),
        ]:
            self.assertEqual(extract.sentence(doc), expect, doc)

    def test_name(self):
        self.assertEqual(extract.from_name("parse_header_line"), "Parse header line.")
        self.assertEqual(extract.from_name("parseHeaderLine"), "Parse header line.")
        self.assertIsNone(extract.from_name("header_line"))
        self.assertEqual(extract.third_person("apply"), "applies")

    def test_samples_of_the_standard_library_parse(self):
        warnings.simplefilter("ignore")
        for file in (pathlib.Path(ast.__file__), pathlib.Path(random.__file__)):
            found = list(extract.samples(file.name, file.read_text(), ""))
            self.assertGreaterEqual(len(found), 8)
            for _, where, text, _, _ in found:
                ast.parse(text)
                self.assertTrue(text.isascii() and "\t" not in text, where)


class Duplicates(unittest.TestCase):
    def test_same_body_under_another_name(self):
        seen = corpus.Seen()
        self.assertTrue(seen.fresh("def a(x):\n    return x + 1"))
        self.assertFalse(seen.fresh("def a(x):\n    return  x + 1"))
        self.assertFalse(seen.fresh("def b(x):\n    return x + 1"))
        self.assertTrue(seen.fresh("def b(x):\n    return x - 1"))

    def test_list_of_packages(self):
        names = [name for name, *_ in corpus.packages()]
        lines = [l for l in (HERE / "packages.txt").read_text().splitlines() if l and not l.startswith("#")]
        self.assertEqual(len(names), len(lines))
        self.assertEqual(len(set(names)), len(names))
        permissive = {"MIT", "ISC", "BSD-2-Clause", "BSD-3-Clause", "Apache-2.0", "Apache-2.0 OR GPL-2.0-or-later"}
        self.assertLessEqual({licence for *_, licence in corpus.packages()}, permissive)


@unittest.skipIf(bpe is None, "the `tokenizers` package is not installed")
class Tokens(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.tokenizer = bpe.load(HERE.parent)
        cls.codes = [t for t in bpe.lesson_texts(LESSONS) if "\n" in t]

    def ids(self, text):
        return self.tokenizer.encode(text).ids

    def test_size(self):
        self.assertEqual(self.tokenizer.get_vocab_size(), 8192)
        self.assertEqual(self.tokenizer.token_to_id(bpe.END), 0)

    def test_round_trip(self):
        random.seed(0)
        texts = ["h\xe9llo \u6f22\u5b57 \U0001f600\t\r\n\0", "  \n \n\t x\n\n\n   y", "a\u2028b", *self.codes]
        for _ in range(300):
            picks = [random.choice([random.randrange(1, 0xD7FF), random.randrange(32, 127), 10, 32, 9]) for _ in range(100)]
            texts.append("".join(map(chr, picks)))
        for text in texts:
            self.assertEqual(self.tokenizer.decode(self.ids(text), skip_special_tokens=False), text)

    def test_prompt_and_code_join(self):
        for prompt in ("### Response:\n", "### Response:\n```python\n", '"""Return it."""\n'):
            for code in self.codes:
                self.assertEqual(self.ids(prompt) + self.ids(code), self.ids(prompt + code))

    def test_a_name_is_the_same_tokens_everywhere(self):
        name = self.ids("load_the_user")
        for text in ("`load_the_user(path)`", "def load_the_user(path)", "x = load_the_user(path)", "(load_the_user)"):
            ids = self.ids(text)
            self.assertTrue(any(ids[i : i + len(name)] == name for i in range(len(ids))), text)


if __name__ == "__main__":
    unittest.main()
