"""Files of saved states that are bad, each in one way, and a sound one beside them."""

from __future__ import annotations

import struct
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from synapse_core.generate.state_file import (
    CHECK_BYTES,
    HEADER,
    MOST_TOKENS,
    Maker,
    SavedState,
    _check,
    write_state,
)

MAKER = Maker(bytes(range(32)), "numpy truth")
STATE = SavedState([3, 1, 4], [np.arange(24, dtype=np.uint8), np.arange(40, dtype=np.uint8)])


def sound(maker: Maker = MAKER, state: SavedState = STATE) -> bytes:
    """Return a file that its maker reads."""
    with tempfile.TemporaryDirectory() as folder:
        write_state(Path(folder) / "sound", maker, state)
        return (Path(folder) / "sound").read_bytes()


def sound_of(folder: Path) -> bytes:
    """Return the file of a prompt that a model on the numpy backend computed."""
    from synapse_core.api import load

    with tempfile.TemporaryDirectory() as place, load(folder, backend="numpy") as model:
        cache = model.prompt_cache(Path(place) / "sound")
        cache.prepare(model.tokenizer.encode("hello", special=True))
        cache.write()
        return (Path(place) / "sound").read_bytes()


def signed(data: bytes) -> bytes:
    """Return a file with the checksum that its first bytes should have."""
    header = np.frombuffer(data[: HEADER.itemsize], dtype=HEADER)[0].copy()
    tokens, parts, states = (int(header[n]) for n in ("tokens", "parts", "state_bytes"))
    size = 4 * tokens + 8 * parts + 4 * -(-states // (1 << 20))
    meta = data[HEADER.itemsize : HEADER.itemsize + size]
    check = _check(header, meta).tobytes()
    return data[: HEADER.itemsize - CHECK_BYTES] + check + data[HEADER.itemsize :]


def changed(field: str, value: int) -> bytes:
    """Return a sound file with one number of its header changed."""
    data = bytearray(sound())
    kind, offset = HEADER.fields[field]  # type: ignore[index]
    data[offset : offset + kind.itemsize] = value.to_bytes(kind.itemsize, "little")
    return bytes(data)


def state_lies() -> Iterator[tuple[str, bytes, str]]:
    """Yield (name, file, words of the refusal)."""
    good = sound()
    for end in (0, 1, 7, 8, 40, HEADER.itemsize - 1, HEADER.itemsize, len(good) - 1):
        yield f"cut to {end}", good[:end], "cut"
    yield "longer", good + b"x", "expected"
    for byte in (0, 9, 13, 17, 25, 40, 70, 140, HEADER.itemsize, HEADER.itemsize + 14):
        data = bytearray(good)
        data[byte] ^= 4
        yield f"bit of byte {byte}", bytes(data), ""
    for field in ("version", "tokens", "parts", "state_bytes"):
        size = HEADER[field].itemsize
        for value in (0, 2, MOST_TOKENS, (1 << (8 * size)) - 1):
            yield f"{field} {value}", changed(field, value), ""
            if field == "version" or value == 0:
                yield f"{field} {value}, signed", signed(changed(field, value)), ""
    sizes = HEADER.itemsize + 4 * len(STATE.ids)
    for name, pair in {"short": (1, 1), "over": ((1 << 64) - 1, 65), "swapped": (64, 1)}.items():
        data = good[:sizes] + struct.pack("<QQ", *pair) + good[sizes + 16 :]
        yield f"sizes {name}", data, "check"
        yield f"sizes {name}, signed", signed(data), ""
    yield "of another model", good, "another model"
    yield "nothing but zeros", bytes(4096), "magic"
    yield "a pickle", b"\x80\x04}." + bytes(300), "magic"


def heavy_states() -> Iterator[tuple[str, bytes]]:
    """Yield files as large as their numbers may ask for, and then bad."""
    ids = SavedState([1] * MOST_TOKENS, list(STATE.parts))
    good = sound(state=ids)
    yield "many tokens", good
    yield "many tokens, a bit", good[:9000] + bytes([good[9000] ^ 1]) + good[9001:]
    parts = [np.zeros(1, dtype=np.uint8)] * 65_536
    yield "many states", sound(state=SavedState([1], parts))
    large = [np.zeros(48 << 20, dtype=np.uint8)]
    yield "large states", sound(state=SavedState([1], large))
