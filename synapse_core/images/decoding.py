"""Reading a picture file: by Pillow, bounded, and nothing but pictures."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from synapse_core.errors import FileError, Unavailable, UsageError
from synapse_core.loaders.regular_file import open_regular

if TYPE_CHECKING:
    from types import ModuleType

# Pillow's own line, a quarter of a gigabyte of RGB.
MOST_IMAGE_PIXELS = 89_478_485
MOST_FILE_BYTES = 1 << 28
# Raster formats that Pillow decodes itself; others start programs (EPS) or load plugins.
FORMATS = ("PNG", "JPEG", "WEBP", "BMP", "GIF", "TIFF", "PPM", "TGA", "ICO", "DIB")
MODE_OF_CHANNELS = {1: "L", 3: "RGB"}


def read_image(path: Path, channels: int = 3) -> np.ndarray:
    """Return a picture as uint8 (H, W, channels); of an animation the first frame.

    Alpha is dropped, palettes, CMYK and greys become RGB, or all becomes grey where a model takes
    one channel. A turn that the camera notes (EXIF) is not made, as HF's processors do not.

    Raises: FileError for what is no picture, damaged, or has more pixels than `MOST_IMAGE_PIXELS`;
    Unavailable without Pillow; UsageError for other channels than 1 and 3.
    """
    if channels not in MODE_OF_CHANNELS:
        raise UsageError(f"pictures have 1 or 3 channels, the model takes {channels}; use --pixels")
    pillow = import_pillow()
    with open_regular(path) as (file, size):
        if size > MOST_FILE_BYTES:
            raise FileError(path, f"{size} bytes; a picture may have at most {MOST_FILE_BYTES}")
        try:
            # Pillow only warns up to twice its limit; ours is checked before a pixel is decoded.
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                with pillow.open(file, formats=FORMATS) as picture:
                    _check_size(path, picture)
                    mode = MODE_OF_CHANNELS[channels]
                    samples = np.array(picture.convert(mode), dtype=np.uint8)
        except FileError:
            raise
        except Exception as error:  # decoders raise anything, by whatever the file is
            raise FileError(path, f"cannot be read as a picture: {_reason(error)}") from None
    return samples.reshape(*samples.shape[:2], channels)


def check_samples(samples: np.ndarray, channels: int) -> np.ndarray:
    """Return samples of a picture as they are, when they are uint8 (H, W, channels).

    Raises: UsageError naming what was found.
    """
    found = np.asarray(samples)
    if found.dtype != np.uint8 or found.ndim != 3 or found.shape[2] != channels or not found.size:
        raise UsageError(
            f"a picture is {found.dtype} {found.shape}, expected uint8 (height, width, {channels})"
        )
    if found.shape[0] * found.shape[1] > MOST_IMAGE_PIXELS:
        problem = f"a picture of {found.shape[0]} × {found.shape[1]} pixels"
        raise UsageError(f"{problem}; at most {MOST_IMAGE_PIXELS} are taken")
    return found


def import_pillow() -> ModuleType:
    """Return PIL.Image.

    Raises: Unavailable saying what to install.
    """
    try:
        from PIL import Image
    except ImportError:
        raise Unavailable(
            "reading pictures needs Pillow: pip install 'synapse[images]'; or give --pixels"
        ) from None
    return Image


def _check_size(path: Path, picture: Any) -> None:
    width, height = picture.size
    if width * height > MOST_IMAGE_PIXELS:
        raise FileError(
            path,
            f"{width} × {height} pixels are {width * height};"
            f" at most {MOST_IMAGE_PIXELS} are decoded",
        )


def _reason(error: Exception) -> str:
    name = type(error).__name__
    if name == "UnidentifiedImageError":
        return f"none of {', '.join(FORMATS)}"
    if name == "DecompressionBombError":
        return f"more than {MOST_IMAGE_PIXELS} pixels"
    return f"{error}" if str(error) else name
