"""Fusions: fewer ops, fewer trips through memory. Each has an expansion that undoes it."""

from __future__ import annotations

from collections.abc import Callable

import attrs

from synapse_core.graph import Function, Graph, Node, Tensor, WeightRef
from synapse_core.passes.rewrite import (
    makers_of,
    map_functions,
    output_names,
    uses_of,
    with_nodes,
    without,
)

MOST_LINEARS = 4
# Linears further apart belong to different blocks: fused, the later one's outputs would wait in
# memory through all of the blocks between.
NEAR_NODES = 12


def fuse_linears(graph: Graph) -> Graph:
    """Linears of one input (q, k, v; gate, up) become one op with a list of weights."""
    return map_functions(graph, _fuse_linears)


def fuse_add_norm(graph: Graph) -> Graph:
    """A residual addition and the norm that reads its sum become one op with both as outputs."""
    return map_functions(graph, lambda function: _fuse_add_norm(function, graph))


def fuse_gate(graph: Graph) -> Graph:
    """mul(activation(g), u) becomes gated_activation(g, u)."""
    return map_functions(graph, _fuse_gate)


def expand(graph: Graph) -> Graph:
    """Undo every fusion: only ops that components build remain."""
    return map_functions(graph, _expand)


def _fuse_linears(function: Function) -> Function:
    leaders: list[tuple[int, Node, list[Node]]] = []
    near: list[tuple[int, Node, list[Node]]] = []
    for number, node in enumerate(function.nodes):
        if node.op != "linear":
            continue
        near = [entry for entry in near if number - entry[0] <= NEAR_NODES]
        for _, leader, group in near:
            same = leader.inputs[0] == node.inputs[0] and leader.options == node.options
            pairs = sum(len(member.outputs) for member in group) + len(node.outputs)
            if same and pairs <= MOST_LINEARS:
                group.append(node)
                break
        else:
            near.append((number, node, [node]))
            leaders.append(near[-1])
    fused = {id(leader): _one_linear(group) for _, leader, group in leaders}
    joined = [node for _, _, group in leaders for node in group[1:]]
    nodes = [fused.get(id(node), node) for node in without(function.nodes, joined)]
    return with_nodes(function, nodes)


def _one_linear(group: list[Node]) -> Node:
    first = group[0]
    pairs = tuple(operand for node in group for operand in node.inputs[1:])
    outputs = tuple(out for node in group for out in node.outputs)
    return attrs.evolve(first, inputs=(first.inputs[0], *pairs), outputs=outputs)


def _fuse_add_norm(function: Function, graph: Graph) -> Function:
    makers = makers_of(function)
    fused: dict[int, Node] = {}
    gone: list[Node] = []
    for node in function.nodes:
        if node.op not in ("rmsnorm", "layernorm") or not isinstance(node.inputs[0], Tensor):
            continue
        total = node.inputs[0]
        add = makers.get(total.name)
        if add is None or add.op != "add" or id(add) in fused:
            continue
        if not all(isinstance(operand, Tensor) for operand in add.inputs):
            continue
        if _norm_width(node, graph) != total.type.cols:
            continue
        options = {"eps": node.options["eps"]}
        outputs = (total, node.outputs[0])
        name = f"add_{node.op}"
        fused[id(add)] = Node(name, (*add.inputs, *node.inputs[1:]), outputs, options)
        gone.append(node)
    nodes = [fused.get(id(node), node) for node in without(function.nodes, gone)]
    return with_nodes(function, nodes)


def _norm_width(node: Node, graph: Graph) -> int:
    weight = node.inputs[1]
    if node.op == "rmsnorm" and isinstance(weight, WeightRef):
        return graph.weights[weight.name].cols
    return int(node.options["width"])


def _fuse_gate(function: Function) -> Function:
    makers, uses, outputs = makers_of(function), uses_of(function), output_names(function)
    fused: dict[int, Node] = {}
    gone: list[Node] = []
    for node in function.nodes:
        if node.op != "mul":
            continue
        for this, other in (node.inputs[:2], node.inputs[1::-1]):
            if not (isinstance(this, Tensor) and isinstance(other, Tensor)):
                continue
            maker = makers.get(this.name)
            alone = len(uses[this.name]) == 1 and this.name not in outputs
            if maker is not None and maker.op == "activation" and alone and this != other:
                inputs = (maker.inputs[0], other)
                options = {"kind": maker.options["kind"]}
                fused[id(node)] = Node("gated_activation", inputs, node.outputs, options)
                gone.append(maker)
                break
    nodes = [fused.get(id(node), node) for node in without(function.nodes, gone)]
    return with_nodes(function, nodes)


def _expand(function: Function) -> Function:
    nodes = [part for node in function.nodes for part in _EXPANSIONS.get(node.op, _same)(node)]
    return with_nodes(function, nodes)


def _same(node: Node) -> list[Node]:
    return [node]


def _expand_linear(node: Node) -> list[Node]:
    x, *pairs = node.inputs
    return [
        Node("linear", (x, pairs[2 * n], pairs[2 * n + 1]), (out,), node.options)
        for n, out in enumerate(node.outputs)
    ]


def _expand_add_rmsnorm(node: Node) -> list[Node]:
    total, normed = node.outputs
    return [
        Node("add", node.inputs[:2], (total,), {}),
        Node("rmsnorm", (total, *node.inputs[2:]), (normed,), node.options),
    ]


def _expand_add_layernorm(node: Node) -> list[Node]:
    total, normed = node.outputs
    options = {**node.options, "width": total.type.cols}
    return [
        Node("add", node.inputs[:2], (total,), {}),
        Node("layernorm", (total, *node.inputs[2:]), (normed,), options),
    ]


def _expand_gate(node: Node) -> list[Node]:
    gate, up = node.inputs
    activated = Tensor(f"{node.outputs[0].name}.activated", node.outputs[0].type)
    return [
        Node("activation", (gate,), (activated,), node.options),
        Node("mul", (activated, up), node.outputs, {}),
    ]


_EXPANSIONS: dict[str, Callable[[Node], list[Node]]] = {
    "linear": _expand_linear,
    "add_rmsnorm": _expand_add_rmsnorm,
    "add_layernorm": _expand_add_layernorm,
    "gated_activation": _expand_gate,
}
