"""From what a user has, an image or a sound, to the rows of a function's input."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    import numpy as np


class Preprocessor(Protocol):
    """Makes rows of pixels or samples; a plugin's `preprocessor` provides it.

    A model whose `preprocessor_config.json` names one that the core does not read (by
    `image_processor_type`) gets the plugin's of that name; for images it takes uint8 (H, W, C)
    and gives one row, float32 (1, C·H·W), channel-major.
    """

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
