"""Tables of kernels: which is chosen, what they pack, and that whole programs agree across them."""

from __future__ import annotations

import numpy as np
import pytest
from synapse_backend_cpu import packing
from synapse_backend_cpu.backend import CpuBackend
from synapse_backend_cpu.native import library, recipe
from synapse_backend_cpu.native.compiler import target

from synapse_core.api import estimate
from synapse_core.backends.numpy_backend import NumpyBackend
from synapse_core.errors import Unavailable, UsageError
from synapse_core.formats import F32, INT8, Q8_0
from synapse_core.graph import GraphBuilder, WeightScope
from synapse_core.ops import TensorType
from synapse_core.program import Limits, Tables
from synapse_core.testing import Case, causal_decoder, fill_weights, finder, rows

FORMATS = ["f32", "f16", "bf16", "int8", "q8_0", "q4_0", "q5_1", "i8g16"]
BLOCKS = ["q8_0", "q4_0", "q4_1", "q5_0", "q5_1", "q4_k", "q5_k", "q6_k", "i8g16"]
# Past the most that go through packed weights together, and past a tile of AMX.
MOST_ROWS, COLS, OUTPUTS = 17, 512, 75


def outputs(case, threads=1):
    session = CpuBackend().open(case.executable(), threads=threads)
    try:
        return [session.run(call.function, call.inputs, call.rows) for call in case.calls]
    finally:
        session.close()


def usable():
    found = library.features()
    return [t for t in recipe.tiers_of(target()) if not t.feature & ~found]


def test_the_fastest_table_that_runs_here_is_used(monkeypatch):
    monkeypatch.delenv(library.FORCED, raising=False)
    assert library.tier() == usable()[0]


def test_a_table_can_be_forced(monkeypatch):
    monkeypatch.setenv(library.FORCED, "plain")
    assert library.tier() is recipe.PLAIN


def test_an_unknown_table_is_refused(monkeypatch):
    monkeypatch.setenv(library.FORCED, "mmx")
    with pytest.raises(UsageError, match=r"SYNAPSE_CPU=mmx: there are .*plain"):
        library.tier()


def test_a_table_that_cannot_run_here_is_refused(monkeypatch):
    lacking = recipe.Tier("future", 1 << 30, (), None)
    monkeypatch.setitem(recipe.TIERS, target().partition("-")[0], (lacking, recipe.PLAIN))
    monkeypatch.setenv(library.FORCED, "future")
    with pytest.raises(Unavailable, match="SYNAPSE_CPU=future: this processor lacks"):
        library.tier()
    monkeypatch.delenv(library.FORCED)
    assert library.tier() is recipe.PLAIN


def test_an_unknown_layout_is_refused(monkeypatch):
    monkeypatch.setenv(packing.CHOSEN, "columns")
    with pytest.raises(UsageError, match="SYNAPSE_LAYOUT=columns: there are packed, rows"):
        packing.is_wanted()


def test_nothing_is_packed_that_its_product_does_not_read(monkeypatch):
    """A float product decodes rows of a block format where they lie."""
    monkeypatch.delenv(packing.CHOSEN, raising=False)
    backend = CpuBackend()
    for tier in usable():
        monkeypatch.setenv(library.FORCED, tier.name)
        for format, arith in ((F32, "f32"), (Q8_0, "a8/32"), (INT8, "a8/row")):
            copied = backend.copied_bytes(format.name, arith, 64, 64)
            assert copied == (64 * format.row_bytes(64) if tier.folder else 0)
        for format in (Q8_0, INT8):
            assert backend.copied_bytes(format.name, "f32", 64, 64) == 0


@pytest.mark.parametrize("format", FORMATS)
@pytest.mark.parametrize("layout", packing.LAYOUTS)
def test_what_is_packed_is_what_is_estimated(monkeypatch, format, layout):
    monkeypatch.setenv(packing.CHOSEN, layout)
    program = causal_decoder(format, "f16").executable().program
    packed = sum(place.size for place in packing._places(Tables.of(program.image)))
    assert estimate(program, backend=CpuBackend()).copies == packed
    assert estimate(program, backend=NumpyBackend()).copies == estimate(program).copies == 0
    wanted = layout == "packed" and library.tier().folder
    assert (packed > 0) == bool(wanted)


@pytest.mark.parametrize("format", FORMATS)
def test_packed_weights_give_the_bits_of_rows(monkeypatch, format):
    case = causal_decoder(format, "f16")
    monkeypatch.setenv(packing.CHOSEN, "rows")
    rows = outputs(case)
    monkeypatch.setenv(packing.CHOSEN, "packed")
    for one, many in zip(rows, outputs(case, threads=3), strict=True):
        for name, array in one.items():
            np.testing.assert_array_equal(array.view(np.uint32), many[name].view(np.uint32))


def linear(format) -> Case:
    g = GraphBuilder(finder())
    f = g.function("f")
    x = f.input("x", TensorType(f.space("tokens"), COLS))
    weight = WeightScope(g).matrix("w", OUTPUTS, COLS)
    (y,) = f.op_n("linear", x, weight, None, arith="a8/32")
    f.output("y", y)
    limits = Limits(rows={"tokens": MOST_ROWS}, slots=1, positions=MOST_ROWS)
    return Case(format, fill_weights(g.finish(), 1, {"w": format}), (), limits)


@pytest.mark.parametrize("format", BLOCKS)
def test_a_row_has_the_same_bits_among_any_others(monkeypatch, format):
    x = np.random.default_rng(3).standard_normal((MOST_ROWS, COLS), np.float32)
    for tier in usable():
        monkeypatch.setenv(library.FORCED, tier.name)
        found = set()
        for layout in packing.LAYOUTS:
            monkeypatch.setenv(packing.CHOSEN, layout)
            session = CpuBackend().open(linear(format).executable(), threads=2)
            for count in range(1, MOST_ROWS + 1):
                y = session.run("f", {"x": x[-count:]}, {"tokens": rows((0, 0, count))})["y"]
                found.add(y[-1].tobytes())
                assert y.shape == (count, OUTPUTS)
            whole = session.run("f", {"x": x}, {"tokens": rows((0, 0, MOST_ROWS))})["y"]
            for row in range(MOST_ROWS):
                alone = session.run("f", {"x": x[row:][:1]}, {"tokens": rows((0, 0, 1))})["y"]
                np.testing.assert_array_equal(alone[0].view(np.uint32), whole[row].view(np.uint32))
            for count in range(2, MOST_ROWS):
                some = session.run("f", {"x": x[:count]}, {"tokens": rows((0, 0, count))})["y"]
                np.testing.assert_array_equal(some.view(np.uint32), whole[:count].view(np.uint32))
            session.close()
        assert len(found) == 1, tier.name


@pytest.mark.parametrize("format", FORMATS)
def test_tables_agree_with_plain_c(monkeypatch, format):
    """A whole program; with activations of 8 bits another order of sums turns one over at times."""
    budget = 1e-5 if format in ("f32", "f16", "bf16") else 5e-3
    case = causal_decoder(format, "f32")
    monkeypatch.setenv(library.FORCED, "plain")
    plain = outputs(case)
    for tier in usable():
        monkeypatch.setenv(library.FORCED, tier.name)
        for want, got in zip(plain, outputs(case), strict=True):
            for name, array in want.items():
                error = np.sqrt(np.square(got[name] - array).mean())
                assert error <= budget * array.std()


def test_fast_tables_have_the_same_bits(monkeypatch):
    """They have one order of sums, but for numbers that AMX multiplies; integer sums are exact."""
    for format in FORMATS:
        others = ("amx",) if format in ("f32", "f16", "bf16") else ()
        fast = [tier for tier in usable() if tier.folder and tier.name not in others]
        case = causal_decoder(format, "f16")
        found = set()
        for tier in fast:
            monkeypatch.setenv(library.FORCED, tier.name)
            found.add(b"".join(out.tobytes() for call in outputs(case) for out in call.values()))
        assert len(found) <= 1, format


def test_a_tied_table_is_read_by_gather_and_product():
    tables = Tables.of(causal_decoder("q8_0", "f16").executable().program.image)
    read = tables.weights_of("linear")
    assert read == sorted(set(read))
    assert set(read) & set(tables.weights_of("embedding"))
    assert tables.weights_of("nothing") == []
