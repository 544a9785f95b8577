"""Small things of every kind that this plugin provides, for `synapse check`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from synapse_core.ops import StateType
from synapse_core.testing import CheckpointSample, OpSample


def state(width: int) -> StateType:
    """Return a recurrent state."""
    return StateType("memory", "recurrent", width)


CONV1D_CAUSAL = (
    OpSample(operands=(20, (4, 20), (1, 20), state(60)), options={"activation": "silu"}),
    OpSample(operands=(7, (3, 7), None, state(14))),
)
SELECTIVE_SCAN = (
    OpSample(operands=(20, 20, 16, 16, (16, 20), (1, 20), 20, state(320))),
    OpSample(operands=(9, 9, 5, 5, (5, 9), (1, 9), None, state(45))),
)
SSD_SCAN = (
    OpSample(
        operands=(4 * 9 + 2 * 2 * 11, 4, (1, 4), (1, 4), (1, 4), state(4 * 9 * 11)),
        options={"heads": 4, "head_dim": 9, "groups": 2, "state": 11, "dt_most": 1.5},
    ),
    OpSample(
        operands=(32 + 2 * 32, 2, (1, 2), (1, 2), (1, 2), state(32 * 32)),
        options={"heads": 2, "head_dim": 16, "state": 32},
    ),
)
GATED_RMSNORM = (
    OpSample(operands=(24, 24, (3, 8)), options={"eps": 1e-5}),
    OpSample(operands=(19, 19, (1, 19)), options={"eps": 1e-3}),
)
MIXER1 = {"inner": 40, "state": 6, "rank": 3, "bias": True}
MIXER2 = {"heads": 4, "head_dim": 6, "state": 10, "groups": 2, "eps": 1e-5, "taps": 3}

VOCABULARY, WIDTH, INNER, STATE, RANK, TAPS, HEADS, GROUPS = 32, 20, 40, 6, 3, 3, 5, 5
HF: Mapping[str, Any] = {
    "hidden_size": WIDTH,
    "expand": 2,
    "state_size": STATE,
    "num_hidden_layers": 2,
    "vocab_size": VOCABULARY,
    "conv_kernel": TAPS,
    "layer_norm_epsilon": 1e-4,
    "use_bias": True,
    "use_conv_bias": True,
    "hidden_act": "silu",
    "bos_token_id": 1,
    "eos_token_id": [2, 3],
}
GGUF: Mapping[str, Any] = {
    "block_count": 2,
    "context_length": 1 << 20,
    "embedding_length": WIDTH,
    "attention.layer_norm_rms_epsilon": 1e-4,
    "ssm.conv_kernel": TAPS,
    "ssm.inner_size": INNER,
    "ssm.state_size": STATE,
}
TENSORS = {"token_embd.weight": (VOCABULARY, WIDTH)}


def hf(architecture: str, **own: Any) -> dict[str, Any]:
    """Return a config.json."""
    return {**HF, **own, "architectures": [architecture]}


def gguf(arch: str, tensors: Mapping[str, tuple[int, ...]], **own: Any) -> CheckpointSample:
    """Return the keys of a GGUF file and its telling tensors."""
    keys = {f"{arch}.{name}": value for name, value in {**GGUF, **own}.items()}
    said = {"general.architecture": arch, "tokenizer.ggml.eos_token_id": 0}
    return CheckpointSample(said | keys, tensors)


MAMBA = {
    "hf": hf("MambaForCausalLM", time_step_rank=RANK, intermediate_size=INNER),
    "gguf": gguf(
        "mamba",
        {**TENSORS, "blk.0.ssm_conv1d.bias": (INNER,), "output.weight": (VOCABULARY, WIDTH)},
        **{"ssm.time_step_rank": RANK, "ssm.dt_b_c_rms": False},
    ),
}
ORIGINAL = {
    "hf": {
        "architectures": ["MambaForCausalLM"],
        "d_model": WIDTH,
        "n_layer": 2,
        "vocab_size": VOCABULARY - 3,
        "ssm_cfg": {"d_state": STATE},
        "rms_norm": True,
        "residual_in_fp32": True,
        "fused_add_norm": True,
        "pad_vocab_size_multiple": 8,
    }
}
ORIGINAL2 = {
    "hf": {
        **ORIGINAL["hf"],
        "d_intermediate": 0,
        "ssm_cfg": {"layer": "Mamba2", "d_state": STATE, "headdim": INNER // HEADS},
        "attn_layer_idx": [],
        "tie_embeddings": False,
    }
}
MAMBA2 = {
    "hf": hf(
        "Mamba2ForCausalLM",
        num_heads=HEADS,
        head_dim=INNER // HEADS,
        n_groups=GROUPS,
        use_bias=False,
        time_step_limit=[0.01, 2.0],
        tie_word_embeddings=True,
    ),
    "gguf": gguf(
        "mamba2",
        {**TENSORS, "blk.0.ssm_conv1d.bias": (INNER + 2 * GROUPS * STATE,)},
        **{"ssm.time_step_rank": HEADS, "ssm.group_count": GROUPS},
    ),
}
