"""Nothing is lost: a verb that writes leaves the old file or the whole new one, and no part of it.

A killed process leaves its part; the next one removes it, so that parts do not add up.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import resource
import stat
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from synapse_core.cli.frame import run
from synapse_core.errors import FileError
from synapse_core.files import write_whole
from tests.cli.fake_hub import FakeHub, hash_of, serve
from tests.loaders.torch_files import dictionary, tensor, torch_zip

ROOT = Path(__file__).parents[2]
TRIES = 20
OLD = b"the old file" * 1000

# A verb's command line for an output, and the name the output must have.
Verb = tuple[Callable[[Path], list[str]], str]


def torch_file(path: Path, count: int) -> Path:
    numbers = np.arange(count * 6, dtype="<f4")
    views = {"w": tensor(shape=(6, count), strides=(count, 1), count=numbers.size)}
    views["t"] = tensor(shape=(count, 6), strides=(1, count), count=numbers.size)
    path.write_bytes(torch_zip(dictionary(views), {"0": numbers.tobytes()}))
    return path


@pytest.fixture(params=["import-pt", "compile", "quantize"])
def verb(request: pytest.FixtureRequest, tmp_path: Path, shared_data: Path) -> Verb:
    if request.param == "compile":
        model = shared_data / "stories260K" / "hf"
        return lambda output: ["compile", str(model), "-o", str(output)], "m.syn"
    if request.param == "quantize":
        file = shared_data / "stories260K" / "gguf" / "model-F16.gguf"
        asked = ["quantize", str(file), "--format", "q8_0"]
        return lambda output: [*asked[:2], str(output), *asked[2:]], "m.gguf"
    source = torch_file(tmp_path / "in.pt", 300_000)
    return lambda output: ["import-pt", str(source), "-o", str(output)], "m.safetensors"


def digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def carry_out(plan: dict[str, Any], folder: Path, **environment: str) -> list[dict[str, Any]]:
    """Have the plan carried out in a process of its own."""
    (folder / "plan.json").write_text(json.dumps({"tries": TRIES, "seed": 1, **plan}))
    command = [sys.executable, "-m", "tests.killed", folder / "plan.json", folder / "report.json"]
    quiet = subprocess.DEVNULL
    env = os.environ | environment
    subprocess.run(command, check=True, cwd=ROOT, env=env, stdout=quiet, stderr=quiet)
    found: list[dict[str, Any]] = json.loads((folder / "report.json").read_text())
    return found


def test_killed_at_any_time_it_leaves_the_old_or_the_new_file(verb: Verb, tmp_path: Path) -> None:
    arguments, name = verb
    folder = tmp_path / "out"
    folder.mkdir()
    (tmp_path / "old").write_bytes(OLD)
    plan = {
        "arguments": arguments(folder / name),
        "folder": str(folder),
        "old": {str(folder / name): str(tmp_path / "old")},
        "empty": False,
        "imports": [
            "synapse_core.api",
            "synapse_core.api.import_pt",
            "synapse_core.cli.compile",
            "synapse_core.cli.quantize",
        ],
    }
    first, *killed, last = carry_out(plan, tmp_path)
    assert (first["code"], last["code"]) == (0, 0)
    assert set(first["files"]) == set(last["files"]) == {name}
    assert first["files"] == last["files"]
    # A busy machine may let most of them end in time.
    assert sum(found["code"] is None for found in killed) >= 3
    for found in killed:
        assert found["files"][name] in (digest(OLD), first["files"][name])
        parts = set(found["files"]) - {name}
        # At most the one of the process that was killed: it removed those of the processes before.
        assert len(parts) <= 1
        assert all(part.startswith(f".{name}.") and part.endswith(".part") for part in parts)


def test_killed_at_any_time_pull_leaves_whole_files_only(tmp_path: Path) -> None:
    files = {f"model-0000{n}-of-00003.safetensors": bytes([n]) * 3_000_000 for n in (1, 2, 3)}
    index = {"weight_map": {f"w{n}": name for n, name in enumerate(files)}}
    files["model.safetensors.index.json"] = json.dumps(index).encode()
    files["config.json"] = b"{}"
    home = tmp_path / "home"
    home.mkdir()
    with serve(FakeHub({"lab/m": {"main": files}}, pause_s=0.002)) as hub:
        plan = {
            "arguments": ["pull", "lab/m"],
            "folder": str(home),
            "old": {},
            "empty": True,
            "imports": ["synapse_core.api.hub", "synapse_core.cli.pull", "huggingface_hub"],
        }
        environment = {"HF_ENDPOINT": hub.endpoint, "HF_HOME": str(home), "HF_HUB_OFFLINE": "0"}
        first, *killed, last = carry_out(plan, tmp_path, NO_PROXY="*", **environment)
    whole = {digest(data) for data in files.values()}
    assert (first["code"], last["code"]) == (0, 0)
    # A busy machine may let most of them end in time.
    assert sum(found["code"] is None for found in killed) >= 3
    parts_seen = 0
    for found in (first, *killed, last):
        seen = {path: sha for path, sha in found["files"].items() if "/models--lab--m/" in path}
        parts = [path for path in seen if path.endswith(".incomplete")]
        # The parts of one killed process at most: a file each, and what it probed the umask with.
        assert len(parts) <= len(files)
        parts_seen += len(parts)
        probes = [path for path in seen if "/blobs/tmp_" in path]
        assert {seen[path] for path in probes} <= {digest(b"")}
        assert len(probes) <= len(files)
        parts += probes
        for path, sha in seen.items():
            if ("/blobs/" in path and path not in parts) or "/snapshots/" in path:
                assert sha in whole, path
        if any("/refs/" in path for path in seen):
            kept = {path.rpartition("/")[2] for path in seen if "/snapshots/" in path}
            assert kept == set(files), "a branch is named before its files are there"
    assert parts_seen > 0
    left = (".incomplete", "/blobs/tmp_")
    assert not any(part in path for path in last["files"] for part in left)
    assert {hash_of(name, data) for name, data in files.items()} == {
        path.rpartition("/")[2] for path in last["files"] if "/blobs/" in path
    }


def test_full_disk_leaves_the_old_file_and_no_part(verb: Verb, tmp_path: Path) -> None:
    arguments, name = verb
    output = tmp_path / "out" / name
    output.parent.mkdir()
    output.write_bytes(OLD)
    command = [sys.executable, "-c", "from synapse_core.cli import main; main()"]

    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))

    done = subprocess.run(
        [*command, *arguments(output)], preexec_fn=limit, capture_output=True, text=True
    )
    assert done.returncode == 3, done.stderr
    assert done.stderr.count("\n") == 1
    assert f"{output}: cannot be written: File too large" in done.stderr
    assert os.listdir(output.parent) == [name]
    assert output.read_bytes() == OLD


def test_full_disk_stops_pull_in_one_line(tmp_path: Path) -> None:
    files = {"config.json": b"{}", "model.safetensors": bytes(3_000_000)}
    command = [sys.executable, "-c", "from synapse_core.cli import main; main()", "pull", "lab/m"]

    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))

    with serve(FakeHub({"lab/m": {"main": files}})) as hub:
        env = os.environ | {"HF_ENDPOINT": hub.endpoint, "HF_HOME": str(tmp_path / "home")}
        env |= {"HF_HUB_OFFLINE": "0", "NO_PROXY": "*"}
        done = subprocess.run(command, preexec_fn=limit, capture_output=True, text=True, env=env)
        assert done.returncode == 3, done.stderr
        assert done.stderr.count("\n") == 1
        assert "cannot be written: File too large" in done.stderr
        assert not list((tmp_path / "home").rglob("*.incomplete"))
        again = subprocess.run(command, capture_output=True, text=True, env=env)
        assert again.returncode == 0, again.stderr


def test_pull_removes_what_killed_downloads_left(tmp_path: Path) -> None:
    blobs = tmp_path / "home" / "hub" / "models--lab--m" / "blobs"
    blobs.mkdir(parents=True)
    left = (f"{'0' * 40}.01234567.incomplete", "tmp_8e9a4f1e-37af-4b0d-9cc5-7f97f5d3e47a")
    for name in left:
        (blobs / name).touch()
    files = {"config.json": b"{}", "model.safetensors": bytes(64)}
    command = [sys.executable, "-c", "from synapse_core.cli import main; main()", "pull", "lab/m"]
    with serve(FakeHub({"lab/m": {"main": files}})) as hub:
        env = os.environ | {"HF_ENDPOINT": hub.endpoint, "HF_HOME": str(tmp_path / "home")}
        env |= {"HF_HUB_OFFLINE": "0", "NO_PROXY": "*"}
        done = subprocess.run(command, capture_output=True, text=True, env=env)
    assert done.returncode == 0, done.stderr
    assert len(os.listdir(blobs)) == len(files)
    assert set(os.listdir(blobs)).isdisjoint(left)


class FailingFile:
    """A file whose n-th write finds the disk full."""

    def __init__(self, file: Any, left: list[int]) -> None:
        self.file, self.left = file, left

    def write(self, data: Any) -> int:
        self.left[0] -= 1
        if self.left[0] == 0:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return int(self.file.write(data))

    def __enter__(self) -> FailingFile:
        return self

    def __exit__(self, *error: object) -> None:
        self.file.close()

    def __getattr__(self, name: str) -> Any:
        return getattr(self.file, name)


def test_whichever_write_fails_the_old_file_stays(
    verb: Verb, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments, name = verb
    output = tmp_path / "out" / name
    output.parent.mkdir()
    output.write_bytes(OLD)
    plain_open, left = Path.open, [0]

    def failing_open(path: Path, mode: str = "r", *rest: Any, **options: Any) -> Any:
        file = plain_open(path, mode, *rest, **options)
        return FailingFile(file, left) if path.suffix == ".part" else file

    monkeypatch.setattr(Path, "open", failing_open)
    failures = 0
    for nth in [1, 2, 3, 4, 5, 8, 13, 21, 34, 55, 89, 144, 1_000_000]:
        left[0] = nth
        code = run(arguments(output))
        said = capsys.readouterr().err
        assert os.listdir(output.parent) == [name]
        if code == 0:
            break
        failures += 1
        assert code == 3
        assert said.splitlines()[-1].endswith("cannot be written: No space left on device")
        assert output.read_bytes() == OLD
    assert code == 0
    assert failures >= 5
    assert output.read_bytes() != OLD


def test_failing_rename_leaves_the_old_file(
    verb: Verb, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    arguments, name = verb
    output = tmp_path / "out" / name
    output.parent.mkdir()
    output.write_bytes(OLD)

    def fail(*_: object) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    for what in ("fsync", "replace"):
        with monkeypatch.context() as patch:
            patch.setattr(os, what, fail)
            assert run(arguments(output)) == 3
        assert os.listdir(output.parent) == [name]
        assert output.read_bytes() == OLD


@pytest.mark.parametrize("umask", [0o022, 0o077, 0o002])
def test_file_has_the_mode_that_the_umask_gives(verb: Verb, tmp_path: Path, umask: int) -> None:
    arguments, name = verb
    before = os.umask(umask)
    try:
        assert run(arguments(tmp_path / name)) == 0
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / name).stat().st_mode) == 0o666 & ~umask


def test_input_is_never_written_over(tmp_path: Path, shared_data: Path) -> None:
    source = torch_file(tmp_path / "in.safetensors", 10)
    before = source.read_bytes()
    assert run(["import-pt", str(source), "-o", str(source)]) == 2
    assert source.read_bytes() == before
    compiled = tmp_path / "m.syn"
    assert run(["compile", str(shared_data / "stories260K" / "hf"), "-o", str(compiled)]) == 0
    before = compiled.read_bytes()
    assert run(["compile", str(compiled), "-o", str(compiled)]) == 2
    assert compiled.read_bytes() == before


def test_parts_of_the_dead_are_swept_and_of_the_living_kept(tmp_path: Path) -> None:
    path = tmp_path / "m.bin"
    dead = tmp_path / ".m.bin.0123456789ab.part"
    others = [tmp_path / ".n.bin.0123456789ab.part", tmp_path / ".m.bin.part", tmp_path / "a.part"]
    for file in (dead, *others):
        file.write_bytes(b"x")
    with write_whole(path) as first:
        first.write(b"first")
        assert not dead.exists()
        living = set(tmp_path.iterdir()) - set(others)
        with write_whole(path) as second:
            second.write(b"second")
        assert path.read_bytes() == b"second"
        assert living < set(tmp_path.iterdir())
    assert path.read_bytes() == b"first"
    assert set(tmp_path.iterdir()) == {path, *others}


def test_place_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    with (
        pytest.raises(FileError, match="cannot be written: No such file"),
        write_whole(tmp_path / "no" / "m.bin"),
    ):
        pass


def test_a_link_is_followed_and_stays(tmp_path: Path) -> None:
    (tmp_path / "far").mkdir()
    link = tmp_path / "link.bin"
    link.symlink_to(tmp_path / "far" / "m.bin")
    for content in (b"first", b"second"):
        with write_whole(link) as file:
            file.write(content)
        assert link.is_symlink()
        assert (tmp_path / "far" / "m.bin").read_bytes() == content
    assert set(tmp_path.iterdir()) == {link, tmp_path / "far"}


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes with names here")
def test_a_pipe_is_written_and_stays(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    found: list[bytes] = []
    reader = threading.Thread(target=lambda: found.append(pipe.read_bytes()))
    reader.start()
    with write_whole(pipe) as file:
        file.write(b"all of it")
    reader.join(10)
    assert found == [b"all of it"]
    assert pipe.is_fifo()
    assert list(tmp_path.iterdir()) == [pipe]


@pytest.mark.skipif(not Path("/dev/stdout").exists(), reason="standard output has no name here")
def test_standard_output_is_written_by_its_name() -> None:
    program = (
        "from pathlib import Path; from synapse_core.files import write_whole\n"
        "with write_whole(Path('/dev/stdout')) as file: file.write(b'all of it')"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True)
    assert (done.stdout, done.stderr) == (b"all of it", b"")
    assert Path("/dev/stdout").is_symlink()
