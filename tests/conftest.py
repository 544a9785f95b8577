"""What all tests share."""

from __future__ import annotations

import os
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real checkpoints beside the checkout; where CI is true it must be there."""
    place = Path(__file__).parents[2] / "shared" / "data"
    if not place.is_dir():
        reason = "no ../shared/data beside the checkout: tests on real checkpoints did not run"
        if os.environ.get("CI") == "true":
            pytest.fail(reason)
        pytest.skip(reason)
    return place
