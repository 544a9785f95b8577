"""Gemma: norms that hold weight − 1, a scaled embedding, a gated GELU, a tied head.

Paper: Gemma Team 2024, arXiv 2403.08295.
Reference: `GemmaForCausalLM` of transformers, models/gemma/modeling_gemma.py.

In GGUF the norms' one is added already; the scale of the embedding and the GELU are in no key.
"""

from __future__ import annotations

import math

import attrs

from synapse_core.families import Claim, ComponentConfig, Family, Fields, ModelConfig
from synapse_model_decoder import gguf
from synapse_model_decoder.gguf_rope import read_rope
from synapse_model_decoder.hf import (
    Sizes,
    attention,
    attention_options,
    plain_layer,
    read_model,
    read_norm,
    read_sizes,
)
from synapse_model_decoder.hf_rope import RopeReader
from synapse_model_decoder.llama import IGNORES
from synapse_model_decoder.llama import WEIGHTS as LLAMA
from synapse_model_decoder.to_gguf_gemma import gemma_form

HEAD_DIM = 256
TANH = "gelu_pytorch_tanh"


def from_hf(read: Fields) -> ModelConfig:
    """Read a config.json.

    Raises: FileError naming the key.
    """
    sizes = read_gemma_sizes(read)
    norm = read_gemma_norm(read)
    rope = RopeReader(head_dim=sizes.head_dim, context=sizes.context).read(read)
    mixer = attention(attention_options(sizes, rope, read_biases(read)))
    layers = [plain_layer(norm, mixer, read_gemma_ffn(read, sizes))] * sizes.layers
    return read_model(
        read,
        "gemma",
        sizes,
        layers=layers,
        norm=norm,
        rope=rope,
        tied=True,
        embedding_scale=embedding_scale(sizes),
    )


def from_gguf(read: Fields) -> ModelConfig:
    """Read the keys of a GGUF file.

    Raises: FileError naming the key or the tensor.
    """
    sizes = gguf.read_sizes(read, "gemma")
    norm = gguf.read_norm(read, "gemma")
    rope = read_rope(read, "gemma", sizes.head_dim)
    mixer = attention(attention_options(sizes, rope, gguf.read_biases(read)))
    layers = [plain_layer(norm, mixer, gemma_ffn(sizes))] * sizes.layers
    return gguf.read_model(
        read,
        "gemma",
        sizes,
        layers=layers,
        norm=norm,
        rope=rope,
        embedding_scale=embedding_scale(sizes),
    )


def read_gemma_sizes(read: Fields) -> Sizes:
    """Read the sizes; a model that looks both ways is refused.

    Raises: FileError naming the key.
    """
    if read.values.get("use_bidirectional_attention"):
        problem = "found a value other than false; only causal attention is read"
        raise read.error("use_bidirectional_attention", problem)
    return read_sizes(read, head_dim=HEAD_DIM)


def read_gemma_norm(read: Fields) -> ComponentConfig:
    """Read the norm: the file holds its weight − 1.

    Raises: FileError naming the key.
    """
    norm = read_norm(read)
    return attrs.evolve(norm, options={**norm.options, "one_plus": True})


def read_gemma_ffn(read: Fields, sizes: Sizes) -> ComponentConfig:
    """Read the feed-forward; its GELU is the tanh one, also in files whose hidden_act says `gelu`.

    Raises: FileError naming the key.
    """
    if read.has("hidden_activation"):
        read.choice("hidden_activation", (TANH,))
    if read.has("hidden_act") or not read.has("hidden_activation"):
        read.choice("hidden_act", (TANH, "gelu"))
    return gemma_ffn(sizes)


def gemma_ffn(sizes: Sizes) -> ComponentConfig:
    """Return the feed-forward of every Gemma."""
    return ComponentConfig("ffn", "geglu", {"hidden": sizes.hidden, "activation": "gelu_tanh"})


def read_biases(read: Fields) -> str:
    """Read which projections of the attention have one.

    Raises: FileError naming the key.
    """
    return "qkvo" if read.flag("attention_bias", False) else ""


def embedding_scale(sizes: Sizes) -> float:
    """Return √C, not rounded to the file's dtype: here all is computed in float32."""
    return math.sqrt(sizes.width)


FAMILY = Family(
    name="gemma",
    claims=(Claim(hf="GemmaForCausalLM"), Claim(gguf="gemma")),
    config={"hf": from_hf, "gguf": from_gguf},
    weights={"hf": LLAMA, "gguf": gguf.WEIGHTS},
    fused={"gguf": gguf.FUSED},
    ignores=IGNORES,
    to_gguf=gemma_form,
)
