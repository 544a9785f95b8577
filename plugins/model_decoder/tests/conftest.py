"""What the tests of the families share."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import pytest

from tests.outside.runner import Runner, open_runner

MOST_POSITIONS = 64


@pytest.fixture
def runner() -> Callable[..., Runner]:
    """`runner(folder, family, backend, …)`: open a checkpoint, for few positions unless said."""
    return partial(open_runner, positions=MOST_POSITIONS)
