"""Pushing: an agent pushes a round block to a goal; nothing slides on by itself.

State: (x, y) of the agent, then (x, y) of the block. The rules of its episodes are in
`synapse_model_lewm.worlds`.
"""

from __future__ import annotations

import numpy as np

from synapse_model_lewm.worlds.drawing import blank, draw_discs, rounded
from synapse_model_lewm.worlds.rules import AGENT, BLOCK, PUSHING, SPEED, Rules

FLOOR, PUSHER, CRATE = (250, 226, 190), (30, 90, 220), (200, 50, 40)
TOUCH = AGENT + BLOCK


class Pushing:
    """A room with a block, for any number of agents at once; it keeps no state of its own."""

    name = "pushing"
    rules: Rules = PUSHING
    width = 4

    def draw(self, generator: np.random.Generator, count: int) -> np.ndarray:
        """Return `count` states in which agent and block do not overlap: (count, 4)."""
        states = np.empty((0, 4))
        while len(states) < count:
            agents = generator.uniform(AGENT, 1 - AGENT, (count, 2))
            blocks = generator.uniform(BLOCK, 1 - BLOCK, (count, 2))
            apart = np.sqrt(np.square(agents - blocks).sum(axis=1)) > TOUCH
            states = np.concatenate([states, np.hstack([agents, blocks])[apart]])
        return states[:count]

    def step(self, states: np.ndarray, actions: np.ndarray) -> np.ndarray:
        """Move every agent by its action; a block it runs into gives way.

        The block is put where it just touches the agent, along the line of their centres, and
        where the room's edge holds it the agent is put back instead.

        Shapes: states (N, 4); actions (N, 2).
        Units:  actions in SPEED, clipped to -1 to 1 in x and in y.
        """
        agents = states[:, :2] + np.clip(actions, -1, 1) * SPEED
        agents = np.clip(agents, AGENT, 1 - AGENT)
        blocks = states[:, 2:]
        blocks = np.clip(agents + _at_least_touching(blocks - agents), BLOCK, 1 - BLOCK)
        agents = np.clip(blocks + _at_least_touching(agents - blocks), AGENT, 1 - AGENT)
        return np.hstack([agents, blocks])

    def render(self, states: np.ndarray, size: int = 64) -> np.ndarray:
        """Return pictures of the states: (N, size, size, 3), uint8."""
        pictures = blank(len(states), size, FLOOR)
        draw_discs(pictures, states[:, 2:], BLOCK, CRATE)
        draw_discs(pictures, states[:, :2], AGENT, PUSHER)
        return rounded(pictures)

    def episode(self, seed: int) -> tuple[np.ndarray, np.ndarray]:
        """Return the start and the goal of the episode with this seed: (4,) each.

        In the goal the agent touches the block from behind, as if it had come straight from
        where the block stood.
        """
        generator = np.random.default_rng([seed, 2])
        least, most = self.rules.least_distance, self.rules.most_distance
        while True:
            start, other = self.draw(generator, 2)
            way = other[2:] - start[2:]
            length = float(np.sqrt(np.square(way).sum()))
            if least <= length <= most:
                agent = other[2:] - way / length * TOUCH
                return start, np.concatenate([agent, other[2:]])

    def distance(self, states: np.ndarray, goal: np.ndarray) -> np.ndarray:
        """Return how far each block is from the goal's block: (N,), in rooms."""
        return np.sqrt(np.square(states[..., 2:] - goal[..., 2:]).sum(axis=-1))

    def cost(self, states: np.ndarray, goal: np.ndarray) -> np.ndarray:
        """Return what a planner that knows the state would lessen: (N,)."""
        return np.square(states - goal).sum(axis=-1)


def _at_least_touching(apart: np.ndarray) -> np.ndarray:
    """Stretch vectors (N, 2) between centres to the length at which the discs touch."""
    length = np.sqrt(np.square(apart).sum(axis=1, keepdims=True))
    sideways = np.broadcast_to(np.array([TOUCH, 0.0]), apart.shape)
    stretched = apart * (np.maximum(length, TOUCH) / np.maximum(length, 1e-12))
    return np.where(length < 1e-9, sideways, stretched)
