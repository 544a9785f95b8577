"""Running verbs in this process, which is faster than a process each."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import pytest

from synapse_core.cli import frame


class Done(NamedTuple):
    out: str
    err: str


Run = Callable[..., Done]


@pytest.fixture
def run_here(capsys: pytest.CaptureFixture[str]) -> Run:
    """`run_here(*arguments, code=0)`: what a verb printed, having ended with that exit code."""

    def run(*arguments: object, code: int = 0) -> Done:
        capsys.readouterr()
        found = frame.run([str(argument) for argument in arguments])
        done = Done(*capsys.readouterr())
        assert found == code, done.err
        return done

    return run
