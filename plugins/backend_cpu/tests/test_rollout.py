"""The runtime's loop: the same bits as calls one by one, and nothing that it was not handed."""

from __future__ import annotations

import attrs
import numpy as np
import pytest
from synapse_backend_cpu import session as module
from synapse_backend_cpu.backend import CpuBackend
from synapse_backend_cpu.looping import native_loop

from synapse_core.backends import Loop, Session, Unroller, Unrolls
from synapse_core.errors import UsageError
from synapse_core.testing import window_predictor

LOOP = Loop("predict", "latents", "next", 3)
WIDTH, STEPS = 24, 9
CASE = window_predictor()


def numbers(*shape: int, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape, np.float32)


def opened(threads: int | None = None) -> Unroller:
    executable = CASE.executable()
    return Unroller.open(CpuBackend().open(executable, threads=threads), executable.program, LOOP)


@attrs.frozen
class Plain:
    """A session that brings no loop."""

    session: Session

    def run(self, *given):
        return self.session.run(*given)


@pytest.mark.parametrize("threads", [None, 1, 2, 3])
@pytest.mark.parametrize("begun", [1, 2, 4])
def test_the_loop_has_the_bits_of_calls_one_by_one(tier, begun, threads):
    unroller = opened(threads)
    assert isinstance(unroller.session, Unrolls)
    start, actions = numbers(3, begun, WIDTH, seed=1), numbers(3, STEPS, WIDTH, seed=2)
    found = unroller.run(start, {"actions": actions})
    plain = attrs.evolve(unroller, session=Plain(unroller.session))
    assert not isinstance(plain.session, Unrolls)
    assert np.array_equal(found, plain.run(start, {"actions": actions}))
    assert np.abs(found[:, begun:]).max() > 0.1


def test_one_sequence_alone_has_its_bits_among_many(tier):
    unroller = opened()
    start, actions = numbers(7, 2, WIDTH, seed=3), numbers(7, STEPS, WIDTH, seed=4)
    found = unroller.run(start, {"actions": actions})
    for n in range(7):
        alone = unroller.run(start[n : n + 1], {"actions": actions[n : n + 1]})
        assert np.array_equal(found[n], alone[0])


def set_window(loop):
    loop.window = 4


def set_slots(loop):
    loop.slots = 4


def set_begun(loop):
    loop.begun = 0


def set_space(loop):
    loop.space = 7


def set_fed(loop):
    loop.fed = 1 << 20


def set_output(loop):
    loop.output = 0x7FFFFFFF


def set_given(loop):
    loop.given[0].tensor = 4096


def set_no_rows(loop):
    loop.given[0].rows = module.declarations().NULL


def set_no_series(loop):
    loop.series = module.declarations().NULL


@pytest.mark.parametrize(
    "change",
    [
        set_window,
        set_slots,
        set_begun,
        set_space,
        set_fed,
        set_output,
        set_given,
        set_no_rows,
        set_no_series,
    ],
)
@pytest.mark.parametrize("threads", [1, 2])
def test_a_loop_that_does_not_fit_is_refused_before_it_runs(monkeypatch, change, threads):
    def spoilt(*given):
        loop = native_loop(*given)
        change(loop)
        return loop

    unroller = opened(threads)
    monkeypatch.setattr(module, "native_loop", spoilt)
    with pytest.raises(UsageError, match="predict"):
        unroller.run(numbers(3, 2, WIDTH, seed=1), {"actions": numbers(3, STEPS, WIDTH, seed=2)})
