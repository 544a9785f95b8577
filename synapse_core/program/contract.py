"""A program in memory: the image that runtimes read, and the byte ranges it refers to."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import attrs

if TYPE_CHECKING:
    import numpy as np


@attrs.frozen
class Limits:
    """What memory is planned for.

    `rows` gives the most rows of each base space in one call, by name; `default_rows` for those
    not named. `slots` sequences run side by side, each of at most `positions` positions. `kv` is
    the type that keys and values are kept in: f32, f16 or bf16.
    """

    rows: Mapping[str, int] = attrs.field(factory=dict)
    default_rows: int = 64
    slots: int = 1
    positions: int = 512
    kv: str = "f16"


@attrs.frozen(eq=False)
class Program:
    """A lowered model.

    `image` is the `.syn` file's bytes without inline segments when built in memory (all segments
    external then), or the whole mapped file. `external` are the external segments' bytes, in order.
    `host` is the JSON that the runtime never parses: names, config, tokenizer, provenance.
    """

    image: np.ndarray
    external: tuple[np.ndarray, ...]
    host: Mapping[str, Any]
    path: Path | None = None
