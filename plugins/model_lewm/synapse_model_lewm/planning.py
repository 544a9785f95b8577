"""Planning in latent space: the cross-entropy method over imagined rollouts.

Source: Maes et al. 2026, section 3.3 and appendix D; Rubinstein & Kroese 2004, chapter 2.
"""

from __future__ import annotations

from collections.abc import Callable

import attrs
import numpy as np

from synapse_core.errors import FileError, UsageError
from synapse_model_lewm.arrays import check_numbers
from synapse_model_lewm.world_model import WorldModel

# Actions drawn in an iteration, and the size of a number that squares to one of float32.
MOST_DRAWN, LARGEST = 10_000_000, 1e18


@attrs.frozen(kw_only=True)
class Search:
    """How to search; the published numbers are 300 samples, 30 elites, 30 iterations, horizon 5.

    Actions are drawn around a mean that begins at zero, with a deviation that begins at
    `deviation`, and kept within `low` and `high` where these are given: in the file's own action
    space, which for published models is normalised.
    """

    samples: int = 300
    elites: int = 30
    iterations: int = 30
    horizon: int = 5
    deviation: float = 1.0
    low: float | None = None
    high: float | None = None
    seed: int = 0

    def __attrs_post_init__(self) -> None:
        """Check the options.

        Raises: UsageError naming one.
        """
        for name in ("samples", "elites", "iterations", "horizon"):
            if getattr(self, name) < 1:
                raise UsageError(f"plan: {name} {getattr(self, name)}; must be 1 or more")
        if self.elites > self.samples:
            raise UsageError(f"plan: {self.elites} elites of {self.samples} samples")
        if not (np.isfinite(self.deviation) and self.deviation > 0):
            raise UsageError(f"plan: deviation {self.deviation}; must be above 0")
        if self.samples * self.horizon > MOST_DRAWN:
            drawn = self.samples * self.horizon
            raise UsageError(f"plan: samples × horizon is {drawn}; at most {MOST_DRAWN}")
        if self.seed < 0:
            raise UsageError(f"plan: seed {self.seed}; must be 0 or more")
        for name in ("low", "high", "deviation"):
            number = getattr(self, name)
            if number is not None and not abs(number) <= LARGEST:
                raise UsageError(f"plan: {name} {number}; at most {LARGEST:g} in size")
        if self.low is not None and self.high is not None and not self.low < self.high:
            raise UsageError(f"plan: actions from {self.low} to {self.high}; low must be less")


@attrs.frozen(eq=False)
class Plan:
    """Actions that lead on from the start, and what was imagined of them.

    Shapes: actions (horizon, A); latents (T, D) from the start's on; goal (D,).
    `costs` are the mean cost of the elites, iteration by iteration; `cost` is that of the plan:
    the squared distance between its last latent and the goal's.
    """

    actions: np.ndarray
    latents: np.ndarray
    goal: np.ndarray
    cost: float
    costs: tuple[float, ...]


def plan(
    world: WorldModel,
    start: np.ndarray,
    goal: np.ndarray,
    search: Search | None = None,
    *,
    past: np.ndarray | None = None,
    mean: np.ndarray | None = None,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Plan:
    """Search for actions from a start to a goal.

    `start` are frames, uint8 (n, 3, H, W) or (3, H, W), or latents (n, D) or (D,), the last one
    being now; `past` are the n − 1 actions between them. `goal` is one frame or one latent. `mean`
    (horizon, A) is where the search begins: what is left of the last plan, say. The same seed gives
    the same plan, on however many slots the model was opened.
    """
    search = search or Search()
    begun = _latents(world, start, "start")
    target = _latents(world, goal, "goal")
    if len(target) != 1:
        raise FileError("goal", f"is {len(target)} frames, expected one")
    before = _past(world, past, len(begun))
    rng = np.random.default_rng(search.seed)
    centre = _centre(world, mean, search)
    spread = np.full(centre.shape, search.deviation, np.float32)
    costs = []
    for number in range(search.iterations):
        noise = rng.standard_normal((search.samples, *centre.shape), np.float32)
        noise[0] = 0  # the mean itself is always among them
        drawn = _within(centre + spread * noise, search)
        cost = _costs(world, begun, before, drawn, target[0])
        best = np.argsort(cost, kind="stable")[: search.elites]
        # A mean may be rounded to beyond what it is a mean of.
        centre, spread = _within(drawn[best].mean(axis=0), search), drawn[best].std(axis=0)
        costs.append(float(cost[best].mean()))
        progress(number + 1, search.iterations)
    latents = world.rollout(begun, np.concatenate([before, centre]))
    cost = float(np.square(latents[-1] - target[0], dtype=np.float64).sum())
    return Plan(centre, latents, target[0], cost, tuple(costs))


def _costs(
    world: WorldModel, begun: np.ndarray, before: np.ndarray, drawn: np.ndarray, goal: np.ndarray
) -> np.ndarray:
    """Return each candidate's cost: drawn (S, horizon, A) → (S,)."""
    past = np.broadcast_to(before, (len(drawn), *before.shape))
    imagined = world.rollout(begun, np.concatenate([past, drawn], axis=1))
    return np.square(imagined[:, -1] - goal, dtype=np.float64).sum(axis=-1)  # type: ignore[no-any-return]


def _latents(world: WorldModel, found: np.ndarray, what: str) -> np.ndarray:
    found = np.asarray(found)
    if found.dtype == np.uint8:
        return world.encode(found[None] if found.ndim == 3 else found)
    rows = check_numbers(np.atleast_2d(found), world.width, what, "latents")
    if rows.ndim != 2:
        raise FileError(what, f"is {rows.shape}, expected (T, {world.width})")
    return rows


def _past(world: WorldModel, past: np.ndarray | None, frames: int) -> np.ndarray:
    if past is None:
        past = np.zeros((0, world.actions), np.float32)
    if len(past) != frames - 1:
        raise FileError("past", f"has {len(past)} actions, {frames} frames need {frames - 1}")
    if not len(past):
        return np.zeros((0, world.actions), np.float32)
    return check_numbers(np.asarray(past), world.actions, "past", "actions")


def _centre(world: WorldModel, mean: np.ndarray | None, search: Search) -> np.ndarray:
    if mean is None:
        return np.zeros((search.horizon, world.actions), np.float32)
    centre = check_numbers(np.asarray(mean), world.actions, "mean", "actions")
    if centre.shape != (search.horizon, world.actions):
        expected = (search.horizon, world.actions)
        raise FileError("mean", f"is {centre.shape}, expected {expected}")
    return centre


def _within(actions: np.ndarray, search: Search) -> np.ndarray:
    if search.low is None and search.high is None:
        return actions
    bounds = (None if b is None else np.float32(b) for b in (search.low, search.high))
    return np.clip(actions, *bounds)
