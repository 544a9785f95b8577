"""Files of llama.cpp's converter and quantiser, against transformers on the file's own numbers."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import attrs
import numpy as np
import pytest

from synapse_core.api import LlamaCpp, compare, load
from synapse_core.loaders import GGUF
from synapse_core.plugins import default_host
from tests.outside.llama_cpp import Converter, quantise

from .dequantised import fill_from_gguf
from .reference_cases import F32, Case, make_case, open_reference, reference_logits

pytestmark = pytest.mark.reference

# Of the standard deviation of the logits.
TOLERANCE = 1e-3
# What rounding to 8 bits costs is chance to some percent: it must not cost more than llama.cpp's.
NO_WORSE = 1.05
# The recurrence carries each rounding on: one text says little of the average.
TEXTS = np.random.default_rng(8).integers(0, 512, (12, 48))
# llama.cpp has no Mamba of another width than twice the model's, none without a filter's bias,
# and no bias of the projections.
WIDE = {"vocab_size": 512, "hidden_size": 256, "num_hidden_layers": 3}
HEADS = {"num_heads": 8, "head_dim": 64, "state_size": 32}
CASES = {
    "mamba": Case("mamba", F32, {**WIDE}, 48),
    "mamba narrow": Case("mamba", F32, {**WIDE, "hidden_size": 96, "conv_kernel": 4}, 48),
    "mamba2": Case("mamba2", F32, {**WIDE, **HEADS, "tie_word_embeddings": True}, 48),
    "mamba2 groups": Case(
        "mamba2", F32, {**WIDE, **HEADS, "n_groups": 4, "tie_word_embeddings": False}, 48
    ),
}
FLOATS = ("f32", "f16", "bf16")
# By the end of the quantiser's name: a format that must then be in the file.
QUANTISED = {"Q8_0": "q8_0", "Q4_0": "q4_0", "Q4_K_M": "q4_k", "Q6_K": "q6_k"}
FILES = [(name, kind) for name in CASES for kind in (*FLOATS, *QUANTISED)]


@attrs.frozen(eq=False)
class File:
    """A file, and what transformers says of the texts with the file's numbers, all rows."""

    path: Path
    truth: np.ndarray

    def of(self, model: Any) -> np.ndarray:
        """Return what a model says of the texts, all rows."""
        return np.concatenate([model.logits(ids.tolist()) for ids in TEXTS])


Files = Callable[[str, str], File]


@pytest.fixture(scope="module")
def files(
    converter: Converter, tmp_path_factory: pytest.TempPathFactory, shared_data: Path
) -> Files:
    """`files(name, kind)`: a case, converted, and quantised where the kind is a quantiser's."""
    known: dict[tuple[str, str], File] = {}
    root = tmp_path_factory.mktemp("files")

    def files(name: str, kind: str) -> File:
        if (name, kind) in known:
            return known[name, kind]
        folder = root / name.replace(" ", "_")
        if not folder.exists():
            make_case(CASES[name], folder)
            shutil.copy(shared_data / "stories260K" / "hf" / "tokenizer.model", folder)
        path = folder / f"of_{kind}.gguf"
        if kind in FLOATS:
            converter.convert(folder, path, kind)
        else:
            quantise(files(name, "f32").path, path, kind)
        model = open_reference(CASES[name], folder)
        fill_from_gguf(model, path)
        truth = np.concatenate([reference_logits(model, ids) for ids in TEXTS])
        known[name, kind] = File(path, truth)
        return known[name, kind]

    return files


@pytest.mark.parametrize("backend", ["numpy", "cpu"])
@pytest.mark.parametrize(("name", "kind"), FILES)
def test_exact_maths_on_a_file_is_transformers_on_its_numbers(
    files: Files, name: str, kind: str, backend: str
) -> None:
    if backend not in default_host().names("backend"):
        pytest.skip(f"backend {backend!r} is not installed")
    file = files(name, kind)
    if "narrow" not in name:  # whose rows hold no block of 256
        formats = {tensor.format for tensor in GGUF.open(file.path).tensors.values()}
        assert QUANTISED.get(kind, "f32") in formats
    with load(file.path, backend=backend, arith="f32", context=64) as model:
        found = compare(file.of(model), file.truth, tolerance=TOLERANCE)
    assert found.holds, found


@pytest.mark.parametrize(("name", "kind"), FILES)
def test_the_default_arithmetic_errs_no_more_than_llama_cpp(
    files: Files, name: str, kind: str
) -> None:
    if "cpu" not in default_host().names("backend"):
        pytest.skip("backend 'cpu' is not installed")
    file = files(name, kind)
    with load(file.path, backend="cpu", context=64) as model:
        ours = compare(file.of(model), file.truth, tolerance=1.0, measure="rms")
    theirs = compare(file.of(LlamaCpp(file.path)), file.truth, tolerance=1.0, measure="rms")
    print(f"{name} {kind}: ours {ours.rms_error:.2e}, llama.cpp {theirs.rms_error:.2e}")
    assert ours.rms_error <= max(NO_WORSE * theirs.rms_error, TOLERANCE), (ours, theirs)
