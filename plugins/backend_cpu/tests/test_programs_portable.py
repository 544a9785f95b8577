"""Whole programs have the same bits on wasm32, rv32 and aarch64 as in the native backend."""

from __future__ import annotations

import functools
from pathlib import Path

import attrs
import numpy as np
import pytest
from synapse_backend_cpu.backend import CpuBackend

from synapse_core.backends import Loop, NumpyBackend, Unroller, Unrolls
from synapse_core.testing import (
    Case,
    recurrent_scan,
    rows,
    same_bits,
    window_predictor,
    worst_error,
)
from synapse_core.testing.backend_kit import CORPUS, RELATIVE_TOLERANCE, TOYS

from .machines.backend import EmulatedBackend

ACME = Path(__file__).parents[3] / "tests" / "third_party" / "acme"
pytestmark = pytest.mark.portable


@functools.cache
def native(case: Case) -> list[dict[str, np.ndarray]]:
    """What the cpu backend gives on this machine."""
    return case.run(CpuBackend(), threads=1)


@pytest.fixture(scope="module")
def scan_case():
    """The recurrent toy on the op of a stranger's plugin."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(ACME))
        from synapse_acme.scan import SCAN

        yield recurrent_scan(SCAN)


@pytest.mark.parametrize("case", TOYS, ids=lambda case: case.name)
def test_model_has_the_native_bits(emulated, case):
    assert same_bits(case.run(emulated), native(case))


@pytest.mark.parametrize("case", CORPUS, ids=lambda case: case.name)
def test_op_has_the_native_bits(emulated, case):
    assert same_bits(case.run(emulated), native(case))


def test_plugins_kernel_has_the_native_bits(emulated, scan_case):
    assert same_bits(scan_case.run(emulated), native(scan_case))
    assert worst_error(scan_case, emulated, NumpyBackend(truth=False)) <= RELATIVE_TOLERANCE


def test_copied_recurrence_goes_on_with_the_native_bits(emulated, scan_case):
    found = []
    for backend in (emulated, CpuBackend()):
        session = backend.open(scan_case.executable(), threads=1)
        x = np.random.default_rng(16).standard_normal((6, 20), np.float32)
        session.run("forward", {"x": x}, {"tokens": rows((0, 0, 6))})
        session.copy_state(0, 1)
        ends = [
            session.run("forward", {"x": x[:2]}, {"tokens": rows((slot, 6, 2))})["y"]
            for slot in (1, 0)
        ]
        session.close()
        assert ends[0].tobytes() == ends[1].tobytes()
        found.append(ends[0])
    assert found[0].tobytes() == found[1].tobytes()


def test_a_loop_has_the_native_bits(emulated):
    loop = Loop("predict", "latents", "next", 3)
    rng = np.random.default_rng(17)
    start = rng.standard_normal((3, 2, 24), np.float32)
    actions = rng.standard_normal((3, 7, 24), np.float32)
    found = []
    for backend in (emulated, CpuBackend()):
        executable = window_predictor().executable()
        session = backend.open(executable, threads=1)
        assert isinstance(session, Unrolls)
        unroller = Unroller.open(session, executable.program, loop)
        found.append(unroller.run(start, {"actions": actions}))
        session.close()
    assert np.array_equal(found[0], found[1])
    assert np.abs(found[0][:, 2:]).max() > 0.1


def test_fused_multiply_and_add_would_be_seen(machine_of):
    aarch64 = machine_of("aarch64")

    class Fused(aarch64.machine):
        guest = attrs.evolve(
            aarch64.machine.guest, flags=(*aarch64.machine.guest.flags, "-ffp-contract=fast")
        )

    case = TOYS[0]
    assert not same_bits(case.run(EmulatedBackend("fused", Fused)), native(case))
