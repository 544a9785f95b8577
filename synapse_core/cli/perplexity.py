"""`synapse perplexity`: how well a model foresees a text, in one format or several."""

from __future__ import annotations

import math
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from synapse_core.cli.options import (
    FORMAT_HELP,
    backend_options,
    holding_options,
    model_argument,
    open_model,
    tokenizer_option,
)
from synapse_core.cli.output import json_option, print_json, print_table

if TYPE_CHECKING:
    from synapse_core.api import Perplexity

# Rows of logits made at once; a window of which half is scored is fed in chunks of this size.
OUTPUT_ROWS = 64


@click.command("perplexity")
@model_argument()
@click.argument("text", metavar="TEXTFILE", type=click.Path(path_type=Path))
@click.option(
    "--format", "formats", multiple=True, help=f"{FORMAT_HELP} Several times makes a table."
)
@click.option("--stride", type=int, help="Tokens between windows; half of --ctx unless said.")
@tokenizer_option
@backend_options
@holding_options
@json_option
def perplexity(
    model: Path,
    text: Path,
    formats: Sequence[str],
    stride: int | None,
    backend: str,
    threads: int | None,
    arith: str | None,
    kv: str | None,
    context: int | None,
    tokenizer: str | None,
    as_json: bool,
) -> None:
    """Score TEXTFILE with MODEL: nats a token, perplexity, bits a byte.

    Windows of --ctx tokens begin --stride tokens apart. Each scores the tokens that none before it
    has scored, so every token but the text's first counts once. The difference is that of the
    perplexity to the first format's, in percent.
    """
    from synapse_core.api import perplexity as measure
    from synapse_core.api.source import is_program

    # A .syn file has its context fixed; its windows may still be shorter.
    planned = None if is_program(model) else context
    results: list[tuple[str | None, Perplexity]] = []
    for format in formats or (None,):
        loaded = open_model(
            model,
            backend,
            threads=threads,
            output_rows=OUTPUT_ROWS,
            format=format,
            arith=arith,
            kv=kv,
            context=planned,
            tokenizer=tokenizer,
        )
        backend = loaded.backend  # said once
        with loaded:
            found = measure(loaded, text, ctx=context, stride=stride, report=_progress)
        _clear()
        results.append((format, found))
    _, first = results[0]
    report: dict[str, Any] = {"model": str(model), "text": str(text), "backend": backend}
    report |= {"ctx": first.ctx, "stride": first.stride, "windows": first.windows}
    report |= {"tokens": first.tokens, "bytes": first.bytes}
    rows = [_row(format, found, first) for format, found in results]
    if as_json:
        print_json(report | {"results": rows})
        return
    click.echo(
        f"{first.tokens} tokens scored once each, in {first.windows} windows of {first.ctx} tokens"
        f" that begin {first.stride} apart",
        err=True,
    )
    columns = ("format", "nats/token", "±", "perplexity", "bits/byte", "difference %")
    print_table(columns, [_cells(row) for row in rows])


def _row(format: str | None, found: Perplexity, first: Perplexity) -> dict[str, Any]:
    apart = found.nats - first.nats
    return {
        "format": format,
        "nats_per_token": found.nats,
        "standard_error": found.standard_error,
        "perplexity": found.perplexity if math.isfinite(found.perplexity) else None,
        "bits_per_byte": found.bits_per_byte,
        "difference_percent": 100 * math.expm1(apart) if apart < 700 else None,
    }


def _cells(row: dict[str, Any]) -> list[str]:
    def cell(key: str, form: str) -> str:
        return "over e^700" if row[key] is None else format(row[key], form)

    return [
        row["format"] or "as stored",
        cell("nats_per_token", ".4f"),
        cell("standard_error", ".4f"),
        cell("perplexity", ".4f"),
        cell("bits_per_byte", ".4f"),
        cell("difference_percent", "+.3f"),
    ]


def _progress(so_far: Perplexity) -> None:
    if sys.stderr.isatty():
        line = f"\r{so_far.windows} windows, {so_far.tokens} tokens: {so_far.perplexity:.4f}"
        click.echo(line, nl=False, err=True)


def _clear() -> None:
    if sys.stderr.isatty():
        click.echo("\r\033[K", nl=False, err=True)
