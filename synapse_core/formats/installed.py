"""Finding a weight format by its name: the core's and those that plugins bring, by one call."""

from __future__ import annotations

import re

import attrs

from synapse_core.errors import PluginConflict, PluginError, UsageError
from synapse_core.formats.carried import CARRIED
from synapse_core.formats.contract import WeightFormat
from synapse_core.formats.table import FORMATS, HELD_FORMATS
from synapse_core.hookspecs import Registry

KIND = "quant_format"
# What the metadata of a file can say.
NAME = re.compile(r"[a-z0-9_.]{1,32}", re.ASCII)


@attrs.frozen
class Formats:
    """The weight formats that there are: without a registry the core's only.

    A provider that was picked by `name@distribution` is the one that the name means from then on.
    """

    registry: Registry | None = None
    _made: dict[str, WeightFormat] = attrs.field(factory=dict, init=False, eq=False, repr=False)
    _asked: dict[str, str] = attrs.field(factory=dict, init=False, eq=False, repr=False)

    def named(self, name: str) -> WeightFormat:
        """Return a format; `name@distribution` picks among two providers.

        Raises: UsageError listing the names there are; PluginConflict where two plugins provide it;
        PluginError for one that fails to import, or says another name than it is listed under.
        """
        bare = name.partition("@")[0]
        plugged = self._plugged()
        if self.registry is None or bare not in plugged:
            if name in FORMATS:
                return FORMATS[name]
            advice = "" if self.registry is None else self.registry.advice(KIND, bare)
            raise UsageError(
                f"no weight format {name!r}; there are: {', '.join(self.names())}{advice}"
            )
        if bare in self._made and name in (bare, self._asked[bare]):
            return self._made[bare]
        found = self.registry.get(KIND, name)
        format: WeightFormat = found() if isinstance(found, type) else found
        if format.name != bare or not NAME.fullmatch(bare):
            raise PluginError(
                f"weight format {bare!r} says that it is {format.name!r}; both must be one name, at"
                " most 32 of a-z, 0-9, _ and ."
            )
        if bare in FORMATS and format is not FORMATS[bare]:
            raise PluginError(
                f"weight format {name!r} has the name of the core's own, and files could not tell"
                " them apart; it needs another name"
            )
        if bare in self._made:
            raise PluginConflict(
                f"weight formats {self._asked[bare]!r} and {name!r} at once; say one"
            )
        self._made[bare], self._asked[bare] = format, name
        return format

    def names(self) -> tuple[str, ...]:
        """Return the names of all formats that a weight can be stored in, importing nothing."""
        return (*FORMATS, *(name for name in self._plugged() if name not in FORMATS))

    def written(self) -> tuple[str, ...]:
        """Return the names of those that can be asked for: all but what is read and not written."""
        return tuple(name for name in self.names() if name in HELD_FORMATS or name not in CARRIED)

    def knows(self, name: str) -> bool:
        """Whether a weight can be stored in a format of this name."""
        return name in FORMATS or name in self._plugged()

    def _plugged(self) -> tuple[str, ...]:
        return () if self.registry is None else self.registry.names(KIND)


CORE_FORMATS = Formats()
