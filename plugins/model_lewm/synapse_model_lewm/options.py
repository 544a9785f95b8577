"""What both verbs share: options, and opening a model for them."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import numpy as np

from synapse_core.errors import Unavailable, UsageError
from synapse_core.files import check_place, write_whole

if TYPE_CHECKING:
    from synapse_model_lewm.world_model import WorldModel

SCHEMA = 1
Command = Callable[..., Any]


def model_options(command: Command) -> Command:
    """Add MODEL, where it runs, how its weights are held, and how the answer is given."""
    path = click.Path(path_type=Path)
    options = (
        click.argument("model"),
        click.option("--backend", default="auto", show_default=True, help="Where it runs."),
        click.option("--threads", type=click.IntRange(1, 1024), help="How many threads."),
        click.option("--format", help="Re-encode the matrices: f16, int8, q8_0, q4_0 …"),
        click.option("--arith", help="Arithmetic of products: f32, bf16, a8/32, a8/row."),
        click.option("--plot", type=path, help="Write a PNG of the latents' way."),
        click.option("--json", "as_json", is_flag=True, help="Print one JSON object."),
    )
    for option in reversed(options):
        command = option(command)
    return command


def check_places(output: Path | None, plot: Path | None) -> None:
    """Check where results go, before they are computed.

    Raises: FileError naming a place that cannot be written, UsageError for one place for both,
    Unavailable where a plot needs Pillow and it is not installed.
    """
    if plot is not None:
        if find_spec("PIL") is None:
            raise Unavailable("--plot needs Pillow: pip install 'synapse[images]'")
        if output is not None and output.resolve() == plot.resolve():
            raise UsageError(f"--output and --plot are both {plot}")
    for place in (output, plot):
        if place is not None:
            check_place(place)


def open_world(model: str, backend: str, slots: int = 1, **options: Any) -> WorldModel:
    """Open a model for a verb and say on stderr where "auto" runs it."""
    from synapse_model_lewm.world_model import WorldModel

    world = WorldModel.open(model, backend=backend, slots=slots, **options)
    if backend == "auto":
        click.echo(f"backend: {world.model.backend}", err=True)
    return world


def save_array(path: Path, array: np.ndarray) -> None:
    """Write a .npy file, whole or not at all."""
    with write_whole(path) as file:
        np.save(file, array)


def print_json(content: Mapping[str, Any]) -> None:
    """Print one object with the schema's number."""
    click.echo(json.dumps({"schema": SCHEMA, **content}, indent=1))
