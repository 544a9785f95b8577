"""Small tools that passes share: who uses a tensor, and a function with other nodes."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

import attrs

from synapse_core.graph import Function, Graph, Node, Operand, Tensor


def map_functions(graph: Graph, change: Callable[[Function], Function]) -> Graph:
    """Return the graph with every function changed."""
    functions = {name: change(function) for name, function in graph.functions.items()}
    return attrs.evolve(graph, functions=functions)


def uses_of(function: Function) -> dict[str, list[Node]]:
    """Return the nodes that read each tensor, by its name, in running order."""
    uses: dict[str, list[Node]] = {}
    for node in function.nodes:
        for tensor in node.tensors():
            uses.setdefault(tensor.name, []).append(node)
    return uses


def output_names(function: Function) -> set[str]:
    """Return the names of the tensors that are outputs of the function."""
    return {tensor.name for tensor in function.outputs.values()}


def makers_of(function: Function) -> dict[str, Node]:
    """Return the node that makes each tensor, by its name."""
    return {out.name: node for node in function.nodes for out in node.outputs}


def with_nodes(function: Function, nodes: Iterable[Node]) -> Function:
    """Return the function with other nodes."""
    return attrs.evolve(function, nodes=tuple(nodes))


def replace_tensors(function: Function, replaced: Mapping[str, Tensor]) -> Function:
    """Return the function where every use of a tensor in `replaced` is a use of its replacement."""

    def follow(tensor: Tensor) -> Tensor:
        while tensor.name in replaced:
            tensor = replaced[tensor.name]
        return tensor

    def operand(value: Operand) -> Operand:
        return follow(value) if isinstance(value, Tensor) else value

    nodes = tuple(
        attrs.evolve(node, inputs=tuple(operand(value) for value in node.inputs))
        for node in function.nodes
    )
    outputs = {name: follow(tensor) for name, tensor in function.outputs.items()}
    return attrs.evolve(function, nodes=nodes, outputs=outputs)


def without(nodes: Iterable[Node], dropped: Iterable[Node]) -> list[Node]:
    """Return the nodes that are not among `dropped` (the very objects)."""
    gone = {id(node) for node in dropped}
    return [node for node in nodes if id(node) not in gone]
