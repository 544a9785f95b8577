"""Samples: what a provided thing is tried on. `Provides(sample=…)` names one.

| kind | a sample is |
| --- | --- |
| attention, ffn, norm, position | the options to build it with, a mapping |
| op | an `OpSample` |
| weight_loader | a function (folder) → path that writes a small checkpoint there |
| model | {"hf": a small config.json as a mapping}, a source each, or a `CheckpointSample` |
| tokenizer | {file name: text}, the files that its reader reads |
| preprocessor | an array that it takes |

The other kinds need none.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import attrs
import numpy as np

from synapse_core.graph import GraphBuilder, Operand, WeightScope
from synapse_core.loaders import FileTensor
from synapse_core.ops import Op, Scalar, StateType, TensorType
from synapse_core.program import Limits
from synapse_core.testing.case import Call, Case, fill_weights, finder, rows

# Rows of two calls, as (slot, first position, count): slots mixed, of unlike lengths. With a state
# the second goes on where the first stopped, so that the state is seen to be kept.
BEGIN = ((2, 0, 4), (0, 0, 1), (1, 0, 7))
GO_ON = ((1, 7, 2), (2, 4, 1))
ANEW = ((1, 0, 2), (2, 0, 1))

SampleOperand = int | tuple[int, int] | StateType | None


@attrs.frozen
class CheckpointSample:
    """Metadata of one source; `tensors` are shapes of those that say something of the config."""

    metadata: Mapping[str, Any]
    tensors: Mapping[str, tuple[int, ...]] = attrs.field(factory=dict)

    def opened(self) -> dict[str, FileTensor]:
        """Return these tensors as of a file; every number is one."""
        made = {}
        for name, shape in self.tensors.items():
            data = np.ones(shape, "<f4").reshape(-1).view(np.uint8)
            made[name] = FileTensor(name, shape, "f32", Path("sample"), 0, data)
        return made


@attrs.frozen
class OpSample:
    """What to call an op with.

    `operands`, in the op's order: a number is a float tensor of so many columns, a pair a float32
    weight of (rows, cols), a StateType a state, None an operand left out.
    """

    operands: tuple[SampleOperand, ...]
    options: Mapping[str, Scalar] = attrs.field(factory=dict)

    def case(self, op: Op, seed: int = 21) -> Case:
        """Return a case whose graph is this op alone, over mixed slots."""
        builder = GraphBuilder(finder((op,)))
        g = builder.function("f")
        tokens = g.space("tokens")
        scope = WeightScope(builder)
        operands: list[Operand] = []
        widths: dict[str, int] = {}
        for number, operand in enumerate(self.operands):
            match operand:
                case int():
                    widths[f"x{number}"] = operand
                    operands.append(g.input(f"x{number}", TensorType(tokens, operand)))
                case StateType():
                    operands.append(builder.state(operand))
                case None:
                    operands.append(None)
                case (size, cols):
                    operands.append(scope.matrix(f"w{number}", size, cols))
        for number, tensor in enumerate(g.op_n(op.name, *operands, **self.options)):
            g.output(f"y{number}", tensor)
        rng = np.random.default_rng(seed + 1)
        calls = []
        for runs in (BEGIN, GO_ON if builder.states else ANEW):
            table = rows(*runs)
            values = {
                name: 2 * rng.standard_normal((len(table), cols), np.float32)
                for name, cols in widths.items()
            }
            calls.append(Call("f", values, {"tokens": table}))
        limits = Limits(rows={"tokens": 12}, slots=3, positions=16, kv="f32")
        graph = fill_weights(builder.finish(), seed)
        return Case(op.name, graph, tuple(calls), limits, (op,))
