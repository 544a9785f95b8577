"""Holding what a model makes of images against a reference's."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

import numpy as np

from synapse_core.api.model import Model
from synapse_core.api.verify import (
    FLOAT_TOLERANCE,
    ROUNDED_TOLERANCE,
    Agreement,
    compare,
    rounds,
)
from synapse_core.errors import UsageError

PROBE_IMAGES = 3


class ImageReference(Protocol):
    """What a model of images is held against."""

    def images(self, pixels: np.ndarray) -> Mapping[str, np.ndarray]:
        """Return outputs by name for pixels (B, channels, H, W): (B, C) or (B, k, C)."""
        ...


class ModelOfImages:
    """A loaded model as a reference."""

    def __init__(self, model: Model) -> None:
        self.model = model

    def images(self, pixels: np.ndarray) -> Mapping[str, np.ndarray]:
        """Return all its outputs."""
        names = self.model.images.encoder.image_ports().outputs
        return self.model.images.encode(None, pixels, names, lambda done: None)


def probe_pixels(model: Model, seed: int = 0) -> np.ndarray:
    """Return the seeded pixels that a model is verified on, float32 (B, channels, H, W)."""
    shape = model.images.encoder.image_ports().shape
    rng = np.random.Generator(np.random.PCG64(seed))
    return rng.standard_normal((PROBE_IMAGES, *shape), dtype=np.float32)


def verify_images(
    model: Model,
    reference: ImageReference,
    *,
    pixels: np.ndarray | None = None,
    tolerance: float | None = None,
    rounded: bool | None = None,
    seed: int = 0,
) -> dict[str, Agreement]:
    """Compare every output that both have on the same pixels, seeded ones unless given.

    `rounded` is as of `verify`.

    Raises: UsageError where they have no output in common; ShapeError for outputs of unlike shapes.
    """
    if pixels is None:
        pixels = probe_pixels(model, seed)
    if rounded is None:
        rounded = rounds(model)
    if tolerance is None:
        tolerance = ROUNDED_TOLERANCE if rounded else FLOAT_TOLERANCE
    expected = reference.images(pixels)
    names = model.images.encoder.image_ports().outputs
    both = [name for name in names if name in expected]
    if not both:
        raise UsageError(
            f"the model gives {', '.join(names)}, the reference {', '.join(expected) or 'nothing'}"
        )
    found = model.images.encode(None, pixels, both, lambda done: None)
    return {
        name: compare(
            found[name].reshape(-1, found[name].shape[-1]),
            expected[name].reshape(-1, expected[name].shape[-1]),
            tolerance=tolerance,
            measure="rms" if rounded else "max",
        )
        for name in both
    }
