"""How far two backends are from each other, and how far they may be."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from synapse_core.backends import Backend, Session
from synapse_core.errors import CheckFailed
from synapse_core.ops import RowTable
from synapse_core.testing.case import Case

# Two float32 programs that sum in another order; integer block sums are exact in both.
RELATIVE_TOLERANCE = 1e-5
# A chain of such programs: a component, a whole toy model.
MODEL_TOLERANCE = 2e-5
# Rounding to the KV type may fall on the other side of a half: one step of bf16.
STEP_TOLERANCE = 4e-3
# Rounding an activation to int8 may too, and then the layers behind it see one step of 127.
INT8_TOLERANCE = 5e-2

Outputs = list[dict[str, np.ndarray]]


def worst_error(case: Case, backend: Backend, oracle: Backend) -> float:
    """Return the largest |a − b| over the outputs' scale (their root mean square) of all calls.

    Raises: CheckFailed when the outputs' names or shapes differ.
    """
    return worst_difference(case.name, case.run(backend), case.run(oracle))


def worst_difference(name: str, mine: Outputs, theirs: Outputs) -> float:
    """Return the largest |a − b| over the scale of b; NaN where one has a number that is none.

    Raises: CheckFailed when the outputs' names or shapes differ.
    """
    worst = 0.0
    for a, b in zip(mine, theirs, strict=True):
        if sorted(a) != sorted(b):
            raise CheckFailed(f"{name}: the outputs are {sorted(a)}, they must be {sorted(b)}")
        for output in b:
            if a[output].shape != b[output].shape:
                found, wanted = a[output].shape, b[output].shape
                raise CheckFailed(f"{name}: {output} is {found}, it must be {wanted}")
            scale = float(np.sqrt(np.mean(np.square(b[output], dtype=np.float64)))) or 1.0
            error = float(np.abs(a[output] - b[output]).max(initial=0.0)) / scale
            worst = error if np.isnan(error) else max(worst, error)
            if np.isnan(worst):
                return worst
    return worst


def tolerance_of(case: Case) -> float:
    """Return how far a case may be from the oracle that follows its arithmetic."""
    if "decoder" in case.name and any(format in case.name for format in ("q8_0", "int8")):
        return INT8_TOLERANCE
    rounds = "f16" in case.name and ("attention" in case.name or "decoder" in case.name)
    return STEP_TOLERANCE if rounds else RELATIVE_TOLERANCE


def same_bits(a: Outputs, b: Outputs) -> bool:
    """Whether two runs gave the same outputs, bit for bit."""
    return all(
        sorted(x) == sorted(y) and all(x[n].tobytes() == y[n].tobytes() for n in x)
        for x, y in zip(a, b, strict=True)
    )


def feed(session: Session, ids: Iterable[int], table: RowTable) -> np.ndarray:
    """Run tokens of the toy decoder and return the logits of all rows."""
    inputs = {"ids": np.array(list(ids)), "select": np.arange(len(table))}
    return session.run("forward", inputs, {"tokens": table})["logits"]
