"""The LEWM that ships: not collapsed, it plans, and quantising costs it little.

Its card, MODEL_CARD.md beside the weights, has what `tools/evaluate_lewm.py` says of all episodes.
"""

import numpy as np
import pytest
from synapse_model_lewm.planning import Search, plan
from synapse_model_lewm.shipped import default_model_path
from synapse_model_lewm.world_model import WorldModel
from synapse_model_lewm.worlds import WORLDS, act, play, seeing_planner

MOST_BYTES = 2_500_000
QUICK = Search(samples=64, elites=8, iterations=8, low=-1, high=1)
# Of each world, on the states below: the least share of a place's variance that the probe explains,
# and the most of a step's change that a prediction misses. The card has what it measured.
EXPLAINED = {"reaching": 0.98, "pushing": 0.85}
MISSED = {"reaching": 0.05, "pushing": 0.2}
# Cosine with float32's latents behind 20 steps: the least mean and the least 5th percentile.
KEPT = {"q8_0": (0.999, 0.997), "int8": (0.995, 0.98)}
WALKS, STEPS = 256, 20
each_world = pytest.mark.parametrize("world", WORLDS.values(), ids=list(WORLDS))


def frames_of(world, states, side):
    return np.ascontiguousarray(np.moveaxis(world.render(states, side), -1, 1))


def some_walks(world, count, steps):
    """States (count, steps + 1, W) and actions (count, steps, 2) of random walks."""
    generator = np.random.default_rng(21)
    states = [world.draw(generator, count)]
    actions = generator.uniform(-1, 1, (steps, count, 2))
    for action in actions:
        states.append(act(world, states[-1], action)[-1])
    return np.stack(states, axis=1), np.moveaxis(actions, 0, 1).astype(np.float32)


@pytest.fixture(scope="module")
def model():
    with WorldModel.open(slots=QUICK.samples, images=8) as opened:
        yield opened


def test_it_is_small():
    assert sum(file.stat().st_size for file in default_model_path().rglob("*")) <= MOST_BYTES


@each_world
def test_places_can_be_read_off_its_latents(model, world):
    states = world.draw(np.random.default_rng(22), 600)
    latents = model.encode(frames_of(world, states, model.side))
    rows = np.hstack([latents, np.ones((600, 1))])
    fit, *_ = np.linalg.lstsq(rows[:400], states[:400], rcond=1e-6)
    wrong, truth = rows[400:] @ fit - states[400:], states[400:]
    explained = 1 - np.square(wrong).sum(axis=0) / np.square(truth - truth.mean(axis=0)).sum(axis=0)
    assert explained.min() > EXPLAINED[world.name]


@each_world
def test_what_it_predicts_is_nearer_to_what_comes_than_what_is(model, world):
    states, actions = some_walks(world, 60, 1)
    now, then = (model.encode(frames_of(world, states[:, at], model.side)) for at in (0, 1))
    predicted = model.rollout(now[:, None], actions)[:, 1]
    error, change = (np.square(there - then).sum(axis=1) for there in (predicted, now))
    assert error.mean() < MISSED[world.name] * change.mean()


@each_world
@pytest.mark.parametrize("weight_format", KEPT)
def test_what_it_imagines_is_the_same_in_fewer_bits(model, world, weight_format):
    states, actions = some_walks(world, WALKS, STEPS)
    begun = model.encode(frames_of(world, states[:, 0], model.side))[:, None]
    truth = model.rollout(begun, actions)[:, -1]
    with WorldModel.open(slots=WALKS, images=1, format=weight_format) as lesser:
        there = lesser.rollout(begun, actions)[:, -1]
    mean, low = KEPT[weight_format]
    for middle in (0, truth.mean(axis=0)):  # as they are, and about their mean
        a, b = truth - middle, there - middle
        cosine = (a * b).sum(axis=1) / np.linalg.norm(a, axis=1) / np.linalg.norm(b, axis=1)
        assert cosine.mean() >= mean
        assert np.quantile(cosine, 0.05) >= low
    spectrum = np.linalg.svd(truth - truth.mean(axis=0), compute_uv=False)
    share = spectrum / spectrum.sum()
    assert np.exp(-(share * np.log(share)).sum()) > 10  # effective rank, of 32


@each_world
def test_it_plans_a_way(model, world):
    def seer(starts, goals):
        ends = zip(starts, goals, strict=True)
        found = [plan(model, *(np.moveaxis(end, -1, 0) for end in pair), QUICK) for pair in ends]
        return np.stack([each.actions for each in found])

    assert play(world, seeing_planner(world, seer, model.side), range(4)).sum() >= 3
