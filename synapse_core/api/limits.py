"""What memory is planned for, by what a model's functions are over."""

from __future__ import annotations

from synapse_core.errors import UsageError
from synapse_core.families import IMAGES
from synapse_core.graph import Graph
from synapse_core.program import Limits

# Images in one call, unless said: they are computed one by one anyway, and each takes memory.
IMAGE_ROWS = 8
TEXT_ROWS = 16
TEXTS = "texts"


def limits_of(
    graph: Graph,
    *,
    positions: int,
    rows: int,
    output_rows: int,
    slots: int,
    images: int | None,
    kv: str,
) -> Limits:
    """Return the limits of a graph: `rows` tokens in a call, `images` images, `slots` sequences.

    Images and texts of a call have a slot each, so there are as many slots at least.

    Raises: UsageError for a number of images where the model takes none.
    """
    spaces = {space.name for function in graph.functions.values() for space in function.spaces}
    rows_of = {"tokens": min(rows, positions), "outputs": min(output_rows, rows, positions)}
    if IMAGES in spaces:
        rows_of[IMAGES] = IMAGE_ROWS if images is None else images
        slots = max(slots, rows_of[IMAGES])
    elif images is not None:
        raise UsageError(f"a batch of {images} images: this model takes no images")
    if TEXTS in spaces:
        rows_of[TEXTS] = TEXT_ROWS
        rows_of["tokens"] = max(rows_of["tokens"], min(rows, positions * TEXT_ROWS))
        slots = max(slots, TEXT_ROWS)
    return Limits(rows=rows_of, slots=slots, positions=positions, kv=kv)
