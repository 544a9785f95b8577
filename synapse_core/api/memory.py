"""What a model would need, from headers and config alone: no weight is read."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from typing import NamedTuple

import attrs

from synapse_core.backends import Backend, pages_of
from synapse_core.errors import Unavailable
from synapse_core.formats import (
    CORE_FORMATS,
    Formats,
    WeightFormat,
    carrier_of,
    format_of_code,
)
from synapse_core.graph import Graph, Weight, WeightRef
from synapse_core.ops import ARITHMETICS
from synapse_core.ops.linear import LINEAR
from synapse_core.passes import Rule
from synapse_core.passes.formats import arithmetic_of, asked_format, given_format
from synapse_core.program import Limits, Program, Tables, functions_of


@attrs.frozen
class Memory:
    """Units: bytes. `weights` lie in mapped files where they keep their format.

    `copies` is what a backend copies of them in another order. `kv_page` is what 64 positions take
    of `kv`, a page of each window.
    """

    weights: int
    copies: int
    kv: int
    recurrent: int
    arena: int
    kv_page: int

    @property
    def total(self) -> int:
        """All of it."""
        return self.weights + self.copies + self.kv + self.recurrent + self.arena


def estimate(
    program: Program,
    graph: Graph | None = None,
    plan: Sequence[Rule] = (),
    formats: Formats = CORE_FORMATS,
    *,
    backend: Backend | None = None,
    arith: str | None = None,
    pages: int | None = None,
) -> Memory:
    """Estimate what running a program needs with all its slots full, on a backend if one is given.

    `pages` bounds the pages of keys and values; see `Backend.open`.

    With the graph, `plan` tells what its matrices would be held in, and `arith` what arithmetic
    its products were asked to use.
    """
    tables = Tables.of(program.image, program.path or "program")
    functions = functions_of(program).values()
    positions = max((p for f in functions for p in f.max_position.values()), default=0)
    rows = max((rows for f in functions for rows in f.max_rows.values()), default=0)
    slots = slots_of(program)
    sizes = [int(group["page_bytes"]) for group in tables.groups]
    full = [slots * pages_of(positions, int(group["window"]), rows) for group in tables.groups]
    most = [count if pages is None else min(count, pages) for count in full]
    if graph is not None:
        held = {name: _held(weight, plan, formats) for name, weight in graph.weights.items()}
        weights = sum(w.rows * held[name].row_bytes(w.cols) for name, w in graph.weights.items())
        products = _products_of_graph(graph, held, arith)
    else:
        products = _products_of_tables(tables)
        places = {(int(w["segment"]), int(w["offset"])): w for w in tables.weights}
        weights = sum(int(w["rows"]) * int(w["row_bytes"]) for w in places.values())
    return Memory(
        weights=weights,
        copies=_copied_bytes(backend, products),
        kv=sum(size * count for size, count in zip(sizes, most, strict=True)),
        recurrent=slots * slot_bytes_of(program),
        arena=max((f.arena_bytes for f in functions), default=0),
        kv_page=sum(sizes),
    )


def slots_of(program: Program) -> int:
    """Return how many slots a program was planned for."""
    from synapse_core.program.image import header_of

    return int(header_of(program.image)["max_slots"])


def slot_bytes_of(program: Program) -> int:
    """Return the bytes of recurrent memory that a slot has."""
    from synapse_core.program.image import header_of

    return int(header_of(program.image)["slot_bytes"])


def limits_of(limits: Limits) -> Iterable[tuple[str, object]]:
    """Return what was planned for, to be shown."""
    return attrs.asdict(limits).items()


def _held(weight: Weight, plan: Sequence[Rule], formats: Formats) -> WeightFormat:
    held = formats.named(weight.type.format)
    if weight.rows == 1 or weight.make is not None:
        return held
    asked = asked_format(weight.name, plan)
    given = held if asked is None else given_format(asked, weight, formats)
    return carrier_of(given, weight.cols)


class _Product(NamedTuple):
    """A weight that a product reads, by its name or number, and in what arithmetic."""

    weight: str | int
    format: str
    arith: str
    rows: int
    cols: int


def _products_of_graph(
    graph: Graph, held: Mapping[str, WeightFormat], arith: str | None
) -> Iterator[_Product]:
    for function in graph.functions.values():
        for node in function.nodes:
            for operand in node.inputs if node.op == LINEAR.name else ():
                if isinstance(operand, WeightRef):
                    weight, format = graph.weights[operand.name], held[operand.name].name
                    used = arith or arithmetic_of(weight, format)
                    yield _Product(operand.name, format, used, weight.rows, weight.cols)


def _products_of_tables(tables: Tables) -> Iterator[_Product]:
    for op, numbers in tables.reads_of(LINEAR.name):
        arith = ARITHMETICS[int(op["attributes"][0])]
        for number in numbers:
            weight = tables.weights[number]
            format = format_of_code(int(weight["format"])).name
            yield _Product(number, format, arith, int(weight["rows"]), int(weight["cols"]))


def _copied_bytes(backend: Backend | None, products: Iterable[_Product]) -> int:
    """Return what a backend copies of the weights; one that several products read, once."""
    copied = getattr(backend, "copied_bytes", None)
    if copied is None:
        return 0
    sizes: dict[str | int, int] = {}
    with suppress(Unavailable):  # what runs nothing here copies nothing
        for product in products:
            size = copied(product.format, product.arith, product.rows, product.cols)
            sizes[product.weight] = max(sizes.get(product.weight, 0), size)
    return sum(sizes.values())
