"""`synapse compile`: a model as one file that needs nothing beside it."""

from __future__ import annotations

from pathlib import Path

import click

from synapse_core.cli.options import format_options, model_argument
from synapse_core.cli.output import json_option, print_json, print_table
from synapse_core.errors import UsageError


@click.command("compile")
@model_argument(required=False)
@click.option("-o", "--output", required=True, type=click.Path(path_type=Path), help="The .syn.")
@click.option(
    "--slots",
    type=click.IntRange(1, 1 << 16),
    default=1,
    show_default=True,
    help="Sequences side by side.",
)
@click.option(
    "--rows",
    type=click.IntRange(1, 1 << 20),
    default=128,
    show_default=True,
    help="Tokens in one call.",
)
@click.option(
    "--output-rows",
    type=click.IntRange(1, 1 << 20),
    default=16,
    show_default=True,
    help="Positions with logits in one call.",
)
@format_options
@json_option
@click.option("-v", "--verbose", is_flag=True, help="List what every weight was held in.")
def compile(
    model: Path | None,
    output: Path,
    slots: int,
    rows: int,
    output_rows: int,
    format: str | None,
    arith: str | None,
    kv: str | None,
    context: int | None,
    as_json: bool,
    verbose: bool,
) -> None:
    """Write MODEL as one .syn file: program, weights, tokenizer, config, chat template.

    The file appears whole or not at all; an old one of its name stays until then.
    """
    from synapse_core.api import build, default_model
    from synapse_core.api.source import PROGRAM_SUFFIX, is_program
    from synapse_core.plugins import default_host
    from synapse_core.program import write_program

    host = default_host()
    source = model or default_model(host)
    if is_program(source):
        raise UsageError(f"{source} is compiled already; compile the checkpoint it came from")
    if output.suffix != PROGRAM_SUFFIX:
        raise UsageError(f"-o {output}: a program's name ends in {PROGRAM_SUFFIX}")
    built = build(
        source,
        host,
        format=format,
        arith=arith,
        kv=kv,
        context=context,
        slots=slots,
        rows=rows,
        output_rows=output_rows,
        apart=format is not None,
    )
    write_program(built.program, output)
    size = output.stat().st_size
    choices = [
        {"weight": c.name, "asked": c.asked, "given": c.given, "bytes": c.bytes, "error": c.error}
        for c in built.choices
    ]
    if as_json:
        print_json({"output": str(output), "bytes": size, "weights": choices})
        return
    fallen = [c for c in choices if c["asked"] != c["given"]]
    shown = choices if verbose else fallen
    if shown:
        print_table(
            ["weight", "asked", "held in", "bytes", "relative error"],
            [[c["weight"], c["asked"], c["given"], c["bytes"], f"{c['error']:.2g}"] for c in shown],
        )
    click.echo(f"{output}: {size:,} bytes", err=True)
