"""Planning the arena: where each tensor of a function lies while it is needed."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import attrs

from synapse_core.program.records import ARENA_ALIGN, align


@attrs.frozen
class Lifetime:
    """A tensor's size and the nodes it lives through, both ends included.

    `first` is the node that makes it, -1 for an input; `last` the last node that reads it, the
    number of nodes for an output.
    """

    name: str
    bytes: int
    first: int
    last: int

    def meets(self, other: Lifetime) -> bool:
        """Whether both are needed at one time."""
        return self.first <= other.last and other.first <= self.last


def plan(lifetimes: Sequence[Lifetime]) -> tuple[Mapping[str, int], int]:
    """Return each tensor's offset and the arena's size in bytes.

    Best fit by lifetime: one tensor after another into the smallest gap that holds it between
    those it must not overlap, in three orders (largest, longest-lived, earliest first); the
    smallest arena wins. Two tensors of one node never overlap.
    """
    plans = [_place(sorted(lifetimes, key=order)) for order in _ORDERS]
    return min(plans, key=lambda plan: plan[1])


def least_bytes(lifetimes: Sequence[Lifetime]) -> int:
    """Return the lower bound of any plan: the most bytes that are alive at one node."""
    nodes = {t.first for t in lifetimes}
    return max(
        (sum(_room(t) for t in lifetimes if t.first <= n <= t.last) for n in nodes), default=0
    )


_ORDERS: tuple[Callable[[Lifetime], tuple[int | str, ...]], ...] = (
    lambda t: (-t.bytes, t.first, t.name),
    lambda t: (t.first - t.last, -t.bytes, t.first, t.name),
    lambda t: (t.first, -t.bytes, t.name),
)


def _place(tensors: Sequence[Lifetime]) -> tuple[dict[str, int], int]:
    placed: list[tuple[int, Lifetime]] = []
    offsets: dict[str, int] = {}
    size = 0
    for tensor in tensors:
        neighbours = [pair for pair in placed if pair[1].meets(tensor)]
        offset = _best_gap(tensor, sorted(neighbours, key=lambda pair: pair[0]))
        offsets[tensor.name] = offset
        placed.append((offset, tensor))
        size = max(size, offset + _room(tensor))
    return offsets, size


def _room(tensor: Lifetime) -> int:
    return align(tensor.bytes, ARENA_ALIGN)


def _best_gap(tensor: Lifetime, neighbours: Sequence[tuple[int, Lifetime]]) -> int:
    best, best_room = -1, 0
    end = 0
    for offset, other in neighbours:
        room = offset - end
        if room >= _room(tensor) and (best < 0 or room < best_room):
            best, best_room = end, room
        end = max(end, offset + _room(other))
    return end if best < 0 else best
