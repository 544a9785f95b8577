"""What latents are like: whether they collapsed, and what can be read off them linearly."""

from __future__ import annotations

import numpy as np


def collapse(latents: np.ndarray) -> dict[str, float]:
    """Return the least and mean deviation of a dimension, and the effective rank.

    Source: Roy & Vetterli 2007: the exponential of the entropy of the normalised spectrum.
    """
    deviation = latents.std(axis=0)
    spectrum = np.linalg.svd(latents - latents.mean(axis=0), compute_uv=False)
    share = spectrum / spectrum.sum()
    rank = float(np.exp(-(share * np.log(share + 1e-12)).sum()))
    return {"least_std": float(deviation.min()), "std": float(deviation.mean()), "rank": rank}


def fit_places(latents: np.ndarray, states: np.ndarray) -> dict[str, float]:
    """Fit places linearly from the first half; return R^2 and the mean error in rooms on the other.

    Shapes: latents (N, D); states (N, 2 or 4).
    """
    half = len(states) // 2
    rows = np.hstack([latents, np.ones((len(latents), 1))])
    fit, *_ = np.linalg.lstsq(rows[:half], states[:half], rcond=1e-6)
    wrong, truth = rows[half:] @ fit - states[half:], states[half:]
    explained = 1 - np.square(wrong).sum(axis=0) / np.square(truth - truth.mean(axis=0)).sum(axis=0)
    figures = {}
    for name, part in (("agent", slice(0, 2)), ("block", slice(2, 4))):
        if wrong[:, part].size:
            figures[f"{name}_r2"] = float(explained[part].mean())
            figures[f"{name}_error"] = float(np.abs(wrong[:, part]).mean())
    return figures
