"""Backends run programs here and now; targets are exported to."""

from synapse_core.backends.calls import check_ids, check_rows, count_rows, take_inputs
from synapse_core.backends.contract import Backend, Executable, Session, Target
from synapse_core.backends.kept import check_loaded, check_parts, check_saved
from synapse_core.backends.numpy_backend import NumpyBackend

__all__ = [
    "Backend",
    "Executable",
    "NumpyBackend",
    "Session",
    "Target",
    "check_ids",
    "check_loaded",
    "check_parts",
    "check_rows",
    "check_saved",
    "count_rows",
    "take_inputs",
]
