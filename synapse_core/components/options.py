"""Checks of a component's options; every error names kind, component and option."""

from __future__ import annotations

import math
from collections.abc import Collection
from typing import TypeGuard

from synapse_core.errors import UsageError

# Every number of a record is a 32-bit word; what is larger could not be lowered.
MOST = (1 << 31) - 1


def refuse(kind: str, name: str, problem: str) -> UsageError:
    """Return the error of a component whose options do not go together."""
    return UsageError(f"{kind} {name!r}: {problem}")


def whole(kind: str, name: str, option: str, value: object, *, least: int = 1) -> None:
    """Check a whole number of at least `least`."""
    fits = isinstance(value, int) and not isinstance(value, bool) and least <= value <= MOST
    if not fits:
        raise refuse(kind, name, f"{option} is {value!r}; must be a whole number from {least} on")


def finite(kind: str, name: str, option: str, value: object, *, least: float | None = None) -> None:
    """Check a finite number, of at least `least` where that is given."""
    if not _is_finite(value) or (least is not None and value < least):
        bound = "" if least is None else f", at least {least:g}"
        raise refuse(kind, name, f"{option} is {value!r}; must be a finite number{bound}")


def choice(kind: str, name: str, option: str, value: object, choices: Collection[str]) -> None:
    """Check that a value is one of the choices."""
    if value not in choices:
        raise refuse(kind, name, f"{option} is {value!r}; must be one of {', '.join(choices)}")


def _is_finite(value: object) -> TypeGuard[float]:
    """Whether it is a number that a float can hold; a bool is none."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    try:
        return math.isfinite(value)
    except OverflowError:
        return False
