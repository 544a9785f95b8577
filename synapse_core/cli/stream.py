"""Text on its way to the user, and Ctrl-C on its way to us."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterable
from types import FrameType, TracebackType
from typing import Any

import attrs

# A model's text must not drive the terminal: control characters become visible.
_CONTROLS = {code: "�" for code in (*range(32), *range(127, 160)) if chr(code) not in "\n\t"}


@attrs.define
class Interrupts:
    """While it is entered, the first Ctrl-C only sets `asked`; a second one interrupts at once."""

    asked: bool = False
    _before: Any = None

    def __enter__(self) -> Interrupts:
        self._before = signal.signal(signal.SIGINT, self._note)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        signal.signal(signal.SIGINT, self._before)

    def stopped(self) -> bool:
        """Whether Ctrl-C was pressed."""
        return self.asked

    def _note(self, number: int, frame: FrameType | None) -> None:
        if self.asked:
            raise KeyboardInterrupt
        self.asked = True


def write_pieces(pieces: Iterable[str]) -> bool:
    """Write pieces to stdout as they come; return False when nobody reads any more."""
    terminal = sys.stdout.isatty()
    try:
        for piece in pieces:
            sys.stdout.write(piece.translate(_CONTROLS) if terminal else piece)
            sys.stdout.flush()
    except BrokenPipeError:
        # Python would complain at exit when it flushes what is left.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return False
    return True


def note(line: str) -> None:
    """Say something on stderr while a text is written to stdout."""
    begin = "\n" if sys.stdout.isatty() and sys.stderr.isatty() else ""
    sys.stderr.write(f"{begin}{line}\n")


def use_utf8() -> None:
    """Make stdout and stdin able to carry any text, whatever the locale says."""
    for stream, errors in ((sys.stdout, "replace"), (sys.stdin, "replace")):
        reconfigure = getattr(stream, "reconfigure", None)
        if reconfigure is not None:
            reconfigure(encoding="utf-8", errors=errors)
