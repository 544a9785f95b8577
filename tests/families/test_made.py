"""Weights that are made of a tensor's numbers at load, and matrices that keep their format."""

from __future__ import annotations

import json
from pathlib import Path

import attrs
import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from synapse_core.api.quantize import plan_tensors
from synapse_core.errors import GraphError, ShapeError, WeightError
from synapse_core.families import Family, Made, bind_weights, made_tensors, transposed
from synapse_core.formats import format_named
from synapse_core.graph import Graph, GraphBuilder, WeightScope
from synapse_core.loaders import SAFETENSORS, Checkpoint
from synapse_core.loaders.safetensors_writer import write_formats
from synapse_core.loaders.written import WrittenTensor
from synapse_core.ops import TensorType
from synapse_core.passes import assign_formats, plan_for
from synapse_core.testing.case import finder

ROWS, COLS = 64, 32
PART = transposed("pos")


def negated_exp(numbers: np.ndarray) -> np.ndarray:
    return -np.exp(numbers)


FAMILY = Family(
    name="made",
    claims=(),
    config={},
    weights={
        "hf": {
            "layers.{n}.down.weight": transposed("h.{n}.w1"),
            "layers.{n}.decay": Made(tensor="h.{n}.log", make=negated_exp),
            "layers.{n}.conv": "h.{n}.conv.weight",
            "layers.{n}.up.weight": "h.{n}.up",
        }
    },
    keeps=("layers.*.down.weight",),
)


def graph_of() -> Graph:
    builder = GraphBuilder(finder())
    g = builder.function("forward")
    x = g.input("x", TensorType(g.space("tokens"), COLS))
    y = g.linear(x, builder.weight("layers.0.down.weight", ROWS, COLS))
    y = g.op("mul", y, builder.weight("layers.0.decay", 1, ROWS))
    g.output("y", g.linear(y, builder.weight("layers.0.up.weight", COLS, ROWS)))
    g.output("z", g.linear(x, builder.weight("layers.0.conv", ROWS, COLS)))
    return builder.finish()


def checkpoint_of(folder: Path, **changes: np.ndarray) -> Checkpoint:
    rng = np.random.default_rng(5)
    tensors = {
        "h.0.w1": rng.standard_normal((COLS, ROWS)).astype(np.float16),
        "h.0.log": rng.standard_normal(ROWS).astype(np.float32),
        "h.0.conv.weight": rng.standard_normal((ROWS, 1, COLS)).astype(np.float32),
        "h.0.up": rng.standard_normal((COLS, ROWS)).astype(np.float32),
    }
    save_file(tensors | changes, folder / "model.safetensors")
    (folder / "config.json").write_text(json.dumps({"architectures": ["Made"]}))
    return SAFETENSORS.open(folder)


def numbers_of(graph: Graph, name: str) -> np.ndarray:
    source = graph.weights[name].source
    assert source is not None
    return format_named(source.format).decode(source.raw(), source.cols)


def test_a_turned_matrix_keeps_its_format_and_its_numbers(tmp_path: Path) -> None:
    bound = bind_weights(graph_of(), FAMILY, checkpoint_of(tmp_path))
    theirs = load_file(tmp_path / "model.safetensors")
    source = bound.weights["layers.0.down.weight"].source
    assert source is not None
    assert (source.format, source.rows, source.cols) == ("f16", ROWS, COLS)
    ours = numbers_of(bound, "layers.0.down.weight")
    assert np.array_equal(ours, theirs["h.0.w1"].T.astype(np.float32))


def test_a_function_of_each_number_is_float32(tmp_path: Path) -> None:
    bound = bind_weights(graph_of(), FAMILY, checkpoint_of(tmp_path))
    theirs = load_file(tmp_path / "model.safetensors")
    assert np.array_equal(numbers_of(bound, "layers.0.decay")[0], -np.exp(theirs["h.0.log"]))


def test_axes_of_one_number_are_no_obstacle_and_nothing_is_copied(tmp_path: Path) -> None:
    checkpoint = checkpoint_of(tmp_path)
    source = bind_weights(graph_of(), FAMILY, checkpoint).weights["layers.0.conv"].source
    assert source is checkpoint.tensors["h.0.conv.weight"]


@pytest.mark.parametrize("shape", [(ROWS, 2, 4, 4), (ROWS, COLS, 1), (ROWS, 2, COLS // 2)])
def test_a_convolution_s_weight_is_the_matrix_that_it_is_in_memory(
    tmp_path: Path, shape: tuple[int, ...]
) -> None:
    numbers = np.random.default_rng(4).standard_normal(shape).astype(np.float32)
    checkpoint = checkpoint_of(tmp_path, **{"h.0.conv.weight": numbers})
    ours = numbers_of(bind_weights(graph_of(), FAMILY, checkpoint), "layers.0.conv")
    assert np.array_equal(ours, numbers.reshape(ROWS, COLS))


@pytest.mark.parametrize(
    ("name", "shape"),
    [
        ("h.0.w1", (ROWS, COLS)),
        ("h.0.w1", (COLS, ROWS + 1)),
        ("h.0.log", (ROWS // 2, 2)),
        ("h.0.log", (ROWS, 1, 2)),
        ("h.0.conv.weight", (COLS, ROWS, 1)),
        ("h.0.conv.weight", (ROWS // 2, 2, COLS)),
        ("h.0.conv.weight", (ROWS, 1, COLS, 2)),
    ],
)
def test_another_shape_is_refused_by_name(
    tmp_path: Path, name: str, shape: tuple[int, ...]
) -> None:
    checkpoint = checkpoint_of(tmp_path, **{name: np.ones(shape, np.float32)})
    with pytest.raises(WeightError, match=f"tensor '{name}' is .*, the config says"):
        bind_weights(graph_of(), FAMILY, checkpoint)


def test_a_weight_is_made_of_floats_only(tmp_path: Path) -> None:
    checkpoint = checkpoint_of(tmp_path, **{"h.0.w1": np.ones((COLS, ROWS), np.int8)})
    with pytest.raises(WeightError, match=r"w1.*it can be f32, f16, bf16"):
        bind_weights(graph_of(), FAMILY, checkpoint)


def test_one_format_for_all_leaves_what_the_family_keeps(tmp_path: Path) -> None:
    bound = bind_weights(graph_of(), FAMILY, checkpoint_of(tmp_path))
    held = assign_formats(bound, plan_for("q8_0", FAMILY.keeps))
    formats = {name: weight.type.format for name, weight in held.weights.items()}
    assert formats["layers.0.down.weight"] == "f16"
    assert formats["layers.0.up.weight"] == "q8_0"


def test_a_copy_has_the_tensors_that_weights_are_made_of_as_they_were(tmp_path: Path) -> None:
    checkpoint = checkpoint_of(tmp_path)
    bound = bind_weights(graph_of(), FAMILY, checkpoint)
    plan = plan_for("q8_0", FAMILY.keeps)
    planned = {t.source.name: t for t in plan_tensors(checkpoint, bound, FAMILY, plan)}
    assert set(planned) == set(checkpoint.tensors)
    assert planned["h.0.w1"].given == "f16"
    assert planned["h.0.log"].given == "f32"
    assert planned["h.0.up"].given == "q8_0"
    assert planned["h.0.w1"].weights == ("layers.0.down.weight",)


def test_a_tensor_may_have_its_other_name_but_not_both(tmp_path: Path) -> None:
    other = attrs.evolve(FAMILY, respelled={"h.": "blocks.", ".conv.": ".filter."})
    checkpoint = checkpoint_of(tmp_path)
    tensors = {
        other.other_name(name): attrs.evolve(tensor, name=other.other_name(name))
        for name, tensor in checkpoint.tensors.items()
    }
    assert "blocks.0.filter.weight" in tensors
    bound = bind_weights(graph_of(), other, attrs.evolve(checkpoint, tensors=tensors))
    plain = bind_weights(graph_of(), other, checkpoint)
    for name, weight in plain.weights.items():
        source, again = weight.source, bound.weights[name].source
        assert source is not None
        assert again is not None
        assert np.array_equal(source.raw(), again.raw())
    both = attrs.evolve(checkpoint, tensors={**tensors, "h.0.up": checkpoint.tensors["h.0.up"]})
    with pytest.raises(WeightError, match=r"'h.0.up'.*'blocks.0.up'"):
        bind_weights(graph_of(), other, both)


# Weights whose shape is the graph's choice, made of a tensor of another.

TABLE = Family(
    name="table",
    claims=(),
    config={},
    weights={"hf": {"positions.weight": "pos", "registers.{n}.weight": "reg", "up.weight": "up"}},
)


def longer(table: np.ndarray) -> np.ndarray:
    return np.concatenate([table, table[:1] * 2])


def graph_of_table(rows: int = 6, stored: tuple[int, int] = (5, COLS)) -> Graph:
    builder = GraphBuilder(finder())
    g, w = builder.function("forward"), WeightScope(builder)
    x = g.input("x", TensorType(g.space("tokens"), COLS))
    x = g.op("add_positions", x, w.made("positions.weight", rows, COLS, stored=stored, make=longer))
    for number in range(2):
        row = w.made(
            f"registers.{number}.weight",
            1,
            COLS,
            stored=(2, COLS),
            make=lambda numbers, number=number: numbers[number],
        )
        x = g.op("mul", x, row)
    g.output("y", g.linear(x, w.matrix("up.weight", ROWS, COLS)))
    return builder.finish()


def checkpoint_of_table(folder: Path, **changes: np.ndarray) -> Checkpoint:
    rng = np.random.default_rng(6)
    tensors = {
        "pos": rng.standard_normal((1, 5, COLS)).astype(np.float16),
        "reg": rng.standard_normal((1, 2, COLS)).astype(np.float32),
        "up": rng.standard_normal((ROWS, COLS)).astype(np.float32),
    }
    save_file(tensors | changes, folder / "model.safetensors")
    (folder / "config.json").write_text(json.dumps({"architectures": ["Table"]}))
    return SAFETENSORS.open(folder)


def test_a_weight_of_another_shape_is_made_of_the_stored_tensor(tmp_path: Path) -> None:
    bound = bind_weights(graph_of_table(), TABLE, checkpoint_of_table(tmp_path))
    theirs = load_file(tmp_path / "model.safetensors")
    table = theirs["pos"][0].astype(np.float32)
    assert np.array_equal(numbers_of(bound, "positions.weight"), longer(table))
    for number in range(2):
        ours = numbers_of(bound, f"registers.{number}.weight")
        assert np.array_equal(ours[0], theirs["reg"][0, number])


def test_a_made_weight_is_float32_whatever_is_asked_for_all(tmp_path: Path) -> None:
    bound = bind_weights(graph_of_table(), TABLE, checkpoint_of_table(tmp_path))
    held = assign_formats(bound, plan_for("q8_0"))
    formats = {name: weight.type.format for name, weight in held.weights.items()}
    assert (formats["positions.weight"], formats["up.weight"]) == ("f32", "q8_0")


def test_a_copy_has_the_stored_table_whatever_size_the_graph_has(tmp_path: Path) -> None:
    checkpoint = checkpoint_of_table(tmp_path)
    bound = bind_weights(graph_of_table(), TABLE, checkpoint)
    assert set(made_tensors(bound, TABLE, checkpoint)) == {"pos", "reg"}
    planned = {t.source.name: t for t in plan_tensors(checkpoint, bound, TABLE, plan_for("q8_0"))}
    assert {name: tensor.given for name, tensor in planned.items()} == {
        "pos": "f16",
        "reg": "f32",
        "up": "q8_0",
    }


def test_a_table_in_a_block_format_is_decoded(tmp_path: Path) -> None:
    table = np.random.default_rng(7).standard_normal((5, COLS)).astype(np.float32)
    q8_0 = format_named("q8_0")
    raw = q8_0.encode(table)
    others = checkpoint_of_table(tmp_path).tensors
    written = [WrittenTensor("pos", (5, COLS), "q8_0", raw.size, lambda: iter([raw]))]
    for name in ("reg", "up"):
        data = others[name].raw().copy()
        shape = others[name].shape
        written.append(WrittenTensor(name, shape, "f32", data.size, lambda data=data: iter([data])))
    folder = tmp_path / "blocks"
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps({"architectures": ["Table"]}))
    with open(folder / "model.safetensors", "wb") as file:
        write_formats(file, written)
    bound = bind_weights(graph_of_table(), TABLE, SAFETENSORS.open(folder))
    ours = numbers_of(bound, "positions.weight")
    assert np.array_equal(ours, longer(q8_0.decode(raw, COLS)))


@pytest.mark.parametrize(
    "shape", [(1, 6, COLS), (5, COLS // 2), (5, 1, COLS + 1), (COLS, 5), (5 * COLS,)]
)
def test_another_stored_shape_is_refused_by_name(tmp_path: Path, shape: tuple[int, ...]) -> None:
    checkpoint = checkpoint_of_table(tmp_path, pos=np.ones(shape, np.float32))
    with pytest.raises(WeightError, match=r"tensor 'pos' is .*, the config says \(5, 32\)"):
        bind_weights(graph_of_table(), TABLE, checkpoint)


def test_what_is_made_must_be_as_large_as_declared(tmp_path: Path) -> None:
    with pytest.raises(ShapeError, match=r"declared as \(7, 32\) and made as \(6, 32\)"):
        bind_weights(graph_of_table(rows=7), TABLE, checkpoint_of_table(tmp_path))


def test_a_part_of_a_tensor_makes_no_weight(tmp_path: Path) -> None:
    family = attrs.evolve(TABLE, weights={"hf": {**TABLE.weights["hf"], "positions.weight": PART}})
    with pytest.raises(WeightError, match=r"tensor 'pos'.*made of a whole tensor"):
        bind_weights(graph_of_table(), family, checkpoint_of_table(tmp_path))


def test_a_stored_shape_needs_what_is_made_of_it() -> None:
    with pytest.raises(GraphError, match="go together"):
        GraphBuilder(finder()).weight("positions.weight", 6, COLS, stored=(5, COLS))
    w = WeightScope(GraphBuilder(finder()))
    w.made("positions.weight", 6, COLS, stored=(5, COLS), make=longer)
    with pytest.raises(ShapeError, match="declared as"):
        w.made("positions.weight", 6, COLS, stored=(4, COLS), make=longer)
