"""`synapse rollout` and `synapse plan`, and what they refuse."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from synapse_model_lewm.world_model import WorldModel

from synapse_core.cli.frame import run

from .checkpoints import actions, frames, write


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("commands")
    write(folder / "model")
    for number, frame in enumerate(frames(3)):
        Image.fromarray(np.moveaxis(frame, 0, 2)).save(folder / f"{number}.png")
    np.save(folder / "frames.npy", frames(3))
    np.save(folder / "actions.npy", actions(6, 6))
    np.save(folder / "wide.npy", actions(6, 7))
    np.save(folder / "nan.npy", np.where(actions(6, 6) > 1, np.nan, actions(6, 6)))
    np.save(folder / "many.npy", actions(2, 6, 6))
    np.save(folder / "huge.npy", np.full((6, 6), 3e38, np.float32))
    np.save(folder / "grey.npy", frames(3)[:, :1])
    (folder / "corrupt.png").write_bytes((folder / "0.png").read_bytes()[:-90])
    (folder / "text.png").write_text("no picture")
    Image.new("1", (10_000, 10_000)).save(folder / "bomb.png")
    return folder


def call(capsys: pytest.CaptureFixture[str], *arguments: Any) -> tuple[int, str, str]:
    code = run([str(argument) for argument in arguments])
    said = capsys.readouterr()
    return code, said.out, said.err


def common(place: Path) -> list[Any]:
    return [place / "model", "--backend", "numpy"]


def test_rollout_writes_what_the_api_gives(
    place: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    images = [part for n in range(3) for part in ("--image", place / f"{n}.png")]
    given = ["--actions", place / "actions.npy", "-o", tmp_path / "latents.npy"]
    code, out, _ = call(capsys, "rollout", *common(place), *images, *given, "--json")
    assert code == 0
    report = json.loads(out)
    assert (report["schema"], report["shape"], report["seen"]) == (1, [7, 28], 3)
    assert [step["seen"] for step in report["steps"]] == [True] * 3 + [False] * 4
    with WorldModel.open(place / "model", backend="numpy") as world:
        expected = world.rollout(frames(3), actions(6, 6))
    assert np.array_equal(np.load(tmp_path / "latents.npy"), expected)
    found = ["--frames", place / "frames.npy", "--actions", place / "actions.npy"]
    code, _, _ = call(capsys, "rollout", *common(place), *found, "-o", tmp_path / "again.npy")
    assert code == 0
    assert np.array_equal(np.load(tmp_path / "again.npy"), expected)
    code, out, _ = call(capsys, "rollout", *common(place), *found, "--plot", tmp_path / "way.png")
    assert code == 0
    assert out.count("imagined") == 4
    with Image.open(tmp_path / "way.png") as picture:
        assert picture.size == (640, 640)
        assert len(picture.getcolors(1 << 20) or ()) > 4


def test_plan_writes_actions_and_a_picture(
    place: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    ends = ["--start", place / "0.png", "--goal", place / "1.png"]
    small = ["--samples", 8, "--elites", 2, "--iterations", 2, "--horizon", 3, "--seed", 4]
    files = ["-o", tmp_path / "found.npy", "--plot", tmp_path / "plan.png"]
    code, out, _ = call(capsys, "plan", *common(place), *ends, *small, *files, "--json")
    assert code == 0
    report = json.loads(out)
    assert np.allclose(np.load(tmp_path / "found.npy"), report["actions"])
    assert np.shape(report["actions"]) == (3, 6)
    assert len(report["costs"]) == 2
    assert (tmp_path / "plan.png").stat().st_size > 1000
    code, out, err = call(capsys, "plan", *common(place), *ends, *small)
    assert code == 0
    assert len(out.splitlines()) == 3
    assert "cost" in err


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (["--image", "0.png", "--actions", "wide.npy"], "has actions of 7 numbers"),
        (["--image", "0.png", "--actions", "nan.npy"], "is nan, expected finite"),
        (["--image", "corrupt.png", "--actions", "actions.npy"], "corrupt.png: cannot be read"),
        (["--image", "text.png", "--actions", "actions.npy"], "text.png: cannot be read"),
        (["--image", "bomb.png", "--actions", "actions.npy"], "100000000; at most"),
        (["--image", "none.png", "--actions", "actions.npy"], "none.png"),
        (["--image", "0.png", "--actions", "0.png"], "is no .npy file"),
        (["--image", "0.png", "--actions", "none.npy"], "does not exist"),
        (["--image", "0.png", "--actions", "many.npy"], "found (2, 6, 6), expected (T, 6)"),
        (["--image", "0.png", "--actions", "huge.npy"], "not finite, at step 1"),
        (["--frames", "grey.npy", "--actions", "actions.npy"], "expected uint8 (T, 3, height"),
        (["--frames", "actions.npy", "--actions", "actions.npy"], "expected uint8"),
    ],
)
def test_bad_input_is_one_line_and_code_3(
    place: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path, given: list[str], words: str
) -> None:
    named = [place / part if "." in part else part for part in given]
    output = tmp_path / "latents.npy"
    code, out, err = call(capsys, "rollout", *common(place), *named, "-o", output)
    assert code == 3, err
    assert out == ""
    assert len(err.strip().splitlines()) == 1
    assert words in err
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("verb", ["rollout", "plan"])
@pytest.mark.parametrize(
    ("output", "plot", "expected"),
    [("no/a.npy", "b.png", 3), ("a.npy", "no/b.png", 3), (".", "b.png", 3), ("a", "a", 2)],
)
def test_places_are_checked_before_anything_is_computed(
    place: Path,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    verb: str,
    output: str,
    plot: str,
    expected: int,
) -> None:
    seen = {
        "rollout": ["--image", place / "0.png", "--actions", place / "actions.npy"],
        "plan": ["--start", place / "0.png", "--goal", place / "1.png", "--samples", 10**6],
    }
    places = ["-o", tmp_path / output, "--plot", tmp_path / plot]
    code, out, err = call(capsys, verb, *common(place), *seen[verb], *places)
    assert (code, out, len(err.strip().splitlines())) == (expected, "", 1), err
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("given", [[], ["--image", "0.png", "--frames", "frames.npy"]])
def test_images_or_frames_are_asked_for(
    place: Path, capsys: pytest.CaptureFixture[str], given: list[str]
) -> None:
    named = [place / part if "." in part else part for part in given]
    code, _, err = call(
        capsys, "rollout", *common(place), *named, "--actions", place / "actions.npy"
    )
    assert code == 2
    assert "--image" in err


def test_a_compiled_model_imagines_the_same(
    place: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    code, _, err = call(capsys, "compile", place / "model", "-o", tmp_path / "world.syn")
    assert code == 0, err
    with WorldModel.open(place / "model", backend="cpu") as world:
        expected = world.rollout(frames(2), actions(5, 6))
    with WorldModel.open(tmp_path / "world.syn", backend="cpu") as compiled:
        found = compiled.rollout(frames(2), actions(5, 6))
        many = compiled.rollout(frames(2), actions(30, 5, 6))
    assert np.array_equal(found, expected)
    assert many.shape == (30, 6, 28)


def test_a_model_compiled_for_another_size_imagines_at_that_size(
    place: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    target = tmp_path / "world.syn"
    code, _, err = call(capsys, "compile", place / "model", "-o", target, "--size", "20")
    assert code == 0, err
    with WorldModel.open(target, backend="cpu") as world:
        assert world.shape == (3, 20, 20)
        assert world.rollout(frames(2), actions(5, 6)).shape == (6, 28)


@pytest.mark.parametrize("verb", ["inspect", "graph"])
def test_other_verbs_know_the_model(
    place: Path, capsys: pytest.CaptureFixture[str], verb: str
) -> None:
    code, out, err = call(capsys, verb, place / "model")
    assert code == 0, err
    assert "lewm" in out or "predict" in out
