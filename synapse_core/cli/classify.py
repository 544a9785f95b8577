"""`synapse classify`: what is to be seen in pictures."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from synapse_core.cli.image_options import (
    check_inputs,
    given_pixels,
    image_options,
    open_images,
    pixels_option,
    progress_of,
)
from synapse_core.cli.options import backend_options, model_argument
from synapse_core.cli.output import finite, json_option, print_json, print_table

if TYPE_CHECKING:
    from synapse_core.api import Label


@click.command("classify")
@model_argument()
@click.argument("images", metavar="IMAGE...", nargs=-1, type=click.Path(path_type=Path))
@pixels_option
@click.option("--top", type=click.IntRange(1, 1000), default=5, show_default=True, help="So many.")
@image_options
@backend_options
@json_option
def classify(
    model: Path,
    images: tuple[Path, ...],
    pixels: Path | None,
    top: int,
    size: str | None,
    batch: int | None,
    backend: str,
    threads: int | None,
    format: str | None,
    arith: str | None,
    as_json: bool,
) -> None:
    """Print the likeliest classes of each IMAGE, with their shares of the softmax."""
    check_inputs(images, {"--pixels": pixels})
    options = {"threads": threads, "format": format, "arith": arith}
    with open_images(model, backend, size, batch, **options) as loaded:
        loaded.images.check_classes()
        found = loaded.classify(
            images or None,
            pixels=given_pixels(loaded, pixels),
            top=top,
            report=progress_of(len(images) or None, "images"),
        )
    names = [str(image) for image in images] or [f"{pixels}[{n}]" for n in range(len(found))]
    if as_json:
        report: dict[str, Any] = {"model": str(model), "backend": loaded.backend}
        rows = zip(names, found, strict=True)
        print_json(report | {"images": [{"image": n, "top": _plain(t)} for n, t in rows]})
        return
    lines = [
        [name if place == 0 else "", label.label, f"{100 * label.share:.2f} %", label.index]
        for name, labels in zip(names, found, strict=True)
        for place, label in enumerate(labels)
    ]
    print_table(["image", "class", "share", "number"], lines)


def _plain(labels: list[Label]) -> list[dict[str, Any]]:
    return [
        {
            "class": one.index,
            "label": one.label,
            "share": finite(one.share),
            "logit": finite(one.logit),
        }
        for one in labels
    ]
