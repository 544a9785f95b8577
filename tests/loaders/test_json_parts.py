"""An array in parts has the items of the whole, wherever a part ends."""

from __future__ import annotations

import json
import random

import msgspec
import pytest

from synapse_core.loaders.json_parts import array_parts

LETTERS = ["a", '"', "\\", "\\\\", "[", "]", ",", '"],["', "🚀", "{", "}", " ", "\n", ":"]


def texts(draw: random.Random) -> str:
    return "".join(draw.choices(LETTERS, k=draw.randrange(9)))


@pytest.mark.parametrize("size", [1, 2, 7, 64, 1000])
def test_parts_together_are_the_array(size: int) -> None:
    draw = random.Random(size)
    for _ in range(200):
        kinds = (texts, lambda d: [texts(d), {texts(d): [1, texts(d)]}], lambda d: d.random())
        items = [draw.choice(kinds)(draw) for _ in range(draw.randrange(30))]
        escaped, indent = draw.random() < 0.5, draw.choice([None, 1])
        array = json.dumps(items, ensure_ascii=escaped, indent=indent).encode()
        parts = list(array_parts(msgspec.Raw(array), size))
        assert [item for part in parts for item in part] == items


def test_a_part_is_about_as_large_as_asked() -> None:
    array = json.dumps([f"{n:06}" for n in range(10_000)], separators=(",", ":")).encode()
    sizes = [len(part) for part in array_parts(msgspec.Raw(array), 900)]
    assert sum(sizes) == 10_000
    assert max(sizes) == 100 == min(sizes[:-1])


def test_an_item_larger_than_a_part_is_one() -> None:
    long = "x" * 5000
    array = json.dumps(["a", long, *"b" * 5000]).encode()
    parts = list(array_parts(msgspec.Raw(array), 10))
    assert [item for part in parts for item in part] == ["a", long, *"b" * 5000]
    assert len(parts) > 1000


def test_what_skipping_over_did_not_see_is_seen() -> None:
    with pytest.raises(UnicodeDecodeError):
        list(array_parts(msgspec.Raw(b'["\xff", 1]')))
