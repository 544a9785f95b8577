from __future__ import annotations

import numpy as np
import pytest

from synapse_core.api import compare

TRUTH = np.random.default_rng(1).normal(scale=3.0, size=(7, 50)).astype(np.float32)


def test_equal_logits_agree_entirely() -> None:
    found = compare(TRUTH, TRUTH, tolerance=2e-4)
    assert found.holds
    assert (found.max_error, found.rms_error, found.top1, found.kl) == (0, 0, 1, 0)


def test_errors_are_in_deviations_and_the_worst_position_is_named() -> None:
    off = TRUTH.copy()
    off[4, 9] += 0.5
    found = compare(off, TRUTH, tolerance=2e-4)
    assert not found.holds
    assert found.worst == 4
    assert found.max_error == pytest.approx(0.5 / TRUTH.std(), rel=1e-5)


def test_a_shift_of_all_logits_is_an_error_but_no_divergence() -> None:
    found = compare(TRUTH + 1, TRUTH, tolerance=2e-4)
    assert not found.holds
    assert found.kl < 1e-9


def test_divergence_is_kullback_and_leiblers() -> None:
    p, q = np.array([0.5, 0.25, 0.25]), np.array([0.25, 0.5, 0.25])
    found = compare(np.log(q)[None], np.log(p)[None], tolerance=1)
    assert found.kl == pytest.approx(float((p * np.log(p / q)).sum()))


def test_logits_that_are_no_numbers_never_hold() -> None:
    broken = TRUTH.copy()
    broken[0, 0] = np.nan
    assert not compare(broken, TRUTH, tolerance=1e9).holds


def test_the_rms_can_hold_where_the_largest_error_does_not() -> None:
    off = TRUTH.copy()
    off[0, 0] += 1
    assert compare(off, TRUTH, tolerance=0.05, measure="rms").holds
    assert not compare(off, TRUTH, tolerance=0.05).holds
