"""What holds for every test here: where CI is true, a reference that is not there is a failure."""

from __future__ import annotations

import os
from collections.abc import Generator

import pytest


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
