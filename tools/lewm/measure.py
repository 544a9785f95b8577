"""What training prints: collapse, probe and planning."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from synapse_model_lewm.worlds import (
    SEARCH,
    Search,
    World,
    cross_entropy,
    play,
    seeing_planner,
)

from lewm.model import Lewm


@torch.no_grad()
def latents_of(model: Lewm, world: World, states: np.ndarray) -> np.ndarray:
    """Return the latents of states (N, width)."""
    pictures = torch.from_numpy(world.render(states, model.sizes.image))
    return torch.cat([model.encode(part) for part in pictures.split(256)]).double().numpy()


def collapse(latents: np.ndarray) -> dict[str, float]:
    """Return the least and mean deviation of a dimension, and the effective rank.

    Source: Roy & Vetterli 2007: the exponential of the entropy of the normalised spectrum.
    """
    deviation = latents.std(axis=0)
    spectrum = np.linalg.svd(latents - latents.mean(axis=0), compute_uv=False)
    share = spectrum / spectrum.sum()
    rank = float(np.exp(-(share * np.log(share + 1e-12)).sum()))
    return {"least_std": float(deviation.min()), "std": float(deviation.mean()), "rank": rank}


def probe(model: Lewm, world: World, seed: int, count: int = 1024) -> dict[str, float]:
    """Fit places linearly from latents; return R^2 and the error in rooms on others."""
    states = world.draw(np.random.default_rng([seed, 5]), 2 * count)
    latents = latents_of(model, world, states)
    rows = np.hstack([latents, np.ones((len(latents), 1))])
    fit, *_ = np.linalg.lstsq(rows[:count], states[:count], rcond=1e-6)
    wrong, truth = rows[count:] @ fit - states[count:], states[count:]
    explained = 1 - np.square(wrong).sum(axis=0) / np.square(truth - truth.mean(axis=0)).sum(axis=0)
    figures = {"agent_r2": explained[:2].mean(), "agent_error": np.abs(wrong[:, :2]).mean()}
    if world.width == 4:
        figures |= {"block_r2": explained[2:].mean(), "block_error": np.abs(wrong[:, 2:]).mean()}
    return {name: float(value) for name, value in figures.items()}


def planning(
    model: Lewm, world: World, seeds: Sequence[int], seed: int, search: Search = SEARCH
) -> float:
    """Return the share of episodes that planning in latents wins."""
    generator = np.random.default_rng([seed, 6])

    @torch.no_grad()
    def seer(starts: np.ndarray, goals: np.ndarray) -> np.ndarray:
        begin = model.encode(torch.from_numpy(starts))
        aim = model.encode(torch.from_numpy(goals))

        def cost(plans: np.ndarray) -> np.ndarray:
            actions = torch.from_numpy(plans.astype(np.float32))
            each = [
                (model.rollout(one.expand(len(part), -1), part)[:, -1] - end).square().sum(-1)
                for one, end, part in zip(begin, aim, actions, strict=True)
            ]
            return torch.stack(each).numpy()

        return cross_entropy(cost, len(starts), generator, search)

    return float(play(world, seeing_planner(world, seer, model.sizes.image), seeds).mean())
