"""Random checkpoints of every family, made on the spot, and what transformers says of them.

The checkpoints are made so that agreement means something: logits with a standard deviation of 1
to 10, norms that are not one, biases that are not zero, small embeddings so that an epsilon counts,
windows shorter than the text, head widths that are not width / heads.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import attrs
import numpy as np
import pytest
from synapse_model_decoder import gemma, gemma2, gemma3, llama, mistral, phi3, qwen2, qwen3

from synapse_core.families import Family

# Of the standard deviation of the logits (DESIGN.md, "Agreement between places").
TOLERANCE = 2e-4
LENGTH = 40
FAMILIES: dict[str, tuple[Family, str, str]] = {
    "llama": (llama.FAMILY, "LlamaConfig", "LlamaForCausalLM"),
    "mistral": (mistral.FAMILY, "MistralConfig", "MistralForCausalLM"),
    "qwen2": (qwen2.FAMILY, "Qwen2Config", "Qwen2ForCausalLM"),
    "qwen3": (qwen3.FAMILY, "Qwen3Config", "Qwen3ForCausalLM"),
    "phi3": (phi3.FAMILY, "Phi3Config", "Phi3ForCausalLM"),
    "gemma": (gemma.FAMILY, "GemmaConfig", "GemmaForCausalLM"),
    "gemma2": (gemma2.FAMILY, "Gemma2Config", "Gemma2ForCausalLM"),
    "gemma3": (gemma3.FAMILY, "Gemma3TextConfig", "Gemma3ForCausalLM"),
}


@attrs.frozen
class Case:
    """A checkpoint to make: family, dtype, and what differs from the base config.

    `length` is that of its first text, `positions` the context that it is opened with.
    """

    family: str
    dtype: str
    config: dict[str, Any]
    length: int = LENGTH
    positions: int = 64


BASE = {
    "hidden_size": 48,
    "intermediate_size": 70,
    "num_hidden_layers": 3,
    "num_attention_heads": 6,
    "num_key_value_heads": 2,
    "head_dim": 10,
    "vocab_size": 97,
    "max_position_embeddings": 64,
    "rms_norm_eps": 1e-5,
    "bos_token_id": 1,
    "eos_token_id": 2,
    "pad_token_id": None,
}
GEMMA2 = {"query_pre_attn_scalar": 7, "sliding_window": 9}
BASE_OF_FAMILY: dict[str, dict[str, Any]] = {
    "mistral": {"sliding_window": 7},
    # transformers checks the lists of longrope against width / heads.
    "phi3": {"head_dim": None},
    "gemma2": {**GEMMA2, "attn_logit_softcapping": 3.0, "final_logit_softcapping": 5.0},
    # Of four layers, the second and the last are full.
    "gemma3": {**GEMMA2, "num_hidden_layers": 4, "sliding_window_pattern": 2},
}
LLAMA3 = {
    "rope_type": "llama3",
    "rope_theta": 10000.0,
    "factor": 8.0,
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 32,
}
LINEAR = {"rope_type": "linear", "rope_theta": 5e5, "factor": 4.0}
DYNAMIC = {"rope_type": "dynamic", "rope_theta": 1e4, "factor": 3.0}
# With 16 columns and a base of 100 the first pair is kept, the last ones are divided, and two are
# mixed of both.
YARN = {
    "rope_type": "yarn",
    "rope_theta": 100.0,
    "factor": 4.0,
    "beta_fast": 4.0,
    "original_max_position_embeddings": 32,
}
LONGROPE = {
    "rope_type": "longrope",
    "rope_theta": 1e4,
    "short_factor": [1.05, 1.2, 1.5],
    "long_factor": [1.4, 2.5, 5.0],
    "partial_rotary_factor": 0.75,
}
LONG_PHI3 = {"rope_parameters": LONGROPE, "original_max_position_embeddings": 32}
TWO_ROPES = {
    "full_attention": {"rope_type": "linear", "factor": 8.0, "rope_theta": 1e6},
    "sliding_attention": {"rope_type": "default", "rope_theta": 1e3},
}
F32, F16, BF16 = "float32", "float16", "bfloat16"
CASES = {
    "llama": Case("llama", F32, {"tie_word_embeddings": False}),
    "llama tied bf16": Case("llama", BF16, {"tie_word_embeddings": True}),
    "llama biases f16": Case("llama", F16, {"attention_bias": True, "mlp_bias": True}),
    "llama one kv head": Case("llama", F32, {"num_key_value_heads": 1, "head_dim": 8}),
    "llama llama3": Case("llama", F32, {"rope_parameters": LLAMA3}),
    "llama linear": Case("llama", F32, {"rope_parameters": LINEAR}),
    "llama gelu": Case("llama", F32, {"hidden_act": "gelu"}),
    "llama gelu_tanh": Case("llama", F32, {"hidden_act": "gelu_pytorch_tanh"}),
    "llama dynamic beyond": Case(
        "llama", F32, {"rope_parameters": DYNAMIC, "max_position_embeddings": 32}, 40, 40
    ),
    "llama dynamic within": Case(
        "llama", F32, {"rope_parameters": DYNAMIC, "max_position_embeddings": 32}, 32, 32
    ),
    "llama yarn": Case("llama", F32, {"rope_parameters": YARN, "head_dim": 16}),
    "llama yarn exact ramp": Case(
        "llama",
        F32,
        {
            "rope_parameters": {**YARN, "truncate": False, "mscale": 0.7, "mscale_all_dim": 0.4},
            "head_dim": 16,
        },
    ),
    "llama yarn attention factor": Case(
        "llama",
        F32,
        {"rope_parameters": {**YARN, "attention_factor": 1.3}, "head_dim": 16},
    ),
    "mistral": Case("mistral", F32, {"tie_word_embeddings": False}),
    "mistral bf16": Case("mistral", BF16, {"sliding_window": 12, "num_key_value_heads": 3}),
    "mistral without a window": Case("mistral", F32, {"sliding_window": None}),
    "qwen2": Case("qwen2", F32, {"tie_word_embeddings": False}),
    "qwen2 tied bf16": Case("qwen2", BF16, {"tie_word_embeddings": True, "rms_norm_eps": 1e-6}),
    "qwen2 windows": Case(
        "qwen2",
        F32,
        {"use_sliding_window": True, "sliding_window": 7, "max_window_layers": 2},
    ),
    "qwen2 yarn": Case("qwen2", F16, {"rope_parameters": YARN, "head_dim": 16}),
    "qwen3": Case("qwen3", F32, {"tie_word_embeddings": False}),
    "qwen3 tied biases": Case("qwen3", F32, {"tie_word_embeddings": True, "attention_bias": True}),
    "qwen3 bf16": Case("qwen3", BF16, {"num_key_value_heads": 6}),
    "qwen3 windows f16": Case(
        "qwen3",
        F16,
        {"use_sliding_window": True, "sliding_window": 7, "max_window_layers": 1},
    ),
    "phi3": Case("phi3", F32, {"sliding_window": 11}),
    "phi3 tied bf16": Case("phi3", BF16, {"tie_word_embeddings": True, "num_key_value_heads": 6}),
    "phi3 partial rotary": Case(
        "phi3",
        F16,
        {"rope_parameters": {"rope_type": "default", "partial_rotary_factor": 0.5}},
    ),
    "phi3 longrope within": Case("phi3", F32, LONG_PHI3, 32, 32),
    "phi3 longrope one beyond": Case("phi3", F32, LONG_PHI3, 33, 33),
    "phi3 longrope beyond": Case("phi3", BF16, {**LONG_PHI3, "sliding_window": 15}),
    "gemma": Case("gemma", F32, {}),
    "gemma bf16": Case("gemma", BF16, {"num_key_value_heads": 1, "hidden_act": "gelu"}),
    "gemma untied biases": Case(
        "gemma", F32, {"tie_word_embeddings": False, "attention_bias": True}
    ),
    "gemma2": Case("gemma2", F32, {}),
    "gemma2 bf16": Case(
        "gemma2",
        BF16,
        {"attn_logit_softcapping": 50.0, "final_logit_softcapping": 30.0, "attention_bias": True},
    ),
    "gemma2 without caps": Case(
        "gemma2", F16, {"attn_logit_softcapping": None, "final_logit_softcapping": None}
    ),
    "gemma2 untied": Case("gemma2", F32, {"tie_word_embeddings": False}),
    "gemma3": Case("gemma3", F32, {}),
    # Its many norms hide a small epsilon; a larger one shows.
    "gemma3 untied": Case("gemma3", F32, {"tie_word_embeddings": False, "rms_norm_eps": 1e-4}),
    "gemma3 two ropes bf16": Case("gemma3", BF16, {"rope_parameters": TWO_ROPES}),
    "gemma3 cap f16": Case("gemma3", F16, {"final_logit_softcapping": 6.0}),
}


@attrs.frozen(eq=False)
class Made:
    """A checkpoint on disk, two sequences and what transformers says of them."""

    folder: Path
    family: Family
    positions: int
    ids: tuple[np.ndarray, np.ndarray]
    logits: tuple[np.ndarray, np.ndarray]

    @property
    def tolerance(self) -> float:
        """The largest difference that agreement allows."""
        return TOLERANCE * float(self.logits[0].std())


def make_case(case: Case, folder: Path) -> Made:
    """Make a checkpoint and let transformers compute its logits, in float32."""
    torch = pytest.importorskip("torch")
    transformers = pytest.importorskip("transformers")
    torch.manual_seed(3)
    torch.set_num_threads(1)
    family, config_name, model_name = FAMILIES[case.family]
    options = {**BASE, **BASE_OF_FAMILY.get(case.family, {}), **case.config}
    if options["head_dim"] is None:
        del options["head_dim"]
    config = getattr(transformers, config_name)(**options)
    model = getattr(transformers, model_name)(config)
    center = 0.0 if case.family.startswith("gemma") else 1.0
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            _fill(name, parameter, config.tie_word_embeddings, center)
    model.to(getattr(torch, case.dtype)).save_pretrained(folder)
    # Read back, because the conversion rounded more than the file holds: rope's frequencies too.
    model = open_reference(case, folder)
    rng = np.random.default_rng(4)
    ids = tuple(rng.integers(0, config.vocab_size, case.length - 7 * n) for n in range(2))
    logits = tuple(reference_logits(model, i) for i in ids)
    assert 1 <= logits[0].std() <= 10
    return Made(folder, family, case.positions, ids, logits)


def open_reference(case: Case, folder: Path) -> Any:
    """Open a checkpoint with transformers, in float32."""
    import torch
    import transformers

    kind = getattr(transformers, FAMILIES[case.family][2])
    opened = kind.from_pretrained(folder, dtype=torch.float32, attn_implementation="eager")
    return opened.eval()


def reference_logits(model: Any, ids: np.ndarray) -> np.ndarray:
    """Return what transformers says of a sequence, all rows."""
    import torch

    with torch.no_grad():
        logits: np.ndarray = model(torch.from_numpy(ids)[None]).logits[0].numpy()
    return logits


def _fill(name: str, parameter: Any, tied: bool, center: float) -> None:
    """Fill a parameter; `center` is what norms' weights are around."""
    if parameter.ndim == 1:
        size = 0.5 if name.endswith("bias") else 0.3
        parameter.normal_(0.0 if name.endswith("bias") else center, size)
    elif "embed_tokens" in name:
        # An untied table is so small that an epsilon of 1e-5 counts in the first norm; a tied one
        # is the head too, and makes the size of the logits.
        parameter.normal_(0.0, 0.3 if tied else 0.03)
    else:
        parameter.normal_(0.0, 2.0 * parameter.shape[1] ** -0.5)
