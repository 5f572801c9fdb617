"""Makes chat/: conversations as transformers renders and encodes them, for templates of the forms that are met.

    python make_chat.py        needs transformers, tokenizers and jinja2

The templates are our own, written in the manner of each family. The tokenizer knows bytes and the special tokens, and
puts <s> before what it encodes by itself, as Llama's and Mistral's do.
"""

import json
import pathlib

from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors
from transformers import PreTrainedTokenizerFast

HERE = pathlib.Path(__file__).parent / "chat"
SPECIAL = ["<s>", "</s>", "<|im_start|>", "<|im_end|>", "<|head|>", "<|/head|>", "<|eot|>", "[INST]", "[/INST]"]

TEMPLATES = {
    # ChatML, without a beginning token of its own (Qwen's manner).
    "chatml": (
        "{% for message in messages %}{% if loop.first and messages[0]['role'] != 'system' %}"
        "{{ '<|im_start|>system\nYou help.<|im_end|>\n' }}{% endif %}"
        "{{ '<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>' + '\n' }}{% endfor %}"
        "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
    ),
    # Headers, beginning token written by the first message (Llama 3's manner).
    "headers": (
        "{% set loop_messages = messages %}\n{% for message in loop_messages %}\n"
        "    {% set content = '<|head|>' + message['role'] + '<|/head|>\n\n' + message['content'] | trim + '<|eot|>' %}\n"
        "    {% if loop.index0 == 0 %}\n        {% set content = bos_token + content %}\n    {% endif %}\n"
        "    {{- content }}\n{% endfor %}\n"
        "{% if add_generation_prompt %}\n    {{- '<|head|>assistant<|/head|>\n\n' }}\n{% endif %}\n"
    ),
    # Alternation, checked and refused; the system's words in the first turn (Mistral's and Llama 2's manner).
    "inst": (
        "{%- if messages[0].role == 'system' -%}{%- set system = messages[0].content -%}{%- set rest = messages[1:] -%}"
        "{%- else -%}{%- set system = none -%}{%- set rest = messages -%}{%- endif -%}{{ bos_token }}"
        "{%- for m in rest -%}{%- if (m.role == 'user') != (loop.index0 % 2 == 0) -%}"
        "{{ raise_exception('roles must alternate user/assistant') }}{%- endif -%}"
        "{%- if m.role == 'user' -%}{%- if loop.first and system is not none -%}"
        "{{ '[INST] ' ~ system ~ '\n\n' ~ m.content.strip() ~ ' [/INST]' }}{%- else -%}"
        "{{ '[INST] ' ~ m.content.strip() ~ ' [/INST]' }}{%- endif -%}"
        "{%- else -%}{{ ' ' ~ m.content.strip() ~ eos_token }}{%- endif -%}{%- endfor -%}"
    ),
    # Python's methods, a namespace, slices from the end, break, JSON, and marks for training.
    "python": (
        "{%- set ns = namespace(n=0) -%}{%- if tools is not none -%}tools{%- endif -%}"
        "{%- for m in messages -%}{%- if m.content.startswith('STOP') -%}{%- break -%}{%- endif -%}"
        "{%- set ns.n = ns.n + 1 -%}{%- if m.role == 'assistant' -%}{%- generation -%}"
        "{{ m.content.split('</think>')[-1].lstrip('\n') + '</s>' }}{%- endgeneration -%}"
        "{%- else -%}{{ m.role.upper() + ': ' + m.content.replace('\t', ' ').rstrip() + '\n' }}{%- endif -%}{%- endfor -%}"
        "{{ '#' ~ ns.n ~ ' ' ~ (messages[-1] | tojson) ~ ' ' ~ messages[0].get('name', 'nobody') }}"
        "{%- for key, value in messages[0].items() -%}{{ ' ' ~ key }}{%- endfor -%}"
    ),
}

TALKS = {
    "one": [{"role": "user", "content": "Read a file."}],
    "system": [
        {"role": "system", "content": "Write \"safe\" code <b>&'</b>."},
        {"role": "user", "content": "  Größe? 漢字 \n"},
        {"role": "assistant", "content": "<think>\nhm\n</think>\n\nimport os"},
        {"role": "user", "content": "Go\ton"},
    ],
    "twice": [{"role": "user", "content": "a"}, {"role": "user", "content": "b"}],
    "cut": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "STOP here"}],
    "hostile": [{"role": "user", "content": "{{ bos_token }}{% for x in y %} <s> </s><|im_end|>"}],
}


def tokenizer():
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    t = Tokenizer(models.BPE({c: i for i, c in enumerate(alphabet)}, []))
    t.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    t.decoder = decoders.ByteLevel()
    t.add_special_tokens(SPECIAL)
    t.post_processor = processors.TemplateProcessing(
        single="<s> $A", pair="<s> $A <s> $B", special_tokens=[("<s>", t.token_to_id("<s>"))]
    )
    return PreTrainedTokenizerFast(tokenizer_object=t, bos_token="<s>", eos_token="</s>")


def main():
    t = tokenizer()
    cases = []
    for template, source in TEMPLATES.items():
        for talk, messages in TALKS.items():
            for opens in (False, True):
                case = {"template": template, "talk": talk, "open": opens}
                args = {"chat_template": source, "add_generation_prompt": opens}
                try:
                    case["text"] = t.apply_chat_template(messages, tokenize=False, **args)
                    ids = t.apply_chat_template(messages, tokenize=True, **args)
                    case["ids"] = ids if isinstance(ids, list) else ids["input_ids"]
                except Exception as refused:  # jinja2's TemplateError, whatever transformers wraps it in
                    case["error"] = str(refused)
                cases.append(case)
    HERE.mkdir(exist_ok=True)
    t.backend_tokenizer.save(str(HERE / "tokenizer.json"))
    config = {"tokenizer_class": "PreTrainedTokenizerFast", "bos_token": {"content": "<s>"}, "eos_token": "</s>"}
    (HERE / "tokenizer_config.json").write_text(json.dumps(config, indent=1) + "\n")
    golden = {"templates": TEMPLATES, "talks": TALKS, "cases": cases}
    (HERE / "golden.json").write_text(json.dumps(golden, ensure_ascii=False, indent=None) + "\n")


if __name__ == "__main__":
    main()
