"""`synapse logits`: what a model says of every position of given ids."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from synapse_core.cli.options import (
    backend_options,
    format_options,
    model_argument,
    open_model,
)
from synapse_core.cli.output import json_option, print_json, print_table
from synapse_core.errors import UsageError

if TYPE_CHECKING:
    import numpy as np

TOP = 5
OUTPUT_ROWS = 128


@click.command("logits")
@model_argument()
@click.option("--tokens", required=True, help="Ids with commas between: 1,2,3.")
@click.option("-o", "--output", type=click.Path(path_type=Path), help="Write a .npy file.")
@backend_options
@format_options
@json_option
def logits(
    model: Path,
    tokens: str,
    output: Path | None,
    backend: str,
    threads: int | None,
    format: str | None,
    arith: str | None,
    kv: str | None,
    context: int | None,
    as_json: bool,
) -> None:
    """Print the likeliest tokens after every id, or write all logits: float32 (T, V).

    Keys and values are kept in f32 unless --kv says otherwise; in a .syn file, as compiled.
    """
    from synapse_core.api.source import is_program

    ids = parse_ids(tokens)
    if kv is None and not is_program(model):
        kv = "f32"
    options = {"format": format, "arith": arith, "kv": kv, "context": context}
    loaded = open_model(model, backend, threads=threads, output_rows=OUTPUT_ROWS, **options)
    with loaded:
        rows = loaded.logits(ids)
        if output is not None:
            save_array(output, rows)
    top = [_top(n, id, row) for n, (id, row) in enumerate(zip(ids, rows, strict=True))]
    if as_json:
        report = {"model": str(model), "backend": loaded.backend, "shape": list(rows.shape)}
        print_json(report | {"output": str(output) if output else None, "positions": top})
    elif output is not None:
        click.echo(f"{output}: float32 {rows.shape}", err=True)
    else:
        columns = ["position", "token", *(f"#{n + 1}" for n in range(TOP))]
        print_table(columns, [_line(entry) for entry in top])


def parse_ids(text: str) -> list[int]:
    """Read ids with commas between.

    Raises: UsageError quoting what is no id.
    """
    ids: list[int] = []
    for part in text.split(","):
        word = part.strip()
        if not (word.isascii() and word.isdigit() and len(word) < 12):
            raise UsageError(f"--tokens: {word[:40]!r} is no id; write 1,2,3")
        ids.append(int(word))
    return ids


def save_array(path: Path, array: np.ndarray) -> None:
    """Write a .npy file, whole or not at all."""
    import numpy as np

    from synapse_core.files import write_whole

    with write_whole(path) as file:
        np.save(file, array)


def _top(position: int, id: int, row: np.ndarray) -> dict[str, Any]:
    best = (-row).argsort(kind="stable")[:TOP]
    top = [{"id": int(n), "logit": float(row[n])} for n in best]
    return {"position": position, "token": id, "top": top}


def _line(entry: dict[str, Any]) -> list[object]:
    best = [f"{t['id']}: {t['logit']:.3f}" for t in entry["top"]]
    return [entry["position"], entry["token"], *best]
