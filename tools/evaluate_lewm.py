"""Judge a LeWM of the plugin's worlds by what it plans, and what a format costs its latents.

    python tools/evaluate_lewm.py MODEL [--world pushing] [--format q8_0] [--episodes 50]
    python tools/evaluate_lewm.py MODEL --compare f32 --compare int8 --compare q8_0 --compare q4_0

Prints one JSON object. Without --compare: the share of episodes won by the rules of
`synapse_model_lewm.worlds`, by planning in latents, by the same search on the simulator itself
and by playing anything; beside it the collapse check and the probe. With --compare: on held-out
walks in both worlds, the cosine of a format's imagined latents with the first format's. It runs
on Synapse itself: what is judged is what ships.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import click
import numpy as np
from synapse_model_lewm.planning import Search, plan
from synapse_model_lewm.world_model import WorldModel
from synapse_model_lewm.worlds import (
    SEARCH,
    WORLDS,
    World,
    knowing_planner,
    play,
    random_planner,
    seeing_planner,
)
from synapse_model_lewm.worlds.episodes import Planner

sys.path.insert(0, str(Path(__file__).parent))

from lewm.policies import windows
from lewm.shape import collapse, fit_places

PROBE_SEED, WALK_SEED, PLAN_SEED = [8, 5], [11, 5], 12
STEPS = (1, 5, 20)
CHANCE_EPISODES = range(1000, 2000)


@click.command()
@click.argument("model")
@click.option("--world", "named", type=click.Choice([*WORLDS]), multiple=True, help="Only this.")
@click.option("--episodes", default=50, help="How many, from seed 0 on.")
@click.option("--walks", default=256, help="How many held-out walks to compare on, a world.")
@click.option("--format", "weight_format", help="Hold the matrices in this format.")
@click.option("--compare", "formats", multiple=True, help="Compare formats with the first.")
@click.option("--backend", default="auto")
@click.option("--threads", type=int)
def evaluate(
    model: str,
    named: tuple[str, ...],
    episodes: int,
    walks: int,
    weight_format: str | None,
    formats: tuple[str, ...],
    backend: str,
    threads: int | None,
) -> None:
    """Evaluate MODEL, a folder or `lewm` for the one that ships."""
    options: dict[str, Any] = {"backend": backend, "threads": threads}
    worlds = [world for name, world in WORLDS.items() if name in named or not named]
    if formats:
        told = {world.name: compare(model, world, walks, formats, options) for world in worlds}
    else:
        options["format"] = weight_format
        with WorldModel.open(model, slots=SEARCH.samples, **options) as opened:
            told = {world.name: judge(opened, world, episodes) for world in worlds}
    print(json.dumps(told, indent=2))


def judge(model: WorldModel, world: World, episodes: int) -> dict[str, Any]:
    """Return what planning wins, and what the latents are like."""
    states = world.draw(np.random.default_rng(PROBE_SEED), 2048)
    latents = model.encode(frames_of(world, states, model.side)).astype(np.float64)
    seeds = range(episodes)
    return {
        "episodes": episodes,
        "planned": float(play(world, planner_of(model, world), seeds).mean()),
        "simulator": float(play(world, knowing_planner(world, PLAN_SEED), seeds).mean()),
        "random": float(play(world, random_planner(PLAN_SEED), seeds).mean()),
        "random_of_1000": float(play(world, random_planner(PLAN_SEED), CHANCE_EPISODES).mean()),
        **rounded(collapse(latents)),
        **rounded(fit_places(latents, states)),
    }


def planner_of(model: WorldModel, world: World) -> Planner:
    """Return the planner that searches in the model's latents, as `synapse plan` does."""
    made = 0

    def seer(starts: np.ndarray, goals: np.ndarray) -> np.ndarray:
        nonlocal made
        plans = []
        for start, goal in zip(starts, goals, strict=True):
            search = Search(
                samples=SEARCH.samples,
                elites=SEARCH.elites,
                iterations=SEARCH.iterations,
                horizon=SEARCH.horizon,
                low=-1,
                high=1,
                seed=PLAN_SEED + made,
            )
            ends = (np.moveaxis(picture, -1, 0) for picture in (start, goal))
            plans.append(plan(model, *ends, search).actions)
            made += 1
        return np.stack(plans)

    return seeing_planner(world, seer, model.side)


def compare(
    model: str, world: World, walks: int, formats: tuple[str, ...], options: dict[str, Any]
) -> dict[str, Any]:
    """Return how near each format's imagined latents come to the first format's."""
    states, actions = windows(world, np.random.default_rng(WALK_SEED), walks, max(STEPS))
    told: dict[str, Any] = {}
    first: np.ndarray | None = None
    for weight_format in formats:
        chosen = None if weight_format == "f32" else weight_format
        with WorldModel.open(model, slots=64, format=chosen, **options) as opened:
            begun = opened.encode(frames_of(world, states[:, 0], opened.side))
            imagined = np.concatenate(
                [
                    opened.rollout(begun[part, None], actions[part].astype(np.float32))
                    for part in np.split(np.arange(walks), range(64, walks, 64))
                ]
            ).astype(np.float64)
        first = imagined if first is None else first
        centre = first.mean(axis=(0, 1))
        told[weight_format] = {
            str(step): {
                **quantiles("cosine", cosine(imagined[:, step], first[:, step])),
                **quantiles("centred", cosine(imagined[:, step] - centre, first[:, step] - centre)),
                "rank": round(collapse(imagined[:, step])["rank"], 2),
            }
            for step in STEPS
        }
    return told


def frames_of(world: World, states: np.ndarray, size: int) -> np.ndarray:
    """Return pictures as frames, uint8 (N, 3, size, size)."""
    return np.ascontiguousarray(np.moveaxis(world.render(states, size), -1, 1))


def cosine(left: np.ndarray, right: np.ndarray) -> np.ndarray:
    """Return the cosine of each row of one array with its row in the other."""
    lengths = np.linalg.norm(left, axis=-1) * np.linalg.norm(right, axis=-1)
    return np.asarray((left * right).sum(axis=-1) / lengths)


def quantiles(name: str, values: np.ndarray) -> dict[str, float]:
    """Return mean and 5th percentile under this name."""
    return rounded({name: float(values.mean()), f"{name}_5": float(np.quantile(values, 0.05))})


def rounded(figures: dict[str, float]) -> dict[str, float]:
    """Return figures with five places."""
    return {name: round(value, 5) for name, value in figures.items()}


if __name__ == "__main__":
    evaluate()
