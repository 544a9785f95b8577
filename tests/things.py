"""The installed plugins, and things of a test's own beside them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import attrs

from synapse_core.errors import UnknownComponent
from synapse_core.hookspecs import Registry
from synapse_core.plugins import default_host


class Nothing:
    """A registry without a plugin."""

    def get(self, kind: str, name: str) -> Any:
        raise UnknownComponent(f"no {kind} {name!r} is installed")

    def names(self, kind: str) -> tuple[str, ...]:
        return ()

    def advice(self, kind: str, name: str) -> str:
        return ""


@attrs.frozen
class With:
    """A registry with `things` by (kind, name) before those of `rest`; an exception is raised."""

    things: Mapping[tuple[str, str], Any]
    rest: Registry = attrs.field(factory=default_host)

    def get(self, kind: str, name: str) -> Any:
        found = self.things.get((kind, name))
        if found is None:
            return self.rest.get(kind, name)
        if isinstance(found, Exception):
            raise found
        return found

    def names(self, kind: str) -> tuple[str, ...]:
        own = {name for of, name in self.things if of == kind}
        return tuple(sorted({*self.rest.names(kind), *own}))

    def advice(self, kind: str, name: str) -> str:
        return self.rest.advice(kind, name)
