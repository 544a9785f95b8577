"""Remove what no output needs."""

from __future__ import annotations

import attrs

from synapse_core.graph import Function, Graph, Node, StateRef, WeightRef
from synapse_core.passes.rewrite import map_functions, output_names, with_nodes


def remove_dead(graph: Graph) -> Graph:
    """Drop nodes whose outputs nobody reads, then weights and states that no node names.

    A node with a state stays: what it remembers is an effect.
    """
    graph = map_functions(graph, _live_nodes)
    named = {
        operand
        for function in graph.functions.values()
        for node in function.nodes
        for operand in node.inputs
        if isinstance(operand, WeightRef | StateRef)
    }
    return attrs.evolve(
        graph,
        weights={n: weight for n, weight in graph.weights.items() if WeightRef(n) in named},
        states={n: state for n, state in graph.states.items() if StateRef(n) in named},
    )


def _live_nodes(function: Function) -> Function:
    needed = output_names(function)
    live: list[Node] = []
    for node in reversed(function.nodes):
        remembers = any(isinstance(operand, StateRef) for operand in node.inputs)
        if remembers or any(out.name in needed for out in node.outputs):
            live.append(node)
            needed.update(tensor.name for tensor in node.tensors())
    return with_nodes(function, reversed(live))
