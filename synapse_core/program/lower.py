"""Lowering: a graph becomes records over planned memory."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import attrs
import numpy as np

from synapse_core.errors import GraphError, UsageError
from synapse_core.graph import Function, Graph, Node, StateRef, Tensor, WeightRef
from synapse_core.ops import Op, Space, pack_attributes
from synapse_core.program import records as r
from synapse_core.program.contract import Limits, Program
from synapse_core.program.image import assemble
from synapse_core.program.memory import Lifetime, plan
from synapse_core.program.segments import SegmentTable
from synapse_core.program.states import StateTable

NO_DIGEST = (0,) * 32


def lower(
    graph: Graph,
    limits: Limits,
    find_op: Callable[[str], Op],
    host: Mapping[str, Any] | None = None,
) -> Program:
    """Lower a graph to a program whose segments are mapped files and one block of constants.

    `host` is added to the program's JSON. What the graph's weights map stays mapped: nothing is
    copied but constants and re-encoded weights.

    Raises: GraphError when the graph exceeds a bound of the format or a weight has no source.
    """
    lowering = _Lowering(graph, limits, find_op)
    for function in graph.functions.values():
        lowering.function(function)
    return lowering.finish(dict(host or {}))


@attrs.define
class _Lowering:
    """The tables of a program while its functions are lowered one by one."""

    graph: Graph
    limits: Limits
    find_op: Callable[[str], Op]
    weights: SegmentTable = attrs.field(factory=SegmentTable)
    states: StateTable = attrs.field(init=False)
    kernels: dict[str, int] = attrs.field(factory=dict)
    spaces: list[tuple[int, ...]] = attrs.field(factory=list)
    tensors: list[tuple[int, ...]] = attrs.field(factory=list)
    ports: list[tuple[Any, ...]] = attrs.field(factory=list)
    ops: list[tuple[Any, ...]] = attrs.field(factory=list)
    operands: list[int] = attrs.field(factory=list)
    functions: list[tuple[Any, ...]] = attrs.field(factory=list)
    names: dict[str, Any] = attrs.field(factory=dict)

    def __attrs_post_init__(self) -> None:
        self.states = StateTable.plan(self.graph.states.values(), self.limits.kv)
        for weight in self.graph.weights.values():
            self.weights.add(weight)

    def function(self, function: Function) -> None:
        """Add a function's spaces, tensors, ports and ops."""
        spaces = _spaces_of(function)
        first = (len(self.spaces), len(self.tensors), len(self.ports), len(self.ops))
        for space in spaces.values():
            self.spaces.append(self._space(space, list(spaces)))
        tensors, arena_bytes = self._plan_tensors(function, list(spaces))
        for tensor in function.inputs:
            self.ports.append((_name(tensor.name), tensors[tensor.name], r.PORT_INPUT))
        for name, tensor in function.outputs.items():
            self.ports.append((_name(name), tensors[tensor.name], r.PORT_OUTPUT))
        for node in function.nodes:
            self.ops.append(self._record(node.op, node.options, self._operands(node, tensors)))
        counts = (len(self.spaces), len(self.tensors), len(self.ports), len(self.ops))
        ranges = [n for f, c in zip(first, counts, strict=True) for n in (f, c - f)]
        self.functions.append((_name(function.name), arena_bytes, *ranges))
        self.names[function.name] = {"spaces": list(spaces)}

    def finish(self, host: dict[str, Any]) -> Program:
        """Return the program of all functions."""
        segments = self.weights.buffers()
        host |= {
            "functions": self.names,
            "weights": list(self.weights.names),
            "states": list(self.states.names),
            "segments": self.weights.segment_names(),
        }
        sections: dict[str, Sequence[Any] | np.ndarray] = {
            "kernels": [(_name(name),) for name in self.kernels],
            "segments": [(0, len(data), r.SEGMENT_EXTERNAL, 0, NO_DIGEST) for data in segments],
            "weights": self.weights.records,
            "spaces": self.spaces,
            "tensors": self.tensors,
            "states": self.states.records,
            "groups": self.states.groups,
            "functions": self.functions,
            "ports": self.ports,
            "ops": self.ops,
            "operands": self.operands,
            "host": np.frombuffer(json.dumps(host, sort_keys=True).encode(), dtype=np.uint8),
        }
        image = assemble(sections, max_slots=self.limits.slots, slot_bytes=self.states.slot_bytes)
        return Program(image, tuple(segments), host)

    def _space(self, space: Space, order: list[str]) -> tuple[int, ...]:
        rows = self.limits.rows.get(space.base, self.limits.default_rows)
        positions = self.limits.positions if space.rows else 0
        flags = r.SPACE_ROWS if space.rows else 0
        return (order.index(space.base), space.multiple, rows, positions, flags, 0)

    def _plan_tensors(self, function: Function, spaces: list[str]) -> tuple[dict[str, int], int]:
        lifetimes = lifetimes_of(function, self.limits)
        offsets, arena_bytes = plan(list(lifetimes.values()))
        indices: dict[str, int] = {}
        for tensor in _tensors_of(function):
            type = tensor.type
            limit_space = spaces.index(type.limit_space) if type.limit_space else 0
            indices[tensor.name] = len(indices)
            self.tensors.append(
                (
                    offsets[tensor.name],
                    spaces.index(type.space.name),
                    type.cols,
                    r.DTYPE_CODES[type.dtype],
                    type.limit,
                    limit_space,
                    0,
                )
            )
        return indices, arena_bytes

    def _operands(self, node: Node, tensors: Mapping[str, int]) -> tuple[list[int], list[int]]:
        inputs: list[int] = []
        for operand in node.inputs:
            match operand:
                case Tensor():
                    inputs.append(r.operand(r.TENSOR, tensors[operand.name]))
                case WeightRef():
                    inputs.append(r.operand(r.WEIGHT, self.weights.index(operand.name)))
                case StateRef():
                    inputs.append(r.operand(r.STATE, self.states.index(operand.name)))
                case None:
                    inputs.append(r.operand(r.NONE, 0))
        return inputs, [r.operand(r.TENSOR, tensors[out.name]) for out in node.outputs]

    def _record(
        self, name: str, options: Mapping[str, Any], operands: tuple[list[int], list[int]]
    ) -> tuple[Any, ...]:
        inputs, outputs = operands
        if max(len(inputs), len(outputs)) > r.MAX_OPERANDS:
            raise GraphError(
                f"op {name!r} has {len(inputs)} inputs and {len(outputs)} outputs;"
                f" a program's record holds {r.MAX_OPERANDS} of each"
            )
        kernel = self.kernels.setdefault(name, len(self.kernels))
        first = len(self.operands)
        self.operands += inputs + outputs
        words = pack_attributes(self.find_op(name), options)
        return (kernel, len(inputs), len(outputs), first, words)


def _tensors_of(function: Function) -> list[Tensor]:
    return [*function.inputs, *(out for node in function.nodes for out in node.outputs)]


def _spaces_of(function: Function) -> dict[str, Space]:
    """Every space of a function, base spaces first, in the order they appear."""
    spaces = {space.name: space for space in function.spaces}
    for tensor in _tensors_of(function):
        known = spaces.setdefault(tensor.type.space.name, tensor.type.space)
        if known != tensor.type.space:
            raise GraphError(
                f"function {function.name!r}: two row spaces are named {known.name!r}:"
                f" {known} and {tensor.type.space}"
            )
    if len(spaces) > r.MAX_SPACES:
        raise GraphError(
            f"function {function.name!r} has {len(spaces)} row spaces; at most {r.MAX_SPACES}"
        )
    return spaces


def lifetimes_of(function: Function, limits: Limits) -> dict[str, Lifetime]:
    """Return every tensor's size and life: what memory planning works on.

    Raises: GraphError when an op reads a tensor before any op makes it.
    """
    ends = {tensor.name: -1 for tensor in function.inputs}
    begins = dict(ends)
    for number, node in enumerate(function.nodes):
        for tensor in node.tensors():
            if tensor.name not in begins:
                raise GraphError(
                    f"function {function.name!r}: {node.op!r} reads {tensor.name!r}"
                    " before any op makes it"
                )
            ends[tensor.name] = number
        for tensor in node.outputs:
            begins[tensor.name] = ends[tensor.name] = number
    for tensor in function.outputs.values():
        ends[tensor.name] = len(function.nodes)
    return {
        tensor.name: Lifetime(
            tensor.name, _tensor_bytes(tensor, limits), begins[tensor.name], ends[tensor.name]
        )
        for tensor in _tensors_of(function)
    }


def _tensor_bytes(tensor: Tensor, limits: Limits) -> int:
    space = tensor.type.space
    return limits.rows.get(space.base, limits.default_rows) * space.multiple * tensor.type.cols * 4


def _name(name: str) -> bytes:
    encoded = name.encode()
    if len(encoded) >= r.NAME_BYTES:
        raise UsageError(
            f"name {name!r} has {len(encoded)} bytes; a program holds names below {r.NAME_BYTES}"
        )
    return encoded
