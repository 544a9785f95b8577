"""Decoder families from GGUF: the keys and the names of tensors are the same for all of them.

Keys begin with the architecture's name. Whether there are biases and a head of its own is said by
the tensors alone. A family whose layers differ from LLaMA's puts them together from what is here.

Source: github.com/ggml-org/ggml, docs/gguf.md, "Standardized key-value pairs";
github.com/ggml-org/llama.cpp, src/llama-arch.cpp.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from types import MappingProxyType
from typing import Any

from synapse_core.families import (
    MOST_CONTEXT,
    MOST_HEADS,
    MOST_LAYERS,
    MOST_VOCABULARY,
    MOST_WIDTH,
    ComponentConfig,
    Fields,
    Ignore,
    LayerConfig,
    ModelConfig,
    Part,
    stacked,
)
from synapse_core.loaders import count_texts
from synapse_model_decoder.gguf_rope import MAGNITUDE, ROPE_FACTORS, TYPE, read_rope
from synapse_model_decoder.hf import Sizes, attention, attention_options, plain_layer
from synapse_model_decoder.hf_rope import TRAINED, stretched_context

TABLE, HEAD = "token_embd.weight", "output.weight"
TOKENS = "tokenizer.ggml.tokens"
WINDOW, PATTERN = "attention.sliding_window", "attention.sliding_window_pattern"
# Keys that would change what the model computes, and the values that leave it as it is.
NEUTRAL: Mapping[str, tuple[Any, ...]] = MappingProxyType(
    {
        "attention.causal": (True,),
        "attention.clamp_kqv": (0.0,),
        "attention.key_length_swa": (),
        "attention.max_alibi_bias": (0.0,),
        "attention.scale": (0.0,),
        "attention.value_length_swa": (),
        "attn_logit_softcapping": (0.0,),
        "embedding_scale": (0.0, 1.0),
        "final_logit_softcapping": (0.0,),
        "logit_scale": (0.0, 1.0),
        "nextn_predict_layers": (0,),
        "pooling_type": (0,),
        "residual_scale": (0.0, 1.0),
        "rope.dimension_count_swa": (),
        "rope.dimension_sections": (),
        MAGNITUDE: (1.0,),
        "use_parallel_residual": (False,),
    }
)
IGNORES = (
    Ignore(ROPE_FACTORS, "part of the config: the factors of the rope"),
    Ignore("blk.*.attn_rot_embd.weight", "computed from the config"),
)
WEIGHTS = {
    "embedding.weight": TABLE,
    "layers.{n}.attention_norm.weight": "blk.{n}.attn_norm.weight",
    "layers.{n}.attention.q.weight": "blk.{n}.attn_q.weight",
    "layers.{n}.attention.q.bias": "blk.{n}.attn_q.bias",
    "layers.{n}.attention.q_norm.weight": "blk.{n}.attn_q_norm.weight",
    "layers.{n}.attention.k.weight": "blk.{n}.attn_k.weight",
    "layers.{n}.attention.k.bias": "blk.{n}.attn_k.bias",
    "layers.{n}.attention.k_norm.weight": "blk.{n}.attn_k_norm.weight",
    "layers.{n}.attention.v.weight": "blk.{n}.attn_v.weight",
    "layers.{n}.attention.v.bias": "blk.{n}.attn_v.bias",
    "layers.{n}.attention.o.weight": "blk.{n}.attn_output.weight",
    "layers.{n}.attention.o.bias": "blk.{n}.attn_output.bias",
    "layers.{n}.ffn_norm.weight": "blk.{n}.ffn_norm.weight",
    "layers.{n}.ffn.gate.weight": "blk.{n}.ffn_gate.weight",
    "layers.{n}.ffn.gate.bias": "blk.{n}.ffn_gate.bias",
    "layers.{n}.ffn.up.weight": "blk.{n}.ffn_up.weight",
    "layers.{n}.ffn.up.bias": "blk.{n}.ffn_up.bias",
    "layers.{n}.ffn.down.weight": "blk.{n}.ffn_down.weight",
    "layers.{n}.ffn.down.bias": "blk.{n}.ffn_down.bias",
    "norm.weight": "output_norm.weight",
    "head.weight": HEAD,
}
QKV = tuple(f"layers.{{n}}.attention.{letter}" for letter in "qkv")
# What the converter makes of these three with --fuse-qkv, and always of Phi-3's.
FUSED: Mapping[str, Part] = {
    **stacked("blk.{n}.attn_qkv.weight", *(f"{name}.weight" for name in QKV)),
    **stacked("blk.{n}.attn_qkv.bias", *(f"{name}.bias" for name in QKV)),
}


def read_config(read: Fields, arch: str, *, style: str, qk_norm: bool = False) -> ModelConfig:
    """Read a whole file of the family `arch`; `style` is its rope's, `qk_norm` a norm of q and k.

    Raises: FileError naming the key or the tensor.
    """
    sizes = read_sizes(read, arch)
    norm = read_norm(read, arch)
    rope = read_rope(read, arch, sizes.head_dim, style=style)
    options = attention_options(sizes, rope, read_biases(read))
    if qk_norm:
        options["qk_norm"] = head_norm(norm, sizes)
    layer = plain_layer(norm, attention(options), read_ffn(read, sizes.hidden))
    return read_model(read, arch, sizes, layers=[layer] * sizes.layers, norm=norm, rope=rope)


def read_model(
    read: Fields,
    arch: str,
    sizes: Sizes,
    *,
    layers: Sequence[LayerConfig],
    norm: ComponentConfig,
    rope: ComponentConfig,
    **more: Any,
) -> ModelConfig:
    """Read what stands around the layers; `more` goes to the config as it is.

    Where the context is that before `rope` was stretched, it reaches as far as that stretches: the
    converter copies what config.json says.

    Raises: FileError naming the key.
    """
    context = sizes.context
    if rope.options["scaling"].get(TRAINED) == context:
        context = stretched_context(context, rope)
    return ModelConfig(
        family=arch,
        width=sizes.width,
        vocabulary=sizes.vocabulary,
        context=context,
        layers=tuple(layers),
        norm=norm,
        tied=not read.has_tensor(HEAD),
        bos=read_special(read, sizes.vocabulary, "bos"),
        eos=read_special(read, sizes.vocabulary, "eos", "eot"),
        **more,
    )


def read_sizes(read: Fields, arch: str, own: Collection[str] = ()) -> Sizes:
    """Read them; `own` are keys of NEUTRAL, and the window's, that the family reads itself.

    Raises: FileError naming the key: one that is missing, out of range, or asks for what the
    family does not do (experts, a window, other values than keys).
    """
    _refuse_others(read, arch, own)
    context = read.whole(f"{arch}.context_length", most=MOST_CONTEXT)
    width = read.whole(f"{arch}.embedding_length", most=MOST_WIDTH)
    heads = read.whole(f"{arch}.attention.head_count", most=MOST_HEADS)
    key = f"{arch}.attention.head_count_kv"
    kv_heads = read.whole(key, most=MOST_HEADS, default=heads)
    if heads % kv_heads:
        raise read.error(key, f"found {kv_heads}, expected a divisor of the {heads} heads")
    key = f"{arch}.attention.key_length"
    if not read.has(key) and width % heads:
        problem = f"found {heads}, expected a divisor of {width}"
        raise read.error(f"{arch}.attention.head_count", problem)
    head_dim = read.whole(key, most=MOST_WIDTH, default=width // heads)
    if head_dim % 2:
        raise read.error(key, f"found {head_dim}; rope turns pairs, so it must be even")
    key = f"{arch}.attention.value_length"
    values = read.whole(key, most=MOST_WIDTH, default=head_dim)
    if values != head_dim:
        raise read.error(key, f"found {values}, expected the {head_dim} of the keys")
    window = 0 if WINDOW in own else read_window(read, arch, default=0)
    if 0 < window < context:
        problem = f"found {window}; windows of architecture {arch!r} are not read"
        raise read.error(f"{arch}.{WINDOW}", problem)
    return Sizes(
        layers=read.whole(f"{arch}.block_count", most=MOST_LAYERS),
        width=width,
        hidden=read.whole(f"{arch}.feed_forward_length", most=MOST_WIDTH),
        heads=heads,
        kv_heads=kv_heads,
        head_dim=head_dim,
        vocabulary=read_vocabulary(read, arch),
        context=context,
    )


def read_vocabulary(read: Fields, arch: str) -> int:
    """Return the rows of the token table; it may be padded past the tokens that have a text.

    Raises: FileError naming the key that says something else.
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
    return rows


def read_norm(read: Fields, arch: str) -> ComponentConfig:
    """Read the rmsnorm that a decoder uses everywhere.

    Raises: FileError naming the key.
    """
    eps = read.number(f"{arch}.attention.layer_norm_rms_epsilon", least=0, most=1)
    return ComponentConfig("norm", "rmsnorm", {"eps": eps})


def head_norm(norm: ComponentConfig, sizes: Sizes) -> ComponentConfig:
    """Return the norm of each head's q and k: the same over a head's columns."""
    return ComponentConfig("norm", "rmsnorm", {**norm.options, "width": sizes.head_dim})


def read_window(read: Fields, arch: str, **default: int) -> int:
    """Read the window, 0 for none; a file must say it unless there is a `default`.

    Raises: FileError naming the key.
    """
    window: int = read.whole(f"{arch}.{WINDOW}", least=0, most=MOST_CONTEXT, **default)
    return window


def layer_windows(read: Fields, arch: str, layers: int, window: int, *, period: int) -> list[int]:
    """Return each layer's window, 0 for none: the last layer of every `period` has none.

    The file may give another period, or for each layer whether it has a window.

    Source: `load_swa_pattern` and `set_swa_pattern` of llama.cpp.
    Raises: FileError naming the key.
    """
    key = f"{arch}.{PATTERN}"
    found = read.values.get(key)
    if isinstance(found, list):
        if len(found) != layers or not all(type(has) is bool for has in found):
            raise read.error(key, f"expected true or false for each of the {layers} layers")
        return [window if has else 0 for has in found]
    period = read.whole(key, least=0, most=MOST_LAYERS, default=period)
    return [0 if period and n % period == period - 1 else window for n in range(layers)]


def read_ffn(read: Fields, hidden: int) -> ComponentConfig:
    """Read the gated feed-forward: GGUF decoders of these architectures use silu."""
    bias = read.has_tensor("blk.0.ffn_up.bias")
    options = {"hidden": hidden, "activation": "silu", "bias": bias}
    return ComponentConfig("ffn", "swiglu", options)


def read_biases(read: Fields) -> str:
    """Return the letters of the projections that have a bias in the first layer."""
    found = "qkv" if read.has_tensor("blk.0.attn_qkv.bias") else ""
    names = {"q": "attn_q", "k": "attn_k", "v": "attn_v", "o": "attn_output"}
    return found + "".join(
        letter
        for letter, name in names.items()
        if letter not in found and read.has_tensor(f"blk.0.{name}.bias")
    )


def read_special(read: Fields, vocabulary: int, *names: str) -> tuple[int, ...]:
    """Return the ids of the special tokens of these names that the file has.

    Raises: FileError for an id outside the vocabulary.
    """
    ids: list[int] = []
    for name in names:
        ids += read.token_ids(f"tokenizer.ggml.{name}_token_id", vocabulary)
    return tuple(dict.fromkeys(ids))


def _refuse_others(read: Fields, arch: str, own: Collection[str]) -> None:
    """Refuse what would make the model another than the one these decoders build."""
    key = f"{arch}.expert_count"
    experts = read.whole(key, least=0, most=MOST_WIDTH, default=0)
    if experts:
        raise read.error(key, f"found {experts}; mixtures of experts are not read")
    if read.values.get(f"{arch}.{TYPE}") == "yarn":
        own = {*own, MAGNITUDE}  # read with the rope
    for name, values in NEUTRAL.items():
        key = f"{arch}.{name}"
        if name not in own and read.has(key) and read.values[key] not in values:
            found = f"{read.values[key]!r:.40}"
            raise read.error(key, f"found {found}; architecture {arch!r} is not read with it")
