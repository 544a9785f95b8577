"""Episodes are played by the rules, whatever the planner."""

import attrs
import numpy as np
import pytest
from synapse_model_lewm.worlds import (
    FRAMESKIP,
    WORLDS,
    Search,
    cross_entropy,
    knowing_planner,
    play,
    random_planner,
    seeing_planner,
)
from synapse_model_lewm.worlds.rules import SPEED

REACHING, PUSHING = WORLDS["reaching"], WORLDS["pushing"]
QUICK = Search(samples=100, elites=10, iterations=6)


def straight(states, goals):
    """Plan one action towards the goal, as the crow flies."""
    return (goals - states)[:, None, :2] / (SPEED * FRAMESKIP)


def still(states, goals):
    return np.zeros((len(states), 5, 2))


def test_cross_entropy_finds_the_least_of_a_bowl_for_each_episode():
    aims = np.linspace(-0.8, 0.8, 2 * 3 * 2).reshape(2, 1, 3, 2)
    search = attrs.evolve(QUICK, horizon=3, iterations=15)
    found = cross_entropy(
        lambda plans: np.square(plans - aims).sum(axis=(2, 3)), 2, np.random.default_rng(1), search
    )
    np.testing.assert_allclose(found, aims[:, 0], atol=0.05)


def test_cross_entropy_keeps_within_one_and_repeats_itself():
    def far(plans):
        assert np.abs(plans).max() <= 1
        return -plans.sum(axis=(2, 3))

    search = attrs.evolve(QUICK, iterations=12)
    first, again = (cross_entropy(far, 1, np.random.default_rng(2), search) for _ in range(2))
    np.testing.assert_array_equal(first, again)
    assert first.min() > 0.9


def test_whoever_stays_wins_nothing():
    for world in WORLDS.values():
        assert not play(world, still, range(30)).any()


def test_reaching_is_won_on_a_straight_way_and_not_through_a_wall():
    won = play(REACHING, straight, range(50))
    for seed, reached in enumerate(won):
        start, goal = REACHING.episode(seed)
        if (start[0] < 0.4) == (goal[0] < 0.4) and (start[0] > 0.6) == (goal[0] > 0.6):
            assert reached, seed
    assert 0 < won.sum() < 50


def test_an_episode_is_the_same_alone_or_among_others():
    together = play(REACHING, straight, range(20))
    alone = np.concatenate([play(REACHING, straight, [seed]) for seed in range(20)])
    np.testing.assert_array_equal(alone, together)


def test_the_budget_is_kept():
    played = []

    def planner(states, goals):
        played.append(len(states))
        return np.zeros((len(states), 3, 2))

    play(REACHING, planner, [0])
    assert len(played) == -(-REACHING.rules.budget // 3)


def test_passing_by_within_the_radius_wins_after_any_step():
    start, goal = next(
        drawn for drawn in map(REACHING.episode, range(100)) if max(drawn[0][0], drawn[1][0]) < 0.4
    )
    seed = next(s for s in range(100) if np.array_equal(REACHING.episode(s)[0], start))
    steps = []

    def planner(states, goals):
        steps.append(states[0])
        return straight(states, goals)

    assert play(REACHING, planner, [seed]).all()
    last = steps[-1]
    assert REACHING.distance(last[None], goal)[0] > REACHING.rules.radius


def test_who_knows_the_simulator_wins_far_more_than_who_plays_anything():
    for world, least in ((REACHING, 0.9), (PUSHING, 0.25)):
        knowing = play(world, knowing_planner(world, 1, QUICK), range(20)).mean()
        anything = play(world, random_planner(1), range(20)).mean()
        assert knowing >= least
        assert knowing >= 3 * anything


def test_a_seeing_planner_is_shown_both_pictures_and_nothing_else():
    shown = []

    def seer(starts, goals):
        shown.append((starts, goals))
        return np.zeros((len(starts), 20, 2))

    play(PUSHING, seeing_planner(PUSHING, seer, 64), [3, 4])
    starts, goals = (np.stack(part) for part in zip(*map(PUSHING.episode, (3, 4)), strict=True))
    np.testing.assert_array_equal(shown[0][0], PUSHING.render(starts))
    np.testing.assert_array_equal(shown[0][1], PUSHING.render(goals))
    assert len(shown) == 1


@pytest.mark.parametrize("world", WORLDS.values(), ids=list(WORLDS))
def test_planners_repeat_themselves(world):
    quick = attrs.evolve(QUICK, samples=30, elites=3, iterations=2)
    plans = [
        knowing_planner(world, 5, quick)(*(part[None] for part in world.episode(9)))
        for _ in range(2)
    ]
    np.testing.assert_array_equal(*plans)
