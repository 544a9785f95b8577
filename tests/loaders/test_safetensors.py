"""The safetensors loader, on good files against the safetensors package and on hostile ones."""

from __future__ import annotations

import json
import math
import os
import struct
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import save_file

from synapse_core.errors import FileError
from synapse_core.formats import format_named
from synapse_core.loaders import SAFETENSORS

RNG = np.random.default_rng(1)


def good_tensors() -> dict[str, np.ndarray]:
    """Return tensors of several types and shapes."""
    return {
        "a": RNG.standard_normal((3, 5)).astype(np.float32),
        "b": RNG.standard_normal((7,)).astype(np.float16),
        "c": RNG.standard_normal((2, 3, 4)).astype(np.float32),
        "ids": np.arange(4, dtype=np.int64),
    }


def folder_of(path: Path, config: str = "{}") -> Path:
    """Make a checkpoint's folder with a config and no weights."""
    path.mkdir(exist_ok=True)
    (path / "config.json").write_text(config)
    return path


def raw_file(path: Path, header: str | bytes, data: bytes = b"", length: int | None = None) -> None:
    """Write a safetensors file byte by byte."""
    text = header.encode() if isinstance(header, str) else header
    path.write_bytes(struct.pack("<Q", len(text) if length is None else length) + text + data)


def descriptor(dtype: Any = "F32", shape: Any = (2,), offsets: Any = (0, 8)) -> dict[str, Any]:
    """Return a tensor's description; the defaults fit 8 bytes of data."""
    return {"dtype": dtype, "shape": shape, "data_offsets": offsets}


def test_tensors_are_the_bytes_that_the_safetensors_package_wrote(tmp_path: Path) -> None:
    folder = folder_of(tmp_path)
    tensors = good_tensors()
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    found = SAFETENSORS.open(folder)
    assert set(found.tensors) == set(tensors)
    assert (found.source, found.folder) == ("hf", folder)
    for name, tensor in tensors.items():
        assert found.tensors[name].shape == tensor.shape
        assert found.tensors[name].data.tobytes() == tensor.tobytes()
        file, offset = found.tensors[name].place
        assert Path(file).read_bytes()[offset : offset + tensor.nbytes] == tensor.tobytes()
    a = found.tensors["a"]
    np.testing.assert_array_equal(format_named(a.format).decode(a.raw(), a.cols), tensors["a"])
    assert found.tensors["ids"].format == "i64"


def test_nothing_is_copied_from_the_mapped_file(tmp_path: Path) -> None:
    save_file(good_tensors(), folder_of(tmp_path) / "model.safetensors")
    for tensor in SAFETENSORS.open(tmp_path).tensors.values():
        assert isinstance(tensor.data.base, np.memmap | np.ndarray)
        assert not tensor.data.flags.owndata
        assert not tensor.data.flags.writeable


def test_one_file_is_opened_with_the_config_beside_it(tmp_path: Path) -> None:
    folder = folder_of(tmp_path, '{"x": 1}')
    save_file(good_tensors(), folder / "weights.safetensors")
    assert SAFETENSORS.claims(folder / "weights.safetensors")
    assert not SAFETENSORS.claims(folder)
    found = SAFETENSORS.open(folder / "weights.safetensors")
    assert (found.metadata, len(found.tensors)) == ({"x": 1}, 4)


def test_a_tensor_at_an_odd_offset_reads_as_the_same_numbers(tmp_path: Path) -> None:
    numbers = np.array([1.5, -2.25], dtype="<f4")
    header = json.dumps({"t": descriptor()})
    raw_file(
        folder_of(tmp_path) / "model.safetensors",
        header + " " * (1 - len(header) % 2),
        numbers.tobytes(),
    )
    tensor = SAFETENSORS.open(tmp_path).tensors["t"]
    assert tensor.offset % 2 == 1
    np.testing.assert_array_equal(format_named("f32").decode(tensor.raw(), 2)[0], numbers)


def sharded(folder: Path, weight_map: Mapping[str, Any] | None = None) -> Path:
    """Write two shards and an index."""
    folder_of(folder)
    tensors = good_tensors()
    parts = {"x-1.safetensors": ("a", "b"), "x-2.safetensors": ("c", "ids")}
    for shard, names in parts.items():
        save_file({name: tensors[name] for name in names}, folder / shard)
    if weight_map is None:
        weight_map = {name: shard for shard, names in parts.items() for name in names}
    index = {"metadata": {}, "weight_map": weight_map}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    return folder


def test_shards_are_read_as_one_checkpoint(tmp_path: Path) -> None:
    found = SAFETENSORS.open(sharded(tmp_path))
    assert set(found.tensors) == {"a", "b", "c", "ids"}
    assert found.tensors["c"].file.name == "x-2.safetensors"


@pytest.mark.parametrize(
    "name",
    [
        "../x-1.safetensors",
        "/etc/x-1.safetensors",
        "sub/../x-1.safetensors",
        "..\\x-1.safetensors",
        "absent.safetensors",
        "",
        "..",
        "config.json",
        "x\0.safetensors",
    ],
)
def test_a_shard_outside_the_folder_or_absent_is_refused(tmp_path: Path, name: str) -> None:
    save_file(good_tensors(), tmp_path / "x-1.safetensors")
    folder = sharded(tmp_path / "model", {"a": name})
    with pytest.raises(FileError, match=r"index\.json: .*names file"):
        SAFETENSORS.open(folder)


@pytest.mark.parametrize("weight_map", [[], {}, {"a": None}, {"a": 3}, "x"])
def test_an_index_that_maps_nothing_is_refused(tmp_path: Path, weight_map: Any) -> None:
    folder = sharded(tmp_path)
    text = json.dumps({"weight_map": weight_map})
    (folder / "model.safetensors.index.json").write_text(text)
    with pytest.raises(FileError, match="weight_map"):
        SAFETENSORS.open(folder)


def test_a_link_out_of_the_folder_is_refused_and_one_within_is_followed(tmp_path: Path) -> None:
    folder = sharded(tmp_path / "model")
    shard = folder / "x-1.safetensors"
    shard.rename(folder / "kept.safetensors")
    shard.symlink_to("kept.safetensors")
    assert len(SAFETENSORS.open(folder).tensors) == 4
    shard.unlink()
    (folder / "kept.safetensors").rename(tmp_path / "kept.safetensors")
    shard.symlink_to(tmp_path / "kept.safetensors")
    with pytest.raises(FileError, match="a link that leads out of its folder"):
        SAFETENSORS.open(folder)


def test_a_hugging_face_cache_links_its_shards_to_blobs(tmp_path: Path) -> None:
    (tmp_path / "snapshots").mkdir()
    (tmp_path / "blobs").mkdir()
    folder = sharded(tmp_path / "snapshots" / "abc")
    for number, shard in enumerate(sorted(folder.glob("*.safetensors"))):
        blob = tmp_path / "blobs" / str(number)
        shard.rename(blob)
        shard.symlink_to(Path("../../blobs") / str(number))
    assert len(SAFETENSORS.open(folder).tensors) == 4


def test_a_tensor_in_another_shard_than_the_index_says_is_refused(tmp_path: Path) -> None:
    names = {"a": "x-1.safetensors", "b": "x-2.safetensors", "c": "x-2.safetensors"}
    with pytest.raises(FileError, match=r"tensor 'b' at byte .* lies here, .* says x-2"):
        SAFETENSORS.open(sharded(tmp_path, names))


def test_a_tensor_that_no_shard_has_is_refused(tmp_path: Path) -> None:
    names = {"a": "x-1.safetensors", "b": "x-1.safetensors", "z": "x-1.safetensors"}
    with pytest.raises(FileError, match=r"index\.json: tensor 'z': is not in x-1"):
        SAFETENSORS.open(sharded(tmp_path, names))


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no named pipes")
def test_a_pipe_or_a_device_is_refused_without_waiting(tmp_path: Path) -> None:
    os.mkfifo(folder_of(tmp_path) / "model.safetensors")
    with pytest.raises(FileError, match="is not a regular file"):
        SAFETENSORS.open(tmp_path)
    (tmp_path / "model.safetensors").unlink()
    (tmp_path / "model.safetensors").symlink_to("/dev/zero")
    with pytest.raises(FileError, match="is not a regular file"):
        SAFETENSORS.open(tmp_path)


HEADERS: dict[str, tuple[str | bytes, str]] = {
    "no object": ("[]", "begins with"),
    "leading space": (' {"t":{}}', "begins with"),
    "not json": ("{nope}", "is not JSON"),
    "not utf-8": (b'{"\xff":{}}', "is not UTF-8"),
    "nested": ('{"a":' * 100_000, "nested too deeply"),
    "duplicate tensor": (
        f'{{"t":{json.dumps(descriptor())},"t":{json.dumps(descriptor())}}}',
        "'t': is given twice",
    ),
    "duplicate field": ('{"t":{"dtype":"F32","dtype":"F32"}}', "'dtype': is given twice"),
    "nan": ('{"t":NaN}', "is not finite"),
    "huge int": ('{"t":{"dtype":"F32","shape":[' + "9" * 5000 + "]}}", "is not JSON"),
    "metadata": ('{"__metadata__":{"a":1}}', "__metadata__"),
    "metadata list": ('{"__metadata__":[]}', "__metadata__"),
}


@pytest.mark.parametrize("name", HEADERS)
def test_a_header_that_is_no_header_is_refused(tmp_path: Path, name: str) -> None:
    header, text = HEADERS[name]
    raw_file(folder_of(tmp_path) / "model.safetensors", header, bytes(8))
    with pytest.raises(FileError, match=text) as caught:
        SAFETENSORS.open(tmp_path)
    assert "model.safetensors" in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("length", [0, 1, 11, 1 << 31, 1 << 32, 1 << 63, (1 << 64) - 1])
def test_a_header_length_that_cannot_be_is_refused(tmp_path: Path, length: int) -> None:
    raw_file(folder_of(tmp_path) / "model.safetensors", "{}", bytes(8), length)
    with pytest.raises(FileError, match=f"header length at byte 0: found {length}, expected 2 to"):
        SAFETENSORS.open(tmp_path)


@pytest.mark.parametrize("size", [0, 1, 7])
def test_a_file_too_short_for_its_length_is_refused(tmp_path: Path, size: int) -> None:
    (folder_of(tmp_path) / "model.safetensors").write_bytes(bytes(size))
    with pytest.raises(FileError, match=f"has {size} bytes"):
        SAFETENSORS.open(tmp_path)


DESCRIPTORS: dict[str, Any] = {
    "null": None,
    "list": [],
    "no shape": {"dtype": "F32", "data_offsets": [0, 8]},
    "extra": {**descriptor(), "x": 1},
    "unknown dtype": descriptor("F5"),
    "dtype number": descriptor(3),
    "dtype list": descriptor([]),
    "small case": descriptor("f32"),
    "shape number": descriptor(shape=2),
    "shape bool": descriptor(shape=[True, 2]),
    "shape float": descriptor(shape=[2.0]),
    "shape text": descriptor(shape=["2"]),
    "shape negative": descriptor(shape=[-2]),
    "shape wraps": descriptor(shape=[1 << 62, 1 << 62, 2]),
    "shape wraps to fit": descriptor(shape=[(1 << 62) + 2]),
    "shape 2^64": descriptor(shape=[1 << 64]),
    "too many axes": descriptor(shape=[1] * 8 + [2]),
    "wrong size": descriptor(shape=[3]),
    "zero size": descriptor(shape=[0]),
    "offsets one": descriptor(offsets=[0]),
    "offsets three": descriptor(offsets=[0, 8, 8]),
    "offsets reversed": descriptor(offsets=[8, 0]),
    "offsets negative": descriptor(offsets=[-8, 0]),
    "offsets past end": descriptor(offsets=[0, 16], shape=[4]),
    "offsets huge": descriptor(offsets=[0, 1 << 63]),
    "offsets text": descriptor(offsets=["0", "8"]),
    "leading hole": descriptor(shape=[1], offsets=[4, 8]),
}


@pytest.mark.parametrize("name", DESCRIPTORS)
def test_a_bad_description_is_refused_by_the_tensors_name(tmp_path: Path, name: str) -> None:
    header = json.dumps({"some.weight": DESCRIPTORS[name]})
    raw_file(folder_of(tmp_path) / "model.safetensors", header, bytes(8))
    with pytest.raises(FileError, match=r"model\.safetensors: tensor 'some\.weight'"):
        SAFETENSORS.open(tmp_path)


@pytest.mark.parametrize(
    ("second", "text"),
    [([4, 8], "overlap"), ([0, 8], "overlap"), ([12, 16], "hole")],
)
def test_overlaps_and_holes_are_refused(tmp_path: Path, second: list[int], text: str) -> None:
    size = (second[1] - second[0]) // 4
    header = {"a": descriptor(), "b": descriptor(shape=[size], offsets=second)}
    raw_file(folder_of(tmp_path) / "model.safetensors", json.dumps(header), bytes(16))
    with pytest.raises(FileError, match=text):
        SAFETENSORS.open(tmp_path)


def test_trailing_and_missing_bytes_are_refused(tmp_path: Path) -> None:
    file = folder_of(tmp_path) / "model.safetensors"
    raw_file(file, json.dumps({"a": descriptor()}), bytes(9))
    with pytest.raises(FileError, match="its tensors end at"):
        SAFETENSORS.open(tmp_path)
    raw_file(file, json.dumps({"a": descriptor()}), bytes(7))
    with pytest.raises(FileError, match="tensor 'a': data_offsets"):
        SAFETENSORS.open(tmp_path)


@pytest.mark.parametrize(
    ("config", "text"),
    [
        ('{"a": 1, "a": 2}', "key 'a': is given twice"),
        ('{"a": NaN}', "'NaN' is not finite"),
        ('{"a": -Infinity}', "'-Infinity' is not finite"),
        ('{"a": 1e400}', "'1e400' is not finite"),
        ('{"a": ' + "1" * 100_000 + "}", "is not JSON"),
        ("[]", "holds a list, expected an object"),
        ("", "is not JSON"),
        ("[" * 100_000, "nested too deeply"),
    ],
)
def test_a_config_that_is_not_plain_json_is_refused(tmp_path: Path, config: str, text: str) -> None:
    save_file(good_tensors(), folder_of(tmp_path, config) / "model.safetensors")
    with pytest.raises(FileError, match=text) as caught:
        SAFETENSORS.open(tmp_path)
    assert len(str(caught.value)) < 400


def test_a_config_may_say_that_there_is_no_bound(tmp_path: Path) -> None:
    config = '{"architectures": ["A"], "limits": [0.0, Infinity]}'
    save_file(good_tensors(), folder_of(tmp_path, config) / "model.safetensors")
    assert SAFETENSORS.open(tmp_path).metadata["limits"] == [0.0, math.inf]
    index = tmp_path / "model.safetensors.index.json"
    index.write_text('{"weight_map": {}, "limits": Infinity}')
    (tmp_path / "model.safetensors").unlink()
    with pytest.raises(FileError, match="'Infinity' is not finite"):
        SAFETENSORS.open(tmp_path)


def test_a_folder_without_config_or_weights_says_what_is_missing(tmp_path: Path) -> None:
    with pytest.raises(FileError, match=r"config\.json: is not there"):
        SAFETENSORS.open(tmp_path)
    with pytest.raises(FileError, match=r"has neither model\.safetensors nor"):
        SAFETENSORS.open(folder_of(tmp_path))


def test_every_truncation_of_a_file_is_refused(tmp_path: Path) -> None:
    file = folder_of(tmp_path) / "model.safetensors"
    save_file(good_tensors(), file)
    whole = file.read_bytes()
    for size in range(0, len(whole), 3):
        file.write_bytes(whole[:size])
        with pytest.raises(FileError):
            SAFETENSORS.open(tmp_path)
