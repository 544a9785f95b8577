"""The one tree of errors: what was being done, what was found, what to do.

Every error a user can cause is a `SynapseError`. Its text is one line that carries its own
operands, and its class fixes the process's exit code, so that a script can tell bad input from a
missing tool.
"""

from __future__ import annotations

__all__ = [
    "CheckFailed",
    "FileError",
    "GraphError",
    "InternalError",
    "OutOfPages",
    "PluginConflict",
    "PluginError",
    "ProgramError",
    "ShapeError",
    "SynapseError",
    "Unavailable",
    "UnknownComponent",
    "UsageError",
    "WeightError",
]


class SynapseError(Exception):
    """Something the user can understand and act on, said in one line."""

    exit_code = 1


class InternalError(SynapseError):
    """A promise between two parts of Synapse was broken; always a bug of ours."""


class CheckFailed(SynapseError):
    """A verification ran to its end and its answer is no."""


class UsageError(SynapseError):
    """The request itself is off: an option, a name, a combination."""

    exit_code = 2


class OutOfPages(UsageError):
    """No page is left for the keys and values of a call; nothing has run."""


class UnknownComponent(UsageError):
    """No provider of the asked kind and name; the text lists near names and who is installed."""


class PluginConflict(UsageError):
    """Two distributions provide one name and none was chosen with `name@distribution`."""


# What a file's own names and values may add to a line; a hostile name has megabytes.
MOST_FIELD, MOST_PROBLEM = 200, 800


class FileError(SynapseError):
    """A file from outside is not what it must be.

    The text reads `file: field at byte N: found …, expected …`, with as much of that as is known.
    """

    exit_code = 3

    def __init__(
        self,
        file: object,
        problem: str,
        *,
        field: str | None = None,
        offset: int | None = None,
    ) -> None:
        self.file = str(file)
        self.field = field
        self.offset = offset
        place = shortened(field or "", MOST_FIELD)
        if offset is not None:
            place = f"{place} at byte {offset}".strip()
        parts = (self.file, place, shortened(problem, MOST_PROBLEM))
        super().__init__(": ".join(part for part in parts if part))


def shortened(text: str, most: int) -> str:
    """Return a text with its middle left out where it is too long for a line."""
    if len(text) <= most:
        return text
    end = most // 4
    return f"{text[: most - end - 1]}…{text[-end:]}"


class WeightError(FileError):
    """A checkpoint lacks a weight, has one too many, or has one of the wrong shape or format."""


class ProgramError(FileError):
    """A `.syn` program was refused by the validator or by a runtime that lacks what it needs."""


class ShapeError(SynapseError):
    """Two shapes that must agree do not; the text names both sides."""


class GraphError(SynapseError):
    """A graph is malformed: an unknown op, a value used before it is made, a name used twice."""


class Unavailable(SynapseError):
    """A backend, plugin or tool is missing or cannot work on this machine."""

    exit_code = 4


class PluginError(Unavailable):
    """A plugin is broken or incompatible; the text names plugin, hook and reason."""
