"""Two small worlds in the plane, seeded, drawn with numpy alone.

`reaching`: an agent in a room whose two halves a wall parts, but for a door.
`pushing`: an agent pushes a round block; as in PushT, but the block has no angle.

An action is a displacement (x, y), each clipped to -1 to 1, in units of 0.05 rooms, and is held
for 5 steps of the simulator (the frameskip): it moves the agent by at most 0.25 rooms each way.
Pictures are RGB, 64 x 64 or any other size; a planner sees two of them, start and goal, and
nothing else.

The rules, fixed before training and not changed since:

* Episode number `seed` of a world is the same everywhere: `world.episode(seed)`.
* reaching is won when the agent comes within 0.08 rooms of its place in the goal, after any step
  of the simulator. Start and goal are at least 0.4 rooms apart, as the crow flies.
* pushing is won when the block comes within 0.08 rooms of its place in the goal, after any step;
  where the agent then is does not count. The block's places are 0.2 to 0.4 rooms apart. The
  agent starts anywhere; in the goal it touches the block on the side the block came from.
* The budget of both is 20 actions (100 steps of the simulator).
* Every planner searches by the cross-entropy method with 300 samples, 30 elites, 20 iterations
  and a horizon of 5 actions, plays those 5, sees where it is and plans again. The first draws
  have mean 0 and deviation 1, clipped to -1 to 1; every iteration also tries the mean itself.
* The planner that knows the simulator lessens the squared distance of the last state of a plan
  to the goal, places of agent and block alike. A planner that has a model lessens the squared
  distance of the last predicted latent to the goal's latent.
* Figures that are published are of the 50 episodes with seeds 0 to 49. Training never draws them:
  its seeds live elsewhere (`numpy.random.default_rng` with another second number).
"""

from synapse_model_lewm.worlds.episodes import (
    knowing_planner,
    play,
    random_planner,
    seeing_planner,
)
from synapse_model_lewm.worlds.pushing import Pushing
from synapse_model_lewm.worlds.reaching import Reaching
from synapse_model_lewm.worlds.rules import FRAMESKIP, SEARCH, Rules, Search
from synapse_model_lewm.worlds.search import cross_entropy
from synapse_model_lewm.worlds.world import World, act

WORLDS: dict[str, World] = {world.name: world for world in (Reaching(), Pushing())}

__all__ = [
    "FRAMESKIP",
    "SEARCH",
    "WORLDS",
    "Rules",
    "Search",
    "World",
    "act",
    "cross_entropy",
    "knowing_planner",
    "play",
    "random_planner",
    "seeing_planner",
]
