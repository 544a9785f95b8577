"""Building a graph: what components and families write with."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import attrs

from synapse_core.errors import GraphError, ShapeError
from synapse_core.graph.types import (
    Function,
    Graph,
    Node,
    Operand,
    StateRef,
    Tensor,
    Weight,
    WeightRef,
)
from synapse_core.graph.weights import TRANSFORMS, Constant
from synapse_core.ops import (
    Op,
    OperandType,
    Scalar,
    Space,
    StateType,
    TensorType,
    complete_options,
)

if TYPE_CHECKING:
    import numpy as np


@attrs.define
class GraphBuilder:
    """Collects functions, weights and states, then `finish()` gives the graph.

    `find_op` resolves an op's name, `Host.get` with the kind filled in being the usual one.
    `context` is how many positions of a slot the graph is built for, None where nobody says: what
    depends on it (frequencies of a stretched rope) is chosen once, here, and stays. `image_size` is
    the height and width of images, None for those that the model was trained on.
    """

    find_op: Callable[[str], Op]
    context: int | None = attrs.field(default=None, kw_only=True)
    image_size: tuple[int, int] | None = attrs.field(default=None, kw_only=True)
    functions: dict[str, FunctionBuilder] = attrs.field(factory=dict)
    weights: dict[str, Weight] = attrs.field(factory=dict)
    states: dict[str, StateType] = attrs.field(factory=dict)

    def function(self, name: str) -> FunctionBuilder:
        """Begin a new function."""
        if name in self.functions:
            raise GraphError(f"function {name!r} is defined twice")
        self.functions[name] = FunctionBuilder(self, name)
        return self.functions[name]

    def finish(self) -> Graph:
        """Return the graph of everything built so far."""
        functions = {name: builder.finish() for name, builder in self.functions.items()}
        return Graph(functions, dict(self.weights), dict(self.states))

    def weight(
        self,
        name: str,
        rows: int,
        cols: int,
        transform: str = "",
        *,
        exact: bool = False,
        stored: tuple[int, int] | None = None,
        make: Callable[[np.ndarray], np.ndarray] | None = None,
    ) -> WeightRef:
        """Declare a weight; asking again for the same name and shape gives the same weight."""
        if transform and transform not in TRANSFORMS:
            raise GraphError(f"weight {name!r}: unknown transform {transform!r}")
        if (stored is None) != (make is None):
            raise GraphError(f"weight {name!r}: a stored shape and what is made of it go together")
        declared = Weight(name, rows, cols, transform, exact=exact, stored=stored, make=make)
        known = self.weights.setdefault(name, declared)
        if _shape_of(known) != _shape_of(declared):
            raise ShapeError(
                f"weight {name!r} is declared as ({known.rows}, {known.cols})"
                f" and again as ({rows}, {cols})"
            )
        return WeightRef(name)

    def constant(self, name: str, values: np.ndarray) -> WeightRef:
        """Add a float32 constant, (n,) or (rows, cols); one name carries the same values always."""
        source = Constant.of(values)
        known = self.weights.get(name)
        if known is None:
            self.weights[name] = Weight(name, source.rows, source.cols, source=source)
        elif not (isinstance(known.source, Constant) and known.source.equals(source)):
            raise GraphError(f"constant {name!r} is defined twice with different values")
        return WeightRef(name)

    def state(self, state: StateType) -> StateRef:
        """Declare a state; two functions that declare the same one share it."""
        known = self.states.setdefault(state.name, state)
        if known != state:
            raise ShapeError(f"state {state.name!r} is declared as {known} and again as {state}")
        return StateRef(state.name)


@attrs.define
class FunctionBuilder:
    """Builds one function: spaces, inputs, ops in running order, outputs."""

    graph: GraphBuilder
    name: str
    spaces: dict[str, Space] = attrs.field(factory=dict)
    inputs: list[Tensor] = attrs.field(factory=list)
    nodes: list[Node] = attrs.field(factory=list)
    outputs: dict[str, Tensor] = attrs.field(factory=dict)
    counters: dict[str, int] = attrs.field(factory=dict)

    def space(self, name: str, *, rows: bool = True) -> Space:
        """Declare a base row space; `rows=False` for one without slots and positions."""
        self.spaces[name] = Space(name, name, 1, rows)
        return self.spaces[name]

    def input(self, name: str, type: TensorType) -> Tensor:
        """Declare an input of the function."""
        tensor = Tensor(name, type)
        self.inputs.append(tensor)
        return tensor

    def output(self, name: str, tensor: Tensor) -> None:
        """Name a tensor as an output of the function."""
        if name in self.outputs:
            raise GraphError(f"function {self.name!r}: output {name!r} is named twice")
        self.outputs[name] = tensor

    def op(self, op: str, *inputs: Operand, **options: Scalar) -> Tensor:
        """Add an op that has one output, and return it."""
        outputs = self.op_n(op, *inputs, **options)
        if len(outputs) != 1:
            raise GraphError(f"op {op!r} has {len(outputs)} outputs; take them with op_n")
        return outputs[0]

    def op_n(self, op: str, *inputs: Operand, **options: Scalar) -> tuple[Tensor, ...]:
        """Add an op and return all its outputs.

        Raises: ShapeError from the op's own rule, naming both sides.
        """
        spec = self.graph.find_op(op)
        complete = complete_options(spec, options)
        types = spec.infer([self.type_of(operand) for operand in inputs], complete)
        outputs = tuple(Tensor(self.fresh(op), type) for type in types)
        self.nodes.append(Node(op, inputs, outputs, complete))
        return outputs

    def linear(self, x: Tensor, weight: WeightRef, bias: WeightRef | None = None) -> Tensor:
        """Add x · wᵀ + b."""
        return self.op("linear", x, weight, bias)

    def type_of(self, operand: Operand) -> OperandType:
        """Return what an op's shape rule sees of an operand."""
        match operand:
            case Tensor():
                return operand.type
            case WeightRef():
                return self.graph.weights[operand.name].type
            case StateRef():
                return self.graph.states[operand.name]
            case None:
                return None

    def fresh(self, stem: str) -> str:
        """Return a name that no tensor of this function has."""
        number = self.counters.get(stem, 0)
        self.counters[stem] = number + 1
        return f"{stem}.{number}"

    def finish(self) -> Function:
        """Return the function.

        Raises: GraphError when it has no output.
        """
        if not self.outputs:
            raise GraphError(f"function {self.name!r} has no output")
        return Function(
            self.name,
            tuple(self.spaces.values()),
            tuple(self.inputs),
            tuple(self.nodes),
            dict(self.outputs),
        )


@attrs.frozen
class WeightScope:
    """Names weights under a prefix: `scope / "attention"` is a scope below."""

    graph: GraphBuilder
    prefix: str = ""

    def __truediv__(self, name: str) -> WeightScope:
        return WeightScope(self.graph, self.name(name))

    def name(self, name: str) -> str:
        """Return the full name of a weight of this scope."""
        return f"{self.prefix}.{name}" if self.prefix else name

    def matrix(self, name: str, rows: int, cols: int, *, exact: bool = False) -> WeightRef:
        """Declare a weight matrix of rows × cols (outputs × inputs).

        `exact` where 8 bits of what is multiplied with it would be felt ever after: such products
        are in float32, unless an arithmetic is asked for by name.
        """
        return self.graph.weight(self.name(name), rows, cols, exact=exact)

    def vector(self, name: str, size: int, transform: str = "") -> WeightRef:
        """Declare a vector: a norm's weight, a bias."""
        return self.graph.weight(self.name(name), 1, size, transform)

    def made(
        self,
        name: str,
        rows: int,
        cols: int,
        *,
        stored: tuple[int, int],
        make: Callable[[np.ndarray], np.ndarray],
    ) -> WeightRef:
        """Declare a weight of rows × cols that is made at load of a tensor of another shape.

        `make` takes the tensor's numbers as float32, of the shape `stored`, whatever format they
        are stored in. Its result is held in float32: no format is ever asked of it. Several
        weights may be made of one tensor. What `synapse quantize` writes has it as it was.
        """
        return self.graph.weight(self.name(name), rows, cols, stored=stored, make=make)


def _shape_of(weight: Weight) -> tuple[object, ...]:
    return weight.rows, weight.cols, weight.transform, weight.stored
