"""`synapse import-pt`: torch pickles as safetensors."""

from __future__ import annotations

from pathlib import Path

import attrs
import click

from synapse_core.cli.output import json_option, print_json


@click.command("import-pt")
@click.argument("source", metavar="IN", type=click.Path(path_type=Path))
@click.option(
    "-o", "--output", required=True, type=click.Path(path_type=Path), help="The .safetensors."
)
@click.option("--key", help="The dictionary of tensors, where the file has several.")
@click.option("--without", multiple=True, metavar="PATTERN", help="Leave out tensors by name.")
@json_option
def import_pt(
    source: Path, output: Path, key: str | None, without: tuple[str, ...], as_json: bool
) -> None:
    """Write the tensors of IN (.pt, .pth, .bin, pickled by torch.save) as safetensors.

    A model in shards is named by its pytorch_model.bin.index.json, or by its folder.

    The pickle is read, not run: whatever is no tensor of float32, float16 or bfloat16 is refused
    by name. torch is not needed.
    """
    from synapse_core.api.import_pt import import_pt as convert

    done = convert(source, output, key=key, without=without)
    if as_json:
        print_json(attrs.asdict(done) | {"output": str(done.output)})
        return
    if done.key is not None:
        click.echo(f"tensors from {done.key!r}", err=True)
    for names in done.tied:
        click.echo(f"tied, each written: {', '.join(names)}", err=True)
    if done.copied:
        click.echo(f"{len(done.copied)} views were made contiguous", err=True)
    if done.left_out:
        click.echo(f"left out: {', '.join(done.left_out)}", err=True)
    click.echo(f"{output}: {done.tensors} tensors, {done.bytes:,} bytes", err=True)
