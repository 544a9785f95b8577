"""What a world is, and how an action is played in one."""

from __future__ import annotations

from typing import Protocol

import numpy as np

from synapse_model_lewm.worlds.rules import FRAMESKIP, Rules


class World(Protocol):
    """States are rows of an array, N at once; a world keeps nothing between calls.

    Shapes: states (N, width); actions (N, 2); goal (width,) or (N, width).
    """

    name: str
    rules: Rules
    width: int

    def draw(self, generator: np.random.Generator, count: int) -> np.ndarray:
        """Return `count` states, spread over all there are."""

    def step(self, states: np.ndarray, actions: np.ndarray) -> np.ndarray:
        """Return the states after one step of the simulator."""

    def render(self, states: np.ndarray, size: int = 64) -> np.ndarray:
        """Return pictures: (N, size, size, 3), uint8."""

    def episode(self, seed: int) -> tuple[np.ndarray, np.ndarray]:
        """Return start and goal of an episode: (width,) each."""

    def distance(self, states: np.ndarray, goal: np.ndarray) -> np.ndarray:
        """Return what the rules measure, in rooms: (N,)."""

    def cost(self, states: np.ndarray, goal: np.ndarray) -> np.ndarray:
        """Return what a planner that knows the states lessens: (N,)."""


def act(world: World, states: np.ndarray, actions: np.ndarray) -> np.ndarray:
    """Hold the actions for FRAMESKIP steps; return the states after each: (FRAMESKIP, N, width)."""
    visited = []
    for _ in range(FRAMESKIP):
        states = world.step(states, actions)
        visited.append(states)
    return np.stack(visited)
