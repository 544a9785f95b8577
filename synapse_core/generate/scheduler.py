"""Many answers at once: every step is one call, with rows of all slots that have something to do.

A `Generation` that is iterated over runs alone; one that is submitted here runs beside others, by
the same rules and with the same bits.
"""

from __future__ import annotations

from bisect import insort
from collections.abc import Sequence

import attrs
import numpy as np

from synapse_core.errors import OutOfPages, UsageError
from synapse_core.generate.decoder import Decoder
from synapse_core.generate.places import (
    Place,
    Wish,
    check_pages,
    count_common,
    lacks_pages,
    run_places,
    share_out,
)
from synapse_core.generate.request import Request

# A beginning that is shared is worth waiting for; fewer tokens than these are computed again.
LEAST_SHARED = 16
# Tokens of prompts in a step in which others decode: see decision 13 for the figures.
PREFILL_TOKENS = 64


@attrs.frozen(eq=False)
class _Reading:
    """A prompt that is being read, and how many of its tokens somebody waits for."""

    place: Place
    request: Request
    count: int

    @property
    def goes_on(self) -> bool:
        is_there = self.place.request is self.request
        return is_there and len(self.place.decoder.seen) < self.count


@attrs.define(eq=False)
class Scheduler:
    """Runs submitted answers in the slots of one session, first come first served.

    A step decodes a token of every running answer, and gives rows left over in the call to
    prompts, in equal shares: `prefill_tokens` at most, or all where nothing decodes. A prompt
    begins with the longest beginning that any slot has seen; one whose beginning is just being
    read waits for that, and others go before it. A request is let in when there are pages for its
    prompt and a step. Where a call finds no page, free slots forget, and then the youngest request
    is put back: it is computed again later and goes on with the same tokens. `put_back` counts
    these, `shared` the tokens taken over. Not for two threads at once: see `Serving`.
    """

    decoders: Sequence[Decoder]
    least_shared: int = LEAST_SHARED
    prefill_tokens: int = PREFILL_TOKENS
    shared: int = attrs.field(default=0, init=False)
    put_back: int = attrs.field(default=0, init=False)
    _places: list[Place] = attrs.field(init=False)
    _waiting: list[Request] = attrs.field(factory=list, init=False)
    _behind: dict[Request, _Reading] = attrs.field(factory=dict, init=False)
    _turn: int = attrs.field(default=0, init=False)

    def __attrs_post_init__(self) -> None:
        count, ports = len(self.decoders), self.decoders[0].ports
        if ports.most_outputs < count or ports.most_tokens <= count:
            raise UsageError(
                f"{count} slots need as many output rows and a row more in a call; the program was"
                f" planned for {ports.most_outputs} and {ports.most_tokens}"
                f" (output_rows={count}, rows={count + 1} or more)"
            )
        if self.prefill_tokens < 1:
            raise UsageError(
                f"{self.prefill_tokens} tokens of prompts in a step: must be 1 or more"
            )
        self._places = [Place(decoder) for decoder in self.decoders]

    @property
    def running(self) -> int:
        """How many requests hold a slot."""
        return len(self._busy())

    @property
    def waiting(self) -> int:
        """How many requests wait for a slot."""
        return len(self._waiting)

    def submit(self, request: Request) -> Request:
        """Let a request wait for its turn.

        Raises: UsageError for a prompt that can never run; OutOfPages for one that would not
        find pages enough were it alone.
        """
        decoder, ids = self.decoders[0], request.generation.prompt
        decoder.check(ids)
        if len(ids) > decoder.ports.positions:
            raise UsageError(
                f"{len(ids)} tokens; the context holds {decoder.ports.positions} (--ctx)"
            )
        check_pages(decoder, len(ids))
        request.turn = self._next_turn()
        self._waiting.append(request)
        return request

    def step(self) -> bool:
        """Run one call; False where there was nothing to run.

        An error of the call ends all requests in it and empties their slots; one of a request's
        own rules ends that request, and so does the lack of pages where it runs alone.
        """
        self._drop_stopped()
        self._admit()
        while parts := self._parts():
            try:
                logits = run_places(parts)
            except OutOfPages as error:
                self._make_room(error)
            except Exception as error:
                for place, _ in parts:
                    self._fail(place, error)
                return True
            else:
                self._go_on(parts, logits)
                return True
        return self.waiting > 0

    def clear(self) -> None:
        """Forget what free slots have seen, and free their pages."""
        for place in self._places:
            if place.request is None:
                place.forget()

    def end_all(self, error: Exception | None = None) -> None:
        """End every request, waiting or running, as stopped or with an error."""
        ended = [place.request for place in self._places if place.request] + self._waiting
        self._waiting.clear()
        self._behind.clear()
        for place in self._places:
            place.request = None
        for request in ended:
            request.stop(error)

    def _busy(self) -> list[Place]:
        return [place for place in self._places if place.request is not None]

    def _drop_stopped(self) -> None:
        self._waiting = [request for request in self._waiting if not request.has_stopped()]
        for place in self._busy():
            if place.request is not None and place.request.has_stopped():
                self._free(place)

    def _admit(self) -> None:
        """Let requests in, in their order but for those that wait for a beginning to be read."""
        for request in tuple(self._waiting) if self.running < len(self._places) else ():
            free = [place for place in self._places if place.request is None]
            if not free:
                break
            if request in self._behind and self._behind[request].goes_on:
                continue
            known, donor = max(
                ((place.decoder.common(request.seen), place) for place in self._places),
                key=lambda found: (found[0], found[1].request is None),
            )
            reading = self._reading_of(request.seen, known)
            if reading is not None:
                self._behind[request] = reading
                continue
            place = min(free, key=lambda place: (bool(place.decoder.seen), place.used))
            if known < self.least_shared:
                donor = place
            elif donor.request is None:
                place = donor
            if not self._let_in(request, place, donor, known):
                break
        self._behind = {r: reading for r, reading in self._behind.items() if reading.goes_on}

    def _let_in(self, request: Request, place: Place, donor: Place, known: int) -> bool:
        """Give a request a place that goes on from its own or a donor's; False: too few pages."""
        try:
            if place is donor:
                known = place.go_back(request.seen)
            else:
                place.forget()
            wish = Wish(known, len(request.seen) + 1, copies=place is not donor)
            if not self._has_room(request, place, wish):
                return False
            if place is not donor:
                place.take_over(donor, known)
                self.shared += known
        except Exception as error:  # no memory for recurrent states, for one
            place.forget()
            request.end(error)
        else:
            place.request = request
            place.used = self._next_turn()
            request.generation.prefilled += len(request.seen) - known
        self._waiting.remove(request)
        return True

    def _reading_of(self, ids: Sequence[int], known: int) -> _Reading | None:
        """Return the prompt being read that will have seen most of `ids`, if more than `known`."""
        if not self.decoders[0].rewinds:
            return None
        found = [
            _Reading(place, place.request, count_common(place.request.seen, ids[:-1]))
            for place in self._places
            if place.request is not None and place.is_reading
        ]
        most = max(found, key=lambda reading: reading.count, default=None)
        is_more = most is not None and most.count > known and most.count >= self.least_shared
        return most if is_more else None

    def _has_room(self, request: Request, place: Place, wish: Wish) -> bool:
        """Whether there are pages for a request and a step of all; free slots forget for it.

        One that was put back needs a page more for each that runs, lest it be put back at once.
        """
        busy = self._busy()
        if not busy:  # alone it fits, or ends with an error of its own
            return True
        wishes = [Wish(len(p.decoder.seen), len(p.request.seen) + 1) for p in busy if p.request]
        spare = len(busy) if request.generation.tokens else 0
        while lacks_pages(self.decoders[0], [*wishes, wish], spare):
            if not self._forget_one(but=place):
                return False
        return True

    def _make_room(self, error: OutOfPages) -> None:
        """Free pages for a call that found none, or end the only request that there is."""
        if self._forget_one():
            return
        busy = self._busy()
        youngest = max(busy, key=lambda place: place.request.turn if place.request else 0)
        if len(busy) == 1:
            self._fail(youngest, error)
        elif youngest.request is not None:
            insort(self._waiting, youngest.request, key=lambda request: request.turn)
            self.put_back += 1
            self._free(youngest)
            youngest.forget()

    def _forget_one(self, but: Place | None = None) -> bool:
        """Let the free slot that was used least recently forget; False where none knows a thing."""
        knowing = [p for p in self._places if p.request is None and p.decoder.seen and p is not but]
        if knowing:
            min(knowing, key=lambda place: place.used).forget()
        return bool(knowing)

    def _parts(self) -> list[tuple[Place, list[int]]]:
        """Return who runs which ids in the next call: first those that decode."""
        parts: list[tuple[Place, list[int]]] = []
        reading = []
        for place in self._busy():
            if place.is_reading:
                reading.append(place)
            else:
                parts.append((place, place.pending))
        room = self.decoders[0].ports.most_tokens - len(parts)
        if parts:
            room = min(room, self.prefill_tokens)
        reading.sort(key=lambda place: place.request.turn if place.request else 0)
        pending = [place.pending for place in reading]
        counts = share_out(room, [len(ids) for ids in pending])
        shares = zip(reading, pending, counts, strict=True)
        return parts + [(place, ids[:count]) for place, ids, count in shares if count]

    def _go_on(self, parts: Sequence[tuple[Place, list[int]]], logits: np.ndarray) -> None:
        for (place, ids), row in zip(parts, logits, strict=True):
            place.decoder.has_seen(place.decoder.seen, ids)
            if place.request is not None and not place.pending:
                self._take(place, place.request, row)

    def _take(self, place: Place, request: Request, logits: np.ndarray) -> None:
        slides = request.generation.slides
        try:
            request.take(logits)
        except Exception as error:
            request.end(error)
        if request.is_done:
            self._free(place)
        elif request.generation.slides > slides:
            place.go_back(request.seen)

    def _fail(self, place: Place, error: Exception) -> None:
        if place.request is not None:
            place.request.end(error)
        self._free(place)
        place.forget()

    def _free(self, place: Place) -> None:
        place.request = None
        place.used = self._next_turn()

    def _next_turn(self) -> int:
        self._turn += 1
        return self._turn
