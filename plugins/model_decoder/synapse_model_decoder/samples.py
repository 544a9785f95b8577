"""Small configs of every family, with what tells it from the others, for `synapse check`.

GGUF says by its tensors how many tokens there are, and whether there are biases and a head.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from synapse_core.testing import CheckpointSample

VOCABULARY, WIDTH, HIDDEN, HEADS, KV_HEADS, HEAD_DIM, CONTEXT = 32, 24, 40, 4, 2, 8, 64
HF: Mapping[str, Any] = {
    "hidden_size": WIDTH,
    "intermediate_size": HIDDEN,
    "num_hidden_layers": 2,
    "num_attention_heads": HEADS,
    "num_key_value_heads": KV_HEADS,
    "head_dim": HEAD_DIM,
    "vocab_size": VOCABULARY,
    "max_position_embeddings": CONTEXT,
    "rms_norm_eps": 1e-5,
    "rope_theta": 500.0,
    "hidden_act": "silu",
    "tie_word_embeddings": False,
    "bos_token_id": 1,
    "eos_token_id": [2, 3],
}
GGUF: Mapping[str, Any] = {
    "block_count": 2,
    "context_length": CONTEXT,
    "embedding_length": WIDTH,
    "feed_forward_length": HIDDEN,
    "attention.head_count": HEADS,
    "attention.head_count_kv": KV_HEADS,
    "attention.key_length": HEAD_DIM,
    "attention.value_length": HEAD_DIM,
    "attention.layer_norm_rms_epsilon": 1e-5,
    "rope.freq_base": 500.0,
}
TABLE, HEAD = {"token_embd.weight": (VOCABULARY, WIDTH)}, {"output.weight": (VOCABULARY, WIDTH)}
# Gemma 1 and 2 leave the base of the frequencies to its default, and have no head of their own.
GEMMA = {"hidden_act": "gelu_pytorch_tanh", "rope_theta": 10000.0, "tie_word_embeddings": True}
CAPS = {"attn_logit_softcapping": 1.5, "final_logit_softcapping": 4.0}
TRAINED, SHORT, LONG = 16, [1.0, 1.1, 1.3, 1.5], [1.0, 2.0, 4.0, 8.0]


def hf(architecture: str, **own: Any) -> dict[str, Any]:
    """Return a config.json: the common one, and what is a family's own; None leaves a key out."""
    config = {**HF, **own, "architectures": [architecture]}
    return {key: value for key, value in config.items() if value is not None}


def gguf(
    arch: str, tensors: Mapping[str, tuple[int, ...]], own: Mapping[str, Any] | None = None
) -> CheckpointSample:
    """Return the keys of a GGUF file, as `hf` does, and its telling tensors."""
    keys = {f"{arch}.{name}": value for name, value in {**GGUF, **(own or {})}.items()}
    said = {"general.architecture": arch, "tokenizer.ggml.bos_token_id": 1}
    return CheckpointSample(said | {k: v for k, v in keys.items() if v is not None}, tensors)


LLAMA = {
    "hf": hf(
        "LlamaForCausalLM",
        attention_bias=True,
        rope_scaling={
            "rope_type": "llama3",
            "factor": 4.0,
            "low_freq_factor": 1.0,
            "high_freq_factor": 4.0,
            "original_max_position_embeddings": TRAINED,
        },
    ),
    "gguf": gguf("llama", {**TABLE, **HEAD, "rope_freqs.weight": (HEAD_DIM // 2,)}),
}
# What it is written as; the file is found to be a `llama`.
MISTRAL = {
    "hf": hf("MistralForCausalLM", sliding_window=5),
    "gguf": gguf("llama", {**TABLE, **HEAD}),
}
QWEN2 = {
    "hf": hf("Qwen2ForCausalLM"),
    "gguf": gguf(
        "qwen2",
        {
            **TABLE,
            **HEAD,
            "blk.0.attn_q.bias": (HEADS * HEAD_DIM,),
            "blk.0.attn_k.bias": (KV_HEADS * HEAD_DIM,),
            "blk.0.attn_v.bias": (KV_HEADS * HEAD_DIM,),
        },
    ),
}
QWEN3 = {
    "hf": hf("Qwen3ForCausalLM", tie_word_embeddings=True),
    "gguf": gguf("qwen3", TABLE),
}
PHI3 = {
    "hf": hf(
        "Phi3ForCausalLM",
        hidden_size=HEADS * HEAD_DIM,
        head_dim=None,
        sliding_window=5,
        original_max_position_embeddings=TRAINED,
        rope_scaling={"type": "longrope", "short_factor": SHORT, "long_factor": LONG},
    ),
    "gguf": gguf(
        "phi3",
        {
            "token_embd.weight": (VOCABULARY, HEADS * HEAD_DIM),
            "output.weight": (VOCABULARY, HEADS * HEAD_DIM),
            "rope_factors_short.weight": (HEAD_DIM // 2,),
            "rope_factors_long.weight": (HEAD_DIM // 2,),
        },
        {
            "embedding_length": HEADS * HEAD_DIM,
            "attention.key_length": None,
            "attention.value_length": None,
            "attention.sliding_window": 5,
            "rope.dimension_count": HEAD_DIM,
            "rope.scaling.original_context_length": TRAINED,
            "rope.scaling.attn_factor": 1.2247449,
        },
    ),
}
GEMMA1 = {
    "hf": hf("GemmaForCausalLM", **GEMMA),
    "gguf": gguf("gemma", TABLE, {"rope.freq_base": None}),
}
GEMMA2 = {
    "hf": hf(
        "Gemma2ForCausalLM", **GEMMA, **CAPS, query_pre_attn_scalar=HEAD_DIM, sliding_window=5
    ),
    "gguf": gguf("gemma2", TABLE, {**CAPS, "rope.freq_base": None, "attention.sliding_window": 5}),
}
# Of seven layers the sixth sees everything.
GEMMA3 = {
    "hf": hf(
        "Gemma3ForCausalLM",
        **GEMMA | {"rope_theta": 50000.0},
        rope_local_base_freq=100.0,
        num_hidden_layers=7,
        query_pre_attn_scalar=HEAD_DIM,
        sliding_window=5,
    ),
    "gguf": gguf(
        "gemma3",
        TABLE,
        {
            "block_count": 7,
            "rope.freq_base": 50000.0,
            "rope.freq_base_swa": 100.0,
            "attention.sliding_window": 5,
        },
    ),
}
