"""The mixers natively: the same bits in any chunks, on any threads, alone and beside others."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence

import attrs
import numpy as np
import pytest

from synapse_core.backends import Session
from synapse_core.errors import Unavailable, UsageError
from synapse_core.families import ComponentConfig, make_component
from synapse_core.graph import Constant, Graph, GraphBuilder, WeightScope
from synapse_core.ops import RowTable, StateType, TensorType
from synapse_core.passes import optimise
from synapse_core.plugins import default_host
from synapse_core.program import Limits
from synapse_core.testing import Case, OpSample, fill_weights, rows

WIDTH, LENGTH, SLOTS = 24, 41, 4
# Sizes that no vector divides, and those of published models' heads.
MIXERS = {
    "mamba1": ("mamba1", {"inner": 50, "state": 16, "rank": 3}),
    "mamba1 odd": ("mamba1", {"inner": 37, "state": 21, "rank": 5, "taps": 3}),
    "mamba2": ("mamba2", {"heads": 2, "head_dim": 64, "state": 128, "eps": 1e-5}),
    "mamba2 odd": (
        "mamba2",
        {"heads": 6, "head_dim": 11, "state": 19, "groups": 3, "eps": 1e-5, "taps": 2},
    ),
}
CUTS = ((0, 41), (0, 1, 2, 3, 41), (0, 16, 32, 41), (0, 15, 33, 40, 41), tuple(range(42)))
Open = Callable[..., Session]


def case_of(name: str) -> Case:
    """Return one mixer behind a residual sum."""
    component, options = MIXERS[name]
    host = default_host()
    builder = GraphBuilder(lambda op: host.get("op", op))
    f = builder.function("forward")
    x = f.input("x", TensorType(f.space("tokens"), WIDTH))
    mixer = make_component(host, ComponentConfig("attention", component, dict(options)))
    f.output("y", f.op("add", x, mixer.build(f, x, WeightScope(builder) / "mixer")))
    graph = fading(optimise(fill_weights(builder.finish(), 5)))
    used = sorted({node.op for node in graph.functions["forward"].nodes})
    ops = tuple(host.get("op", op) for op in used)
    return Case(name, graph, (), Limits(rows={"tokens": 96}, slots=SLOTS, positions=64), ops)


def fading(graph: Graph) -> Graph:
    """Give every memory rates at which it fades: random ones would let it grow without end."""
    weights = dict(graph.weights)
    for name, weight in weights.items():
        if name.endswith(".a"):
            spread = np.geomspace(-0.01, -8.0, weight.rows * weight.cols, dtype=np.float32)
            source = Constant.of(spread.reshape(weight.rows, weight.cols))
            weights[name] = attrs.evolve(weight, source=source)
    return attrs.evolve(graph, weights=weights)


@pytest.fixture
def opened() -> Iterator[Open]:
    """`opened(name, backend, threads)`: a session of a mixer."""
    sessions: list[Session] = []

    def opened(name: str, backend: str = "cpu", threads: int | None = None) -> Session:
        host = default_host()
        if backend not in host.names("backend"):
            pytest.skip(f"backend {backend!r} is not installed")
        made = host.get("backend", backend)
        made = made() if isinstance(made, type) else made
        sessions.append(made.open(case_of(name).executable(), threads=threads))
        return sessions[-1]

    yield opened
    for session in sessions:
        session.close()


def numbers(seed: int) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((LENGTH, WIDTH)).astype(np.float32)


def run(session: Session, x: np.ndarray, table: RowTable) -> np.ndarray:
    found: np.ndarray = session.run("forward", {"x": x}, {"tokens": table})["y"]
    return found.copy()


def in_cuts(session: Session, x: np.ndarray, cuts: Sequence[int], slot: int = 0) -> np.ndarray:
    pairs = itertools.pairwise(cuts)
    return np.concatenate([run(session, x[a:b], rows((slot, a, b - a))) for a, b in pairs])


@pytest.mark.parametrize("name", MIXERS)
def test_any_chunks_and_any_threads_give_the_same_bits(opened: Open, name: str) -> None:
    x = numbers(1)
    wanted = in_cuts(opened(name, threads=1), x, (0, LENGTH))
    assert np.isfinite(wanted).all()
    for threads in (1, 2, 3):
        session = opened(name, threads=threads)
        for cuts in CUTS:
            assert in_cuts(session, x, cuts).tobytes() == wanted.tobytes(), (threads, cuts)


@pytest.mark.parametrize("name", MIXERS)
def test_slots_side_by_side_are_bit_equal_to_each_alone(opened: Open, name: str) -> None:
    texts = [numbers(n) for n in range(3)]
    alone = [in_cuts(opened(name), x, (0, LENGTH)) for x in texts]
    session = opened(name)
    order, first = (2, 0, 1), 0
    parts: list[list[np.ndarray]] = [[], [], []]
    for count in (1, 17, 1, 22):
        table = rows(*((slot, first, count) for slot in order))
        x = np.concatenate([texts[slot][first : first + count] for slot in order])
        for slot, part in zip(order, np.split(run(session, x, table), 3), strict=True):
            parts[slot].append(part)
        first += count
    for found, wanted in zip(parts, alone, strict=True):
        assert np.concatenate(found).tobytes() == wanted.tobytes()


@pytest.mark.parametrize("backend", ["numpy", "cpu"])
@pytest.mark.parametrize("name", MIXERS)
def test_a_slot_begins_anew_at_position_zero(opened: Open, name: str, backend: str) -> None:
    session, x = opened(name, backend), numbers(2)
    in_cuts(session, numbers(3), (0, 30))
    again = in_cuts(session, x, (0, LENGTH))
    assert again.tobytes() == in_cuts(opened(name, backend), x, (0, LENGTH)).tobytes()


@pytest.mark.parametrize("backend", ["numpy", "cpu"])
@pytest.mark.parametrize("name", MIXERS)
def test_a_copied_and_a_saved_slot_go_on_as_the_first(
    opened: Open, name: str, backend: str
) -> None:
    session, x = opened(name, backend), numbers(4)
    in_cuts(session, x, (0, 20))
    session.copy_state(0, 3)
    saved = session.save_state(0, 20)
    wanted = run(session, x[20:], rows((0, 20, LENGTH - 20)))
    assert run(session, x[20:], rows((3, 20, LENGTH - 20))).tobytes() == wanted.tobytes()
    in_cuts(session, numbers(5), (0, 9), slot=1)
    session.load_state(1, 20, saved)
    assert run(session, x[20:], rows((1, 20, LENGTH - 20))).tobytes() == wanted.tobytes()


@pytest.mark.parametrize("table", ["plain", "avx2", "avx512", "amx"])
@pytest.mark.parametrize("name", MIXERS)
def test_every_table_of_kernels_equals_the_reference(
    opened: Open, monkeypatch: pytest.MonkeyPatch, name: str, table: str
) -> None:
    x = numbers(6)
    wanted = in_cuts(opened(name, "numpy"), x, (0, LENGTH))
    monkeypatch.setenv("SYNAPSE_CPU", table)
    try:
        session = opened(name)
    except (Unavailable, UsageError) as error:
        pytest.skip(str(error))
    found = in_cuts(session, x, (0, 7, LENGTH))
    assert np.abs(found - wanted).max() <= 1e-5 * wanted.std()


# What the reference's log1p and exp say, and float32 ends of both.
STEPS = (-200.0, -90.0, -30.0, -12.0, -3.0, -1e-3, 0.0, 1e-3, 0.5, 3.0, 20.0, 88.0, 200.0)


def test_steps_of_any_size_are_as_exact_as_the_reference(opened: Open) -> None:
    case = OpSample(
        operands=(26, 26, 1, 1, (1, 26), (1, 26), None, StateType("memory", "recurrent", 26))
    ).case(default_host().get("op", "mamba.selective_scan"))
    dt = np.tile(np.array(STEPS, np.float32), 2)[None]
    ones = np.ones((1, 1), np.float32)
    weights = dict(case.graph.weights)
    for name, values in (("w4", np.repeat([-1.0, -1e-4], 13)), ("w5", np.zeros(26))):
        source = Constant.of(values[None].astype(np.float32))
        weights[name] = attrs.evolve(weights[name], source=source)
    case = attrs.evolve(case, graph=attrs.evolve(case.graph, weights=weights))
    host = default_host()
    if "cpu" not in host.names("backend"):
        pytest.skip("backend 'cpu' is not installed")
    session = host.get("backend", "cpu")().open(case.executable())
    inputs = {"x0": np.ones_like(dt), "x1": dt, "x2": ones, "x3": ones}
    # The first row leaves Δ in the memory, the second what remains of it, and zero comes in.
    first = session.run("f", inputs, {"tokens": rows((0, 0, 1))})["y0"][0].copy()
    inputs["x0"] = np.zeros_like(dt)
    second = session.run("f", inputs, {"tokens": rows((0, 1, 1))})["y0"][0].copy()
    session.close()
    exact = np.logaddexp(0, dt[0].astype(np.float64))
    rates = np.repeat([1.0, np.float32(1e-4)], 13)
    np.testing.assert_allclose(first, exact, rtol=4e-7, atol=1e-37)
    left = exact * np.exp(-exact * rates)
    np.testing.assert_allclose(second, left, rtol=6e-6, atol=1e-35)
