"""Weights that share a tensor: bound as views of their rows, all of them or none."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from synapse_core.errors import WeightError
from synapse_core.families import Family, Part, bind_weights, stacked
from synapse_core.graph import Graph, GraphBuilder
from synapse_core.loaders import SAFETENSORS, Checkpoint
from synapse_core.ops import TensorType
from synapse_core.program import Limits, Tables, lower
from synapse_core.testing.case import finder

ROWS = {"q": 6, "k": 2, "v": 4}
COLS = 8
NAMES = {
    **stacked("h.{n}.qkv.weight", *(f"layers.{{n}}.{letter}.weight" for letter in ROWS)),
    **stacked("h.{n}.qkv.bias", *(f"layers.{{n}}.{letter}.bias" for letter in ROWS)),
}
FAMILY = Family(name="fused", claims=(), config={}, weights={"hf": NAMES})


def graph_of(layers: int = 2, letters: str = "qkv") -> Graph:
    """Return a graph of linears with biases, three in a layer."""
    builder = GraphBuilder(finder())
    g = builder.function("forward")
    x = g.input("x", TensorType(g.space("tokens"), COLS))
    for layer in range(layers):
        for letter in letters:
            name = f"layers.{layer}.{letter}"
            weight = builder.weight(f"{name}.weight", ROWS[letter], COLS)
            y = g.linear(x, weight, builder.weight(f"{name}.bias", 1, ROWS[letter]))
            g.output(name, y)
    return builder.finish()


def checkpoint_of(
    folder: Path, rows: int = sum(ROWS.values()), dtype: type = np.float16
) -> Checkpoint:
    """Write and open a checkpoint whose numbers count up, so that a wrong row shows."""
    numbers = np.arange(rows * COLS, dtype=dtype).reshape(rows, COLS)
    tensors = {}
    for layer in range(2):
        tensors[f"h.{layer}.qkv.weight"] = numbers + dtype(1000 * layer)
        tensors[f"h.{layer}.qkv.bias"] = np.arange(rows, dtype=np.float32) + 100 * layer
    save_file(tensors, folder / "model.safetensors")
    (folder / "config.json").write_text(json.dumps({"architectures": ["Fused"]}))
    return SAFETENSORS.open(folder)


def test_each_weight_is_a_view_of_its_rows_in_the_mapped_file(tmp_path: Path) -> None:
    checkpoint = checkpoint_of(tmp_path)
    bound = bind_weights(graph_of(), FAMILY, checkpoint)
    raw = (tmp_path / "model.safetensors").read_bytes()
    first = 0
    for letter, rows in ROWS.items():
        source = bound.weights[f"layers.1.{letter}.weight"].source
        whole = checkpoint.tensors["h.1.qkv.weight"]
        assert source is not None
        assert np.shares_memory(source.raw(), whole.data)
        numbers = source.raw().view(np.float16)
        np.testing.assert_array_equal(
            numbers, 1000 + np.arange(first * COLS, (first + rows) * COLS).reshape(rows, COLS)
        )
        file, offset = source.place or ("", 0)
        assert file == str(tmp_path / "model.safetensors")
        assert raw[offset : offset + numbers.nbytes] == numbers.tobytes()
        first += rows


def test_biases_that_share_a_tensor_are_its_numbers_in_order(tmp_path: Path) -> None:
    bound = bind_weights(graph_of(), FAMILY, checkpoint_of(tmp_path))
    found = [
        bound.weights[f"layers.0.{letter}.bias"].source.raw().view(np.float32)[0].tolist()
        for letter in ROWS
    ]
    assert found == [[0, 1, 2, 3, 4, 5], [6, 7], [8, 9, 10, 11]]


def test_a_program_refers_to_the_parts_in_the_file_and_copies_none(tmp_path: Path) -> None:
    checkpoint = checkpoint_of(tmp_path, dtype=np.float32)
    bound = bind_weights(graph_of(), FAMILY, checkpoint)
    program = lower(bound, Limits(positions=4), finder(), {})
    tables = Tables.of(program.image, "program")
    places = {
        int(weight["offset"])
        for weight in tables.weights
        if int(weight["rows"]) > 1 and int(weight["segment"]) == 0
    }
    expected = set()
    for layer in range(2):
        offset, first = checkpoint.tensors[f"h.{layer}.qkv.weight"].offset, 0
        for rows in ROWS.values():
            expected.add(offset + first * COLS * 4)
            first += rows
    assert places == expected
    # Nothing but the file: no matrix went into the block of constants.
    assert sum(len(segment) for segment in program.external[1:]) == 0


def test_a_fused_tensor_of_another_size_is_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(WeightError, match=r"'h\.0\.qkv\.weight' is \(13, 8\).* says \(12, 8\)"):
        bind_weights(graph_of(), FAMILY, checkpoint_of(tmp_path, rows=13))


def test_a_fused_tensor_that_is_missing_is_named(tmp_path: Path) -> None:
    with pytest.raises(WeightError, match=r"tensor 'h\.2\.qkv\.weight'.*is missing"):
        bind_weights(graph_of(layers=3), FAMILY, checkpoint_of(tmp_path))


def test_a_part_that_the_model_does_not_have_is_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(
        WeightError, match=r"holds 'layers\.0\.q\.weight' and 'layers\.0\.v\.weight'"
    ):
        bind_weights(graph_of(letters="qk"), FAMILY, checkpoint_of(tmp_path))


def test_stacked_entries_know_their_neighbours() -> None:
    entry = NAMES["layers.{n}.k.weight"]
    assert isinstance(entry, Part)
    assert entry.numbered("7").tensor == "h.7.qkv.weight"
    assert entry.numbered("7").parts == tuple(f"layers.7.{letter}.weight" for letter in ROWS)


ALONE = {f"layers.{{n}}.{letter}.weight": f"h.{{n}}.{letter}.weight" for letter in ROWS}
FUSED = {name: part for name, part in NAMES.items() if name in ALONE}
EITHER = Family(
    name="either", claims=(), config={}, weights={"hf": {**NAMES, **ALONE}}, fused={"hf": FUSED}
)


def test_weights_with_tensors_of_their_own_may_also_be_fused(tmp_path: Path) -> None:
    checkpoint = checkpoint_of(tmp_path)
    bound, expected = (bind_weights(graph_of(), family, checkpoint) for family in (EITHER, FAMILY))
    for name, weight in expected.weights.items():
        np.testing.assert_array_equal(bound.weights[name].source.raw(), weight.source.raw())


def test_a_weight_that_is_neither_alone_nor_fused_is_asked_for_alone(tmp_path: Path) -> None:
    with pytest.raises(WeightError, match=r"tensor 'h\.2\.q\.weight': is missing"):
        bind_weights(graph_of(layers=3), EITHER, checkpoint_of(tmp_path))
