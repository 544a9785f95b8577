"""`synapse components`: everything that can be named, by kind."""

from __future__ import annotations

import click

from synapse_core.cli.output import json_option, print_json, print_table
from synapse_core.hookspecs import KINDS
from synapse_core.plugins import default_host


@click.command()
@click.argument("kind", required=False, type=click.Choice(KINDS))
@json_option
def components(kind: str | None, as_json: bool) -> None:
    """List what plugins provide, all of it or one KIND."""
    host = default_host()
    found = [p for each in ([kind] if kind else KINDS) for p in host.of_kind(each)]
    if as_json:
        listed = [
            {
                "kind": p.record.kind,
                "name": p.record.name,
                "summary": p.record.summary,
                "distribution": p.distribution,
                "factory": p.record.factory,
            }
            for p in found
        ]
        print_json({"components": listed})
        return
    rows = [(p.record.kind, p.record.name, p.distribution, p.record.summary) for p in found]
    print_table(("kind", "name", "distribution", ""), rows)
