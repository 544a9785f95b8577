"""The native backend, where there is one to hold a thing against."""

from __future__ import annotations

from synapse_core.backends import Backend
from synapse_core.errors import PluginError, Unavailable, UnknownComponent
from synapse_core.testing.case import Case
from synapse_core.testing.contracts.contract import Skipped, Subject


def native_backend(subject: Subject, case: Case) -> Backend:
    """Return the backend cpu, which must be able to open the case.

    Raises: Skipped when it is not installed, does not work here, or an op has no kernel in C.
    """
    try:
        found = subject.registry.get("backend", "cpu")
    except (UnknownComponent, PluginError) as error:
        raise Skipped(str(error)) from None
    backend: Backend = found() if isinstance(found, type) else found
    reason = backend.unavailable()
    if reason is not None:
        raise Skipped(f"backend cpu: {reason}")
    missing = sorted({op.name for op in case.ops if "c" not in op.kernels})
    if missing:
        raise Skipped(f"op {missing[0]!r} has no kernel in C")
    if any(op.kernels["c"] != "core" for op in case.ops):
        _require_compiler(backend, case)
    return backend


def _require_compiler(backend: Backend, case: Case) -> None:
    """A kernel of a plugin is compiled when first opened; without a compiler nothing is known.

    A compiler that is there and refuses the file is a fault of the file, and passes through.
    """
    try:
        backend.open(case.executable()).close()
    except Unavailable as error:
        if "synapse[kernels]" in str(error):
            raise Skipped(str(error)) from None
        raise
