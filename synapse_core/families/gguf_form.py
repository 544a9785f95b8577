"""How a family says its models in GGUF: the inverse of reading such a file."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import attrs
import numpy as np

from synapse_core.families.config import ModelConfig


@attrs.frozen(kw_only=True, eq=False)
class GgufForm:
    """Keys by name, as Python values: whole numbers become u32, fractions f32.

    `vectors` are tensors that no weight is: float32 by name. `turned` has, by the end of a weight's
    name, the heads of a projection whose rows must be reordered: the two of each pair that rope
    turns lie half a head apart, and side by side in the file. `added` has, by the end of a weight's
    name, what is added to the numbers of a vector. `said` is the model that the keys say, where
    they say it in another way; `notes` are what its user should know. `named` is what readers
    of files know the model by, where its name says more than its keys.
    """

    arch: str
    keys: Mapping[str, Any]
    vectors: Mapping[str, np.ndarray] = attrs.field(factory=dict)
    turned: Mapping[str, int] = attrs.field(factory=dict)
    added: Mapping[str, float] = attrs.field(factory=dict)
    said: ModelConfig | None = None
    notes: tuple[str, ...] = ()
    named: str = ""


def side_by_side(rows: int, heads: int) -> np.ndarray:
    """Return for each row of the file the row that it is: 0, D/2, 1, D/2 + 1, … of each head."""
    order = np.arange(rows).reshape(heads, 2, rows // heads // 2)
    return np.swapaxes(order, 1, 2).reshape(-1)
