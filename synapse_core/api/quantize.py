"""A checkpoint's tensors in other formats: what each becomes, and its bytes chunk by chunk."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import TYPE_CHECKING

import attrs
import numpy as np

from synapse_core.errors import UsageError
from synapse_core.families import Family, flattened, ignored_tensors, made_tensors
from synapse_core.formats import CORE_FORMATS, Formats
from synapse_core.graph import Graph, Weight
from synapse_core.loaders import Checkpoint, FileTensor
from synapse_core.loaders.written import WrittenTensor
from synapse_core.passes import (
    Reencoded,
    Rule,
    asked_format,
    given_format,
    reencode,
    relative_error,
)

if TYPE_CHECKING:
    from concurrent.futures import Future, ThreadPoolExecutor

# Numbers re-encoded at a time by one thread: 4 MB of float32, and some times that in between.
CHUNK_NUMBERS = 1 << 20
FLOATS = ("f32", "f16", "bf16")
ORDER_KEPT = None

# Which row of the source is a row of the output, or None where they are the same.
Order = np.ndarray | None


@attrs.define(eq=False)
class Requantized:
    """A tensor that is written: what was asked for it, what it got, and what that cost.

    `weights` are the canonical names of the weights it holds, none for one that is only carried
    along. `asked` is None for one that keeps its numbers: a vector, or a matrix that no rule means.
    The squares of the error, `lost`, and of the numbers, `total`, are known once it is written.
    """

    source: FileTensor
    weights: tuple[str, ...]
    asked: str | None
    given: str
    lost: float = 0.0
    total: float = 0.0
    formats: Formats = CORE_FORMATS

    @property
    def bytes(self) -> int:
        """Its bytes in the output."""
        if self.given == self.source.format:
            return self.source.data.size
        return self.source.rows * self.formats.named(self.given).row_bytes(self.source.cols)

    @property
    def error(self) -> float:
        """The relative error of its numbers, once it is written."""
        return relative_error(self.lost, self.total)


def plan_tensors(
    checkpoint: Checkpoint,
    graph: Graph,
    family: Family,
    plan: Sequence[Rule],
    formats: Formats = CORE_FORMATS,
) -> list[Requantized]:
    """Return what every tensor of a checkpoint becomes, in the order of the file.

    `graph` is bound to the checkpoint. Vectors become f32. Tensors that weights are made of, and
    those that a family ignores, go along as they are; one that repeats another (a tied head) is
    left out.

    Raises: UsageError for a format that cannot be written, or two for the parts of one tensor.
    """
    holders: dict[str, list[Weight]] = {}
    for weight in graph.weights.values():
        if isinstance(weight.source, FileTensor):
            holders.setdefault(weight.source.name, []).append(weight)
    made = made_tensors(graph, family, checkpoint)
    ignored = ignored_tensors(family, checkpoint)
    planned: list[Requantized] = []
    for name, tensor in checkpoint.tensors.items():
        if name in holders:
            planned.append(_plan_tensor(tensor, holders[name], plan, formats))
        elif name in made:
            planned.append(Requantized(tensor, (made[name],), None, tensor.format))
        elif name in ignored:
            planned.append(Requantized(tensor, (), None, tensor.format))
    return planned


def _plan_tensor(
    tensor: FileTensor, held: Sequence[Weight], plan: Sequence[Rule], formats: Formats
) -> Requantized:
    names = tuple(weight.name for weight in held)
    if all(weight.rows == 1 for weight in held):
        given = "f32" if tensor.format in FLOATS else tensor.format
        return Requantized(tensor, names, None, given)
    asked = {weight.name: asked_format(weight.name, plan) for weight in held}
    first = asked[names[0]]
    for name, format in asked.items():
        if format != first:
            raise UsageError(
                f"tensor {tensor.name!r} holds {names[0]!r} and {name!r}: one format for both, not"
                f" {first or tensor.format} and {format or tensor.format}"
            )
    if first is None:
        return Requantized(tensor, names, first, tensor.format)
    given = given_format(first, held[0], formats).name
    bare = first.partition("@")[0]
    if given not in FLOATS:  # blocks go along a row, which a convolution's last axis is not
        tensor = flattened(held[0], tensor)
    return Requantized(tensor, names, bare, given, formats=formats)


def written(
    tensor: Requantized,
    pool: ThreadPoolExecutor,
    report: Callable[[int], None],
    name: str | None = None,
    order: Order = ORDER_KEPT,
) -> WrittenTensor:
    """Return a tensor to be written under its name or another, its rows in their order or another.

    `report` hears how many bytes of the source a chunk was made of.
    """
    source = tensor.source
    return WrittenTensor(
        name or source.name,
        source.shape,
        tensor.given,
        tensor.bytes,
        partial(_chunks, tensor, pool, report, order),
    )


def _chunks(
    tensor: Requantized, pool: ThreadPoolExecutor, report: Callable[[int], None], order: Order
) -> Iterator[np.ndarray]:
    """Yield the output's rows; as many chunks as there are threads are made ahead."""
    source = tensor.source
    if not source.data.size:
        return
    raw, cols = source.raw(), source.cols
    if order is not None and len(source.shape) == 1:
        raw, cols = source.data.reshape(len(order), -1), 1  # a vector's numbers are its rows
    step = max(1, CHUNK_NUMBERS // max(cols, 1))
    waiting: deque[tuple[int, Future[Reencoded]]] = deque()

    def finished() -> np.ndarray:
        count, future = waiting.popleft()
        part = future.result()
        tensor.lost, tensor.total = tensor.lost + part.lost, tensor.total + part.total
        report(count)
        return part.raw

    for start in range(0, len(raw), step):
        rows = raw[start : start + step] if order is None else raw[order[start : start + step]]
        if tensor.given == source.format:
            report(rows.size)
            yield rows
            continue
        stored, format = (tensor.formats.named(name) for name in (source.format, tensor.given))
        future = pool.submit(reencode, rows, cols, stored, format)
        waiting.append((rows.size, future))
        if len(waiting) > usable_threads():
            yield finished()
    while waiting:
        yield finished()


def usable_threads() -> int:
    """Return how many threads re-encode: one a core that this process may use, at most 16."""
    if hasattr(os, "sched_getaffinity"):
        return min(16, len(os.sched_getaffinity(0)))
    return min(16, os.cpu_count() or 1)
