"""Checks of the mixers' options."""

from __future__ import annotations

from synapse_core.errors import UsageError

# Every number of a record is a 32-bit word.
MOST = (1 << 31) - 1


def whole(mixer: str, option: str, value: object, *, least: int = 1, most: int = MOST) -> None:
    """Check a whole number from `least` to `most`.

    Raises: UsageError naming mixer and option.
    """
    if type(value) is not int or not least <= value <= most:
        problem = f"{option} is {value!r}; must be a whole number from {least} to {most}"
        raise UsageError(f"attention {mixer!r}: {problem}")
