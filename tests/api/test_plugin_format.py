"""A weight format of a plugin's, from `quantize` to logits: never other numbers than its own."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

import synapse_core as synapse
from synapse_core.api import build, estimate, requantize
from synapse_core.errors import FileError, PluginConflict, PluginError, UsageError
from synapse_core.formats import Formats
from synapse_core.loaders import SAFETENSORS
from synapse_core.passes import plan_for
from synapse_core.program import write_program
from tests.strange_formats import Bytes, Split
from tests.things import With

TOKENS = [1, 403, 407, 261, 378, 432]


def registry(format: Bytes) -> With:
    return With({("quant_format", "bytes"): format})


@pytest.fixture(params=[Split(), Bytes()], ids=["i8g16", "f32"])
def plugged(request: pytest.FixtureRequest) -> With:
    """Plugins with the format, which is held as i8g16 or as f32."""
    return registry(request.param)


@pytest.fixture(scope="module")
def folder(shared_data: Path) -> Path:
    return shared_data / "stories260K" / "hf"


@pytest.fixture
def written(folder: Path, plugged: With, tmp_path: Path) -> Path:
    requantize(folder, tmp_path / "small", plugged, format="bytes")
    return tmp_path / "small"


def logits(path: Path, registry: With | None = None, **options: str) -> np.ndarray:
    with synapse.load(path, backend="numpy", registry=registry, **options) as model:
        return model.logits(TOKENS)


def test_its_rows_are_in_the_file_as_it_encodes_them(folder, written, plugged) -> None:
    format = plugged.get("quant_format", "bytes")
    original = SAFETENSORS.open(folder).tensors
    found = SAFETENSORS.open(written, Formats(plugged)).tensors
    name = "model.embed_tokens.weight"
    rows = original[name].data.view("<f4").reshape(original[name].shape)
    assert (found[name].format, found[name].shape) == ("bytes", rows.shape)
    np.testing.assert_array_equal(found[name].raw(), format.encode(rows))


def test_what_is_read_back_computes_what_its_own_decode_says(written, plugged, tmp_path) -> None:
    requantize(written, tmp_path / "decoded", plugged, format="f32")
    found = logits(written, plugged, arith="f32")
    assert found.tobytes() == logits(tmp_path / "decoded").tobytes()


def test_asked_for_at_load_it_computes_what_the_file_does(folder, written, plugged) -> None:
    asked = logits(folder, plugged, format="bytes")
    assert asked.tobytes() == logits(written, plugged).tobytes()
    assert np.abs(asked - logits(folder)).max() > 1e-3


def test_natively_it_is_what_numpy_computes(written, plugged) -> None:
    if "cpu" not in plugged.names("backend"):
        pytest.skip("synapse-backend-cpu is not installed")
    options = {"arith": "f32", "kv": "f32", "registry": plugged}
    with synapse.load(written, backend="cpu", **options) as model:
        found = model.logits(TOKENS)
    expected = logits(written, plugged, arith="f32", kv="f32")
    assert np.abs(found - expected).max() < 2e-4 * expected.std()


def test_it_is_said_what_every_matrix_is_held_in_and_memory_is_what_it_takes(
    folder, written, plugged
) -> None:
    held = {choice.given for choice in build(folder, plugged, format="bytes").choices}
    kept = "i8g16" if hasattr(plugged.get("quant_format", "bytes"), "split") else "f32"
    assert held == {kept, "f16"}  # rows of 172 numbers are no blocks of 16
    original, loaded = build(folder, plugged), build(written, plugged)
    asked = estimate(original.program, original.graph, plan_for("bytes"), Formats(plugged))
    assert asked == estimate(loaded.program, loaded.graph)


def test_a_compiled_model_needs_no_plugin(written, plugged, tmp_path) -> None:
    write_program(build(written, plugged, complete=True).program, tmp_path / "m.syn")
    assert logits(tmp_path / "m.syn").tobytes() == logits(written, plugged).tobytes()


def test_without_its_plugin_the_file_is_refused_by_format_and_tensor(written) -> None:
    with pytest.raises(FileError, match=r"rows:model\.embed_tokens\.weight.*found 'bytes', expec"):
        build(written, With({}))


def test_gguf_has_no_type_for_it(folder, plugged, tmp_path) -> None:
    with pytest.raises(UsageError, match="held in bytes, which GGUF has no type for"):
        requantize(folder, tmp_path / "m.gguf", plugged, format="bytes")
    assert list(tmp_path.iterdir()) == []


def test_a_plan_may_name_it(folder, plugged, tmp_path) -> None:
    (tmp_path / "plan.json").write_text(json.dumps({"layers.*.ffn.up.weight": "bytes"}))
    done = requantize(folder, tmp_path / "m", plugged, plan_file=tmp_path / "plan.json")
    given = {tensor.source.name: tensor.given for tensor in done.tensors}
    assert given["model.layers.0.mlp.up_proj.weight"] == "bytes"
    assert given["model.layers.0.mlp.gate_proj.weight"] == "f32"


def test_a_provider_that_was_picked_is_the_one_that_writes_and_runs(folder, tmp_path) -> None:
    conflict = PluginConflict("quant_format 'bytes' is provided by a and b; say bytes@a or bytes@b")
    of_two = {("quant_format", "bytes"): conflict, ("quant_format", "bytes@a"): Split()}
    with pytest.raises(PluginConflict, match="by a and b"):
        build(folder, With(of_two), format="bytes")
    done = requantize(folder, tmp_path / "m", With(of_two), format="bytes@a")
    assert {(tensor.asked, tensor.given) for tensor in done.tensors if tensor.asked} == {
        ("bytes", "bytes"),
        ("bytes", "f16"),
    }
    picked = logits(folder, With(of_two), format="bytes@a")
    assert picked.tobytes() == logits(tmp_path / "m", registry(Split())).tobytes()


def test_one_whose_split_says_other_numbers_never_runs(folder, tmp_path) -> None:
    class Doubled(Split):
        def split(self, raw, cols):
            runs = super().split(raw, cols)
            return runs._replace(scale=runs.scale * np.float32(2))

    wrong = registry(Doubled())
    requantize(folder, tmp_path / "m", wrong, format="bytes")
    with pytest.raises(PluginError, match="'bytes': split and decode give other numbers"):
        build(tmp_path / "m", wrong)
