"""Reaching: an agent in a room whose two halves a wall parts, but for a door.

State: (x, y) of the agent. The rules of its episodes are in `synapse_model_lewm.worlds`.
"""

from __future__ import annotations

import numpy as np

from synapse_model_lewm.worlds.drawing import blank, draw_discs, draw_rectangle, rounded
from synapse_model_lewm.worlds.rules import AGENT, REACHING, SPEED, Rules

FLOOR, WALL, RUNNER = (240, 240, 232), (64, 64, 72), (30, 90, 220)
# Left, top, right, bottom: together a wall down the middle with a door between them.
WALLS = ((0.47, 0.0, 0.53, 0.34), (0.47, 0.66, 0.53, 1.0))


class Reaching:
    """A room with walls, for any number of agents at once; it keeps no state of its own."""

    name = "reaching"
    rules: Rules = REACHING
    width = 2

    def draw(self, generator: np.random.Generator, count: int) -> np.ndarray:
        """Return `count` states anywhere in the room but in a wall: (count, 2)."""
        states = np.empty((0, 2))
        while len(states) < count:
            drawn = generator.uniform(AGENT, 1 - AGENT, (count, 2))
            states = np.concatenate([states, drawn[~_in_wall(drawn)]])
        return states[:count]

    def step(self, states: np.ndarray, actions: np.ndarray) -> np.ndarray:
        """Move every agent by its action and stop it at walls.

        Shapes: states, actions (N, 2).
        Units:  actions in SPEED, clipped to -1 to 1 in x and in y.
        """
        moves = np.clip(actions, -1, 1) * SPEED
        after = states.copy()
        for axis in (0, 1):  # one after the other, so that an agent slides along a wall
            after[:, axis] = np.clip(after[:, axis] + moves[:, axis], AGENT, 1 - AGENT)
            for wall in WALLS:
                low, high = wall[axis] - AGENT, wall[axis + 2] + AGENT
                met = _inside(after, wall)
                came_from_below = states[:, axis] <= low
                after[met, axis] = np.where(came_from_below, low, high)[met]
        return after

    def render(self, states: np.ndarray, size: int = 64) -> np.ndarray:
        """Return pictures of the states: (N, size, size, 3), uint8."""
        pictures = blank(len(states), size, FLOOR)
        for wall in WALLS:
            draw_rectangle(pictures, wall, WALL)
        draw_discs(pictures, states, AGENT, RUNNER)
        return rounded(pictures)

    def episode(self, seed: int) -> tuple[np.ndarray, np.ndarray]:
        """Return the start and the goal of the episode with this seed: (2,) each."""
        generator = np.random.default_rng([seed, 1])
        while True:
            start, goal = self.draw(generator, 2)
            if self.distance(start[None], goal)[0] >= self.rules.least_distance:
                return start, goal

    def distance(self, states: np.ndarray, goal: np.ndarray) -> np.ndarray:
        """Return how far each agent is from the goal as the crow flies: (N,), in rooms."""
        return np.sqrt(np.square(states - goal).sum(axis=-1))

    def cost(self, states: np.ndarray, goal: np.ndarray) -> np.ndarray:
        """Return what a planner that knows the state would lessen: (N,)."""
        return np.square(states - goal).sum(axis=-1)


def _inside(states: np.ndarray, wall: tuple[float, float, float, float]) -> np.ndarray:
    left, top, right, bottom = wall
    x, y = states[:, 0], states[:, 1]
    beside = (x > left - AGENT) & (x < right + AGENT)
    return beside & (y > top - AGENT) & (y < bottom + AGENT)


def _in_wall(states: np.ndarray) -> np.ndarray:
    return np.logical_or.reduce([_inside(states, wall) for wall in WALLS])
