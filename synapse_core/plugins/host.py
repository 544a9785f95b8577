"""The plugin host: asks every plugin what it provides, and finds things by kind and name.

Plugins are asked one by one, so that a bad one is reported with its reason and the rest works.
Listing imports plugin modules, never what they provide.
"""

from __future__ import annotations

import functools
import importlib
import os
from collections.abc import Mapping
from typing import Any

import attrs
import pluggy

from synapse_core.errors import PluginConflict, PluginError, UnknownComponent
from synapse_core.hookspecs import HOOK_OF_KIND, KINDS, PROJECT, Provides, SynapseSpec
from synapse_core.plugins.builtin import BUILTIN
from synapse_core.plugins.discovery import (
    Candidate,
    Selection,
    candidates,
    repeated,
    wrong_contract,
)
from synapse_core.plugins.extras import extras_to_install
from synapse_core.plugins.report import (
    BROKEN,
    DISABLED,
    INCOMPATIBLE,
    OK,
    UNAVAILABLE,
    Provider,
    Report,
)

CORE_PLUGIN, CORE_DISTRIBUTION = "core", "synapse"


@attrs.define
class Host:
    """All plugins that were found, and what they provide."""

    reports: tuple[Report, ...]
    providers: Mapping[tuple[str, str], tuple[Provider, ...]]
    _loaded: dict[tuple[str, str], Any] = attrs.field(factory=dict)

    @classmethod
    def discover(cls, selection: Selection | None = None, strict: bool | None = None) -> Host:
        """Find and ask all plugins.

        Raises: PluginError for the first faulty plugin when strict (SYNAPSE_STRICT=1).
        """
        selection = selection or Selection.from_environment()
        if strict is None:
            strict = os.environ.get("SYNAPSE_STRICT", "") not in ("", "0")
        found = candidates()
        doubled = repeated(found)
        reports = [_core_report(), *(_ask(c, selection, c.name in doubled) for c in found)]
        for report in reports:
            if strict and report.is_fault:
                raise PluginError(
                    f"plugin {report.name!r} of {report.distribution} is {report.state}:"
                    f" {report.reason} (SYNAPSE_STRICT is set)"
                )
        return cls(tuple(reports), _providers(reports))

    def get(self, kind: str, name: str) -> Any:
        """Return the object behind (kind, name); `name@distribution` picks among two providers.

        Raises: UnknownComponent, PluginConflict, or PluginError when its import fails.
        """
        if (kind, name) not in self._loaded:
            provider = self.find(kind, name)
            self._loaded[kind, name] = _load(provider, provider.record.factory)
        return self._loaded[kind, name]

    def sample(self, kind: str, name: str) -> Any:
        """Return what (kind, name) is tried on, or None where its record names nothing.

        Raises: as `get`.
        """
        provider = self.find(kind, name)
        return _load(provider, provider.record.sample) if provider.record.sample else None

    def find(self, kind: str, name: str) -> Provider:
        """Return who provides (kind, name), importing nothing; raises as `get`."""
        bare, _, wanted = name.partition("@")
        found = self.providers.get((kind, bare), ())
        chosen = [p for p in found if not wanted or p.distribution == wanted]
        if not chosen:
            raise UnknownComponent(self._unknown(kind, bare, wanted, found))
        if len(chosen) > 1:
            names = " and ".join(p.distribution for p in chosen)
            choices = " or ".join(f"{bare}@{p.distribution}" for p in chosen)
            raise PluginConflict(f"{kind} {bare!r} is provided by {names}; say {choices}")
        return chosen[0]

    def names(self, kind: str) -> tuple[str, ...]:
        """Return the sorted names of a kind, importing nothing."""
        return tuple(sorted(name for of, name in self.providers if of == kind))

    def of_kind(self, kind: str) -> tuple[Provider, ...]:
        """Return all providers of a kind, sorted by name and distribution."""
        found = [p for (of, _), group in self.providers.items() if of == kind for p in group]
        return tuple(sorted(found, key=lambda p: (p.record.name, p.distribution)))

    def advice(self, kind: str, name: str) -> str:
        """Return what to do where (kind, name) is missed: what to install, which plugin is off.

        The text goes behind an error's own and is empty where there is nothing to advise.
        """
        text = ""
        extras = extras_to_install(kind, name, {report.distribution for report in self.reports})
        if extras:
            text += f"; to install: pip install 'synapse[{','.join(extras)}]'"
        off = [f"{report.name} is {report.state}" for report in self.reports if report.state != OK]
        if off:
            text += f" (plugin {', '.join(off)}: see `synapse plugins`)"
        return text

    def _unknown(self, kind: str, name: str, wanted: str, found: tuple[Provider, ...]) -> str:
        if wanted:
            have = ", ".join(p.distribution for p in found) or "nobody"
            return f"{kind} {name!r} is not provided by {wanted!r}; it is by {have}"
        import difflib

        text = f"no {kind} {name!r} is installed"
        near = difflib.get_close_matches(name, self.names(kind))
        if near:
            text += f"; did you mean {near[0]!r}?"
        elif self.names(kind):
            text += f"; there are: {', '.join(self.names(kind))}"
        return text + self.advice(kind, name)


@functools.cache
def default_host() -> Host:
    """Return the host of this process, discovered once."""
    return Host.discover()


def _core_report() -> Report:
    from synapse_core import __version__

    return Report(CORE_PLUGIN, CORE_DISTRIBUTION, __version__, OK, "", BUILTIN)


def _ask(candidate: Candidate, selection: Selection, doubled: bool) -> Report:
    """Return the report of one plugin; only KeyboardInterrupt passes through."""
    base = Report(candidate.name, candidate.distribution, candidate.version, OK)
    off = selection.reason(candidate.name)
    if off:
        return attrs.evolve(base, state=DISABLED, reason=off)
    foreign = wrong_contract(candidate)
    if foreign:
        return attrs.evolve(base, state=INCOMPATIBLE, reason=foreign)
    if doubled:
        reason = f"another distribution has a plugin named {candidate.name!r} too"
        return attrs.evolve(base, state=BROKEN, reason=reason)
    try:
        plugin = candidate.entry_point.load()
    except KeyboardInterrupt:
        raise
    except BaseException as error:
        reason = f"import of {candidate.entry_point.value} failed: {_said(error)}"
        return attrs.evolve(base, state=BROKEN, reason=reason)
    try:
        unavailable = getattr(plugin, "unavailable_reason", None)
        why = unavailable() if unavailable else None
        if why:
            return attrs.evolve(base, state=UNAVAILABLE, reason=str(why))
        return attrs.evolve(base, provides=_provided_by(plugin))
    except KeyboardInterrupt:
        raise
    except BaseException as error:
        return attrs.evolve(base, state=BROKEN, reason=_said(error))


def _provided_by(plugin: object) -> tuple[Provides, ...]:
    """Ask all hooks of one plugin.

    Raises: PluginError for a misspelt hook or a record that is off; whatever a hook raises.
    """
    manager = pluggy.PluginManager(PROJECT)
    manager.add_hookspecs(SynapseSpec)
    manager.register(plugin)
    try:
        manager.check_pending()
    except pluggy.PluginValidationError as error:
        raise PluginError(str(error).splitlines()[0]) from error
    records: list[Provides] = []
    for kind, hook in HOOK_OF_KIND.items():
        for result in getattr(manager.hook, hook)():
            records += _checked(hook, kind, result)
    return tuple(records)


def _checked(hook: str, kind: str, result: object) -> tuple[Provides, ...]:
    if not isinstance(result, tuple):
        raise PluginError(f"hook {hook} returned {type(result).__name__}, not a tuple of Provides")
    for record in result:
        if not isinstance(record, Provides):
            raise PluginError(f"hook {hook} returned {record!r}, not a Provides")
        if record.kind != kind:
            raise PluginError(f"hook {hook} provides kind {record.kind!r}, it must be {kind!r}")
        module, _, name = record.factory.partition(":")
        if not (module and name) or not record.name or "@" in record.name:
            raise PluginError(
                f"hook {hook}: {record.name!r} has the factory {record.factory!r};"
                " it must be 'package.module:object', and a name has no '@'"
            )
        if record.sample and not all(record.sample.partition(":")):
            raise PluginError(
                f"hook {hook}: {record.name!r} has the sample {record.sample!r};"
                " it must be 'package.module:object'"
            )
    return result


def _providers(reports: list[Report]) -> dict[tuple[str, str], tuple[Provider, ...]]:
    table: dict[tuple[str, str], tuple[Provider, ...]] = {}
    for report in reports:
        for record in report.provides:
            key = (record.kind, record.name)
            provider = Provider(record, report.distribution, report.name)
            table[key] = (*table.get(key, ()), provider)
    return {key: table[key] for key in sorted(table, key=lambda k: (KINDS.index(k[0]), k[1]))}


def _load(provider: Provider, path: str) -> Any:
    record = provider.record
    module, _, name = path.partition(":")
    try:
        found: Any = importlib.import_module(module)
        for part in name.split("."):
            found = getattr(found, part)
    except KeyboardInterrupt:
        raise
    except BaseException as error:
        raise PluginError(
            f"{record.kind} {record.name!r} of plugin {provider.plugin!r}"
            f" ({provider.distribution}): {path} failed to import: {_said(error)}"
        ) from error
    return found


def _said(error: BaseException) -> str:
    text = str(error).splitlines()[0] if str(error) else ""
    return f"{type(error).__name__}: {text}" if text else type(error).__name__
