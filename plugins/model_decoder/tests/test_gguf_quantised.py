"""Files of llama.cpp's converter and quantiser, of every family and in every type that is read.

The truth is transformers on the file's own numbers, decoded by the `gguf` package: exact maths must
give it, and the default arithmetic must be no further from it than llama.cpp is.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import attrs
import numpy as np
import pytest

from synapse_core.api import LlamaCpp, compare, load
from synapse_core.errors import FileError
from synapse_core.loaders import GGUF
from synapse_core.plugins import default_host
from tests.outside.llama_cpp import Converter, quantise

from .dequantised import fill_from_gguf
from .llama_cpp_tools import make_convertible
from .reference_cases import LLAMA3, LONGROPE, Case, Made, open_reference, reference_logits

pytestmark = pytest.mark.reference

# Of the standard deviation of the logits.
TOLERANCE = 1e-3
# What rounding to 8 bits costs is chance to some percent: it must not cost more than llama.cpp's.
NO_WORSE = 1.05
F16 = "float16"
LENGTH = 64
# Rows of 256 numbers, which super-blocks need, beside rows that make the quantiser fall back.
WIDE = {"hidden_size": 256, "vocab_size": 512, "num_hidden_layers": 3}


def wide(family: str, heads: int, kv_heads: int, head_dim: int, hidden: int, **more: Any) -> Case:
    """Return a case of these sizes; o has heads × head_dim columns, down has `hidden`."""
    sizes = {"num_attention_heads": heads, "num_key_value_heads": kv_heads, "head_dim": head_dim}
    return Case(family, F16, {**WIDE, **sizes, "intermediate_size": hidden, **more}, LENGTH)


# Twelve pairs of a head's 16 turn.
LONG = {
    "short_factor": [1.0 + 0.1 * n for n in range(12)],
    "long_factor": [1.2 + 0.5 * n for n in range(12)],
}
LONG_PHI3 = {
    "rope_parameters": {**LONGROPE, **LONG},
    "original_max_position_embeddings": 32,
    "sliding_window": None,
}
CASES = {
    "llama": wide("llama", 4, 2, 20, 288, tie_word_embeddings=False),
    "llama llama3": wide("llama", 8, 2, 32, 512, rope_parameters=LLAMA3, num_hidden_layers=2),
    "mistral": wide("mistral", 2, 1, 48, 512, sliding_window=None),
    "qwen2": wide("qwen2", 8, 2, 32, 320, tie_word_embeddings=False),
    "qwen3": wide("qwen3", 4, 2, 48, 512, tie_word_embeddings=True),
    "phi3": wide("phi3", 8, 4, 32, 288, sliding_window=None),
    "phi3 longrope": wide("phi3", 8, 2, 32, 512, **LONG_PHI3),
    "gemma": wide("gemma", 2, 1, 40, 512),
    "gemma2": wide("gemma2", 4, 2, 24, 288, query_pre_attn_scalar=24),
    "gemma3": wide(
        "gemma3",
        2,
        1,
        32,
        512,
        query_pre_attn_scalar=32,
        num_hidden_layers=7,
        sliding_window_pattern=6,
    ),
}
# By the end of llama.cpp's name, that of the converter's in small letters: a format that must then
# be in the file.
OF_ALL = {"bf16": "bf16", "q8_0": "q8_0", "Q8_0": "q8_0", "Q4_K_M": "q4_k"}
OF_ONE = {
    "F16": "f16",
    "BF16": "bf16",
    "Q4_0": "q4_0",
    "Q4_1": "q4_1",
    "Q5_0": "q5_0",
    "Q5_1": "q5_1",
    "Q2_K": "q2_k",
    "Q3_K_S": "q3_k",
    "Q3_K_M": "q3_k",
    "Q3_K_L": "q3_k",
    "Q4_K_S": "q4_k",
    "Q5_K_S": "q5_k",
    "Q5_K_M": "q5_k",
    "Q6_K": "q6_k",
    "IQ1_S": "iq1_s",
    "IQ1_M": "iq1_m",
    "IQ2_XXS": "iq2_xxs",
    "IQ2_XS": "iq2_xs",
    "IQ2_S": "iq2_xs",
    "IQ2_M": "iq2_s",
    "IQ3_XXS": "iq3_xxs",
    "IQ3_S": "iq3_s",
    "IQ3_M": "iq3_s",
    "IQ4_NL": "iq4_nl",
    "IQ4_XS": "iq4_xs",
    "TQ1_0": "tq1_0",
    "TQ2_0": "tq2_0",
    "MXFP4_MOE": "mxfp4",
}
FORMATS = {**OF_ALL, **OF_ONE}
WITH_ALL = "llama llama3"
FILES = [(name, kind) for name in CASES for kind in OF_ALL] + [(WITH_ALL, kind) for kind in OF_ONE]


@attrs.frozen(eq=False)
class Quantised:
    """A file, a text and what transformers says of it with the file's numbers."""

    path: Path
    ids: list[int]
    truth: np.ndarray


Source = Callable[[str], tuple[Made, Path]]
Quantise = Callable[[str, str], Quantised]


@pytest.fixture(scope="module")
def source(
    converter: Converter, tmp_path_factory: pytest.TempPathFactory, shared_data: Path
) -> Source:
    """`source(name)`: a case, and what the converter makes of it in float32."""
    tokenizer = shared_data / "stories260K" / "hf" / "tokenizer.model"
    known: dict[str, tuple[Made, Path]] = {}

    def source(name: str) -> tuple[Made, Path]:
        if name not in known:
            # llama.cpp looks at a model's name, which is the folder's, for those that it knows.
            folder = tmp_path_factory.mktemp("checkpoint")
            made = make_convertible(CASES[name], folder, tokenizer)
            known[name] = made, converter.convert(folder, folder / "f32.gguf", "f32")
        return known[name]

    return source


@pytest.fixture(scope="module")
def quantised(source: Source, converter: Converter) -> Quantise:
    """`quantised(name, kind)`: a case, converted and quantised."""
    files: dict[tuple[str, str], Quantised] = {}

    def quantised(name: str, kind: str) -> Quantised:
        if (name, kind) not in files:
            made, float32 = source(name)
            path = made.folder / f"of_{kind}.gguf"
            if kind.islower():
                converter.convert(made.folder, path, kind)
            else:
                quantise(float32, path, kind)
            model = open_reference(CASES[name], made.folder)
            fill_from_gguf(model, path)
            truth = reference_logits(model, made.ids[0])
            files[name, kind] = Quantised(path, made.ids[0].tolist(), truth)
        return files[name, kind]

    return quantised


@pytest.mark.parametrize(("name", "kind"), FILES)
def test_exact_maths_on_a_file_is_transformers_on_its_numbers(
    quantised: Quantise, name: str, kind: str
) -> None:
    file = quantised(name, kind)
    assert FORMATS[kind] in {tensor.format for tensor in GGUF.open(file.path).tensors.values()}
    with load(file.path, backend="numpy", kv="f32", arith="f32") as model:
        found = compare(model.logits(file.ids), file.truth, tolerance=TOLERANCE)
    assert found.holds, found


@pytest.mark.parametrize(("kind", "problem"), [("Q1_0", "q1_0"), ("Q2_0", "type at byte")])
def test_a_type_that_is_not_read_is_refused_by_name(
    source: Source, tmp_path: Path, kind: str, problem: str
) -> None:
    path = quantise(source(WITH_ALL)[1], tmp_path / f"{kind}.gguf", kind)
    with pytest.raises(FileError, match=rf"{kind}\.gguf: tensor '.*{problem}"):
        load(path, backend="numpy")


@pytest.mark.parametrize(("name", "kind"), FILES)
def test_the_default_arithmetic_errs_no_more_than_llama_cpp(
    quantised: Quantise, name: str, kind: str
) -> None:
    if "cpu" not in default_host().names("backend"):
        pytest.skip("backend 'cpu' is not installed")
    file = quantised(name, kind)
    with load(file.path, backend="cpu", kv="f32") as model:
        ours = compare(model.logits(file.ids), file.truth, tolerance=1.0, measure="rms")
    theirs = compare(LlamaCpp(file.path).logits(file.ids), file.truth, tolerance=1.0, measure="rms")
    assert ours.rms_error <= max(NO_WORSE * theirs.rms_error, TOLERANCE), (ours, theirs)
