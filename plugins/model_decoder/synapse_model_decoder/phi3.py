"""Phi-3, Phi-3.5 and Phi-4: q, k, v in one matrix, gate and up in another; stretched by longrope.

Paper: Abdin et al. 2024, arXiv 2404.14219; Phi-4: arXiv 2412.08905.
Reference: `Phi3ForCausalLM` of transformers, models/phi3/modeling_phi3.py.
"""

from __future__ import annotations

from synapse_core.families import Claim, Family, Fields, ModelConfig, Part, stacked
from synapse_model_decoder.hf import (
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
from synapse_model_decoder.hf_rope import TYPE_NAMES, RopeReader
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
FAMILY = Family(
    name="phi3",
    # Microsoft's own files name the code that transformers took over as this class.
    claims=(Claim(hf="Phi3ForCausalLM", replaces_code=True),),
    config={"hf": from_hf},
    weights={"hf": WEIGHTS},
    ignores=IGNORES,
    refuses={
        "PhimoeForCausalLM": "a mixture of experts",
        "PhiMoEForCausalLM": "a mixture of experts",
        "Phi3VForCausalLM": "a model of text and images",
    },
)
