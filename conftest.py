"""What all tests share; where CI is true, a reference that is not there is a failure."""

from __future__ import annotations

import os
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.outside.llama_cpp import Converter


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real checkpoints beside the checkout; where CI is true it must be there."""
    place = Path(__file__).parents[1] / "shared" / "data"
    if not place.is_dir():
        reason = "no ../shared/data beside the checkout: tests on real checkpoints did not run"
        if os.environ.get("CI") == "true":
            pytest.fail(reason)
        pytest.skip(reason)
    return place


@pytest.fixture(scope="session")
def converter(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Converter]:
    """Return llama.cpp's converter; skips where it is not there."""
    from tests.outside.llama_cpp import Converter, converter_script

    script = converter_script()
    pytest.importorskip("sentencepiece")
    with (tmp_path_factory.mktemp("converter") / "log").open("w") as log:
        waiting = Converter(script, log)
        yield waiting
        waiting.close()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item,
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Fail a skipped test that is marked `reference`, by the name of what it misses."""
    report = yield
    asked = os.environ.get("CI") == "true" and item.get_closest_marker("reference")
    if asked and report.skipped and not hasattr(report, "wasxfail"):
        reason = report.longrepr[-1] if isinstance(report.longrepr, tuple) else report.longrepr
        report.outcome = "failed"
        report.longrepr = f"{item.nodeid}: where CI is true nothing may be missing: {reason}"
    return report
