"""Contracts of backends: what every machine that runs programs must do.

The functions take a backend, so that the test class can run them case by case.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from synapse_core.backends import Backend, NumpyBackend, Session
from synapse_core.errors import UsageError
from synapse_core.ops import RowTable
from synapse_core.testing.agreement import (
    MODEL_TOLERANCE,
    feed,
    same_bits,
    tolerance_of,
    worst_error,
)
from synapse_core.testing.case import Case, rows
from synapse_core.testing.contracts import backend_pages
from synapse_core.testing.contracts.contract import Contract, Skipped, Subject, contract, require
from synapse_core.testing.corpus import corpus
from synapse_core.testing.toys import causal_decoder, image_encoder, two_towers, window_predictor

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
BATCHED_FORMATS = ("f32", "q8_0", "int8")
KV_TYPES = ("f32", "f16", "bf16", "q8_0")

BadCall = tuple[list[int], RowTable, list[int]]
BAD_CALLS: Mapping[str, BadCall] = {
    "id high": ([67], rows((0, 0, 1)), [0]),
    "id negative": ([-1], rows((0, 0, 1)), [0]),
    "select": ([1], rows((0, 0, 1)), [1]),
    "gap": ([1], rows((0, 5, 1)), [0]),
    "position": ([1], rows((0, 96, 1)), [0]),
    "slot": ([1], rows((3, 0, 1)), [0]),
    "split run": ([1, 1, 1], rows((0, 0, 1), (1, 0, 1), (0, 1, 1)), [0]),
    "rows": ([1] * 81, rows((0, 0, 81)), [0]),
}


def require_op_like_reference(backend: Backend, case: Case) -> None:
    """An op gives what its numpy reference gives in the same arithmetic."""
    error, bound = worst_error(case, backend, NumpyBackend(truth=False)), tolerance_of(case)
    require(error <= bound, f"{case.name}: differs from numpy by {error:.2g}, at most {bound:g}")


def require_model_like_numpy(backend: Backend, case: Case) -> None:
    """A whole model agrees with the reference run of its graph."""
    error = worst_error(case, backend, NumpyBackend(truth=False))
    bound = max(tolerance_of(case), MODEL_TOLERANCE)
    require(error <= bound, f"{case.name}: differs from numpy by {error:.2g}, at most {bound:g}")


def require_same_bits_on_threads(backend: Backend, case: Case) -> None:
    """One thread, two and three give the same bits."""
    one = case.run(backend, threads=1)
    for threads in (2, 3):
        same = same_bits(one, case.run(backend, threads=threads))
        require(same, f"{case.name}: {threads} threads give other bits than one")


def require_batched_like_alone(backend: Backend, format: str) -> None:
    """A slot gets the same bits beside others as alone, in chunks as in one call."""
    case = causal_decoder(format)
    ids = np.random.default_rng(5).integers(0, 67, 24)
    alone = _logits(case, backend, ids, ((0, 24),))
    chunked = _logits(case, backend, ids, ((0, 1), (1, 9), (9, 10), (10, 24)))
    same = alone.tobytes() == chunked.tobytes()
    require(same, f"{format}: a slot in chunks and in one call has other bits")
    session = backend.open(case.executable())
    other = np.arange(24) % 67
    both = np.concatenate([other, ids])
    out = session.run(
        "forward",
        {"ids": both, "select": np.arange(48)},
        {"tokens": rows((0, 0, 24), (2, 0, 24))},
    )["logits"]
    session.close()
    same = out[24:].tobytes() == alone.tobytes()
    require(same, f"{format}: a slot beside another and alone has other bits")


def require_copied_state_goes_on(backend: Backend) -> None:
    """A copied slot continues as the original does, and neither disturbs the other."""
    session = backend.open(causal_decoder().executable())
    feed(session, range(20), rows((0, 0, 20)))
    session.copy_state(0, 1)
    a = feed(session, [7], rows((0, 20, 1)))
    feed(session, [9, 9], rows((0, 21, 2)))
    b = feed(session, [7], rows((1, 20, 1)))
    session.close()
    require(a.tobytes() == b.tobytes(), "a copied slot goes on unlike the original")


def require_saved_state_goes_on(backend: Backend, kv: str) -> None:
    """A slot that is loaded goes on as the saved one, beside others, in another session.

    Page 0 is behind the window by then; the second page is partly filled, and where stale rows of
    another sequence lay the saved bytes are the same as where none did.
    """
    case = causal_decoder("f32", kv)
    ids = np.random.default_rng(6).integers(0, 67, 74)
    chunks = ((0, 66), (66, 70), (70, 71))
    first, second = (backend.open(case.executable()) for _ in range(2))
    feed(first, [5] * 80, rows((2, 0, 80)))
    first.release(2)
    feed(second, [9] * 30, rows((0, 0, 30)))
    for a, b in chunks:
        feed(first, ids[a:b], rows((0, a, b - a)))
        feed(second, ids[a:b], rows((1, a, b - a)))
    saved = first.save_state(0, 71)
    clean = [part.tobytes() for part in second.save_state(1, 71)]
    require(
        [part.tobytes() for part in saved] == clean,
        f"{kv}: the bytes of a saved slot depend on what else the session has run",
    )
    feed(second, [3] * 40, rows((1, 0, 40)))
    second.load_state(1, 71, saved)
    mine = feed(first, ids[71:], rows((0, 71, 3)))
    same = mine.tobytes() == feed(second, ids[71:], rows((1, 71, 3))).tobytes()
    require(same, f"{kv}: a slot that was saved and loaded goes on unlike the original")
    for what, bad in {
        "a part too short": [saved[0][:-1], *saved[1:]],
        "a part too few": saved[1:],
    }.items():
        require(_refuses(second, bad), f"{kv}: {what} was loaded, it must be a UsageError")
    first.close()
    second.close()


def _refuses(session: Session, parts: Sequence[np.ndarray]) -> bool:
    try:
        session.load_state(1, 71, parts)
    except UsageError:
        return True
    return False


def require_smaller_position_truncates(backend: Backend) -> None:
    """Going back to a position forgets what came after."""
    session = backend.open(causal_decoder().executable())
    feed(session, range(30), rows((0, 0, 30)))
    a = feed(session, [3], rows((0, 10, 1)))
    session.release(0)
    feed(session, range(10), rows((0, 0, 10)))
    b = feed(session, [3], rows((0, 10, 1)))
    session.close()
    require(a.tobytes() == b.tobytes(), "a slot set back to position 10 remembers more than 10")


def require_bad_call_refused(backend: Backend, bad: BadCall, name: str = "a bad call") -> None:
    """A call that breaks a rule is a UsageError, and the session lives on."""
    ids, table, select = bad
    session = backend.open(causal_decoder().executable())
    inputs = {"ids": np.array(ids), "select": np.array(select)}
    refused = False
    try:
        session.run("forward", inputs, {"tokens": table})
    except UsageError:
        refused = True
    require(refused, f"{name}: the call was run, it must be a UsageError")
    shape = feed(session, [1], rows((0, 0, 1))).shape
    session.close()
    require(shape == (1, 67), f"{name}: the call after it gave {shape}, it must give (1, 67)")


def _logits(
    case: Case, backend: Backend, ids: np.ndarray, chunks: tuple[tuple[int, int], ...]
) -> np.ndarray:
    session = backend.open(case.executable())
    parts = [feed(session, ids[a:b], rows((1, a, b - a))) for a, b in chunks]
    session.close()
    return np.concatenate(parts)


def backend_of(subject: Subject) -> Backend:
    """Return the backend.

    Raises: Skipped when it cannot work on this machine.
    """
    backend: Backend = subject.made()
    reason = backend.unavailable()
    if reason is not None:
        raise Skipped(f"unavailable here: {reason}")
    return backend


def judged(subject: Subject) -> Backend:
    """Return the backend, to be held against the reference; raises as `backend_of`."""
    backend = backend_of(subject)
    if isinstance(backend, NumpyBackend):
        raise Skipped("it is the reference itself, which computes in float32 by numpy's own order")
    return backend


@contract
def says_its_name_and_whether_it_works(subject: Subject) -> None:
    """Its name is the one it is listed by; `unavailable` gives None or a reason."""
    backend: Backend = subject.made()
    require(backend.name == subject.name, f"listed as {subject.name!r}, it says {backend.name!r}")
    reason = backend.unavailable()
    fits = reason is None or (isinstance(reason, str) and bool(reason))
    require(fits, f"unavailable() gave {reason!r}; None, or a text that says why")


@contract
def ops_match_their_reference(subject: Subject) -> None:
    """Every case of the corpus."""
    backend = judged(subject)
    for case in CORPUS:
        require_op_like_reference(backend, case)


@contract
def models_match_numpy(subject: Subject) -> None:
    """Every toy model."""
    backend = judged(subject)
    for case in TOYS:
        require_model_like_numpy(backend, case)


@contract
def threads_do_not_change_a_bit(subject: Subject) -> None:
    """Every toy model on one, two and three threads."""
    backend = backend_of(subject)
    for case in TOYS:
        require_same_bits_on_threads(backend, case)


@contract
def batched_equals_alone(subject: Subject) -> None:
    """In three formats."""
    backend = judged(subject)
    for format in BATCHED_FORMATS:
        require_batched_like_alone(backend, format)


@contract
def copied_state_goes_on_alike(subject: Subject) -> None:
    """See `require_copied_state_goes_on`."""
    require_copied_state_goes_on(backend_of(subject))


@contract
def saved_state_goes_on_alike(subject: Subject) -> None:
    """With every type of keys and values; see `require_saved_state_goes_on`."""
    backend = backend_of(subject)
    for kv in KV_TYPES:
        require_saved_state_goes_on(backend, kv)


@contract
def smaller_position_truncates(subject: Subject) -> None:
    """See `require_smaller_position_truncates`."""
    require_smaller_position_truncates(judged(subject))


@contract
def shared_pages_are_copied_before_they_are_written(subject: Subject) -> None:
    """See `backend_pages.require_shared_pages_apart`."""
    backend_pages.require_shared_pages_apart(backend_of(subject))


@contract
def pages_run_out_by_name(subject: Subject) -> None:
    """See `backend_pages.require_pages_run_out_by_name`."""
    backend_pages.require_pages_run_out_by_name(backend_of(subject))


@contract
def bad_calls_are_refused(subject: Subject) -> None:
    """Ids, rows, slots and positions out of bounds."""
    backend = backend_of(subject)
    for name, bad in BAD_CALLS.items():
        require_bad_call_refused(backend, bad, name)


CONTRACTS: dict[str, tuple[Contract, ...]] = {
    "backend": (
        says_its_name_and_whether_it_works,
        ops_match_their_reference,
        models_match_numpy,
        threads_do_not_change_a_bit,
        batched_equals_alone,
        copied_state_goes_on_alike,
        saved_state_goes_on_alike,
        smaller_position_truncates,
        shared_pages_are_copied_before_they_are_written,
        pages_run_out_by_name,
        bad_calls_are_refused,
    )
}
