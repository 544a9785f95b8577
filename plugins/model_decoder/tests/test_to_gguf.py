"""Every family written as GGUF: read back with equal logits, and the file that a converter makes.

What llama.cpp's own converter and llama.cpp itself say is in test_to_gguf_converter.py.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from synapse_core.api import load, requantize
from synapse_core.errors import Unavailable
from synapse_core.loaders import GGUF
from synapse_core.plugins import default_host

from .gguf_twins import Twins
from .test_gguf_families import CASES, IDS, LONG, TOLERANCE, logits

# What a file of ours says and a converter's leaves to its reader, by what is behind the last dot:
# a converter writes the width of a head where config.json has it.
SAID_ALWAYS = {"key_length", "value_length", "vocab_size", "dimension_count", "freq_base"}
OF_THE_FILE = ("general.", "tokenizer.", "GGUF.")


def written(twins: Twins, folder: Path, format: str = "f32") -> Path:
    """Write a model's Hugging Face folder, and that as GGUF."""
    source, output = folder / "m", folder / "ours.gguf"
    requantize(twins.hf(source), output, default_host(), format=format)
    return output


def near(value: Any) -> Any:
    """Return what equals a key's value up to the rounding of a float32."""
    return value if isinstance(value, str) else pytest.approx(value, rel=1e-6)


# 16 positions are within longrope's trained length, 20 are past it.
@pytest.mark.parametrize("context", [16, LONG])
@pytest.mark.parametrize("name", CASES)
def test_a_written_file_has_the_logits_of_what_it_was_made_of(
    tmp_path: Path, name: str, context: int
) -> None:
    path = written(CASES[name], tmp_path)
    expected = logits(tmp_path / "m", context=context)
    found = logits(path, context=context)
    if CASES[name].arch == "llama":  # its rows of q and k are in another order
        assert np.abs(found - expected).max() <= 1e-5 * expected.std()
    else:
        np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("name", CASES)
def test_a_written_file_is_that_of_the_converter_tensor_by_tensor_and_key_by_key(
    tmp_path: Path, name: str
) -> None:
    ours = GGUF.open(written(CASES[name], tmp_path))
    theirs = GGUF.open(CASES[name].gguf(tmp_path / "theirs.gguf"))
    assert set(ours.tensors) == set(theirs.tensors)
    for tensor, expected in theirs.tensors.items():
        found = ours.tensors[tensor]
        assert (found.shape, found.format) == (expected.shape, expected.format)
        np.testing.assert_array_equal(found.data, expected.data, tensor)
    keys, wanted = (
        {key: value for key, value in file.metadata.items() if not key.startswith(OF_THE_FILE)}
        for file in (ours, theirs)
    )
    arch = CASES[name].arch
    if f"{arch}.rope.scaling.yarn_attn_factor" in wanted:
        keys.pop(f"{arch}.rope.scaling.attn_factor")  # for llama.cpp, which does not read the other
        keys.pop(f"{arch}.context_length")  # the stretched one
        wanted.pop(f"{arch}.context_length")
    for key in keys.keys() - wanted.keys():
        assert key.rpartition(".")[2] in SAID_ALWAYS, key
    if "phi3.rope.scaling.attn_factor" not in wanted:
        # Without a scaling the trained length says nothing; ours is the context.
        wanted.pop("phi3.rope.scaling.original_context_length", None)
    for key, value in wanted.items():
        assert keys[key] == near(value), key
        assert ours.metadata.kinds[key] == theirs.metadata.kinds[key], key  # type: ignore[attr-defined]


YARN = {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 8}
WIDE = {"head_dim": 16, "rope_theta": 100.0}
LLAMA3 = {
    "rope_type": "llama3",
    "factor": 8.0,
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 32,
}
STRETCHED: dict[str, tuple[Twins, dict[str, Any]]] = {
    "yarn": (
        Twins(family="qwen2", config={**WIDE, "rope_scaling": YARN}),
        {"type": "yarn", "factor": 4.0, "original_context_length": 8},
    ),
    "yarn betas": (
        Twins(family="mistral", config={**WIDE, "rope_scaling": {**YARN, "beta_fast": 4.0}}),
        {"yarn_beta_fast": 4.0},
    ),
    "yarn magnitude": (
        Twins(family="qwen2", config={**WIDE, "rope_scaling": {**YARN, "attention_factor": 1.3}}),
        {"yarn_attn_factor": 1.3, "attn_factor": 1.3 / (1 + 0.1 * np.log(4.0))},
    ),
    "yarn mscale": (
        Twins(
            family="gemma",
            config={"rope_scaling": {**YARN, "mscale": 0.7, "mscale_all_dim": 0.4}},
        ),
        {"yarn_attn_factor": (1 + 0.07 * np.log(4.0)) / (1 + 0.04 * np.log(4.0))},
    ),
    "yarn of full layers": (Twins(family="gemma3", config={"rope_scaling": YARN}), {}),
    "llama3": (Twins(family="mistral", config={**WIDE, "rope_scaling": LLAMA3}), {}),
}


@pytest.mark.parametrize("name", STRETCHED)
def test_a_stretched_rope_is_the_same_model_in_gguf(tmp_path: Path, name: str) -> None:
    twins, said = STRETCHED[name]
    path = written(twins, tmp_path)
    expected, found = logits(tmp_path / "m"), logits(path)
    assert np.abs(found - expected).max() <= TOLERANCE * expected.std()
    config = json.loads((tmp_path / "m" / "config.json").read_text())
    del config["rope_scaling"]
    (tmp_path / "m" / "config.json").write_text(json.dumps(config))
    assert np.abs(logits(tmp_path / "m") - expected).max() > 1e-2 * expected.std()
    metadata = GGUF.open(path).metadata
    for key, value in said.items():
        assert metadata[f"{twins.arch}.rope.scaling.{key}"] == near(value), key


def test_yarn_without_a_magnitude_of_its_own_says_none(tmp_path: Path) -> None:
    metadata = GGUF.open(written(STRETCHED["yarn"][0], tmp_path)).metadata
    scaling = {key.rpartition(".")[2] for key in metadata if ".rope.scaling." in key}
    assert scaling == {"type", "factor", "original_context_length"}


@pytest.mark.parametrize(
    ("family", "config"),
    [
        ("mistral", {"sliding_window": 7}),
        ("qwen2", {"use_sliding_window": True, "sliding_window": 7, "max_window_layers": 2}),
    ],
)
def test_a_window_without_a_key_cuts_the_context(
    tmp_path: Path, family: str, config: dict[str, Any]
) -> None:
    twins = Twins(family=family, config=config)
    done = requantize(twins.hf(tmp_path / "m"), tmp_path / "o.gguf", default_host(), format="f32")
    assert f"GGUF's {twins.arch!r} has no key for windows, here of 7 positions" in done.notes[0]
    assert GGUF.open(done.output).metadata[f"{twins.arch}.context_length"] == 7
    expected = logits(tmp_path / "m", context=7)
    assert np.abs(logits(done.output, context=7) - expected).max() <= 1e-5 * expected.std()


FULL, SLIDING = "full_attention", "sliding_attention"
WINDOWED = {
    "gemma2 the other way round": ("gemma2", [FULL, SLIDING, FULL], 5),
    "gemma2 all": ("gemma2", [SLIDING] * 3, 5),
    "gemma2 none": ("gemma2", [FULL] * 3, 64),
    "gemma3 none": ("gemma3", [FULL] * 7, 64),
    "gemma3 every other": ("gemma3", [SLIDING, FULL] * 3 + [SLIDING], 5),
}


@pytest.mark.parametrize("name", WINDOWED)
def test_layers_with_windows_of_another_period_are_said_one_by_one(
    tmp_path: Path, name: str
) -> None:
    family, types, window = WINDOWED[name]
    path = written(Twins(family=family, config={"layer_types": types}), tmp_path)
    metadata = GGUF.open(path).metadata
    assert metadata[f"{family}.attention.sliding_window"] == window
    has = metadata[f"{family}.attention.sliding_window_pattern"]
    assert list(has) == [kind == SLIDING for kind in types]
    np.testing.assert_array_equal(logits(path), logits(tmp_path / "m"))


ROPES = {
    FULL: {"rope_type": "default", "rope_theta": 1e6},
    SLIDING: {"rope_type": "linear", "factor": 2.0, "rope_theta": 1e3},
}
REFUSED: dict[str, tuple[Twins, str]] = {
    "dynamic": (
        Twins(family="mistral", config={"rope_scaling": {"rope_type": "dynamic", "factor": 2.0}}),
        "GGUF files of 'llama' have no keys for a rope scaled by 'dynamic'",
    ),
    "an exact ramp": (
        Twins(family="qwen2", config={"rope_scaling": {**YARN, "truncate": False}}),
        "rope scaled by 'yarn', its range not truncated",
    ),
    "another scalar": (
        Twins(family="gemma2", config={"query_pre_attn_scalar": 7}),
        r"would be another model: config\.layers\[0\].*\.scale is 0\.37",
    ),
    "no caps": (
        Twins(family="gemma2", config={"attn_logit_softcapping": None}),
        "GGUF files of 'gemma2' have no word for no attn_logit_softcapping",
    ),
    "sliding layers scaled": (
        Twins(
            family="gemma3",
            config={"rope_parameters": ROPES, "rope_theta": None, "rope_local_base_freq": None},
        ),
        "layers with a window that is scaled by 'linear'",
    ),
    "another activation": (
        Twins(family="qwen2", config={"hidden_act": "gelu"}),
        "would be another model: config.layers",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_the_keys_cannot_say_is_refused_and_nothing_is_written(
    tmp_path: Path, name: str
) -> None:
    twins, words = REFUSED[name]
    source = twins.hf(tmp_path / "m")
    with pytest.raises(Unavailable, match=words):
        requantize(source, tmp_path / "o.gguf", default_host(), format="f32")
    assert [path.name for path in tmp_path.iterdir()] == ["m"]


@pytest.mark.parametrize("name", ["phi3", "gemma3", "mistral"])
def test_blocks_keep_their_bytes_but_for_the_order_of_rows(tmp_path: Path, name: str) -> None:
    config = {"hidden_size": 64, "intermediate_size": 96, "head_dim": 16}
    if name == "gemma3":
        config["query_pre_attn_scalar"] = 16
    twins = Twins(family=name, config=config)
    path = written(twins, tmp_path, format="q8_0")
    with load(tmp_path / "m", backend="numpy", format="q8_0", kv="f32") as model:
        expected = model.logits(IDS)
    with load(path, backend="numpy", kv="f32") as model:
        found = model.logits(IDS)
    assert np.abs(found - expected).max() <= 1e-5 * expected.std()
    metadata = GGUF.open(path).metadata
    assert metadata["general.file_type"] == 7
