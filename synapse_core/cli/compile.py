"""`synapse compile`: a model as one file that needs nothing beside it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from synapse_core.cli.image_options import parse_size, size_options
from synapse_core.cli.options import format_options, model_argument, tokenizer_option
from synapse_core.cli.output import json_option, print_json, print_table
from synapse_core.errors import FileError, UsageError

if TYPE_CHECKING:
    from synapse_core.backends import Target
    from synapse_core.hookspecs import Registry


@click.command("compile")
@model_argument(required=False)
@click.option(
    "-o",
    "--output",
    required=True,
    type=click.Path(path_type=Path),
    help="The .syn, or a target's folder.",
)
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
@size_options
@click.option("--target", help="A target that a plugin provides, by name: -o is a new folder.")
@tokenizer_option
@format_options
@json_option
@click.option("-v", "--verbose", is_flag=True, help="List what every weight was held in.")
def compile(
    model: Path | None,
    output: Path,
    slots: int,
    rows: int,
    output_rows: int,
    size: str | None,
    batch: int | None,
    format: str | None,
    arith: str | None,
    kv: str | None,
    context: int | None,
    target: str | None,
    tokenizer: str | None,
    as_json: bool,
    verbose: bool,
) -> None:
    """Write MODEL as one .syn file: program, weights, tokenizer, config, chat template.

    With --target, as that target's files in a new folder. The output appears whole or not at all;
    an old file of its name stays until then.
    """
    from synapse_core.api import build, default_model
    from synapse_core.api.source import PROGRAM_SUFFIX, is_program
    from synapse_core.generate.assets import REFUSED
    from synapse_core.generate.model_files import text_of
    from synapse_core.plugins import default_host
    from synapse_core.program import write_program

    host = default_host()
    source = model or default_model(host)
    if is_program(source):
        raise UsageError(f"{source} is compiled already; compile the checkpoint it came from")
    exporter = None if target is None else find_target(target, output, host)
    if exporter is None and output.suffix != PROGRAM_SUFFIX:
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
        images=batch,
        image_size=parse_size(size),
        apart=format is not None,
        tokenizer=tokenizer,
        complete=True,
    )
    if exporter is None:
        write_program(built.program, output)
    else:
        exporter.export(built.executable(), str(output))
    written = bytes_of(output)
    if REFUSED in built.assets:
        click.echo(f"written without a tokenizer: {text_of(built.assets, REFUSED)}", err=True)
    choices = [
        {"weight": c.name, "asked": c.asked, "given": c.given, "bytes": c.bytes, "error": c.error}
        for c in built.choices
    ]
    if as_json:
        print_json({"output": str(output), "bytes": written, "weights": choices})
        return
    fallen = [c for c in choices if c["asked"] != c["given"]]
    shown = choices if verbose else fallen
    if shown:
        print_table(
            ["weight", "asked", "held in", "bytes", "relative error"],
            [[c["weight"], c["asked"], c["given"], c["bytes"], f"{c['error']:.2g}"] for c in shown],
        )
    click.echo(f"{output}: {written:,} bytes", err=True)


def find_target(name: str, output: Path, registry: Registry) -> Target:
    """Return an installed target, having looked where its folder will be.

    Raises: UsageError for a folder that is there; FileError for one that has nowhere to be.
    """
    found = registry.get("target", name)
    if output.exists() or output.is_symlink():
        raise UsageError(f"-o {output}: is there already; a target writes a new folder")
    if not output.absolute().parent.is_dir():
        raise FileError(output, f"cannot be written: there is no folder {output.parent}")
    target: Target = found() if isinstance(found, type) else found
    return target


def bytes_of(output: Path) -> int:
    """Return the bytes of a file, or of all files of a folder."""
    if not output.is_dir():
        return output.stat().st_size
    return sum(path.stat().st_size for path in output.rglob("*") if path.is_file())
