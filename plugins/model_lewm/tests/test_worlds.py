"""Physics, pictures and episodes of the two worlds."""

import hashlib

import numpy as np
import pytest
from synapse_model_lewm.worlds import FRAMESKIP, WORLDS, act
from synapse_model_lewm.worlds.reaching import WALLS
from synapse_model_lewm.worlds.rules import AGENT, BLOCK, SPEED

REACHING, PUSHING = WORLDS["reaching"], WORLDS["pushing"]
TOUCH = AGENT + BLOCK
each_world = pytest.mark.parametrize("world", WORLDS.values(), ids=list(WORLDS))


def walk(world, seed, count=500, steps=40):
    """States after every step of random actions, some far beyond the clip: (steps + 1, N, W)."""
    generator = np.random.default_rng(seed)
    visited = [world.draw(generator, count)]
    for _ in range(steps):
        actions = 2 * generator.standard_normal((count, 2))
        visited.append(world.step(visited[-1], actions))
    return np.stack(visited)


def in_wall(places):
    x, y = places[..., 0], places[..., 1]
    slack = AGENT - 1e-9
    return sum(
        (x > left - slack) & (x < right + slack) & (y > top - slack) & (y < bottom + slack)
        for left, top, right, bottom in WALLS
    ).astype(bool)


@each_world
def test_a_walk_is_the_same_twice_and_alone_or_among_others(world):
    np.testing.assert_array_equal(walk(world, 1), walk(world, 1))
    generator = np.random.default_rng(2)
    states, actions = world.draw(generator, 7), generator.uniform(-1, 1, (7, 2))
    together = world.step(states, actions)
    for row in range(7):
        alone = world.step(states[row : row + 1], actions[row : row + 1])
        np.testing.assert_array_equal(alone[0], together[row])


@each_world
def test_a_step_leaves_what_it_is_given_as_it_was(world):
    states = world.draw(np.random.default_rng(3), 5)
    before = states.copy()
    world.step(states, np.ones((5, 2)))
    np.testing.assert_array_equal(states, before)


@each_world
def test_nothing_leaves_the_room_and_no_agent_is_faster_than_an_action_allows(world):
    visited = walk(world, 4)
    agents = visited[..., :2]
    assert agents.min() >= AGENT - 1e-12
    assert agents.max() <= 1 - AGENT + 1e-12
    if world is REACHING:
        assert np.abs(np.diff(agents, axis=0)).max() <= SPEED + 1e-12
    else:
        blocks = visited[..., 2:]
        assert blocks.min() >= BLOCK - 1e-12
        assert blocks.max() <= 1 - BLOCK + 1e-12


def test_no_agent_enters_a_wall_and_many_are_stopped_by_one():
    visited = walk(REACHING, 5)
    assert not in_wall(visited).any()
    faces = [edge for left, _, right, _ in WALLS for edge in (left - AGENT, right + AGENT)]
    assert sum(int(np.isclose(visited[..., 0], face).sum()) for face in faces) > 100


def test_the_door_lets_through_and_the_wall_does_not():
    actions = np.tile([1.0, 0.0], (2, 1))
    states = np.array([[0.3, 0.5], [0.3, 0.2]])
    for _ in range(10):
        states = REACHING.step(states, actions)
    assert states[0, 0] == pytest.approx(0.8)
    np.testing.assert_allclose(states[1], [WALLS[0][0] - AGENT, 0.2])


def test_an_agent_slides_along_a_wall():
    state = np.array([[WALLS[0][0] - AGENT, 0.1]])
    after = REACHING.step(state, np.array([[1.0, 0.5]]))
    np.testing.assert_allclose(after, [[WALLS[0][0] - AGENT, 0.1 + 0.5 * SPEED]])


def test_a_block_pushed_through_its_middle_moves_as_the_agent_does():
    state = np.array([[0.3, 0.5, 0.3 + TOUCH, 0.5]])
    after = PUSHING.step(state, np.array([[0.6, 0.0]]))
    expected = state + np.array([[0.03, 0, 0.03, 0]])
    np.testing.assert_allclose(after, expected, atol=1e-12)


def test_a_block_pushed_off_its_middle_turns_away():
    state = np.array([[0.3, 0.5, 0.3 + TOUCH, 0.55]])
    after = PUSHING.step(state, np.array([[1.0, 0.0]]))
    assert after[0, 3] > 0.55


def test_a_block_at_the_edge_holds_the_agent():
    state = np.array([[1 - BLOCK - TOUCH, 0.5, 1 - BLOCK, 0.5]])
    np.testing.assert_allclose(PUSHING.step(state, np.array([[1.0, 0.0]])), state, atol=1e-12)


def test_an_untouched_block_stays():
    state = np.array([[0.2, 0.2, 0.7, 0.7]])
    after = PUSHING.step(state, np.array([[1.0, 1.0]]))
    np.testing.assert_array_equal(after[:, 2:], state[:, 2:])


def test_agent_and_block_overlap_nowhere_but_where_a_corner_holds_both():
    visited = walk(PUSHING, 6).reshape(-1, 4)
    apart = np.sqrt(np.square(visited[:, 2:] - visited[:, :2]).sum(axis=1))
    held = np.isin(visited[:, :2], (AGENT, 1 - AGENT)).any(axis=1)
    assert apart[~held].min() >= TOUCH - 1e-9
    assert apart.min() >= 0.9 * TOUCH


@each_world
def test_an_action_is_held_for_the_frameskip(world):
    generator = np.random.default_rng(7)
    states, actions = world.draw(generator, 9), generator.uniform(-1, 1, (9, 2))
    visited = act(world, states, actions)
    assert visited.shape == (FRAMESKIP, 9, world.width)
    for at in range(FRAMESKIP):
        states = world.step(states, actions)
        np.testing.assert_array_equal(visited[at], states)


@each_world
def test_episodes_keep_the_rules(world):
    drawn = [world.episode(seed) for seed in range(200)]
    assert len({start.tobytes() for start, _ in drawn}) == 200
    for start, goal in drawn:
        again = world.distance(start[None], goal)[0]
        assert world.rules.least_distance <= again <= world.rules.most_distance
        assert goal[:2].min() >= AGENT
        assert goal[:2].max() <= 1 - AGENT
    np.testing.assert_array_equal(world.episode(5), world.episode(5))


def test_in_a_pushing_goal_the_agent_touches_the_block_from_where_it_stood():
    for seed in range(50):
        start, goal = PUSHING.episode(seed)
        behind = goal[2:] - goal[:2]
        way = goal[2:] - start[2:]
        assert np.sqrt(np.square(behind).sum()) == pytest.approx(TOUCH)
        assert behind @ way == pytest.approx(TOUCH * np.sqrt(way @ way))


@each_world
@pytest.mark.parametrize("size", [64, 224])
def test_a_picture_shows_the_agent_where_it_is(world, size):
    states = world.draw(np.random.default_rng(8), 20)
    pictures = world.render(states, size)
    assert pictures.shape == (20, size, size, 3)
    assert pictures.dtype == np.uint8
    blue = pictures[..., 2].astype(float) - pictures[..., 0]
    share = np.where(blue > 60, blue, 0)
    middles = (np.arange(size) + 0.5) / size
    x = (share.sum(axis=1) * middles).sum(axis=1) / share.sum(axis=(1, 2))
    y = (share.sum(axis=2) * middles).sum(axis=1) / share.sum(axis=(1, 2))
    np.testing.assert_allclose(np.stack([x, y], axis=1), states[:, :2], atol=0.01)


@each_world
def test_less_than_a_pixel_of_motion_is_seen(world):
    state = np.full((1, world.width), 0.3)
    state[:, 2:] = 0.7
    moved = state.copy()
    moved[:, 0] += 0.2 / 64
    assert (world.render(state) != world.render(moved)).any()


@each_world
def test_pictures_are_the_same_on_every_machine(world):
    states = np.stack([world.episode(seed)[0] for seed in range(4)])
    found = hashlib.sha256(world.render(states).tobytes()).hexdigest()
    assert found == PICTURES[world.name]


PICTURES = {
    "reaching": "5a7bab63725cb15281b2cf77f5064e086221762aab0e5dc3d8b2a96d47aa7ab1",
    "pushing": "994bbd90cad48daae08a95f5c45d0e15244a0165a5b4a33c76640dcd0d7b8a77",
}
