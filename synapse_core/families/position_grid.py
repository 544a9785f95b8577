"""Position tables of images at another size: a grid of rows, resized bicubically.

An encoder of images is trained at one size and has a row for each patch of it. At another size the
rows are interpolated between, as if the table were a picture of so many patches.
"""

from __future__ import annotations

import numpy as np

# Keys' parameter: PyTorch takes −0.75, and −0.5 (as Pillow does) where it suppresses aliases.
SHARPNESS, SHARPNESS_ANTIALIAS = -0.75, -0.5


def interpolate_positions(
    table: np.ndarray,
    grid: tuple[int, int],
    asked: tuple[int, int],
    *,
    antialias: bool = False,
) -> np.ndarray:
    """Return a position table for another grid of patches; rows before the grid's stay as they are.

    Both grids are rows × columns of patches. With `antialias` a smaller grid takes every row of the
    larger one into account; without, the four nearest of each axis.

    Shapes: (k + h·w, C) → (k + H·W, C), float32.
    Source: Keys 1981, eq. 8; `interpolate(mode="bicubic", align_corners=False)` of PyTorch.
    """
    (height, width), (new_height, new_width) = grid, asked
    leading = len(table) - height * width
    picture = table[leading:].reshape(height, width, -1).astype(np.float64)
    down = _weights(height, new_height, antialias)  # (H, h)
    across = _weights(width, new_width, antialias)  # (W, w)
    wide = np.einsum("hwc,xw->hxc", picture, across)
    resized = np.einsum("hxc,yh->yxc", wide, down).reshape(new_height * new_width, -1)
    return np.concatenate([table[:leading], resized]).astype(np.float32)


def _weights(size: int, new_size: int, antialias: bool) -> np.ndarray:
    """Return what each new place takes of each old one, (new_size, size); rows add up to one.

    Places are float32, as PyTorch has them: where two of its sums round apart, so do these.
    """
    scale = np.float32(size) / np.float32(new_size)
    center = scale * (np.arange(new_size, dtype=np.float32) + np.float32(0.5))
    weights = np.zeros((new_size, size))
    if antialias:
        stretch = max(scale, np.float32(1))
        reach = 2 * stretch
        for place, middle in enumerate(center):
            first = max(int(middle - reach + np.float32(0.5)), 0)
            last = min(int(middle + reach + np.float32(0.5)), size)
            old = np.arange(first, last, dtype=np.float32)
            away = (old - middle + np.float32(0.5)) / stretch
            taken = _cubic(away.astype(np.float64), SHARPNESS_ANTIALIAS)
            weights[place, first:last] = taken / taken.sum()
        return weights
    middle = center - np.float32(0.5)
    nearest = np.floor(middle)
    for tap in range(-1, 3):
        taken = _cubic((nearest + tap - middle).astype(np.float64), SHARPNESS)
        old = np.clip(nearest.astype(np.int64) + tap, 0, size - 1)  # the border's row goes on
        np.add.at(weights, (np.arange(new_size), old), taken)
    return weights


def _cubic(x: np.ndarray, sharpness: float) -> np.ndarray:
    """Return the weight of what is x places away; none from 2 on."""
    x = np.abs(x)
    near = ((sharpness + 2) * x - (sharpness + 3)) * x * x + 1
    far = sharpness * (((x - 5) * x + 8) * x - 4)
    weight: np.ndarray = np.where(x <= 1, near, np.where(x < 2, far, 0.0))
    return weight
