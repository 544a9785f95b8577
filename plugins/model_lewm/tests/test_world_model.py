"""Encode, predict, roll out and plan: the same however they are called."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from synapse_model_lewm.planning import Search, plan
from synapse_model_lewm.world_model import WorldModel

from synapse_core.errors import FileError, UsageError
from synapse_core.passes import fold_batchnorm

from .checkpoints import actions, frames, write

BACKENDS = ("numpy", "cpu")
FORMATS = ("int8", "q8_0", "q4_0")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write(tmp_path_factory.mktemp("lewm"))


@pytest.fixture(scope="module", params=BACKENDS)
def world(request: pytest.FixtureRequest, folder: Path):  # type: ignore[no-untyped-def]
    with WorldModel.open(folder, backend=request.param, slots=4) as opened:
        yield opened


def test_a_rollout_is_predictions_of_the_last_latents(world: WorldModel) -> None:
    start, given = world.encode(frames(2)), actions(7, 6)
    rolled = world.rollout(start, given)
    assert rolled.shape == (8, world.width)
    series = list(start)
    for end in range(2, 8):
        lo = max(0, end - world.window)
        series.append(world.predict(np.stack(series[lo:]), given[lo:end])[-1])
    np.testing.assert_allclose(rolled, np.stack(series), rtol=0, atol=1e-4)
    assert np.abs(rolled[2:]).max() > 0.1


def test_frames_and_their_latents_begin_the_same_rollout(world: WorldModel) -> None:
    seen, given = frames(3), actions(5, 6)
    whole = world.rollout(seen, given)
    assert np.array_equal(whole, world.rollout(world.encode(seen), given))
    assert np.array_equal(whole[:3], world.encode(seen))


def test_frames_are_encoded_in_batches_as_one_by_one(folder: Path) -> None:
    seen = frames(5)
    with WorldModel.open(folder, backend="cpu", images=3) as world:
        many = world.encode(seen)
        alone = np.concatenate([world.encode(frame[None]) for frame in seen])
    assert np.array_equal(many, alone)


def test_frames_of_another_size_are_resized(world: WorldModel) -> None:
    large = np.repeat(np.repeat(frames(1), 4, axis=2), 4, axis=3)
    assert world.encode(large).shape == (1, world.width)


def test_many_rollouts_are_each_alone(folder: Path) -> None:
    with WorldModel.open(folder, backend="cpu", slots=8) as world:
        start, given = world.encode(frames(2)), actions(11, 6, 6)
        together = world.rollout(start, given)
        for n in range(11):
            assert np.array_equal(together[n], world.rollout(start, given[n]))


@pytest.mark.parametrize("format", [None, "q8_0"])
def test_planning_side_by_side_finds_what_it_finds_one_by_one(
    folder: Path, format: str | None
) -> None:
    search = Search(samples=12, elites=3, iterations=3, horizon=4, seed=5)
    found = []
    for slots, threads in ((1, 1), (12, 2)):
        options = {"backend": "cpu", "slots": slots, "threads": threads, "format": format}
        with WorldModel.open(folder, **options) as world:
            found.append(plan(world, frames(1), frames(1, seed=9), search))
    assert np.array_equal(found[0].actions, found[1].actions)
    assert found[0].costs == found[1].costs
    assert found[0].cost == found[1].cost


def test_a_plan_gets_nearer_and_follows_its_seed(world: WorldModel) -> None:
    goal = world.rollout(frames(1), actions(1, 6, seed=8))[-1]
    search = Search(samples=40, elites=5, iterations=6, horizon=1)
    found = plan(world, frames(1), goal, search)
    stays = world.rollout(frames(1), np.zeros((1, 6), np.float32))[-1]
    assert found.cost < 0.5 * np.square(stays - goal).sum()
    assert found.costs[-1] < found.costs[0]
    assert found.actions.shape == (1, 6)
    assert found.latents.shape == (2, world.width)
    again = plan(world, frames(1), goal, search)
    assert np.array_equal(again.actions, found.actions)
    other = plan(
        world, frames(1), goal, Search(samples=40, elites=5, iterations=6, horizon=1, seed=1)
    )
    assert not np.array_equal(other.actions, found.actions)


def test_a_plan_stays_within_its_bounds_and_knows_the_past(world: WorldModel) -> None:
    search = Search(samples=10, elites=2, iterations=2, horizon=3, low=-0.2, high=0.1)
    found = plan(world, frames(3), frames(1), search, past=actions(2, 6))
    assert found.actions.min() >= np.float32(-0.2)
    assert found.actions.max() <= np.float32(0.1)
    assert found.latents.shape == (6, world.width)
    with pytest.raises(FileError, match="past"):
        plan(world, frames(3), frames(1), search)
    # Bounds that float32 does not hold, and means that are rounded.
    narrow = Search(samples=40, elites=7, iterations=3, horizon=4, low=0.7, high=0.9)
    found = plan(world, frames(1), frames(1), narrow)
    assert found.actions.min() >= np.float32(0.7)
    assert found.actions.max() <= np.float32(0.9)


def test_no_images_and_no_slots_are_refused(world: WorldModel, folder: Path) -> None:
    with pytest.raises(FileError, match="there are none"):
        world.encode_images([])
    for options in ({"slots": 0}, {"images": -1}):
        with pytest.raises(UsageError, match="must be 1 or more"):
            WorldModel.open(folder, **options)


def test_a_closed_model_says_so_and_threads_take_turns(folder: Path) -> None:
    with WorldModel.open(folder, backend="cpu", threads=1) as world:
        seen = [frames(2), frames(2, seed=8)]
        expected = [world.encode(each) for each in seen]
        with ThreadPoolExecutor(2) as threads:
            found = list(threads.map(world.encode, seen * 100))
    for number, latents in enumerate(found):
        np.testing.assert_array_equal(latents, expected[number % 2])
    for call in (lambda: world.encode(seen[0]), lambda: world.rollout(expected[0], actions(3, 6))):
        with pytest.raises(UsageError, match="closed"):
            call()


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("format", FORMATS)
def test_weights_in_fewer_bits_stay_near(folder: Path, format: str, backend: str) -> None:
    seen, given = frames(3), actions(8, 6)
    with WorldModel.open(folder, backend="numpy") as exact:
        expected = exact.rollout(seen, given)
    with WorldModel.open(folder, backend=backend, format=format) as world:
        found = world.rollout(seen, given)
    assert not np.array_equal(found, expected)
    cosine = (
        (found * expected).sum(1) / np.linalg.norm(found, axis=1) / np.linalg.norm(expected, axis=1)
    )
    # The rows of this model are so short that q4_0's blocks become q8_0's or f16.
    assert cosine.min() > 0.99


def test_no_batch_norm_is_left_to_run(world: WorldModel) -> None:
    graph = world.model.graph
    assert graph is not None
    ops = {node.op for function in graph.functions.values() for node in function.nodes}
    assert "batchnorm" not in ops
    assert fold_batchnorm(graph) is graph


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (actions(5, 7), "has actions of 7 numbers, this model takes 6"),
        (np.full((5, 6), np.nan, np.float32), r"number \[0, 0\] is nan"),
        (np.full((5, 6), 1e300), r"is inf"),
        (actions(2, 6), "has 2 actions, 3 images need as many"),
        (np.zeros((5, 6), complex), "expected numbers"),
        (np.zeros((0, 6), np.float32), "expected numbers"),
    ],
)
def test_bad_actions_are_refused_in_a_line(
    world: WorldModel, given: np.ndarray, words: str
) -> None:
    with pytest.raises(FileError, match=words):
        world.rollout(frames(3), given)


@pytest.mark.parametrize(
    "seen",
    [
        frames(2).astype(np.float32),
        frames(2)[:, :2],
        frames(2)[0],
        frames(2)[:0],
    ],
)
def test_bad_frames_are_refused(world: WorldModel, seen: np.ndarray) -> None:
    with pytest.raises(FileError, match="expected uint8"):
        world.encode(seen)


def test_pixels_that_are_no_numbers_are_refused(world: WorldModel) -> None:
    pixels = np.zeros((1, 3, 15, 15), np.float32)
    pixels[0, 1, 2, 3] = np.nan
    with pytest.raises(FileError, match=r"pixel \[1, 2, 3\] of image 0 is nan"):
        world.encode_pixels(pixels)


@pytest.mark.parametrize(
    "options",
    [
        {"samples": 0},
        {"elites": 301},
        {"deviation": 0.0},
        {"low": 1.0, "high": 1.0},
        {"low": np.nan},
        {"high": np.inf},
        {"deviation": 1e30},
        {"seed": -1},
        {"samples": 10**12},
        {"horizon": 10**12},
    ],
)
def test_a_search_that_makes_no_sense_is_refused(options: dict[str, float]) -> None:
    with pytest.raises(UsageError, match="plan"):
        Search(**options)  # type: ignore[arg-type]


def test_a_narrow_model_keeps_what_lies_around_its_latents(folder: Path) -> None:
    with WorldModel.open(folder, backend="numpy", format="int8") as world:
        assert world.config.narrow
        graph = world.model.graph
    assert graph is not None
    held = {name: weight.type.format for name, weight in graph.weights.items() if weight.rows > 1}
    kept = {name for name, format in held.items() if format == "f32"}
    assert {"projector.up.weight", "pred_proj.down.weight", "actions.up.weight"} <= kept
    assert held["predictor.layers.0.ffn.up.weight"] == "int8"
    assert held["encoder.layers.1.attention.q.weight"] == "int8"
    nodes = [node for function in graph.functions.values() for node in function.nodes]
    assert {node.options["arith"] for node in nodes if node.op == "linear"} == {"f32"}
