"""The contract of a backend, as tests. Inherit it, give a `backend` fixture, run pytest.

class TestMyBackend(BackendContract):
    @pytest.fixture
    def backend(self):
        return MyBackend()
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import pytest

from synapse_core.backends import Backend, NumpyBackend, Session
from synapse_core.errors import UsageError
from synapse_core.ops import RowTable
from synapse_core.testing.case import Case, rows
from synapse_core.testing.corpus import corpus
from synapse_core.testing.toys import causal_decoder, image_encoder, two_towers, window_predictor

# Two float32 programs that sum in another order; integer block sums are exact in both.
RELATIVE_TOLERANCE = 1e-5
# Rounding to the KV type may fall on the other side of a half: one step of bf16.
STEP_TOLERANCE = 4e-3
# Rounding an activation to int8 may too, and then the layers behind it see one step of 127.
INT8_TOLERANCE = 5e-2

CORPUS = corpus()
TOYS = (
    causal_decoder(),
    causal_decoder("q8_0"),
    causal_decoder("int8"),
    causal_decoder("bf16", "bf16"),
    causal_decoder("f16", "f32"),
    image_encoder(),
    window_predictor(),
    two_towers(),
)


def worst_error(case: Case, backend: Backend, oracle: Backend) -> float:
    """Return the largest |a − b| over the outputs' scale (their root mean square) of all calls."""
    worst = 0.0
    for mine, theirs in zip(case.run(backend), case.run(oracle), strict=True):
        assert sorted(mine) == sorted(theirs)
        for name in theirs:
            scale = float(np.sqrt(np.mean(np.square(theirs[name], dtype=np.float64)))) or 1.0
            assert mine[name].shape == theirs[name].shape, f"{case.name}: {name}"
            worst = max(worst, float(np.abs(mine[name] - theirs[name]).max(initial=0.0)) / scale)
    return worst


def tolerance_of(case: Case) -> float:
    """Return how far a case may be from the oracle that follows its arithmetic."""
    if "decoder" in case.name and any(format in case.name for format in ("q8_0", "int8")):
        return INT8_TOLERANCE
    rounds = "f16" in case.name and ("attention" in case.name or "decoder" in case.name)
    return STEP_TOLERANCE if rounds else RELATIVE_TOLERANCE


def same_bits(a: list[dict[str, np.ndarray]], b: list[dict[str, np.ndarray]]) -> bool:
    """Whether two runs gave the same outputs, bit for bit."""
    return all(
        sorted(x) == sorted(y) and all(x[n].tobytes() == y[n].tobytes() for n in x)
        for x, y in zip(a, b, strict=True)
    )


class BackendContract:
    """What every backend must do."""

    @pytest.fixture
    def backend(self) -> Backend:
        """Return the backend under test."""
        raise NotImplementedError("a BackendContract needs a `backend` fixture")

    @pytest.mark.parametrize("case", CORPUS, ids=lambda case: case.name)
    def test_op_matches_its_reference(self, backend: Backend, case: Case) -> None:
        """Every op gives what its numpy reference gives in the same arithmetic."""
        error = worst_error(case, backend, NumpyBackend(truth=False))
        assert error <= tolerance_of(case)

    @pytest.mark.parametrize("case", TOYS, ids=lambda case: case.name)
    def test_model_matches_numpy(self, backend: Backend, case: Case) -> None:
        """Whole models agree with the reference run of their graph."""
        error = worst_error(case, backend, NumpyBackend(truth=False))
        assert error <= max(tolerance_of(case), 2e-5)

    @pytest.mark.parametrize("case", TOYS, ids=lambda case: case.name)
    def test_threads_do_not_change_a_bit(self, backend: Backend, case: Case) -> None:
        """One thread, two and three give the same bits."""
        one = case.run(backend, threads=1)
        assert same_bits(one, case.run(backend, threads=2))
        assert same_bits(one, case.run(backend, threads=3))

    @pytest.mark.parametrize("format", ["f32", "q8_0", "int8"])
    def test_batched_equals_alone(self, backend: Backend, format: str) -> None:
        """A slot gets the same bits beside others as alone, in chunks as in one call."""
        case = causal_decoder(format)
        ids = np.random.default_rng(5).integers(0, 67, 24)
        alone = _logits(case, backend, ids, ((0, 24),))
        chunked = _logits(case, backend, ids, ((0, 1), (1, 9), (9, 10), (10, 24)))
        assert alone.tobytes() == chunked.tobytes()
        session = backend.open(case.executable())
        other = np.arange(24) % 67
        both = np.concatenate([other, ids])
        out = session.run(
            "forward",
            {"ids": both, "select": np.arange(48)},
            {"tokens": rows((0, 0, 24), (2, 0, 24))},
        )["logits"]
        session.close()
        assert out[24:].tobytes() == alone.tobytes()

    def test_copied_state_goes_on_alike(self, backend: Backend) -> None:
        """A copied slot continues as the original does, and neither disturbs the other."""
        case = causal_decoder()
        session = backend.open(case.executable())
        feed(session, range(20), rows((0, 0, 20)))
        session.copy_state(0, 1)
        a = feed(session, [7], rows((0, 20, 1)))
        feed(session, [9, 9], rows((0, 21, 2)))
        b = feed(session, [7], rows((1, 20, 1)))
        session.close()
        assert a.tobytes() == b.tobytes()

    def test_smaller_position_truncates(self, backend: Backend) -> None:
        """Going back to a position forgets what came after."""
        case = causal_decoder()
        session = backend.open(case.executable())
        feed(session, range(30), rows((0, 0, 30)))
        a = feed(session, [3], rows((0, 10, 1)))
        session.release(0)
        feed(session, range(10), rows((0, 0, 10)))
        b = feed(session, [3], rows((0, 10, 1)))
        session.close()
        assert a.tobytes() == b.tobytes()

    @pytest.mark.parametrize(
        ("ids", "table", "select"),
        [
            ([67], rows((0, 0, 1)), [0]),
            ([-1], rows((0, 0, 1)), [0]),
            ([1], rows((0, 0, 1)), [1]),
            ([1], rows((0, 5, 1)), [0]),
            ([1], rows((0, 96, 1)), [0]),
            ([1], rows((3, 0, 1)), [0]),
            ([1, 1, 1], rows((0, 0, 1), (1, 0, 1), (0, 1, 1)), [0]),
            ([1] * 81, rows((0, 0, 81)), [0]),
        ],
        ids=["id high", "id negative", "select", "gap", "position", "slot", "split run", "rows"],
    )
    def test_bad_call_is_refused(
        self, backend: Backend, ids: list[int], table: RowTable, select: list[int]
    ) -> None:
        """A call that breaks a rule is a UsageError, and the session lives on."""
        session = backend.open(causal_decoder().executable())
        with pytest.raises(UsageError):
            session.run(
                "forward", {"ids": np.array(ids), "select": np.array(select)}, {"tokens": table}
            )
        assert feed(session, [1], rows((0, 0, 1))).shape == (1, 67)
        session.close()


def feed(session: Session, ids: Iterable[int], table: RowTable) -> np.ndarray:
    """Run tokens of the toy decoder and return the logits of all rows."""
    inputs = {"ids": np.array(list(ids)), "select": np.arange(len(table))}
    return session.run("forward", inputs, {"tokens": table})["logits"]


def _logits(
    case: Case, backend: Backend, ids: np.ndarray, chunks: tuple[tuple[int, int], ...]
) -> np.ndarray:
    session = backend.open(case.executable())
    parts = [feed(session, ids[a:b], rows((1, a, b - a))) for a, b in chunks]
    session.close()
    return np.concatenate(parts)
