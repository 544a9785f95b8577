"""Pixels that somebody else has made: a .npy file of float32 (B, channels, H, W)."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from synapse_core.errors import FileError
from synapse_core.loaders.regular_file import open_regular

# Numpy evaluates a header; ours are some hundred bytes.
MOST_HEADER = 10_000


def load_pixels(path: Path, shape: tuple[int, int, int]) -> np.ndarray:
    """Return rows of pixels, float32 (B, channels·H·W), mapped where they lie so already.

    Raises: FileError for what is no such .npy file, has another shape, or a number that is none.
    """
    with open_regular(path):
        pass  # a pipe or device is refused before numpy opens it
    try:
        found = np.load(path, mmap_mode="r", allow_pickle=False, max_header_size=MOST_HEADER)
    except Exception as error:  # numpy raises anything, by whatever the header says
        raise FileError(path, f"is no .npy file of numbers: {error}") from None
    if not isinstance(found, np.ndarray):
        raise FileError(path, "is an .npz archive; expected one array, a .npy file")
    return check_pixels(found, shape, path)


def check_pixels(found: np.ndarray, shape: tuple[int, int, int], file: object) -> np.ndarray:
    """Return pixels as float32 (B, channels·H·W).

    Raises: FileError naming shape, type or the first number that is none.
    """
    if found.dtype not in (np.float32, np.float16, np.float64):
        raise FileError(file, f"holds {found.dtype}, expected normalised pixels, float32")
    wanted = f"(images, {', '.join(map(str, shape))})"
    if found.ndim == 3:
        found = found[None]
    if found.ndim != 4 or found.shape[1:] != shape or not len(found):
        raise FileError(file, f"holds {found.shape}, expected {wanted}")
    with np.errstate(over="ignore"):  # what float32 does not hold is found below
        rows = np.ascontiguousarray(found.reshape(len(found), -1), dtype=np.float32)
    for image, row in enumerate(rows):
        wrong = np.flatnonzero(~np.isfinite(row))
        if wrong.size:
            place = [int(n) for n in np.unravel_index(int(wrong[0]), shape)]
            raise FileError(file, f"pixel {place} of image {image} is {row[wrong[0]]}")
    return rows
