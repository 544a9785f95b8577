"""RWKV-7 in the names of flash-linear-attention, as fla-hub's checkpoints have them.

Paper: Peng et al. 2025, arXiv 2503.14456.
Reference: `RWKV7ForCausalLM` of flash-linear-attention, fla/models/rwkv7 and fla/layers/rwkv7.py.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from synapse_core.families import (
    MOST_WIDTH,
    Claim,
    ComponentConfig,
    Family,
    Fields,
    Ignore,
    Made,
    ModelConfig,
    Part,
    stacked,
)
from synapse_model_rwkv.model import (
    KEEPS,
    Ranks,
    Sizes,
    build,
    read_rank,
    read_shape,
    rwkv7_config,
    same_numbers,
)

ATTENTION = "model.layers.{n}.attn"
# Of these a config of that package always has one, and no other does.
TELLING = ("norm_first", "fuse_norm", "attn_mode", "hidden_ratio", "decay_low_rank_dim")
SHIFTS = tuple(f"layers.{{n}}.attention.shift.{x}" for x in "rwkvag")
MOST_RATIO = 1024


def _pair(ours: str, theirs: str, bias: bool = True) -> dict[str, str | Made]:
    found: dict[str, str | Made] = {
        f"layers.{{n}}.attention.{ours}.down.weight": f"{ATTENTION}.{theirs}_lora.lora.0.weight",
        f"layers.{{n}}.attention.{ours}.up.weight": f"{ATTENTION}.{theirs}_lora.lora.2.weight",
    }
    if bias:
        found[f"layers.{{n}}.attention.{ours}.up.bias"] = f"{ATTENTION}.{theirs}_lora.lora.2.bias"
    return found


WEIGHTS: Mapping[str, str | Made] = {
    "embedding.weight": "model.embeddings.weight",
    "embedding_norm.weight": "model.layers.0.pre_norm.weight",
    "embedding_norm.bias": "model.layers.0.pre_norm.bias",
    "layers.{n}.attention_norm.weight": "model.layers.{n}.attn_norm.weight",
    "layers.{n}.attention_norm.bias": "model.layers.{n}.attn_norm.bias",
    **{name: f"{ATTENTION}.x_{name[-1]}" for name in SHIFTS},
    **{f"layers.{{n}}.attention.{x}.weight": f"{ATTENTION}.{x}_proj.weight" for x in "rkvo"},
    **_pair("decay", "w"),
    **_pair("rate", "a"),
    **_pair("value", "v"),
    **_pair("gate", "g", bias=False),
    "layers.{n}.attention.key_scale": f"{ATTENTION}.k_k",
    "layers.{n}.attention.key_rate": f"{ATTENTION}.k_a",
    "layers.{n}.attention.bonus": Made(tensor=f"{ATTENTION}.r_k", make=same_numbers),
    "layers.{n}.attention.norm.weight": f"{ATTENTION}.g_norm.weight",
    "layers.{n}.attention.norm.bias": f"{ATTENTION}.g_norm.bias",
    "layers.{n}.ffn_norm.weight": "model.layers.{n}.ffn_norm.weight",
    "layers.{n}.ffn_norm.bias": "model.layers.{n}.ffn_norm.bias",
    "layers.{n}.ffn.shift": "model.layers.{n}.ffn.x_k",
    "layers.{n}.ffn.up.weight": "model.layers.{n}.ffn.key.weight",
    "layers.{n}.ffn.down.weight": "model.layers.{n}.ffn.value.weight",
    "norm.weight": "model.norm.weight",
    "norm.bias": "model.norm.bias",
    "head.weight": "lm_head.weight",
}
# The first version of these checkpoints.
FUSED: Mapping[str, Part] = stacked(f"{ATTENTION}.x_x", *SHIFTS)
IGNORES = (
    Ignore("model.layers.0.attn.v_lora.*", "the first layer's values are mixed with no other's"),
)


def from_hf(read: Fields) -> ModelConfig:
    """Read a config.json.

    Raises: FileError naming the key or the tensor.
    """
    width, layers, size, vocabulary = read_shape(read)
    _refuse_others(read, width, layers)
    eps = read.number("norm_eps", least=0, most=1)
    norm = ComponentConfig("norm", "layernorm", {"eps": eps, "bias": read.flag("norm_bias", True)})
    sizes = Sizes(
        width=width,
        hidden=_read_hidden(read, width),
        head_dim=size,
        vocabulary=vocabulary,
        ranks=[_read_ranks(read, n) for n in range(layers)],
    )
    return rwkv7_config(
        "rwkv7_fla",
        sizes,
        norm=norm,
        head_eps=size * eps,
        embedding_norm=read.flag("norm_first", True),
        tied=read.flag("tie_word_embeddings", False),
        bos=read.token_ids("bos_token_id", vocabulary),
        eos=read.token_ids("eos_token_id", vocabulary),
    )


def is_fla(metadata: Mapping[str, Any]) -> bool:
    """Whether a config.json is one of flash-linear-attention's."""
    return any(key in metadata for key in TELLING)


def _read_ranks(read: Fields, layer: int) -> Ranks:
    def rank(letter: str, key: str) -> int:
        name = f"model.layers.{layer}.attn.{letter}_lora.lora.0.weight"
        return read_rank(read, name, f"{key}_low_rank_dim")

    return Ranks(
        decay=rank("w", "decay"),
        rate=rank("a", "a"),
        gate=rank("g", "gate"),
        value=rank("v", "v") if layer else 0,
    )


def _read_hidden(read: Fields, width: int) -> int:
    """Return the channel mix's width: said, or a ratio of the model's in steps of 32."""
    hidden: int | None = read.whole("intermediate_size", most=MOST_WIDTH, default=None)
    if hidden is not None:
        return hidden
    ratio = read.number("hidden_ratio", least=0.01, most=MOST_RATIO, default=None)
    found = -(-int(width * (4.0 if ratio is None else ratio)) // 32) * 32
    if not 1 <= found <= MOST_WIDTH:
        raise read.error("hidden_ratio", f"{ratio} · {width} is {found}, at most {MOST_WIDTH}")
    return found


def _refuse_others(read: Fields, width: int, layers: int) -> None:
    """Refuse what would make the model another than the one that is built."""
    if read.has("attn"):
        raise read.error("attn", "layers of attention among those of RWKV-7 are not read")
    read.choice("hidden_act", ("sqrelu",), "sqrelu")
    values = read.values.get("value_dim")
    for found in values if isinstance(values, list) else [values]:
        if found not in (None, width):
            raise read.error("value_dim", f"found {found!r:.40}, expected the width {width}")


FAMILY = Family(
    name="rwkv7_fla",
    claims=(Claim(hf="RWKV7ForCausalLM", when=is_fla, replaces_code=True),),
    config={"hf": from_hf},
    weights={"hf": WEIGHTS},
    fused={"hf": FUSED},
    ignores=IGNORES,
    keeps=KEEPS,
    build=build,
)
