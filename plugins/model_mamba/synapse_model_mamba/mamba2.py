"""Mamba-2: layers of a state space by heads, which are attention without a softmax seen otherwise.

Paper: Dao & Gu 2024, arXiv 2405.21060.
Reference: `Mamba2ForCausalLM` of transformers, models/mamba2/modeling_mamba2.py.
"""

from __future__ import annotations

import math

from synapse_core.families import (
    MOST_HEADS,
    MOST_WIDTH,
    Claim,
    Entry,
    Family,
    Fields,
    ModelConfig,
    stacked,
)
from synapse_model_mamba.config import (
    HEAD,
    TABLE,
    gguf_mixer,
    gguf_model,
    gguf_sizes,
    hf_mixer,
    hf_model,
    hf_sizes,
    is_transformers,
)
from synapse_model_mamba.ssd_scan import LARGEST, MOST
from synapse_model_mamba.tensors import as_they_are, in_groups, rates, turned

# As transformers 5 writes it into a config.json.
INFINITE = {"__float__": "Infinity"}


def from_hf(read: Fields) -> ModelConfig:
    """Read a config.json.

    Raises: FileError naming the key.
    """
    sizes = hf_sizes(read)
    heads = read.whole("num_heads", most=MOST_HEADS)
    head_dim = read.whole("head_dim", most=MOST_WIDTH)
    if heads * head_dim != sizes.inner:
        problem = f"found {head_dim}, {heads} heads of it are not the {sizes.inner} of the mixer"
        raise read.error("head_dim", problem)
    groups = read.whole("n_groups", most=heads)
    if heads % groups:
        raise read.error("n_groups", f"found {groups}, expected a divisor of the {heads} heads")
    least, most = _limits(read)
    mixer = {
        "heads": heads,
        "head_dim": head_dim,
        "state": read.whole("state_size", most=MOST),
        "groups": groups,
        "eps": sizes.eps,
        "dt_least": least,
        "dt_most": most,
        **hf_mixer(read),
    }
    return hf_model(read, "mamba2", sizes, mixer, tied=False)


def _limits(read: Fields) -> tuple[float, float]:
    """Read `time_step_limit`, least and most; the most may be infinite.

    Raises: FileError naming the key.
    """
    found = read.values.get("time_step_limit", [0.0, math.inf])
    limits = [math.inf if n == INFINITE else n for n in found] if isinstance(found, list) else []
    numbers = all(type(n) in (int, float) for n in limits)
    if len(limits) != 2 or not numbers or not 0 <= limits[0] <= limits[1]:
        problem = f"found {found!r:.60}, expected two rising numbers, neither below zero"
        raise read.error("time_step_limit", problem)
    return float(min(limits[0], LARGEST)), float(min(limits[1], LARGEST))


def from_gguf(read: Fields) -> ModelConfig:
    """Read the keys of a GGUF file, which has no limits of the time step.

    Raises: FileError naming the key or the tensor.
    """
    sizes = gguf_sizes(read, "mamba2")
    key = "mamba2.ssm.time_step_rank"
    heads = read.whole(key, most=MOST_HEADS)
    if sizes.inner % heads:
        raise read.error(key, f"found {heads}, expected a divisor of the width {sizes.inner}")
    key = "mamba2.ssm.group_count"
    groups = read.whole(key, most=heads)
    if heads % groups:
        raise read.error(key, f"found {groups}, expected a divisor of the {heads} heads")
    mixer = {
        "heads": heads,
        "head_dim": sizes.inner // heads,
        "state": read.whole("mamba2.ssm.state_size", most=MOST),
        "groups": groups,
        "eps": sizes.eps,
        **gguf_mixer(read, "mamba2"),
    }
    return gguf_model(read, "mamba2", sizes, mixer)


ATTENTION = "layers.{n}.attention"
PROJECTED = tuple(f"{ATTENTION}.{name}" for name in ("gate", "xbc", "dt"))
WEIGHTS: dict[str, Entry] = {
    "embedding.weight": "backbone.embeddings.weight",
    "layers.{n}.attention_norm.weight": "backbone.layers.{n}.norm.weight",
    **stacked("backbone.layers.{n}.mixer.in_proj.weight", *(f"{p}.weight" for p in PROJECTED)),
    **stacked("backbone.layers.{n}.mixer.in_proj.bias", *(f"{p}.bias" for p in PROJECTED)),
    f"{ATTENTION}.conv.weight": turned("backbone.layers.{n}.mixer.conv1d.weight"),
    f"{ATTENTION}.conv.bias": "backbone.layers.{n}.mixer.conv1d.bias",
    f"{ATTENTION}.dt_bias": "backbone.layers.{n}.mixer.dt_bias",
    f"{ATTENTION}.a": rates("backbone.layers.{n}.mixer.A_log"),
    f"{ATTENTION}.d": "backbone.layers.{n}.mixer.D",
    f"{ATTENTION}.norm.weight": in_groups("backbone.layers.{n}.mixer.norm.weight"),
    f"{ATTENTION}.out.weight": "backbone.layers.{n}.mixer.out_proj.weight",
    f"{ATTENTION}.out.bias": "backbone.layers.{n}.mixer.out_proj.bias",
    "norm.weight": "backbone.norm_f.weight",
    "head.weight": "lm_head.weight",
}
GGUF_WEIGHTS: dict[str, Entry] = {
    "embedding.weight": TABLE,
    "layers.{n}.attention_norm.weight": "blk.{n}.attn_norm.weight",
    **stacked("blk.{n}.ssm_in.weight", *(f"{p}.weight" for p in PROJECTED)),
    **stacked("blk.{n}.ssm_in.bias", *(f"{p}.bias" for p in PROJECTED)),
    f"{ATTENTION}.conv.weight": turned("blk.{n}.ssm_conv1d.weight"),
    f"{ATTENTION}.conv.bias": "blk.{n}.ssm_conv1d.bias",
    f"{ATTENTION}.dt_bias": "blk.{n}.ssm_dt.bias",
    f"{ATTENTION}.a": as_they_are("blk.{n}.ssm_a"),
    f"{ATTENTION}.d": as_they_are("blk.{n}.ssm_d"),
    f"{ATTENTION}.norm.weight": as_they_are("blk.{n}.ssm_norm.weight"),
    f"{ATTENTION}.out.weight": "blk.{n}.ssm_out.weight",
    f"{ATTENTION}.out.bias": "blk.{n}.ssm_out.bias",
    "norm.weight": "output_norm.weight",
    "head.weight": HEAD,
}
FAMILY = Family(
    name="mamba2",
    claims=(Claim(hf="Mamba2ForCausalLM", when=is_transformers), Claim(gguf="mamba2")),
    config={"hf": from_hf, "gguf": from_gguf},
    weights={"hf": WEIGHTS, "gguf": GGUF_WEIGHTS},
    keeps=("layers.*.attention.conv.weight", "layers.*.attention.norm.weight"),
    refuses={
        "BambaForCausalLM": "a hybrid of Mamba-2 and attention",
        "FalconH1ForCausalLM": "a hybrid of Mamba-2 and attention",
        "NemotronHForCausalLM": "a hybrid of Mamba-2 and attention",
        "Zamba2ForCausalLM": "a hybrid of Mamba-2 and attention",
    },
)
