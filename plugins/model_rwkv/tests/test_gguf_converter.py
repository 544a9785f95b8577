"""Files of llama.cpp's converter and quantiser, of a checkpoint in fla-hub's names.

The truth is the package `rwkv` on the file's own numbers, decoded by the package `gguf`.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import attrs
import numpy as np
import pytest

from synapse_core.api import LlamaCpp, compare, load
from tests.outside.llama_cpp import quantise

from . import checkpoints as made
from .gguf_files import convert, read_gguf

pytestmark = pytest.mark.reference

# Of the standard deviation of the logits.
TOLERANCE = 1e-3
# What rounding to 8 bits costs is chance to some percent: it must not cost more than llama.cpp's.
NO_WORSE = 1.05
# Rows of 256 numbers, which super-blocks need.
SHAPE = attrs.evolve(made.USUAL, width=256, hidden=512, vocabulary=320)
FLOATS = ("f32", "f16", "bf16")
QUANTISED = ("Q8_0", "Q4_0", "Q4_K_M", "Q6_K")


@attrs.frozen(eq=False)
class Converted:
    """A file, a text, and what the package says of it with the file's numbers."""

    path: Path
    ids: list[int]
    truth: np.ndarray


@pytest.fixture(scope="module")
def converted(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Converted]:
    """`converted(kind)`: the checkpoint as the converter writes it, or quantised of float32."""
    folder = tmp_path_factory.mktemp("converter")
    tensors = made.random_tensors(SHAPE, 21)
    fla = made.write_folder(folder / "fla", made.as_fla(tensors), made.fla_config_of(SHAPE))
    lines = [f"{n + 1} {bytes([n])!r} 1\n" for n in range(256)]
    (fla / "rwkv_vocab_v20230424.txt").write_text("".join(lines))
    ids = np.random.default_rng(22).integers(0, SHAPE.vocabulary, 90).tolist()
    known: dict[str, Converted] = {}

    def converted(kind: str) -> Converted:
        if kind not in known:
            path = folder / f"of_{kind}.gguf"
            if kind in FLOATS:
                convert(fla, path, kind)
            else:
                quantise(converted("f32").path, path, kind)
            numbers = read_gguf(path, tensors)
            (truth,) = made.reference_logits(numbers, [ids], folder)
            known[kind] = Converted(path, ids, truth)
        return known[kind]

    return converted


@pytest.mark.parametrize("kind", [*FLOATS, *QUANTISED])
def test_exact_maths_on_a_file_is_the_package_on_its_numbers(
    converted: Callable[[str], Converted], kind: str
) -> None:
    file = converted(kind)
    for backend in ("numpy", "cpu"):
        with load(file.path, backend=backend, arith="f32", context=128) as model:
            found = compare(model.logits(file.ids), file.truth, tolerance=TOLERANCE)
        assert found.holds, (backend, found)


def test_llama_cpp_computes_the_same_of_a_float_file(
    converted: Callable[[str], Converted],
) -> None:
    file = converted("f32")
    found = compare(LlamaCpp(file.path).logits(file.ids), file.truth, tolerance=TOLERANCE)
    assert found.holds, found


@pytest.mark.parametrize("kind", QUANTISED)
def test_the_default_arithmetic_errs_no_more_than_llama_cpp(
    converted: Callable[[str], Converted], kind: str
) -> None:
    file = converted(kind)
    with load(file.path, backend="cpu", context=128) as model:
        ours = compare(model.logits(file.ids), file.truth, tolerance=1.0, measure="rms")
    theirs = compare(LlamaCpp(file.path).logits(file.ids), file.truth, tolerance=1.0, measure="rms")
    assert ours.rms_error <= max(NO_WORSE * theirs.rms_error, TOLERANCE), (ours, theirs)
