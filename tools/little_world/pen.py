"""Writing and reading by one grammar: a grammar is a function that makes choices with a pen.

The same function runs forwards, when a `Writer` draws each choice, and backwards, when a `Reader`
finds out from a text which choice was made. At every choice no option begins with another one, so
there is at most one way to read a text, and its probability is the product over its choices.
"""

from __future__ import annotations

import math
import random
from collections.abc import Mapping
from typing import Protocol

Options = Mapping[str, float]


class ParseError(ValueError):
    """A text that the grammar cannot write; `position` is where it goes wrong."""

    def __init__(self, position: int, expected: str, found: str) -> None:
        super().__init__(f"character {position}: expected {expected}, found {found!r}")
        self.position = position


class Pen(Protocol):
    """What a grammar writes with."""

    def say(self, text: str) -> None:
        """Put a text that follows without any choice."""
        ...

    def pick(self, options: Options) -> str:
        """Choose one of the options (text: weight), put it, and return it."""
        ...


class Writer:
    """Draws every choice from a seeded generator."""

    def __init__(self, rng: random.Random) -> None:
        self.rng = rng
        self.parts: list[str] = []
        self.log_probability = 0.0

    @property
    def text(self) -> str:
        """What has been written."""
        return "".join(self.parts)

    def say(self, text: str) -> None:
        """Put a text that follows without any choice."""
        self.parts.append(text)

    def pick(self, options: Options) -> str:
        """Draw one of the options by its weight."""
        (choice,) = self.rng.choices(list(options), list(options.values()))
        self.log_probability += math.log(options[choice] / sum(options.values()))
        self.parts.append(choice)
        return choice


class Reader:
    """Follows a text, and adds up the log-probability of the choices that it shows."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.position = 0
        self.log_probability = 0.0

    def say(self, text: str) -> None:
        """Check that this text follows.

        Raises: ParseError when another one does.
        """
        if not self.text.startswith(text, self.position):
            raise self._error(repr(text))
        self.position += len(text)

    def pick(self, options: Options) -> str:
        """Find the option that follows.

        Raises: ParseError when none does.
        """
        for choice, weight in options.items():
            if self.text.startswith(choice, self.position):
                self.position += len(choice)
                self.log_probability += math.log(weight / sum(options.values()))
                return choice
        raise self._error("one of " + ", ".join(repr(option) for option in options))

    def finish(self) -> float:
        """Return the log-probability of the whole text, in nats.

        Raises: ParseError when something is left.
        """
        if self.position != len(self.text):
            raise self._error("the end")
        return self.log_probability

    def _error(self, expected: str) -> ParseError:
        return ParseError(self.position, expected, self.text[self.position : self.position + 24])
