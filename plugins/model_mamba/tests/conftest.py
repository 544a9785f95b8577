"""Checkpoints to test on."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from .reference_cases import CASES, Made, make_case

Make = Callable[[str], Made]


@pytest.fixture(scope="session")
def make(tmp_path_factory: pytest.TempPathFactory) -> Make:
    """`make(name)`: the checkpoint of a case, made once."""
    known: dict[str, Made] = {}

    def make(name: str) -> Made:
        if name not in known:
            folder = tmp_path_factory.mktemp(name.replace(" ", "_"))
            known[name] = make_case(CASES[name], folder)
        return known[name]

    return make
