"""One answer on its way in a scheduler: it takes logits and says text, until it ends."""

from __future__ import annotations

from collections.abc import Callable

import attrs
import numpy as np

from synapse_core.errors import UsageError
from synapse_core.generate.answer_text import AnswerText
from synapse_core.generate.loop import STOPPED, Generation


@attrs.define(eq=False)
class Request:
    """An answer on its way in a scheduler. `on_piece` gets its text, `on_end` comes once, last.

    `error` is what ended it, where that was none of the usual reasons of `generation.reason`;
    `turn` says when it was submitted.
    """

    generation: Generation
    on_piece: Callable[[str], None] = lambda piece: None
    on_end: Callable[[], None] = lambda: None
    error: Exception | None = None
    is_done: bool = False
    is_cancelled: bool = False
    turn: int = 0
    seen: list[int] = attrs.field(init=False)
    _text: AnswerText | None = attrs.field(init=False)
    _ends: frozenset[int] = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        wanted, tokenizer = self.generation, self.generation.tokenizer
        if wanted.stop and tokenizer is None:
            raise UsageError("stop strings are found in text, and there is no tokenizer")
        self.seen = list(wanted.prompt)
        self._ends = tokenizer.special.ends if tokenizer else frozenset()
        self._text = AnswerText(tokenizer, wanted.continues, wanted.stop) if tokenizer else None

    def has_stopped(self) -> bool:
        """End it where it was cancelled or its generation's `stopped` says so; whether it ended."""
        try:
            if self.is_cancelled or self.generation.stopped():
                self.stop()
        except Exception as error:
            self.end(error)
        return self.is_done

    def take(self, logits: np.ndarray) -> None:
        """Go on by one token, or end."""
        id = self.generation.take(logits, self.seen, self._ends)
        if id is None:
            self.end()
            return
        if self._text is not None:
            self._say(self._text.add(id))
        has_stopped = self._text is not None and self._text.found is not None
        if has_stopped or self.generation.is_over(self.seen):
            self.end()

    def stop(self, error: Exception | None = None) -> None:
        """End as stopped, or with the error that stopped it."""
        self.generation.reason = STOPPED
        self.end(error)

    def end(self, error: Exception | None = None) -> None:
        """Say the last of the text, and that it was the last."""
        if self.is_done:
            return
        self.is_done, self.error = True, error
        if self._text is not None and error is None:
            self._say(self.generation.end_text(self._text))
        self.on_end()

    def _say(self, piece: str) -> None:
        if piece:
            self.generation.text += piece
            self.on_piece(piece)
