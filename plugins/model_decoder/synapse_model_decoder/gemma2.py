"""Gemma 2: Gemma with norms around each sublayer, soft caps, a window in every other layer.

Paper: Gemma Team 2024, arXiv 2408.00118.
Reference: `Gemma2ForCausalLM` of transformers, models/gemma2/modeling_gemma2.py.
"""

from __future__ import annotations

from typing import Any

from synapse_core.families import (
    MOST_CONTEXT,
    Claim,
    ComponentConfig,
    Family,
    Fields,
    ModelConfig,
)
from synapse_model_decoder.gemma import (
    embedding_scale,
    read_biases,
    read_gemma_ffn,
    read_gemma_norm,
    read_gemma_sizes,
)
from synapse_model_decoder.hf import (
    Sizes,
    attention,
    attention_options,
    plain_layer,
    read_layer_windows,
    read_model,
)
from synapse_model_decoder.hf_rope import RopeReader
from synapse_model_decoder.llama import IGNORES
from synapse_model_decoder.llama import WEIGHTS as LLAMA

MOST_CAP = 1e6


def from_hf(read: Fields) -> ModelConfig:
    """Read a config.json.

    Raises: FileError naming the key.
    """
    sizes = read_gemma_sizes(read)
    norm = read_gemma_norm(read)
    ffn = read_gemma_ffn(read, sizes)
    rope = RopeReader(head_dim=sizes.head_dim, context=sizes.context).read(read)
    options = {
        **scaled_attention(read, sizes, rope),
        "softcap": read_cap(read, "attn_logit_softcapping"),
    }
    window = read.whole("sliding_window", most=MOST_CONTEXT)
    # The first layer has a window, the second none, and so on.
    windows = read_layer_windows(read, sizes.layers, window, lambda layer: layer % 2 == 0)
    layers = [plain_layer(norm, attention(options, window), ffn, norm) for window in windows]
    return read_model(
        read,
        "gemma2",
        sizes,
        layers=layers,
        norm=norm,
        rope=rope,
        tied=True,
        embedding_scale=embedding_scale(sizes),
        head_softcap=read_cap(read, "final_logit_softcapping"),
    )


def scaled_attention(read: Fields, sizes: Sizes, rope: ComponentConfig) -> dict[str, Any]:
    """Read the attention whose scale is not by the head's width but by a number of the file.

    Raises: FileError naming the key.
    """
    scalar = read.number("query_pre_attn_scalar", least=1e-3, most=1e6)
    return {**attention_options(sizes, rope, read_biases(read)), "scale": scalar**-0.5}


def read_cap(read: Fields, key: str) -> float:
    """Read a soft cap: 0 for null, which must be said.

    Raises: FileError naming the key.
    """
    if read.values.get(key, 0) is None:
        return 0.0
    cap: float = read.number(key, least=1e-3, most=MOST_CAP)
    return cap


WEIGHTS = {
    **LLAMA,
    "layers.{n}.attention_post_norm.weight": "model.layers.{n}.post_attention_layernorm.weight",
    "layers.{n}.ffn_norm.weight": "model.layers.{n}.pre_feedforward_layernorm.weight",
    "layers.{n}.ffn_post_norm.weight": "model.layers.{n}.post_feedforward_layernorm.weight",
}
FAMILY = Family(
    name="gemma2",
    claims=(Claim(hf="Gemma2ForCausalLM"),),
    config={"hf": from_hf},
    weights={"hf": WEIGHTS},
    ignores=IGNORES,
)
