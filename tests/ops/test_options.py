"""Options become the words of a record, and back."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from synapse_core.errors import GraphError
from synapse_core.ops import CORE_OPS, Attribute, Op, complete_options, pack_attributes
from synapse_core.ops import unpack_attributes as unpack

OPS = {op.name: op for op in CORE_OPS}


def a_value(attribute: Attribute) -> st.SearchStrategy:
    if attribute.kind == "enum":
        return st.sampled_from(attribute.choices)
    if attribute.kind == "u32":
        return st.integers(0, 2**32 - 1)
    return st.floats(width=32, allow_nan=False, allow_infinity=False)


@pytest.mark.parametrize("op", CORE_OPS, ids=OPS)
@settings(max_examples=20, deadline=None)
@given(data=st.data())
def test_unpacking_undoes_packing(op, data):
    options = {a.name: data.draw(a_value(a)) for a in op.attributes}
    words = pack_attributes(op, options)
    assert len(words) == 12
    assert all(0 <= word < 2**32 for word in words)
    assert unpack(op, words) == options


def test_a_float_comes_back_rounded_and_its_word_is_its_bits():
    words = pack_attributes(OPS["scale"], {"factor": 0.1})
    assert words[0] == int(np.float32(0.1).view(np.uint32))
    assert unpack(OPS["scale"], words) == {"factor": float(np.float32(0.1))}


def test_defaults_are_filled_in_in_the_op_s_order():
    given = {"style": "half", "rotary_dim": 4, "head_dim": 8}
    complete = complete_options(OPS["rope"], given)
    assert list(complete.items()) == [
        ("head_dim", 8), ("rotary_dim", 4), ("style", "half"), ("magnitude", 1.0),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("op", "options", "words"),
    [
        ("rmsnorm", {}, "rmsnorm.*eps"),
        ("rmsnorm", {"eps": 1, "epsilon": 1}, "rmsnorm.*epsilon"),
        ("activation", {"kind": "swish"}, "activation.*swish.*silu"),
        ("softcap", {"cap": math.inf}, "softcap.*cap=inf"),
        ("softcap", {"cap": math.nan}, "softcap.*cap=nan"),
        ("softcap", {"cap": 1e300}, "softcap.*1e\\+300.*float32"),
        ("softcap", {"cap": "2"}, "softcap.*'2'"),
        ("add_positions", {"offset": -1}, "add_positions.*-1"),
        ("add_positions", {"offset": 1 << 32}, "add_positions.*2\\^32"),
        ("add_positions", {"offset": 1.5}, "add_positions.*1.5"),
        ("add_positions", {"offset": True}, "add_positions.*True"),
    ],
)
def test_a_bad_option_is_refused_by_op_and_name(op, options, words):
    with pytest.raises(GraphError, match=words):
        pack_attributes(OPS[op], options)


def test_words_that_mean_nothing_are_refused():
    with pytest.raises(GraphError, match=r"activation.*kind.*7"):
        unpack(OPS["activation"], [7, *[0] * 11])
    with pytest.raises(GraphError, match=r"add"):
        unpack(OPS["add"], [1, *[0] * 11])
    with pytest.raises(GraphError, match=r"rope"):
        unpack(OPS["rope"], [8, 8])


def test_more_attributes_than_words_are_refused():
    add = OPS["add"]
    many = tuple(Attribute(f"a{n}", "u32", 0) for n in range(13))
    with pytest.raises(GraphError, match=r"wide.*13"):
        pack_attributes(Op("wide", "", add.infer, add.reference, many), {})


def test_every_core_op_that_reaches_a_backend_has_a_c_kernel():
    assert len(OPS) == len(CORE_OPS) == 22
    for op in CORE_OPS:
        folded = op.name == "batchnorm"  # by a pass, before a backend sees it
        assert dict(op.kernels) == ({} if folded else {"c": "core"})
        assert op.summary
