"""Compute once, at load, what does not depend on the input."""

from __future__ import annotations

import attrs
import numpy as np

from synapse_core.formats import CORE_FORMATS, Formats
from synapse_core.graph import TRANSFORMS, Constant, Function, Graph, Weight
from synapse_core.passes.rewrite import (
    makers_of,
    map_functions,
    output_names,
    replace_tensors,
    uses_of,
    with_nodes,
    without,
)

# Ops that can take a scale of their output into an option of their own.
_SCALE_OPTION = {"scale": "factor", "embedding": "scale"}


def fold_constants(graph: Graph, formats: Formats = CORE_FORMATS) -> Graph:
    """Rewrite small vectors to float32 constants, and merge scalings.

    A vector (one row) that the file holds in another float format or that has a transform becomes
    a float32 constant; matrices keep their bytes. scale(scale(x)) is one scale, a scale by one is
    none, and a scale of an embedding is the embedding's own.
    """
    weights = {name: _folded(weight, formats) for name, weight in graph.weights.items()}
    return map_functions(attrs.evolve(graph, weights=weights), _merge_scales)


def _folded(weight: Weight, formats: Formats) -> Weight:
    source = weight.source
    if source is None or weight.rows != 1:
        return weight
    if not weight.transform and source.format == "f32":
        return weight
    numbers = formats.named(source.format).decode(source.raw(), weight.cols)
    if weight.transform:
        numbers = TRANSFORMS[weight.transform](numbers)
    return attrs.evolve(weight, transform="", format=None, source=Constant.of(numbers))


def _merge_scales(function: Function) -> Function:
    """Merge one scale after another until none is left to merge."""
    while (merged := _merge_one_scale(function)) is not None:
        function = merged
    return function


def _merge_one_scale(function: Function) -> Function | None:
    makers, uses, outputs = makers_of(function), uses_of(function), output_names(function)
    for node in function.nodes:
        if node.op != "scale":
            continue
        (x,) = node.tensors()
        maker = makers.get(x.name)
        option = _SCALE_OPTION.get(maker.op) if maker else None
        nodes = without(function.nodes, [node])
        if maker and option and len(uses[x.name]) == 1 and x.name not in outputs:
            product = np.float32(maker.options[option]) * np.float32(node.options["factor"])
            scaled = attrs.evolve(maker, options={**maker.options, option: float(product)})
            nodes = [scaled if other is maker else other for other in nodes]
        elif node.options["factor"] != 1.0:
            continue
        return replace_tensors(with_nodes(function, nodes), {node.outputs[0].name: x})
    return None
