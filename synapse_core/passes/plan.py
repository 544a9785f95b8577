"""Plans: which weights are held in which format, by one format for all or from a file."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from fnmatch import fnmatchcase
from pathlib import Path

from synapse_core.errors import FileError
from synapse_core.formats import CORE_FORMATS, Formats
from synapse_core.loaders.json_file import read_json
from synapse_core.passes.formats import Rule

MOST_RULES = 4096


def plan_for(format: str | None, keeps: Sequence[str] = ()) -> tuple[Rule, ...]:
    """Return the plan of one format for all matrices but those that a family keeps as stored."""
    if format is None:
        return ()
    return (*(Rule(pattern, None) for pattern in keeps), Rule("*", format))


def read_plan(path: Path, formats: Formats = CORE_FORMATS) -> tuple[Rule, ...]:
    """Read a JSON object of patterns over weights' names and formats; the first match wins.

    Raises: FileError naming file and pattern.
    """
    found = read_json(path)
    if not 1 <= len(found) <= MOST_RULES:
        problem = f"has {len(found)} patterns, expected 1 to {MOST_RULES}"
        raise FileError(path, problem)
    known = formats.written()
    for pattern, format in found.items():
        if not isinstance(format, str) or format.partition("@")[0] not in known:
            problem = f"found {format!r:.60}, expected one of {', '.join(known)}"
            raise FileError(path, problem, field=f"pattern {pattern[:80]!r}")
    return tuple(Rule(pattern, format) for pattern, format in found.items())


def check_plan(path: Path, plan: Iterable[Rule], names: Iterable[str]) -> None:
    """Check that every pattern of a file means a matrix: one that does not is a slip of the pen.

    Raises: FileError naming file and pattern.
    """
    known = tuple(names)
    for rule in plan:
        if not any(fnmatchcase(name, rule.pattern) for name in known):
            problem = f"no matrix of this model is called so; there is {known[0]!r} for one"
            raise FileError(path, problem, field=f"pattern {rule.pattern[:80]!r}")
