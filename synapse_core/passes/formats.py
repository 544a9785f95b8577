"""Which format each weight matrix is held in, and which arithmetic its products use."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from fnmatch import fnmatchcase

import attrs
import numpy as np

from synapse_core.errors import UsageError
from synapse_core.formats import (
    BLOCK_FORMATS,
    CARRIED,
    HELD_FORMATS,
    WeightFormat,
    format_named,
)
from synapse_core.graph import Encoded, Function, Graph, Node, Weight, WeightRef
from synapse_core.passes.reencode import reencode, relative_error
from synapse_core.passes.rewrite import map_functions, with_nodes

# What a matrix falls back to, again and again, while its rows do not divide into the blocks.
FALLBACK = {
    "q4_k": "q5_0",
    "q5_k": "q5_1",
    "q6_k": "q8_0",
    **dict.fromkeys(("q4_0", "q4_1", "q5_0", "q5_1", "i8g16"), "q8_0"),
    "q8_0": "f16",
}
ARITHMETIC_OF_FORMAT = {**dict.fromkeys(BLOCK_FORMATS, "a8/32"), "int8": "a8/row"}
FORMATS_OF_ARITHMETIC = {
    "f32": tuple(HELD_FORMATS),
    "bf16": ("f32", "f16", "bf16"),
    "a8/32": tuple(BLOCK_FORMATS),
    "a8/row": ("int8",),
}


@attrs.frozen
class Rule:
    """Weights whose name matches `pattern` (shell style) are held in `format`."""

    pattern: str
    format: str


@attrs.frozen
class Choice:
    """What one weight got: asked and given format, bytes, and the relative error of encoding it."""

    name: str
    asked: str
    given: str
    bytes: int
    error: float


def assign_formats(
    graph: Graph, plan: Sequence[Rule], report: Callable[[Choice], None] | None = None
) -> Graph:
    """Re-encode the matrices that the first matching rule of the plan asks in another format.

    A matrix in a format that no program holds is re-encoded in that format's carrier where no rule
    asks otherwise: bit for bit. `report` hears of every choice.

    Raises: UsageError for a rule that asks a format which cannot be written.
    """
    weights = dict(graph.weights)
    for name, weight in graph.weights.items():
        if weight.rows == 1 or weight.source is None:
            continue
        rule = next((rule for rule in plan if fnmatchcase(name, rule.pattern)), None)
        if rule is not None:
            weights[name], choice = _encode(weight, rule.format, given_format(rule.format, weight))
        elif weight.source.format in CARRIED:
            stored = weight.source.format
            weights[name], choice = _encode(weight, stored, given_format(stored, weight))
        else:
            continue
        if report is not None:
            report(choice)
    return attrs.evolve(graph, weights=weights)


def given_format(asked: str, weight: Weight) -> WeightFormat:
    """Return what a matrix is held in where a format is asked, or is stored: that or a fallback.

    Raises: UsageError for a format that there is not, or that can only be read.
    """
    format = format_named(asked)
    if asked in CARRIED:
        if weight.source is None or weight.source.format != asked:
            raise UsageError(
                f"format {asked!r} can be read, not written;"
                f" a weight can be held in {', '.join(HELD_FORMATS)}"
            )
        return format_named(CARRIED[asked].carrier)
    while not format.accepts(weight.cols):
        format = format_named(FALLBACK[format.name])
    return format


def assign_arithmetic(graph: Graph, asked: str | None = None) -> Graph:
    """Name the arithmetic of every linear: by its weight's format, or as asked.

    Raises: UsageError when the asked arithmetic cannot be used with a weight's format.
    """

    def change(function: Function) -> Function:
        return with_nodes(
            function, [_with_arithmetic(node, graph, asked) for node in function.nodes]
        )

    return map_functions(graph, change)


def _encode(weight: Weight, asked: str, format: WeightFormat) -> tuple[Weight, Choice]:
    source = weight.source
    assert source is not None
    if format.name == source.format:
        return weight, Choice(weight.name, asked, format.name, source.raw().size, 0.0)
    stored = format_named(source.format)
    encoded, error = _encode_in_blocks(source.raw(), weight.cols, stored, format)
    choice = Choice(weight.name, asked, format.name, encoded.size, error)
    held = Encoded(format.name, weight.rows, weight.cols, encoded)
    return attrs.evolve(weight, source=held, format=format.name), choice


def _encode_in_blocks(
    raw: np.ndarray, cols: int, stored: WeightFormat, format: WeightFormat
) -> tuple[np.ndarray, float]:
    """Re-encode rows a block at a time, so that the float32 of a whole matrix never exists."""
    block = max(1, (1 << 22) // max(cols, 1))
    encoded = np.empty((len(raw), format.row_bytes(cols)), dtype=np.uint8)
    lost = total = 0.0
    for start in range(0, len(raw), block):
        part = reencode(raw[start : start + block], cols, stored, format)
        encoded[start : start + block] = part.raw
        lost, total = lost + part.lost, total + part.total
    return encoded, relative_error(lost, total)


def _with_arithmetic(node: Node, graph: Graph, asked: str | None) -> Node:
    if node.op != "linear":
        return node
    stored = [graph.weights[w.name].type for w in node.inputs[1::2] if isinstance(w, WeightRef)]
    arith = asked or ARITHMETIC_OF_FORMAT.get(stored[0].format, "f32")
    if arith not in FORMATS_OF_ARITHMETIC:
        raise UsageError(f"arithmetic {arith!r}: must be one of {', '.join(FORMATS_OF_ARITHMETIC)}")
    for weight in stored:
        if weight.format not in FORMATS_OF_ARITHMETIC[arith]:
            raise UsageError(
                f"arithmetic {arith!r} with weight {weight.name!r} in {weight.format};"
                f" it takes {', '.join(FORMATS_OF_ARITHMETIC[arith])}"
            )
    return attrs.evolve(node, options={**node.options, "arith": arith})
