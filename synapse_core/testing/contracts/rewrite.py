"""Contracts of passes: the graph changes, what it computes does not."""

from __future__ import annotations

import attrs

from synapse_core.backends import NumpyBackend
from synapse_core.graph import Graph
from synapse_core.passes import Pass, as_text
from synapse_core.testing.agreement import MODEL_TOLERANCE, worst_difference
from synapse_core.testing.case import Case
from synapse_core.testing.contracts.contract import Contract, Subject, contract, require
from synapse_core.testing.toys import (
    causal_decoder,
    image_encoder,
    two_towers,
    window_predictor,
)

# A pass that makes work for itself has settled by then, or never will.
MOST_RUNS = 8


def graphs() -> tuple[Case, ...]:
    """Return the toy models that passes are tried on."""
    return (causal_decoder(), image_encoder(), window_predictor(), two_towers())


def _with(case: Case, graph: Graph, subject: Subject) -> Case:
    used = {node.op for function in graph.functions.values() for node in function.nodes}
    ops = tuple(subject.registry.get("op", name) for name in sorted(used))
    return attrs.evolve(case, graph=graph, ops=ops)


@contract
def outputs_stay_the_same(subject: Subject) -> None:
    """Toy models give on numpy what they gave before, within rounding."""
    change: Pass = subject.thing
    for case in graphs():
        before = case.run(NumpyBackend())
        after = _with(case, change.run(case.graph), subject).run(NumpyBackend())
        error = worst_difference(case.name, after, before)
        require(error <= MODEL_TOLERANCE, f"{case.name}: the outputs differ by {error:.2g}")


@contract
def leaves_the_graph_it_was_given_alone(subject: Subject) -> None:
    """A pass returns a changed copy."""
    change: Pass = subject.thing
    for case in graphs():
        text, weights = as_text(case.graph), dict(case.graph.weights)
        made = change.run(case.graph)
        require(isinstance(made, Graph), f"it returned a {type(made).__name__}, not a Graph")
        same = as_text(case.graph) == text and dict(case.graph.weights) == weights
        require(same, f"{case.name}: the graph that went in is another now")


@contract
def settles(subject: Subject) -> None:
    """Run again and again, it comes to a graph that it leaves as it is."""
    change: Pass = subject.thing
    for case in graphs():
        graph, texts = case.graph, []
        for _ in range(MOST_RUNS):
            graph = change.run(graph)
            texts.append(as_text(graph))
            if len(texts) > 1 and texts[-1] == texts[-2]:
                break
        else:
            require(False, f"{case.name}: still changing the graph at run {MOST_RUNS}")


@contract
def makes_only_the_ops_it_declares(subject: Subject) -> None:
    """An op that was not in the graph is in `makes`: a backend without it skips the pass."""
    change: Pass = subject.thing
    require(change.name == subject.name, f"listed as {subject.name!r}, it says {change.name!r}")
    for case in graphs():
        fresh = sorted(_ops(change.run(case.graph)) - _ops(case.graph) - set(change.makes))
        declared = ", ".join(change.makes) or "none"
        require(
            not fresh,
            f"{case.name}: it made op {fresh and fresh[0]!r}, it declares {declared}",
        )


def _ops(graph: Graph) -> set[str]:
    return {node.op for function in graph.functions.values() for node in function.nodes}


CONTRACTS: dict[str, tuple[Contract, ...]] = {
    "pass": (
        outputs_stay_the_same,
        leaves_the_graph_it_was_given_alone,
        settles,
        makes_only_the_ops_it_declares,
    )
}
