"""What the runtime refuses: hand-made programs and calls that the fuzzer once got through."""

from __future__ import annotations

import zlib

import numpy as np
import pytest
from synapse_backend_cpu.backend import CpuBackend

from synapse_core.backends import Executable
from synapse_core.errors import ProgramError, UsageError
from synapse_core.graph import GraphBuilder, WeightScope
from synapse_core.ops import I32, TensorType
from synapse_core.program import Limits, Program, Tables, header_of, lower
from synapse_core.testing import causal_decoder, fill_weights, finder, rows

from .kernel_harness import Cache, check, like, tensor

VOCABULARY = 13
IDS, X, BEFORE, EMBEDDED, AFTER = range(5)


@pytest.fixture
def program() -> Program:
    """Three ops: one before ids are read, the one that reads them, one after."""
    g = GraphBuilder(finder())
    f = g.function("f")
    tokens = f.space("tokens")
    ids = f.input("ids", TensorType(tokens, 1, I32, limit=VOCABULARY))
    x = f.input("x", TensorType(tokens, 1))
    f.output("before", f.op("scale", x, factor=2.0))
    y = f.op("embedding", ids, WeightScope(g).matrix("table", VOCABULARY, 1))
    f.output("after", f.op("scale", y, factor=2.0))
    limits = Limits(rows={"tokens": 16}, slots=1, positions=16)
    return lower(fill_weights(g.finish(), 1), limits, finder())


def place_over_ids(program: Program, tensor: int) -> Executable:
    """Return the program with a tensor moved to where the ids lie, its checksum mended."""
    tensors = Tables.of(program.image).tensors
    tensors[tensor]["offset"] = tensors[IDS]["offset"]
    header = header_of(program.image)
    header["checksum"] = 0
    header["checksum"] = zlib.crc32(program.image.data)
    return Executable(program, finder())


def test_op_that_writes_over_ids_still_to_be_read_is_refused(program):
    executable = place_over_ids(program, BEFORE)
    with pytest.raises(ProgramError, match=r"ops\[0\].*ids that a later op reads \(0\)"):
        CpuBackend().open(executable)


def test_op_that_writes_over_ids_after_their_last_use_is_sound(program):
    session = CpuBackend().open(place_over_ids(program, AFTER))
    ids = np.array([3, 12, 0], dtype=np.int32)
    inputs = {"ids": ids, "x": np.ones((3, 1), dtype=np.float32)}
    out = session.run("f", inputs, {"tokens": rows((0, 0, 3))})
    session.close()
    assert out["after"].shape == (3, 1)
    assert np.isfinite(out["after"]).all()


@pytest.mark.parametrize("derived", [0, 1, 2], ids=["q", "k", "v"])
def test_rows_in_groups_of_one_are_not_the_rows_of_their_base(derived):
    """They count their slots from zero, whatever slots the call has."""
    x = np.zeros((5, 8), dtype=np.float32)
    operands = [tensor(x, positions=9) for _ in "qkv"]
    state, attributes = Cache(8).operand(), [1, 1, 8, 0, 0, 1.0, 0.0]
    assert check("attention", [*operands, state], [like(operands[0])], attributes) == 0
    operands[derived] = tensor(x, 1, base=0, positions=9)
    assert check("attention", [*operands, state], [like(operands[0])], attributes)
    assert check("add", [operands[derived], tensor(x)], [like(operands[derived])])


def test_slot_that_holds_one_page_twice_is_refused():
    session = CpuBackend().open(causal_decoder().executable())

    def feed(first: int, count: int) -> None:
        inputs = {"ids": np.ones(count, dtype=np.int32), "select": np.arange(count)}
        session.run("forward", inputs, {"tokens": rows((0, first, count))})

    feed(0, 70)
    session.groups[0].table[0, 1] = session.groups[0].table[0, 0]
    with pytest.raises(UsageError, match="no KV page for a position, or shares one"):
        feed(60, 10)
    session.close()
