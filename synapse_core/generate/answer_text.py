"""An answer's text, id by id: whole characters, and never into a stop string."""

from __future__ import annotations

from collections.abc import Sequence

import attrs

from synapse_core.generate.stops import StopStrings
from synapse_core.generate.tokenizer import Stream, Tokenizer


@attrs.define
class AnswerText:
    """Turns ids into the text that is certain; `found` is the stop string that ended it."""

    tokenizer: Tokenizer
    continues: bool = False
    stop: Sequence[str] = ()
    _stream: Stream = attrs.field(init=False)
    _stops: StopStrings = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        self._stream = Stream(self.tokenizer, self.continues)
        self._stops = StopStrings(self.stop)

    @property
    def found(self) -> str | None:
        """The stop string that came, if one did."""
        return self._stops.found

    def add(self, id: int) -> str:
        """Return the text that an id makes certain, often its own, sometimes none."""
        return self._stops.add(self._stream.add(id))

    def end(self, *, is_whole: bool) -> str:
        """Return what was held back; half a character only of an answer that ended by itself."""
        held_back = self._stream.end()
        text = self._stops.add(held_back) if is_whole else ""
        return text if self.found is not None else text + self._stops.end()
