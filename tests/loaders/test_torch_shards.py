"""Torch pickles in shards, joined by their index: good ones, and indexes and shards that lie."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file

from synapse_core.api.import_pt import import_pt
from synapse_core.api.source import open_checkpoint
from synapse_core.cli import frame
from synapse_core.errors import FileError, UsageError
from synapse_core.plugins import default_host
from tests.loaders.torch_files import dictionary, tensor, torch_zip

INDEX = "pytorch_model.bin.index.json"
FIRST, SECOND = (f"pytorch_model-0000{n}-of-00002.bin" for n in (1, 2))
SIX = np.arange(6, dtype="<f4").reshape(2, 3)
MAP = {"a": FIRST, "b": FIRST, "c": SECOND}


def write(folder: Path, weight_map: Any = MAP, **shards: bytes) -> Path:
    """Write a model of three tensors in two shards; `first` and `second` stand for their bytes."""
    folder.mkdir(exist_ok=True)
    first = torch_zip(dictionary({"a": tensor(), "b": tensor()}))
    second = torch_zip(dictionary({"c": tensor(shape=(3, 2), strides=(1, 3))}))
    (folder / FIRST).write_bytes(shards.get("first", first))
    (folder / SECOND).write_bytes(shards.get("second", second))
    (folder / INDEX).write_text(json.dumps({"metadata": {}, "weight_map": weight_map}))
    return folder


def refused(capsys: pytest.CaptureFixture[str], source: Path, output: Path, code: int = 3) -> str:
    """Run the verb, which must fail in one line and write nothing; return the line."""
    capsys.readouterr()
    assert frame.run(["import-pt", str(source), "-o", str(output)]) == code
    out, err = capsys.readouterr()
    assert out == ""
    assert err.count("\n") == 1
    assert not output.exists()
    return err


@pytest.mark.parametrize("named", [".", INDEX])
def test_shards_become_one_file(tmp_path: Path, named: str) -> None:
    output = tmp_path / "out.safetensors"
    done = import_pt(write(tmp_path / "m") / named, output)
    found = load_file(output)
    assert set(found) == set(MAP)
    for name in ("a", "b"):
        np.testing.assert_array_equal(found[name], SIX)
    np.testing.assert_array_equal(found["c"], SIX.T)
    # Storage "0" of one shard is not that of the other.
    assert done.tied == (("a", "b"),)
    assert (done.tensors, done.key, done.copied) == (3, None, ("c",))


def test_key_and_left_out_names_hold_for_every_shard(tmp_path: Path) -> None:
    shards = {
        place: torch_zip(dictionary({"model": dictionary(entries), "params": dictionary(entries)}))
        for place, entries in (
            ("first", {"a": tensor(), "b": tensor()}),
            ("second", {"c": tensor()}),
        )
    }
    folder = write(tmp_path / "m", **shards)
    output = tmp_path / "out.safetensors"
    with pytest.raises(FileError, match="choose one with --key"):
        import_pt(folder, output)
    done = import_pt(folder, output, key="params", without=("b", "c"))
    assert (done.key, done.left_out, set(load_file(output))) == ("params", ("b", "c"), {"a"})
    with pytest.raises(FileError, match="its shards hold no tensor"):
        import_pt(folder, tmp_path / "none.safetensors", key="params", without=("*",))


MODEL = {"model": dictionary({"c": tensor()})}
HOSTILE: dict[str, tuple[Any, dict[str, bytes], str]] = {
    "no map": (None, {}, "must map tensor names to file names"),
    "an empty map": ({}, {}, "must map tensor names to file names"),
    "a number for a shard": ({"a": 1}, {}, "must map tensor names to file names"),
    "a shard above": ({**MAP, "c": "../x.bin"}, {}, "it must be a plain name in its folder"),
    "an absolute shard": ({**MAP, "c": "/etc/x.bin"}, {}, "it must be a plain name in its folder"),
    "another kind of file": ({**MAP, "c": "config.json"}, {}, "shards end with .bin, .pt, .pth"),
    "a shard that is not there": ({**MAP, "c": "x.bin"}, {}, "names file 'x.bin', which is not"),
    "a tensor too many": ({"a": FIRST, "c": SECOND}, {}, "tensor 'b': lies here, .* says no shard"),
    "a tensor elsewhere": ({**MAP, "b": SECOND}, {}, f"tensor 'b': lies here, .* says {SECOND}"),
    "a tensor too few": ({**MAP, "d": SECOND}, {}, f"tensor 'd': is not in {SECOND}"),
    "a program": (MAP, {"second": b"\x80\x02cos\nsystem\nX\x02\0\0\0ls\x85R."}, f"{SECOND}: .*os"),
    "no pickle": (MAP, {"second": b"PKPKPKPK"}, f"{SECOND}: .*neither a zip file nor a pickle"),
    "places that differ": (MAP, {"second": torch_zip(dictionary(MODEL))}, "in different places"),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_index_or_shard_that_lies_is_refused_in_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    weight_map, shards, words = HOSTILE[name]
    folder = write(tmp_path / "m", weight_map, **shards)
    line = refused(capsys, folder, tmp_path / "out.safetensors")
    assert re.search(words, line), line


@pytest.mark.parametrize("kind", ["link", "pipe", "folder"])
def test_shard_that_is_no_file_of_the_folder_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], kind: str
) -> None:
    folder = write(tmp_path / "m")
    shard = folder / SECOND
    if kind == "link":
        shard.rename(tmp_path / "elsewhere.bin")
        shard.symlink_to(tmp_path / "elsewhere.bin")
    else:
        shard.unlink()
        os.mkfifo(shard) if kind == "pipe" else shard.mkdir()
    line = refused(capsys, folder, tmp_path / "out.safetensors")
    assert ("a link that leads out of its folder" if kind == "link" else "not a regular") in line


def test_folder_without_an_index_and_an_input_as_output_are_refused(tmp_path: Path) -> None:
    folder = write(tmp_path / "m")
    inside = folder / "inside.safetensors"
    os.link(folder / SECOND, inside)
    with pytest.raises(UsageError, match="is the input itself"):
        import_pt(folder, inside)
    inside.unlink()
    (folder / INDEX).unlink()
    with pytest.raises(FileError, match=f"is a folder without {INDEX}; name a file in it"):
        import_pt(folder, tmp_path / "out.safetensors")


def test_folder_of_shards_says_how_to_import_it(tmp_path: Path) -> None:
    folder = write(tmp_path / "m")
    with pytest.raises(FileError, match=rf"import-pt \S+{INDEX} -o \S+model\.safetensors"):
        open_checkpoint(folder, default_host())


def test_index_of_a_thousand_names_is_bounded(tmp_path: Path) -> None:
    names: Mapping[str, str] = {f"t{n}": f"{n}.bin" for n in range(4097)}
    with pytest.raises(FileError, match="names 4097 files; at most 4096"):
        import_pt(write(tmp_path / "m", names), tmp_path / "out.safetensors")
