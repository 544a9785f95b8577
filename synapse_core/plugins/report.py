"""What the host knows of each plugin."""

from __future__ import annotations

from typing import Any

import attrs

from synapse_core.hookspecs import Provides

OK = "ok"
DISABLED = "disabled"
INCOMPATIBLE = "incompatible"
BROKEN = "broken"
UNAVAILABLE = "unavailable"


@attrs.frozen
class Report:
    """One plugin: where it comes from, how it is, and what it provides."""

    name: str
    distribution: str
    version: str
    state: str
    reason: str = ""
    provides: tuple[Provides, ...] = ()

    @property
    def is_fault(self) -> bool:
        """Whether its author or installer has something to mend."""
        return self.state in (BROKEN, INCOMPATIBLE)

    def as_json(self) -> dict[str, Any]:
        """Return it as plain data."""
        return attrs.asdict(self)


@attrs.frozen
class Provider:
    """One provided thing and the distribution that provides it."""

    record: Provides
    distribution: str
    plugin: str
