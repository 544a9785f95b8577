"""What the model is trained on: short windows of both worlds, drawn afresh for every step.

Seeds of training have second number 100 and more, so that no episode by the rules is among them.
"""

from __future__ import annotations

import numpy as np
from synapse_model_lewm.worlds import WORLDS, World, act
from synapse_model_lewm.worlds.rules import AGENT, BLOCK

TOUCH = AGENT + BLOCK


def windows(
    world: World, generator: np.random.Generator, count: int, actions: int
) -> tuple[np.ndarray, np.ndarray]:
    """Return states (count, actions + 1, width) and the actions (count, actions, 2) between."""
    states = world.draw(generator, count)
    if world.name == "pushing":
        states = _near_the_block(states, generator)
    target = generator.uniform(0, 1, (count, 2))
    kind = generator.choice(4, size=count, p=(0.3, 0.3, 0.2, 0.2))
    steady = np.clip(generator.standard_normal((count, 2)), -1, 1)
    visited, played = [states], []
    for _ in range(actions):
        goal = target
        if world.name == "pushing":
            goal = states[:, 2:] + 0.05 * generator.standard_normal((count, 2))
        towards = np.clip((goal - states[:, :2]) / 0.25, -1, 1)
        anything = generator.uniform(-1, 1, (count, 2))
        drawn = np.clip(generator.standard_normal((count, 2)), -1, 1)
        action = np.choose(kind[:, None], [anything, drawn, steady, towards])
        action = np.clip(action + 0.1 * generator.standard_normal((count, 2)), -1, 1)
        states = act(world, states, action)[-1]
        visited.append(states)
        played.append(action)
    return np.stack(visited, axis=1), np.stack(played, axis=1)


def batch(
    generator: np.random.Generator, count: int, actions: int, size: int, share: float
) -> tuple[np.ndarray, np.ndarray]:
    """Return pictures (count, actions + 1, size, size, 3) and actions, `share` of pushing."""
    pictures, played = [], []
    pushing = round(count * share)
    for name, part in (("reaching", count - pushing), ("pushing", pushing)):
        world = WORLDS[name]
        states, between = windows(world, generator, part, actions)
        drawn = world.render(states.reshape(-1, world.width), size)
        pictures.append(drawn.reshape(*states.shape[:2], size, size, 3))
        played.append(between)
    return np.concatenate(pictures), np.concatenate(played).astype(np.float32)


def _near_the_block(states: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """Move most agents to within reach of their block."""
    count = len(states)
    angle = generator.uniform(0, 2 * np.pi, count)
    reach = TOUCH + generator.uniform(0, 0.25, count) * generator.integers(0, 2, count)
    beside = states[:, 2:] + reach[:, None] * np.stack([np.cos(angle), np.sin(angle)], axis=1)
    inside = ((beside >= AGENT) & (beside <= 1 - AGENT)).all(axis=1)
    moved = inside & (generator.uniform(size=count) < 0.6)
    return np.hstack([np.where(moved[:, None], beside, states[:, :2]), states[:, 2:]])
