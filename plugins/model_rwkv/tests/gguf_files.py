"""RWKV-7 in GGUF: written here in llama.cpp's names, and read back into BlinkDL's by `gguf`."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import gguf
import numpy as np

from tests.outside.llama_cpp import converter_script

from .checkpoints import Shape, Tensors

NAMES = (
    ("emb.weight", "token_embd.weight"),
    ("head.weight", "output.weight"),
    ("ln_out.", "output_norm."),
    ("blocks.0.ln0.", "token_embd_norm."),
    ("blocks.", "blk."),
    (".ln1.", ".attn_norm."),
    (".ln2.", ".attn_norm_2."),
    (".att.ln_x.", ".time_mix_ln."),
    (".att.", ".time_mix_"),
    (".ffn.x_k", ".channel_mix_lerp_k"),
    (".ffn.", ".channel_mix_"),
)
PAIRED = tuple(f"time_mix_{x}{n}.weight" for x in "wavg" for n in "12")


def gguf_name(name: str) -> str:
    """Return llama.cpp's name of one of BlinkDL's tensors."""
    for theirs, ours in NAMES:
        name = name.replace(theirs, ours)
    return name if name.endswith((".weight", ".bias")) else f"{name}.weight"


def write_gguf(path: Path, tensors: Mapping[str, np.ndarray], shape: Shape) -> Path:
    """Write a float32 file as llama.cpp's converter lays it out."""
    w = gguf.GGUFWriter(str(path), "rwkv7")
    w.add_block_count(shape.layers)
    w.add_context_length(1 << 20)
    w.add_embedding_length(shape.width)
    w.add_feed_forward_length(shape.hidden)
    w.add_head_count(0)
    w.add_layer_norm_eps(1e-5)
    w.add_wkv_head_size(shape.head_dim)
    w.add_decay_lora_rank(shape.decay)
    w.add_iclr_lora_rank(shape.rate)
    w.add_value_residual_mix_lora_rank(shape.value)
    w.add_gate_lora_rank(shape.gate)
    for layer in range(shape.layers):
        shifts = [tensors[f"blocks.{layer}.att.x_{x}"] for x in "rwkvag"]
        w.add_tensor(f"blk.{layer}.time_mix_lerp_fused.weight", np.stack(shifts))
    for name, numbers in tensors.items():
        if ".att.x_" in name:
            continue
        theirs = gguf_name(name)
        if theirs.endswith(PAIRED):
            numbers = numbers.T
        elif ".ffn.x_k" not in name and (name[-2:-1] == "_" or name[-1] == "0"):
            numbers = numbers.reshape(-1)
        w.add_tensor(theirs, np.ascontiguousarray(numbers))
        if theirs.startswith("blk.0.time_mix_a"):  # what llama.cpp wants to see, and never uses
            w.add_tensor(theirs.replace("mix_a", "mix_v"), np.ascontiguousarray(numbers))
    w.write_header_to_file()
    w.write_kv_data_to_file()
    w.write_tensors_to_file()
    w.close()
    return path


def read_gguf(path: Path, like: Mapping[str, np.ndarray]) -> Tensors:
    """Return a file's numbers, decoded by `gguf`, in the names and shapes of `like`."""
    numbers = {
        tensor.name: np.array(gguf.dequantize(tensor.data, tensor.tensor_type), np.float32)
        for tensor in gguf.GGUFReader(path).tensors
    }
    found: Tensors = {}
    for name, wanted in like.items():
        if ".att.x_" in name:
            layer = name.split(".")[1]
            fused = numbers[f"blk.{layer}.time_mix_lerp_fused.weight"].reshape(6, -1)
            values = fused["rwkvag".index(name[-1])]
        else:
            theirs = gguf_name(name)
            values = numbers[theirs]
            if theirs.endswith(PAIRED):
                values = values.T
        found[name] = np.ascontiguousarray(values.reshape(wanted.shape))
    return found


def convert(folder: Path, out: Path, kind: str) -> Path:
    """Run llama.cpp's converter; skips by name where there is none.

    A process each: its class for RWKV-7 remembers the tensors of the checkpoint before.
    """
    command = [sys.executable, converter_script(), folder, "--outfile", out, "--outtype", kind]
    done = subprocess.run([str(word) for word in command], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    return out
