"""A thread that runs a scheduler, for callers in any thread and for asyncio."""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import suppress
from types import TracebackType

import attrs

from synapse_core.errors import UsageError
from synapse_core.generate.loop import Generation
from synapse_core.generate.request import Request
from synapse_core.generate.scheduler import Scheduler


@attrs.define(eq=False)
class Answer:
    """A submitted answer: iterate over it, once, in a thread or a coroutine, for pieces of text.

    Leaving the iteration before its end cancels the answer.
    """

    generation: Generation
    _request: Request = attrs.field(init=False)
    _changed: threading.Condition = attrs.field(factory=threading.Condition, init=False)
    _pieces: deque[str] = attrs.field(factory=deque, init=False)
    _has_ended: bool = attrs.field(default=False, init=False)
    _wake: Callable[[], object] | None = attrs.field(default=None, init=False)

    def __attrs_post_init__(self) -> None:
        self._request = Request(self.generation, self._add, self._end)

    def cancel(self) -> None:
        """End the answer before its next step; what was made is kept."""
        self._request.is_cancelled = True

    def wait(self) -> Generation:
        """Return the generation when it has ended; raises what it failed with."""
        with self._changed:
            self._changed.wait_for(lambda: self._has_ended)
        if self._request.error is not None:
            raise self._request.error
        return self.generation

    def __iter__(self) -> Iterator[str]:
        try:
            while True:
                with self._changed:
                    self._changed.wait_for(lambda: self._pieces or self._has_ended)
                    pieces = self._taken()
                if not pieces:
                    self.wait()
                    return
                yield from pieces
        finally:
            self.cancel()

    async def __aiter__(self) -> AsyncIterator[str]:
        loop, changed = asyncio.get_running_loop(), asyncio.Event()
        with self._changed:
            self._wake = lambda: loop.call_soon_threadsafe(changed.set)
        try:
            while True:
                changed.clear()
                with self._changed:
                    pieces, has_ended = self._taken(), self._has_ended
                for piece in pieces:
                    yield piece
                if has_ended:
                    self.wait()
                    return
                await changed.wait()
        finally:
            with self._changed:
                self._wake = None
            self.cancel()

    def _taken(self) -> list[str]:
        pieces = list(self._pieces)
        self._pieces.clear()
        return pieces

    def _add(self, piece: str) -> None:
        with self._changed:
            self._pieces.append(piece)
            self._notify()

    def _end(self) -> None:
        with self._changed:
            self._has_ended = True
            self._notify()

    def _notify(self) -> None:
        self._changed.notify_all()
        if self._wake is not None:
            with suppress(RuntimeError):  # its loop is closed: nobody waits any more
                self._wake()


class Serving:
    """Runs a scheduler in a thread of its own, which sleeps while there is nothing to do."""

    def __init__(self, scheduler: Scheduler) -> None:
        self._scheduler = scheduler
        self._arrived = threading.Condition()
        self._new: deque[Answer] = deque()
        self._is_closed = False
        self._thread = threading.Thread(target=self._work, name="synapse-serving", daemon=True)
        self._thread.start()

    def submit(self, generation: Generation) -> Answer:
        """Let an answer run beside the others; its own errors come where it is iterated over.

        Raises: UsageError after `close`.
        """
        answer = Answer(generation)
        with self._arrived:
            if self._is_closed:
                raise UsageError("the model is no longer served: closed")
            self._new.append(answer)
            self._arrived.notify()
        return answer

    def close(self) -> None:
        """Stop all answers and join the thread."""
        with self._arrived:
            self._is_closed = True
            self._arrived.notify()
        self._thread.join()

    def __enter__(self) -> Serving:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _work(self) -> None:
        failure: Exception | None = None
        try:
            while self._take_new():
                while self._scheduler.step() and self._take_new(wait=False):
                    pass
        except Exception as error:
            failure = error
        with self._arrived:
            self._is_closed = True
        self._take_new(wait=False)
        self._scheduler.end_all(failure)

    def _take_new(self, *, wait: bool = True) -> bool:
        """Submit what arrived, after waiting for it where asked to; False when closed."""
        with self._arrived:
            if wait:
                self._arrived.wait_for(lambda: self._new or self._is_closed)
            arrived = list(self._new)
            self._new.clear()
        for answer in arrived:
            self._submit(answer)
        return not self._is_closed

    def _submit(self, answer: Answer) -> None:
        try:
            self._scheduler.submit(answer._request)
        except UsageError as error:
            answer._request.end(error)
