"""Arrays from outside: checked before anything is computed of them."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from synapse_core.errors import FileError

MOST_SIDE = 1 << 14
# Numpy evaluates a header; honest ones are some hundred bytes.
MOST_HEADER = 10_000


def read_array(path: Path) -> np.ndarray:
    """Map a .npy file; its size bounds what its header may say.

    Raises: FileError.
    """
    if path.exists() and not path.is_file():
        raise FileError(path, "is no file")
    try:
        array = np.load(path, mmap_mode="r", allow_pickle=False, max_header_size=MOST_HEADER)
    except FileNotFoundError:
        raise FileError(path, "does not exist") from None
    except (OSError, ValueError, EOFError, SyntaxError, TypeError) as error:
        raise FileError(path, f"is no .npy file of numbers: {error}") from None
    if not isinstance(array, np.ndarray):
        raise FileError(path, "is an .npz archive; expected one array, a .npy file")
    return array


def check_frames(frames: np.ndarray, where: object = "frames") -> np.ndarray:
    """Return frames that are uint8 (T, 3, H, W), as they are.

    Raises: FileError.
    """
    sound = frames.dtype == np.uint8 and frames.ndim == 4 and frames.shape[1:2] == (3,)
    if not sound or min(frames.shape) < 1 or max(frames.shape[2:]) > MOST_SIDE:
        found = f"{frames.dtype} {frames.shape}"
        raise FileError(where, f"found {found}, expected uint8 (T, 3, height, width)")
    return frames


def check_numbers(found: np.ndarray, cols: int, where: object, what: str) -> np.ndarray:
    """Return rows of numbers as float32 (…, T, cols).

    Raises: FileError for another width, or a number that is not finite.
    """
    if found.dtype.kind not in "fiu" or found.ndim < 2 or 0 in found.shape:
        problem = f"found {found.dtype} {found.shape}, expected numbers (T, {cols})"
        raise FileError(where, problem)
    if found.shape[-1] != cols:
        raise FileError(where, f"has {what} of {found.shape[-1]} numbers, this model takes {cols}")
    with np.errstate(over="ignore"):  # what float32 does not hold is found below
        rows = np.ascontiguousarray(found, np.float32)
    wrong = np.argwhere(~np.isfinite(rows))
    if len(wrong):
        place = ", ".join(str(int(index)) for index in wrong[0])
        raise FileError(where, f"number [{place}] is {rows[tuple(wrong[0])]}, expected finite ones")
    return rows


def check_finite(latents: np.ndarray, where: object) -> None:
    """Check what was imagined: (T, D).

    Raises: FileError naming the first step whose latent is not finite.
    """
    wrong = np.flatnonzero(~np.isfinite(latents).all(axis=-1))
    if wrong.size:
        raise FileError(where, f"leads to numbers that are not finite, at step {wrong[0]}")
