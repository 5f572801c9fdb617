"""Makes the Llama goldens: a random checkpoint with grouped keys and values, its logits, and LoRA gradients.

Needs torch, transformers and peft:  python make_llama.py llama
"""
import json, sys
import torch
from peft import LoraConfig, get_peft_model
from safetensors.torch import save_file
from transformers import LlamaConfig, LlamaForCausalLM

out = sys.argv[1]
torch.manual_seed(0)
model = LlamaForCausalLM(LlamaConfig(
    vocab_size=96, hidden_size=32, intermediate_size=48, num_hidden_layers=2, num_attention_heads=4,
    num_key_value_heads=2, max_position_embeddings=64, rms_norm_eps=1e-5, rope_theta=10000.0,
    tie_word_embeddings=False, bos_token_id=0, eos_token_id=0, initializer_range=0.2))
for name, p in model.named_parameters():
    if "norm" in name:
        p.data += 0.1 * torch.randn_like(p)
model.save_pretrained(out)
ids = torch.tensor([[0, 5, 17, 95, 3, 3, 42, 8, 61, 0]])
with torch.no_grad():
    logits = model(ids).logits[0]
lora = get_peft_model(model, LoraConfig(r=4, lora_alpha=8, target_modules=["q_proj", "v_proj", "down_proj"], task_type="CAUSAL_LM"))
for name, p in lora.named_parameters():
    if "lora_B" in name:
        p.data = 0.05 * torch.randn_like(p)
lora.save_pretrained(f"{out}/adapter")
with lora.disable_adapter():
    for p in model.parameters():
        p.requires_grad_(True)
    plain = torch.log_softmax(lora(ids).logits[0, :-1], -1).gather(1, ids[0, 1:, None]).squeeze(1)
    (torch.linspace(-1, 1, plain.numel()) * plain).sum().backward()
    clean = lambda n: n.replace("base_model.model.", "").replace(".base_layer", "")
    save_file({clean(n): p.grad.contiguous() for n, p in lora.named_parameters() if p.grad is not None and "lora_" not in n},
              f"{out}/full-gradients.safetensors")
    for n, p in lora.named_parameters():
        p.grad = None
        p.requires_grad_("lora_" in n)
logp = torch.log_softmax(lora(ids).logits[0, :-1], -1).gather(1, ids[0, 1:, None]).squeeze(1)
weights = torch.linspace(-1, 1, logp.numel())
(weights * logp).sum().backward()
grads = {n: p.grad.contiguous() for n, p in lora.named_parameters() if p.grad is not None}
save_file({k.replace(".default", ""): v for k, v in grads.items()}, f"{out}/gradients.safetensors")
json.dump({"ids": ids[0].tolist(), "logits": logits.tolist(), "adapted-logp": logp.tolist(), "weights": weights.tolist()},
          open(f"{out}/golden.json", "w"))
words = {chr(33 + i): i for i in range(93)} | {"<|end|>": 93, "aa": 94, "ab": 95}
json.dump({"version": "1.0", "truncation": None, "padding": None, "added_tokens": [], "normalizer": None,
           "pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": False},
           "post_processor": None, "decoder": {"type": "ByteLevel", "add_prefix_space": True, "trim_offsets": True, "use_regex": True},
           "model": {"type": "BPE", "dropout": None, "unk_token": None, "continuing_subword_prefix": None,
                     "end_of_word_suffix": None, "fuse_unk": False, "byte_fallback": False, "vocab": words,
                     "merges": ["a a", "a b"]}}, open(f"{out}/tokenizer.json", "w"))
