"""The slots of a scheduler: who runs in them, what they have seen, and the pages they need."""

from __future__ import annotations

from collections.abc import Sequence

import attrs
import numpy as np

from synapse_core.backends import pages_of
from synapse_core.errors import OutOfPages
from synapse_core.generate.decoder import LOGITS, Decoder
from synapse_core.generate.request import Request
from synapse_core.ops import RowTable
from synapse_core.program import PAGE_ROWS


@attrs.define(eq=False)
class Place:
    """A slot, and the request that runs in it. `used` says when it was last taken or freed."""

    decoder: Decoder
    request: Request | None = None
    used: int = 0

    @property
    def pending(self) -> list[int]:
        """The ids that the slot has yet to see."""
        return self.request.seen[len(self.decoder.seen) :] if self.request else []

    @property
    def is_reading(self) -> bool:
        """Whether more than the next token is pending."""
        return self.request is not None and len(self.request.seen) - len(self.decoder.seen) > 1

    def go_back(self, ids: Sequence[int]) -> int:
        """Forget what the slot has seen that is no beginning of `ids`; return how many are left."""
        known = self.decoder.common(ids)
        if not known:
            self.forget()
        elif known < len(self.decoder.seen):
            self.take_over(self, known)
        return known

    def take_over(self, donor: Place, count: int) -> None:
        """Let the slot have seen just the first ids of another, or of itself."""
        session, source = self.decoder.session, donor.decoder
        session.copy_state(source.slot, self.decoder.slot, count)
        self.decoder.has_seen(source.seen[:count])

    def forget(self) -> None:
        """Let the slot have seen nothing, and free its pages."""
        self.decoder.session.release(self.decoder.slot)
        self.decoder.has_seen(())


@attrs.frozen
class Wish:
    """What a slot shall see: `end` positions, of which it has `known` already.

    `copies`: the page that the known ones end in is another slot's too, and will be copied.
    """

    known: int
    end: int
    copies: bool = False


def run_places(parts: Sequence[tuple[Place, list[int]]]) -> np.ndarray:
    """Run ids of several slots in one call; return the last one's logits of each, (len(parts), V).

    What the slots have seen is the caller's to note.
    """
    decoder = parts[0][0].decoder
    ports = decoder.ports
    counts = [len(ids) for _, ids in parts]
    positions = [
        np.arange(len(ids), dtype=np.int64) + len(place.decoder.seen) for place, ids in parts
    ]
    table = RowTable(
        slot=np.repeat([place.decoder.slot for place, _ in parts], counts).astype(np.int64),
        position=np.concatenate(positions),
    )
    ids = np.asarray([id for _, part in parts for id in part], dtype=np.int32)
    inputs = {ports.ids: ids.reshape(-1, 1)}
    last = np.cumsum(counts).astype(np.int32) - 1
    if ports.chosen is not None:
        inputs[ports.chosen] = last.reshape(-1, 1)
    logits = decoder.session.run(ports.function, inputs, {ports.tokens: table})[LOGITS]
    return logits if ports.chosen is not None else logits[last]


def check_pages(decoder: Decoder, count: int) -> None:
    """Refuse a prompt whose first step would not fit, were it the only one.

    Raises: OutOfPages.
    """
    end = min(count + 1, decoder.ports.positions)
    for counts in decoder.session.page_counts():
        needed = pages_of(end, counts.window, decoder.ports.most_tokens)
        if needed > counts.limit:
            raise OutOfPages(
                f"{count} tokens and a step take {needed} pages of keys and values,"
                f" {PAGE_ROWS} positions each; there are {counts.limit} (pages=)"
            )


def lacks_pages(decoder: Decoder, wishes: Sequence[Wish], spare: int = 0) -> bool:
    """Whether fewer pages are free than all wishes need, and so many besides."""
    most, rows = decoder.ports.positions, decoder.ports.most_tokens
    for counts in decoder.session.page_counts():
        needed = spare
        for wish in wishes:
            needed += pages_of(min(wish.end, most), counts.window, rows)
            needed -= pages_of(wish.known, counts.window, rows)
            needed += wish.copies and wish.known % PAGE_ROWS != 0
        if needed > counts.free:
            return True
    return False


def share_out(room: int, wanted: Sequence[int]) -> list[int]:
    """Return equal shares of a room, no one's above what it wants; the first one's is never none.

    What is left goes to the first ones.
    """
    equal = max(1, room // max(1, len(wanted)))
    shares = []
    for count in wanted:
        shares.append(min(count, equal, room))
        room -= shares[-1]
    for number, count in enumerate(wanted):
        more = min(count - shares[number], room)
        shares[number] += more
        room -= more
    return shares


def count_common(a: Sequence[int], b: Sequence[int]) -> int:
    """Return how many of the first ids are the same."""
    pairs = enumerate(zip(a, b, strict=False))
    return next((n for n, (x, y) in pairs if x != y), min(len(a), len(b)))
