"""The model as data: functions of nodes over tensors, weights and states.

A graph is plain and complete: it can be printed, rewritten by passes, run by the numpy reference
and lowered to a program. Nothing in it computes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Protocol

import attrs

from synapse_core.errors import GraphError
from synapse_core.ops import Scalar, Space, StateType, TensorType, WeightType

if TYPE_CHECKING:
    import numpy as np


@attrs.frozen
class Tensor:
    """A named value of a function: rows of a space, made by one node or given as an input."""

    name: str
    type: TensorType


@attrs.frozen
class WeightRef:
    """A node's operand: the weight of that name."""

    name: str


@attrs.frozen
class StateRef:
    """A node's operand: the state of that name."""

    name: str


Operand = Tensor | WeightRef | StateRef | None


class WeightSource(Protocol):
    """Where a weight's bytes are: in a mapped file, or in memory."""

    @property
    def format(self) -> str:
        """The stored format's name."""
        ...

    @property
    def rows(self) -> int:
        """How many rows; one for a vector."""
        ...

    @property
    def cols(self) -> int:
        """How many numbers a row has."""
        ...

    @property
    def place(self) -> tuple[str, int] | None:
        """File and byte offset of what `raw()` gives, or None when it lies in no file."""
        ...

    def raw(self) -> np.ndarray:
        """Return the stored bytes, uint8 (rows, row_bytes); a mapped file is not copied."""
        ...


@attrs.frozen
class Weight:
    """A weight of the graph: declared by a component, bound to a source by the family's map.

    `transform` names a rewrite of small vectors at load (`synapse_core.graph.TRANSFORMS`).
    `format` is what the program will hold; None means the source's own. `exact`: products with it
    are in float32 unless another arithmetic is asked for, whatever it is held in. `make` is there
    where the file holds other numbers, of the shape `stored`, of which these are made at load: it
    gets them in float32 and returns (rows, cols). Such a weight is float32 and stays it.
    """

    name: str
    rows: int
    cols: int
    transform: str = ""
    source: WeightSource | None = None
    format: str | None = None
    exact: bool = False
    stored: tuple[int, int] | None = None
    make: Callable[[np.ndarray], np.ndarray] | None = None

    @property
    def type(self) -> WeightType:
        """What ops see of it."""
        stored = self.format or (self.source.format if self.source else "f32")
        return WeightType(self.name, self.rows, self.cols, stored)


@attrs.frozen
class Node:
    """One op of a function with its operands in the order of docs/ops.md, options complete."""

    op: str
    inputs: tuple[Operand, ...]
    outputs: tuple[Tensor, ...]
    options: dict[str, Scalar]

    def tensors(self) -> Iterator[Tensor]:
        """Yield the tensors among the inputs."""
        for operand in self.inputs:
            if isinstance(operand, Tensor):
                yield operand


@attrs.frozen
class Function:
    """A named entry of the model: base spaces, inputs, nodes in running order, outputs by name."""

    name: str
    spaces: tuple[Space, ...]
    inputs: tuple[Tensor, ...]
    nodes: tuple[Node, ...]
    outputs: dict[str, Tensor]


@attrs.frozen
class Graph:
    """Functions over shared weights and states. Passes return changed copies."""

    functions: dict[str, Function]
    weights: dict[str, Weight]
    states: dict[str, StateType]

    def function(self, name: str) -> Function:
        """Return a function by name.

        Raises: GraphError listing the functions there are.
        """
        try:
            return self.functions[name]
        except KeyError:
            known = ", ".join(sorted(self.functions))
            raise GraphError(f"no function {name!r} in this model; it has: {known}") from None
