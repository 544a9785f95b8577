"""Draws a world: flat rectangles and round discs with soft rims, the same on every machine."""

from __future__ import annotations

import numpy as np

Colour = tuple[int, int, int]


def blank(count: int, size: int, colour: Colour) -> np.ndarray:
    """Return `count` pictures of one colour: (count, size, size, 3), float32, 0 to 255."""
    return np.broadcast_to(np.asarray(colour, np.float32), (count, size, size, 3)).copy()


def draw_rectangle(
    pictures: np.ndarray, corners: tuple[float, float, float, float], colour: Colour
) -> None:
    """Paint a rectangle (left, top, right, bottom; the room is 0 to 1) into every picture."""
    left, top, right, bottom = corners
    across = _covered(pictures.shape[1], left, right)
    down = _covered(pictures.shape[1], top, bottom)
    _mix(pictures, (down[:, None] * across[None, :])[None], colour)


def draw_discs(pictures: np.ndarray, centres: np.ndarray, radius: float, colour: Colour) -> None:
    """Paint one disc a picture.

    Shapes: pictures (N, P, P, 3); centres (N, 2), x to the right and y down.
    Units:  centres and radius in rooms; the rim is a pixel wide.
    """
    size = pictures.shape[1]
    middles = (np.arange(size, dtype=np.float32) + np.float32(0.5))[None]
    at = centres.astype(np.float32) * np.float32(size)
    across = np.square(middles - at[:, :1])[:, None, :]
    down = np.square(middles - at[:, 1:])[:, :, None]
    reach = np.float32(radius * size + 0.5)
    _mix(pictures, np.clip(reach - np.sqrt(across + down), 0, 1), colour)


def rounded(pictures: np.ndarray) -> np.ndarray:
    """Return finished pictures as uint8."""
    return (pictures + np.float32(0.5)).astype(np.uint8)


def _covered(size: int, low: float, high: float) -> np.ndarray:
    """Return what share of each pixel of a line lies between `low` and `high`."""
    edges = np.arange(size + 1, dtype=np.float64)
    inside = np.minimum(edges[1:], high * size) - np.maximum(edges[:-1], low * size)
    return np.clip(inside, 0, 1).astype(np.float32)


def _mix(pictures: np.ndarray, share: np.ndarray, colour: Colour) -> None:
    for channel, value in enumerate(colour):
        layer = pictures[..., channel]
        layer += share * (np.float32(value) - layer)
