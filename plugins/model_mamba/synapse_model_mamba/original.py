"""Checkpoints as state-spaces published them: their own config.json, and one tensor's other name.

Such a config names no architecture: it is known by its other keys.

Reference: github.com/state-spaces/mamba, mamba_ssm/models/config_mamba.py, and the modules
mamba_simple.py and mamba2.py for what a key that is not there means.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

from synapse_core.families import (
    MOST_LAYERS,
    MOST_VOCABULARY,
    MOST_WIDTH,
    Claim,
    Family,
    Fields,
    ModelConfig,
)
from synapse_model_mamba import mamba, mamba2
from synapse_model_mamba.config import Sizes, original_model
from synapse_model_mamba.conv1d_causal import MOST_TAPS
from synapse_model_mamba.selective_scan import MOST_STATE
from synapse_model_mamba.ssd_scan import MOST

EPS = 1e-5
MOST_PADDING = 1 << 16
NAMES = ("", "MambaForCausalLM", "Mamba2ForCausalLM", "MambaLMHeadModel")


def _is_original(layer: str, metadata: Mapping[str, Any]) -> bool:
    """Whether it is such a config, of this kind of layer."""
    inner = metadata.get("ssm_cfg")
    named = inner.get("layer", "Mamba1") if isinstance(inner, dict) else "Mamba1"
    return {"d_model", "n_layer", "ssm_cfg"} <= set(metadata) and named == layer


def _sizes(read: Fields, inner: Fields) -> Sizes:
    """Read the sizes.

    Raises: FileError naming the key, one that asks for what is not read too.
    """
    if not read.flag("rms_norm", True):
        raise read.error("rms_norm", "found false; Mambas of layernorm are not read")
    if read.values.get("attn_layer_idx"):
        raise read.error("attn_layer_idx", "hybrids of Mamba and attention are not read")
    read.whole("d_intermediate", least=0, most=0, default=0)
    width = read.whole("d_model", most=MOST_WIDTH)
    expand = inner.whole("expand", most=MOST_WIDTH // width, default=2)
    padding = read.whole("pad_vocab_size_multiple", most=MOST_PADDING, default=8)
    vocabulary = read.whole("vocab_size", most=MOST_VOCABULARY - MOST_PADDING)
    return Sizes(
        layers=read.whole("n_layer", most=MOST_LAYERS),
        width=width,
        inner=expand * width,
        vocabulary=-(-vocabulary // padding) * padding,
        eps=EPS,
    )


def _inner(read: Fields) -> Fields:
    return read.object("ssm_cfg") if read.has("ssm_cfg") else Fields(read.file, {}, "ssm_cfg.")


def _mixer(inner: Fields) -> dict[str, Any]:
    return {
        "taps": inner.whole("d_conv", least=2, most=MOST_TAPS, default=4),
        "bias": inner.flag("bias", False),
        "conv_bias": inner.flag("conv_bias", True),
    }


def from_mamba(read: Fields) -> ModelConfig:
    """Read a config of Mamba layers.

    Raises: FileError naming the key.
    """
    inner = _inner(read)
    sizes = _sizes(read, inner)
    rank = -(-sizes.width // 16)
    if inner.values.get("dt_rank", "auto") != "auto":
        rank = inner.whole("dt_rank", most=MOST_WIDTH)
    state = inner.whole("d_state", most=MOST_STATE, default=16)
    mixer = {"inner": sizes.inner, "state": state, "rank": rank, **_mixer(inner)}
    return original_model(read, MAMBA.name, "mamba1", sizes, mixer)


def from_mamba2(read: Fields) -> ModelConfig:
    """Read a config of Mamba-2 layers.

    Raises: FileError naming the key.
    """
    inner = _inner(read)
    sizes = _sizes(read, inner)
    head_dim = inner.whole("headdim", most=MOST, default=64)
    if sizes.inner % head_dim:
        problem = f"found {head_dim}, expected a divisor of the mixer's {sizes.inner}"
        raise inner.error("headdim", problem)
    heads = sizes.inner // head_dim
    groups = inner.whole("ngroups", most=MOST, default=1)
    if heads > MOST or heads % groups:
        raise inner.error("ngroups", f"found {groups}, expected a divisor of the {heads} heads")
    mixer = {
        "heads": heads,
        "head_dim": head_dim,
        "state": inner.whole("d_state", most=MOST, default=128),
        "groups": groups,
        "eps": EPS,
        **_mixer(inner),
    }
    return original_model(read, MAMBA2.name, "mamba2", sizes, mixer)


def _family(name: str, layer: str, of: Family, read: Any) -> Family:
    table = {"embedding.weight": "backbone.embedding.weight"}
    return Family(
        name=name,
        claims=tuple(Claim(hf=hf, when=partial(_is_original, layer)) for hf in NAMES),
        config={"hf": read},
        weights={"hf": {**of.weights["hf"], **table}},
        keeps=of.keeps,
    )


MAMBA = _family("mamba_original", "Mamba1", mamba.FAMILY, from_mamba)
MAMBA2 = _family("mamba2_original", "Mamba2", mamba2.FAMILY, from_mamba2)
