"""Texts found all at once are those that are read one by one."""

from __future__ import annotations

import struct

from hypothesis import example, given
from hypothesis import strategies as st

from synapse_core.loaders import gguf_texts
from synapse_core.loaders.gguf_texts import find_texts


def stored(texts: list[bytes]) -> bytes:
    return b"".join(struct.pack("<Q", len(text)) + text for text in texts)


def read(data: bytes, begin: int, count: int) -> list[tuple[int, int]]:
    """Return start and end of each text, up to the first that is none."""
    found = []
    for _ in range(count):
        start = begin + 8
        if start > len(data):
            break
        end = start + struct.unpack_from("<Q", data, begin)[0]
        if end > len(data):
            break
        try:
            data[start:end].decode()
        except UnicodeDecodeError:
            break
        found.append((start, end))
        begin = end
    return found


def check(data: bytes, begin: int, count: int, least: int = 0) -> None:
    starts, end = find_texts(memoryview(data), begin, count)
    expected = read(data, begin, count)[: len(starts)]
    assert [start for start, _ in expected] == starts.tolist()
    assert end == (expected[-1][1] if expected else begin)
    assert len(starts) >= least


words = st.lists(st.text(max_size=20).map(str.encode), min_size=1, max_size=30)


@given(words, st.binary(max_size=12), st.binary(max_size=300))
@example([b"a", b"", b"b" * 256, b"c" * 255], b"", b"")
@example([b"a\0\0\0\0\0\0\0b", b"\0", "é".encode()], b"x", b"\0")
def test_what_is_found_is_what_reading_one_by_one_finds(texts, before, behind):
    check(before + stored(texts) + behind, len(before), len(texts))


@given(st.binary(max_size=200), st.integers(0, 20))
def test_of_any_bytes_nothing_is_found_that_reading_does_not_find(data, count):
    check(data, 0, count)


@given(words, st.data())
def test_a_changed_byte_or_a_cut_end_is_never_read_over(texts, data):
    damaged = bytearray(stored(texts))
    damaged[data.draw(st.integers(0, len(damaged) - 1))] = data.draw(st.integers(0, 255))
    cut = data.draw(st.integers(0, len(damaged)))
    check(bytes(damaged[:cut]), 0, len(texts))


def test_plain_words_are_all_found_over_many_windows(monkeypatch):
    monkeypatch.setattr(gguf_texts, "WINDOW_BYTES", 4096)
    monkeypatch.setattr(gguf_texts, "FEWEST", 1)
    texts = [f"Ġwort{n}é".encode() * (1 + n % 40) for n in range(2000)]
    check(b"x" + stored(texts) + b"tail", 1, len(texts), least=len(texts))


def test_a_character_cut_in_two_by_two_texts_is_found_in_neither():
    check(stored([b"a", b"b\xc3", b"\xa9c"]), 0, 3)
