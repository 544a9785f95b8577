"""What the configs of both families share: sizes, the norm, and what stands around the layers.

A recurrent memory has no longest text. The context is llama.cpp's, 2^20 positions.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import attrs

from synapse_core.families import (
    MOST_CONTEXT,
    MOST_LAYERS,
    MOST_VOCABULARY,
    MOST_WIDTH,
    ComponentConfig,
    Fields,
    LayerConfig,
    ModelConfig,
    SublayerConfig,
)
from synapse_core.loaders import count_texts
from synapse_model_mamba.conv1d_causal import MOST_TAPS

CONTEXT = 1 << 20
TABLE, HEAD = "token_embd.weight", "output.weight"
TOKENS = "tokenizer.ggml.tokens"
MIXERS = {"mamba": "mamba1", "mamba2": "mamba2"}


@attrs.frozen(kw_only=True)
class Sizes:
    """The numbers that both families have; `inner` is the width of the mixer."""

    layers: int
    width: int
    inner: int
    vocabulary: int
    eps: float
    context: int = CONTEXT


def is_transformers(metadata: Mapping[str, Any]) -> bool:
    """Whether a config.json is in transformers' words, not in state-spaces' own."""
    return "d_model" not in metadata


def hf_sizes(read: Fields) -> Sizes:
    """Read a config.json's; the mixer is `expand` times as wide, and `intermediate_size` says so.

    Raises: FileError naming the key.
    """
    if read.has("quantization_config"):
        problem = "packed weights are not read; take the checkpoint in bf16, f16 or f32"
        raise read.error("quantization_config", problem)
    read.choice("hidden_act", ("silu",), "silu")
    width = read.whole("hidden_size", most=MOST_WIDTH)
    inner = read.whole("intermediate_size", most=MOST_WIDTH, default=None)
    expand = read.number("expand", least=0.0, most=MOST_WIDTH, default=None)
    if inner is None and expand is None:
        raise read.error("expand", "is missing")
    wide = inner if expand is None else int(expand * width)
    if not 1 <= wide <= MOST_WIDTH:
        raise read.error("expand", f"makes a width of {wide}, expected 1 to {MOST_WIDTH}")
    if inner is not None and inner != wide:
        raise read.error("intermediate_size", f"found {inner}, expand makes it {wide}")
    return Sizes(
        layers=read.whole("num_hidden_layers", most=MOST_LAYERS),
        width=width,
        inner=wide,
        vocabulary=read.whole("vocab_size", most=MOST_VOCABULARY),
        eps=read.number("layer_norm_epsilon", least=0, most=1),
    )


def hf_mixer(read: Fields) -> dict[str, Any]:
    """Read the options that both mixers have: taps and biases.

    Raises: FileError naming the key.
    """
    return {
        "taps": read.whole("conv_kernel", least=2, most=MOST_TAPS),
        "bias": read.flag("use_bias", False),
        "conv_bias": read.flag("use_conv_bias", True),
    }


def hf_model(
    read: Fields, family: str, sizes: Sizes, mixer: dict[str, Any], *, tied: bool
) -> ModelConfig:
    """Return the model around the mixer; `tied` is what a file means that does not say it.

    Raises: FileError naming the key.
    """
    return _model(
        family,
        MIXERS[family],
        sizes,
        mixer,
        tied=read.flag("tie_word_embeddings", tied),
        bos=read.token_ids("bos_token_id", sizes.vocabulary),
        eos=read.token_ids("eos_token_id", sizes.vocabulary),
    )


def gguf_sizes(read: Fields, arch: str) -> Sizes:
    """Read a GGUF file's.

    Raises: FileError naming the key or the tensor.
    """
    rows = read.tensor_rows(TABLE, most=MOST_VOCABULARY)
    key = f"{arch}.vocab_size"
    found = read.whole(key, most=MOST_VOCABULARY, default=rows)
    if found != rows:
        raise read.error(key, f"found {found}, tensor {TABLE!r} has {rows} rows")
    tokens = count_texts(read.values, TOKENS) if TOKENS in read.values else 0
    if tokens is None:
        raise read.error(TOKENS, "expected an array of texts")
    if tokens > rows:
        raise read.error(TOKENS, f"has {tokens} texts, tensor {TABLE!r} has {rows} rows")
    return Sizes(
        layers=read.whole(f"{arch}.block_count", most=MOST_LAYERS),
        width=read.whole(f"{arch}.embedding_length", most=MOST_WIDTH),
        inner=read.whole(f"{arch}.ssm.inner_size", most=MOST_WIDTH),
        vocabulary=rows,
        eps=read.number(f"{arch}.attention.layer_norm_rms_epsilon", least=0, most=1),
        context=read.whole(f"{arch}.context_length", most=MOST_CONTEXT),
    )


def gguf_mixer(read: Fields, arch: str) -> dict[str, Any]:
    """Read the options that both mixers have; a bias is there when its tensor is.

    Raises: FileError naming the key.
    """
    return {
        "taps": read.whole(f"{arch}.ssm.conv_kernel", least=2, most=MOST_TAPS),
        "bias": read.has_tensor("blk.0.ssm_in.bias"),
        "conv_bias": read.has_tensor("blk.0.ssm_conv1d.bias"),
    }


def gguf_model(read: Fields, family: str, sizes: Sizes, mixer: dict[str, Any]) -> ModelConfig:
    """Return the model around the mixer; a head of its own is there when its tensor is.

    Raises: FileError naming the key.
    """
    ids: dict[str, tuple[int, ...]] = {}
    for name in ("bos", "eos", "eot"):
        ids[name] = read.token_ids(f"tokenizer.ggml.{name}_token_id", sizes.vocabulary)
    eos = tuple(dict.fromkeys((*ids["eos"], *ids["eot"])))
    tied = not read.has_tensor(HEAD)
    return _model(family, MIXERS[family], sizes, mixer, tied=tied, bos=ids["bos"], eos=eos)


def original_model(
    read: Fields, family: str, name: str, sizes: Sizes, mixer: dict[str, Any]
) -> ModelConfig:
    """Return the model around a mixer of this name, by state-spaces' key for the head.

    Raises: FileError naming the key.
    """
    return _model(family, name, sizes, mixer, tied=read.flag("tie_embeddings", True))


def _model(
    family: str, name: str, sizes: Sizes, mixer: dict[str, Any], **around: Any
) -> ModelConfig:
    """Return layers of one sublayer: x + mixer(rmsnorm(x))."""
    norm = ComponentConfig("norm", "rmsnorm", {"eps": sizes.eps})
    layer = LayerConfig(
        (SublayerConfig("attention", norm, ComponentConfig("attention", name, mixer)),)
    )
    return ModelConfig(
        family=family,
        width=sizes.width,
        vocabulary=sizes.vocabulary,
        context=sizes.context,
        layers=(layer,) * sizes.layers,
        norm=norm,
        **around,
    )
