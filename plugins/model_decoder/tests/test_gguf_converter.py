"""Files written by llama.cpp's own converter, against transformers on the same weights.

`SYNAPSE_LLAMA_CPP` names a folder of llama.cpp's sources, such as vendor/llama.cpp in the source
distribution of llama-cpp-python 0.3.36.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import attrs
import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from synapse_core.api import load
from synapse_core.plugins import default_host

from .reference_cases import LLAMA3, LONG_PHI3, Case, Made, make_case

pytestmark = pytest.mark.reference

SOURCES = "SYNAPSE_LLAMA_CPP"
# Of the standard deviation of the logits.
TOLERANCE = 1e-3
PATIENCE_S = 300
# Each checkpoint's numbers are of 16 bits, so that a file in f16 holds them exactly.
F16 = "float16"
# The file does not say by what q is scaled: it is by the head's width.
SCALAR = {"query_pre_attn_scalar": 10}
SEVEN = {**SCALAR, "num_hidden_layers": 7, "sliding_window_pattern": 6}
TWO_ROPES = {
    "full_attention": {"rope_type": "linear", "factor": 8.0, "rope_theta": 1e6},
    "sliding_attention": {"rope_type": "default", "rope_theta": 1e3},
}
CASES = {
    "llama": Case("llama", F16, {"tie_word_embeddings": False}),
    "llama llama3": Case("llama", F16, {"rope_parameters": LLAMA3}),
    "mistral": Case("mistral", F16, {"sliding_window": 64}),
    "qwen2": Case("qwen2", F16, {"tie_word_embeddings": False}),
    "qwen3": Case("qwen3", F16, {"tie_word_embeddings": True}),
    "phi3": Case("phi3", F16, {"sliding_window": 11}),
    "phi3 without a window": Case("phi3", F16, {"sliding_window": None}),
    "phi3 longrope within": Case("phi3", F16, LONG_PHI3, 32, 32),
    "phi3 longrope beyond": Case("phi3", F16, {**LONG_PHI3, "sliding_window": 15}),
    "gemma": Case("gemma", F16, {}),
    "gemma2": Case("gemma2", F16, SCALAR),
    "gemma3": Case("gemma3", F16, SEVEN),
    "gemma3 two ropes": Case("gemma3", F16, {**SEVEN, "rope_parameters": TWO_ROPES}),
}
Convert = Callable[[str, str], tuple[Made, Path]]


@pytest.fixture(scope="module")
def convert(tmp_path_factory: pytest.TempPathFactory, shared_data: Path) -> Convert:
    """`convert(name, kind)`: the checkpoint of a case, and the file that the converter makes."""
    place = os.environ.get(SOURCES)
    if not place:
        pytest.skip(f"{SOURCES} is not set: llama.cpp's own converter did not run")
    script = Path(place) / "convert_hf_to_gguf.py"
    assert script.is_file(), f"{SOURCES}={place}: has no convert_hf_to_gguf.py"
    pytest.importorskip("sentencepiece")
    known: dict[str, Made] = {}

    def convert(name: str, kind: str) -> tuple[Made, Path]:
        if name not in known:
            folder = tmp_path_factory.mktemp(name.replace(" ", "_"))
            case = attrs.evolve(CASES[name], config={**CASES[name].config, "vocab_size": 512})
            known[name] = make_case(case, folder)
            # In f16 the converter would round Gemma's weight + 1.
            file = folder / "model.safetensors"
            wide = {name: n.astype(np.float32) for name, n in load_file(file).items()}
            save_file(wide, file, {"format": "pt"})
            shutil.copy(shared_data / "stories260K" / "hf" / "tokenizer.model", folder)
        made = known[name]
        out = made.folder / f"{kind}.gguf"
        asked = [script, made.folder, "--outfile", out, "--outtype", kind]
        command = [sys.executable, *map(str, asked)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE_S)
        assert done.returncode == 0, done.stderr[-2000:]
        return made, out

    return convert


@pytest.mark.parametrize("kind", ["f32", "f16"])
@pytest.mark.parametrize("name", CASES)
def test_a_file_of_the_converter_matches_transformers(
    convert: Convert, name: str, kind: str
) -> None:
    made, path = convert(name, kind)
    for backend in ("numpy", "cpu"):
        if backend not in default_host().names("backend"):
            continue
        options = {"kv": "f32", "arith": "f32", "context": made.positions}
        with load(path, backend=backend, **options) as model:
            for ids, expected in zip(made.ids, made.logits, strict=True):
                error = np.abs(model.logits(ids.tolist()) - expected).max()
                assert error <= TOLERANCE * expected.std(), backend
