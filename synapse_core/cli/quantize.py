"""`synapse quantize`: a checkpoint again, its weights in another format."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from synapse_core.cli.options import FORMAT_HELP
from synapse_core.cli.output import json_option, print_json, print_table

if TYPE_CHECKING:
    from synapse_core.api import Copy
    from synapse_core.api.quantize import Requantized

LAYER = re.compile(r"(?<=\.)\d+(?=\.)")


@click.command("quantize")
@click.argument("source", metavar="IN", type=click.Path(path_type=Path))
@click.argument("output", metavar="OUT", type=click.Path(path_type=Path))
@click.option("--format", help=FORMAT_HELP)
@click.option(
    "--plan",
    type=click.Path(path_type=Path),
    help="A JSON object of patterns over weights' names and formats; the first match wins.",
)
@json_option
def quantize(
    source: Path, output: Path, format: str | None, plan: Path | None, as_json: bool
) -> None:
    """Write the checkpoint IN with its matrices in another format to OUT.

    OUT ending in .gguf is a GGUF file; in .safetensors such a file, with config and tokenizer
    beside it; anything else a new folder. All matrices get the format, the embedding and the head
    too, where a plan does not say otherwise; vectors are f32. Rows that do not divide into a
    format's blocks fall back, and the table says to what. OUT appears whole or not at all.
    """
    from synapse_core.api import requantize
    from synapse_core.plugins import default_host

    with _progress() as report:
        done = requantize(
            source, output, default_host(), format=format, plan_file=plan, report=report
        )
    groups = group_tensors(done.tensors)
    if as_json:
        print_json(_as_json(done, groups))
        return
    print_table(
        ["weights", "n", "format", "bytes before", "bytes", "bits", "error"],
        [_cells(group) for group in groups],
    )
    for note in done.notes:
        click.echo(note, err=True)
    click.echo(f"{output}: {done.bytes:,} bytes", err=True)


def group_tensors(tensors: Sequence[Requantized]) -> list[dict[str, Any]]:
    """Return a row for the tensors that differ in the layer only and got the same, in their order.

    Errors are those of all numbers of a group together.
    """
    groups: dict[tuple[str, str | None, str], list[Requantized]] = {}
    for tensor in tensors:
        name = " + ".join(tensor.weights) if tensor.weights else tensor.source.name
        key = (LAYER.sub("*", name), tensor.asked, tensor.given)
        groups.setdefault(key, []).append(tensor)
    return [_group(name, asked, given, members) for (name, asked, given), members in groups.items()]


def _group(
    name: str, asked: str | None, given: str, members: Sequence[Requantized]
) -> dict[str, Any]:
    from synapse_core.passes import relative_error

    bytes = sum(tensor.bytes for tensor in members)
    numbers = sum(tensor.source.rows * tensor.source.cols for tensor in members)
    lost, total = (sum(getattr(t, part) for t in members) for part in ("lost", "total"))
    return {
        "weights": name,
        "tensors": len(members),
        "asked": asked,
        "given": given,
        "bytes_before": sum(tensor.source.data.size for tensor in members),
        "bytes": bytes,
        "bits": 8 * bytes / numbers if numbers else 0.0,
        "error": relative_error(lost, total),
    }


def _cells(group: dict[str, Any]) -> list[str]:
    fits = group["asked"] in (None, group["given"])
    return [
        group["weights"],
        str(group["tensors"]),
        group["given"] if fits else f"{group['asked']} → {group['given']}",
        f"{group['bytes_before']:,}",
        f"{group['bytes']:,}",
        f"{group['bits']:.2f}",
        f"{group['error']:.2g}",
    ]


def _as_json(done: Copy, groups: list[dict[str, Any]]) -> dict[str, Any]:
    tensors = [
        {
            "tensor": tensor.source.name,
            "weights": list(tensor.weights),
            "asked": tensor.asked,
            "given": tensor.given,
            "bytes": tensor.bytes,
            "error": tensor.error,
        }
        for tensor in done.tensors
    ]
    return {
        "output": str(done.output),
        "family": done.family,
        "bytes": done.bytes,
        "groups": groups,
        "tensors": tensors,
        "notes": list(done.notes),
    }


@contextmanager
def _progress() -> Iterator[Callable[[int, int], None]]:
    """Show the share of the source's bytes that is done, where stderr is a terminal."""
    if not sys.stderr.isatty():
        yield lambda done, total: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TimeRemainingColumn

    columns = (BarColumn(), DownloadColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("")
        yield lambda done, total: bar.update(task, completed=done, total=total)
