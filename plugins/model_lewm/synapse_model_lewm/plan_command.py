"""`synapse plan`: actions from one image to another."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from synapse_model_lewm.options import (
    check_places,
    model_options,
    open_world,
    print_json,
    save_array,
)

# As many rollouts side by side as the published search draws; memory is planned for them.
MOST_SLOTS = 512


@click.command("plan")
@click.option(
    "--start", required=True, type=click.Path(path_type=Path), help="The image of where it is."
)
@click.option(
    "--goal", required=True, type=click.Path(path_type=Path), help="The image of where to get."
)
@click.option("--samples", default=300, show_default=True, help="Plans drawn in an iteration.")
@click.option("--elites", default=30, show_default=True, help="The best of them, to go on from.")
@click.option("--iterations", default=30, show_default=True, help="How often.")
@click.option("--horizon", default=5, show_default=True, help="Actions of a plan.")
@click.option("--deviation", default=1.0, show_default=True, help="Of the first actions drawn.")
@click.option("--low", type=float, help="The least number of an action.")
@click.option("--high", type=float, help="The largest number of an action.")
@click.option("--seed", default=0, show_default=True, help="The same seed gives the same plan.")
@click.option("-o", "--output", type=click.Path(path_type=Path), help="Write actions as .npy.")
@model_options
def plan(
    model: str,
    start: Path,
    goal: Path,
    samples: int,
    elites: int,
    iterations: int,
    horizon: int,
    deviation: float,
    low: float | None,
    high: float | None,
    seed: int,
    output: Path | None,
    backend: str,
    threads: int | None,
    format: str | None,
    arith: str | None,
    plot: Path | None,
    as_json: bool,
) -> None:
    """Find with the world model MODEL actions that lead from one image to another.

    Actions, (horizon, A), are in the model's own action space. MODEL `lewm` is the small one that
    ships.
    """
    from synapse_model_lewm.planning import Search
    from synapse_model_lewm.planning import plan as search_plan

    search = Search(
        samples=samples,
        elites=elites,
        iterations=iterations,
        horizon=horizon,
        deviation=deviation,
        low=low,
        high=high,
        seed=seed,
    )
    check_places(output, plot)
    options = {"format": format, "arith": arith, "threads": threads}
    slots = min(samples, MOST_SLOTS)
    with open_world(model, backend, slots, **options) as world:
        ends = world.encode_images((start, goal))
        found = search_plan(world, ends[0], ends[1], search, progress=_progress())
        used = world.model.backend
    if output is not None:
        save_array(output, found.actions)
    if plot is not None:
        from synapse_model_lewm.plot import draw

        draw(plot, found.latents, 1, found.goal)
    if as_json:
        print_json(
            {
                "model": model,
                "backend": used,
                "cost": found.cost,
                "costs": list(found.costs),
                "actions": found.actions.tolist(),
                "output": None if output is None else str(output),
                "plot": None if plot is None else str(plot),
            }
        )
        return
    click.echo(f"cost {found.cost:.4f}, from {found.costs[0]:.4f}", err=True)
    for action in found.actions if output is None else ():
        click.echo(" ".join(f"{number:8.4f}" for number in action))


def _progress():  # type: ignore[no-untyped-def]
    """Return what shows how far the search is, on a terminal only."""
    if not sys.stderr.isatty():
        return lambda done, total: None

    def show(done: int, total: int) -> None:
        click.echo(f"\rplan: {done} of {total}", nl=done == total, err=True)

    return show
