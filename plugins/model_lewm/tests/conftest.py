"""Checkpoints to test on, made once."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from .cases import TINY
from .public import Made, make

MakeTiny = Callable[[str], Made]


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> MakeTiny:
    """`tiny(name)`: the checkpoint of a small case."""
    known: dict[str, Made] = {}

    def made(name: str) -> Made:
        if name not in known:
            folder = tmp_path_factory.mktemp("lewm")
            known[name] = make(TINY[name], folder, frames=1 if name == "one frame" else 3, steps=22)
        return known[name]

    return made
