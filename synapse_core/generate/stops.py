"""Stop strings: a text that ends before one of them, in whatever pieces it comes."""

from __future__ import annotations

from collections.abc import Sequence

import attrs

from synapse_core.errors import UsageError


@attrs.define
class StopStrings:
    """Lets text through until a stop string is complete, and holds back what may become one.

    What is let through does not depend on the pieces: the string that is complete first ends the
    text, of several the longest. `found` is that string.
    """

    strings: Sequence[str] = ()
    found: str | None = attrs.field(default=None, init=False)
    _held: str = attrs.field(default="", init=False)

    def __attrs_post_init__(self) -> None:
        if "" in self.strings:
            raise UsageError("a stop string is empty; it would end every text before it began")

    def add(self, piece: str) -> str:
        """Return the text that is certain to stand before any stop string."""
        if self.found is not None:
            return ""
        text = self._held + piece
        places = ((text.find(stop), stop) for stop in self.strings)
        ends = [(at + len(stop), at, stop) for at, stop in places if at >= 0]
        if ends:
            _, at, self.found = min(ends)
            self._held = ""
            return text[:at]
        kept = len(text) - self._beginning(text)
        self._held = text[kept:]
        return text[:kept]

    def end(self) -> str:
        """Return what was held back: the beginning of a stop string that never came."""
        held, self._held = self._held, ""
        return held

    def _beginning(self, text: str) -> int:
        """Return the length of the longest end of a text that a stop string begins with."""
        longest = max((len(stop) for stop in self.strings), default=0) - 1
        for length in range(min(longest, len(text)), 0, -1):
            if any(stop.startswith(text[-length:]) for stop in self.strings):
                return length
        return 0
