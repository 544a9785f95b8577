"""What saving, loading and copying a slot's states refuse, the same in every backend."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from synapse_core.errors import UsageError

if TYPE_CHECKING:
    import numpy as np


def check_saved(slot: int, positions: int, seen: int, goes_back: bool) -> None:
    """Refuse to save what a slot does not know.

    Raises: UsageError; see `Session.save_state`.
    """
    if not 1 <= positions <= seen:
        raise UsageError(f"slot {slot} has seen {seen} positions; {positions} cannot be saved")
    if positions < seen and not goes_back:
        raise UsageError(
            f"slot {slot} has seen {seen} positions and cannot go back to {positions}: save all"
        )


def check_copied(slot: int, positions: int, seen: int, goes_back: bool) -> None:
    """Refuse to copy what a slot does not know.

    Raises: UsageError; see `Session.copy_state`.
    """
    if not 0 <= positions <= seen:
        raise UsageError(f"slot {slot} has seen {seen} positions; {positions} cannot be copied")
    if 0 < positions < seen and not goes_back:
        raise UsageError(
            f"slot {slot} has seen {seen} positions and cannot go back to {positions}: copy all"
        )


def check_loaded(slot: int, slots: int, positions: int, most: int) -> None:
    """Refuse a slot or a number of positions that there is not.

    Raises: UsageError.
    """
    if not 0 <= slot < slots:
        raise UsageError(f"slot {slot}: there are {slots}")
    if not 1 <= positions <= most:
        raise UsageError(f"{positions} saved positions; a slot holds 1 to {most}")


def check_parts(parts: Sequence[np.ndarray], sizes: Sequence[int]) -> None:
    """Refuse parts that are not as long as the states are.

    Raises: UsageError naming the first.
    """
    if len(parts) != len(sizes):
        raise UsageError(f"{len(parts)} saved states; the program has {len(sizes)}")
    for number, (part, size) in enumerate(zip(parts, sizes, strict=True)):
        if part.nbytes != size:
            raise UsageError(f"saved state {number} has {part.nbytes} bytes, expected {size}")
