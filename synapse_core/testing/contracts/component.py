"""Contracts of components: attention, ffn, norm, position."""

from __future__ import annotations

import inspect
import itertools
from collections.abc import Mapping
from typing import Any

import numpy as np

from synapse_core.backends import NumpyBackend
from synapse_core.graph import GraphBuilder, WeightScope
from synapse_core.ops import RowTable, TensorType
from synapse_core.program import Limits
from synapse_core.testing.agreement import MODEL_TOLERANCE, worst_error
from synapse_core.testing.case import Call, Case, fill_weights, rows
from synapse_core.testing.contracts.contract import Contract, Skipped, Subject, contract, require
from synapse_core.testing.contracts.native import native_backend

WIDTH = 32
ROWS = 16
SCOPE = "part"
# What options are called in the core, and a small value that fits the others and WIDTH.
USUAL_OPTIONS: Mapping[str, Any] = {
    "context": 64,
    "eps": 1e-5,
    "head_dim": 8,
    "heads": 4,
    "hidden": 24,
    "kv_heads": 2,
    "theta": 10000.0,
    "width": 8,
    "window": 5,
}


def make(subject: Subject) -> Any:
    """Return the component, built with its sample, or with the usual options that it requires.

    Raises: Skipped when it requires an option that is not among them.
    """
    if subject.sample is not None:
        return subject.thing(**subject.sample)
    parameters = inspect.signature(subject.thing).parameters.values()
    required = [p.name for p in parameters if p.default is p.empty and p.kind is not p.VAR_KEYWORD]
    unknown = [name for name in required if name not in USUAL_OPTIONS]
    if unknown:
        raise Skipped(f"needs option {unknown[0]!r}: name a sample in Provides(…, sample=)")
    return subject.thing(**{name: USUAL_OPTIONS[name] for name in required})


def build(subject: Subject) -> Case:
    """Return a case of one function: rows x (T, WIDTH) in, the component's rows y out; no calls."""
    builder = GraphBuilder(lambda name: subject.registry.get("op", name))
    g = builder.function("forward")
    x = g.input("x", TensorType(g.space("tokens"), WIDTH))
    g.output("y", make(subject).build(g, x, WeightScope(builder) / SCOPE))
    limits = Limits(rows={"tokens": ROWS}, slots=3, positions=32, kv="f32")
    graph = fill_weights(builder.finish(), 31)
    used = {node.op for node in graph.functions["forward"].nodes}
    ops = tuple(subject.registry.get("op", name) for name in sorted(used))
    return Case(subject.name, graph, (), limits, ops)


def numbers(count: int, seed: int = 32) -> np.ndarray:
    """Return random rows (count, WIDTH), not of mean zero."""
    values = np.random.default_rng(seed).standard_normal((count, WIDTH)) + 0.25
    return values.astype(np.float32)


def outputs(case: Case, *calls: tuple[np.ndarray, RowTable]) -> list[np.ndarray]:
    """Run calls on a fresh session of the reference; return y of each."""
    session = NumpyBackend().open(case.executable())
    try:
        return [session.run("forward", {"x": x}, {"tokens": table})["y"] for x, table in calls]
    finally:
        session.close()


def require_close(a: np.ndarray, b: np.ndarray, what: str) -> None:
    """Check that two results agree, relative to the second's root mean square.

    Raises: CheckFailed naming the difference and the bound.
    """
    scale = float(np.sqrt(np.mean(np.square(b, dtype=np.float64)))) or 1.0
    error = float(np.abs(a - b).max(initial=0.0)) / scale
    require(error <= MODEL_TOLERANCE, f"{what}: differ by {error:.2g}, at most {MODEL_TOLERANCE:g}")


@contract
def keeps_the_shape(subject: Subject) -> None:
    """Rows that come out are as many and as wide as those that went in."""
    case = build(subject)
    function = case.graph.functions["forward"]
    x, y = function.inputs[0].type, function.outputs["y"].type
    found = f"{y.space.name} × {y.cols}"
    require((x.space, x.cols) == (y.space, y.cols), f"x is tokens × {x.cols}, y is {found}")
    (ran,) = outputs(case, (numbers(5), rows((0, 0, 5))))
    require(ran.shape == (5, WIDTH), f"5 rows of {WIDTH} gave {ran.shape} on numpy")


@contract
def names_weights_and_states_below_its_scope(subject: Subject) -> None:
    """Two layers must not share a weight or a state by accident."""
    builder = GraphBuilder(lambda name: subject.registry.get("op", name))
    g = builder.function("forward")
    x = g.input("x", TensorType(g.space("tokens"), WIDTH))
    component = make(subject)
    for layer in (0, 1):
        x = component.build(g, x, WeightScope(builder) / f"layers.{layer}")
    declared = [name for name, weight in builder.weights.items() if weight.source is None]
    for name in (*declared, *builder.states):
        require(name.startswith("layers."), f"{name!r} is not below 'layers.0' or 'layers.1'")
        other = name.replace("layers.0", "layers.1", 1)
        both = other in builder.weights or other in builder.states
        require(both, f"layer 0 has {name!r}, layer 1 has no {other!r}")


@contract
def runs_on_numpy_and_depends_on_its_rows(subject: Subject) -> None:
    """The outputs are finite, repeatable, and other for other rows."""
    case = build(subject)
    table = rows((0, 0, 5))
    (a,) = outputs(case, (numbers(5), table))
    (again,) = outputs(case, (numbers(5), table))
    (other,) = outputs(case, (numbers(5, seed=33), table))
    require(bool(np.isfinite(a).all()), "an output is not finite")
    require(a.tobytes() == again.tobytes(), "two runs on the same rows differ")
    require(not np.array_equal(a, other), "other rows give the same outputs")


@contract
def rows_are_independent(subject: Subject) -> None:
    """A row gives what it gives alone, wherever it stands."""
    case = build(subject)
    x = numbers(6)
    (together,) = outputs(case, (x, rows((1, 0, 6))))
    alone = [outputs(case, (row[None], rows((0, 0, 1))))[0] for row in x]
    require_close(together, np.concatenate(alone), "six rows together and each alone")


@contract
def batched_equals_alone(subject: Subject) -> None:
    """A slot gives beside others what it gives alone."""
    case = build(subject)
    x, other = numbers(7), numbers(4, seed=34)
    (alone,) = outputs(case, (x, rows((0, 0, 7))))
    table = rows((2, 0, 4), (1, 0, 7))
    (both,) = outputs(case, (np.concatenate([other, x]), table))
    require_close(both[4:], alone, "a slot beside another and the same slot alone")


@contract
def mixes_rows_of_one_slot_only(subject: Subject) -> None:
    """A later row sees an earlier one of its slot, and none of another's."""
    case = build(subject)
    x = numbers(6)
    changed = x.copy()
    changed[0] += 1
    (a,) = outputs(case, (x, rows((0, 0, 6))))
    (b,) = outputs(case, (changed, rows((0, 0, 6))))
    require(not np.array_equal(a[1:], b[1:]), "the first row changes no other: nothing is mixed")
    table = rows((0, 0, 1), (1, 0, 5))
    (a,) = outputs(case, (x, table))
    (b,) = outputs(case, (changed, table))
    require(np.array_equal(a[1:], b[1:]), "a row of slot 0 changes rows of slot 1")


@contract
def chunks_equal_the_whole(subject: Subject) -> None:
    """What keeps a state gives the same row by row, in chunks and in one call."""
    case = build(subject)
    if not case.graph.states:
        raise Skipped("keeps no state: all rows of a slot come in one call")
    x = numbers(12)
    (whole,) = outputs(case, (x, rows((0, 0, 12))))
    for cuts in ((0, 1, 5, 6, 12), tuple(range(13))):
        parts = [(x[a:b], rows((1, a, b - a))) for a, b in itertools.pairwise(cuts)]
        require_close(np.concatenate(outputs(case, *parts)), whole, f"cut at {cuts} and whole")


@contract
def tells_positions_apart(subject: Subject) -> None:
    """The same row at two positions gives two results, and the same at the same position."""
    case = build(subject)
    same = np.repeat(numbers(1), 6, axis=0)
    (y,) = outputs(case, (same, rows((0, 0, 6))))
    alike = [n for n in range(1, 6) if np.array_equal(y[0], y[n])]
    require(not alike, f"positions 0 and {alike and alike[0]} give the same row")


@contract
def natively_equals_numpy(subject: Subject) -> None:
    """The backend cpu gives what the reference gives, where it is installed."""
    case = build(subject)
    x = numbers(11)
    calls: tuple[Call, ...] = (
        Call("forward", {"x": x}, {"tokens": rows((2, 0, 4), (0, 0, 7))}),
        Call("forward", {"x": x[:3]}, {"tokens": rows((0, 7, 1), (2, 4, 2))}),
    )
    if not case.graph.states:
        calls = calls[:1]
    case = Case(case.name, case.graph, calls, case.limits, case.ops)
    error = worst_error(case, native_backend(subject, case), NumpyBackend(truth=False))
    require(error <= MODEL_TOLERANCE, f"cpu and numpy differ by {error:.2g}")


_ALL = (
    keeps_the_shape,
    names_weights_and_states_below_its_scope,
    runs_on_numpy_and_depends_on_its_rows,
)
CONTRACTS: dict[str, tuple[Contract, ...]] = {
    "attention": (
        *_ALL,
        mixes_rows_of_one_slot_only,
        batched_equals_alone,
        chunks_equal_the_whole,
        natively_equals_numpy,
    ),
    "ffn": (*_ALL, rows_are_independent, natively_equals_numpy),
    "norm": (*_ALL, rows_are_independent, natively_equals_numpy),
    "position": (*_ALL, tells_positions_apart, batched_equals_alone, natively_equals_numpy),
}
