"""Gemma 2: Gemma with norms around each sublayer, soft caps, a window in every other layer.

Paper: Gemma Team 2024, arXiv 2408.00118.
Reference: `Gemma2ForCausalLM` of transformers, models/gemma2/modeling_gemma2.py.

A GGUF file does not say by what q is scaled: as in llama.cpp, the number of layers does.
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
from synapse_model_decoder import gguf
from synapse_model_decoder.gemma import (
    embedding_scale,
    gemma_ffn,
    read_biases,
    read_gemma_ffn,
    read_gemma_norm,
    read_gemma_sizes,
)
from synapse_model_decoder.gguf_rope import read_rope
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
from synapse_model_decoder.to_gguf_gemma import gemma2_form

MOST_CAP = 1e6
ATTENTION_CAP, HEAD_CAP = "attn_logit_softcapping", "final_logit_softcapping"
# In GGUF only the 27B has so many layers; it scales q by its width per head, not by the head's.
LAYERS_OF_27B = 46


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
        "softcap": read_cap(read, ATTENTION_CAP),
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
        head_softcap=read_cap(read, HEAD_CAP),
    )


def from_gguf(read: Fields) -> ModelConfig:
    """Read the keys of a GGUF file.

    Raises: FileError naming the key or the tensor.
    """
    sizes = gguf.read_sizes(read, "gemma2", own=(gguf.WINDOW, ATTENTION_CAP, HEAD_CAP))
    norm = gguf.read_norm(read, "gemma2")
    rope = read_rope(read, "gemma2", sizes.head_dim)
    options = {
        **attention_options(sizes, rope, gguf.read_biases(read)),
        "scale": gguf_scale(sizes, LAYERS_OF_27B),
        "softcap": read_cap(read, f"gemma2.{ATTENTION_CAP}"),
    }
    window = gguf.read_window(read, "gemma2")
    windows = gguf.layer_windows(read, "gemma2", sizes.layers, window, period=2)
    ffn = gemma_ffn(sizes)
    return gguf.read_model(
        read,
        "gemma2",
        sizes,
        layers=[plain_layer(norm, attention(options, window), ffn, norm) for window in windows],
        norm=norm,
        rope=rope,
        embedding_scale=embedding_scale(sizes),
        head_softcap=read_cap(read, f"gemma2.{HEAD_CAP}"),
    )


def gguf_scale(sizes: Sizes, layers_of_27b: int) -> float:
    """Return the factor on q · k, which is in no key.

    Source: `load_arch_hparams` in src/models/gemma2.cpp and gemma3.cpp of llama.cpp.
    """
    if sizes.layers == layers_of_27b:
        return float((sizes.width // sizes.heads) ** -0.5)
    return float(sizes.head_dim**-0.5)


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
GGUF_WEIGHTS = {
    **gguf.WEIGHTS,
    "layers.{n}.attention_post_norm.weight": "blk.{n}.post_attention_norm.weight",
    "layers.{n}.ffn_post_norm.weight": "blk.{n}.post_ffw_norm.weight",
}
FAMILY = Family(
    name="gemma2",
    claims=(Claim(hf="Gemma2ForCausalLM"), Claim(gguf="gemma2")),
    config={"hf": from_hf, "gguf": from_gguf},
    weights={"hf": WEIGHTS, "gguf": GGUF_WEIGHTS},
    fused={"gguf": gguf.FUSED},
    ignores=IGNORES,
    to_gguf=gemma2_form,
)
