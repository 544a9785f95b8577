"""How tensors of both families become weights: filters and rates are made at load."""

from __future__ import annotations

import numpy as np

from synapse_core.families import Made


def turned(tensor: str) -> Made:
    """Return the entry of a float32 weight (K, C) that a file holds as (C, K) or (C, 1, K)."""
    return Made(tensor=tensor, make=_turn, shape=_turned_shape)


def turned_rates(tensor: str) -> Made:
    """Return the entry of rates (N, C) that a file holds as their logarithms (C, N)."""
    return Made(tensor=tensor, make=_turned_rates, shape=_turned_shape)


def rates(tensor: str) -> Made:
    """Return the entry of rates, one a head, that a file holds as their logarithms."""
    return Made(tensor=tensor, make=_rates)


def as_they_are(tensor: str) -> Made:
    """Return the entry of a float32 weight whose axes of one number may stand elsewhere."""
    return Made(tensor=tensor, make=np.asarray)


def in_groups(tensor: str) -> Made:
    """Return the entry of a weight (G, C / G) that a file holds as (C)."""
    return Made(tensor=tensor, make=np.asarray, shape=_flat)


def _turn(numbers: np.ndarray) -> np.ndarray:
    return numbers.T


def _turned_shape(rows: int, cols: int) -> tuple[int, ...]:
    return (cols, rows)


def _rates(logarithms: np.ndarray) -> np.ndarray:
    found: np.ndarray = -np.exp(logarithms)
    return found


def _turned_rates(logarithms: np.ndarray) -> np.ndarray:
    return _rates(logarithms).T


def _flat(rows: int, cols: int) -> tuple[int, ...]:
    return (rows * cols,)
