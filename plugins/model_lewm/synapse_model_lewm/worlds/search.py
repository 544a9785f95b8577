"""The cross-entropy method over sequences of actions, for any number of episodes at once."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from synapse_model_lewm.worlds.rules import SEARCH, Search

# What plans (N, samples, horizon, 2) would come to: (N, samples).
Cost = Callable[[np.ndarray], np.ndarray]


def cross_entropy(
    cost: Cost, count: int, generator: np.random.Generator, search: Search = SEARCH
) -> np.ndarray:
    """Return the mean of the last elites for each of `count` episodes: (count, horizon, 2).

    Source: Rubinstein & Kroese 2004, chapter 4, with one sample a round put at the mean.
    """
    shape = (count, search.samples, search.horizon, 2)
    mean = np.zeros((count, 1, search.horizon, 2))
    deviation = np.ones_like(mean)
    for _ in range(search.iterations):
        plans = mean + deviation * generator.standard_normal(shape)
        plans[:, :1] = mean
        plans = np.clip(plans, -1, 1)
        best = np.argsort(cost(plans), axis=1, kind="stable")[:, : search.elites]
        elites = np.take_along_axis(plans, best[:, :, None, None], axis=1)
        mean = elites.mean(axis=1, keepdims=True)
        deviation = elites.std(axis=1, keepdims=True)
    return mean[:, 0]
