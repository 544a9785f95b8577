"""`synapse graph`: a model as data, after any pass."""

from __future__ import annotations

from pathlib import Path

import click

from synapse_core.cli.image_options import parse_size
from synapse_core.cli.options import model_argument
from synapse_core.cli.output import json_option, print_json
from synapse_core.errors import UsageError

STYLES = ("text", "dot", "svg")


@click.command()
@model_argument(required=False)
@click.option("--stage", metavar="S", help="The pass after which to look; the last by default.")
@click.option("--diff", is_flag=True, help="Show what the stage changed.")
@click.option("--style", type=click.Choice(STYLES), default="text", help="How to write it.")
@click.option("--format", "weight_format", metavar="F", help="Hold the matrices in this format.")
@click.option("--ctx", "context", type=int, help="Positions that the graph is built for.")
@click.option("--size", metavar="N|HxW", help="Height and width of images.")
@click.option("-o", "--output", type=click.Path(path_type=Path), help="Write to this file.")
@json_option
def graph(
    model: Path | None,
    stage: str | None,
    diff: bool,
    style: str,
    weight_format: str | None,
    context: int | None,
    size: str | None,
    output: Path | None,
    as_json: bool,
) -> None:
    """Show the graph of MODEL as text, Graphviz dot or SVG."""
    from synapse_core.api import graph_stages
    from synapse_core.files import write_whole
    from synapse_core.passes import as_diff, as_dot, as_svg, as_text

    found = graph_stages(model, format=weight_format, context=context, image_size=parse_size(size))
    names = list(found)
    stage = stage or names[-1]
    if stage not in found:
        raise UsageError(f"no stage {stage!r}; there are: {', '.join(names)}")
    if diff:
        before = names[max(0, names.index(stage) - 1)]
        text = as_diff(found[before], found[stage], (before, stage))
    else:
        text = {"text": as_text, "dot": as_dot, "svg": as_svg}[style](found[stage])
    if output is not None:
        with write_whole(output) as file:
            file.write(text.encode())
    if as_json:
        nodes = {name: len(f.nodes) for name, f in found[stage].functions.items()}
        content = {"stage": stage, "stages": names, "nodes": nodes}
        print_json(content if output else {**content, "text": text})
    elif output is None:
        click.echo(text, nl=False)
