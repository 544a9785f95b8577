"""Planning the arena: where each tensor of a function lies while it is needed."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence

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
    alive: dict[int, list[tuple[int, int]]] = defaultdict(list)  # by node: begin and end of each
    begun: dict[int, list[tuple[int, int]]] = defaultdict(list)  # the same, by the first node only
    offsets: dict[str, int] = {}
    size = 0
    for tensor in tensors:
        met = list(alive[tensor.first])
        for node in range(tensor.first + 1, tensor.last + 1):
            met += begun[node]
        room = _room(tensor)
        offset = _best_gap(room, sorted(met))
        place = offset, offset + room
        offsets[tensor.name] = offset
        size = max(size, place[1])
        begun[tensor.first].append(place)
        for node in range(tensor.first, tensor.last + 1):
            alive[node].append(place)
    return offsets, size


def _room(tensor: Lifetime) -> int:
    return align(tensor.bytes, ARENA_ALIGN)


def _best_gap(needed: int, met: Iterable[tuple[int, int]]) -> int:
    """Return where the smallest gap begins that holds so many bytes, or the end of all."""
    best, best_room = -1, 0
    end = 0
    for begin, stop in met:
        room = begin - end
        if room >= needed and (best < 0 or room < best_room):
            best, best_room = end, room
        end = max(end, stop)
    return end if best < 0 else best
