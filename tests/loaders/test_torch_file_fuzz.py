"""Torch files changed at random: each is read or refused as a SynapseError, nothing else.

SYNAPSE_FUZZ_SECONDS says how long (60), SYNAPSE_FUZZ_SEED where it begins (0).
"""

from __future__ import annotations

import os
import random
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from safetensors import safe_open

from synapse_core.api.import_pt import import_pt
from synapse_core.errors import SynapseError
from tests.loaders.hostile_torch_files import good_files, hostile_files
from tests.loaders.torch_files import archive, torch_legacy, zipped

pytestmark = pytest.mark.fuzz
INTERESTING = (0, 1, 0x7F, 0x80, 0xFF)
OPCODES = b"\x80\x81\x82\x85\x86\x87\x88\x89\x8a\x8c\x93\x94\x95().0NKMJGXTU}]tlaesuqrhjcRbQioB"
LARGEST_SEED = 100_000

Change = Callable[[random.Random, bytearray], None]


def flip(rng: random.Random, data: bytearray) -> None:
    data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)


def set_byte(rng: random.Random, data: bytearray) -> None:
    data[rng.randrange(len(data))] = rng.choice(INTERESTING)


def set_word(rng: random.Random, data: bytearray) -> None:
    size = rng.choice((2, 4, 8))
    at = rng.randrange(len(data))
    value = rng.choice((0, 1, 1 << 31, (1 << 63) - 1, (1 << 64) - 1, len(data)))
    data[at : at + size] = (value & ((1 << 8 * size) - 1)).to_bytes(size, "little")


def set_opcode(rng: random.Random, data: bytearray) -> None:
    data[rng.randrange(len(data))] = rng.choice(OPCODES)


def cut(rng: random.Random, data: bytearray) -> None:
    begin = rng.randrange(len(data))
    del data[begin : begin + rng.choice((1, 2, 4, rng.randrange(1, 64)))]


def double(rng: random.Random, data: bytearray) -> None:
    begin = rng.randrange(len(data))
    part = data[begin : begin + rng.randrange(1, 64)]
    at = rng.randrange(len(data))
    data[at:at] = part * rng.choice((1, 1, 2, 50))


CHANGES: tuple[Change, ...] = (flip, set_byte, set_word, set_opcode, cut, double)


def pickle_in(data: bytes) -> bytes | None:
    """Return the pickle of one of our zip files, to be changed under a right checksum."""
    found = data.find(b"\x80")
    end = data.find(b"PK\x03\x04", 4)
    return data[found:end] if data[:2] == b"PK" and 0 < found < end else None


def mutant(rng: random.Random, good: list[bytes], hostile: list[bytes]) -> bytes:
    """Return one of the seeds with one to eight changes, in the file or in its pickle."""
    seed = rng.choice(good if rng.random() < 0.7 else hostile)
    pickle = pickle_in(seed) if rng.random() < 0.6 else None
    data = bytearray(seed if pickle is None else pickle)
    for _ in range(rng.choice((1, 1, 2, 3, 8))):
        if data:
            rng.choice(CHANGES)(rng, data)
    if pickle is None:
        return bytes(data)
    if rng.random() < 0.2:
        return torch_legacy(bytes(data[2:-1]))
    return zipped(archive(bytes(data)))


def test_changed_files_are_read_or_refused(tmp_path: Path) -> None:
    first = int(os.environ.get("SYNAPSE_FUZZ_SEED", "0"))
    seconds = float(os.environ.get("SYNAPSE_FUZZ_SECONDS", "60"))
    canary = tmp_path / "canary"
    good = list(good_files().values())
    hostile = [data for data, _ in hostile_files(canary).values() if 0 < len(data) < LARGEST_SEED]
    source, output = tmp_path / "in.pth", tmp_path / "out.safetensors"
    end, tried, read = time.monotonic() + seconds, 0, 0
    while time.monotonic() < end:
        number = first + tried
        data = mutant(random.Random(number), good, hostile)
        source.write_bytes(data)
        tried += 1
        refused = ""
        try:
            done = import_pt(source, output)
        except SynapseError as error:
            refused = str(error)
        except BaseException as error:
            raise AssertionError(f"seed {number}: {type(error).__name__}: {error}") from error
        if refused:
            assert "\n" not in refused, f"seed {number}"
            assert not output.exists(), f"seed {number}"
        else:
            read += 1
            with safe_open(output, "numpy") as file:
                assert len(file.keys()) == done.tensors, f"seed {number}"
            output.unlink()
        assert not canary.exists(), f"seed {number}"
    print(f"{tried} files, {read} read, seeds {first} to {first + tried - 1}")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in.pth"]
    # Most changes hit what matters: a fuzzer whose files all pass or all fail tests nothing.
    assert 0.01 < read / tried < 0.9
