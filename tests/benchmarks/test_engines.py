"""Synapse as it is measured: slots side by side give what each gives alone."""

from __future__ import annotations

from pathlib import Path

import engines
import numpy as np
import pytest

pytest.importorskip("synapse_backend_cpu")
WIDE = Path(engines.__file__).with_name("wide_model")
# Rows of one call may be summed in another order than a row alone.
TOLERANCE = 1e-3


def test_slots_decode_together_as_each_alone():
    prompts = [[3, 5, 7], [11, 13], [17, 19, 23, 29]]
    following = [[31, 37, 41], [43, 47, 53]]
    together = engines.synapse(WIDE, 1, 64, slots=3, flash=False)
    for slot, prompt in enumerate(prompts):
        together.prefill(slot, prompt)
    found = [together.step(range(3), ids) for ids in following]
    for slot, prompt in enumerate(prompts):
        alone = engines.synapse(WIDE, 1, 64, slots=1, flash=False)
        alone.prefill(0, prompt)
        for rows, ids in zip(found, following, strict=True):
            expected = np.asarray(alone.step([0], [ids[slot]]))
            np.testing.assert_allclose(np.asarray(rows)[slot], expected, atol=TOLERANCE)
            assert np.ptp(expected) > 1000 * TOLERANCE
