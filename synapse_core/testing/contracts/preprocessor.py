"""Contracts of preprocessors: from pixels or samples to rows of a function's input."""

from __future__ import annotations

import numpy as np

from synapse_core.errors import SynapseError
from synapse_core.generate import Preprocessor
from synapse_core.testing.contracts.contract import Contract, Subject, contract, require


@contract
def gives_finite_float32_rows(subject: Subject) -> None:
    """The sample becomes float32 (rows, cols), `cols` as it declares, every number finite."""
    preprocessor: Preprocessor = subject.made()
    made = preprocessor.rows(np.array(subject.needs_sample()))
    found = f"{made.dtype} {made.shape}"
    require(
        made.dtype == np.float32 and made.ndim == 2 and made.shape[1] == preprocessor.cols,
        f"it gave {found}, it must be float32 (rows, {preprocessor.cols})",
    )
    require(len(made) > 0, "it gave no row")
    require(bool(np.isfinite(made).all()), "a number is not finite")


@contract
def is_deterministic_and_leaves_its_input_alone(subject: Subject) -> None:
    """Twice the same gives the same, and what went in is unchanged."""
    sample = np.array(subject.needs_sample())
    before = sample.tobytes()
    preprocessor: Preprocessor = subject.made()
    first = preprocessor.rows(sample).copy()
    require(sample.tobytes() == before, "it changed the array that it was given")
    again = subject.made().rows(sample)
    require(np.array_equal(first, again), "two runs on one array differ")


@contract
def depends_on_its_input(subject: Subject) -> None:
    """Another array gives other rows."""
    preprocessor: Preprocessor = subject.made()
    sample = np.array(subject.needs_sample())
    other = np.flip(sample).copy()
    if np.array_equal(other, sample):
        other = np.zeros_like(sample)
    same = np.array_equal(preprocessor.rows(sample), preprocessor.rows(other))
    require(not same, "another array gives the same rows")


@contract
def refuses_what_does_not_fit(subject: Subject) -> None:
    """An array without numbers, of no axis or of too many is a SynapseError."""
    preprocessor: Preprocessor = subject.made()
    subject.needs_sample()
    for shape in ((), (0,), (2, 2, 2, 2, 2, 2)):
        try:
            preprocessor.rows(np.zeros(shape, np.uint8))
        except SynapseError:
            continue
        except Exception as error:
            said = f"raised {type(error).__name__} ({error}), it must be a SynapseError"
            require(False, f"an array of shape {shape}: {said}")
        require(False, f"an array of shape {shape} was taken")


CONTRACTS: dict[str, tuple[Contract, ...]] = {
    "preprocessor": (
        gives_finite_float32_rows,
        is_deterministic_and_leaves_its_input_alone,
        depends_on_its_input,
        refuses_what_does_not_fit,
    )
}
