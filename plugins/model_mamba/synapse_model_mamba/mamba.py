"""Mamba: layers of a selective state space and nothing else.

Paper: Gu & Dao 2023, arXiv 2312.00752.
Reference: `MambaForCausalLM` of transformers, models/mamba/modeling_mamba.py.
"""

from __future__ import annotations

from synapse_core.families import (
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
from synapse_model_mamba.selective_scan import MOST_STATE
from synapse_model_mamba.shipped import default_model_path
from synapse_model_mamba.tensors import turned, turned_rates


def from_hf(read: Fields) -> ModelConfig:
    """Read a config.json.

    Raises: FileError naming the key.
    """
    sizes = hf_sizes(read)
    mixer = {
        "inner": sizes.inner,
        "state": read.whole("state_size", most=MOST_STATE),
        "rank": _rank(read, sizes.width),
        **hf_mixer(read),
    }
    return hf_model(read, "mamba", sizes, mixer, tied=True)


def _rank(read: Fields, width: int) -> int:
    """Read the rank of the time step; "auto" is a sixteenth of the width, rounded up."""
    if read.values.get("time_step_rank", "auto") == "auto":
        return -(-width // 16)
    rank: int = read.whole("time_step_rank", most=MOST_WIDTH)
    return rank


def from_gguf(read: Fields) -> ModelConfig:
    """Read the keys of a GGUF file.

    Raises: FileError naming the key or the tensor.
    """
    if read.flag("mamba.ssm.dt_b_c_rms", False):
        raise read.error("mamba.ssm.dt_b_c_rms", "found true; Falcon-Mamba's norms are not read")
    sizes = gguf_sizes(read, "mamba")
    mixer = {
        "inner": sizes.inner,
        "state": read.whole("mamba.ssm.state_size", most=MOST_STATE),
        "rank": read.whole("mamba.ssm.time_step_rank", most=MOST_WIDTH),
        **gguf_mixer(read, "mamba"),
    }
    return gguf_model(read, "mamba", sizes, mixer)


ATTENTION = "layers.{n}.attention"
PROJECTED = (f"{ATTENTION}.x", f"{ATTENTION}.gate")
SELECTED = tuple(f"{ATTENTION}.{name}.weight" for name in ("rank", "b", "c"))


WEIGHTS: dict[str, Entry] = {
    "embedding.weight": "backbone.embeddings.weight",
    "layers.{n}.attention_norm.weight": "backbone.layers.{n}.norm.weight",
    **stacked("backbone.layers.{n}.mixer.in_proj.weight", *(f"{p}.weight" for p in PROJECTED)),
    **stacked("backbone.layers.{n}.mixer.in_proj.bias", *(f"{p}.bias" for p in PROJECTED)),
    f"{ATTENTION}.conv.weight": turned("backbone.layers.{n}.mixer.conv1d.weight"),
    f"{ATTENTION}.conv.bias": "backbone.layers.{n}.mixer.conv1d.bias",
    **stacked("backbone.layers.{n}.mixer.x_proj.weight", *SELECTED),
    f"{ATTENTION}.dt.weight": "backbone.layers.{n}.mixer.dt_proj.weight",
    f"{ATTENTION}.dt.bias": "backbone.layers.{n}.mixer.dt_proj.bias",
    f"{ATTENTION}.a": turned_rates("backbone.layers.{n}.mixer.A_log"),
    f"{ATTENTION}.d": "backbone.layers.{n}.mixer.D",
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
    **stacked("blk.{n}.ssm_x.weight", *SELECTED),
    f"{ATTENTION}.dt.weight": "blk.{n}.ssm_dt.weight",
    f"{ATTENTION}.dt.bias": "blk.{n}.ssm_dt.bias",
    f"{ATTENTION}.a": turned("blk.{n}.ssm_a"),
    f"{ATTENTION}.d": "blk.{n}.ssm_d",
    f"{ATTENTION}.out.weight": "blk.{n}.ssm_out.weight",
    f"{ATTENTION}.out.bias": "blk.{n}.ssm_out.bias",
    "norm.weight": "output_norm.weight",
    "head.weight": HEAD,
}
FAMILY = Family(
    name="mamba",
    default_checkpoint=default_model_path,
    claims=(Claim(hf="MambaForCausalLM", when=is_transformers), Claim(gguf="mamba")),
    config={"hf": from_hf, "gguf": from_gguf},
    weights={"hf": WEIGHTS, "gguf": GGUF_WEIGHTS},
    # Small, and what they make is exponentiated; llama.cpp leaves filters and rates as they are.
    keeps=(
        "layers.*.attention.conv.weight",
        "layers.*.attention.dt.weight",
        "layers.*.attention.a",
    ),
    refuses={
        "FalconMambaForCausalLM": "a Mamba with norms on dt, b and c",
        "JambaForCausalLM": "a hybrid of Mamba and attention",
        "jamba": "a hybrid of Mamba and attention",
    },
)
