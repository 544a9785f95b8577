"""The GGUF loader on files that lie: each has exactly one lie, the same file without it opens."""

from __future__ import annotations

import struct
import time
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from synapse_core.errors import FileError
from synapse_core.loaders import GGUF
from synapse_core.testing.gguf_bytes import (
    F32,
    Q8_0,
    GgufBytes,
    TensorBytes,
    array,
    number,
    text,
    text_value,
    texts,
)

MOST_CPU_S = 1.0
MOST_BYTES = 8 << 20
M64, M63, M32, M31 = (1 << 64) - 1, 1 << 63, (1 << 32) - 1, 1 << 31


def good() -> GgufBytes:
    """Return a file with every type of value and three tensors, and nothing wrong."""
    file = GgufBytes()
    file.set(
        general__architecture=text_value("llama"),
        llama__block_count=number("u32", 1),
        llama__epsilon=number("f32", 1e-5),
        some__flag=number("bool", True),
        some__flags=array("bool", b"\1\0\1", 3),
        some__bytes=array("u8", bytes(range(100)), 100),
        some__scores=array("f32", struct.pack("<3f", 0, -1, 2), 3),
        some__large=number("u64", M64),
        tokenizer__ggml__tokens=texts(["<unk>", "▁a", "b"]),
    )
    rng = np.random.default_rng(0)
    file.tensors = [
        TensorBytes.of("a.weight", rng.standard_normal((4, 8)).astype(np.float32)),
        TensorBytes("b.weight", (64, 2), Q8_0, bytes(4 * 34)),
        TensorBytes.of("c.weight", rng.standard_normal(5).astype(np.float16)),
    ]
    return file


def with_key(name: str | bytes, value: bytes) -> bytes:
    """Return the good file with one more key."""
    file = good()
    file.keys.append((name, value))
    return file.encode()


def with_last_key_raw(raw: bytes) -> bytes:
    """Return a file whose last key is raw bytes, name included; nothing follows."""
    return GgufBytes(key_count=1).encode() + raw


def changed(**values: object) -> bytes:
    """Return the good file with fields of the whole changed."""
    file = good()
    for name, value in values.items():
        setattr(file, name, value)
    return file.encode()


def tensor(number: int = 0, **values: object) -> bytes:
    """Return the good file with fields of one tensor changed."""
    file = good()
    for name, value in values.items():
        setattr(file.tensors[number], name, value)
    return file.encode()


def one_tensor(axes: tuple[int, ...], type: int = F32, data: bytes = bytes(64)) -> bytes:
    """Return a file of one tensor."""
    return GgufBytes(tensors=[TensorBytes("t", axes, type, data)]).encode()


def nested(depth: int) -> bytes:
    """Return a key whose value is arrays in arrays."""
    inner = struct.pack("<IQ", 0, 1) + b"\0"
    for _ in range(depth):
        inner = struct.pack("<IQ", 9, 1) + inner
    return with_key("n", struct.pack("<I", 9) + inner)


def alignment(value: bytes) -> bytes:
    """Return the good file, whose data begin as if aligned to 32, with an alignment key."""
    return good().set(general__alignment=value).encode()


WHOLE = good().encode()
HEADER = len(good().header())
DATA = HEADER + -HEADER % 32
NAME_AT = r"tensor 'a\.weight'.* at byte \d+: "
COUNTS = {"2^64-1": M64, "2^63": M63, "2^32": 1 << 32, "2^31": M31, "1e9": 10**9, "1e5": 10**5}
LENGTHS = {"2^64-1": M64, "2^64-8": M64 - 7, "2^63": M63, "2^32+1": (1 << 32) + 1, "1e9": 10**9}

LIES: dict[str, tuple[bytes, str]] = {
    "empty": (b"", r"header at byte 0: has 0 bytes"),
    "three bytes": (b"GGU", r"header at byte 0: has 3 bytes"),
    "magic alone": (b"GGUF", r"has 4 bytes"),
    "23 bytes": (WHOLE[:23], r"has 23 bytes"),
    "wrong magic": (changed(magic=b"GGUG"), r"magic at byte 0: found b'GGUG'"),
    "zip": (changed(magic=b"PK\3\4"), r"magic at byte 0: found"),
    "pickle": (changed(magic=b"\x80\2}q"), r"magic at byte 0: found"),
    "ggml": (changed(magic=b"lmgg"), r"this is GGML, older than GGUF"),
    "ggjt": (changed(magic=b"tjgg"), r"this is GGML, older than GGUF"),
    "lfs pointer": (
        b"version https://git-lfs.github.com/spec/v1\noid sha256:0",
        r"Git LFS pointer",
    ),
    "big-endian": (changed(version=3 << 24), r"version at byte 4: the file is big-endian"),
    **{
        f"version {version}": (changed(version=version), rf"version at byte 4: found {version}")
        for version in (0, 1, 4, 99, M32)
    },
    **{
        f"tensor count {name}": (
            changed(tensor_count=count),
            rf"tensor count at byte 8: found {count}",
        )
        for name, count in COUNTS.items()
    },
    **{
        f"key count {name}": (changed(key_count=count), rf"key count at byte 16: found {count}")
        for name, count in COUNTS.items()
    },
    "one key too many": (changed(key_count=10), r"at byte \d+: "),
    "one key too few": (changed(key_count=8), r"'tokenizer\.ggml\.tokens': axis count at byte"),
    "one tensor too many": (changed(tensor_count=4), r"tensor 3: name at byte \d+: "),
    **{
        f"key length {name}": (
            with_last_key_raw(text("k", length) + number("u8", 1)),
            r"key 0: length at byte 24: found",
        )
        for name, length in LENGTHS.items()
    },
    "key length past the end": (
        with_last_key_raw(text("k", 60000) + number("u8", 1)),
        r"key 0 at byte 32: needs 60000 bytes, 6 are left",
    ),
    **{
        f"text length {name}": (
            with_key("k", text_value("v", length)),
            r"key 'k': length at byte \d+: found",
        )
        for name, length in LENGTHS.items()
    },
    "text length past the end": (
        with_last_key_raw(text("k") + text_value("v", 100_000)),
        r"key 'k' at byte 45: needs 100000 bytes, 1 are left",
    ),
    **{
        f"name length {name}": (tensor(name_length=length), r"tensor 0: name: length at byte")
        for name, length in LENGTHS.items()
    },
    "key not utf-8": (with_key(b"\xff\xfe", number("u8", 1)), r"key 9 at byte \d+: is not UTF-8"),
    "text not utf-8": (
        with_key("k", text_value(b"\xc3\x28")),
        r"key 'k' at byte \d+: is not UTF-8",
    ),
    "token not utf-8": (
        with_key("k", array("text", text("a") + text(b"\xed\xa0\x80"), 2)),
        r"key 'k'\[1\] at byte \d+: is not UTF-8",
    ),
    "name not utf-8": (tensor(name=b"\xff"), r"tensor 0: name at byte \d+: is not UTF-8"),
    "empty key": (with_key("", number("u8", 1)), r"key 9 at byte \d+: found ''"),
    "key with a nul": (with_key("a\0b", number("u8", 1)), r"key 9 at byte"),
    "key with a line break": (with_key("a\nb", number("u8", 1)), r"key 9 at byte"),
    "key twice": (with_key("some.flag", number("bool", True)), r"key 'some\.flag' .*given twice"),
    "type 13": (with_key("k", struct.pack("<IQ", 13, 0)), r"key 'k': type at byte \d+: found 13"),
    "type 255": (with_key("k", struct.pack("<IQ", 255, 0)), r"key 'k': type at byte"),
    "type 2^32-1": (with_key("k", struct.pack("<IQ", M32, 0)), r"key 'k': type at byte"),
    "bool 2": (with_key("k", struct.pack("<IB", 7, 2)), r"key 'k' at byte \d+: found 2"),
    "bools with a 2": (with_key("k", array("bool", b"\1\2", 2)), r"key 'k'\[1\] at byte \d+: exp"),
    "value cut": (
        with_last_key_raw(text("k") + number("u64", 1)[:-1]),
        r"key 'k' at byte \d+: needs",
    ),
    "item type 255": (with_key("k", array(255, b"", 0)), r"key 'k': item type at byte \d+: found"),
    **{
        f"array of {kind} {name}": (
            with_key("k", array(kind, b"\0" * 8, count)),
            r"key 'k': count at byte \d+: found",
        )
        for kind, name, count in (
            ("u8", "2^64-1", M64),
            ("u8", "1e9", 10**9),
            ("u16", "2^63", M63),
            ("u64", "2^61", 1 << 61),
            ("f32", "2^62", 1 << 62),
            ("f64", "2^32", 1 << 32),
            ("bool", "2^31", M31),
            ("text", "2^60", 1 << 60),
            ("text", "2^64-1", M64),
            ("text", "1e9", 10**9),
        )
    },
    "one text too many": (
        with_last_key_raw(text("k") + array("text", text("abcdefgh"), 2)),
        r"key 'k'\[1\]: length at byte \d+: needs 8 bytes, 0 are left",
    ),
    "text of an array past the end": (
        with_last_key_raw(text("k") + array("text", text("a", 3000), 1)),
        r"key 'k'\[0\] at byte \d+: needs 3000 bytes",
    ),
    "text of an array 2^64-1": (
        with_key("k", array("text", text("a", M64), 1)),
        r"key 'k'\[0\]: length at byte \d+: found",
    ),
    "array in an array": (nested(1), r"key 'n': item type at byte \d+: arrays of arrays"),
    "arrays 20,000 deep": (nested(20_000), r"key 'n': item type at byte \d+: arrays of arrays"),
    **{
        f"alignment {value}": (
            alignment(number("u32", value)),
            rf"key 'general\.alignment' at byte \d+: found {value}, expected a power of two",
        )
        for value in (0, 1, 3, 24, 33, 1 << 17, M31, M32)
    },
    "alignment negative": (alignment(number("i32", -32)), r"alignment' .*not stored as u32"),
    "alignment text": (alignment(text_value("32")), r"alignment' .*not stored as u32"),
    "alignment float": (alignment(number("f32", 32)), r"alignment' .*not stored as u32"),
    "alignment array": (
        alignment(array("u32", struct.pack("<I", 32), 1)),
        r"alignment' .*not stored as u32",
    ),
    **{
        f"{count} axes": (
            tensor(axis_count=count),
            rf"tensor 'a\.weight': axis count at byte \d+: found {count}",
        )
        for count in (0, 5, 4096, M32)
    },
    "an axis of 0": (one_tensor((16, 0)), r"tensor 't': axis 1 at byte \d+: found 0"),
    "a row of 0": (one_tensor((0, 16)), r"tensor 't': axis 0 at byte \d+: found 0"),
    "an axis of -1": (one_tensor((16, M64)), r"tensor 't': axis 1 at byte \d+: found"),
    "axes wrap to 0": (one_tensor((M31, M31, 4)), r"tensor 't' at byte \d+: begins"),
    "axes wrap to fit": (one_tensor((1 << 62, 4, 1, 1)), r"tensor 't' at byte"),
    "axes wrap in bytes": (one_tensor(((1 << 62) + 16,)), r"tensor 't' at byte"),
    "an axis of 2^42": (one_tensor((1 << 42, 4)), r"tensor 't' at byte"),
    "one row too many": (one_tensor((16, 2), data=bytes(64)), r"tensor 't' at byte .*the file has"),
    "a row that is no whole block": (one_tensor((33,), Q8_0), r"'t' at byte \d+: rows of 33"),
    **{
        f"tensor type {code}": (one_tensor((16,), code), r"tensor 't': type at byte \d+: found")
        for code in (4, 5, 31, 36, 42, 9999, -1, -M31)
    },
    "offset past the end": (tensor(2, offset=1 << 20), r"'c\.weight' at byte \d+: begins at"),
    "offset wraps": (tensor(2, offset=M64 - 31), r"'c\.weight' at byte \d+: begins at"),
    "offset 2^63": (tensor(2, offset=M63), r"'c\.weight' at byte \d+: begins at"),
    "offset misaligned": (tensor(2, offset=129), r"offset at byte \d+: 129 is no multiple of 32"),
    "tensors overlap": (tensor(1, offset=96), r"'b\.weight' at byte .*: an overlap"),
    "tensors in one place": (tensor(1, offset=0), r"an overlap"),
    "tensor twice": (tensor(1, name="a.weight"), NAME_AT + "is described twice"),
    "tensor without a name": (tensor(name=""), r"tensor 0: name at byte \d+: found ''"),
    "tensor named with a nul": (tensor(name="a\0b"), r"tensor 0: name at byte"),
    "tensor name of 2000 bytes": (tensor(name="a" * 2000), r"tensor 0: name: length at byte"),
    "data one byte short": (WHOLE[:-1], r"'c\.weight' at byte \d+: begins at"),
    "no data": (WHOLE[:DATA], r"tensor '.\.weight' at byte \d+: begins at"),
    "table cut": (WHOLE[: HEADER - 1], r"tensor 'c\.weight': offset at byte \d+: needs 8"),
}


def opened(path: Path) -> float:
    """Open and read everything; return the seconds of CPU it took."""
    start = time.process_time()
    try:
        found = GGUF.open(path)
        assert dict(found.metadata.items())
    finally:
        took = time.process_time() - start
    return took


def test_the_corpus_is_large_enough() -> None:
    assert len(LIES) >= 80
    assert len({content for content, _ in LIES.values()}) == len(LIES)


@pytest.mark.parametrize("lie", LIES)
def test_a_file_with_one_lie_is_refused_by_field_and_byte(tmp_path: Path, lie: str) -> None:
    content, expected = LIES[lie]
    path = tmp_path / "lie.gguf"
    path.write_bytes(content)
    tracemalloc.start()
    start = time.process_time()
    try:
        with pytest.raises(FileError, match=r"lie\.gguf: ") as caught:
            GGUF.open(path)
        took, peak = time.process_time() - start, tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    caught.match(expected)
    assert caught.value.exit_code == 3
    assert caught.value.field
    assert caught.value.offset is not None
    assert 0 <= caught.value.offset <= max(len(content), 1)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 400 + len(str(path))
    assert took < MOST_CPU_S
    assert peak < MOST_BYTES


def moved() -> bytes:
    """Return a file whose tensors are described in another order than they lie in."""
    file = good()
    a, b, c = file.tensors
    a.offset, b.offset, c.offset = 160, 0, 288
    head = file.header()
    data = b.data + bytes(160 - len(b.data)) + a.data + c.data
    return head + bytes(-len(head) % 32) + data


CONTROLS: dict[str, Callable[[], bytes]] = {
    "the good file": lambda: WHOLE,
    "version 2": lambda: changed(version=2),
    "trailing bytes": lambda: WHOLE + bytes(100),
    "described in another order": moved,
    "a hole between tensors": lambda: tensor(2, offset=288) + bytes(32),
    "no tensors": lambda: changed(tensors=[]),
    "no keys": lambda: changed(keys=[]),
    "an empty array": lambda: with_key("k", array("text", b"", 0)),
    "an empty text": lambda: with_key("k", text_value("")),
    "alignment 8": lambda: changed(alignment=8, keys=[("general.alignment", number("u32", 8))]),
    "alignment 65536": lambda: changed(
        alignment=1 << 16, keys=[("general.alignment", number("u32", 1 << 16))]
    ),
    "four axes": lambda: one_tensor((2, 2, 2, 2)),
    "nan": lambda: with_key("k", number("f32", float("nan"))),
}


@pytest.mark.parametrize("name", CONTROLS)
def test_a_file_without_a_lie_opens(tmp_path: Path, name: str) -> None:
    (tmp_path / "good.gguf").write_bytes(CONTROLS[name]())
    found = GGUF.open(tmp_path / "good.gguf")
    assert sum(t.data.size for t in found.tensors.values()) in (0, 64, 128 + 136 + 10)
    assert len(dict(found.metadata.items())) == len(found.metadata)


def test_a_file_cut_anywhere_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "cut.gguf"
    for length in range(0, len(WHOLE), 1 if len(WHOLE) < 1500 else 7):
        path.write_bytes(WHOLE[:length])
        with pytest.raises(FileError):
            GGUF.open(path)


def sparse(path: Path, head: bytes, size: int) -> Path:
    """Write a file of zeros behind a head, which takes no room on the disk."""
    with path.open("wb") as file:
        file.write(head)
        file.truncate(size)
    return path


@pytest.mark.parametrize(("keys", "tensors"), [(0, 30_000), (16_000, 0), (0, 10**6), (10**7, 0)])
def test_a_sparse_gigabyte_cannot_make_large_counts_true(
    tmp_path: Path, keys: int, tensors: int
) -> None:
    head = GgufBytes(key_count=keys, tensor_count=tensors).encode()
    path = sparse(tmp_path / "s.gguf", head, 1 << 30)
    start = time.process_time()
    with pytest.raises(FileError, match=r"at byte"):
        GGUF.open(path)
    assert time.process_time() - start < MOST_CPU_S


@pytest.mark.parametrize("kind", ["u8", "bool", "f64", "text"])
def test_a_sparse_gigabyte_of_array_is_read_past_or_refused(tmp_path: Path, kind: str) -> None:
    count = {"u8": 1 << 29, "bool": 1 << 29, "f64": 1 << 26, "text": 1 << 26}[kind]
    head = GgufBytes(key_count=1).encode() + text("k") + array(kind, b"", count)
    path = sparse(tmp_path / "s.gguf", head, 1 << 30)
    tracemalloc.start()
    start = time.process_time()
    try:
        with pytest.raises(FileError, match=r"key 'k': count at byte \d+: found"):
            GGUF.open(path)
        assert time.process_time() - start < MOST_CPU_S
        assert tracemalloc.get_traced_memory()[1] < MOST_BYTES
    finally:
        tracemalloc.stop()


def test_the_most_texts_that_a_file_may_have_are_checked_in_a_second(tmp_path: Path) -> None:
    count = 1 << 20
    head = GgufBytes(key_count=1).encode() + text("k") + array("text", b"", count)
    path = sparse(tmp_path / "s.gguf", head, len(head) + 8 * count)
    start = time.process_time()
    GGUF.open(path)
    assert time.process_time() - start < MOST_CPU_S


def test_texts_of_several_arrays_count_together(tmp_path: Path) -> None:
    half = array("text", bytes(8 * 600_000), 600_000)
    (tmp_path / "x.gguf").write_bytes(GgufBytes().set(a=half, b=half).encode())
    with pytest.raises(FileError, match=r"key 'b': count at byte \d+: found 600000"):
        GGUF.open(tmp_path / "x.gguf")


@pytest.mark.parametrize("count", [0, -1, 70_000, 10**6])
def test_a_count_of_shards_that_cannot_be_is_refused(tmp_path: Path, count: int) -> None:
    file = GgufBytes().set(split__count=number("i32", count), split__no=number("u16", 0))
    path = tmp_path / f"m-00001-of-{abs(count) % 100_000:05d}.gguf"
    path.write_bytes(file.encode())
    with pytest.raises(FileError, match=r"split\.|names file"):
        GGUF.open(path)
