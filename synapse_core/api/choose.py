"""Which backend runs a model."""

from __future__ import annotations

from typing import Any

from synapse_core.backends import Backend
from synapse_core.errors import SynapseError, Unavailable
from synapse_core.hookspecs import Registry

AUTO = "auto"
REFERENCE = "numpy"


def choose_backend(name: str, registry: Registry) -> Backend:
    """Return a backend by name; "auto" is the fastest that works here, the reference the last.

    Among several, a backend's `rank` decides, 0 where it has none. A broken one is passed over by
    "auto" only; an explicit choice never falls back.

    Raises: Unavailable with the reason; UnknownComponent.
    """
    if name != AUTO:
        backend = _make(registry.get("backend", name))
        reason = backend.unavailable()
        if reason is not None:
            raise Unavailable(f"backend {name!r} is installed but unavailable: {reason}")
        return backend
    usable: list[tuple[int, str, Backend]] = []
    for known in registry.names("backend"):
        try:
            backend = _make(registry.get("backend", known))
        except SynapseError:
            continue  # `synapse plugins` tells why
        if backend.unavailable() is None:
            usable.append((_rank(known, backend), known, backend))
    if not usable:
        raise Unavailable("no backend works on this machine; `synapse plugins` says why")
    return max(usable, key=lambda entry: entry[:2])[2]


def _rank(name: str, backend: Backend) -> int:
    return -1 if name == REFERENCE else int(getattr(backend, "rank", 0))


def _make(found: Any) -> Backend:
    backend: Backend = found() if isinstance(found, type) else found
    return backend
