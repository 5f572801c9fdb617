"""Makes the goldens of every family: a tiny random checkpoint, its logits, an adapter, and gradients of both.

    python make.py [FAMILY ..]        with torch, transformers and peft installed

What a folder holds: the checkpoint as transformers saves it, `adapter/` and `prefix/` as PEFT saves them, their gradients
in `gradients.safetensors` and `prefix-gradients.safetensors`, `full-gradients.safetensors` of every weight, all for
`sum(weights * log p)`, and `golden.json` with the rest.
"""
import json, pathlib, sys
import torch
from peft import LoraConfig, PrefixTuningConfig, get_peft_model
from safetensors.torch import save_file
from tokenizers import Tokenizer
from tokenizers.processors import TemplateProcessing
import transformers as t

HERE = pathlib.Path(__file__).parent
LONG = dict(vocab_size=64, hidden_size=16, intermediate_size=24, num_hidden_layers=2, num_attention_heads=4,
            max_position_embeddings=64, initializer_range=0.2)
SHORT = dict(vocab_size=64, n_embd=16, n_inner=24, n_layer=2, n_head=4, n_positions=64, initializer_range=0.2,
             resid_pdrop=0, embd_pdrop=0, attn_pdrop=0)
END, BOS = 61, 60
ENDS = dict(bos_token_id=END, eos_token_id=END)
STARTS = dict(bos_token_id=BOS, eos_token_id=END)
QV = ["q_proj", "v_proj", "down_proj"]

# Family: model, configuration, an adapter's targets, and whether its tokenizer puts a BOS first.
FAMILIES = {
    "llama": (t.LlamaForCausalLM, t.LlamaConfig(**LONG, **STARTS, num_key_value_heads=2, rms_norm_eps=1e-5,
              rope_parameters={"rope_type": "llama3", "rope_theta": 10000.0, "factor": 8.0, "low_freq_factor": 1.0,
                               "high_freq_factor": 4.0, "original_max_position_embeddings": 8}), QV, True),
    "mistral": (t.MistralForCausalLM, t.MistralConfig(**LONG, **STARTS, num_key_value_heads=2, sliding_window=4), QV, True),
    "phi": (t.PhiForCausalLM, t.PhiConfig(**LONG, **ENDS, partial_rotary_factor=0.5, resid_pdrop=0.0),
            ["q_proj", "dense", "fc1", "fc2"], False),
    "phi3": (t.Phi3ForCausalLM, t.Phi3Config(**LONG, **STARTS, pad_token_id=END, num_key_value_heads=2, sliding_window=5,
             original_max_position_embeddings=32, rope_parameters={"rope_type": "longrope", "rope_theta": 10000.0,
             "short_factor": [1.5, 4.0], "long_factor": [9.0, 9.0]}),
             ["qkv_proj", "gate_up_proj", "down_proj"], True),
    "starcoder2": (t.Starcoder2ForCausalLM, t.Starcoder2Config(**LONG, **ENDS, num_key_value_heads=2, sliding_window=4),
                   ["k_proj", "o_proj", "c_fc"], False),
    "gpt_bigcode": (t.GPTBigCodeForCausalLM, t.GPTBigCodeConfig(**SHORT, **ENDS, multi_query=True),
                    ["c_attn", "c_proj", "c_fc"], False),
    "codegen": (t.CodeGenForCausalLM, t.CodeGenConfig(**{**SHORT, "n_embd": 32}, **ENDS, rotary_dim=4),
                ["qkv_proj", "fc_in"], False),
    "gpt2": (t.GPT2LMHeadModel, t.GPT2Config(**SHORT, **ENDS), ["c_attn", "c_fc"], False),
    "gpt_neox": (t.GPTNeoXForCausalLM, t.GPTNeoXConfig(**LONG, **ENDS, rotary_pct=0.5, hidden_dropout=0.0),
                 ["query_key_value", "dense_4h_to_h"], False),
    "gemma": (t.GemmaForCausalLM, t.GemmaConfig(**LONG, **STARTS, num_key_value_heads=1, head_dim=8), QV, True),
    "qwen2": (t.Qwen2ForCausalLM, t.Qwen2Config(**LONG, bos_token_id=None, eos_token_id=END, num_key_value_heads=2,
              rope_parameters={"rope_type": "yarn", "rope_theta": 10000.0, "factor": 4.0,
                               "original_max_position_embeddings": 16}), QV, False),
    "qwen3": (t.Qwen3ForCausalLM, t.Qwen3Config(**LONG, bos_token_id=None, eos_token_id=END, num_key_value_heads=2, head_dim=8),
              QV + ["k_proj"], False),
}


def tokenizer(out, bos):
    words = {chr(33 + i): i for i in range(58)} | {"aa": 58, "ab": 59, "<s>": BOS, "</s>": END}
    byte_level = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": False}
    made = Tokenizer.from_str(json.dumps({
        "version": "1.0", "truncation": None, "padding": None, "normalizer": None, "pre_tokenizer": byte_level,
        "added_tokens": [{"id": i, "content": c, "single_word": False, "lstrip": False, "rstrip": False, "normalized": False,
                          "special": True} for c, i in [("<s>", BOS), ("</s>", END)]],
        "post_processor": None, "decoder": byte_level,
        "model": {"type": "BPE", "dropout": None, "unk_token": None, "continuing_subword_prefix": None,
                  "end_of_word_suffix": None, "fuse_unk": False, "byte_fallback": False,
                  "vocab": words | {"a": 62, "b": 63}, "merges": ["a a", "a b"]}}))
    if bos:
        made.post_processor = TemplateProcessing(single="<s> $A", special_tokens=[("<s>", BOS)])
    fast = t.PreTrainedTokenizerFast(tokenizer_object=made, bos_token="<s>" if bos else None, eos_token="</s>")
    fast.save_pretrained(out)
    return fast


def make(name):
    out = HERE / name
    kind, config, targets, bos = FAMILIES[name]
    torch.manual_seed(0)
    config._attn_implementation = "eager"
    model = kind(config).eval()
    for key, p in model.named_parameters():
        if p.dim() == 1:
            p.data += 0.1 * torch.randn_like(p)
    model.save_pretrained(out)
    tok = tokenizer(out, bos)
    ids = torch.tensor([[BOS, 5, 17, 59, 3, 3, 42, 8, 33, 12, 50, END]])
    with torch.no_grad():
        logits = model(ids).logits[0]
    logp = lambda m: torch.log_softmax(m(ids).logits[0, :-1].float(), -1).gather(1, ids[0, 1:, None]).squeeze(1)
    weights = torch.linspace(-1, 1, ids.numel() - 1)
    (weights * logp(model)).sum().backward()
    # GPT-NeoX's head has another name on disk.
    on_disk = lambda n: n.replace("lm_head", "embed_out") if name == "gpt_neox" else n
    save_file({on_disk(n): p.grad.contiguous() for n, p in model.named_parameters()}, out / "full-gradients.safetensors")
    model.zero_grad()
    lora = get_peft_model(model, LoraConfig(r=2, lora_alpha=8, target_modules=targets, task_type="CAUSAL_LM"))
    for n, p in lora.named_parameters():
        if "lora_B" in n:
            p.data = 0.1 * torch.randn_like(p)
    lora.save_pretrained(out / "adapter")
    (out / "adapter" / "README.md").unlink()
    adapted = logp(lora)
    (weights * adapted).sum().backward()
    grads = {n.replace(".default", ""): p.grad.contiguous() for n, p in lora.named_parameters() if p.grad is not None}
    save_file(grads, out / "gradients.safetensors")
    round_ = lambda x: [round(float(v), 7) for v in x]
    text = "aabab!#"
    json.dump({"ids": ids[0].tolist(), "logits": [round_(row) for row in logits], "adapted-logp": round_(adapted),
               "weights": round_(weights), "text": text, "text-ids": tok(text).input_ids},
              open(out / "golden.json", "w"))


def without_path(adapter):
    """An adapter's folder says nothing of the machine it was made on."""
    (adapter / "README.md").unlink()
    config = json.load(open(adapter / "adapter_config.json"))
    json.dump(config | {"base_model_name_or_path": None}, open(adapter / "adapter_config.json", "w"), indent=2)


def prefix(name):
    """A prefix on the saved checkpoint: PEFT counts positions from its end on."""
    out = HERE / name
    model = t.AutoModelForCausalLM.from_pretrained(out, dtype=torch.float32, attn_implementation="eager").eval()
    facts = json.load(open(out / "golden.json"))
    ids, weights = torch.tensor([facts["ids"]]), torch.tensor(facts["weights"])
    torch.manual_seed(1)
    tuned = get_peft_model(model, PrefixTuningConfig(num_virtual_tokens=3, task_type="CAUSAL_LM")).eval()
    table = tuned.prompt_encoder.default.embedding.weight
    table.data = 0.5 * torch.randn_like(table)
    tuned.save_pretrained(out / "prefix")
    without_path(out / "prefix")
    logp = torch.log_softmax(tuned(ids).logits[0, :-1].float(), -1).gather(1, ids[0, 1:, None]).squeeze(1)
    (weights * logp).sum().backward()
    save_file({"prompt_embeddings": table.grad.contiguous()}, out / "prefix-gradients.safetensors")
    facts["prefix-logp"] = [round(float(v), 7) for v in logp]
    json.dump(facts, open(out / "golden.json", "w"))


def tables(name):
    """Adapters of the embedding and of a head of its own, beside one projection."""
    out = HERE / name
    model = t.AutoModelForCausalLM.from_pretrained(out, dtype=torch.float32, attn_implementation="eager").eval()
    # GPT-NeoX's head has another name on disk than in memory, and PEFT writes the latter.
    if model.config.tie_word_embeddings or name == "gpt_neox":
        return
    facts = json.load(open(out / "golden.json"))
    ids, weights = torch.tensor([facts["ids"]]), torch.tensor(facts["weights"])
    embedding = next(n for n, m in model.named_modules() if m is model.get_input_embeddings()).rsplit(".")[-1]
    torch.manual_seed(2)
    targets = [embedding, "lm_head", FAMILIES[name][2][0]]
    tuned = get_peft_model(model, LoraConfig(r=2, lora_alpha=8, target_modules=targets, task_type="CAUSAL_LM")).eval()
    for n, p in tuned.named_parameters():
        if "lora_" in n:
            p.data = 0.2 * torch.randn_like(p)
    tuned.save_pretrained(out / "tables", save_embedding_layers=False)
    without_path(out / "tables")
    logp = torch.log_softmax(tuned(ids).logits[0, :-1].float(), -1).gather(1, ids[0, 1:, None]).squeeze(1)
    (weights * logp).sum().backward()
    grads = {n.replace(".default", ""): p.grad.contiguous() for n, p in tuned.named_parameters() if p.grad is not None}
    save_file(grads, out / "tables-gradients.safetensors")
    facts["tables-logp"] = [round(float(v), 7) for v in logp]
    json.dump(facts, open(out / "golden.json", "w"))


for name in sys.argv[1:] or FAMILIES:
    make(name)
    prefix(name)
    tables(name)
    print(name)
