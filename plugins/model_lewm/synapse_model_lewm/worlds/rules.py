"""The rules by which an episode counts, fixed before any model was trained; see the package."""

from __future__ import annotations

import attrs

# In rooms: the room is a square of side 1, x to the right, y down.
AGENT, BLOCK = 0.06, 0.1
# How far an action of 1 moves an agent in one step of the simulator.
SPEED = 0.05
# An action is held for so many steps; pictures and predictions are so far apart.
FRAMESKIP = 5


@attrs.frozen(kw_only=True)
class Rules:
    """When an episode of a world is won, and how it begins.

    Units: radius and distances in rooms; budget in actions, each held for FRAMESKIP steps.
    """

    radius: float
    least_distance: float
    most_distance: float
    budget: int


REACHING = Rules(radius=0.08, least_distance=0.4, most_distance=2.0, budget=20)
PUSHING = Rules(radius=0.08, least_distance=0.2, most_distance=0.4, budget=20)


@attrs.frozen(kw_only=True)
class Search:
    """How a planner looks for actions: the cross-entropy method, the same for every planner.

    `samples` sequences of `horizon` actions are drawn, `elites` of them kept, and drawn again
    around those, `iterations` times. The whole plan is played before the next one is made.
    """

    samples: int = 300
    elites: int = 30
    iterations: int = 20
    horizon: int = 5


SEARCH = Search()
