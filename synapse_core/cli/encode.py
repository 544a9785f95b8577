"""`synapse encode`: pictures, pixels or texts as rows of numbers."""

from __future__ import annotations

from pathlib import Path

import click

from synapse_core.cli.image_options import (
    check_inputs,
    given_pixels,
    image_options,
    open_images,
    pixels_option,
    progress_of,
)
from synapse_core.cli.logits import save_array
from synapse_core.cli.options import backend_options, model_argument, tokenizer_option
from synapse_core.cli.output import json_option, print_json
from synapse_core.files import check_place


@click.command("encode")
@model_argument()
@click.argument("images", metavar="[IMAGE]...", nargs=-1, type=click.Path(path_type=Path))
@click.option("--text", "texts", multiple=True, help="A text instead; may come several times.")
@pixels_option
@click.option(
    "-o", "--out", required=True, type=click.Path(path_type=Path), help="The .npy file to write."
)
@click.option(
    "--output",
    metavar="NAME",
    help="Which output: logits, embedding, pooled, last_hidden_state; the model's natural one"
    " unless said.",
)
@tokenizer_option
@image_options
@backend_options
@json_option
def encode(
    model: Path,
    images: tuple[Path, ...],
    texts: tuple[str, ...],
    pixels: Path | None,
    out: Path,
    output: str | None,
    tokenizer: str | None,
    size: str | None,
    batch: int | None,
    backend: str,
    threads: int | None,
    format: str | None,
    arith: str | None,
    as_json: bool,
) -> None:
    """Write what MODEL makes of each IMAGE, float32: (images, C), or (images, rows, C).

    The file appears whole or not at all.
    """
    check_inputs(images, {"--text": texts or None, "--pixels": pixels})
    check_place(out)
    options = {"threads": threads, "format": format, "arith": arith, "tokenizer": tokenizer}
    with open_images(model, backend, size, batch, **options) as loaded:
        count = len(images) or len(texts) or None
        found = loaded.encode(
            images or None,
            texts=texts or None,
            pixels=given_pixels(loaded, pixels),
            output=output,
            report=progress_of(count, "texts" if texts else "images"),
        )
        ports = loaded.images.encoder
        outputs = ports.text_ports().outputs if texts else ports.image_ports().outputs
    save_array(out, found)
    named = output or outputs[0]
    if as_json:
        report = {"model": str(model), "backend": loaded.backend, "out": str(out)}
        print_json(report | {"output": named, "shape": list(found.shape), "outputs": list(outputs)})
    else:
        click.echo(f"{out}: {named}, float32 {found.shape}", err=True)
