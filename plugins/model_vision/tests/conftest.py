"""Checkpoints to test on."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from .tower_cases import CASES, MadeTower, make_tower

MakeTower = Callable[[str], MadeTower]


@pytest.fixture(scope="session")
def make_tower_of(tmp_path_factory: pytest.TempPathFactory) -> MakeTower:
    """`make_tower_of(name)`: the checkpoint of a case of DINOv2 or CLIP, made once."""
    known: dict[str, MadeTower] = {}

    def make(name: str) -> MadeTower:
        if name not in known:
            folder = tmp_path_factory.mktemp(name.replace(" ", "_"))
            known[name] = make_tower(CASES[name], folder)
        return known[name]

    return make
