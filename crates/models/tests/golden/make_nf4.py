"""Makes nf4.safetensors: a weight in four bits as bitsandbytes stores it.

    python make_nf4.py        with torch and bitsandbytes installed
"""
import pathlib
import bitsandbytes.functional as F
import torch
from safetensors.torch import save_file

torch.manual_seed(0)
# 260 blocks of 64: the scales fill one block of 256 and begin another.
weight = (torch.randn(130, 128) * torch.rand(130, 1)).to(torch.bfloat16)
codes, state = F.quantize_4bit(weight.float(), blocksize=64, compress_statistics=True, quant_type="nf4")
save_file({"weight": weight, "codes": codes.flatten(), "scales": state.absmax, "factors": state.state2.absmax,
           "values": F.dequantize_4bit(codes, state).to(torch.bfloat16)},
          pathlib.Path(__file__).parent / "nf4.safetensors")
