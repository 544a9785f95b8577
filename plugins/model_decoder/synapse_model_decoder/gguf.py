"""Decoder families from GGUF: the keys and the names of tensors are the same for all of them.

Keys begin with the architecture's name. Whether there are biases and a head of its own is said by
the tensors alone.

Source: github.com/ggml-org/ggml, docs/gguf.md, "Standardized key-value pairs";
github.com/ggml-org/llama.cpp, src/llama-arch.cpp.
"""

from __future__ import annotations

from collections.abc import Mapping
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
    SublayerConfig,
)
from synapse_model_decoder.hf import Sizes
from synapse_model_decoder.hf_rope import LEAST_FACTOR, MOST_FACTOR, MOST_THETA

TABLE, HEAD, ROPE_FACTORS = "token_embd.weight", "output.weight", "rope_freqs.weight"
TOKENS = "tokenizer.ggml.tokens"
DEFAULT_THETA = 10000.0
# Keys that would change what the model computes, and the values that leave it as it is.
NEUTRAL: Mapping[str, tuple[Any, ...]] = MappingProxyType(
    {
        "attention.causal": (True,),
        "attention.clamp_kqv": (0.0,),
        "attention.max_alibi_bias": (0.0,),
        "attention.scale": (0.0,),
        "attn_logit_softcapping": (0.0,),
        "embedding_scale": (0.0, 1.0),
        "final_logit_softcapping": (0.0,),
        "logit_scale": (0.0, 1.0),
        "pooling_type": (0,),
        "residual_scale": (0.0, 1.0),
        "rope.dimension_sections": (),
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


def read_config(read: Fields, arch: str, *, style: str, qk_norm: bool = False) -> ModelConfig:
    """Read a whole file of the family `arch`; `style` is its rope's, `qk_norm` a norm of q and k.

    Raises: FileError naming the key or the tensor.
    """
    sizes = read_sizes(read, arch)
    norm = read_norm(read, arch)
    attention: dict[str, Any] = {
        "heads": sizes.heads,
        "kv_heads": sizes.kv_heads,
        "head_dim": sizes.head_dim,
        "biases": read_biases(read),
        "position": read_rope(read, arch, sizes.head_dim, style=style),
    }
    if qk_norm:
        options = {**norm.options, "width": sizes.head_dim}
        attention["qk_norm"] = ComponentConfig("norm", "rmsnorm", options)
    mixers = {
        "attention": ComponentConfig("attention", "gqa", attention),
        "ffn": read_ffn(read, sizes.hidden),
    }
    sublayers = (SublayerConfig(name, norm, mixer) for name, mixer in mixers.items())
    return ModelConfig(
        family=arch,
        width=sizes.width,
        vocabulary=sizes.vocabulary,
        context=sizes.context,
        layers=(LayerConfig(tuple(sublayers)),) * sizes.layers,
        norm=norm,
        tied=not read.has_tensor(HEAD),
        bos=read_special(read, sizes.vocabulary, "bos"),
        eos=read_special(read, sizes.vocabulary, "eos", "eot"),
    )


def read_sizes(read: Fields, arch: str) -> Sizes:
    """Read them.

    Raises: FileError naming the key: one that is missing, out of range, or asks for what these
    decoders do not do (experts, a window, other values than keys).
    """
    _refuse_others(read, arch)
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
    key = f"{arch}.attention.sliding_window"
    window = read.whole(key, least=0, most=MOST_CONTEXT, default=0)
    if 0 < window < context:
        raise read.error(key, f"found {window}; windows of architecture {arch!r} are not read")
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
    tokens = read.values.get(TOKENS, [])
    if not isinstance(tokens, list) or not all(isinstance(token, str) for token in tokens[:1]):
        raise read.error(TOKENS, "expected an array of texts")
    if len(tokens) > rows:
        raise read.error(TOKENS, f"has {len(tokens)} texts, tensor {TABLE!r} has {rows} rows")
    return rows


def read_norm(read: Fields, arch: str) -> ComponentConfig:
    """Read the rmsnorm that a decoder uses everywhere.

    Raises: FileError naming the key.
    """
    eps = read.number(f"{arch}.attention.layer_norm_rms_epsilon", least=0, most=1)
    return ComponentConfig("norm", "rmsnorm", {"eps": eps})


def read_ffn(read: Fields, hidden: int) -> ComponentConfig:
    """Read the gated feed-forward: GGUF decoders of these architectures use silu."""
    bias = read.has_tensor("blk.0.ffn_up.bias")
    options = {"hidden": hidden, "activation": "silu", "bias": bias}
    return ComponentConfig("ffn", "swiglu", options)


def read_biases(read: Fields) -> str:
    """Return the letters of the projections that have a bias in the first layer."""
    names = {"q": "attn_q", "k": "attn_k", "v": "attn_v", "o": "attn_output"}
    return "".join(
        letter for letter, name in names.items() if read.has_tensor(f"blk.0.{name}.bias")
    )


def read_rope(read: Fields, arch: str, head_dim: int, *, style: str) -> ComponentConfig:
    """Read the rotary positions; `style` is the architecture's own.

    Raises: FileError naming the key, or the tensor of factors.
    """
    key = f"{arch}.rope.dimension_count"
    turned = read.whole(key, least=2, most=head_dim, default=head_dim)
    if turned % 2:
        raise read.error(key, f"found {turned}; rope turns pairs, so it must be even")
    options: dict[str, Any] = {
        "head_dim": head_dim,
        "theta": read.number(
            f"{arch}.rope.freq_base", least=1, most=MOST_THETA, default=DEFAULT_THETA
        ),
        "style": style,
        "scaling": _read_scaling(read, arch),
    }
    if turned != head_dim:
        options["rotary_dim"] = turned
    if read.has_tensor(ROPE_FACTORS):
        factors = read.tensor_numbers(
            ROPE_FACTORS, turned // 2, least=LEAST_FACTOR, most=MOST_FACTOR
        )
        options["factors"] = list(factors)
    return ComponentConfig("position", "rope", options)


def read_special(read: Fields, vocabulary: int, *names: str) -> tuple[int, ...]:
    """Return the ids of the special tokens of these names that the file has.

    Raises: FileError for an id outside the vocabulary.
    """
    ids: list[int] = []
    for name in names:
        ids += read.token_ids(f"tokenizer.ggml.{name}_token_id", vocabulary)
    return tuple(dict.fromkeys(ids))


def _read_scaling(read: Fields, arch: str) -> dict[str, Any]:
    # Files of 2023 have scale_linear alone.
    older = f"{arch}.rope.scale_linear"
    type = read.choice(f"{arch}.rope.scaling.type", ("none", "linear"), "none")
    factor = f"{arch}.rope.scaling.factor"
    if type == "none" and read.has(older):
        type, factor = "linear", older
    if type == "none":
        return {}
    value = read.number(factor, least=LEAST_FACTOR, most=MOST_FACTOR)
    return {"type": "linear", "factor": value} if value != 1.0 else {}


def _refuse_others(read: Fields, arch: str) -> None:
    """Refuse what would make the model another than the one these decoders build."""
    key = f"{arch}.expert_count"
    experts = read.whole(key, least=0, most=MOST_WIDTH, default=0)
    if experts:
        raise read.error(key, f"found {experts}; mixtures of experts are not read")
    for name, values in NEUTRAL.items():
        key = f"{arch}.{name}"
        if read.has(key) and read.values[key] not in values:
            found = f"{read.values[key]!r:.40}"
            raise read.error(key, f"found {found}; architecture {arch!r} is not read with it")
