"""Batch norms by running statistics: into the linear before them, else a product and a sum."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

import attrs
import numpy as np

from synapse_core.formats import CORE_FORMATS, Formats
from synapse_core.graph import Constant, Function, Graph, Node, Tensor, Weight, WeightRef
from synapse_core.passes.rewrite import makers_of, output_names, replace_tensors, uses_of

FLOATS = ("f32", "f16", "bf16")


def fold_batchnorm(graph: Graph, formats: Formats = CORE_FORMATS) -> Graph:
    """Leave no batch norm whose numbers are known.

    y = x · a + c with a = w / √(variance + eps) and c = b − mean · a. Where x is what one linear of
    float weights makes and nobody else reads, a and c become part of that linear's weights, in
    float32. Where the weights are of another format, of several users or there is no linear, it is
    one product and one sum.
    """
    while True:
        found = next(
            (
                (function, node)
                for function in graph.functions.values()
                for node in function.nodes
                if node.op == "batchnorm" and _known(node, graph)
            ),
            None,
        )
        if found is None:
            return graph
        graph = _fold_one(graph, *found, formats)


def _fold_one(graph: Graph, function: Function, node: Node, formats: Formats) -> Graph:
    gain, shift = _gain_and_shift(node, graph, formats)
    linear = _linear_before(graph, function, node)
    weights = dict(graph.weights)
    if linear is not None:
        weight, bias = linear.inputs[1], linear.inputs[2]
        assert isinstance(weight, WeightRef)
        numbers = _numbers(graph.weights[weight.name], formats).astype(np.float64)
        weights[weight.name] = _constant(graph.weights[weight.name], numbers * gain[:, None])
        if isinstance(bias, WeightRef):
            shift = shift + gain * _numbers(graph.weights[bias.name], formats)[0]
            weights[bias.name] = _constant(graph.weights[bias.name], shift)
        else:
            bias = _new(weights, f"{weight.name}.shift", shift)
        folded = attrs.evolve(linear, inputs=(linear.inputs[0], weight, bias))
        nodes = [folded if n is linear else n for n in function.nodes if n is not node]
        changed = replace_tensors(
            attrs.evolve(function, nodes=tuple(nodes)), {node.outputs[0].name: linear.outputs[0]}
        )
    else:
        mean = node.inputs[1]
        assert isinstance(mean, WeightRef)
        gained = Tensor(f"{node.outputs[0].name}.gained", node.outputs[0].type)
        pair = (
            Node("mul", (node.inputs[0], _new(weights, f"{mean.name}.gain", gain)), (gained,), {}),
            Node("add", (gained, _new(weights, f"{mean.name}.shift", shift)), node.outputs, {}),
        )
        parts = (pair if n is node else (n,) for n in function.nodes)
        changed = attrs.evolve(function, nodes=tuple(n for part in parts for n in part))
    functions = {**graph.functions, function.name: changed}
    return attrs.evolve(graph, functions=functions, weights=weights)


def _known(node: Node, graph: Graph) -> bool:
    vectors = [graph.weights[o.name] for o in node.inputs if isinstance(o, WeightRef)]
    return all(weight.source is not None for weight in vectors)


def _gain_and_shift(node: Node, graph: Graph, formats: Formats) -> tuple[np.ndarray, np.ndarray]:
    """Return a and c of x · a + c, float64 (C,) both."""
    mean, variance, w, b = (
        _numbers(graph.weights[o.name], formats)[0].astype(np.float64)
        if isinstance(o, WeightRef)
        else None
        for o in node.inputs[1:]
    )
    assert mean is not None
    assert variance is not None
    gain = (1.0 if w is None else w) / np.sqrt(variance + float(node.options["eps"]))
    return gain, (0.0 if b is None else b) - mean * gain


def _linear_before(graph: Graph, function: Function, node: Node) -> Node | None:
    """Return the linear that may take the norm in, None where there is none."""
    x = node.inputs[0]
    assert isinstance(x, Tensor)
    maker = makers_of(function).get(x.name)
    if maker is None or maker.op != "linear" or len(maker.outputs) != 1:
        return None
    if len(uses_of(function)[x.name]) != 1 or x.name in output_names(function):
        return None
    users = _users(graph)
    for operand in maker.inputs[1:]:
        if isinstance(operand, WeightRef):
            source = graph.weights[operand.name].source
            if users[operand.name] != 1 or source is None or source.format not in FLOATS:
                return None
    return maker


def _users(graph: Graph) -> Mapping[str, int]:
    return Counter(
        operand.name
        for function in graph.functions.values()
        for node in function.nodes
        for operand in node.inputs
        if isinstance(operand, WeightRef)
    )


def _numbers(weight: Weight, formats: Formats) -> np.ndarray:
    assert weight.source is not None
    return formats.named(weight.source.format).decode(weight.source.raw(), weight.cols)


def _constant(weight: Weight, numbers: np.ndarray) -> Weight:
    return attrs.evolve(weight, source=Constant.of(numbers), format=None)


def _new(weights: dict[str, Weight], name: str, numbers: np.ndarray) -> WeightRef:
    source = Constant.of(numbers)
    weights[name] = Weight(name, source.rows, source.cols, source=source)
    return WeightRef(name)
