"""Checkpoints, pictures, and verbs in this process."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
from PIL import Image

from synapse_core.cli import frame

from .checkpoints import write
from .tower_cases import CASES, WIDE_CASES, MadeTower, make_tower


class Done(NamedTuple):
    out: str
    err: str


Run = Callable[..., Done]
MakeTower = Callable[[str], MadeTower]


@pytest.fixture
def run_here(capsys: pytest.CaptureFixture[str]) -> Run:
    """`run_here(*arguments, code=0)`: what a verb printed, having ended with that exit code."""

    def run(*arguments: object, code: int = 0) -> Done:
        capsys.readouterr()
        found = frame.run([str(argument) for argument in arguments])
        done = Done(*capsys.readouterr())
        assert found == code, done.err
        return done

    return run


@pytest.fixture(scope="session")
def vit(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small ViT with three classes."""
    return write(tmp_path_factory.mktemp("vit") / "m", "vit")


@pytest.fixture(scope="session")
def features(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small ViT without classes."""
    return write(tmp_path_factory.mktemp("vit") / "f", "vit_features")


@pytest.fixture(scope="session")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Three pictures of unlike sizes."""
    folder = tmp_path_factory.mktemp("pictures")
    rng = np.random.default_rng(6)
    paths = []
    for name, size in {"a": (40, 60), "b": (21, 21), "c": (99, 30)}.items():
        samples = rng.integers(0, 256, (*size, 3), dtype=np.uint8)
        paths.append(folder / f"{name}.png")
        Image.fromarray(samples).save(paths[-1])
    return paths


@pytest.fixture(scope="session")
def make_tower_of(tmp_path_factory: pytest.TempPathFactory) -> MakeTower:
    """`make_tower_of(name)`: the checkpoint of a case of DINOv2 or CLIP, made once."""
    known: dict[str, MadeTower] = {}

    def make(name: str) -> MadeTower:
        if name not in known:
            folder = tmp_path_factory.mktemp(name.replace(" ", "_"))
            known[name] = make_tower((CASES | WIDE_CASES)[name], folder)
        return known[name]

    return make
