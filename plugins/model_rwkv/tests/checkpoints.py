"""Random RWKV-7 checkpoints, in BlinkDL's names and in fla-hub's, and the package `rwkv` on them.

Norms are not ones, biases not zero, heads fade fast and slowly, and logits have a standard
deviation of 1 to 10: what a port gets wrong is seen.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import attrs
import numpy as np
from safetensors.numpy import save_file

Tensors = dict[str, np.ndarray]


@attrs.frozen(kw_only=True)
class Shape:
    """The sizes of a checkpoint; `value` is the rank of layers after the first."""

    layers: int
    width: int
    head_dim: int
    hidden: int
    vocabulary: int
    decay: int
    rate: int
    gate: int
    value: int
    ln0: bool = True
    output_bias: bool = False
    head_bias: bool = False
    unused_values: bool = False


# No number of the first divides into vectors; the second is as published ones are.
ODD = Shape(
    layers=3, width=60, head_dim=12, hidden=52, vocabulary=71, decay=5, rate=7, gate=9, value=3
)
USUAL = Shape(
    layers=2,
    width=128,
    head_dim=64,
    hidden=256,
    vocabulary=97,
    decay=32,
    rate=24,
    gate=40,
    value=16,
)
ONE_HEAD = attrs.evolve(ODD, layers=1, width=17, head_dim=17)
SHAPES = {"odd": ODD, "usual": USUAL, "one head, one layer": ONE_HEAD}


def random_tensors(shape: Shape, seed: int) -> Tensors:
    """Return a checkpoint's tensors in BlinkDL's names and shapes, float32."""
    rng = np.random.default_rng(seed)
    c, n = shape.width, shape.head_dim

    def matrix(rows: int, cols: int, size: float = 1.0) -> np.ndarray:
        return (rng.standard_normal((rows, cols)) * size / np.sqrt(cols)).astype(np.float32)

    def vector(mean: float, spread: float, *axes: int) -> np.ndarray:
        return (mean + spread * rng.standard_normal(axes or (c,))).astype(np.float32)

    def norm(name: str) -> Tensors:
        return {f"{name}.weight": vector(1.0, 0.3), f"{name}.bias": vector(0.1, 0.3)}

    def pair(name: str, rank: int) -> Tensors:
        return {f"{name}1": matrix(c, rank, 2.0), f"{name}2": matrix(rank, c, 1.5)}

    found: Tensors = {"emb.weight": matrix(shape.vocabulary, c, np.sqrt(c))}
    if shape.ln0:
        found |= norm("blocks.0.ln0")
    for layer in range(shape.layers):
        block = f"blocks.{layer}"
        att = f"{block}.att."
        found |= norm(f"{block}.ln1") | norm(f"{block}.ln2")
        for x in "rwkvag":
            found[f"{att}x_{x}"] = rng.random((1, 1, c), np.float32)
        found |= pair(f"{att}w", shape.decay) | pair(f"{att}a", shape.rate)
        found |= pair(f"{att}g", shape.gate)
        found[f"{att}w0"] = vector(-2.0, 3.0, 1, 1, c)
        found[f"{att}a0"] = vector(0.0, 1.0, 1, 1, c)
        if layer or shape.unused_values:
            found |= pair(f"{att}v", shape.value)
            found[f"{att}v0"] = vector(0.5, 1.0, 1, 1, c)
        found[f"{att}k_k"] = vector(0.8, 0.3, 1, 1, c)
        found[f"{att}k_a"] = vector(1.0, 0.3, 1, 1, c)
        found[f"{att}r_k"] = vector(0.0, 0.3, c // n, n)
        for name in ("receptance", "key", "value", "output"):
            found[f"{att}{name}.weight"] = matrix(c, c, 1.5)
        if shape.output_bias:
            found[f"{att}output.bias"] = vector(0.0, 0.5)
        # What is read of a state is small in some heads: then the epsilon of their norm is felt.
        found |= norm(f"{att}ln_x")
        found[f"{att}value.weight"] *= np.float32(0.3)
        found[f"{block}.ffn.x_k"] = rng.random((1, 1, c), np.float32)
        found[f"{block}.ffn.key.weight"] = matrix(shape.hidden, c)
        found[f"{block}.ffn.value.weight"] = matrix(c, shape.hidden)
    found |= norm("ln_out")
    found["head.weight"] = matrix(shape.vocabulary, c, 3.0)
    if shape.head_bias:
        found["head.bias"] = vector(0.0, 0.5, shape.vocabulary)
    return found


def config_of(shape: Shape) -> dict[str, Any]:
    """Return the config.json beside tensors in BlinkDL's names."""
    return {
        "architectures": ["RWKV7ForCausalLM"],
        "model_type": "rwkv7",
        "vocab_size": shape.vocabulary,
        "hidden_size": shape.width,
        "num_hidden_layers": shape.layers,
        "head_dim": shape.head_dim,
        "intermediate_size": shape.hidden,
        "norm_eps": 1e-5,
        "has_ln0": shape.ln0,
        "attention_output_bias": shape.output_bias,
        "head_bias": shape.head_bias,
    }


def fla_config_of(shape: Shape) -> dict[str, Any]:
    """Return the config.json that flash-linear-attention writes."""
    return {
        "architectures": ["RWKV7ForCausalLM"],
        "model_type": "rwkv7",
        "attn_mode": "chunk",
        "attn": None,
        "vocab_size": shape.vocabulary,
        "hidden_size": shape.width,
        "num_hidden_layers": shape.layers,
        "head_dim": shape.head_dim,
        "num_heads": shape.width // shape.head_dim,
        "intermediate_size": shape.hidden,
        "hidden_act": "sqrelu",
        "norm_eps": 1e-5,
        "norm_first": shape.ln0,
        "norm_bias": True,
        "fuse_norm": False,
        "decay_low_rank_dim": shape.decay,
        "a_low_rank_dim": shape.rate,
        "gate_low_rank_dim": shape.gate,
        "v_low_rank_dim": shape.value,
        "value_dim": [shape.width] * shape.layers,
        "max_position_embeddings": 2048,
        "tie_word_embeddings": False,
    }


FLA_NAMES = (
    ("emb.weight", "model.embeddings.weight"),
    ("head.weight", "lm_head.weight"),
    ("ln_out.", "model.norm."),
    ("blocks.", "model.layers."),
    (".ln0.", ".pre_norm."),
    (".ln1.", ".attn_norm."),
    (".ln2.", ".ffn_norm."),
    (".att.ln_x.", ".attn.g_norm."),
    (".att.receptance.", ".attn.r_proj."),
    (".att.key.", ".attn.k_proj."),
    (".att.value.", ".attn.v_proj."),
    (".att.output.", ".attn.o_proj."),
    (".att.", ".attn."),
)


def as_fla(tensors: Mapping[str, np.ndarray]) -> Tensors:
    """Return the tensors in fla-hub's names and shapes."""
    found: Tensors = {}
    for name, numbers in tensors.items():
        letter, part = name[-2:-1], name[-1]
        if ".att." in name and letter in "wavg" and part in "012":
            numbers = numbers.reshape(-1) if part == "0" else np.ascontiguousarray(numbers.T)
            ending = {"0": "2.bias", "1": "0.weight", "2": "2.weight"}[part]
            name = f"{name[:-2]}{letter}_lora.lora.{ending}"
        elif name.endswith(("k_k", "k_a", "ffn.x_k")):
            numbers = numbers.reshape(-1)
        for theirs, fla in FLA_NAMES:
            name = name.replace(theirs, fla)
        found[name] = numbers
    return found


def write_folder(
    folder: Path, tensors: Mapping[str, np.ndarray], config: Mapping[str, Any]
) -> Path:
    """Write a checkpoint and return its folder."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(json.dumps(config))
    save_file(dict(tensors), folder / "model.safetensors", {"format": "pt"})
    return folder


def reference_logits(
    tensors: Mapping[str, np.ndarray], texts: Sequence[Sequence[int]], folder: Path
) -> list[np.ndarray]:
    """Return what the package `rwkv` says of each text at every position, in float32."""
    import torch

    os.environ["RWKV_V7_ON"] = "1"
    os.environ["RWKV_JIT_ON"] = "0"
    from rwkv.model import RWKV

    state = {name: torch.from_numpy(np.array(numbers)) for name, numbers in tensors.items()}
    if "blocks.0.ln0.weight" not in state:
        raise ValueError("the package rwkv reads no checkpoint without ln0")
    torch.save(state, folder / "reference.pth")
    model = RWKV(model=str(folder / "reference"), strategy="cpu fp32")
    found = []
    for text in texts:
        logits, _ = model.forward([int(id) for id in text], None, full_output=True)
        found.append(logits.numpy().copy())
    return found
