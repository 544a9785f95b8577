"""The plugin of docs/write-a-plugin.md, taken from the page's own code blocks, works."""

from __future__ import annotations

import json
import shlex

import pytest

from .conftest import Place
from .page import WALK


@pytest.fixture(scope="module")
def walk(tmp_path_factory) -> Place:
    """The page's files, its distribution installed; commands run beside them."""
    folder = tmp_path_factory.mktemp("walk")
    WALK.write(folder)
    place = Place(folder)
    place.add(folder / "walk")
    return place


def test_the_page_makes_one_of_each_of_the_four_kinds_that_keep_their_contracts(walk):
    done = walk.synapse("check", "synapse-walk", "--json")
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)["findings"]
    kinds = {finding["kind"] for finding in found}
    assert kinds == {"attention", "quant_format", "model", "backend"}
    assert len([finding for finding in found if finding["state"] == "ok"]) > 20


def test_the_page_s_commands_end_well(walk):
    assert WALK.commands[0].startswith("pip install")  # done by the fixture, and in test_fresh
    for line in WALK.commands[1:]:
        name, *arguments = shlex.split(line)
        done = walk.python(*arguments) if name == "python" else walk.synapse(*arguments)
        assert done.returncode == 0, f"{line}\n{done.stderr}"
    assert (walk.folder / "logits.npy").stat().st_size > 3 * 61 * 4


def test_the_page_s_tests_pass(walk):
    done = walk.python("-m", "pytest", "-q", "-p", "no:cacheprovider", "test_walk.py")
    assert done.returncode == 0, done.stdout
