"""Formats of plugins: found by the call that finds the core's, held in what says the same."""

from __future__ import annotations

import numpy as np
import pytest

from synapse_core.errors import PluginConflict, PluginError, UsageError
from synapse_core.formats import (
    CARRIED,
    CORE_FORMATS,
    F32,
    HELD_FORMATS,
    I8_G16,
    Formats,
    Runs,
    carrier_of,
    carry,
)
from tests.strange_formats import Bytes, Split
from tests.things import Nothing, With


class Doubled(Split):
    """`split` and `decode` say two things."""

    def decode(self, raw: np.ndarray, cols: int) -> np.ndarray:
        return super().decode(raw, cols) * np.float32(2)


class Wide(Split):
    """Codes of another type than it may have."""

    def split(self, raw: np.ndarray, cols: int) -> Runs:
        scale, codes, _ = super().split(raw, cols)
        return Runs(scale, codes.astype(np.int16))


def formats(thing: object, name: str = "bytes") -> Formats:
    return Formats(With({("quant_format", name): thing}))


ROWS = np.random.default_rng(3).standard_normal((7, 64)).astype(np.float32)


def test_one_call_finds_the_core_s_formats_and_a_plugin_s() -> None:
    found = formats(Bytes())
    assert found.named("bytes") == Bytes()
    assert [found.named(name) for name in HELD_FORMATS] == list(HELD_FORMATS.values())
    assert [found.named(name) for name in CARRIED] == list(CARRIED.values())
    assert found.knows("bytes")
    assert "bytes" in found.names()
    assert "bytes" in found.written()
    assert not set(CARRIED) & set(found.written())


def test_a_class_is_made() -> None:
    found = formats(Bytes)
    assert found.named("bytes") == Bytes()
    assert found.named("bytes") is found.named("bytes")


def test_without_plugins_there_are_the_core_s() -> None:
    assert CORE_FORMATS.names() == Formats(Nothing()).names() == (*HELD_FORMATS, *CARRIED)
    assert Formats(Nothing()).named("q4_k") is HELD_FORMATS["q4_k"]


def test_an_unknown_name_lists_those_there_are() -> None:
    with pytest.raises(UsageError, match=r"no weight format 'q9_9'; there are: f32, .*, bytes"):
        formats(Bytes()).named("q9_9")


def test_two_providers_are_told_apart_by_distribution() -> None:
    conflict = PluginConflict("quant_format 'bytes' is provided by a and b")
    both = {("quant_format", f"bytes@{distribution}"): Bytes for distribution in "ab"}
    found = Formats(With({("quant_format", "bytes"): conflict, **both}))
    with pytest.raises(PluginConflict, match="provided by a and b"):
        found.named("bytes")
    assert found.named("bytes@a") == Bytes()
    assert found.named("bytes") is found.named("bytes@a")
    with pytest.raises(PluginConflict, match="'bytes@a' and 'bytes@b' at once"):
        found.named("bytes@b")


@pytest.mark.parametrize(
    ("name", "said", "problem"),
    [
        ("bytes", "other", "'bytes' says that it is 'other'"),
        ("By tes", "By tes", "a-z, 0-9"),
        ("q8_0", "q8_0", "has the name of the core's own"),
        ("q2_k", "q2_k", "has the name of the core's own"),
    ],
)
def test_a_name_that_files_could_not_say_is_refused(name: str, said: str, problem: str) -> None:
    with pytest.raises(PluginError, match=problem):
        formats(Bytes(said), name).named(name)


@pytest.mark.parametrize(
    ("format", "cols", "held"),
    [
        (Split(), 64, I8_G16),
        (Split(block=32), 64, I8_G16),
        (Split(block=64), 64, I8_G16),
        (Split(), 16, F32),  # i8g16 has blocks of 32
        (Split(block=8), 64, F32),  # and no scale for 8 columns
        (Bytes(), 64, F32),
        *((format, 256, format) for format in HELD_FORMATS.values()),
        *((format, 256, I8_G16) for format in CARRIED.values()),
    ],
    ids=str,
)
def test_rows_are_held_in_what_can_say_them(format, cols: int, held) -> None:
    assert carrier_of(format, cols) is held


@pytest.mark.parametrize("format", [Split(), Split(block=32), Split(block=8), Bytes()], ids=str)
def test_what_is_held_is_the_same_bit_for_bit(format) -> None:
    raw = format.encode(ROWS)
    held = carrier_of(format, 64)
    decoded = held.decode(carry(format, raw, 64), 64)
    assert decoded.tobytes() == format.decode(raw, 64).tobytes()


def test_a_split_that_says_other_numbers_is_refused_by_name() -> None:
    raw = Doubled().encode(ROWS)
    with pytest.raises(PluginError, match="'bytes': split and decode give other numbers"):
        carry(Doubled(), raw, 64)


def test_codes_of_another_type_are_refused_by_name() -> None:
    with pytest.raises(PluginError, match=r"codes int16 \(7, 4, 16\), they must be int8"):
        carry(Wide(), Wide().encode(ROWS), 64)
