"""Random checkpoints of both families, made on the spot, and what transformers says of them.

The checkpoints are made so that agreement means something: logits with a standard deviation of 1
to 10, norms that are not one, biases that are not zero, memories that fade fast and slowly, small
embeddings so that an epsilon counts.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import attrs
import numpy as np
import pytest
from synapse_model_mamba import mamba, mamba2

from synapse_core.families import Family

# Of the standard deviation of the logits (DESIGN.md, "Agreement between places").
TOLERANCE = 2e-4
LENGTH = 40
F32, F16, BF16 = "float32", "float16", "bfloat16"
FAMILIES: dict[str, tuple[Family, str, str]] = {
    "mamba": (mamba.FAMILY, "MambaConfig", "MambaForCausalLM"),
    "mamba2": (mamba2.FAMILY, "Mamba2Config", "Mamba2ForCausalLM"),
}


@attrs.frozen
class Case:
    """A checkpoint to make: family, dtype, and what differs from the base config.

    `length` is that of its first text.
    """

    family: str
    dtype: str
    config: dict[str, Any]
    length: int = LENGTH


BASE = {
    "hidden_size": 44,
    "num_hidden_layers": 3,
    "vocab_size": 97,
    "layer_norm_epsilon": 1e-5,
    "bos_token_id": 1,
    "eos_token_id": 2,
    "pad_token_id": None,
}
BASE_OF_FAMILY: dict[str, dict[str, Any]] = {
    "mamba": {"state_size": 16},
    # 16 columns a chunk: its form of blocks must agree with steps across their borders.
    "mamba2": {"num_heads": 8, "head_dim": 11, "n_groups": 1, "state_size": 20, "chunk_size": 16},
}
GROUPS = {"num_heads": 6, "head_dim": 16, "hidden_size": 48, "n_groups": 3, "state_size": 128}
CASES = {
    "mamba": Case("mamba", F32, {}),
    "mamba bf16": Case("mamba", BF16, {"use_bias": True, "time_step_rank": 5}),
    "mamba three taps f16": Case("mamba", F16, {"conv_kernel": 3, "use_conv_bias": False}),
    "mamba of its own head": Case("mamba", F32, {"tie_word_embeddings": False, "expand": 3}),
    "mamba other states": Case("mamba", F32, {"state_size": 21}),
    "mamba2": Case("mamba2", F32, {"tie_word_embeddings": False}),
    "mamba2 groups bf16": Case("mamba2", BF16, {**GROUPS, "tie_word_embeddings": True}),
    "mamba2 biases f16": Case("mamba2", F16, {"use_bias": True, "conv_kernel": 3}),
    "mamba2 limits": Case("mamba2", F32, {"time_step_limit": (0.3, 0.9), "use_conv_bias": False}),
}


@attrs.frozen(eq=False)
class Made:
    """A checkpoint on disk, two sequences and what transformers says of them."""

    folder: Path
    family: Family
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
    options = {**BASE, **BASE_OF_FAMILY[case.family], **case.config}
    config = getattr(transformers, config_name)(**options)
    model = getattr(transformers, model_name)(config)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            _fill(name, parameter, config.tie_word_embeddings)
    model.to(getattr(torch, case.dtype)).save_pretrained(folder)
    model = open_reference(case, folder)
    rng = np.random.default_rng(4)
    ids = tuple(rng.integers(0, config.vocab_size, case.length - 7 * n) for n in range(2))
    logits = tuple(reference_logits(model, i) for i in ids)
    assert 1 <= logits[0].std() <= 10
    return Made(folder, family, ids, logits)


def open_reference(case: Case, folder: Path) -> Any:
    """Open a checkpoint with transformers, in float32."""
    import torch
    import transformers

    kind = getattr(transformers, FAMILIES[case.family][2])
    return kind.from_pretrained(folder, dtype=torch.float32).eval()


def reference_logits(model: Any, ids: np.ndarray) -> np.ndarray:
    """Return what transformers says of a sequence, all rows."""
    import torch

    with torch.no_grad():
        logits: np.ndarray = model(torch.from_numpy(ids)[None]).logits[0].numpy()
    return logits


def _fill(name: str, parameter: Any, tied: bool) -> None:
    kind = name.rsplit(".", 2)[-2 if name.endswith(("weight", "bias")) else -1]
    if kind == "A_log":
        parameter.normal_(0.0, 1.0)
    elif kind in ("D", "norm", "norm_f"):
        parameter.normal_(1.0, 0.3)
    elif name.endswith("dt_proj.bias") or kind == "dt_bias":
        parameter.normal_(-1.5, 1.0)
    elif name.endswith("bias"):
        parameter.normal_(0.0, 0.5)
    elif kind == "conv1d":
        parameter.normal_(0.0, 0.6)
    elif kind == "embeddings":
        # An untied table is so small that an epsilon of 1e-5 counts in the first norm; a tied one
        # is the head too, and makes the size of the logits.
        parameter.normal_(0.0, 0.3 if tied else 0.03)
    else:
        parameter.normal_(0.0, 1.5 * parameter.shape[1] ** -0.5)
