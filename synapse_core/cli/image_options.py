"""What the verbs of images share: options, the size of images, progress."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from synapse_core.cli.options import FORMAT_HELP, Command, open_model
from synapse_core.errors import FileError, UsageError

if TYPE_CHECKING:
    import numpy as np

    from synapse_core.api import Model

MOST_BATCH = 4096
_SIZE = re.compile(r"([1-9][0-9]{0,5})(?:x([1-9][0-9]{0,5}))?", re.IGNORECASE)


def parse_size(text: str | None) -> tuple[int, int] | None:
    """Read height and width: `224`, or `224x320`.

    Raises: UsageError quoting what is neither.
    """
    if text is None:
        return None
    found = _SIZE.fullmatch(text.strip())
    if found is None:
        raise UsageError(f"--size {text[:40]!r}: write 224, or height and width as 224x320")
    height = int(found[1])
    return height, int(found[2] or height)


def size_options(command: Command) -> Command:
    """Add how large images are, and how many go into one call."""
    size = click.option(
        "--size", metavar="N|HxW", help="Height and width of images; the model's own unless said."
    )
    batch = click.option(
        "--batch",
        type=click.IntRange(1, MOST_BATCH),
        help="So many images in one call, 8 unless said.",
    )
    return size(batch(command))


def image_options(command: Command) -> Command:
    """Add what verbs of images say of the model: size, batch, format, arithmetic."""
    format = click.option("--format", help=FORMAT_HELP)
    arith = click.option("--arith", help="Arithmetic of products: f32, bf16, a8/32, a8/row.")
    return size_options(format(arith(command)))


def pixels_option(command: Command) -> Command:
    """Add pixels that are normalised already."""
    return click.option(
        "--pixels",
        type=click.Path(path_type=Path),
        help="A .npy file of normalised pixels, float32 (images, channels, H, W).",
    )(command)


def open_images(
    model: Path, backend: str, size: str | None, batch: int | None, **options: Any
) -> Model:
    """Load a model for a verb of images.

    Raises: UsageError for a size or a batch that a compiled model does not have.
    """
    return open_model(model, backend, image_size=parse_size(size), images=batch, **options)


def given_pixels(model: Model, path: Path | None) -> np.ndarray | None:
    """Read the file of pixels for a model, None where none is named.

    Shapes: (B, channels, H, W).
    Raises: FileError naming what is wrong with it.
    """
    if path is None:
        return None
    from synapse_core.images import load_pixels

    shape = model.images.encoder.image_ports().shape
    return load_pixels(path, shape).reshape(-1, *shape)


def check_inputs(
    images: tuple[Path, ...], others: Mapping[str, object], named: str = "IMAGE"
) -> None:
    """Check that one kind of input is given; `named` is what the verb calls its pictures.

    Raises: UsageError naming those there are.
    """
    kinds = {named: images or None, **others}
    given = [name for name, value in kinds.items() if value is not None]
    if len(given) != 1:
        found = " and ".join(given) if given else "nothing"
        raise UsageError(f"found {found}; give one of: {', '.join(kinds)}")
    for image in images:
        if not image.exists():
            raise FileError(image, "does not exist")


def progress_of(count: int | None, what: str) -> Callable[[int], None]:
    """Return what tells a terminal how many are done, and nothing else."""

    def report(done: int) -> None:
        if sys.stderr.isatty():
            ended = count is not None and done >= count
            of = "" if count is None else f" of {count}"
            line = "\r\033[K" if ended else f"\r{done}{of} {what}"
            click.echo(line, nl=False, err=True)

    return report
