"""Qwen3: LLaMA's skeleton with a norm on each head's q and k, and windows in some layers.

Paper: Yang et al. 2025, arXiv 2505.09388.
Reference: `Qwen3ForCausalLM` of transformers, models/qwen3/modeling_qwen3.py.
"""

from __future__ import annotations

from synapse_core.families import (
    MOST_CONTEXT,
    MOST_LAYERS,
    Claim,
    ComponentConfig,
    Family,
    Fields,
    Ignore,
    LayerConfig,
    ModelConfig,
    SublayerConfig,
)
from synapse_model_decoder import gguf
from synapse_model_decoder.hf import Sizes, read_ffn, read_norm, read_rope, read_sizes
from synapse_model_decoder.shipped import default_model_path

FULL, SLIDING = "full_attention", "sliding_attention"


def from_hf(read: Fields) -> ModelConfig:
    """Read a config.json.

    Raises: FileError naming the key.
    """
    sizes = read_sizes(read, head_dim=128)
    norm = read_norm(read)
    head_norm = ComponentConfig("norm", "rmsnorm", {**norm.options, "width": sizes.head_dim})
    attention = {
        "heads": sizes.heads,
        "kv_heads": sizes.kv_heads,
        "head_dim": sizes.head_dim,
        "biases": "qkvo" if read.flag("attention_bias", False) else "",
        "qk_norm": head_norm,
        "position": read_rope(read, sizes.head_dim, default_theta=10000.0),
    }
    ffn = SublayerConfig("ffn", norm, read_ffn(read, sizes.hidden))
    kinds = {0: ComponentConfig("attention", "gqa", attention)}
    windows = read_windows(read, sizes)
    for window in set(windows) - {0}:
        options = {**attention, "window": window}
        kinds[window] = ComponentConfig("attention", "sliding_window", options)
    return ModelConfig(
        family="qwen3",
        width=sizes.width,
        vocabulary=sizes.vocabulary,
        context=sizes.context,
        layers=tuple(
            LayerConfig((SublayerConfig("attention", norm, kinds[window]), ffn))
            for window in windows
        ),
        norm=norm,
        tied=read.flag("tie_word_embeddings", False),
        bos=read.token_ids("bos_token_id", sizes.vocabulary),
        eos=read.token_ids("eos_token_id", sizes.vocabulary),
    )


def from_gguf(read: Fields) -> ModelConfig:
    """Read the keys of a GGUF file; q and k keep their rows there, unlike LLaMA's.

    Raises: FileError naming the key or the tensor.
    """
    return gguf.read_config(read, "qwen3", style="half", qk_norm=True)


def read_windows(read: Fields, sizes: Sizes) -> list[int]:
    """Return each layer's window, 0 for none: `layer_types`, else layers from `max_window_layers`.

    Raises: FileError naming the key.
    """
    window = 0
    if read.flag("use_sliding_window", False):
        window = read.whole("sliding_window", most=MOST_CONTEXT, default=None) or 0
    if not read.has("layer_types"):
        first = sizes.layers
        if window:
            first = read.whole("max_window_layers", least=0, most=MOST_LAYERS)
        return [window if layer >= first else 0 for layer in range(sizes.layers)]
    types = read.values["layer_types"]
    known = isinstance(types, list) and all(kind in (FULL, SLIDING) for kind in types)
    if not known or len(types) != sizes.layers:
        raise read.error("layer_types", f"must name {FULL} or {SLIDING} for {sizes.layers} layers")
    if SLIDING in types and not window:
        raise read.error("layer_types", f"names {SLIDING}, and sliding_window is not in use")
    return [window if kind == SLIDING else 0 for kind in types]


WEIGHTS = {
    "embedding.weight": "model.embed_tokens.weight",
    "layers.{n}.attention_norm.weight": "model.layers.{n}.input_layernorm.weight",
    "layers.{n}.attention.q.weight": "model.layers.{n}.self_attn.q_proj.weight",
    "layers.{n}.attention.q.bias": "model.layers.{n}.self_attn.q_proj.bias",
    "layers.{n}.attention.q_norm.weight": "model.layers.{n}.self_attn.q_norm.weight",
    "layers.{n}.attention.k.weight": "model.layers.{n}.self_attn.k_proj.weight",
    "layers.{n}.attention.k.bias": "model.layers.{n}.self_attn.k_proj.bias",
    "layers.{n}.attention.k_norm.weight": "model.layers.{n}.self_attn.k_norm.weight",
    "layers.{n}.attention.v.weight": "model.layers.{n}.self_attn.v_proj.weight",
    "layers.{n}.attention.v.bias": "model.layers.{n}.self_attn.v_proj.bias",
    "layers.{n}.attention.o.weight": "model.layers.{n}.self_attn.o_proj.weight",
    "layers.{n}.attention.o.bias": "model.layers.{n}.self_attn.o_proj.bias",
    "layers.{n}.ffn_norm.weight": "model.layers.{n}.post_attention_layernorm.weight",
    "layers.{n}.ffn.gate.weight": "model.layers.{n}.mlp.gate_proj.weight",
    "layers.{n}.ffn.up.weight": "model.layers.{n}.mlp.up_proj.weight",
    "layers.{n}.ffn.down.weight": "model.layers.{n}.mlp.down_proj.weight",
    "norm.weight": "model.norm.weight",
    "head.weight": "lm_head.weight",
}
IGNORES = (Ignore("model.rotary_emb.inv_freq", "computed from the config"), *gguf.IGNORES)
FAMILY = Family(
    name="qwen3",
    claims=(Claim(hf="Qwen3ForCausalLM"), Claim(gguf="qwen3")),
    config={"hf": from_hf, "gguf": from_gguf},
    weights={"hf": WEIGHTS, "gguf": gguf.WEIGHTS},
    ignores=IGNORES,
    default_checkpoint=default_model_path,
)
