"""How much is guessed follows what it costs and how often it holds."""

from __future__ import annotations

import numpy as np
import pytest

from synapse_core.generate.pace import Pace

TOKENS = 3000


def decode(row: float, hit: float, guess: float = 0.0, most: int = 15) -> float:
    """Return the time of decoding with guesses, of which plain steps would take TOKENS."""
    rng, pace, spent, done = np.random.default_rng(2), Pace(most), 0.0, 0
    while done < TOKENS:
        count = pace.length()
        seconds = 1 + row * count
        pace.called(count + 1, seconds, guess * count)
        right = next((n for n in range(count) if rng.random() >= hit), count)
        if count:
            pace.judged(count, right)
        spent += seconds + guess * count
        done += 1 + right
    return spent


@pytest.mark.parametrize("row", [0.02, 0.2, 1.0, 3.0])
@pytest.mark.parametrize("guess", [0.0, 0.3])
def test_wrong_guesses_cost_less_than_a_twentieth(row: float, guess: float) -> None:
    assert decode(row, 0.0, guess) <= TOKENS / 0.95


def test_cheap_right_guesses_pay() -> None:
    assert decode(0.05, 1.0) <= TOKENS / 7
    assert decode(0.05, 0.8) <= TOKENS / 2.5


def test_rows_that_cost_as_much_as_steps_are_not_asked_for() -> None:
    assert decode(1.0, 0.9) <= TOKENS * 1.05


def test_a_costly_guesser_is_used_where_it_saves_more() -> None:
    assert decode(0.05, 0.9, guess=0.1) <= TOKENS / 2
    assert decode(0.05, 0.5, guess=0.8) <= TOKENS * 1.05


def test_a_text_that_turns_repetitive_is_noticed() -> None:
    pace, lengths = Pace(15), []
    for step in range(1500):
        count = pace.length()
        pace.called(count + 1, 1 + 0.05 * count, 0.0)
        if count:
            pace.judged(count, count if step > 700 else 0)
        lengths.append(count)
    assert sum(lengths[300:700]) < 20
    assert min(lengths[-300:]) == 15


def test_nothing_is_guessed_where_there_is_no_room() -> None:
    pace = Pace(0)
    for _ in range(50):
        assert pace.length() == 0
        pace.called(1, 1.0, 0.0)
