"""Where keys and values lie, by their type; what a type cannot hold is refused by name."""

from __future__ import annotations

import pytest

from synapse_core.errors import GraphError
from synapse_core.ops import StateType
from synapse_core.program.states import StateTable

PAGE = 64


def state(width: int, head_dim: int = 0) -> StateType:
    return StateType("a.kv", "kv", width, width, 0, head_dim)


@pytest.mark.parametrize(
    ("kv", "bytes"), [("f32", 4 * 96), ("f16", 2 * 96), ("bf16", 2 * 96), ("q8_0", 3 * 34)]
)
def test_a_page_has_64_rows_of_keys_and_of_values(kv: str, bytes: int) -> None:
    table = StateTable.plan([state(96, 32), state(96)], kv)
    assert table.groups == [(2 * PAGE * 2 * bytes, 0, 0)]
    assert [record[:2] for record in table.records] == [
        (0, PAGE * 2 * bytes),
        (PAGE * 2 * bytes, PAGE * 2 * bytes),
    ]


@pytest.mark.parametrize(("width", "head_dim"), [(96, 48), (80, 0), (160, 80)])
def test_blocks_lie_within_heads(width: int, head_dim: int) -> None:
    StateTable.plan([state(width, head_dim)], "f16")
    found = head_dim or width
    with pytest.raises(GraphError, match=rf"q8_0: state 'a\.kv' has heads of {found} numbers"):
        StateTable.plan([state(width, head_dim)], "q8_0")


def test_an_unknown_type_is_told_with_the_known_ones() -> None:
    with pytest.raises(GraphError, match="'q4_0': must be one of f32, f16, bf16, q8_0"):
        StateTable.plan([state(32)], "q4_0")
