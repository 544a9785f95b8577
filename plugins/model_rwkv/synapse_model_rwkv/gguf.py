"""RWKV-7 in GGUF: architecture `rwkv7`, as llama.cpp's converter writes it.

Source: `Rwkv7Model` of llama.cpp, conversion/rwkv.py; src/models/rwkv7.cpp.
"""

from __future__ import annotations

from collections.abc import Mapping

from synapse_core.families import (
    MOST_LAYERS,
    MOST_VOCABULARY,
    MOST_WIDTH,
    ComponentConfig,
    Fields,
    Ignore,
    Made,
    ModelConfig,
    Part,
    stacked,
)
from synapse_model_rwkv.model import (
    HEAD_EPS,
    Ranks,
    Sizes,
    read_rank,
    rwkv7_config,
    same_numbers,
)

ARCH = "rwkv7"
TABLE, HEAD = "token_embd.weight", "output.weight"
IGNORES = tuple(
    Ignore(f"blk.0.time_mix_{name}.weight", "the first layer's values are mixed with no other's")
    for name in ("v0", "v1", "v2")
)


def _flat(rows: int, cols: int) -> tuple[int, ...]:
    return (rows * cols,)


def _pair(ours: str, theirs: str, bias: bool = True) -> dict[str, str]:
    found = {
        f"layers.{{n}}.attention.{ours}.down.weight": f"blk.{{n}}.time_mix_{theirs}1.weight",
        f"layers.{{n}}.attention.{ours}.up.weight": f"blk.{{n}}.time_mix_{theirs}2.weight",
    }
    if bias:
        found[f"layers.{{n}}.attention.{ours}.up.bias"] = f"blk.{{n}}.time_mix_{theirs}0.weight"
    return found


WEIGHTS: Mapping[str, str | Part | Made] = {
    "embedding.weight": TABLE,
    "embedding_norm.weight": "token_embd_norm.weight",
    "embedding_norm.bias": "token_embd_norm.bias",
    "layers.{n}.attention_norm.weight": "blk.{n}.attn_norm.weight",
    "layers.{n}.attention_norm.bias": "blk.{n}.attn_norm.bias",
    **stacked(
        "blk.{n}.time_mix_lerp_fused.weight",
        *(f"layers.{{n}}.attention.shift.{x}" for x in "rwkvag"),
    ),
    "layers.{n}.attention.r.weight": "blk.{n}.time_mix_receptance.weight",
    "layers.{n}.attention.k.weight": "blk.{n}.time_mix_key.weight",
    "layers.{n}.attention.v.weight": "blk.{n}.time_mix_value.weight",
    "layers.{n}.attention.o.weight": "blk.{n}.time_mix_output.weight",
    **_pair("decay", "w"),
    **_pair("rate", "a"),
    **_pair("value", "v"),
    **_pair("gate", "g", bias=False),
    "layers.{n}.attention.key_scale": "blk.{n}.time_mix_k_k.weight",
    "layers.{n}.attention.key_rate": "blk.{n}.time_mix_k_a.weight",
    "layers.{n}.attention.bonus": Made(
        tensor="blk.{n}.time_mix_r_k.weight", make=same_numbers, shape=_flat
    ),
    "layers.{n}.attention.norm.weight": "blk.{n}.time_mix_ln.weight",
    "layers.{n}.attention.norm.bias": "blk.{n}.time_mix_ln.bias",
    "layers.{n}.ffn_norm.weight": "blk.{n}.attn_norm_2.weight",
    "layers.{n}.ffn_norm.bias": "blk.{n}.attn_norm_2.bias",
    "layers.{n}.ffn.shift": "blk.{n}.channel_mix_lerp_k.weight",
    "layers.{n}.ffn.up.weight": "blk.{n}.channel_mix_key.weight",
    "layers.{n}.ffn.down.weight": "blk.{n}.channel_mix_value.weight",
    "norm.weight": "output_norm.weight",
    "norm.bias": "output_norm.bias",
    "head.weight": HEAD,
}


def from_gguf(read: Fields) -> ModelConfig:
    """Read the keys of a GGUF file.

    The epsilon of a head's norm is in no key: it is BlinkDL's, as in llama.cpp.

    Raises: FileError naming the key or the tensor.
    """
    width = read.whole(f"{ARCH}.embedding_length", most=MOST_WIDTH)
    size = read.whole(f"{ARCH}.wkv.head_size", most=MOST_WIDTH)
    if width % size:
        raise read.error(f"{ARCH}.wkv.head_size", f"found {size}, expected a divisor of {width}")
    # A row's shifts are two, those of time mix and channel mix, in every file there is.
    read.whole(f"{ARCH}.token_shift_count", least=2, most=2, default=2)
    vocabulary = read.tensor_rows(TABLE, most=MOST_VOCABULARY)
    layers = read.whole(f"{ARCH}.block_count", most=MOST_LAYERS)
    sizes = Sizes(
        width=width,
        hidden=read.whole(f"{ARCH}.feed_forward_length", most=MOST_WIDTH),
        head_dim=size,
        vocabulary=vocabulary,
        ranks=[_read_ranks(read, n) for n in range(layers)],
    )
    eps = read.number(f"{ARCH}.attention.layer_norm_epsilon", least=0, most=1)
    ends = (read.token_ids(f"tokenizer.ggml.{end}_token_id", vocabulary) for end in ("eos", "eot"))
    return rwkv7_config(
        ARCH,
        sizes,
        norm=ComponentConfig("norm", "layernorm", {"eps": eps}),
        head_eps=HEAD_EPS,
        tied=not read.has_tensor(HEAD),
        bos=read.token_ids("tokenizer.ggml.bos_token_id", vocabulary),
        eos=tuple(dict.fromkeys(id for ids in ends for id in ids)),
    )


def _read_ranks(read: Fields, layer: int) -> Ranks:
    def rank(letter: str, key: str) -> int:
        tensor = f"blk.{layer}.time_mix_{letter}1.weight"
        return read_rank(read, tensor, f"{ARCH}.attention.{key}_lora_rank")

    return Ranks(
        decay=rank("w", "decay"),
        rate=rank("a", "iclr"),
        gate=rank("g", "gate"),
        value=rank("v", "value_residual_mix") if layer else 0,
    )
