"""LLaMA: the decoder that most open models descend from.

Paper: Touvron et al. 2023, arXiv 2302.13971; Llama 3: Grattafiori et al. 2024, arXiv 2407.21783.
Reference: `LlamaForCausalLM` of transformers, models/llama/modeling_llama.py.

In GGUF, `llama` is every dense model of this shape, Mistral among them (the file says nothing of
its window). The converter reorders the rows of q and k of each head so that the pairs that turn
together lie side by side: rope is interleaved there, and half and half in safetensors.
"""

from __future__ import annotations

from functools import partial

from synapse_core.families import Claim, Family, Fields, Ignore, ModelConfig
from synapse_model_decoder import gguf
from synapse_model_decoder.hf import (
    attention,
    attention_options,
    plain_layer,
    read_ffn,
    read_model,
    read_norm,
    read_sizes,
)
from synapse_model_decoder.hf_rope import RopeReader
from synapse_model_decoder.to_gguf import plain_form


def from_hf(read: Fields) -> ModelConfig:
    """Read a config.json.

    Raises: FileError naming the key.
    """
    sizes = read_sizes(read)
    norm = read_norm(read)
    rope = RopeReader(head_dim=sizes.head_dim, context=sizes.context).read(read)
    biases = "qkvo" if read.flag("attention_bias", False) else ""
    mixer = attention(attention_options(sizes, rope, biases))
    ffn = read_ffn(read, sizes.hidden, bias=read.flag("mlp_bias", False))
    layers = [plain_layer(norm, mixer, ffn)] * sizes.layers
    return read_model(read, "llama", sizes, layers=layers, norm=norm, rope=rope)


def from_gguf(read: Fields) -> ModelConfig:
    """Read the keys of a GGUF file.

    Raises: FileError naming the key or the tensor.
    """
    return gguf.read_config(read, "llama", style="interleaved")


WEIGHTS = {
    "embedding.weight": "model.embed_tokens.weight",
    "layers.{n}.attention_norm.weight": "model.layers.{n}.input_layernorm.weight",
    "layers.{n}.attention.q.weight": "model.layers.{n}.self_attn.q_proj.weight",
    "layers.{n}.attention.q.bias": "model.layers.{n}.self_attn.q_proj.bias",
    "layers.{n}.attention.k.weight": "model.layers.{n}.self_attn.k_proj.weight",
    "layers.{n}.attention.k.bias": "model.layers.{n}.self_attn.k_proj.bias",
    "layers.{n}.attention.v.weight": "model.layers.{n}.self_attn.v_proj.weight",
    "layers.{n}.attention.v.bias": "model.layers.{n}.self_attn.v_proj.bias",
    "layers.{n}.attention.o.weight": "model.layers.{n}.self_attn.o_proj.weight",
    "layers.{n}.attention.o.bias": "model.layers.{n}.self_attn.o_proj.bias",
    "layers.{n}.ffn_norm.weight": "model.layers.{n}.post_attention_layernorm.weight",
    "layers.{n}.ffn.gate.weight": "model.layers.{n}.mlp.gate_proj.weight",
    "layers.{n}.ffn.gate.bias": "model.layers.{n}.mlp.gate_proj.bias",
    "layers.{n}.ffn.up.weight": "model.layers.{n}.mlp.up_proj.weight",
    "layers.{n}.ffn.up.bias": "model.layers.{n}.mlp.up_proj.bias",
    "layers.{n}.ffn.down.weight": "model.layers.{n}.mlp.down_proj.weight",
    "layers.{n}.ffn.down.bias": "model.layers.{n}.mlp.down_proj.bias",
    "norm.weight": "model.norm.weight",
    "head.weight": "lm_head.weight",
}
# What Qwen3 and Gemma 3 have beside these.
HEAD_NORMS = {
    "layers.{n}.attention.q_norm.weight": "model.layers.{n}.self_attn.q_norm.weight",
    "layers.{n}.attention.k_norm.weight": "model.layers.{n}.self_attn.k_norm.weight",
}
IGNORES = (
    Ignore("model.layers.*.self_attn.rotary_emb.inv_freq", "computed from the config"),
    Ignore("model.rotary_emb.inv_freq", "computed from the config"),
    *gguf.IGNORES,
)
FAMILY = Family(
    name="llama",
    claims=(Claim(hf="LlamaForCausalLM"), Claim(gguf="llama")),
    config={"hf": from_hf, "gguf": from_gguf},
    weights={"hf": WEIGHTS, "gguf": gguf.WEIGHTS},
    fused={"gguf": gguf.FUSED},
    ignores=IGNORES,
    to_gguf=partial(plain_form, arch="llama", reorders=True),
)
