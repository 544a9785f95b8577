"""The GGUF loader, on good files: against the gguf package's writer and reader."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import pytest

from synapse_core.errors import FileError
from synapse_core.formats import format_named
from synapse_core.loaders import GGUF, Checkpoint, count_texts
from synapse_core.loaders.gguf_tensors import REMOVED, TYPES
from synapse_core.plugins import default_host
from synapse_core.testing.gguf_bytes import GgufBytes, TensorBytes, array, number, text_value, texts

Kind = gguf.GGUFValueType
NUMBERS: dict[Kind, tuple[Any, ...]] = {
    Kind.UINT8: (0, 255),
    Kind.INT8: (-128, 127),
    Kind.UINT16: (0, 65535),
    Kind.INT16: (-32768, 32767),
    Kind.UINT32: (0, (1 << 32) - 1),
    Kind.INT32: (-(1 << 31), (1 << 31) - 1),
    Kind.UINT64: (0, (1 << 64) - 1),
    Kind.INT64: (-(1 << 63), (1 << 63) - 1),
    Kind.FLOAT32: (0.0, -1.5, float(np.float32(1e-5))),
    Kind.FLOAT64: (0.0, 1e300, -1e-300),
    Kind.BOOL: (True, False),
    Kind.STRING: ("", "a", "naïve ▁ 🦙\n\x00"),
}


def write(
    path: Path,
    keys: dict[str, tuple[Any, Kind, Kind | None]],
    tensors: dict[str, np.ndarray],
    alignment: int | None = None,
) -> Checkpoint:
    """Write a file with the gguf package and open it with ours."""
    writer = gguf.GGUFWriter(path, "llama")
    if alignment is not None:
        writer.add_custom_alignment(alignment)
    for key, (value, kind, item) in keys.items():
        writer.add_key_value(key, value, kind, item)
    for name, values in tensors.items():
        writer.add_tensor(name, values)
    finish(writer)
    return GGUF.open(path)


def finish(writer: gguf.GGUFWriter) -> None:
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


@pytest.mark.parametrize("kind", NUMBERS, ids=lambda kind: kind.name)
def test_values_of_every_type_are_what_was_written(tmp_path: Path, kind: Kind) -> None:
    values = NUMBERS[kind]
    keys: dict[str, tuple[Any, Kind, Kind | None]] = {
        f"one.{n}": (value, kind, None) for n, value in enumerate(values)
    }
    keys["many"] = (list(values), Kind.ARRAY, kind)
    found = write(tmp_path / "x.gguf", keys, {}).metadata
    for n, value in enumerate(values):
        assert found[f"one.{n}"] == value
        assert type(found[f"one.{n}"]) is type(value)
    assert found["many"] == list(values)
    assert {type(item) for item in found["many"]} == {type(values[0])}


@pytest.mark.parametrize("seed", range(12))
def test_random_files_read_back_equal(tmp_path: Path, seed: int) -> None:
    rng = np.random.default_rng(seed)
    keys: dict[str, tuple[Any, Kind, Kind | None]] = {}
    for n in range(int(rng.integers(0, 40))):
        kind = list(NUMBERS)[rng.integers(len(NUMBERS))]
        values = NUMBERS[kind]
        if rng.random() < 0.5:
            count = int(rng.integers(1, 50))
            items = [values[i] for i in rng.integers(len(values), size=count)]
            keys[f"a.{n}"] = (items, Kind.ARRAY, kind)
        else:
            keys[f"k.{n}"] = (values[rng.integers(len(values))], kind, None)
    tensors: dict[str, np.ndarray] = {}
    for n in range(int(rng.integers(0, 20))):
        shape = tuple(int(size) for size in rng.integers(1, 9, size=rng.integers(1, 5)))
        dtype = [np.float32, np.float16, np.int8, np.int32, np.float64][rng.integers(5)]
        tensors[f"t.{n}.weight"] = (100 * rng.standard_normal(shape)).astype(dtype)
    alignment = [None, 8, 16, 32, 64, 4096][seed % 6]
    found = write(tmp_path / "x.gguf", keys, tensors, alignment)
    known = {key: value for key, (value, _, _) in keys.items()}
    others = {"general.architecture", "general.alignment"}
    assert {k: v for k, v in found.metadata.items() if k not in others} == known
    assert found.metadata.get("general.alignment") == alignment
    assert set(found.tensors) == set(tensors)
    for name, values in tensors.items():
        tensor = found.tensors[name]
        assert tensor.shape == values.shape
        assert tensor.data.tobytes() == values.tobytes()
        assert tensor.offset % (alignment or 32) == 0
        file, offset = tensor.place
        assert Path(file).read_bytes()[offset : offset + values.nbytes] == values.tobytes()


@pytest.mark.parametrize("type", ["Q4_0", "Q8_0", "Q5_1", "Q4_K", "Q6_K", "IQ4_NL", "MXFP4"])
def test_blocks_keep_their_bytes_and_take_the_numbers_shape(tmp_path: Path, type: str) -> None:
    kind = gguf.GGMLQuantizationType[type]
    block, block_bytes = gguf.GGML_QUANT_SIZES[kind]
    rows = np.random.default_rng(2).integers(0, 256, (3, 2 * block_bytes), dtype=np.uint8)
    writer = gguf.GGUFWriter(tmp_path / "x.gguf", "llama")
    writer.add_tensor("t", rows, raw_dtype=kind)
    finish(writer)
    tensor = GGUF.open(tmp_path / "x.gguf").tensors["t"]
    assert (tensor.shape, tensor.format) == ((3, 2 * block), type.lower())
    np.testing.assert_array_equal(tensor.raw(), rows)


def test_the_table_of_types_is_the_gguf_packages() -> None:
    theirs = {
        kind.value: (kind.name.lower(), *sizes) for kind, sizes in gguf.GGML_QUANT_SIZES.items()
    }
    ours = {code: (type.name, type.block, type.bytes) for code, type in TYPES.items()}
    # A release of the package may know fewer types than another.
    assert theirs == {code: ours[code] for code in theirs}
    assert set(ours) - set(theirs) <= {39, 40, 41}
    assert not REMOVED & set(ours)


@pytest.mark.parametrize("version", [2, 3])
def test_both_versions_are_read(tmp_path: Path, version: int) -> None:
    values = np.arange(6, dtype=np.float32).reshape(2, 3)
    file = GgufBytes(version=version, tensors=[TensorBytes.of("t", values)])
    (tmp_path / "x.gguf").write_bytes(file.encode())
    tensor = GGUF.open(tmp_path / "x.gguf").tensors["t"]
    np.testing.assert_array_equal(format_named("f32").decode(tensor.raw(), 3), values)


def test_nothing_is_copied_from_the_mapped_file(tmp_path: Path) -> None:
    found = write(tmp_path / "x.gguf", {}, {"t": np.ones((4, 8), np.float32)})
    data = found.tensors["t"].data
    assert isinstance(data.base, np.memmap | np.ndarray)
    assert not data.flags.owndata
    assert not data.flags.writeable


def test_real_files_are_what_the_gguf_packages_reader_finds(shared_data: Path) -> None:
    # The package reads a vocabulary of 100,000 in minutes: those have a test of their own.
    paths = sorted((shared_data / "stories260K" / "gguf").glob("*.gguf"))
    assert len(paths) == 5
    for path in paths:
        theirs, ours = gguf.GGUFReader(path), GGUF.open(path)
        fields = {k: f.contents() for k, f in theirs.fields.items() if not k.startswith("GGUF.")}
        assert dict(ours.metadata.items()) == fields
        assert len(ours.tensors) == len(theirs.tensors)
        for tensor in theirs.tensors:
            found = ours.tensors[tensor.name]
            assert found.shape == tuple(int(size) for size in tensor.shape[::-1])
            assert found.format == tensor.tensor_type.name.lower()
            assert found.offset == tensor.data_offset
            assert found.data.tobytes() == tensor.data.tobytes()


REAL_VOCABULARIES = {
    "gpt-2": (50257, "!", "<|endoftext|>", 50000),
    "gpt-neox": (50432, "<|endoftext|>", None, 50009),
    "llama-bpe": (128256, "!", "<|reserved_special_token_250|>", 280147),
    "llama-spm": (32000, "<unk>", "给", None),
    "phi-3": (32064, "<unk>", None, None),
    "qwen2": (151936, "!", None, 151387),
}


@pytest.mark.parametrize("name", REAL_VOCABULARIES)
def test_real_vocabularies_are_read_whole(shared_data: Path, name: str) -> None:
    count, first, last, merges = REAL_VOCABULARIES[name]
    found = GGUF.open(shared_data / "tokenizers" / f"ggml-vocab-{name}.gguf").metadata
    tokens = found["tokenizer.ggml.tokens"]
    assert (len(tokens), tokens[0], last or tokens[-1]) == (count, first, tokens[-1])
    assert len(set(tokens)) == count
    assert len(found["tokenizer.ggml.token_type"]) == count
    assert len(found.get("tokenizer.ggml.merges", [])) == (merges or 0)


def test_a_vocabulary_of_150_000_opens_in_well_under_a_second_of_cpu(tmp_path: Path) -> None:
    tokens = [f"▁token{n}" for n in range(150_000)]
    file = GgufBytes().set(tokenizer__ggml__tokens=texts(tokens))
    (tmp_path / "x.gguf").write_bytes(file.encode())
    start = time.process_time()
    found = GGUF.open(tmp_path / "x.gguf").metadata["tokenizer.ggml.tokens"]
    assert time.process_time() - start < 0.75
    assert found == tokens


def test_an_array_becomes_a_list_once_and_when_asked(tmp_path: Path) -> None:
    (tmp_path / "x.gguf").write_bytes(GgufBytes().set(a=texts(["x", "y"])).encode())
    metadata = GGUF.open(tmp_path / "x.gguf").metadata
    assert list(metadata) == ["a"]
    assert metadata["a"] is metadata["a"]


def test_texts_are_counted_and_looked_for_without_being_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = GgufBytes().set(a=texts(["x", "y"]), b=array("u32", bytes(8), 2), c=text_value("x"))
    (tmp_path / "x.gguf").write_bytes(file.encode())
    metadata = GGUF.open(tmp_path / "x.gguf").metadata
    monkeypatch.delattr("synapse_core.loaders.gguf_metadata._items")
    assert "a" in metadata
    assert "d" not in metadata
    assert [count_texts(metadata, key) for key in "abcd"] == [2, None, None, None]


def test_texts_of_a_plain_mapping_are_counted_too() -> None:
    assert count_texts({"a": ["x", "y"], "b": [1], "c": "x"}, "a") == 2
    assert count_texts({"b": [1], "c": "x"}, "b") is None


def test_a_file_is_claimed_by_its_name_or_its_first_bytes(tmp_path: Path) -> None:
    content = GgufBytes().encode()
    for name in ("x.gguf", "X.GGUF", "sha256-0123"):
        (tmp_path / name).write_bytes(content)
        assert GGUF.claims(tmp_path / name)
    (tmp_path / "x.txt").write_text("GGU")
    (tmp_path / "folder.gguf").mkdir()
    for name in ("x.txt", "folder.gguf", "absent"):
        assert not GGUF.claims(tmp_path / name)


def test_the_core_provides_the_loader_by_name() -> None:
    assert default_host().get("weight_loader", "gguf") is GGUF


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no named pipes")
def test_a_pipe_or_a_device_is_refused_without_waiting(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.gguf")
    (tmp_path / "zero.gguf").symlink_to("/dev/zero")
    for name in ("pipe.gguf", "zero.gguf"):
        with pytest.raises(FileError, match="is not a regular file"):
            GGUF.open(tmp_path / name)
    assert not GGUF.claims(Path("/dev/zero"))


def shards(folder: Path, count: int = 3) -> list[Path]:
    """Write a model of one tensor a shard, by the gguf package; return the shards."""
    writer = gguf.GGUFWriter(folder / "m.gguf", "llama", split_max_tensors=1)
    writer.add_string("general.name", "m")
    for n in range(count):
        writer.add_tensor(f"t{n}", np.full((2, 4), n, np.float32))
    finish(writer)
    return [folder / f"m-{n + 1:05d}-of-{count:05d}.gguf" for n in range(count)]


def test_shards_are_read_as_one_model(tmp_path: Path) -> None:
    paths = shards(tmp_path)
    found = GGUF.open(paths[0])
    assert sorted(found.tensors) == ["t0", "t1", "t2"]
    assert [found.tensors[f"t{n}"].file for n in range(3)] == paths
    assert found.metadata["general.name"] == "m"
    assert found.tensors["t2"].data.tobytes() == np.full((2, 4), 2, np.float32).tobytes()


def test_a_later_shard_is_refused_naming_the_first(tmp_path: Path) -> None:
    paths = shards(tmp_path)
    with pytest.raises(FileError, match=r"split\.no.*name the first: m-00001-of-00003\.gguf"):
        GGUF.open(paths[1])


def test_a_missing_shard_is_named(tmp_path: Path) -> None:
    paths = shards(tmp_path)
    paths[2].unlink()
    with pytest.raises(FileError, match=r"'m-00003-of-00003\.gguf', which is not there"):
        GGUF.open(paths[0])


def test_shards_in_the_wrong_place_are_refused(tmp_path: Path) -> None:
    paths = shards(tmp_path)
    second, third = paths[1].read_bytes(), paths[2].read_bytes()
    paths[1].write_bytes(third)
    paths[2].write_bytes(second)
    with pytest.raises(
        FileError, match=r"00002-of-00003\.gguf: key 'split\.no'.*found 2, expected"
    ):
        GGUF.open(paths[0])


def test_a_renamed_first_shard_is_refused(tmp_path: Path) -> None:
    paths = shards(tmp_path)
    with pytest.raises(FileError, match=r"split\.count.*named …-00001-of-00003\.gguf"):
        GGUF.open(paths[0].rename(tmp_path / "model.gguf"))


def test_a_shard_of_another_split_is_refused(tmp_path: Path) -> None:
    paths = shards(tmp_path)
    (tmp_path / "other").mkdir()
    shards(tmp_path / "other", 2)[1].rename(paths[1])
    with pytest.raises(FileError, match=r"00002-of-00003\.gguf: key 'split\.count'.*found 2"):
        GGUF.open(paths[0])


def test_a_whole_model_in_a_shards_place_is_refused(tmp_path: Path) -> None:
    paths = shards(tmp_path)
    paths[1].write_bytes(GgufBytes().encode())
    with pytest.raises(FileError, match=r"00002-of-00003\.gguf: is no shard"):
        GGUF.open(paths[0])


def split_file(path: Path, no: int, count: int, total: int, name: str) -> None:
    """Write a shard with one tensor."""
    file = GgufBytes(tensors=[TensorBytes.of(name, np.ones(8, np.float32))])
    file.set(split__no=number("u16", no), split__count=number("u16", count))
    file.set(split__tensors__count=number("i32", total))
    path.write_bytes(file.encode())


@pytest.mark.parametrize(
    ("total", "names", "text"),
    [
        (3, ("a", "b"), r"split\.tensors\.count.*found 3, the shards have 2"),
        (2, ("a", "a"), r"00002-of-00002\.gguf: tensor 'a' .*is in s-00001-of-00002\.gguf too"),
    ],
)
def test_shards_that_do_not_add_up_are_refused(
    tmp_path: Path, total: int, names: tuple[str, str], text: str
) -> None:
    for n, name in enumerate(names):
        split_file(tmp_path / f"s-{n + 1:05d}-of-00002.gguf", n, 2, total, name)
    with pytest.raises(FileError, match=text):
        GGUF.open(tmp_path / "s-00001-of-00002.gguf")


def test_a_shard_that_leads_out_of_the_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "model").mkdir()
    paths = shards(tmp_path / "model")
    paths[1].rename(tmp_path / "kept.gguf")
    paths[1].symlink_to(tmp_path / "kept.gguf")
    with pytest.raises(FileError, match="a link that leads out of its folder"):
        GGUF.open(paths[0])


def test_a_count_of_shards_that_is_no_number_is_refused(tmp_path: Path) -> None:
    (tmp_path / "x.gguf").write_bytes(GgufBytes().set(split__count=text_value("2")).encode())
    with pytest.raises(FileError, match=r"split\.count'.*found '2', expected a whole number"):
        GGUF.open(tmp_path / "x.gguf")
