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
