"""Many answers at once: every step is one call, with rows of all slots that have something to do.

A `Generation` that is iterated over runs alone; one that is submitted here runs beside others, by
the same rules and with the same bits.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence

import attrs
import numpy as np

from synapse_core.errors import UsageError
from synapse_core.generate.decoder import LOGITS, Decoder
from synapse_core.generate.request import Request
from synapse_core.ops import RowTable

# Sharing copies a slot; fewer tokens than these are computed again.
LEAST_SHARED = 16


@attrs.define(eq=False)
class _Place:
    """A slot, and the request that runs in it. `used` says when it was last taken or freed."""

    decoder: Decoder
    request: Request | None = None
    used: int = 0

    @property
    def pending(self) -> list[int]:
        """The ids that the slot has yet to see."""
        return self.request.seen[len(self.decoder.seen) :] if self.request else []


@attrs.define(eq=False)
class Scheduler:
    """Runs submitted answers in the slots of one session, first come first served.

    A step decodes a token of every running answer, and gives the rows left over in the call to
    prompts, the earliest first. A prompt begins with the longest beginning that any slot has seen.
    Not for two threads at once: see `Serving`.
    """

    decoders: Sequence[Decoder]
    least_shared: int = LEAST_SHARED
    shared: int = attrs.field(default=0, init=False)
    _places: list[_Place] = attrs.field(init=False)
    _waiting: deque[Request] = attrs.field(factory=deque, init=False)
    _turn: int = attrs.field(default=0, init=False)

    def __attrs_post_init__(self) -> None:
        count, ports = len(self.decoders), self.decoders[0].ports
        if ports.most_outputs < count or ports.most_tokens <= count:
            raise UsageError(
                f"{count} slots need as many output rows and a row more in a call; the program was"
                f" planned for {ports.most_outputs} and {ports.most_tokens}"
                f" (output_rows={count}, rows={count + 1} or more)"
            )
        self._places = [_Place(decoder) for decoder in self.decoders]

    @property
    def running(self) -> int:
        """How many requests hold a slot."""
        return sum(place.request is not None for place in self._places)

    @property
    def waiting(self) -> int:
        """How many requests wait for a slot."""
        return len(self._waiting)

    def submit(self, request: Request) -> Request:
        """Let a request wait for its turn.

        Raises: UsageError for a prompt that can never run.
        """
        decoder, ids = self.decoders[0], request.generation.prompt
        decoder.check(ids)
        if len(ids) > decoder.ports.positions:
            raise UsageError(
                f"{len(ids)} tokens; the context holds {decoder.ports.positions} (--ctx)"
            )
        self._waiting.append(request)
        return request

    def step(self) -> bool:
        """Run one call; False where there was nothing to run.

        An error of the call ends all requests in it and empties their slots; one of a request's
        own rules ends that request.
        """
        self._drop_stopped()
        self._admit()
        parts = self._parts()
        if not parts:
            return False
        try:
            logits = self._call(parts)
        except Exception as error:
            for place, _ in parts:
                self._fail(place, error)
            return True
        for (place, ids), row in zip(parts, logits, strict=True):
            place.decoder.has_seen(place.decoder.seen, ids)
            if place.request is not None and not place.pending:
                self._take(place, place.request, row)
        return True

    def clear(self) -> None:
        """Forget what free slots have seen, and free their pages."""
        for place in self._places:
            if place.request is None:
                self._forget(place)

    def end_all(self, error: Exception | None = None) -> None:
        """End every request, waiting or running, as stopped or with an error."""
        ended = [place.request for place in self._places if place.request] + list(self._waiting)
        self._waiting.clear()
        for place in self._places:
            place.request = None
        for request in ended:
            request.stop(error)

    def _drop_stopped(self) -> None:
        self._waiting = deque(request for request in self._waiting if not request.has_stopped())
        for place in self._places:
            if place.request is not None and place.request.has_stopped():
                self._free(place)

    def _admit(self) -> None:
        while self._waiting:
            free = [place for place in self._places if place.request is None]
            if not free:
                return
            ids = self._waiting[0].generation.prompt
            known, donor = max(
                ((place.decoder.common(ids), place) for place in self._places),
                key=lambda found: (found[0], found[1].request is None),
            )
            if self._is_coming(ids, known):
                return
            place = donor if donor in free else min(free, key=lambda place: place.used)
            place.request = self._waiting.popleft()
            self._use(place)
            if donor is not place and known >= self.least_shared:
                try:
                    place.decoder.session.copy_state(donor.decoder.slot, place.decoder.slot, known)
                except Exception as error:  # no memory for a copy, for one
                    self._fail(place, error)
                    continue
                place.decoder.has_seen(donor.decoder.seen[:known])
                self.shared += known
            known = _go_back(place.decoder, ids)
            place.request.generation.prefilled = len(ids) - known

    def _is_coming(self, ids: Sequence[int], known: int) -> bool:
        """Whether a prompt that is being read will have seen more of `ids` than any slot has."""
        if not self.decoders[0].rewinds:
            return False
        reading = (p.request.seen for p in self._places if p.request and len(p.pending) > 1)
        most = max((_common(seen, ids[:-1]) for seen in reading), default=0)
        return most > known and most >= self.least_shared

    def _parts(self) -> list[tuple[_Place, list[int]]]:
        """Return who runs which ids in the next call: decoding first, then prompts by age."""
        busy = [place for place in self._places if place.request is not None]
        parts = [(place, place.pending) for place in busy if len(place.pending) == 1]
        room = self.decoders[0].ports.most_tokens - len(parts)
        reading = [place for place in busy if len(place.pending) > 1]
        for place in sorted(reading, key=lambda place: place.used):
            ids = place.pending[:room]
            room -= len(ids)
            if ids:
                parts.append((place, ids))
        return parts

    def _call(self, parts: Sequence[tuple[_Place, list[int]]]) -> np.ndarray:
        """Run ids of several slots; return the last one's logits of each, (len(parts), V)."""
        ports = self.decoders[0].ports
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
        session = self.decoders[0].session
        logits = session.run(ports.function, inputs, {ports.tokens: table})[LOGITS]
        return logits if ports.chosen is not None else logits[last]

    def _take(self, place: _Place, request: Request, logits: np.ndarray) -> None:
        slides = request.generation.slides
        try:
            request.take(logits)
        except Exception as error:
            request.end(error)
        if request.is_done:
            self._free(place)
        elif request.generation.slides > slides:
            _go_back(place.decoder, request.seen)

    def _fail(self, place: _Place, error: Exception) -> None:
        if place.request is not None:
            place.request.end(error)
        self._free(place)
        self._forget(place)

    def _free(self, place: _Place) -> None:
        place.request = None
        self._use(place)

    def _use(self, place: _Place) -> None:
        self._turn += 1
        place.used = self._turn

    def _forget(self, place: _Place) -> None:
        place.decoder.session.release(place.decoder.slot)
        place.decoder.has_seen(())


def _common(a: Sequence[int], b: Sequence[int]) -> int:
    pairs = enumerate(zip(a, b, strict=False))
    return next((n for n, (x, y) in pairs if x != y), min(len(a), len(b)))


def _go_back(decoder: Decoder, ids: Sequence[int]) -> int:
    """Forget what a slot has seen that is no beginning of `ids`; return how many are known."""
    known = decoder.common(ids)
    if known:
        decoder.session.copy_state(decoder.slot, decoder.slot, known)
    else:
        decoder.session.release(decoder.slot)
    decoder.has_seen(decoder.seen[:known])
    return known
