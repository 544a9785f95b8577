"""Files written by llama.cpp's own converter, against transformers on the same weights."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import attrs
import numpy as np
import pytest

from synapse_core.api import LlamaCpp, load
from synapse_core.loaders import GGUF
from synapse_core.plugins import default_host
from tests.outside.llama_cpp import Converter

from .llama_cpp_tools import make_convertible
from .reference_cases import LINEAR, LLAMA3, LONG_PHI3, YARN, Case, Made

pytestmark = pytest.mark.reference

# Of the standard deviation of the logits.
TOLERANCE = 1e-3
# llama.cpp takes its GELU from a table in float16.
GELU_TOLERANCE = 5e-3
# Each checkpoint's numbers are of 16 bits, so that a file in f16 holds them exactly.
F16, BF16 = "float16", "bfloat16"
# The file does not say by what q is scaled: it is by the head's width.
SCALAR = {"query_pre_attn_scalar": 10}
SEVEN = {**SCALAR, "num_hidden_layers": 7, "sliding_window_pattern": 6}
TWO_ROPES = {
    "full_attention": {"rope_type": "linear", "factor": 8.0, "rope_theta": 1e6},
    "sliding_attention": {"rope_type": "default", "rope_theta": 1e3},
}
# llama.cpp takes no Qwen2 whose heads are of another width than width / heads.
WHOLE = {"num_attention_heads": 6, "num_key_value_heads": 2, "head_dim": 8}
STRETCHED = {**WHOLE, "head_dim": 16, "hidden_size": 96}
CASES = {
    "llama": Case("llama", F16, {"tie_word_embeddings": False}),
    "llama bf16": Case("llama", BF16, {"tie_word_embeddings": True, "attention_bias": True}),
    "llama llama3": Case("llama", F16, {"rope_parameters": LLAMA3}),
    "llama linear": Case("llama", F16, {"rope_parameters": LINEAR}),
    "llama yarn": Case("llama", F16, {**STRETCHED, "rope_parameters": YARN}),
    "llama yarn attention factor": Case(
        "llama", F16, {**STRETCHED, "rope_parameters": {**YARN, "attention_factor": 1.3}}
    ),
    "mistral": Case("mistral", F16, {"sliding_window": 64}),
    "mistral yarn": Case(
        "mistral", F16, {**STRETCHED, "sliding_window": None, "rope_parameters": YARN}
    ),
    "qwen2": Case("qwen2", F16, {**WHOLE, "tie_word_embeddings": False}),
    "qwen2 yarn": Case("qwen2", F16, {**STRETCHED, "rope_parameters": YARN}),
    "qwen2 yarn of other betas": Case(
        "qwen2", F16, {**STRETCHED, "rope_parameters": {**YARN, "beta_slow": 2.0}}
    ),
    "qwen2 linear": Case("qwen2", F16, {**WHOLE, "rope_parameters": LINEAR}),
    "qwen3": Case("qwen3", F16, {"tie_word_embeddings": True}),
    "qwen3 yarn": Case("qwen3", F16, {**STRETCHED, "rope_parameters": YARN}),
    "phi3": Case("phi3", F16, {"sliding_window": 11}),
    "phi3 without a window": Case("phi3", F16, {"sliding_window": None}),
    "phi3 longrope within": Case("phi3", F16, LONG_PHI3, 32, 32),
    "phi3 longrope beyond": Case("phi3", F16, {**LONG_PHI3, "sliding_window": 15}),
    "phi3 longrope without a window": Case("phi3", F16, {**LONG_PHI3, "sliding_window": None}),
    "gemma": Case("gemma", F16, {}),
    "gemma2": Case("gemma2", F16, SCALAR),
    "gemma3": Case("gemma3", F16, SEVEN),
    "gemma3 two ropes": Case("gemma3", F16, {**SEVEN, "rope_parameters": TWO_ROPES}),
}
# Where llama.cpp computes another model than the checkpoint's (docs/families.md).
OTHERWISE = {
    "llama yarn attention factor": "it has a factor of its own",
    "qwen2 yarn of other betas": "it has betas of its own",
    "phi3": "it reads the window and does without",
    "phi3 longrope within": "its context is 256 at least, past the trained length",
    "phi3 longrope beyond": "it reads the window and does without",
}
# Each family's own, and those with biases.
FUSED = ("llama", "llama bf16", "mistral", "qwen2", "qwen3", "gemma", "gemma2", "gemma3")
Convert = Callable[..., tuple[Made, Path]]


@pytest.fixture(scope="module")
def convert(
    converter: Converter, tmp_path_factory: pytest.TempPathFactory, shared_data: Path
) -> Convert:
    """`convert(name, kind, …)`: the checkpoint of a case, and the file that the converter makes."""
    known: dict[str, Made] = {}
    files: dict[tuple[str, ...], Path] = {}

    def convert(name: str, kind: str, *more: str) -> tuple[Made, Path]:
        if name not in known:
            # llama.cpp looks at a model's name, which is the folder's, for those that it knows.
            folder = tmp_path_factory.mktemp("checkpoint")
            case = attrs.evolve(CASES[name], config={**CASES[name].config, "vocab_size": 512})
            tokenizer = shared_data / "stories260K" / "hf" / "tokenizer.model"
            known[name] = make_convertible(case, folder, tokenizer)
        made = known[name]
        if (name, kind, *more) not in files:
            out = made.folder / f"{kind}{''.join(more)}.gguf"
            files[name, kind, *more] = converter.convert(made.folder, out, kind, *more)
        return made, files[name, kind, *more]

    return convert


def check(made: Made, path: Path) -> None:
    """Hold a file on every backend against what transformers says of its checkpoint."""
    for backend in ("numpy", "cpu"):
        if backend not in default_host().names("backend"):
            continue
        options = {"kv": "f32", "arith": "f32", "context": made.positions}
        with load(path, backend=backend, **options) as model:
            for ids, expected in zip(made.ids, made.logits, strict=True):
                error = np.abs(model.logits(ids.tolist()) - expected).max()
                assert error <= TOLERANCE * expected.std(), backend


@pytest.mark.parametrize("kind", ["f32", "f16"])
@pytest.mark.parametrize("name", [name for name in CASES if CASES[name].dtype == F16])
def test_a_file_of_the_converter_matches_transformers(
    convert: Convert, name: str, kind: str
) -> None:
    check(*convert(name, kind))


@pytest.mark.parametrize("kind", ["f32", "bf16"])
def test_a_file_in_bf16_matches_transformers(convert: Convert, kind: str) -> None:
    check(*convert("llama bf16", kind))


@pytest.mark.parametrize("name", FUSED)
def test_a_file_with_q_k_and_v_in_one_tensor_matches_transformers(
    convert: Convert, name: str
) -> None:
    made, path = convert(name, "f32", "--fuse-qkv")
    names = GGUF.open(path).tensors
    assert "blk.0.attn_qkv.weight" in names
    assert "blk.0.attn_q.weight" not in names
    check(made, path)


@pytest.mark.parametrize("name", [name for name in CASES if name not in OTHERWISE])
def test_llama_cpp_computes_the_same_of_a_float_file(convert: Convert, name: str) -> None:
    made, path = convert(name, "f32")
    found, tolerance = LlamaCpp(path), GELU_TOLERANCE if "gemma" in name else TOLERANCE
    for ids, expected in zip(made.ids, made.logits, strict=True):
        error = np.abs(found.logits(ids.tolist()) - expected).max()
        assert error <= tolerance * expected.std()
