"""A real trained LLaMA, stories260K, against the logits that transformers computed of it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from synapse_model_decoder import llama

TOLERANCE = 2e-4


@pytest.mark.parametrize("backend", ["numpy", "cpu"])
def test_logits_match_the_reference(
    shared_data: Path, runner: Callable[..., object], backend: str
) -> None:
    folder = shared_data / "stories260K" / "hf"
    reference = np.load(folder / "reference.npz")
    ids = reference["input_ids"].reshape(-1)
    expected = reference["logits"].reshape(len(ids), -1)
    model = runner(folder, llama.FAMILY, backend)
    for sizes in ([len(ids)], [5, 11, 1, 7], [1]):
        found = model.in_chunks(ids, sizes)
        assert np.abs(found - expected).max() <= TOLERANCE
