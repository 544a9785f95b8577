"""What the config.json files of decoder families share: sizes, rope, feed-forward.

Two spellings are in use: `rope_theta` with `rope_scaling` (as published) and `rope_parameters`
(as transformers 5 saves it).
"""

from __future__ import annotations

from typing import Any

import attrs

from synapse_core.components import SCALINGS
from synapse_core.families import (
    MOST_CONTEXT,
    MOST_HEADS,
    MOST_LAYERS,
    MOST_VOCABULARY,
    MOST_WIDTH,
    ComponentConfig,
    Fields,
)

MOST_THETA = 1e12
MOST_FACTOR = 1e6
FFN_OF_ACTIVATION = {
    "silu": ("swiglu", "silu"),
    "gelu": ("geglu", "gelu"),
    "gelu_pytorch_tanh": ("geglu", "gelu_tanh"),
}


@attrs.frozen(kw_only=True)
class Sizes:
    """The numbers that every decoder's config has."""

    layers: int
    width: int
    hidden: int
    heads: int
    kv_heads: int
    head_dim: int
    vocabulary: int
    context: int


def read_sizes(read: Fields, *, head_dim: int | None = None) -> Sizes:
    """Read them; `head_dim` is the family's own where the file has none, None: width / heads.

    Raises: FileError naming the key.
    """
    if read.has("quantization_config"):
        raise read.error("quantization_config", "the weights are packed in a way not read here")
    width = read.whole("hidden_size", most=MOST_WIDTH)
    heads = read.whole("num_attention_heads", most=MOST_HEADS)
    kv_heads = read.whole("num_key_value_heads", most=MOST_HEADS, default=None)
    kv_heads = heads if kv_heads is None else kv_heads
    if heads % kv_heads:
        raise read.error(
            "num_key_value_heads", f"found {kv_heads}, expected a divisor of the {heads} heads"
        )
    found = read.whole("head_dim", most=MOST_WIDTH, default=None)
    if found is None and head_dim is None and width % heads:
        raise read.error("num_attention_heads", f"found {heads}, expected a divisor of {width}")
    found = found or head_dim or width // heads
    if found % 2:
        raise read.error("head_dim", f"found {found}; rope turns pairs, so it must be even")
    return Sizes(
        layers=read.whole("num_hidden_layers", most=MOST_LAYERS),
        width=width,
        hidden=read.whole("intermediate_size", most=MOST_WIDTH),
        heads=heads,
        kv_heads=kv_heads,
        head_dim=found,
        vocabulary=read.whole("vocab_size", most=MOST_VOCABULARY),
        context=read.whole("max_position_embeddings", most=MOST_CONTEXT),
    )


def read_norm(read: Fields) -> ComponentConfig:
    """Read the rmsnorm that a decoder uses everywhere.

    Raises: FileError naming the key.
    """
    return ComponentConfig("norm", "rmsnorm", {"eps": read.number("rms_norm_eps", least=0, most=1)})


def read_ffn(read: Fields, hidden: int, *, bias: bool = False) -> ComponentConfig:
    """Read the gated feed-forward.

    Raises: FileError naming the key.
    """
    name, activation = FFN_OF_ACTIVATION[read.choice("hidden_act", FFN_OF_ACTIVATION)]
    options = {"hidden": hidden, "activation": activation, "bias": bias}
    return ComponentConfig("ffn", name, options)


def read_rope(read: Fields, head_dim: int, *, default_theta: float) -> ComponentConfig:
    """Read the rotary positions in either spelling.

    Raises: FileError naming the key.
    """
    both = read.has("rope_parameters") and read.has("rope_scaling")
    if both and read.values["rope_parameters"] != read.values["rope_scaling"]:
        raise read.error("rope_scaling", "is given beside rope_parameters, and differs")
    key = "rope_parameters" if read.has("rope_parameters") else "rope_scaling"
    scaling: dict[str, Any] = {}
    theta = default_theta
    if read.has("rope_theta"):
        theta = read.number("rope_theta", least=1, most=MOST_THETA)
    if read.has(key):
        inner = read.object(key)
        scaling = _read_scaling(inner)
        if inner.has("rope_theta"):
            found = inner.number("rope_theta", least=1, most=MOST_THETA)
            if read.has("rope_theta") and found != theta:
                raise inner.error("rope_theta", f"found {found:g}, beside it stands {theta:g}")
            theta = found
    options = {"head_dim": head_dim, "theta": theta, "scaling": scaling}
    return ComponentConfig("position", "rope", options)


def _read_scaling(read: Fields) -> dict[str, Any]:
    """Return a scaling's type and parameters, {} for none."""
    key = "rope_type" if read.has("rope_type") else "type"
    type = read.choice(key, SCALINGS, "default")
    needed = SCALINGS[type].parameters
    read.only(("rope_type", "type", "rope_theta", *needed))
    if type == "default":
        return {}
    values = {name: read.number(name, least=1e-3, most=MOST_FACTOR) for name in needed}
    if type == "llama3" and values["low_freq_factor"] >= values["high_freq_factor"]:
        found, bound = values["low_freq_factor"], values["high_freq_factor"]
        raise read.error(
            "low_freq_factor", f"found {found:g}, expected less than high_freq_factor {bound:g}"
        )
    return {"type": type, **values}
