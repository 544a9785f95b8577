"""The file of a slot's states: what was written is read, anything else is refused in one line."""

from __future__ import annotations

import json
import os
import random
import time
from pathlib import Path

import attrs
import numpy as np
import pytest

from synapse_core.errors import FileError
from synapse_core.generate.state_file import (
    BLOCK_BYTES,
    HEADER,
    SavedState,
    read_state,
    write_state,
)

from .hostile_states import MAKER, STATE, sound

SECONDS = float(os.environ.get("SYNAPSE_FUZZ_SECONDS", "60"))


def refused(path: Path, data: bytes) -> bool:
    """Whether a file is refused in one line."""
    path.write_bytes(data)
    try:
        read_state(path, MAKER)
    except FileError as error:
        said = str(error)
    else:
        return False
    assert "\n" not in said
    assert str(path) in said
    return True


@pytest.mark.parametrize(
    "sizes", [(1,), (24, 40), (BLOCK_BYTES,), (BLOCK_BYTES - 1, 2), (5, 3 * BLOCK_BYTES + 7, 1)]
)
def test_what_was_written_is_read(tmp_path: Path, sizes: tuple[int, ...]) -> None:
    rng = np.random.default_rng(1)
    state = SavedState([7, 0, 2**31], [rng.integers(0, 256, n, dtype=np.uint8) for n in sizes])
    write_state(tmp_path / "s", MAKER, state)
    found = read_state(tmp_path / "s", MAKER)
    assert found.ids == state.ids
    assert [part.tobytes() for part in found.parts] == [part.tobytes() for part in state.parts]


def test_a_file_cut_anywhere_is_refused(tmp_path: Path) -> None:
    good = sound()
    assert not refused(tmp_path / "s", good)
    assert [end for end in range(len(good)) if not refused(tmp_path / "s", good[:end])] == []


def test_a_file_with_any_bit_turned_is_refused(tmp_path: Path) -> None:
    good, taken = sound(), []
    for bit in range(8 * len(good)):
        data = bytearray(good)
        data[bit // 8] ^= 1 << bit % 8
        if not refused(tmp_path / "s", bytes(data)):
            taken.append(bit)
    assert taken == []


def test_another_makers_file_is_refused_by_what_differs(tmp_path: Path) -> None:
    (tmp_path / "s").write_bytes(sound())
    with pytest.raises(FileError, match="another model, KV type"):
        read_state(tmp_path / "s", attrs.evolve(MAKER, program=bytes(32)))
    with pytest.raises(FileError, match="made by 'numpy truth', this is 'cpu avx2'"):
        read_state(tmp_path / "s", attrs.evolve(MAKER, form="cpu avx2"))


@pytest.mark.fuzz
def test_a_changed_file_is_refused_and_nothing_else(tmp_path: Path) -> None:
    from tests.loaders.test_folder_fuzz import changed_bytes

    from .hostile_states import signed

    rng, good, taken, count = random.Random("states"), sound(), 0, 0
    end = time.monotonic() + SECONDS
    while time.monotonic() < end:
        data = changed_bytes(rng, good, HEADER.itemsize + 60)
        if len(data) >= HEADER.itemsize and rng.random() < 0.5:
            data = signed(data)
        taken += not refused(tmp_path / "s", data)
        count += 1
    print(json.dumps({"files": count, "taken": taken}))
    assert count > 100
    assert not refused(tmp_path / "s", good)
    assert STATE.ids == read_state(tmp_path / "s", MAKER).ids
