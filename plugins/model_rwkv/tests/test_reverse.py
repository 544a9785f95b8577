"""A real trained RWKV-7 that reverses digits: against its reference, and at its task."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from synapse_core.api import load
from tests.outside.runner import open_runner

TOLERANCE = 2e-4
COMMA = 10
TEXTS = 200
LONGEST = 60


@pytest.fixture(scope="module")
def folder(shared_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The model's folder, without the pickle that lies beside."""
    place = tmp_path_factory.mktemp("reverse")
    data = shared_data / "rwkv7_reverse"
    shutil.copy(data / "config.json", place)
    shutil.copy(data / "model_blinkdl.safetensors", place / "model.safetensors")
    return place


@pytest.mark.parametrize("backend", ["numpy", "cpu"])
@pytest.mark.parametrize("count", [7, 31, 58])
def test_logits_match_the_reference(
    shared_data: Path, folder: Path, backend: str, count: int
) -> None:
    known = np.load(shared_data / "rwkv7_reverse" / "reference.npz")
    expected = known[f"logits_{count}"]
    ids = known[f"ids_{count}"][: len(expected)].tolist()
    model = open_runner(folder, backend=backend)
    for sizes in ([len(ids)], [5, 1, 11], [1]):
        found = model.in_chunks(ids, sizes)
        assert np.abs(found - expected).max() <= TOLERANCE * expected.std()


# The model itself, in any precision, misses a digit in some 20,000: none of these texts has one.
@pytest.mark.parametrize("backend", ["numpy", "cpu"])
@pytest.mark.parametrize("format", [None, "q8_0"])
def test_two_hundred_texts_are_reversed_without_a_wrong_digit(
    folder: Path, backend: str, format: str | None
) -> None:
    rng = np.random.default_rng(99)
    lengths = rng.integers(1, LONGEST + 1, TEXTS).tolist()
    texts = [rng.integers(0, 10, length).tolist() for length in lengths]
    with load(folder, backend=backend, format=format, context=128) as model:
        assert model.graph is not None
        formats = [w.type.format for w in model.graph.weights.values() if w.rows > 1]
        assert formats.count("q8_0") == (0 if format is None else 14)
        for digits in texts:
            generation = model.generate([*digits, COMMA], max_tokens=len(digits))
            assert list(generation.ids()) == digits[::-1]
