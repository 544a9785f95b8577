"""`synapse new-plugin`: a working plugin to begin with."""

from __future__ import annotations

from pathlib import Path

import click

from synapse_core.cli.output import json_option, print_json
from synapse_core.hookspecs import KINDS


@click.command("new-plugin")
@click.argument("kind", metavar="KIND", type=click.Choice(KINDS))
@click.argument("name")
@click.option(
    "-o",
    "--output",
    "folder",
    type=click.Path(path_type=Path),
    help="The folder to make; ./synapse-KIND-NAME unless said.",
)
@json_option
def new_plugin(kind: str, name: str, folder: Path | None, as_json: bool) -> None:
    """Write a small distribution that provides NAME, a working thing of a KIND, with its tests.

    KIND is one of: attention, ffn, norm, position, quant_format, weight_loader, model, tokenizer,
    preprocessor, sampler, op, pass, backend, target, command. The folder appears whole or not at
    all; one that is there is refused.
    """
    from synapse_core.authoring import create_plugin
    from synapse_core.plugins import default_host

    made = create_plugin(kind, name, folder, default_host())
    if as_json:
        print_json(
            {
                "kind": kind,
                "name": made.name,
                "distribution": made.distribution,
                "folder": str(made.folder),
                "files": list(made.files),
            }
        )
        return
    for file in made.files:
        click.echo(made.folder / file)
    click.echo(f"next: pip install -e {made.folder} && synapse check {made.distribution}", err=True)
