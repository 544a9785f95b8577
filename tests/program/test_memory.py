"""The arena's plan: nothing that lives at one time overlaps, and little is wasted."""

from hypothesis import given
from hypothesis import strategies as st

from synapse_core.program.memory import Lifetime, least_bytes, plan
from synapse_core.program.records import ARENA_ALIGN

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


def test_chain_of_layers_needs_no_more_than_its_widest_moment():
    chain = [Lifetime(f"t{n}", 1000 * (1 + n % 3), n, n + 1) for n in range(40)]
    _, size = plan(chain)
    assert size <= 1.05 * least_bytes(chain)
