"""Phi-3, Phi-3.5 and Phi-4: q, k, v in one matrix, gate and up in another; stretched by longrope.

Paper: Abdin et al. 2024, arXiv 2404.14219; Phi-4: arXiv 2412.08905.
Reference: `Phi3ForCausalLM` of transformers, models/phi3/modeling_phi3.py.

A GGUF file has its window as a key. llama.cpp reads that and does without it; here it holds, as in
transformers.
"""

from __future__ import annotations

from typing import Any

from synapse_core.families import (
    MOST_CONTEXT,
    Claim,
    Family,
    Fields,
    Ignore,
    ModelConfig,
    Part,
    stacked,
)
from synapse_model_decoder import gguf, to_gguf
from synapse_model_decoder.gguf_rope import (
    LONG,
    MAGNITUDE,
    SHORT,
    TRAINED_LENGTH,
    TYPE,
    read_factors,
    read_rope,
    read_turned,
)
from synapse_model_decoder.hf import (
    Sizes,
    attention,
    attention_options,
    plain_layer,
    read_ffn,
    read_model,
    read_norm,
    read_sizes,
    read_window,
    refuse_biases,
)
from synapse_model_decoder.hf_rope import LEAST_FACTOR, MOST_FACTOR, TYPE_NAMES, RopeReader
from synapse_model_decoder.llama import IGNORES

# Both are what the first files call longrope; no Phi-3 was ever stretched by another rule.
SCALING_NAMES = {**TYPE_NAMES, "yarn": "longrope"}
SCALINGS = ("default", "longrope")


def from_hf(read: Fields) -> ModelConfig:
    """Read a config.json.

    Raises: FileError naming the key.
    """
    sizes = read_sizes(read)
    refuse_biases(read, "attention_bias", "mlp_bias", "lm_head_bias")
    norm = read_norm(read)
    rope = RopeReader(
        head_dim=sizes.head_dim,
        context=sizes.context,
        partial=True,
        types=SCALING_NAMES,
        known=SCALINGS,
    ).read(read)
    window = read_window(read) if "sliding_window" in read.values else 0
    mixer = attention(attention_options(sizes, rope), window)
    layers = [plain_layer(norm, mixer, read_ffn(read, sizes.hidden))] * sizes.layers
    return read_model(read, "phi3", sizes, layers=layers, norm=norm, rope=rope)


def from_gguf(read: Fields) -> ModelConfig:
    """Read the keys of a GGUF file; its divisors of longrope are tensors.

    Raises: FileError naming the key or the tensor.
    """
    sizes = gguf.read_sizes(read, "phi3", own=(gguf.WINDOW, MAGNITUDE))
    norm = gguf.read_norm(read, "phi3")
    rope = read_rope(read, "phi3", sizes.head_dim, scaling=_longrope(read, sizes))
    mixer = attention(attention_options(sizes, rope), gguf.read_window(read, "phi3"))
    layers = [plain_layer(norm, mixer, gguf.read_ffn(read, sizes.hidden))] * sizes.layers
    return gguf.read_model(read, "phi3", sizes, layers=layers, norm=norm, rope=rope)


def _longrope(read: Fields, sizes: Sizes) -> dict[str, Any]:
    """Return longrope's parameters, {} where the file has none."""
    # llama.cpp would divide by these too; no Phi-3 is stretched by them.
    for key in ("phi3.rope.scaling.factor", "phi3.rope.scale_linear"):
        read.number(key, least=1, most=1, default=1.0)
    type = read.choice(f"phi3.{TYPE}", ("none", "longrope"), "none")
    if type == "none" and not (read.has_tensor(SHORT) or read.has_tensor(LONG)):
        read.number(f"phi3.{MAGNITUDE}", least=1, most=1, default=1.0)
        return {}
    pairs = read_turned(read, "phi3", sizes.head_dim) // 2
    trained = read.whole(f"phi3.{TRAINED_LENGTH}", most=MOST_CONTEXT)
    return {
        "type": "longrope",
        "factor": max(1.0, sizes.context / trained),
        "original_max_position_embeddings": trained,
        "attention_factor": read.number(f"phi3.{MAGNITUDE}", least=LEAST_FACTOR, most=MOST_FACTOR),
        "short_factor": read_factors(read, SHORT, pairs),
        "long_factor": read_factors(read, LONG, pairs),
    }


WEIGHTS: dict[str, str | Part] = {
    "embedding.weight": "model.embed_tokens.weight",
    "layers.{n}.attention_norm.weight": "model.layers.{n}.input_layernorm.weight",
    **stacked(
        "model.layers.{n}.self_attn.qkv_proj.weight",
        "layers.{n}.attention.q.weight",
        "layers.{n}.attention.k.weight",
        "layers.{n}.attention.v.weight",
    ),
    "layers.{n}.attention.o.weight": "model.layers.{n}.self_attn.o_proj.weight",
    "layers.{n}.ffn_norm.weight": "model.layers.{n}.post_attention_layernorm.weight",
    **stacked(
        "model.layers.{n}.mlp.gate_up_proj.weight",
        "layers.{n}.ffn.gate.weight",
        "layers.{n}.ffn.up.weight",
    ),
    "layers.{n}.ffn.down.weight": "model.layers.{n}.mlp.down_proj.weight",
    "norm.weight": "model.norm.weight",
    "head.weight": "lm_head.weight",
}
GGUF_WEIGHTS: dict[str, str | Part] = {
    **gguf.WEIGHTS,
    **gguf.FUSED,
    **stacked("blk.{n}.ffn_up.weight", "layers.{n}.ffn.gate.weight", "layers.{n}.ffn.up.weight"),
}
FACTORS = tuple(
    Ignore(tensor, "part of the config: the divisors of longrope") for tensor in (SHORT, LONG)
)
FAMILY = Family(
    name="phi3",
    # Microsoft's own files name the code that transformers took over as this class.
    claims=(Claim(hf="Phi3ForCausalLM", replaces_code=True), Claim(gguf="phi3")),
    config={"hf": from_hf, "gguf": from_gguf},
    weights={"hf": WEIGHTS, "gguf": GGUF_WEIGHTS},
    ignores=(*IGNORES, *FACTORS),
    to_gguf=to_gguf.phi3_form,
    refuses={
        "phimoe": "a mixture of experts",
        "PhimoeForCausalLM": "a mixture of experts",
        "PhiMoEForCausalLM": "a mixture of experts",
        "Phi3VForCausalLM": "a model of text and images",
    },
)
