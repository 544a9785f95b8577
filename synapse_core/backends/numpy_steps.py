"""A function as steps for the numpy reference, from a graph or from a program's records."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import attrs
import numpy as np

from synapse_core.errors import ProgramError
from synapse_core.formats import format_named, format_of_code
from synapse_core.graph import Function, Graph, StateRef, Tensor, WeightRef
from synapse_core.ops import (
    Op,
    OperandType,
    Scalar,
    StateType,
    TensorType,
    WeightType,
    unpack_attributes,
)
from synapse_core.program import FunctionTable, Program, Tables, all_segments
from synapse_core.program import records as r


@attrs.define(eq=False)
class LoadedWeight:
    """A weight's bytes and, once asked for as a whole, its numbers."""

    type: WeightType
    bytes: np.ndarray
    numbers: np.ndarray | None = None

    def rows_f32(self, index: np.ndarray | None = None) -> np.ndarray:
        """Return the dequantised rows, float32: all (rows, cols), or those of `index`."""
        format = format_named(self.type.format)
        if index is not None:
            return format.decode(self.bytes[index], self.type.cols)
        if self.numbers is None:
            self.numbers = format.decode(self.bytes, self.type.cols)
        return self.numbers

    def raw(self) -> np.ndarray:
        """Return the stored bytes, uint8 (rows, row_bytes)."""
        return self.bytes


@attrs.frozen(eq=False)
class Step:
    """One op to run: `inputs` are tensor keys, weights, states' names or None, as their type says.

    A tensor's key is its index among the function's tensors, the same in graph and program.
    """

    op: Op
    inputs: tuple[object, ...]
    input_types: tuple[OperandType, ...]
    outputs: tuple[int, ...]
    output_types: tuple[TensorType, ...]
    options: Mapping[str, Scalar]


def steps_of_graph(graph: Graph, find_op: Callable[[str], Op]) -> dict[str, tuple[Step, ...]]:
    """Return the steps of every function of a graph whose weights are bound."""
    weights: dict[str, LoadedWeight] = {}
    for name, weight in graph.weights.items():
        if weight.source is not None:
            weights[name] = LoadedWeight(weight.type, weight.source.raw())
    return {
        name: tuple(_graph_steps(function, graph, weights, find_op))
        for name, function in graph.functions.items()
    }


def _graph_steps(
    function: Function,
    graph: Graph,
    weights: Mapping[str, LoadedWeight],
    find_op: Callable[[str], Op],
) -> list[Step]:
    made = [*function.inputs, *(out for node in function.nodes for out in node.outputs)]
    keys = {tensor.name: number for number, tensor in enumerate(made)}

    def operand(value: object) -> tuple[object, OperandType]:
        match value:
            case Tensor():
                return keys[value.name], value.type
            case WeightRef():
                return weights[value.name], graph.weights[value.name].type
            case StateRef():
                return value.name, graph.states[value.name]
            case _:
                return None, None

    steps = []
    for node in function.nodes:
        inputs = [operand(value) for value in node.inputs]
        steps.append(
            Step(
                find_op(node.op),
                tuple(value for value, _ in inputs),
                tuple(type for _, type in inputs),
                tuple(keys[out.name] for out in node.outputs),
                tuple(out.type for out in node.outputs),
                node.options,
            )
        )
    return steps


def steps_of_program(
    program: Program, functions: Mapping[str, FunctionTable], find_op: Callable[[str], Op]
) -> dict[str, tuple[Step, ...]]:
    """Return the steps of every function of a program.

    Raises: ProgramError when a record points outside the tables; UnknownComponent for an op that
    no installed plugin provides.
    """
    file = program.path or "program"
    tables = Tables.of(program.image, file)
    ops = [find_op(name) for name in tables.kernel_names()]
    try:
        weights = _program_weights(program, tables)
        states = _program_states(program, tables)
        return {
            name: tuple(
                _program_step(record, function, tables, ops, weights, states)
                for record in function.ops
            )
            for name, function in functions.items()
        }
    except (IndexError, ValueError, KeyError) as error:
        raise ProgramError(file, f"points outside its tables: {error}", field="ops") from None


def _program_weights(program: Program, tables: Tables) -> list[LoadedWeight]:
    segments = all_segments(program)
    names = list(program.host.get("weights", []))
    weights = []
    for number, record in enumerate(tables.weights):
        rows, row_bytes, start = (int(record[key]) for key in ("rows", "row_bytes", "offset"))
        data = segments[int(record["segment"])][start : start + rows * row_bytes]
        name = str(names[number]) if number < len(names) else f"weight{number}"
        format = format_of_code(int(record["format"]))
        cols = int(record["cols"])
        if row_bytes != format.row_bytes(cols):
            raise ValueError(f"weight {number} has rows of {row_bytes} bytes")
        type = WeightType(name, rows, cols, format.name)
        weights.append(LoadedWeight(type, data.reshape(rows, row_bytes)))
    return weights


def _program_states(program: Program, tables: Tables) -> list[StateType]:
    names = list(program.host.get("states", []))
    states = []
    for number, record in enumerate(tables.states):
        name = str(names[number]) if number < len(names) else f"state{number}"
        width, width_v = int(record["width"]), int(record["width_v"])
        if int(record["kind"]) == r.STATE_RECURRENT:
            states.append(StateType(name, "recurrent", width))
        else:
            window = int(tables.groups[int(record["group"])]["window"])
            head = int(record["head"])
            states.append(StateType(name, "kv", width, width_v, window, head))
    return states


def _program_step(
    record: np.ndarray,
    function: FunctionTable,
    tables: Tables,
    ops: list[Op],
    weights: list[LoadedWeight],
    states: list[StateType],
) -> Step:
    op = ops[int(record["kernel"])]
    first, count, made = (int(record[key]) for key in ("first_operand", "inputs", "outputs"))
    words = [int(word) for word in tables.operands[first : first + count + made]]
    if len(words) != count + made:
        raise IndexError(f"operands {first} to {first + count + made}")

    def operand(word: int) -> tuple[object, OperandType]:
        kind, index = word >> r.OPERAND_SHIFT, word & r.OPERAND_INDEX
        if kind == r.TENSOR:
            return index, function.tensor_types[index]
        if kind == r.WEIGHT:
            return weights[index], weights[index].type
        if kind == r.STATE:
            return states[index].name, states[index]
        return None, None

    inputs = [operand(word) for word in words[:count]]
    outputs = [word & r.OPERAND_INDEX for word in words[count:]]
    return Step(
        op,
        tuple(value for value, _ in inputs),
        tuple(type for _, type in inputs),
        tuple(outputs),
        tuple(function.tensor_types[index] for index in outputs),
        unpack_attributes(op, [int(word) for word in record["attributes"]]),
    )
