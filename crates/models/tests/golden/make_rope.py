"""Makes rope.json: frequencies and lengths of every kind of rotary scaling, as transformers computes them.

    python make_rope.py        with torch and transformers installed
"""
import json, pathlib
import transformers as t
from transformers.modeling_rope_utils import ROPE_INIT_FUNCTIONS

DIMS = 16
SHORT = [1.0, 1.05, 1.1, 1.3, 1.7, 2.5, 4.0, 6.5]
LLAMA3 = {"rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
          "original_max_position_embeddings": 8192}
# Scaling, base, the whole context, and the original one where the configuration names it beside.
CASES = [
    ({"rope_type": "linear", "factor": 4.0}, 1e4, 16384, None),
    (LLAMA3, 5e5, 131072, None),
    ({"rope_type": "dynamic", "factor": 2.0}, 1e4, 4096, None),
    ({"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 32768}, 1e6, 131072, None),
    ({"rope_type": "yarn", "factor": 16.0, "original_max_position_embeddings": 4096, "beta_fast": 16, "beta_slow": 2,
      "truncate": False}, 1e4, 65536, None),
    ({"rope_type": "yarn", "factor": 40, "original_max_position_embeddings": 4096, "mscale": 0.707,
      "mscale_all_dim": 1.4}, 1e4, 163840, None),
    ({"rope_type": "yarn", "factor": 2.0, "original_max_position_embeddings": 64, "attention_factor": 1.25}, 1e4, 128, None),
    ({"rope_type": "longrope", "short_factor": SHORT, "long_factor": [8.0] * 8}, 1e4, 131072, 4096),
    ({"rope_type": "longrope", "short_factor": SHORT, "long_factor": [8.0] * 8, "factor": 3.0, "attention_factor": 1.1},
     1e4, 131072, 4096),
]

made = []
for rope, theta, positions, original in CASES:
    more = {} if original is None else {"original_max_position_embeddings": original}
    kind = t.LlamaConfig if original is None else t.Phi3Config
    pad = {} if original is None else {"pad_token_id": 0}
    config = kind(hidden_size=4 * DIMS, num_attention_heads=4, max_position_embeddings=positions,
                  rope_parameters={**rope, "rope_theta": theta}, **more, **pad)
    config.head_dim = DIMS
    frequencies, length = ROPE_INIT_FUNCTIONS[rope["rope_type"]](config, "cpu")
    made.append({"rope": rope, "theta": theta, "dims": DIMS, "positions": positions, "original": original,
                 "frequencies": [float(f) for f in frequencies], "length": float(length)})
(pathlib.Path(__file__).parent / "rope.json").write_text(json.dumps(made, indent=1) + "\n")
