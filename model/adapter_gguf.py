"""A checkpoint's adapter as a GGUF file, so that llama.cpp can be measured at the same work.

Owns the names and the order of rows that llama.cpp wants. Nothing of the product reads such files.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from torch import Tensor

from model.adapter import PREFIX, AdapterConfig

NAMES = {
    "q_proj": "attn_q",
    "k_proj": "attn_k",
    "v_proj": "attn_v",
    "o_proj": "attn_output",
    "gate_proj": "ffn_gate",
    "up_proj": "ffn_up",
    "down_proj": "ffn_down",
}
SIDES = {"down": "lora_a", "up": "lora_b"}


def write_adapter(
    path: Path, config: AdapterConfig, tensors: Mapping[str, Tensor], n_heads: int, n_kv_heads: int
) -> int:
    """Writes the adapter among `tensors` for a model of Llama's layout; returns how many it wrote."""
    import gguf

    writer = gguf.GGUFWriter(path, "llama")
    writer.add_type("adapter")
    writer.add_string("adapter.type", "lora")
    writer.add_float32("adapter.lora.alpha", config.alpha)
    n_written = 0
    for name in sorted(name for name in tensors if name.startswith(PREFIX)):
        _, _, layer, target, side = name.split(".")
        rows = tensors[name].float().numpy()
        if side == "up" and target in ("q_proj", "k_proj"):
            rows = _rotary_order(rows, n_heads if target == "q_proj" else n_kv_heads)
        writer.add_tensor(f"blk.{layer}.{NAMES[target]}.weight.{SIDES[side]}", np.ascontiguousarray(rows))
        n_written += 1
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return n_written


def _rotary_order(rows: np.ndarray, n_heads: int) -> np.ndarray:
    """Llama files keep the two halves that a rotary embedding turns together side by side."""
    n_outputs, rank = rows.shape
    return rows.reshape(n_heads, 2, n_outputs // n_heads // 2, rank).swapaxes(1, 2).reshape(n_outputs, rank)
