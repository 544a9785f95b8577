"""`synapse plugins`: what is installed, and what is wrong with it."""

from __future__ import annotations

import click

from synapse_core.cli.output import json_option, print_json, print_table
from synapse_core.errors import UsageError
from synapse_core.plugins import Report, default_host


@click.command()
@click.option("--why", metavar="NAME", help="Say all about one plugin.")
@json_option
def plugins(why: str | None, as_json: bool) -> None:
    """List installed plugins with their state."""
    reports = default_host().reports
    if why is not None:
        reports = tuple(r for r in reports if why in (r.name, r.distribution))
        if not reports:
            known = ", ".join(sorted(r.name for r in default_host().reports))
            raise UsageError(f"no plugin {why!r} is installed; there are: {known}")
    if as_json:
        print_json({"plugins": [report.as_json() for report in reports]})
    elif why is not None:
        for report in reports:
            _print_all(report)
    else:
        rows = [
            (r.name, r.distribution, r.version, r.state, r.reason or f"provides {len(r.provides)}")
            for r in reports
        ]
        print_table(("plugin", "distribution", "version", "state", ""), rows)


def _print_all(report: Report) -> None:
    click.echo(f"{report.name} of {report.distribution} {report.version}: {report.state}")
    if report.reason:
        click.echo(f"  {report.reason}")
    for record in report.provides:
        click.echo(f"  {record.kind} {record.name}: {record.summary} ({record.factory})")
