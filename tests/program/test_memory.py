"""The arena's plan: nothing that lives at one time overlaps, and little is wasted."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from synapse_core.program import functions_of
from synapse_core.program.lower import lifetimes_of
from synapse_core.program.memory import Lifetime, least_bytes, plan
from synapse_core.program.records import ARENA_ALIGN
from synapse_core.testing import causal_decoder, image_encoder, two_towers, window_predictor

lifetime_lists = st.lists(
    st.tuples(st.integers(1, 5000), st.integers(-1, 30), st.integers(0, 8)), max_size=40
).map(lambda raw: [Lifetime(f"t{n}", b, f, f + d) for n, (b, f, d) in enumerate(raw)])


@given(lifetime_lists)
def test_tensors_that_meet_do_not_overlap(tensors):
    offsets, size = plan(tensors)
    for a in tensors:
        assert offsets[a.name] % ARENA_ALIGN == 0
        assert offsets[a.name] + a.bytes <= size
        for b in tensors:
            if a.name < b.name and a.meets(b):
                apart = offsets[a.name] + a.bytes <= offsets[b.name]
                assert apart or offsets[b.name] + b.bytes <= offsets[a.name]


@given(lifetime_lists)
def test_plan_does_not_depend_on_the_order_given(tensors):
    assert plan(tensors) == plan(tensors[::-1])


@pytest.mark.parametrize(
    "case",
    [causal_decoder(), image_encoder(), window_predictor(), two_towers()],
    ids=lambda case: case.name,
)
def test_models_need_little_more_than_their_widest_moment(case):
    tables = functions_of(case.executable().program)
    for function in case.graph.functions.values():
        bound = least_bytes(list(lifetimes_of(function, case.limits).values()))
        assert bound <= tables[function.name].arena_bytes <= 1.07 * bound
