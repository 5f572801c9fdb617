"""Samples and lessons in, models/tiny/tokenizer.json out: byte-level BPE of 8,192 tokens made for short Python.

A line break and the indentation after it are one token, digits are single, and no token crosses from a line break into
text, so a prompt that ends in a line break and the code after it give the same tokens apart as together.
"""

import itertools
import json
import pathlib
import re

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, pre_tokenizers, trainers

VOCABULARY = 8192
END = "<|endoftext|>"
KEYWORDS = "and|as|assert|async|await|class|def|del|elif|else|except|for|from|global|if|import|in|is|lambda|not|or|raise|return|while|with|yield"
# In turn: a line break with the indentation of the next line; a keyword with its spaces; a name or a word; a digit; operators
# with their spaces; runs of spaces; other white space. Spaces go to keywords and operators so that a name is the same token
# wherever it stands ("`load(path)`", "def load(path)", "x = load(path)"): what the task names, the code can copy.
PIECES = rf"\n(?: +(?=[^ \n]))?| ?(?:{KEYWORDS}) | ?[A-Za-z_][A-Za-z0-9_]*| ?[0-9]| ?[^\sA-Za-z0-9_]+ ?| +|\s"
TEMPLATE = (
    "Below is an instruction that describes a task. Write a response that appropriately completes the request.\n\n"
    "### Instruction:\nWrite a Python function.\n\n### Security Thought:\nThe code may have the vulnerability CWE-89 (SQL"
    " Injection).\n\n### Response:\n```python\ndef f():\n    return None\n```\n"
)
LESSON_SHARE = 20  # how often a lesson's text counts against once for a sample's
CODE_CHARACTERS = 8_000_000  # of the samples, taken at even steps


def lesson_texts(folder):
    """Yield the texts that training on lessons shows: instructions, reasoning and code, with a few slot values filled in."""
    for path in sorted(folder.glob("*.md")):
        text = path.read_text(encoding="utf-8")
        slots = {}
        head, _, body = text[4:].partition("\n+++")
        for name, value in re.findall(r"(?m)^(\w+) = (\[.*?\])$", head.partition("[slots]")[2]):
            slots[name] = re.findall(r'\{[^{}]*\}|"(?:[^"\\]|\\.)*"', value)
        title = re.search(r'weakness = "(.*)"', head)
        for turn in range(3):
            def fill(match):
                name, _, field = match.group(1).partition(".")
                options = slots.get(name) or [match.group(1)]
                option = options[turn % len(options)]
                if field:
                    found = re.search(rf'\b{field} = "((?:[^"\\]|\\.)*)"', option)
                    option = found.group(1) if found else field
                return option.strip('"').replace('\\"', '"').replace("\\n", "\n").replace("\\\\", "\\")

            parts = re.split(r"(?m)^## (.+)\n", body)
            for section, content in zip(parts[1::2], parts[2::2]):
                content = re.sub(r"<<([\w.]+)>>", fill, content)
                if section in ("Insecure", "Secure"):
                    yield from re.findall(r"```python\n(.*?)```", content, re.DOTALL)
                elif section in ("Instruction", "Reasoning"):
                    yield from (re.sub(r"^- (?:\w+: )?", "", line) for line in content.strip().split("\n"))
        if title:
            yield f"The code may have the vulnerability CWE-89 ({title.group(1)})."


def build():
    """Return the tokenizer before training."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(PIECES), behavior="isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    return tokenizer


def train(samples, lessons, folder):
    """Train the tokenizer on the samples and, with more weight, the lessons; write its three files into `folder`."""
    tokenizer = build()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY,
        min_frequency=2,
        special_tokens=[AddedToken(END, special=True, normalized=False)],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    taught = list(lesson_texts(lessons)) + [TEMPLATE] * 100
    step = max(1, sum(len(s["text"]) for s in samples) // CODE_CHARACTERS)
    texts = itertools.chain((s["text"] for s in samples[::step]), taught * LESSON_SHARE)
    tokenizer.train_from_iterator(texts, trainer)
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer.save(str(folder / "tokenizer.json"))
    config = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "eos_token": END,
        "model_max_length": 1024,
        "clean_up_tokenization_spaces": False,
    }
    (folder / "tokenizer_config.json").write_text(json.dumps(config, indent=2) + "\n")
    (folder / "special_tokens_map.json").write_text(json.dumps({"eos_token": END}, indent=2) + "\n")


def load(folder):
    """Return the tokenizer of models/tiny."""
    return Tokenizer.from_file(str(pathlib.Path(folder) / "tokenizer.json"))
