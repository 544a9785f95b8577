"""RWKV-7 in BlinkDL's names, as the published .pth files have them.

Paper: Peng et al. 2025, arXiv 2503.14456.
Reference: `RWKV_x070` of the package `rwkv`, rwkv/model.py.
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
    transposed,
)
from synapse_model_rwkv import fla, gguf
from synapse_model_rwkv.model import (
    HEAD_EPS,
    KEEPS,
    Ranks,
    Sizes,
    build,
    read_rank,
    read_shape,
    rwkv7_config,
    same_numbers,
)
from synapse_model_rwkv.shipped import default_model_path

ARCHITECTURE = "RWKV7ForCausalLM"
FIRST_VALUES = "the first layer's values are mixed with no other's: published files have it unused"
IGNORES = (
    *(Ignore(f"blocks.0.att.{name}", FIRST_VALUES) for name in ("v0", "v1", "v2")),
    *gguf.IGNORES,
)


def _pair(ours: str, theirs: str, bias: bool = True) -> dict[str, str | Made]:
    found: dict[str, str | Made] = {
        f"layers.{{n}}.attention.{ours}.down.weight": transposed(f"blocks.{{n}}.att.{theirs}1"),
        f"layers.{{n}}.attention.{ours}.up.weight": transposed(f"blocks.{{n}}.att.{theirs}2"),
    }
    if bias:
        found[f"layers.{{n}}.attention.{ours}.up.bias"] = f"blocks.{{n}}.att.{theirs}0"
    return found


WEIGHTS: Mapping[str, str | Made] = {
    "embedding.weight": "emb.weight",
    "embedding_norm.weight": "blocks.0.ln0.weight",
    "embedding_norm.bias": "blocks.0.ln0.bias",
    "layers.{n}.attention_norm.weight": "blocks.{n}.ln1.weight",
    "layers.{n}.attention_norm.bias": "blocks.{n}.ln1.bias",
    **{f"layers.{{n}}.attention.shift.{x}": f"blocks.{{n}}.att.x_{x}" for x in "rwkvag"},
    "layers.{n}.attention.r.weight": "blocks.{n}.att.receptance.weight",
    "layers.{n}.attention.k.weight": "blocks.{n}.att.key.weight",
    "layers.{n}.attention.v.weight": "blocks.{n}.att.value.weight",
    "layers.{n}.attention.o.weight": "blocks.{n}.att.output.weight",
    "layers.{n}.attention.o.bias": "blocks.{n}.att.output.bias",
    **_pair("decay", "w"),
    **_pair("rate", "a"),
    **_pair("value", "v"),
    **_pair("gate", "g", bias=False),
    "layers.{n}.attention.key_scale": "blocks.{n}.att.k_k",
    "layers.{n}.attention.key_rate": "blocks.{n}.att.k_a",
    "layers.{n}.attention.bonus": Made(tensor="blocks.{n}.att.r_k", make=same_numbers),
    "layers.{n}.attention.norm.weight": "blocks.{n}.att.ln_x.weight",
    "layers.{n}.attention.norm.bias": "blocks.{n}.att.ln_x.bias",
    "layers.{n}.ffn_norm.weight": "blocks.{n}.ln2.weight",
    "layers.{n}.ffn_norm.bias": "blocks.{n}.ln2.bias",
    "layers.{n}.ffn.shift": "blocks.{n}.ffn.x_k",
    "layers.{n}.ffn.up.weight": "blocks.{n}.ffn.key.weight",
    "layers.{n}.ffn.down.weight": "blocks.{n}.ffn.value.weight",
    "norm.weight": "ln_out.weight",
    "norm.bias": "ln_out.bias",
    "head.weight": "head.weight",
    "head.bias": "head.bias",
}


def from_hf(read: Fields) -> ModelConfig:
    """Read a config.json beside tensors of these names; what it leaves open they say.

    Raises: FileError naming the key or the tensor.
    """
    width, layers, size, vocabulary = read_shape(read)
    ranks = [
        Ranks(
            decay=read_rank(read, f"blocks.{n}.att.w2"),
            rate=read_rank(read, f"blocks.{n}.att.a2"),
            gate=read_rank(read, f"blocks.{n}.att.g2"),
            value=read_rank(read, f"blocks.{n}.att.v2") if n else 0,
        )
        for n in range(layers)
    ]
    sizes = Sizes(
        width=width,
        hidden=read.whole("intermediate_size", most=MOST_WIDTH),
        head_dim=size,
        vocabulary=vocabulary,
        ranks=ranks,
    )
    norm = ComponentConfig(
        "norm", "layernorm", {"eps": read.number("norm_eps", least=0, most=1, default=1e-5)}
    )
    return rwkv7_config(
        "rwkv7",
        sizes,
        norm=norm,
        head_eps=HEAD_EPS,
        embedding_norm=read.flag("has_ln0", read.has_tensor("blocks.0.ln0.weight")),
        output_bias=read.flag("attention_output_bias", False),
        head_bias=read.flag("head_bias", False),
        tied=read.flag("tie_word_embeddings", False),
        bos=read.token_ids("bos_token_id", vocabulary),
        eos=read.token_ids("eos_token_id", vocabulary),
    )


def is_blinkdl(metadata: Mapping[str, Any]) -> bool:
    """Whether a config.json stands beside tensors of these names: it is none of fla's."""
    return not fla.is_fla(metadata)


FAMILY = Family(
    name="rwkv7",
    default_checkpoint=default_model_path,
    claims=(Claim(hf=ARCHITECTURE, when=is_blinkdl), Claim(gguf="rwkv7")),
    config={"hf": from_hf, "gguf": gguf.from_gguf},
    weights={"hf": WEIGHTS, "gguf": gguf.WEIGHTS},
    ignores=IGNORES,
    keeps=KEEPS,
    build=build,
)
