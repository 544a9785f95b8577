"""Records that no run could be safe with: each kernel's `check` refuses them on opening."""

from __future__ import annotations

from collections.abc import Callable

import attrs
import numpy as np
import pytest
from synapse_model_mamba import samples
from synapse_model_mamba.conv1d_causal import CONV1D_CAUSAL
from synapse_model_mamba.gated_rmsnorm import GATED_RMSNORM
from synapse_model_mamba.selective_scan import SELECTIVE_SCAN
from synapse_model_mamba.ssd_scan import SSD_SCAN

from synapse_core.backends import Executable
from synapse_core.errors import ProgramError, ShapeError
from synapse_core.ops import Op, StateType
from synapse_core.plugins import default_host
from synapse_core.program.image import aligned_zeros, seal, section_of
from synapse_core.testing import OpSample

Change = Callable[[np.ndarray], None]
CONV, SELECTIVE = samples.CONV1D_CAUSAL[0], samples.SELECTIVE_SCAN[0]
SSD, NORM = samples.SSD_SCAN[0], samples.GATED_RMSNORM[0]


def attribute(index: int, value: int) -> Change:
    """Return a change of a word of the op's record."""

    def change(image: np.ndarray) -> None:
        section_of(image, "ops")[0]["attributes"][index] = value

    return change


def operand(index: int, like: int) -> Change:
    """Return a change that puts another operand of the op in the place of one."""

    def change(image: np.ndarray) -> None:
        first = int(section_of(image, "ops")[0]["first_operand"])
        words = section_of(image, "operands")
        words[first + index] = words[first + like]

    return change


def opened(op: Op, sample: OpSample, change: Change | None) -> None:
    host = default_host()
    if "cpu" not in host.names("backend"):
        pytest.skip("backend 'cpu' is not installed")
    executable = sample.case(op).executable()
    image = aligned_zeros(executable.program.image.size)
    image[:] = executable.program.image
    if change is not None:
        change(image)
    program = attrs.evolve(executable.program, image=seal(image))
    host.get("backend", "cpu")().open(Executable(program, executable.find_op)).close()


RECORDS = {
    "no such activation": (CONV1D_CAUSAL, CONV, attribute(0, 2)),
    "a bias in the place of the filter": (CONV1D_CAUSAL, CONV, operand(1, 2)),
    "the filter in the place of its bias": (CONV1D_CAUSAL, CONV, operand(2, 1)),
    "a step of other columns": (SELECTIVE_SCAN, SELECTIVE, operand(1, 2)),
    "b as wide as x": (SELECTIVE_SCAN, SELECTIVE, operand(2, 0)),
    "a skip in the place of rates": (SELECTIVE_SCAN, SELECTIVE, operand(4, 5)),
    "rates in the place of a skip": (SELECTIVE_SCAN, SELECTIVE, operand(5, 4)),
    "a gate of other columns": (SELECTIVE_SCAN, SELECTIVE, operand(6, 3)),
    "no head": (SSD_SCAN, SSD, attribute(0, 0)),
    "more heads": (SSD_SCAN, SSD, attribute(0, 8)),
    "as many heads as 32 bits hold": (SSD_SCAN, SSD, attribute(0, 0xFFFFFFFF)),
    "heads without columns": (SSD_SCAN, SSD, attribute(1, 0)),
    "wider heads": (SSD_SCAN, SSD, attribute(1, 10)),
    "no group": (SSD_SCAN, SSD, attribute(2, 0)),
    "groups that do not divide": (SSD_SCAN, SSD, attribute(2, 3)),
    "no state": (SSD_SCAN, SSD, attribute(3, 0)),
    "more states": (SSD_SCAN, SSD, attribute(3, 1 << 16)),
    "a step of other columns, ssd": (SSD_SCAN, SSD, operand(1, 0)),
    "a gate in the place of the weight": (GATED_RMSNORM, NORM, operand(2, 1)),
}


@pytest.mark.parametrize("what", RECORDS)
def test_a_record_that_would_leave_its_operands_is_refused(what: str) -> None:
    op, sample, change = RECORDS[what]
    with pytest.raises(ProgramError, match="refused by its kernel"):
        opened(op, sample, change)


@pytest.mark.parametrize("what", RECORDS)
def test_unchanged_it_is_opened(what: str) -> None:
    op, sample, _ = RECORDS[what]
    opened(op, sample, None)


def state(width: int) -> StateType:
    return StateType("memory", "recurrent", width)


SHAPES = {
    "one tap": (CONV1D_CAUSAL, (20, (1, 20), None, state(20))),
    "17 taps": (CONV1D_CAUSAL, (20, (17, 20), None, state(320))),
    "a memory of the rows only": (CONV1D_CAUSAL, (20, (4, 20), None, state(20))),
    "kv in the place of a memory": (
        CONV1D_CAUSAL,
        (20, (4, 20), None, StateType("kv", "kv", 60, 60)),
    ),
    "b and c of unlike widths": (
        SELECTIVE_SCAN,
        (20, 20, 16, 15, (16, 20), (1, 20), None, state(320)),
    ),
    "a short memory": (SELECTIVE_SCAN, (20, 20, 16, 16, (16, 20), (1, 20), None, state(319))),
    "a narrow gate": (GATED_RMSNORM, (24, 23, (3, 8))),
    "a norm of other columns": (GATED_RMSNORM, (24, 24, (3, 9))),
}


@pytest.mark.parametrize("what", SHAPES)
def test_a_shape_that_does_not_fit_is_an_error_when_it_is_built(what: str) -> None:
    op, operands = SHAPES[what]
    options = {"eps": 1e-5} if op is GATED_RMSNORM else {}
    with pytest.raises(ShapeError, match=rf"{op.name}: "):
        OpSample(operands=operands, options=options).case(op)


@pytest.mark.parametrize(
    "options", [{"groups": 3}, {"heads": 0}, {"state": 1 << 17}, {"dt_least": 2.0}]
)
def test_options_that_do_not_go_together_are_refused(options: dict[str, float]) -> None:
    changed = attrs.evolve(SSD, options={**SSD.options, **options})
    with pytest.raises(ShapeError, match=r"mamba\.ssd_scan: "):
        changed.case(SSD_SCAN)
