"""Plays episodes of a world by its rules, with any planner."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from synapse_model_lewm.worlds.rules import SEARCH, Search
from synapse_model_lewm.worlds.search import cross_entropy
from synapse_model_lewm.worlds.world import World, act

# From states and goals (N, width) of N episodes to plans (N, actions, 2), all of them played.
Planner = Callable[[np.ndarray, np.ndarray], np.ndarray]
# The same from pictures (N, size, size, 3), uint8.
Seer = Callable[[np.ndarray, np.ndarray], np.ndarray]


def play(world: World, planner: Planner, seeds: Sequence[int]) -> np.ndarray:
    """Play the episodes with these seeds; return which were won within the budget: (N,)."""
    drawn = [world.episode(seed) for seed in seeds]
    states = np.stack([start for start, _ in drawn])
    goals = np.stack([goal for _, goal in drawn])
    won = np.zeros(len(states), bool)
    played = 0
    while played < world.rules.budget and not won.all():
        going = np.flatnonzero(~won)
        plans = planner(states[going], goals[going])
        for step in range(min(plans.shape[1], world.rules.budget - played)):
            visited = act(world, states[going], plans[:, step])
            near = world.distance(visited, goals[going]) <= world.rules.radius
            won[going] |= near.any(axis=0)
            states[going] = visited[-1]
            played += 1
    return won


def random_planner(seed: int, search: Search = SEARCH) -> Planner:
    """Return the planner that plays anything: actions drawn evenly from -1 to 1."""
    generator = np.random.default_rng([seed, 3])
    return lambda states, goals: generator.uniform(-1, 1, (len(states), search.horizon, 2))


def knowing_planner(world: World, seed: int, search: Search = SEARCH) -> Planner:
    """Return the planner that tries its plans on the simulator itself."""
    generator = np.random.default_rng([seed, 4])

    def plan(states: np.ndarray, goals: np.ndarray) -> np.ndarray:
        def cost(plans: np.ndarray) -> np.ndarray:
            count, samples, horizon, _ = plans.shape
            reached = np.repeat(states, samples, axis=0)
            steps = plans.reshape(count * samples, horizon, 2)
            for step in range(horizon):
                reached = act(world, reached, steps[:, step])[-1]
            return world.cost(reached.reshape(count, samples, -1), goals[:, None])

        return cross_entropy(cost, len(states), generator, search)

    return plan


def seeing_planner(world: World, seer: Seer, size: int) -> Planner:
    """Return the planner that sees start and goal as pictures, `size` pixels wide, and no more."""
    return lambda states, goals: seer(world.render(states, size), world.render(goals, size))
