"""Finding plugins: entry points, one record for each, imported one by one."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping
from importlib import metadata

import attrs

from synapse_core.hookspecs import CONTRACT_VERSION, ENTRY_POINT_GROUP

_GROUP = re.compile(r"synapse\.v(\d+)")


@attrs.frozen
class Candidate:
    """An entry point that may be a plugin; nothing of it is imported yet."""

    name: str
    distribution: str
    version: str
    entry_point: metadata.EntryPoint

    @property
    def contract(self) -> int | None:
        """The contract's major version that its group names."""
        match = _GROUP.fullmatch(self.entry_point.group)
        return int(match.group(1)) if match else None


@attrs.frozen
class Selection:
    """Which plugins the environment switches off."""

    disabled: frozenset[str]
    only: frozenset[str] | None

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] = os.environ) -> Selection:
        """Read SYNAPSE_DISABLE_PLUGINS and SYNAPSE_PLUGINS_ONLY, names parted by commas."""
        only = environment.get("SYNAPSE_PLUGINS_ONLY")
        return cls(
            _names(environment.get("SYNAPSE_DISABLE_PLUGINS", "")),
            _names(only) if only is not None else None,
        )

    def reason(self, name: str) -> str | None:
        """Say why a plugin is off, or None."""
        if name in self.disabled:
            return "named in SYNAPSE_DISABLE_PLUGINS"
        if self.only is not None and name not in self.only:
            return "not named in SYNAPSE_PLUGINS_ONLY"
        return None


def candidates() -> list[Candidate]:
    """Return all entry points of any `synapse.vN` group, sorted, each distribution once."""
    found: dict[tuple[str, str, str], Candidate] = {}
    for distribution in metadata.distributions():
        points = [p for p in distribution.entry_points if _GROUP.fullmatch(p.group)]
        if not points:
            continue  # whose metadata is not read: most of what is installed is no plugin
        name = distribution.metadata["Name"] or "unknown"
        for point in points:
            candidate = Candidate(point.name, name, distribution.version, point)
            found.setdefault((point.name, _normal(name), point.group), candidate)
    return [found[key] for key in sorted(found)]


def wrong_contract(candidate: Candidate) -> str | None:
    """Say which contract an incompatible plugin was written for, or None."""
    if candidate.contract == CONTRACT_VERSION:
        return None
    return (
        f"written for contract {candidate.entry_point.group!r},"
        f" this Synapse has {ENTRY_POINT_GROUP!r}"
    )


def _names(text: str) -> frozenset[str]:
    return frozenset(name.strip() for name in text.split(",") if name.strip())


def _normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def repeated(found: Iterable[Candidate]) -> set[str]:
    """Return the plugin names that more than one distribution uses."""
    seen: set[str] = set()
    return {c.name for c in found if c.name in seen or seen.add(c.name)}  # type: ignore[func-returns-value]
