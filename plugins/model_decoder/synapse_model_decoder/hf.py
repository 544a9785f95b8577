"""What the config.json files of decoder families share: sizes, norm, feed-forward, layer kinds."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import attrs

from synapse_core.families import (
    MOST_CONTEXT,
    MOST_HEADS,
    MOST_LAYERS,
    MOST_VOCABULARY,
    MOST_WIDTH,
    ComponentConfig,
    Fields,
    LayerConfig,
    ModelConfig,
    SublayerConfig,
)
from synapse_model_decoder.hf_rope import FULL, SLIDING, stretched_context

FFN_OF_ACTIVATION = {
    "silu": ("swiglu", "silu"),
    "gelu": ("geglu", "gelu"),
    "gelu_pytorch_tanh": ("geglu", "gelu_tanh"),
}
EXPERTS = ("num_local_experts", "num_experts", "n_routed_experts", "moe_num_experts")


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
    _refuse_packed(read)
    for key in EXPERTS:
        if read.has(key) and read.values[key] != 0:
            raise read.error(key, "mixtures of experts are not read")
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


def read_window(read: Fields) -> int:
    """Read `sliding_window`: 0 for null, which must be said where a family has windows.

    Raises: FileError naming the key.
    """
    if read.values.get("sliding_window", 0) is None:
        return 0
    window: int = read.whole("sliding_window", most=MOST_CONTEXT)
    return window


def read_windows_from(read: Fields, layers: int) -> list[int]:
    """Return each layer's window, 0 for none: `layer_types`, else layers from `max_window_layers`.

    Source: Qwen2Config of transformers.
    Raises: FileError naming the key.
    """
    window = 0
    if read.flag("use_sliding_window", False):
        window = read.whole("sliding_window", most=MOST_CONTEXT, default=None) or 0
    first = layers
    if window and not read.has("layer_types"):
        first = read.whole("max_window_layers", least=0, most=MOST_LAYERS)
    return read_layer_windows(read, layers, window, lambda layer: layer >= first)


def read_layer_windows(
    read: Fields, layers: int, window: int, otherwise: Callable[[int], object]
) -> list[int]:
    """Return each layer's window, 0 for none, by `layer_types`.

    `otherwise` says which layers have a window in a file without that key.

    Raises: FileError naming the key.
    """
    if not read.has("layer_types"):
        return [window if otherwise(layer) else 0 for layer in range(layers)]
    types = read.values["layer_types"]
    known = isinstance(types, list) and all(kind in (FULL, SLIDING) for kind in types)
    if not known or len(types) != layers:
        raise read.error("layer_types", f"must name {FULL} or {SLIDING} for {layers} layers")
    if SLIDING in types and not window:
        raise read.error("layer_types", f"names {SLIDING}, and sliding_window is not in use")
    return [window if kind == SLIDING else 0 for kind in types]


def attention_options(sizes: Sizes, rope: ComponentConfig, biases: str = "") -> dict[str, Any]:
    """Return what every attention of a decoder says."""
    return {
        "heads": sizes.heads,
        "kv_heads": sizes.kv_heads,
        "head_dim": sizes.head_dim,
        "biases": biases,
        "position": rope,
    }


def attention(options: dict[str, Any], window: int = 0) -> ComponentConfig:
    """Return the attention with these options and window, 0 for none."""
    if window:
        return ComponentConfig("attention", "sliding_window", {**options, "window": window})
    return ComponentConfig("attention", "gqa", options)


def plain_layer(
    norm: ComponentConfig,
    mixer: ComponentConfig,
    ffn: ComponentConfig,
    post_norm: ComponentConfig | None = None,
) -> LayerConfig:
    """Return a layer of attention and feed-forward; `post_norm` stands behind each of them."""
    first = SublayerConfig("attention", norm, mixer, post_norm)
    return LayerConfig((first, SublayerConfig("ffn", norm, ffn, post_norm)))


def read_model(
    read: Fields,
    family: str,
    sizes: Sizes,
    *,
    layers: Sequence[LayerConfig],
    norm: ComponentConfig,
    rope: ComponentConfig,
    tied: bool = False,
    **more: Any,
) -> ModelConfig:
    """Read what stands around the layers; `tied` is what a file means that does not say it.

    `rope` decides how far the context reaches; `more` goes to the config as it is.

    Raises: FileError naming the key.
    """
    return ModelConfig(
        family=family,
        width=sizes.width,
        vocabulary=sizes.vocabulary,
        context=stretched_context(sizes.context, rope),
        layers=tuple(layers),
        norm=norm,
        tied=read.flag("tie_word_embeddings", tied),
        bos=read.token_ids("bos_token_id", sizes.vocabulary),
        eos=read.token_ids("eos_token_id", sizes.vocabulary),
        **more,
    )


def refuse_biases(read: Fields, *keys: str) -> None:
    """Refuse a file that asks for biases which the family does not have.

    Raises: FileError naming the key.
    """
    for key in keys:
        if read.flag(key, False):
            raise read.error(key, "found true; this architecture has no such biases")


def _refuse_packed(read: Fields) -> None:
    """Say which method packed the weights: none of them is read."""
    if not read.has("quantization_config"):
        return
    packing = read.object("quantization_config")
    method = packing.text("quant_method", "a method that it does not name")
    bits = packing.values.get("bits", packing.values.get("w_bit"))
    width = f", {bits} bits" if type(bits) is int and 1 <= bits <= 8 else ""
    problem = f"the weights are packed by {method:.40}{width}, which is not read"
    raise read.error("quantization_config", f"{problem}; take the checkpoint in bf16, f16 or f32")
