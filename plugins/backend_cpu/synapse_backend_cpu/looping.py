"""A loop on its way to the runtime: which tensors feed each other, and where its rows lie."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from synapse_backend_cpu.native.declarations import declarations
from synapse_core.backends import Loop
from synapse_core.program import FunctionTable


def native_loop(
    table: FunctionTable,
    loop: Loop,
    series: np.ndarray,
    begun: int,
    given: Mapping[str, np.ndarray],
    keep: list[Any],
) -> Any:
    """Return a `syn_loop` over the arrays, which are float32 and contiguous; `keep` outlives it.

    Shapes: series (S, N, C), given (S, N − 1, cols) each.
    """
    ffi = declarations()
    inputs = {port.name: port for port in table.inputs}
    output = next(port for port in table.outputs if port.name == loop.output)
    fed = inputs[loop.fed]
    sequences, total, _ = series.shape
    native = ffi.new("syn_loop *")
    native.space = [space.name for space in table.spaces].index(fed.type.space.name)
    native.window, native.slots = loop.window, sequences
    native.begun, native.steps = begun, total - begun
    native.fed, native.output = fed.tensor, output.tensor
    others = ffi.new("syn_given[]", max(1, len(given)))
    for number, (name, rows) in enumerate(given.items()):
        others[number].tensor = inputs[name].tensor
        keep.append(ffi.from_buffer("float *", rows))
        others[number].rows = keep[-1]
    native.givens, native.given = len(given), others
    keep += [others, ffi.from_buffer("float *", series)]
    native.series = keep[-1]
    for field in ("slot", "position"):
        keep.append(ffi.new("uint32_t[]", sequences * loop.window))
        setattr(native, field, keep[-1])
    return native
