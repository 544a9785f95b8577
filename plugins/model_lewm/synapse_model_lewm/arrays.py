"""Arrays and images from outside: checked before anything is computed of them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from synapse_core.errors import FileError, Unavailable

if TYPE_CHECKING:
    from PIL.Image import Image

# ImageNet's, by which the published models' pixels were normalised.
MEAN = np.array([0.485, 0.456, 0.406], np.float32).reshape(3, 1, 1)
DEVIATION = np.array([0.229, 0.224, 0.225], np.float32).reshape(3, 1, 1)
MOST_SIDE = 1 << 14


def read_array(path: Path) -> np.ndarray:
    """Map a .npy file; its size bounds what its header may say.

    Raises: FileError.
    """
    try:
        array = np.load(path, mmap_mode="r", allow_pickle=False)
    except FileNotFoundError:
        raise FileError(path, "does not exist") from None
    except (OSError, ValueError, EOFError, SyntaxError) as error:
        raise FileError(path, f"is no .npy file of numbers: {error}") from None
    if not isinstance(array, np.ndarray):
        raise FileError(path, "holds several arrays, expected a .npy file of one")
    return array


def read_image(path: Path, side: int) -> np.ndarray:
    """Return an image as uint8 (3, side, side), resized where it has another size.

    Raises: FileError for what is no image, is damaged, or has more pixels than Pillow opens.
    """
    pillow = _pillow()
    try:
        with pillow.open(path) as opened:
            image = opened.convert("RGB")
    except FileNotFoundError:
        raise FileError(path, "does not exist") from None
    except (pillow.DecompressionBombError, pillow.DecompressionBombWarning) as error:
        raise FileError(path, f"is refused as a decompression bomb: {error}") from None
    except (OSError, ValueError, SyntaxError, EOFError) as error:
        raise FileError(path, f"is no image that can be read: {error}") from None
    return _resized(image, side)


def check_frames(frames: np.ndarray, where: object = "frames") -> np.ndarray:
    """Return frames that are uint8 (T, 3, H, W), as they are.

    Raises: FileError.
    """
    sound = frames.dtype == np.uint8 and frames.ndim == 4 and frames.shape[1:2] == (3,)
    if not sound or min(frames.shape) < 1 or max(frames.shape[2:]) > MOST_SIDE:
        found = f"{frames.dtype} {frames.shape}"
        raise FileError(where, f"found {found}, expected uint8 (T, 3, height, width)")
    return frames


def check_pixels(pixels: np.ndarray, side: int, where: object = "pixels") -> np.ndarray:
    """Return normalised pixels (T, 3, side, side) as rows, float32 (T, 3·side²).

    Raises: FileError for another shape or a number that is not finite.
    """
    if pixels.ndim != 4 or pixels.shape[1:] != (3, side, side) or pixels.dtype.kind not in "fiu":
        found = f"{pixels.dtype} {pixels.shape}"
        raise FileError(where, f"found {found}, expected numbers (T, 3, {side}, {side})")
    rows = np.ascontiguousarray(pixels, np.float32).reshape(len(pixels), -1)
    return _finite(rows, where)


def check_numbers(found: np.ndarray, cols: int, where: object, what: str) -> np.ndarray:
    """Return rows of numbers as float32 (…, T, cols).

    Raises: FileError for another width, or a number that is not finite.
    """
    if found.dtype.kind not in "fiu" or found.ndim < 2 or 0 in found.shape:
        problem = f"found {found.dtype} {found.shape}, expected numbers (T, {cols})"
        raise FileError(where, problem)
    if found.shape[-1] != cols:
        raise FileError(where, f"has {what} of {found.shape[-1]} numbers, this model takes {cols}")
    return _finite(np.ascontiguousarray(found, np.float32), where)


def normalise(frames: np.ndarray, side: int) -> np.ndarray:
    """Return frames, uint8 (T, 3, H, W), as rows of pixels, float32 (T, 3·side²).

    Frames of another size are resized as images are.
    """
    if frames.shape[2:] != (side, side):
        pillow = _pillow()
        images = (pillow.fromarray(np.moveaxis(np.asarray(f), 0, 2)) for f in frames)
        frames = np.stack([_resized(image, side) for image in images])
    scaled = frames.astype(np.float32) / np.float32(255)
    return ((scaled - MEAN) / DEVIATION).reshape(len(frames), -1)


def read_images(paths: Sequence[Path], side: int) -> np.ndarray:
    """Return images as frames, uint8 (T, 3, side, side)."""
    return np.stack([read_image(path, side) for path in paths])


def _resized(image: Image, side: int) -> np.ndarray:
    if image.size != (side, side):
        image = image.resize((side, side), _pillow().Resampling.BILINEAR)
    return np.ascontiguousarray(np.moveaxis(np.asarray(image, np.uint8), 2, 0))


def _finite(rows: np.ndarray, where: object) -> np.ndarray:
    wrong = np.argwhere(~np.isfinite(rows))
    if len(wrong):
        place = ", ".join(str(int(index)) for index in wrong[0])
        raise FileError(where, f"number [{place}] is {rows[tuple(wrong[0])]}, expected finite ones")
    return rows


def _pillow():  # type: ignore[no-untyped-def]
    try:
        from PIL import Image
    except ImportError:
        raise Unavailable("images need Pillow: pip install pillow") from None
    return Image
