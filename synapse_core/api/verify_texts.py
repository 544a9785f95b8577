"""Holding what an encoder makes of texts against a reference's."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

import numpy as np

from synapse_core.api.model import Model
from synapse_core.api.verify import FLOAT_TOLERANCE, ROUNDED_TOLERANCE, Agreement, compare, rounds
from synapse_core.errors import UsageError

# Their share of the longest that the model reads: beside the full one some that are not.
PROBE_LENGTHS = (1.0, 0.5, 0.2)


class TextReference(Protocol):
    """What an encoder of texts is held against."""

    def texts(self, texts: Sequence[Sequence[int]]) -> Mapping[str, np.ndarray]:
        """Return outputs by name, a row for each text of ids: (texts, C)."""
        ...


class ModelOfTexts:
    """A loaded model as a reference."""

    def __init__(self, model: Model) -> None:
        self.model = model

    def texts(self, texts: Sequence[Sequence[int]]) -> Mapping[str, np.ndarray]:
        """Return all its outputs that have a row for each text."""
        return self.model.images.encoder.texts(texts, _outputs(self.model))


def probe_texts(model: Model, seed: int = 0) -> list[list[int]]:
    """Return the seeded texts that a model is verified on: ids, the end last and only there."""
    ports = model.images.encoder.text_ports()
    said = model.config.get("text")
    named = said.get("end") if isinstance(said, Mapping) else None
    end = ports.vocabulary - 1 if named is None else int(named)
    rng = np.random.Generator(np.random.PCG64(seed))
    found = []
    for share in PROBE_LENGTHS:
        ids = rng.integers(0, max(ports.vocabulary - 1, 1), max(int(share * ports.positions), 1))
        ids[ids == end] = ports.vocabulary - 1 if end == 0 else end - 1
        ids[-1] = end
        found.append([int(id) for id in ids])
    return found


def verify_texts(
    model: Model,
    reference: TextReference,
    *,
    tolerance: float | None = None,
    rounded: bool | None = None,
    seed: int = 0,
) -> dict[str, Agreement]:
    """Compare every output that both have of the same seeded texts.

    `rounded` is as of `verify`.

    Raises: UsageError where they have no output in common; ShapeError for outputs of unlike shapes.
    """
    rounded = rounds(model) if rounded is None else rounded
    if tolerance is None:
        tolerance = ROUNDED_TOLERANCE if rounded else FLOAT_TOLERANCE
    texts = probe_texts(model, seed)
    expected, names = reference.texts(texts), _outputs(model)
    both = [name for name in names if name in expected]
    if not both:
        raise UsageError(
            f"the model gives {', '.join(names)}, the reference {', '.join(expected) or 'nothing'}"
        )
    found = model.images.encoder.texts(texts, both)
    measure = "rms" if rounded else "max"
    return {
        name: compare(found[name], expected[name], tolerance=tolerance, measure=measure)
        for name in both
    }


def _outputs(model: Model) -> list[str]:
    """Return the names of outputs that have a row for each text."""
    ports = model.images.encoder.text_ports()
    return [name for name in ports.outputs if name not in ports.by_token]
