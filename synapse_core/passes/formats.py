"""Which format each weight matrix is held in, and which arithmetic its products use."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from fnmatch import fnmatchcase

import attrs
import numpy as np

from synapse_core.errors import UsageError
from synapse_core.formats import (
    BLOCK_FORMATS,
    CORE_FORMATS,
    HELD_FORMATS,
    CarriedFormat,
    Formats,
    WeightFormat,
    carrier_of,
    carry,
)
from synapse_core.graph import Encoded, Function, Graph, Node, Weight, WeightRef
from synapse_core.passes.reencode import reencode, relative_error, room_for
from synapse_core.passes.rewrite import map_functions, with_nodes

# What a matrix falls back to, again and again, while its rows do not divide into the blocks.
FALLBACK = {"q4_k": "q5_0", "q5_k": "q5_1", "q8_0": "f16"}
OTHERS_FALL_BACK = "q8_0"
ARITHMETIC_OF_FORMAT = {**dict.fromkeys(BLOCK_FORMATS, "a8/32"), "int8": "a8/row"}
FORMATS_OF_ARITHMETIC = {
    "f32": tuple(HELD_FORMATS),
    "bf16": ("f32", "f16", "bf16"),
    "a8/32": tuple(BLOCK_FORMATS),
    "a8/row": ("int8",),
}


@attrs.frozen
class Rule:
    """Weights whose name matches `pattern` (shell style) are held in `format`; None: as stored."""

    pattern: str
    format: str | None


@attrs.frozen(eq=False)
class Holding:
    """What a matrix is asked in, is stored in, is given, and is held in at last."""

    asked: str | None
    stored: WeightFormat
    given: WeightFormat
    held: WeightFormat


@attrs.frozen
class Choice:
    """What one weight got: asked and given format, bytes, and the relative error of encoding it."""

    name: str
    asked: str
    given: str
    bytes: int
    error: float


def assign_formats(
    graph: Graph,
    plan: Sequence[Rule],
    report: Callable[[Choice], None] | None = None,
    formats: Formats = CORE_FORMATS,
) -> Graph:
    """Re-encode the matrices that the first matching rule of the plan asks in another format.

    What no program holds, asked or stored, is then held in that format's carrier: bit for bit.
    `report` hears of every choice.

    Raises: UsageError for a rule that asks a format which cannot be written.
    """
    weights = dict(graph.weights)
    for name, weight in graph.weights.items():
        holding = holding_of(weight, plan, formats)
        if holding is None or (holding.asked is None and holding.held is holding.stored):
            continue
        weights[name], choice = _encode(weight, holding)
        if report is not None:
            report(choice)
    return attrs.evolve(graph, weights=weights)


def holding_of(
    weight: Weight, plan: Sequence[Rule], formats: Formats = CORE_FORMATS
) -> Holding | None:
    """Return what becomes of a weight by the first rule that means it.

    None for what is no matrix, or is made at load and stays float32.

    Raises: UsageError for a rule that asks a format which cannot be written.
    """
    if weight.rows == 1 or weight.source is None or weight.make is not None:
        return None
    asked = asked_format(weight.name, plan)
    stored = formats.named(weight.source.format)
    given = stored if asked is None else given_format(asked, weight, formats)
    return Holding(asked, stored, given, carrier_of(given, weight.cols))


def asked_format(name: str, plan: Sequence[Rule]) -> str | None:
    """Return the format that the first matching rule asks for a weight, None: as it is stored."""
    return next((rule.format for rule in plan if fnmatchcase(name, rule.pattern)), None)


def given_format(asked: str, weight: Weight, formats: Formats = CORE_FORMATS) -> WeightFormat:
    """Return what a matrix is encoded in where a format is asked: that or a fallback.

    Raises: UsageError for a format that there is not, or that can only be read.
    """
    format = formats.named(asked)
    if isinstance(format, CarriedFormat):
        if weight.source is None or weight.source.format != asked:
            raise UsageError(
                f"format {asked!r} can be read, not written;"
                f" a weight can be held in {', '.join(formats.written())}"
            )
        return format
    while not format.accepts(weight.cols):
        format = formats.named(FALLBACK.get(format.name, OTHERS_FALL_BACK))
    return format


def assign_arithmetic(graph: Graph, asked: str | None = None) -> Graph:
    """Name the arithmetic of every linear: as asked, or that of its first weight.

    Raises: UsageError when the asked arithmetic cannot be used with a weight's format.
    """

    def change(function: Function) -> Function:
        return with_nodes(
            function, [_with_arithmetic(node, graph, asked) for node in function.nodes]
        )

    return map_functions(graph, change)


def arithmetic_of(weight: Weight, format: str) -> str:
    """Return what a weight's products are in that is held in a format, where nothing is asked."""
    return "f32" if weight.exact else ARITHMETIC_OF_FORMAT.get(format, "f32")


def _encode(weight: Weight, holding: Holding) -> tuple[Weight, Choice]:
    source = weight.source
    assert source is not None
    stored, given, held = holding.stored, holding.given, holding.held
    asked = (holding.asked or stored.name).partition("@")[0]
    if given is stored and held is stored:
        return weight, Choice(weight.name, asked, held.name, source.raw().size, 0.0)
    encoded, error = _encode_in_blocks(source.raw(), weight.cols, stored, given, held)
    choice = Choice(weight.name, asked, held.name, encoded.size, error)
    new = Encoded(held.name, weight.rows, weight.cols, encoded)
    return attrs.evolve(weight, source=new, format=held.name), choice


def _encode_in_blocks(
    raw: np.ndarray, cols: int, stored: WeightFormat, given: WeightFormat, held: WeightFormat
) -> tuple[np.ndarray, float]:
    """Re-encode rows a block at a time, so that the float32 of a whole matrix never exists."""
    block = max(1, (1 << 22) // max(cols, 1))
    encoded = room_for(len(raw), held.row_bytes(cols))
    lost = total = 0.0
    for start in range(0, len(raw), block):
        rows = raw[start : start + block]
        if given is not stored:
            part = reencode(rows, cols, stored, given)
            rows, lost, total = part.raw, lost + part.lost, total + part.total
        encoded[start : start + block] = carry(given, rows, cols)
    return encoded, relative_error(lost, total)


def _with_arithmetic(node: Node, graph: Graph, asked: str | None) -> Node:
    if node.op != "linear":
        return node
    weights = [graph.weights[w.name] for w in node.inputs[1::2] if isinstance(w, WeightRef)]
    stored = [weight.type for weight in weights]
    arith = asked or arithmetic_of(weights[0], stored[0].format)
    if arith not in FORMATS_OF_ARITHMETIC:
        raise UsageError(f"arithmetic {arith!r}: must be one of {', '.join(FORMATS_OF_ARITHMETIC)}")
    for weight in stored:
        if weight.format not in FORMATS_OF_ARITHMETIC[arith]:
            raise UsageError(
                f"arithmetic {arith!r} with weight {weight.name!r} in {weight.format};"
                f" it takes {', '.join(FORMATS_OF_ARITHMETIC[arith])}"
            )
    return attrs.evolve(node, options={**node.options, "arith": arith})
