"""Contracts of weight formats: bytes of a row, and back."""

from __future__ import annotations

import attrs
import numpy as np

from synapse_core.errors import SynapseError
from synapse_core.formats import FORMATS, Formats, WeightFormat, carrier_of, carry
from synapse_core.testing.contracts.contract import Contract, Skipped, Subject, contract, require

MOST_WIDTH = 2048


def widths_of(format: WeightFormat) -> tuple[int, ...]:
    """Return some widths that a format accepts.

    Raises: CheckFailed when it accepts none.
    """
    found = tuple(n for n in range(1, MOST_WIDTH + 1) if format.accepts(n))
    require(bool(found), f"it accepts no width from 1 to {MOST_WIDTH}")
    return tuple(dict.fromkeys((*found[:3], found[len(found) // 2])))


def numbers(rows: int, cols: int) -> np.ndarray:
    """Return random rows, each of its own size."""
    rng = np.random.default_rng(41)
    scale = 10.0 ** rng.uniform(-3, 3, (rows, 1))
    return (rng.standard_normal((rows, cols)) * scale).astype(np.float32)


def encode(format: WeightFormat, rows: np.ndarray) -> np.ndarray:
    """Encode rows, and check what comes out.

    Raises: CheckFailed for another dtype or shape than the format declares.
    """
    raw = format.encode(rows)
    wanted = (len(rows), format.row_bytes(rows.shape[1]))
    require(
        raw.dtype == np.uint8 and raw.shape == wanted,
        f"encode of {rows.shape} gave {raw.dtype} {raw.shape}, declared is uint8 {wanted}",
    )
    return raw


@attrs.frozen
class Only:
    """A registry of one format."""

    name: str
    format: WeightFormat

    def get(self, kind: str, name: str) -> WeightFormat:
        """Return it, whatever is asked."""
        return self.format

    def names(self, kind: str) -> tuple[str, ...]:
        """Return its name."""
        return (self.name,)

    def advice(self, kind: str, name: str) -> str:
        """Advise nothing."""
        return ""


@contract
def rows_have_the_declared_bytes(subject: Subject) -> None:
    """A row takes `row_bytes`, an even number, however many rows there are."""
    format: WeightFormat = subject.made()
    require(format.block >= 1, f"block is {format.block}, it must be 1 or more")
    for cols in widths_of(format):
        require(cols % format.block == 0, f"it accepts {cols} columns, its block is {format.block}")
        size = format.row_bytes(cols)
        require(size % 2 == 0, f"a row of {cols} takes {size} bytes; kernels need an even number")
        x = numbers(5, cols)
        whole = encode(format, x)
        one = np.concatenate([encode(format, row[None]) for row in x])
        require(np.array_equal(whole, one), f"{cols} columns: rows together and alone differ")


@contract
def decode_gives_float32_of_the_shape(subject: Subject) -> None:
    """Decoding what was encoded gives float32 (rows, cols), and keeps the bytes as they were."""
    format: WeightFormat = subject.made()
    for cols in widths_of(format):
        raw = encode(format, numbers(3, cols))
        before = raw.tobytes()
        y = format.decode(raw, cols)
        found = f"{y.dtype} {y.shape}"
        require(
            y.dtype == np.float32 and y.shape == (3, cols),
            f"decode gave {found}, it must be float32 {(3, cols)}",
        )
        require(raw.tobytes() == before, "decode changed the bytes that it read")


@contract
def error_is_within_what_it_declares(subject: Subject) -> None:
    """|decode(encode(x)) − x| is at most `relative_error` · max |x| of x's block.

    A format whose block is 1 is held to the largest of the row.
    """
    format: WeightFormat = subject.made()
    bound = getattr(format, "relative_error", None)
    if bound is None:
        raise Skipped("it declares no relative_error")
    for cols in widths_of(format):
        x = numbers(32, cols)
        y = format.decode(encode(format, x), cols)
        run = format.block if format.block > 1 else cols
        most = np.abs(x).reshape(32, -1, run).max(axis=-1)
        error = np.abs(y.astype(np.float64) - x).reshape(32, -1, run).max(axis=-1)
        worst = float((error / most).max())
        require(worst <= bound, f"{cols} columns: error {worst:.3g}, declared {bound:.3g}")


@contract
def zeros_and_extremes_stay_finite(subject: Subject) -> None:
    """Rows of zeros decode to zeros; large and tiny numbers to finite ones."""
    format: WeightFormat = subject.made()
    cols = widths_of(format)[-1]
    zeros = np.zeros((2, cols), np.float32)
    decoded = format.decode(encode(format, zeros), cols)
    require(not decoded.any(), f"zeros became {float(np.abs(decoded).max()):g}")
    for value in (3e4, 1e-7, 1e-38, -3e4):
        row = np.full((1, cols), value, np.float32)
        row[0, :: max(cols // 2, 1)] *= -1
        with np.errstate(all="ignore"):
            decoded = format.decode(encode(format, row), cols)
        require(bool(np.isfinite(decoded).all()), f"numbers of {value:g} are not finite any more")


@contract
def any_bytes_can_be_decoded(subject: Subject) -> None:
    """A file from outside holds any bytes: they decode, or are refused with a SynapseError."""
    format: WeightFormat = subject.made()
    rng = np.random.default_rng(42)
    for cols in widths_of(format):
        size = format.row_bytes(cols)
        patterns = [rng.integers(0, 256, (4, size)), np.zeros((2, size)), np.full((2, size), 255)]
        for raw in patterns:
            try:
                with np.errstate(all="ignore"):
                    y = format.decode(raw.astype(np.uint8), cols)
            except SynapseError:
                continue
            require(y.shape == (len(raw), cols), f"decode of any bytes gave {y.shape}")


@contract
def is_held_bit_for_bit(subject: Subject) -> None:
    """What a program holds its rows as decodes to what it decodes to itself, for any bytes.

    With `split` that is i8g16: `split` and `decode` must then agree. Without, f32.
    """
    format: WeightFormat = subject.made()
    rng = np.random.default_rng(43)
    carried = tuple(n for n in range(32, MOST_WIDTH + 1, 32) if format.accepts(n))
    for cols in dict.fromkeys((*widths_of(format), *carried[:2])):
        any_bytes = rng.integers(0, 256, (64, format.row_bytes(cols))).astype(np.uint8)
        for raw in (encode(format, numbers(8, cols)), any_bytes):
            held = carrier_of(format, cols)
            with np.errstate(all="ignore"):
                try:
                    expected = format.decode(raw, cols)
                except SynapseError:
                    continue
                found = held.decode(carry(format, raw, cols), cols)
            same = np.array_equal(found, expected, equal_nan=True)
            require(same, f"{cols} columns held as {held.name} decode to other numbers")


@contract
def name_and_code_are_its_own(subject: Subject) -> None:
    """Files can say its name; no other installed format has it, or its code where it has one."""
    format: WeightFormat = subject.made()
    require(format.name == subject.name, f"listed as {subject.name!r}, it says {format.name!r}")
    try:
        found = Formats(Only(subject.name, format)).named(subject.name)
    except SynapseError as error:
        require(False, str(error))
    require(found == format, f"asked for {subject.name!r}, {found} was found")
    others = dict(FORMATS)
    for name in subject.registry.names("quant_format"):
        if name != subject.name:
            others.setdefault(name, subject.registry.get("quant_format", name))
    others.pop(subject.name, None)
    for name, other in others.items():
        other = other() if isinstance(other, type) else other
        clash = format.code and format.code == other.code
        require(not clash, f"code {format.code} is that of {name!r}")
    require(0 <= format.code < 1 << 32, f"code {format.code}; a program holds 0 to 2^32 - 1")


CONTRACTS: dict[str, tuple[Contract, ...]] = {
    "quant_format": (
        rows_have_the_declared_bytes,
        decode_gives_float32_of_the_shape,
        error_is_within_what_it_declares,
        zeros_and_extremes_stay_finite,
        any_bytes_can_be_decoded,
        is_held_bit_for_bit,
        name_and_code_are_its_own,
    )
}
