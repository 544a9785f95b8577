"""`synapse logits`: what a model says of every position of given ids."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from synapse_core.cli.image_options import (
    check_inputs,
    given_pixels,
    parse_size,
    pixels_option,
    size_options,
)
from synapse_core.cli.options import (
    backend_options,
    format_options,
    model_argument,
    open_model,
)
from synapse_core.cli.output import finite, json_option, print_json, print_table
from synapse_core.errors import UsageError

if TYPE_CHECKING:
    import numpy as np

TOP = 5
OUTPUT_ROWS = 128


@click.command("logits")
@model_argument()
@click.option("--tokens", help="Ids with commas between: 1,2,3.")
@click.option(
    "--image",
    "images",
    multiple=True,
    type=click.Path(path_type=Path),
    help="A picture instead, of a model of images; may come several times.",
)
@pixels_option
@size_options
@click.option("-o", "--output", type=click.Path(path_type=Path), help="Write a .npy file.")
@backend_options
@format_options
@json_option
def logits(
    model: Path,
    tokens: str | None,
    images: tuple[Path, ...],
    pixels: Path | None,
    size: str | None,
    batch: int | None,
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

    Of a model of images those of each picture: float32 (images, classes). Keys and values are kept
    in f32 unless --kv says otherwise; in a .syn file, as compiled.
    """
    from synapse_core.api.source import is_program

    check_inputs(images, {"--tokens": tokens, "--pixels": pixels}, "--image")
    ids = [] if tokens is None else parse_ids(tokens)
    if kv is None and not is_program(model):
        kv = "f32"
    options: dict[str, Any] = {"format": format, "arith": arith, "kv": kv, "context": context}
    options |= {"image_size": parse_size(size), "images": batch}
    loaded = open_model(model, backend, threads=threads, output_rows=OUTPUT_ROWS, **options)
    with loaded:
        if tokens is not None:
            rows = loaded.logits(ids)
        else:
            loaded.images.check_classes()
            given = given_pixels(loaded, pixels)
            rows = loaded.encode(images or None, pixels=given, output="logits")
        if output is not None:
            save_array(output, rows)
    told: list[Any] = (
        ids or [str(image) for image in images] or [f"{pixels}[{n}]" for n in range(len(rows))]
    )
    what = "token" if ids else "image"
    top = [{what: one, **_top(n, row)} for n, (one, row) in enumerate(zip(told, rows, strict=True))]
    if as_json:
        report = {"model": str(model), "backend": loaded.backend, "shape": list(rows.shape)}
        print_json(report | {"output": str(output) if output else None, "positions": top})
    elif output is not None:
        click.echo(f"{output}: float32 {rows.shape}", err=True)
    else:
        columns = ["position", what, *(f"#{n + 1}" for n in range(TOP))]
        print_table(columns, [_line(entry, what) for entry in top])


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


def _top(position: int, row: np.ndarray) -> dict[str, Any]:
    best = (-row).argsort(kind="stable")[:TOP]
    top = [{"id": int(n), "logit": finite(float(row[n]))} for n in best]
    return {"position": position, "top": top}


def _line(entry: dict[str, Any], what: str) -> list[object]:
    best = [
        f"{t['id']}: {math.nan if t['logit'] is None else t['logit']:.3f}" for t in entry["top"]
    ]
    return [entry["position"], entry[what], *best]
