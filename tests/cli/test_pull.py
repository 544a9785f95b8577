"""Models by their names: pulled from a hub on the loopback, found in its cache, run."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import attrs
import numpy as np
import pytest
from safetensors.numpy import save

from synapse_core.api.hub import HubName
from synapse_core.api.hub_files import choose_files
from synapse_core.errors import FileError, UsageError
from tests.cli.fake_hub import FakeHub, serve

ROOT = Path(__file__).parents[2]
COMMAND = [sys.executable, "-c", "from synapse_core.cli import main; main()"]
NAMES = ("config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json")


@attrs.frozen
class Place:
    """A hub and a user with a cache of his own."""

    hub: FakeHub
    home: Path

    def environment(self, **changes: str) -> dict[str, str]:
        kept = {k: v for k, v in os.environ.items() if not k.startswith(("HF_", "HUGGING"))}
        kept |= {"HF_ENDPOINT": self.hub.endpoint, "HF_HOME": str(self.home), "NO_PROXY": "*"}
        return kept | {"HF_HUB_DISABLE_XET": "1", "HF_HUB_DISABLE_TELEMETRY": "1"} | changes

    def synapse(
        self, *arguments: object, code: int = 0, **changes: str
    ) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            [*COMMAND, *map(str, arguments)],
            capture_output=True,
            text=True,
            stdin=subprocess.DEVNULL,
            env=self.environment(**changes),
            cwd=self.home,
            timeout=120,
        )
        assert done.returncode == code, done.stderr
        assert "Traceback" not in done.stderr
        return done

    def refused(self, *arguments: object, code: int, **changes: str) -> str:
        """Run what must fail; return its one line."""
        done = self.synapse(*arguments, code=code, **changes)
        assert done.stdout == ""
        lines = [line for line in done.stderr.splitlines() if "; pulling it" not in line]
        assert len(lines) == 1, done.stderr
        return lines[0]

    @property
    def cache(self) -> Path:
        return self.home / "hub"


def story_files(shared_data: Path) -> dict[str, bytes]:
    folder = shared_data / "stories260K" / "hf"
    found = {name: (folder / name).read_bytes() for name in NAMES if (folder / name).exists()}
    return found | {"pytorch_model.bin": b"never", "modeling.py": b"never", "README.md": b"hi"}


@pytest.fixture
def place(shared_data: Path, tmp_path: Path) -> Iterator[Place]:
    stories = story_files(shared_data)
    older = stories | {"model.safetensors": stories["model.safetensors"][:-4] + b"\0\0\0\0"}
    weights = save({"w": np.ones(4, dtype=np.float32)})
    pickles = {"config.json": b"{}", "pytorch_model.bin": b"never"}
    many = {f"m-{kind}.gguf": b"GGUF" + kind.encode() for kind in ("Q4_K_M", "Q8_0", "F16")}
    repositories = {
        "lab/stories": {"main": stories, "v1": older},
        "lab/pickles": {"main": pickles},
        "lab/many": {"main": many},
        "lab/one": {"main": {"m.gguf": b"GGUF", "README.md": b""}},
        "lab/large": {"main": {"m.gguf": np.random.default_rng(1).bytes(24 << 20)}},
        "lab/gated": {"main": {"config.json": b"{}", "model.safetensors": weights}},
        "lab/broken": {"main": {}},
    }
    hub = FakeHub(repositories, gated={"lab/gated"}, broken={"lab/broken"})
    with serve(hub):
        home = tmp_path / "home"
        home.mkdir()
        yield Place(hub, home)


def test_pulled_model_is_what_the_hub_has_and_runs_by_its_name(place: Place) -> None:
    done = json.loads(place.synapse("pull", "lab/stories", "--json").stdout)
    folder = Path(done["path"])
    stories = place.hub.repositories["lab/stories"]["main"]
    assert done["commit"] == place.hub.commit("lab/stories", "main") == folder.name
    assert {file["name"] for file in done["files"]} == {n for n in NAMES if n in stories}
    for file in folder.iterdir():
        assert file.read_bytes() == stories[file.name]
    asked = len(place.hub.requests)
    said = place.synapse("run", "lab/stories", "--greedy", "-n", 5, "--backend", "numpy")
    path = place.synapse("run", folder, "--greedy", "-n", 5, "--backend", "numpy")
    assert said.stdout == path.stdout != ""
    shown = json.loads(place.synapse("inspect", "lab/stories", "--json").stdout)
    assert shown["model"] == str(folder)
    assert len(place.hub.requests) == asked


def test_only_weights_config_and_tokenizer_are_pulled(place: Place) -> None:
    place.synapse("pull", "lab/stories")
    names = {path.name for path in place.cache.rglob("snapshots/*/*")}
    assert names == {n for n in NAMES if n in place.hub.repositories["lab/stories"]["main"]}
    assert not any("pytorch_model" in line or ".py" in line for line in place.hub.requests)


def test_run_pulls_what_is_not_there_and_says_so_other_verbs_do_not(place: Place) -> None:
    line = place.refused("inspect", "lab/stories", code=3)
    assert "`synapse pull lab/stories`" in line
    assert place.hub.requests == []
    said = place.synapse("run", "lab/stories", "--greedy", "-n", 2, "--backend", "numpy")
    assert "lab/stories is not here; pulling it" in said.stderr
    assert len(place.hub.downloads()) == 1
    again = place.synapse("run", "lab/stories", "--greedy", "-n", 2, "--backend", "numpy")
    assert again.stdout == said.stdout
    assert "pulling" not in again.stderr


def test_second_pull_downloads_nothing(place: Place) -> None:
    first = place.synapse("pull", "lab/stories").stdout
    assert len(place.hub.downloads()) == 1
    assert place.synapse("pull", "lab/stories").stdout == first
    assert len(place.hub.downloads()) == 1


def test_revision_is_pinned_and_named(place: Place) -> None:
    place.synapse("pull", "lab/stories")
    older = json.loads(place.synapse("pull", "lab/stories", "--revision", "v1", "--json").stdout)
    v1 = place.hub.repositories["lab/stories"]["v1"]["model.safetensors"]
    assert (Path(older["path"]) / "model.safetensors").read_bytes() == v1
    shown = json.loads(place.synapse("inspect", "lab/stories@v1", "--json").stdout)
    assert shown["model"] == older["path"]
    by_commit = place.synapse("inspect", f"lab/stories@{older['commit']}", "--json").stdout
    assert json.loads(by_commit)["model"] == older["path"]
    assert "no such revision" in place.refused("pull", "lab/stories@v9", code=2)


def test_connection_that_breaks_is_taken_up_where_it_broke(place: Place) -> None:
    # The client takes bytes 10 MiB at a time; what it had not taken when it broke is asked again.
    place.hub.cuts[:] = [15 << 20, 12 << 20]
    path = Path(place.synapse("pull", "lab/large").stdout.strip())
    assert path.read_bytes() == place.hub.repositories["lab/large"]["main"]["m.gguf"]
    ranges = [line.partition("bytes=")[2] for line in place.hub.downloads()]
    assert ranges == ["", f"{10 << 20}-", f"{20 << 20}-"]


def test_offline_takes_the_cache_and_asks_nobody(place: Place) -> None:
    line = place.refused("pull", "lab/stories", code=4, HF_HUB_OFFLINE="1")
    assert "HF_HUB_OFFLINE" in line
    assert "HF_HUB_OFFLINE" in place.refused("run", "lab/stories", code=4, HF_HUB_OFFLINE="1")
    first = place.synapse("pull", "lab/stories").stdout
    asked = len(place.hub.requests)
    assert place.synapse("pull", "lab/stories", HF_HUB_OFFLINE="1").stdout == first
    place.synapse("inspect", "lab/stories", HF_HUB_OFFLINE="1")
    assert len(place.hub.requests) == asked


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (("lab/nothing",), 2, "no such model"),
        (("lab/gated",), 4, "gated"),
        (("lab/broken",), 4, "answered 501"),
        (("lab/pickles",), 3, "no weights.*pytorch_model.bin.*import-pt"),
        (("lab/many",), 2, "m-F16.gguf, m-Q4_K_M.gguf, m-Q8_0.gguf; choose with --file"),
        (("lab/many", "--file", "*.bin"), 2, "matches nothing"),
        (("lab/stories", "--file", "*.py"), 2, "matches only modeling.py: no weights"),
        (("stories",), 2, "write ORG/NAME"),
        (("../../etc/passwd",), 2, "write ORG/NAME"),
        (("lab/stories", "--revision", "../../x"), 2, "no name of a model"),
    ],
)
def test_what_cannot_be_pulled_is_one_line(
    place: Place, arguments: tuple[str, ...], code: int, words: str
) -> None:
    line = place.refused("pull", *arguments, code=code)
    assert re.search(words, line), line
    assert not list(place.cache.rglob("snapshots/*/*"))


def test_hub_that_is_not_there_is_one_line(place: Place) -> None:
    line = place.refused("pull", "lab/stories", code=4, HF_ENDPOINT="http://127.0.0.1:9")
    assert "http://127.0.0.1:9 cannot be reached" in line


def test_one_of_many_files_is_chosen_by_name_or_pattern(place: Place) -> None:
    path = Path(place.synapse("pull", "lab/many", "--file", "*Q4_K_M*").stdout.strip())
    assert path.name == "m-Q4_K_M.gguf"
    assert path.read_bytes() == b"GGUFQ4_K_M"
    assert len(place.hub.downloads()) == 1
    place.synapse("pull", "lab/many", "--file", "m-Q8_0.gguf")
    line = place.refused("inspect", "lab/many", code=2)
    assert "has several files here: m-Q4_K_M.gguf, m-Q8_0.gguf" in line
    one = Path(place.synapse("pull", "lab/one").stdout.strip())
    assert (one.name, one.read_bytes()) == ("m.gguf", b"GGUF")


def test_path_that_exists_is_never_a_name(place: Place) -> None:
    (place.home / "lab").mkdir()
    line = place.refused("run", "lab/stories", code=3)
    assert "does not exist" in line
    assert place.hub.requests == []


def test_without_the_package_the_error_says_what_to_install(place: Place) -> None:
    hidden = place.home / "hidden"
    hidden.mkdir()
    (hidden / "huggingface_hub.py").write_text("raise ImportError('hidden by a test')\n")
    paths = os.pathsep.join([str(hidden), str(ROOT)])
    line = place.refused("pull", "lab/stories", code=4, PYTHONPATH=paths)
    assert "pip install 'synapse[hub]'" in line
    line = place.refused("inspect", "lab/stories", code=3, PYTHONPATH=paths)
    assert "does not exist here" in line
    assert "pip install 'synapse[hub]'" in line


def test_link_out_of_the_cache_is_not_followed(place: Place) -> None:
    folder = Path(place.synapse("pull", "lab/stories").stdout.strip())
    secret = place.home / "secret.safetensors"
    secret.write_bytes((folder / "model.safetensors").read_bytes())
    (folder / "model.safetensors").unlink()
    (folder / "model.safetensors").symlink_to(secret)
    line = place.refused("pull", "lab/stories", code=3, HF_HUB_OFFLINE="1")
    assert "a link that leads out of its folder" in line


def test_files_have_the_mode_that_the_umask_gives(place: Place) -> None:
    folder = Path(place.synapse("pull", "lab/stories").stdout.strip())
    umask = os.umask(0)
    os.umask(umask)
    for file in folder.iterdir():
        assert file.stat().st_mode & 0o777 == 0o666 & ~umask


@pytest.mark.parametrize("name", ["a/b", "a.b/c_d-e", "A1/B2@v1.0", "a/b@refs/pr/1"])
def test_name_on_the_hub_is_read_and_said_alike(name: str) -> None:
    assert str(HubName.parse(name)) == name


@pytest.mark.parametrize(
    "name",
    ["a", "a/b/c", "/a/b", "./a/b", "a/..", "../a", "a/b@", "a/b@../x", "a b/c", "", "a/b\n"],
)
def test_what_is_no_name_is_a_path(name: str) -> None:
    assert HubName.parse(name) is None


SHARDS = ("model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors")
INDEX = "model.safetensors.index.json"


@pytest.mark.parametrize(
    ("names", "pattern", "weights", "companions"),
    [
        (("model.safetensors", *SHARDS, INDEX), None, ("model.safetensors",), ()),
        ((*SHARDS, INDEX, "x.gguf"), None, SHARDS, (INDEX,)),
        (("tuned.safetensors", "x.gguf"), None, ("tuned.safetensors",), ()),
        (("x.gguf", "y/z.gguf", "config.json"), None, ("x.gguf",), ("config.json",)),
        (("model.safetensors", "x.gguf"), "*.gguf", ("x.gguf",), ()),
        ((*SHARDS, INDEX), "model-0000*", SHARDS, (INDEX,)),
    ],
)
def test_weights_are_chosen_by_the_stated_rule(
    names: tuple[str, ...], pattern: str | None, weights: tuple[str, ...], companions: tuple[str]
) -> None:
    assert choose_files("a/b", names, pattern) == (companions, weights)


@pytest.mark.parametrize(
    "names", [(), ("pytorch_model.bin",), ("sub/model.safetensors",), ("..\\x.gguf",)]
)
def test_repository_without_weights_is_refused(names: tuple[str, ...]) -> None:
    with pytest.raises(FileError, match="no weights"):
        choose_files("a/b", names, None)


def test_two_files_that_could_be_meant_are_named() -> None:
    with pytest.raises(UsageError, match=r"has a\.safetensors, b\.safetensors; choose"):
        choose_files("a/b", ("b.safetensors", "a.safetensors"), None)


LOAD = """
import sys
from synapse_core import load
from synapse_core.errors import SynapseError

try:
    with load(sys.argv[1], backend="numpy") as model:
        print(model.built.path, *model.logits([1, 5, 9])[-1].argsort()[-3:])
except SynapseError as error:
    sys.exit(f"{error.exit_code} {error}")
"""


def from_python(place: Place, model: object, **changes: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", LOAD, str(model)],
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
        env=place.environment(PYTHONPATH=str(ROOT)) | changes,
        cwd=place.home,
        timeout=120,
    )


def test_load_takes_names_as_run_does(place: Place) -> None:
    first = from_python(place, "lab/stories")
    assert first.returncode == 0, first.stderr
    assert len(place.hub.downloads()) == 1
    folder = Path(first.stdout.split()[0])
    assert folder.name == place.hub.commit("lab/stories", "main")
    asked = len(place.hub.requests)
    again = from_python(place, "lab/stories", HF_HUB_OFFLINE="1")
    assert again.stdout == first.stdout == from_python(place, folder).stdout
    assert len(place.hub.requests) == asked
    older = from_python(place, "lab/stories@v1")
    assert place.hub.commit("lab/stories", "v1") == Path(older.stdout.split()[0]).name


def test_load_says_why_a_name_is_no_model(place: Place) -> None:
    offline = from_python(place, "lab/stories", HF_HUB_OFFLINE="1").stderr
    assert offline == "4 lab/stories is not in the cache and HF_HUB_OFFLINE is set\n"
    assert place.hub.requests == []
    assert from_python(place, "lab/nothing").stderr.startswith("2 lab/nothing: ")
    assert "does not exist" in from_python(place, "./lab/stories").stderr
    hidden = place.home / "hidden"
    hidden.mkdir()
    (hidden / "huggingface_hub.py").write_text("raise ImportError('hidden by a test')\n")
    paths = os.pathsep.join([str(hidden), str(ROOT)])
    line = from_python(place, "lab/stories", PYTHONPATH=paths).stderr
    assert line.startswith("3 lab/stories: does not exist here; ")
    assert "pip install 'synapse[hub]'" in line
    (place.home / "lab").mkdir()
    assert from_python(place, "lab/stories").stderr.startswith("3 lab/stories: does not exist")
