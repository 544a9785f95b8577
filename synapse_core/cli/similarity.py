"""`synapse similarity`: how well texts go with pictures."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from synapse_core.cli.image_options import check_inputs, image_options, open_images, progress_of
from synapse_core.cli.options import backend_options, model_argument, tokenizer_option
from synapse_core.cli.output import json_option, print_json, print_table


@click.command("similarity")
@model_argument()
@click.argument(
    "images", metavar="IMAGE...", nargs=-1, required=True, type=click.Path(path_type=Path)
)
@click.option(
    "--text", "texts", multiple=True, required=True, help="A text; may come several times."
)
@tokenizer_option
@image_options
@backend_options
@json_option
def similarity(
    model: Path,
    images: tuple[Path, ...],
    texts: tuple[str, ...],
    tokenizer: str | None,
    size: str | None,
    batch: int | None,
    backend: str,
    threads: int | None,
    format: str | None,
    arith: str | None,
    as_json: bool,
) -> None:
    """Print how each IMAGE is shared among the texts: a softmax over them, by the model's scale."""
    import numpy as np

    check_inputs(images, {})
    options = {"threads": threads, "format": format, "arith": arith, "tokenizer": tokenizer}
    with open_images(model, backend, size, batch, **options) as loaded:
        table = loaded.similarity(images, texts, report=progress_of(len(images), "images"))
    shares = np.exp(table.astype(np.float64) - table.max(axis=1, keepdims=True))
    shares /= shares.sum(axis=1, keepdims=True)
    if as_json:
        report: dict[str, Any] = {"model": str(model), "backend": loaded.backend}
        report |= {"images": [str(image) for image in images], "texts": list(texts)}
        print_json(report | {"logits": table.tolist(), "shares": shares.tolist()})
        return
    columns = ["image", *texts]
    rows = [
        [image, *(f"{100 * share:.2f} %" for share in row)]
        for image, row in zip(images, shares, strict=True)
    ]
    print_table(columns, rows)
