"""`synapse rollout`: what a world model imagines."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from synapse_core.errors import FileError, UsageError
from synapse_model_lewm.options import (
    check_places,
    model_options,
    open_world,
    print_json,
    save_array,
)

if TYPE_CHECKING:
    import numpy as np


@click.command("rollout")
@click.option(
    "--image",
    "images",
    multiple=True,
    type=click.Path(path_type=Path),
    help="An image that was seen; several in their order.",
)
@click.option(
    "--frames",
    type=click.Path(path_type=Path),
    help="Instead of images: a .npy file, uint8 (T, 3, H, W).",
)
@click.option(
    "--actions",
    required=True,
    type=click.Path(path_type=Path),
    help="A .npy file of actions, (T, A), as many as images or more.",
)
@click.option("-o", "--output", type=click.Path(path_type=Path), help="Write latents as .npy.")
@model_options
def rollout(
    model: str,
    images: tuple[Path, ...],
    frames: Path | None,
    actions: Path,
    output: Path | None,
    backend: str,
    threads: int | None,
    format: str | None,
    arith: str | None,
    plot: Path | None,
    as_json: bool,
) -> None:
    """Imagine with the world model MODEL what follows the images by the actions.

    Of n images and T actions come T + 1 latents, float32 (T + 1, D): the images' own, then one a
    step, the one behind the last action included. MODEL `lewm` is the small one that ships.
    """
    from synapse_model_lewm.arrays import check_finite, check_frames, check_numbers, read_array

    if (frames is None) == (not images):
        raise UsageError("rollout: give --image, once or more, or --frames")
    check_places(output, plot)
    options = {"format": format, "arith": arith, "threads": threads}
    given = read_array(actions)
    with open_world(model, backend, **options) as world:
        check_numbers(given, world.actions, actions, "actions")
        if given.ndim != 2:
            raise FileError(actions, f"found {given.shape}, expected (T, {world.actions})")
        if frames is None:
            start = world.encode_images(images)
        else:
            start = world.encode(check_frames(read_array(frames), frames))
        latents = world.rollout(start, given, actions)
        check_finite(latents, actions)
        used = world.model.backend
    seen = len(start)
    if output is not None:
        save_array(output, latents)
    if plot is not None:
        from synapse_model_lewm.plot import draw

        draw(plot, latents, seen)
    if as_json:
        report = {"model": model, "backend": used, "shape": list(latents.shape), "seen": seen}
        files = {"output": _text(output), "plot": _text(plot)}
        print_json({**report, **files, "steps": list(_steps(latents, seen))})
    elif output is not None:
        click.echo(f"{output}: float32 {latents.shape}", err=True)
    else:
        _print_steps(latents, seen)


def _steps(latents: np.ndarray, seen: int) -> list[dict[str, Any]]:
    import numpy as np

    moved = np.linalg.norm(np.diff(latents, axis=0, prepend=latents[:1]), axis=1)
    away = np.linalg.norm(latents - latents[seen - 1], axis=1)
    size = np.linalg.norm(latents, axis=1)
    return [
        {
            "step": n,
            "seen": n < seen,
            "norm": float(size[n]),
            "moved": float(moved[n]),
            "from_last_seen": float(away[n]),
        }
        for n in range(len(latents))
    ]


def _print_steps(latents: np.ndarray, seen: int) -> None:
    click.echo("step            norm   moved  from the last seen")
    for step in _steps(latents, seen):
        kind = "seen" if step["seen"] else "imagined"
        numbers = f"{step['norm']:8.3f}{step['moved']:8.3f}{step['from_last_seen']:10.3f}"
        click.echo(f"{step['step']:4} {kind:9}{numbers}")


def _text(path: Path | None) -> str | None:
    return None if path is None else str(path)
