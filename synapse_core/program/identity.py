"""What a program computes, as a digest that is cheap: its tables, and samples of every weight."""

from __future__ import annotations

import hashlib

import numpy as np

from synapse_core.program import records as r
from synapse_core.program.contract import Program
from synapse_core.program.tables import Tables

# Of a weight, so many pieces of so many bytes evenly spread; a smaller one is read in whole.
SAMPLES, SAMPLE_BYTES = 4, 4096


def program_digest(program: Program) -> bytes:
    """Return 32 bytes that two programs share when they compute the same numbers.

    Bound are operations with their options and arithmetic, states with the KV type, windows, the
    weights' formats and shapes and 4 x 4,096 bytes of each weight; not the limits (context, rows,
    slots), file names or dates. Weights that differ elsewhere only are not told apart.
    """
    tables = Tables.of(program.image, program.path or "program")
    digest = hashlib.blake2b(digest_size=32, person=b"synapse program")
    for view in (tables.kernels, tables.ops, tables.operands):
        digest.update(len(view).to_bytes(8, "little") + view.tobytes())
    for view, fields in (
        (tables.states, ("kind", "group", "dtype", "width", "width_v", "head", "bytes")),
        (tables.groups, ("window",)),
        (tables.tensors, ("cols", "dtype", "space", "limit_space")),
        (tables.weights, ("format", "layout", "rows", "cols", "row_bytes")),
    ):
        for field in fields:
            digest.update(len(view).to_bytes(8, "little") + view[field].astype("<u8").tobytes())
    external = iter(program.external)
    segments = [
        program.image[int(s["offset"]) : int(s["offset"]) + int(s["bytes"])]
        if int(s["kind"]) == r.SEGMENT_INLINE
        else next(external)
        for s in tables.segments
    ]
    for weight in tables.weights:
        begin, size = int(weight["offset"]), int(weight["rows"]) * int(weight["row_bytes"])
        _sample(digest, segments[int(weight["segment"])][begin : begin + size])
    return digest.digest()


def _sample(digest: hashlib.blake2b, data: np.ndarray) -> None:
    if data.size <= SAMPLES * SAMPLE_BYTES:
        digest.update(data.tobytes())
        return
    for number in range(SAMPLES):
        begin = (data.size - SAMPLE_BYTES) * number // (SAMPLES - 1)
        digest.update(data[begin : begin + SAMPLE_BYTES].tobytes())
