"""A function that goes on from its own output."""

from __future__ import annotations

import attrs
import numpy as np
import pytest

from synapse_core.backends import Loop, NumpyBackend, Unroller
from synapse_core.errors import UsageError
from synapse_core.testing import causal_decoder, window_predictor
from synapse_core.testing.case import rows

LOOP = Loop("predict", "latents", "next", 3)
WIDTH = 24
CASE = window_predictor()


def numbers(*shape: int, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape, np.float32)


def open_unroller(loop: Loop = LOOP) -> Unroller:
    executable = CASE.executable()
    return Unroller.open(NumpyBackend().open(executable), executable.program, loop)


@pytest.mark.parametrize("begun", [1, 2, 3, 5])
def test_each_step_sees_the_last_rows_and_what_it_made_itself(begun: int) -> None:
    unroller = open_unroller()
    start, actions = numbers(2, begun, WIDTH, seed=1), numbers(2, 8, WIDTH, seed=2)
    found = unroller.run(start, {"actions": actions})
    assert found.shape == (2, 9, WIDTH)
    assert np.array_equal(found[:, :begun], start)
    for n in range(2):
        series = list(start[n])
        for end in range(begun, 9):
            lo = max(0, end - 3)
            inputs = {"latents": np.stack(series[lo:]), "actions": actions[n, lo:end]}
            table = rows((0, 0, end - lo))
            made = unroller.session.run("predict", inputs, {"tokens": table})["next"]
            series.append(made[-1])
        np.testing.assert_allclose(found[n], np.stack(series), rtol=0, atol=2e-5)


def test_more_sequences_than_slots_run_in_turns() -> None:
    unroller = open_unroller()
    assert unroller.slots == 3
    start, actions = numbers(8, 2, WIDTH, seed=3), numbers(8, 4, WIDTH, seed=4)
    found = unroller.run(start, {"actions": actions})
    for n in range(8):
        alone = unroller.run(start[n : n + 1], {"actions": actions[n : n + 1]})
        np.testing.assert_allclose(found[n], alone[0], rtol=0, atol=2e-5)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"function": "forward"}, "no function 'forward'"),
        ({"fed": "pixels"}, "'pixels'"),
        ({"output": "logits"}, "'logits'"),
        ({"window": 4}, "window of 4"),
        ({"window": 0}, "window of 0"),
    ],
)
def test_a_loop_that_the_model_has_not_is_refused(changes: dict[str, object], words: str) -> None:
    with pytest.raises(UsageError, match=words):
        open_unroller(attrs.evolve(LOOP, **changes))


def test_ids_are_no_rows_to_go_on_from() -> None:
    executable = causal_decoder().executable()
    session = NumpyBackend().open(executable)
    with pytest.raises(UsageError, match="no next row"):
        Unroller.open(session, executable.program, Loop("forward", "ids", "logits", 1))


@pytest.mark.parametrize(
    ("start", "given", "words"),
    [
        ((2, 2, WIDTH), {}, "actions"),
        ((2, 2, WIDTH + 1), {"actions": (2, 4, WIDTH)}, "'latents' is"),
        ((2, 2, WIDTH), {"actions": (2, 1, WIDTH)}, "'actions' is"),
        ((2, 2, WIDTH), {"actions": (3, 4, WIDTH)}, "'actions' is"),
        ((2, 2, WIDTH), {"actions": (2, 4, WIDTH + 1)}, "'actions' is"),
        ((2, 2, WIDTH), {"actions": (2, 4, WIDTH), "more": (2, 4, 1)}, "goes on with"),
        ((0, 2, WIDTH), {"actions": (0, 4, WIDTH)}, "'latents' is"),
    ],
)
def test_shapes_that_do_not_go_together_are_refused(
    start: tuple[int, ...], given: dict[str, tuple[int, ...]], words: str
) -> None:
    with pytest.raises(UsageError, match=words):
        open_unroller().run(
            np.zeros(start), {name: np.zeros(shape) for name, shape in given.items()}
        )
