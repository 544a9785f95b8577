"""A GGUF file of RWKV-7-World-0.1B's shape with random weights, and its quantised forms.

As `shape.py`: speed does not depend on the numbers. The types are those of llama.cpp's converter:
the low-rank pairs stay float16, that of the decay float32, in every quantised form too.
"""

from __future__ import annotations

import json
import os
from pathlib import Path

import gguf
import numpy as np
from shape import quantise

LAYERS, WIDTH, HEAD_DIM, FFN, VOCABULARY = 12, 768, 64, 3072, 65536
RANKS = {"w": 64, "a": 64, "v": 32, "g": 128}
# Multiply-adds of a token in the layers' matrices.
LAYER_MACS = LAYERS * (4 * WIDTH**2 + 2 * WIDTH * FFN + 2 * WIDTH * sum(RANKS.values()))
# By llama.cpp's numbers of file types.
FILE_TYPES = {"q4_0": 2, "q8_0": 7}
FORMATS = ("q4_0", "q8_0", "f16")
PEER = "rwkv"
PEERS = {"f32": ("f32",)}
F16, F32 = gguf.GGMLQuantizationType.F16, gguf.GGMLQuantizationType.F32


def make(folder: Path, format: str) -> Path:
    """Return the file of a format, made once."""
    path = folder / f"rwkv7-0.1b-shape-{format}.gguf"
    if path.exists():
        return path
    part = path.with_suffix(".part")
    if format == "f16":
        _write(part)
    else:
        quantise(make(folder, "f16"), part, FILE_TYPES[format])
    os.replace(part, path)
    return path


def make_folder(folder: Path, format: str) -> Path:
    """Return a folder in BlinkDL's names, "f32", also as a `model.pth`; made once."""
    import torch
    from safetensors.torch import save_file

    path = folder / f"rwkv7-0.1b-shape-{format}"
    if path.exists():
        return path
    part = path.with_suffix(".part")
    part.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(0)
    tensors: dict[str, torch.Tensor] = {}

    def matrix(name: str, rows: int, cols: int) -> None:
        tensors[name] = torch.randn(rows, cols) * 0.02

    def vector(name: str, value: float) -> None:
        tensors[name] = torch.full((1, 1, WIDTH), value)

    def norm(name: str) -> None:
        tensors[f"{name}.weight"], tensors[f"{name}.bias"] = torch.ones(WIDTH), torch.zeros(WIDTH)

    matrix("emb.weight", VOCABULARY, WIDTH)
    matrix("head.weight", VOCABULARY, WIDTH)
    norm("ln_out")
    norm("blocks.0.ln0")
    for n in range(LAYERS):
        block = f"blocks.{n}."
        for name in ("ln1", "ln2", "att.ln_x"):
            norm(block + name)
        for letter in "rwkvag":
            vector(f"{block}att.x_{letter}", 0.5)
        for name, value in (("w0", -2.0), ("a0", 0.0), ("v0", 0.5), ("k_k", 0.8), ("k_a", 1.0)):
            vector(f"{block}att.{name}", value)
        tensors[f"{block}att.r_k"] = torch.full((WIDTH // HEAD_DIM, HEAD_DIM), 0.1)
        for letter, rank in RANKS.items():
            matrix(f"{block}att.{letter}1", WIDTH, rank)
            matrix(f"{block}att.{letter}2", rank, WIDTH)
        for name in ("receptance", "key", "value", "output"):
            matrix(f"{block}att.{name}.weight", WIDTH, WIDTH)
        vector(f"{block}ffn.x_k", 0.5)
        matrix(f"{block}ffn.key.weight", FFN, WIDTH)
        matrix(f"{block}ffn.value.weight", WIDTH, FFN)
    save_file(tensors, part / "model.safetensors")
    torch.save(tensors, part / "model.pth")
    config = {
        "architectures": ["RWKV7ForCausalLM"],
        "model_type": "rwkv7",
        "vocab_size": VOCABULARY,
        "hidden_size": WIDTH,
        "num_hidden_layers": LAYERS,
        "head_dim": HEAD_DIM,
        "num_heads": WIDTH // HEAD_DIM,
        "intermediate_size": FFN,
        "norm_eps": 1e-5,
        "has_ln0": True,
    }
    (part / "config.json").write_text(json.dumps(config, indent=1) + "\n")
    os.replace(part, path)
    return path


def _write(path: Path) -> None:
    rng = np.random.default_rng(0)
    w = gguf.GGUFWriter(str(path), "rwkv7")
    w.add_block_count(LAYERS)
    w.add_context_length(1 << 20)
    w.add_embedding_length(WIDTH)
    w.add_feed_forward_length(FFN)
    w.add_head_count(0)
    w.add_layer_norm_eps(1e-5)
    w.add_wkv_head_size(HEAD_DIM)
    w.add_decay_lora_rank(RANKS["w"])
    w.add_iclr_lora_rank(RANKS["a"])
    w.add_value_residual_mix_lora_rank(RANKS["v"])
    w.add_gate_lora_rank(RANKS["g"])
    w.add_file_type(gguf.LlamaFileType.MOSTLY_F16)
    w.add_vocab_size(VOCABULARY)
    w.add_tokenizer_model("none")

    def matrix(name: str, rows: int, cols: int, kind: gguf.GGMLQuantizationType = F16) -> None:
        numbers = rng.standard_normal((rows, cols), dtype=np.float32) * np.float32(0.02)
        # Numbers that float16 and bfloat16 both hold.
        short = (numbers.view(np.uint32) & np.uint32(0xFFFF0000)).view(np.float32)
        w.add_tensor(name, gguf.quantize(short, kind), raw_dtype=kind)

    def vector(name: str, value: float, *axes: int) -> None:
        w.add_tensor(name, np.full(axes or (WIDTH,), value, dtype=np.float32))

    def norm(name: str) -> None:
        vector(f"{name}.weight", 1.0)
        vector(f"{name}.bias", 0.0)

    matrix("token_embd.weight", VOCABULARY, WIDTH)
    norm("token_embd_norm")
    norm("output_norm")
    matrix("output.weight", VOCABULARY, WIDTH)
    for n in range(LAYERS):
        block = f"blk.{n}."
        norm(block + "attn_norm")
        norm(block + "attn_norm_2")
        norm(block + "time_mix_ln")
        vector(block + "time_mix_lerp_fused.weight", 0.5, 6, 1, 1, WIDTH)
        vector(block + "channel_mix_lerp_k.weight", 0.5, 1, 1, WIDTH)
        for name, value in (("w0", -2.0), ("a0", 0.0), ("v0", 0.5), ("k_k", 0.8), ("k_a", 1.0)):
            vector(f"{block}time_mix_{name}.weight", value)
        vector(block + "time_mix_r_k.weight", 0.1)
        for letter, rank in RANKS.items():
            kind = F32 if letter == "w" else F16
            # llama.cpp wants a pair in the first layer too, of the learning rate's rank.
            rank = RANKS["a"] if letter == "v" and n == 0 else rank
            matrix(f"{block}time_mix_{letter}1.weight", rank, WIDTH, kind)
            matrix(f"{block}time_mix_{letter}2.weight", WIDTH, rank, kind)
        for name in ("receptance", "key", "value", "output"):
            matrix(f"{block}time_mix_{name}.weight", WIDTH, WIDTH)
        matrix(block + "channel_mix_key.weight", FFN, WIDTH)
        matrix(block + "channel_mix_value.weight", WIDTH, FFN)
    w.write_header_to_file()
    w.write_kv_data_to_file()
    w.write_tensors_to_file()
    w.close()
