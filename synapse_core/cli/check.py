"""`synapse check`: does an installed plugin keep the contracts of what it provides?"""

from __future__ import annotations

import click

from synapse_core.cli.output import json_option, print_json
from synapse_core.errors import CheckFailed


@click.command()
@click.argument("distribution", metavar="DIST")
@json_option
def check(distribution: str, as_json: bool) -> None:
    """Examine everything that the installed distribution DIST provides.

    A line for each contract: ok, failed or skipped (there is nothing here to hold it against),
    with the reason. The exit code is 1 when one failed, 4 when DIST is not installed or broken.
    """
    import attrs

    from synapse_core.authoring import check_distribution
    from synapse_core.plugins import default_host
    from synapse_core.testing.contracts import FAILED, OK, SKIPPED

    findings = []
    for finding in check_distribution(distribution, default_host()):
        findings.append(finding)
        if not as_json:
            reason = f": {finding.reason}" if finding.reason else ""
            place = f"{finding.kind} {finding.name}: {finding.contract}"
            click.echo(f"{finding.state:<8} {place}{reason}")
    if as_json:
        listed = [attrs.asdict(finding) for finding in findings]
        print_json({"distribution": distribution, "findings": listed})
    count = {state: sum(f.state == state for f in findings) for state in (OK, FAILED, SKIPPED)}
    summary = ", ".join(f"{number} {state}" for state, number in count.items())
    if count[FAILED]:
        first = next(finding for finding in findings if finding.state == FAILED)
        raise CheckFailed(
            f"{distribution}: {summary}; the first: {first.kind} {first.name!r}:"
            f" {first.contract}: {first.reason}"
        )
    click.echo(f"{distribution}: {summary}", err=True)
