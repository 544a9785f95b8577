"""Examining an installed distribution: the contract of each thing that it provides."""

from __future__ import annotations

import re
from collections.abc import Iterator

from synapse_core.errors import PluginError, SynapseError, Unavailable
from synapse_core.hookspecs import Provides
from synapse_core.plugins import Host, Report
from synapse_core.testing.contracts import FAILED, OK, Finding, Subject, contracts_of, examine

LOADS = "can be imported"


def reports_of(distribution: str, host: Host) -> tuple[Report, ...]:
    """Return the plugins of a distribution, all of them sound.

    Raises: Unavailable when it is not installed, has no plugin, is off or not for this machine;
    PluginError when one is broken or provides nothing.
    """
    wanted = _normal(distribution)
    reports = tuple(r for r in host.reports if _normal(r.distribution) == wanted)
    if not reports:
        known = ", ".join(sorted({report.distribution for report in host.reports}))
        raise Unavailable(
            f"no distribution {distribution!r} with a plugin is installed; there are: {known}"
        )
    for report in reports:
        error = PluginError if report.is_fault else Unavailable
        if report.state != OK:
            raise error(
                f"plugin {report.name!r} of {report.distribution} is {report.state}:"
                f" {report.reason}"
            )
    if not any(report.provides for report in reports):
        names = ", ".join(repr(report.name) for report in reports)
        raise PluginError(f"plugin {names} of {reports[0].distribution} provides nothing")
    return reports


def check_distribution(distribution: str, host: Host) -> Iterator[Finding]:
    """Yield how each contract of each thing went; raises as `reports_of`, before the first."""
    reports = reports_of(distribution, host)
    return (
        finding
        for report in reports
        for record in report.provides
        for finding in _examined(record, report.distribution, host)
    )


def _examined(record: Provides, distribution: str, host: Host) -> Iterator[Finding]:
    kind, name = record.kind, record.name
    try:
        thing = host.get(kind, f"{name}@{distribution}")
        sample = host.sample(kind, f"{name}@{distribution}")
    except SynapseError as error:
        yield Finding(kind, name, LOADS, FAILED, str(error))
        return
    yield Finding(kind, name, LOADS, OK)
    subject = Subject(kind, name, thing, host, sample)
    for contract in contracts_of(kind):
        yield examine(contract, subject)


def _normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()
