"""From what a user has, an image or a sound, to the rows of a function's input."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    import numpy as np


class Preprocessor(Protocol):
    """Makes rows of pixels or samples; a plugin's `preprocessor` provides it."""

    @property
    def cols(self) -> int:
        """How many numbers a row has: the columns of the input that it feeds."""
        ...

    def rows(self, samples: np.ndarray) -> np.ndarray:
        """Return the rows of one image or sound, which is not changed.

        Shapes: what it takes is its own (H, W, 3), (samples,), …; it gives float32 (rows, cols).
        Raises: UsageError naming the shape that it found and the one it takes.
        """
        ...
