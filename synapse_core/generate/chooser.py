"""Tokens chosen by a backend: the op `sample` in a program of its own, one call a token."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import attrs
import numpy as np

from synapse_core.backends import Backend, Executable, Session
from synapse_core.errors import Unavailable
from synapse_core.generate.charges import Charges
from synapse_core.generate.guide import Guide
from synapse_core.generate.sampler import Greedy, Random, found
from synapse_core.graph import Graph, GraphBuilder
from synapse_core.ops import I32, SAMPLE, Op, TensorType
from synapse_core.ops.sample import COLUMNS
from synapse_core.program import Limits, lower

PLAIN, MASKED = "sample", "sample_masked"
_OPS: Mapping[str, Op] = {SAMPLE.name: SAMPLE}
_NONE = np.zeros(0, dtype=np.int32), np.zeros((0, 2), dtype=np.float32)


@attrs.define(eq=False)
class Chooser:
    """Chooses tokens of one vocabulary; the ids are those of the op's numpy reference.

    Not for two threads at once.
    """

    session: Session
    vocabulary: int

    @classmethod
    def open(cls, backend: Backend, vocabulary: int) -> Chooser | None:
        """Open the program on a backend; None where it has no kernel for the op."""
        graph = sampling_graph(vocabulary)
        program = lower(
            graph, Limits(rows={"outputs": 1, "charged": vocabulary}, slots=1), _OPS.__getitem__
        )
        try:
            session = backend.open(Executable(program, _OPS.__getitem__, graph), threads=1)
        except Unavailable:
            return None
        return cls(session, vocabulary)

    def choose(
        self,
        sampler: Greedy | Random,
        logits: np.ndarray,
        charges: Charges | None = None,
        seen: Sequence[int] = (),
        guide: Guide | None = None,
    ) -> int:
        """Return the next id behind `seen`.

        Raises: SynapseError where the logits are no numbers, or no token may come.
        """
        ids, numbers = charges.of(seen) if charges is not None else _NONE
        if isinstance(sampler, Greedy) and not len(ids) and guide is None:
            return sampler.choose(logits)  # one pass, with nothing to copy
        settings = sampler.settings()
        if charges is not None:
            settings[4:7] = charges.penalties.amounts
        inputs = {
            "logits": logits.reshape(1, -1),
            "settings": settings.reshape(1, -1),
            "ids": ids.reshape(-1, 1),
            "owners": np.zeros((len(ids), 1), dtype=np.int32),
            "charges": numbers,
        }
        if guide is not None:
            inputs["mask"] = guide.halves().reshape(1, -1)
        chosen = self.session.run(PLAIN if guide is None else MASKED, inputs, {})["id"]
        return found(int(chosen[0, 0]), logits)

    def close(self) -> None:
        """Free the program's memory."""
        self.session.close()


def sampling_graph(vocabulary: int) -> Graph:
    """Return the graph of two functions, without a mask and with one."""
    g = GraphBuilder(_OPS.__getitem__)
    for name in (PLAIN, MASKED):
        f = g.function(name)
        outputs, charged = f.space("outputs", rows=False), f.space("charged", rows=False)
        operands = [
            f.input("logits", TensorType(outputs, vocabulary)),
            f.input("settings", TensorType(outputs, COLUMNS)),
            f.input("ids", TensorType(charged, 1, I32, limit=vocabulary)),
            f.input("owners", TensorType(charged, 1, I32, limit_space="outputs")),
            f.input("charges", TensorType(charged, 2)),
        ]
        halves = TensorType(outputs, -(-vocabulary // 16))
        mask = f.input("mask", halves) if name == MASKED else None
        f.output("id", f.op(SAMPLE.name, *operands, mask))
    return g.finish()
